//! Workers that get another range of pods in their datacenter: paths to the new range exist
//! before a worker is drained, and those to the old one are withdrawn once it has moved.

use std::collections::BTreeMap;

use ipnet::Ipv4Net;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::follow_ups::{FollowUp, FollowUps};
use super::withdrawal::{adds_path_to, sends_packets};
use super::{Action, Change};
use crate::resource::{Address, Kind, Resource};

/// The updates that lead packets to ranges of pods which workers are to get.
#[derive(Debug, Default)]
pub(super) struct NewPaths<'a> {
    /// The updates, by the workers that wait for them.
    before: BTreeMap<&'a Address, Vec<&'a Address>>,
}

impl<'a> NewPaths<'a> {
    pub(super) fn of(changes: &[&'a Change]) -> Self {
        let moving: Vec<(&Address, Ipv4Net)> =
            changes.iter().filter_map(|it| Some((&it.address, new_range(it)?))).collect();
        if moving.is_empty() {
            return Self::default();
        }
        let is_path = |change: &&&Change| {
            change.action == Action::Update
                && (sends_packets(change.address.kind) || change.address.kind == Kind::DaemonSet)
        };
        let paths: Vec<&Change> = changes.iter().filter(is_path).copied().collect();
        let before = moving.into_iter().map(|(worker, range)| {
            let leading = paths.iter().filter(|path| adds_path_to(path, &range));
            (worker, leading.map(|path| &path.address).collect())
        });
        Self { before: before.collect() }
    }

    /// The updates that a worker waits for before it is drained.
    pub(super) fn before_work(&self, change: &Change) -> impl Iterator<Item = &'a Address> {
        self.before.get(&change.address).into_iter().flatten().copied()
    }
}

/// The range that a worker gets instead of another one, without leaving its datacenter.
fn new_range(change: &Change) -> Option<Ipv4Net> {
    let (Some(Resource::Worker(before)), Some(Resource::Worker(after))) =
        (&change.before, &change.after)
    else {
        return None;
    };
    let stays = change.action == Action::Replace && change.moves_from().is_none();
    (stays && before.pod_cidr != after.pod_cidr).then_some(after.pod_cidr)
}

/// Shows the withdrawal of the paths to the old places of moved workers, which follows in
/// the same apply.
pub(super) fn defer_withdrawals(
    input: Comparison<'_>,
    decisions: &mut ResourceDecisions,
    follow_ups: &mut FollowUps,
) {
    let narrowed = input.desired.narrowed_later();
    if narrowed.is_empty() {
        return;
    }
    let moves = |decision: &ResourceDecision| match decision {
        ResourceDecision::Change(change) => new_range(change).is_some(),
        _ => false,
    };
    let moving = decisions.iter().filter(|(_, decision)| moves(decision));
    let moving: Vec<Address> = moving.map(|(address, _)| address.clone()).collect();
    if moving.is_empty() {
        return;
    }
    let follow_up = FollowUp {
        waits_for: moving,
        planned_because_of: "paths to the former pod CIDRs of workers are withdrawn",
        is_conditional: false,
    };
    for address in narrowed {
        follow_ups.add(address, &follow_up, decisions);
    }
}
