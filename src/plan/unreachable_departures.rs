//! Workers that cannot leave: the machine that a worker would leave must be reset, and the
//! router of its datacenter does not answer.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::protection::blocked_for;
use super::{Action, Change};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Source;
use crate::resource::{Address, Kind, ObjectKey, Resource, Site};

/// Blocks the moves of workers whose old machines cannot be reset. A VM whose Node is not
/// Ready need not be: it is deleted before the worker joins elsewhere.
pub(super) fn block(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let machines = machines(input);
    let moves = decisions.values().filter_map(|decision| match decision {
        ResourceDecision::Change(change) if must_be_reset(change, &machines) => Some(change),
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

/// Whether the machine that a worker leaves must be reset, given the VMs of each site.
fn must_be_reset(change: &Change, machines: &BTreeSet<(Site, String)>) -> bool {
    let Some(Resource::Worker(worker)) = &change.before else { return false };
    let Some(site) = change.moves_from().filter(|_| change.action == Action::Replace) else {
        return false;
    };
    worker.ready || !machines.contains(&(site, worker.name.clone()))
}

/// The VMs that the topology owns, by site and name.
fn machines(input: Comparison<'_>) -> BTreeSet<(Site, String)> {
    let is_machine = |resource: &Resource| matches!(resource, Resource::VirtualMachine(_));
    let found = input.inventory.iter().filter(|(_, it)| is_machine(&it.resource));
    let named = found.filter_map(|(key, observed)| {
        Some((Site::from(observed.ownership.site()?), key.name().to_owned()))
    });
    named.collect()
}

/// Why the routers of datacenters do not answer.
struct SilentRouters(BTreeMap<Site, Failure>);

impl SilentRouters {
    fn of(input: Comparison<'_>, decisions: &ResourceDecisions) -> Self {
        let mut silent = BTreeMap::new();
        for (address, decision) in decisions {
            if !matches!(address.kind, Kind::RouterHost | Kind::TailnetDevice) {
                continue;
            }
            let failure = match decision {
                ResourceDecision::Unreadable(gap) => &gap.failure,
                ResourceDecision::Blocked(it) if it.failure.code == Code::RouterOffline => {
                    &it.failure
                }
                _ => continue,
            };
            silent.entry(address.site.clone()).or_insert_with(|| failure.clone());
        }
        for (site, failure) in departed_routers(input) {
            silent.entry(site).or_insert(failure);
        }
        Self(silent)
    }

    fn at(&self, site: &Site) -> Option<&Failure> {
        self.0.get(site)
    }
}

/// Routers that the topology does not list any more and whose hosts do not answer, by the
/// site that their devices are recorded for.
fn departed_routers(input: Comparison<'_>) -> impl Iterator<Item = (Site, Failure)> {
    input.inventory.gaps().filter_map(move |gap| {
        let Source::Host(name) = &gap.source else { return None };
        let device = input.inventory.get(&ObjectKey::Device(name.clone()))?;
        Some((Site::from(device.ownership.site()?), gap.failure.clone()))
    })
}
