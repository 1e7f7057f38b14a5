//! What is deferred, in groups that can be read.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::Deferred;
use crate::resource::Address;

/// Resources that wait for the same.
pub(super) struct Group<'a> {
    /// What of the plan or of the world they wait for in the end.
    pub(super) roots: Vec<&'a Address>,
    /// The resources; those alike, of one kind, side and action, together.
    pub(super) alike: Vec<Vec<&'a Deferred>>,
}

impl Group<'_> {
    /// What they wait for, in words.
    pub(super) fn roots(&self, quote: &str) -> String {
        let names = self.roots.iter().map(|root| format!("{quote}{root}{quote}"));
        let names = names.collect::<Vec<_>>().join(" and ");
        if names.is_empty() {
            "until more is known".to_owned()
        } else {
            format!("until {names} can be read")
        }
    }
}

/// The groups, those that wait for least first. Most of what is deferred waits
/// for something that is deferred itself; what that comes to is what counts.
pub(super) fn groups(deferred: &[Deferred]) -> Vec<Group<'_>> {
    let waits: BTreeMap<&Address, &[Address]> =
        deferred.iter().map(|one| (&one.address, one.waits_for.as_slice())).collect();
    let mut groups: BTreeMap<(usize, Vec<&Address>), Vec<Vec<&Deferred>>> = BTreeMap::new();
    for one in deferred {
        let roots = roots(&waits, &one.address);
        let group = groups.entry((roots.len(), roots.into_iter().collect())).or_default();
        match group.iter_mut().find(|known| is_alike(known, one)) {
            Some(known) => known.push(one),
            None => group.push(vec![one]),
        }
    }
    groups.into_iter().map(|((_, roots), alike)| Group { roots, alike }).collect()
}

fn is_alike(known: &[&Deferred], one: &Deferred) -> bool {
    let likeness = |one: &Deferred| (one.address.kind, one.address.side.clone(), one.action);
    known.first().is_some_and(|first| likeness(first) == likeness(one))
}

/// What a resource waits for through others that are deferred themselves.
fn roots<'a>(
    waits: &BTreeMap<&'a Address, &'a [Address]>,
    address: &'a Address,
) -> BTreeSet<&'a Address> {
    let (mut roots, mut seen, mut open) = (BTreeSet::new(), BTreeSet::new(), vec![address]);
    while let Some(address) = open.pop() {
        match waits.get(address) {
            Some(_) if !seen.insert(address) => {}
            Some(waits_for) => open.extend(*waits_for),
            None => drop(roots.insert(address)),
        }
    }
    roots
}
