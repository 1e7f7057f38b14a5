//! Workers that get another range of pods: paths to the new range exist before a worker is
//! drained, and those to the old one are withdrawn once it has moved. A range that another
//! worker of the plan has, or the worker itself at its present place, is led to the new place
//! between the two halves of the replacement.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::follow_ups::{FollowUp, FollowUps};
use super::withdrawal::{adds_path_to, changes_paths, gained, redirected, sends_packets};
use super::{Action, Change, Deferred};
use crate::net::prefix::overlaps;
use crate::net::range_index::RangeIndex;
use crate::resource::host::JoinedWorker;
use crate::resource::{Address, Kind, Resource};

/// The updates that lead packets to ranges of pods which workers are to get.
#[derive(Debug, Default)]
pub(super) struct NewPaths<'a> {
    /// The updates before a worker is drained, by worker.
    before_work: BTreeMap<&'a Address, Vec<&'a Address>>,
    /// The updates between the two halves of a worker's replacement, by worker.
    before_creation: BTreeMap<&'a Address, Vec<&'a Address>>,
    /// The workers that such an update waits for, by update.
    after_destroy: BTreeMap<&'a Address, BTreeSet<&'a Address>>,
    /// The ranges of workers that leave for good.
    left: Vec<(Ipv4Net, &'a Address)>,
}

impl<'a> NewPaths<'a> {
    pub(super) fn of(changes: &[&'a Change]) -> Self {
        let moves = moves(changes);
        let mut found = Self { left: removed_ranges(changes), ..Self::default() };
        if moves.is_empty() {
            return found;
        }
        let is_path = |change: &&&Change| {
            changes_paths(change)
                && (sends_packets(change.address.kind) || change.address.kind == Kind::DaemonSet)
        };
        let paths: Vec<&Change> = changes.iter().filter(is_path).copied().collect();
        let redirected: Vec<BTreeSet<Ipv4Net>> =
            paths.iter().map(|path| redirected(path)).collect();
        let held = HeldRanges::of(&moves);
        let mut free = Vec::new();
        for one in &moves {
            let holders = held.holders(one);
            if holders.is_empty() {
                free.extend((!one.is_elsewhere).then_some(one));
                continue;
            }
            let range = one.after.pod_cidr;
            let changes_path =
                |prefixes: &BTreeSet<Ipv4Net>| prefixes.iter().any(|it| overlaps(it, &range));
            let switched = paths.iter().zip(&redirected).filter(|(_, it)| changes_path(it));
            for (path, _) in switched {
                found.before_creation.entry(one.address).or_default().push(&path.address);
                found.after_destroy.entry(&path.address).or_default().extend(&holders);
            }
        }
        free.into_iter().for_each(|one| found.add_paths_to_free_range(one, &paths));
        found
    }

    /// Adds the updates that lead to a range that no other worker has. They come before the
    /// worker is drained, but for those that lead its present range to another worker.
    fn add_paths_to_free_range(&mut self, one: &Move<'a>, paths: &[&'a Change]) {
        let leading = paths.iter().filter(|path| adds_path_to(path, &one.after.pod_cidr));
        let waits = |path: &Address| {
            self.after_destroy.get(path).is_some_and(|holders| holders.contains(one.address))
        };
        let (after, before): (Vec<&Address>, Vec<&Address>) =
            leading.map(|path| &path.address).partition(|path| waits(path));
        self.before_work.insert(one.address, before);
        if !after.is_empty() {
            self.before_creation.insert(one.address, after);
        }
    }

    /// The updates that a worker waits for before it is drained.
    pub(super) fn before_work(&self, change: &Change) -> impl Iterator<Item = &'a Address> {
        self.before_work.get(&change.address).into_iter().flatten().copied()
    }

    /// The updates that a worker waits for after it has left its present place.
    pub(super) fn before_creation(&self, change: &Change) -> impl Iterator<Item = &'a Address> {
        self.before_creation.get(&change.address).into_iter().flatten().copied()
    }

    /// The workers that leave for good before an update leads their ranges elsewhere.
    pub(super) fn after_removal(&self, change: &Change) -> Vec<&'a Address> {
        let is_path = changes_paths(change) && sends_packets(change.address.kind);
        if !is_path || self.left.is_empty() {
            return Vec::new();
        }
        let gained = gained(change);
        let is_gained = |range: &Ipv4Net| gained.iter().any(|prefix| prefix.contains(range));
        let left = self.left.iter().filter(|(range, _)| is_gained(range));
        left.map(|(_, worker)| *worker).collect()
    }

    /// The workers that leave their present places before an update.
    pub(super) fn after_destroy(&self, change: &Change) -> impl Iterator<Item = &'a Address> {
        self.after_destroy.get(&change.address).into_iter().flatten().copied()
    }
}

