//! The order of workers that take over addresses or ranges from other workers.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Action, Change};
use crate::desired::components::components;
use crate::desired::names::machine_of;
use crate::resource::{Address, Kind};

/// For each object, the objects whose address or range it takes over.
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

/// The workers of a plan that take over addresses or pod CIDRs of workers that are
/// recreated elsewhere, or that wait for others to leave.
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
    add_waits_for_paths(changes, &mut found);
    found
}

/// Adds the workers that wait for an update of paths which itself waits until other workers
/// have left.
fn add_waits_for_paths(changes: &[Change], found: &mut Takeovers<Address>) {
    let waits = |change: &&Change| {
        change.action == Action::Update && !change.create_after_destroy_of.is_empty()
    };
    let updates: BTreeMap<&Address, &Change> =
        changes.iter().filter(waits).map(|change| (&change.address, change)).collect();
    let workers =
        changes.iter().filter(|it| it.address.kind == Kind::Worker && !updates.is_empty());
    for worker in workers {
        let paths = worker.destroy_after.iter().chain(&worker.depends_on);
        let paths = paths.filter_map(|path| updates.get(path));
        let leaving = paths.flat_map(|path| path.create_after_destroy_of.iter());
        let leaving = leaving.filter(|it| it.kind == Kind::Worker && **it != worker.address);
        let leaving: BTreeSet<Address> = leaving.cloned().collect();
        if !leaving.is_empty() {
            found.entry(worker.address.clone()).or_default().extend(leaving);
        }
    }
}

/// Cycles of takeovers, each once: no member can be created before all of them are deleted.
pub(super) fn cycles<K: Ord + Clone>(takeovers: &Takeovers<K>) -> Vec<BTreeSet<K>> {
    let all =
        components(takeovers.keys(), |key| takeovers.get(key).into_iter().flatten().collect());
    let cycles = all.into_iter().filter(|component| component.is_cycle);
    let mut cycles: Vec<BTreeSet<K>> =
        cycles.map(|it| it.nodes.into_iter().cloned().collect()).collect();
    cycles.sort();
    cycles
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
