//! The smallest subset with which a property still holds.

use std::collections::BTreeSet;

/// Removes members while the property holds: whole runs first, so that a few needed members
/// among many are found in few trials. The property holds for the result; if the property
/// is monotone, no single member can be removed from it.
pub(super) fn shrink<T: Ord + Clone>(
    mut all: BTreeSet<T>,
    mut holds: impl FnMut(&BTreeSet<T>) -> bool,
) -> BTreeSet<T> {
    let members: Vec<T> = all.iter().cloned().collect();
    let mut open = vec![members.as_slice()];
    while let Some(run) = open.pop() {
        let mut fewer = all.clone();
        run.iter().for_each(|member| {
            fewer.remove(member);
        });
        if fewer.len() == all.len() {
            continue;
        }
        if holds(&fewer) {
            all = fewer;
        } else if run.len() > 1 {
            let (first, last) = run.split_at(run.len() / 2);
            open.extend([last, first]);
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_needed_items_are_found_in_few_trials() {
        let mut trials = 0;
        let needed = BTreeSet::from([3, 700, 701]);
        let found = shrink((0..1_000).collect(), |some| {
            trials += 1;
            needed.is_subset(some)
        });
        assert_eq!(found, needed);
        assert!(trials < 60, "{trials}");
    }

    #[test]
    fn one_of_two_sufficient_items_is_kept() {
        let found =
            shrink(BTreeSet::from([1, 2, 3]), |some| some.contains(&1) || some.contains(&3));
        assert_eq!(found, BTreeSet::from([3]));
        assert!(shrink(BTreeSet::from([1, 2]), |_| true).is_empty());
    }
}
