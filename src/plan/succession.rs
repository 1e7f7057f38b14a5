//! Workers that take what other workers give up: the order in which they change.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Action, Change};
use crate::desired::names::machine_of;
use crate::resource::{Address, Kind};

/// Which objects take an address or a range of which others.
pub(super) type Takeovers<K> = BTreeMap<K, BTreeSet<K>>;

/// The worker that a change is about: its own, or that of an interface.
pub(super) fn worker_of(address: &Address) -> Option<Address> {
    let name = match address.kind {
        Kind::Worker => address.name.as_str(),
        Kind::NetworkInterface => machine_of(&address.name)?,
        _ => return None,
    };
    Some(Address::new(Kind::Worker, address.site.clone(), name))
}

/// The workers of a plan that take an address or a range of pods of others, which come back
/// elsewhere.
pub(super) fn takeovers(changes: &[Change]) -> Takeovers<Address> {
    let mut found = Takeovers::new();
    let takes = changes.iter().filter(|change| {
        matches!(change.action, Action::Create | Action::Replace)
            && !change.create_after_destroy_of.is_empty()
    });
    for change in takes {
        let Some(worker) = worker_of(&change.address) else { continue };
        let alike = change.create_after_destroy_of.iter();
        let alike = alike.filter(|other| other.kind == change.address.kind);
        let others = alike.filter_map(worker_of).filter(|other| *other != worker);
        for other in others {
            found.entry(worker.clone()).or_default().insert(other);
        }
    }
    found
}

/// Everything that one takes over, directly or not, and what these take over.
fn chain<'a, K: Ord>(takeovers: &'a Takeovers<K>, of: &K) -> BTreeSet<&'a K> {
    let mut found = BTreeSet::new();
    let mut open: Vec<&K> = takeovers.get(of).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if found.insert(next) {
            open.extend(takeovers.get(next).into_iter().flatten());
        }
    }
    found
}

/// Those that take over from each other in a cycle, each cycle once: none of them can come
/// before all of them are gone.
pub(super) fn cycles<K: Ord + Clone>(takeovers: &Takeovers<K>) -> Vec<BTreeSet<K>> {
    let mut found: Vec<BTreeSet<K>> = Vec::new();
    for key in takeovers.keys() {
        if found.iter().any(|cycle| cycle.contains(key)) {
            continue;
        }
        let chain_of_key = chain(takeovers, key);
        if !chain_of_key.contains(key) {
            continue;
        }
        let is_mutual = |other: &&&K| chain(takeovers, other).contains(key);
        found.push(chain_of_key.iter().filter(is_mutual).map(|other| (*other).clone()).collect());
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takeovers_of(pairs: &[(u8, u8)]) -> Takeovers<u8> {
        let mut found = Takeovers::new();
        for (one, other) in pairs {
            found.entry(*one).or_default().insert(*other);
        }
        found
    }

    #[test]
    fn a_chain_has_no_cycle_and_each_cycle_is_found_once() {
        assert_eq!(cycles(&takeovers_of(&[(1, 2), (2, 3), (3, 4)])), Vec::<BTreeSet<u8>>::new());
        let two = takeovers_of(&[(1, 2), (2, 1), (3, 1), (4, 5), (5, 6), (6, 4), (6, 7)]);
        assert_eq!(cycles(&two), [BTreeSet::from([1, 2]), BTreeSet::from([4, 5, 6])]);
    }
}
