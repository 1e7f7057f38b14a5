//! Workers that cannot leave: the machine that a worker would leave must be reset, and the
//! router of its datacenter does not answer.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::protection::blocked_for;
use super::{Action, Change};
use crate::diagnostics::Failure;
use crate::inventory::Source;
use crate::resource::{Address, Kind, ObjectKey, Resource, Site};

/// Blocks the moves of workers whose old machines cannot be reset. A VM whose Node is not
/// Ready need not be: it is deleted, and serves nothing until then.
pub(super) fn block(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let moves = decisions.values().filter_map(|decision| match decision {
        ResourceDecision::Change(change) if must_be_reset(input, change) => Some(change),
        _ => None,
    });
    let moves: Vec<(Address, Site)> =
        moves.filter_map(|change| Some((change.address.clone(), change.moves_from()?))).collect();
    if moves.is_empty() {
        return;
    }
    let silent = SilentRouters::of(input, decisions);
    for (address, site) in moves {
        let (Some(failure), Some(ResourceDecision::Change(change))) =
            (silent.at(&site), decisions.get(&address))
        else {
            continue;
        };
        let message = format!("{} could not be reset at {site}, which it leaves", address.name);
        let blocked = blocked_for(change, failure.clone().within(message), None);
        decisions.insert(address, blocked.into());
    }
}

fn must_be_reset(input: Comparison<'_>, change: &Change) -> bool {
    let Some(Resource::Worker(worker)) = &change.before else { return false };
    change.action == Action::Replace && (worker.ready || !has_vm(input, &worker.name))
}

fn has_vm(input: Comparison<'_>, name: &str) -> bool {
    input.inventory.iter().any(|(key, observed)| {
        matches!(observed.resource, Resource::VirtualMachine(_))
            && observed.ownership.is_ours()
            && key.name() == name
    })
}

/// Why the routers of datacenters do not answer.
struct SilentRouters {
    sites: BTreeMap<Site, Failure>,
    /// The sites whose routers the topology lists.
    listed: BTreeSet<Site>,
    /// Why a router does not answer that the topology does not list.
    departed: Option<Failure>,
}

impl SilentRouters {
    fn of(input: Comparison<'_>, decisions: &ResourceDecisions) -> Self {
        let mut silent = Self { sites: BTreeMap::new(), listed: BTreeSet::new(), departed: None };
        for (address, decision) in decisions {
            if !matches!(address.kind, Kind::RouterHost | Kind::TailnetDevice) {
                continue;
            }
            if input.desired.get(address).is_some() {
                silent.listed.insert(address.site.clone());
            }
            let failure = match decision {
                ResourceDecision::Unreadable(gap) => &gap.failure,
                ResourceDecision::Blocked(blocked) => &blocked.failure,
                _ => continue,
            };
            silent.sites.entry(address.site.clone()).or_insert_with(|| failure.clone());
        }
        silent.departed = departed_router(input);
        silent
    }

    fn at(&self, site: &Site) -> Option<&Failure> {
        let departed = || self.departed.as_ref().filter(|_| !self.listed.contains(site));
        self.sites.get(site).or_else(departed)
    }
}

/// Why a router's host could not be read that belongs to no router of the topology.
fn departed_router(input: Comparison<'_>) -> Option<Failure> {
    let is_listed = |name: &str| {
        input.desired.iter().any(|it| {
            matches!(it.address.kind, Kind::RouterHost | Kind::Worker) && it.address.name == name
        })
    };
    let mut gaps = input.inventory.gaps();
    let gap = gaps.find(|gap| match &gap.source {
        Source::Host(name) => {
            !is_listed(name) && input.inventory.get(&ObjectKey::Device(name.clone())).is_some()
        }
        _ => false,
    });
    gap.map(|gap| gap.failure.clone())
}