/// The ranges of workers that leave for good.
fn removed_ranges<'a>(changes: &[&'a Change]) -> Vec<(Ipv4Net, &'a Address)> {
    let left = changes.iter().filter_map(|change| match (&change.before, change.action) {
        (Some(Resource::Worker(worker)), Action::Delete) => {
            Some((worker.pod_cidr, &change.address))
        }
        _ => None,
    });
    left.filter(|(range, _)| *range != JoinedWorker::NO_POD_CIDR).collect()
}

/// A worker that leaves a place for another one.
struct Move<'a> {
    address: &'a Address,
    before: &'a JoinedWorker,
    after: &'a JoinedWorker,
    /// Whether it moves to another datacenter.
    is_elsewhere: bool,
}

fn moves<'a>(changes: &[&'a Change]) -> Vec<Move<'a>> {
    let is_vm = |change: &&&Change| change.address.kind == Kind::VirtualMachine;
    let machines = changes.iter().filter(is_vm);
    let machines: BTreeSet<_> =
        machines.map(|it| (&it.address.site, it.address.name.as_str())).collect();
    let moves = changes.iter().filter_map(|change| {
        let (Some(Resource::Worker(before)), Some(Resource::Worker(after)), Action::Replace) =
            (&change.before, &change.after, change.action)
        else {
            return None;
        };
        let is_elsewhere = change.moves_from().is_some();
        // A machine whose operator gave it another address is there already.
        let has_machine = machines.contains(&(&change.address.site, change.address.name.as_str()));
        let moves = is_elsewhere
            || before.pod_cidr != after.pod_cidr
            || before.ip != after.ip && has_machine;
        moves.then_some(Move { address: &change.address, before, after, is_elsewhere })
    });
    moves.collect()
}

/// The present ranges of workers that move.
struct HeldRanges<'a>(RangeIndex<&'a Address>);

impl<'a> HeldRanges<'a> {
    fn of(moves: &[Move<'a>]) -> Self {
        let set = moves.iter().filter(|one| one.before.pod_cidr != JoinedWorker::NO_POD_CIDR);
        Self(set.map(|one| (one.before.pod_cidr, one.address)).collect())
    }

    /// The workers that have a part of another one's next range, that one included.
    fn holders(&self, one: &Move<'_>) -> Vec<&'a Address> {
        let Self(held) = self;
        held.overlapping(&one.after.pod_cidr).map(|(_, holder)| *holder).collect()
    }
}

/// Whether a worker gets another range within its datacenter.
fn gets_range(change: &Change) -> bool {
    let (Some(Resource::Worker(before)), Some(Resource::Worker(after))) =
        (&change.before, &change.after)
    else {
        return false;
    };
    let stays = change.action == Action::Replace && change.moves_from().is_none();
    stays && before.pod_cidr != after.pod_cidr
}

/// Shows the withdrawal of the paths to the old places of moved workers, which follows in
/// the same apply.
pub(super) fn defer_withdrawals(
    input: Comparison<'_>,
    decisions: &mut ResourceDecisions,
    follow_ups: &mut FollowUps,
) {
    let (narrowed, withdrawn) = (input.desired.narrowed_later(), input.desired.withdrawn_later());
    if narrowed.is_empty() && withdrawn.is_empty() {
        return;
    }
    let moves = |decision: &ResourceDecision| match decision {
        ResourceDecision::Change(change) => gets_range(change),
        _ => false,
    };
    let moving = decisions.iter().filter(|(_, decision)| moves(decision));
    let moving: Vec<Address> = moving.map(|(address, _)| address.clone()).collect();
    if moving.is_empty() {
        return;
    }
    for address in withdrawn {
        follow_ups.add_known(withdrawal(address, &moving), decisions);
    }
    let follow_up =
        FollowUp { waits_for: moving, planned_because_of: WITHDRAWAL, is_conditional: false };
    for address in narrowed {
        follow_ups.add(address, &follow_up, decisions);
    }
}

/// The deletion of a single route to places that workers leave.
pub(super) fn withdrawal(route: &Address, moving: &[Address]) -> Deferred {
    Deferred {
        waits_for: moving.to_vec(),
        ..Deferred::new(route.clone(), Action::Delete, WITHDRAWAL)
    }
}

/// Why an object that leads to former places is changed again.
pub(super) const WITHDRAWAL: &str = "paths to the former pod CIDRs of workers are withdrawn";
