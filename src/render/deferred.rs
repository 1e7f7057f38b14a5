//! Deferred resources, grouped by the resources that they wait for.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::{Action, Deferred};
use crate::resource::Address;

/// The order of groups: whether they are conditional, the number of their roots, and the
/// roots.
type GroupOrder<'a> = (bool, usize, Vec<&'a Address>);

/// Resources that wait for the same resources.
pub(super) struct Group<'a> {
    /// The resources they wait for, other deferred resources left out.
    pub(super) roots: Vec<&'a Address>,
    /// The resources; those of one kind, site and action together.
    pub(super) similar: Vec<Vec<&'a Deferred>>,
}

impl Group<'_> {
    /// The resources that they wait for, as text.
    pub(super) fn roots(&self, quote: &str) -> String {
        let names = self.roots.iter().map(|root| format!("{quote}{root}{quote}"));
        let names = names.collect::<Vec<_>>().join(" and ");
        match (names.is_empty(), self.is_conditional()) {
            (true, _) => "waiting for values that are not known yet".to_owned(),
            (false, false) => format!("waiting for {names}"),
            (false, true) => {
                format!("only if nodes of {names} get other pod CIDRs; not counted")
            }
        }
    }

    fn is_conditional(&self) -> bool {
        self.similar.iter().flatten().all(|one| one.is_conditional)
    }
}

/// The groups, those that wait for the fewest resources first. Most deferred
/// resources wait for other deferred resources; only the roots are reported.
pub(super) fn groups(deferred: &[Deferred]) -> Vec<Group<'_>> {
    // Changes that wait for a deletion follow it in the output.
    let others = deferred.iter().filter(|one| one.action != Action::Delete);
    let waits: BTreeMap<&Address, &[Address]> =
        others.map(|one| (&one.address, one.waits_for.as_slice())).collect();
    let mut groups: BTreeMap<GroupOrder<'_>, Vec<Vec<&Deferred>>> = BTreeMap::new();
    for one in deferred {
        let roots = roots(&waits, one);
        let key = (one.is_conditional, roots.len(), roots.into_iter().collect());
        let group = groups.entry(key).or_default();
        match group.iter_mut().find(|known| is_similar(known, one)) {
            Some(known) => known.push(one),
            None => group.push(vec![one]),
        }
    }
    groups.into_iter().map(|((_, _, roots), similar)| Group { roots, similar }).collect()
}

fn is_similar(known: &[&Deferred], one: &Deferred) -> bool {
    let criteria = |one: &Deferred| (one.address.kind, one.address.site.clone(), one.action);
    known.first().is_some_and(|first| criteria(first) == criteria(one))
}

/// The resources that a resource waits for, directly or through other deferred resources.
fn roots<'a>(
    waits: &BTreeMap<&'a Address, &'a [Address]>,
    one: &'a Deferred,
) -> BTreeSet<&'a Address> {
    let (mut roots, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut open: Vec<&Address> = one.waits_for.iter().collect();
    while let Some(address) = open.pop() {
        match waits.get(address) {
            Some(_) if !seen.insert(address) => {}
            Some(waits_for) => open.extend(*waits_for),
            None => drop(roots.insert(address)),
        }
    }
    roots
}
