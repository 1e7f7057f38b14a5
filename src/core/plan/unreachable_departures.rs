//! Workers that cannot leave: the machine that a worker would leave must be reset, and the
//! router of its datacenter does not answer.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::present_routers::renamed_router;
use super::protection::blocked_for;
use super::waiting_changes;
use super::{Action, Change};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Source;
use crate::resource::{Address, Kind, ObjectKey, Resource, Site};

/// Blocks the moves and removals of workers whose machines cannot be reset, with the
/// changes that wait for them. Two kinds of VM need no reset: one whose Node is not Ready
/// and whose worker moves, because it is deleted before the worker joins elsewhere; and one
/// that is deleted with its worker.
pub(super) fn block(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let machines = Machines::of(input, decisions);
    let departures = decisions.values().filter_map(|decision| match decision {
        ResourceDecision::Change(change) => Some((change.address.clone(), machines.left(change)?)),
        _ => None,
    });
    let departures: Vec<(Address, Site)> = departures.collect();
    if departures.is_empty() {
        return;
    }
    let silent = SilentRouters::of(input, decisions);
    let mut causes: BTreeMap<Address, Address> = BTreeMap::new();
    let unreachable: BTreeMap<Address, Failure> = departures
        .into_iter()
        .filter_map(|(address, site)| {
            let failure = silent.at(input, &site)?.clone();
            let message = format!("{} leaves {site} and could not be reset there", address.name);
            causes.extend(unread_router(input, &site, decisions).map(|it| (address.clone(), it)));
            Some((address, failure.within(message)))
        })
        .collect();
    let removed: BTreeSet<Address> =
        unreachable.keys().filter(|address| is_removed(decisions.get(*address))).cloned().collect();
    waiting_changes::block_waiting(input, &removed, &unreachable, decisions);
    for (address, failure) in unreachable {
        let Some(ResourceDecision::Change(change)) = decisions.get(&address) else { continue };
        let blocked = blocked_for(change, failure, causes.remove(&address));
        decisions.insert(address, blocked.into());
    }
}

/// The router of a site, which may have another name now, if its host could not be read.
fn unread_router(
    input: Comparison<'_>,
    site: &Site,
    decisions: &ResourceDecisions,
) -> Option<Address> {
    let present = input.present_routers.get(site);
    let unread = decisions.iter().filter(|(address, decision)| {
        address.kind == Kind::RouterHost && matches!(decision, ResourceDecision::Unreadable(_))
    });
    let leads_there = |address: &&Address| {
        address.site == *site || present.is_some_and(|name| *name == address.name.as_str())
    };
    unread.map(|(address, _)| address).find(leads_there).cloned()
}

fn is_removed(decision: Option<&ResourceDecision>) -> bool {
    matches!(decision, Some(ResourceDecision::Change(change)) if change.action == Action::Delete)
}

/// The VMs that the topology owns.
struct Machines<'a> {
    /// By site and name.
    all: BTreeSet<(Site, String)>,
    /// Sites and names of machines that are deleted or replaced.
    ending: BTreeSet<(Site, String)>,
    input: Comparison<'a>,
}

impl<'a> Machines<'a> {
    fn of(input: Comparison<'a>, decisions: &ResourceDecisions) -> Self {
        let is_machine = |resource: &Resource| matches!(resource, Resource::VirtualMachine(_));
        let found = input.inventory.iter().filter(|(_, it)| is_machine(&it.resource));
        let named = found.filter_map(|(key, observed)| {
            Some((Site::from(observed.ownership.site()?), key.name().to_owned()))
        });
        let ending = decisions.iter().filter_map(|(address, decision)| match decision {
            ResourceDecision::Change(change)
                if address.kind == Kind::VirtualMachine
                    && matches!(change.action, Action::Delete | Action::Replace) =>
            {
                Some((address.site.clone(), change.key.name().to_owned()))
            }
            _ => None,
        });
        Self { all: named.collect(), ending: ending.collect(), input }
    }

    /// The site on which the machine that a worker leaves must be reset.
    fn left(&self, change: &Change) -> Option<Site> {
        let Some(Resource::Worker(worker)) = &change.before else { return None };
        let site = change.old_site().unwrap_or_else(|| change.address.site.clone());
        let machine = (site.clone(), worker.name.clone());
        let must_be_reset = match change.action {
            Action::Delete => !self.all.contains(&machine),
            Action::Replace if change.moves_from().is_some() => {
                worker.ready || !self.all.contains(&machine)
            }
            // Behind the router that the topology names it waits for that one.
            Action::Replace => {
                renamed_router(self.input, &site).is_some() && !self.ending.contains(&machine)
            }
            _ => false,
        };
        must_be_reset.then_some(site)
    }
}

/// Why the routers of datacenters do not answer.
struct SilentRouters {
    by_site: BTreeMap<Site, Failure>,
    /// Why it is unknown which router other sites have.
    of_others: Option<Failure>,
}

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
        for (site, failure) in missing_routers(input).chain(present_routers(input)) {
            silent.entry(site).or_insert(failure);
        }
        Self { by_site: silent, of_others: unknown_router(input) }
    }

    fn at(&self, input: Comparison<'_>, site: &Site) -> Option<&Failure> {
        let has_router = || {
            let mut desired = input.desired.iter();
            desired.any(|it| it.address.kind == Kind::RouterHost && it.address.site == *site)
        };
        self.by_site.get(site).or_else(|| self.of_others.as_ref().filter(|_| !has_router()))
    }
}

/// Why it is unknown which router leads to the hosts of a datacenter that left the topology:
/// only its Servers name it.
fn unknown_router(input: Comparison<'_>) -> Option<Failure> {
    let gap = input.inventory.gap_among(Kind::Server)?;
    let message = "it is unknown which router leads there: the Servers could not be read";
    Some(gap.failure.clone().within(message))
}

/// Datacenters of existing machines that left the topology and whose routers are not in the
/// tailnet.
fn missing_routers(input: Comparison<'_>) -> impl Iterator<Item = (Site, Failure)> {
    let missing = input.departed.iter().filter(|(_, it)| it.is_existing && it.router.is_none());
    missing.map(|(site, _)| {
        let failure = Failure::new(
            Code::RouterOffline,
            format!("the router of datacenter {site} is not in the tailnet"),
            "connect the router to the tailnet, then run the same command again; if the hosts are \
             gone for good, delete their Nodes with `kubectl delete node`",
        );
        (site.clone(), failure)
    })
}

fn unauthorized(router: &str) -> Failure {
    Failure::new(
        Code::RouterOffline,
        format!("router {router} is not authorized in the tailnet"),
        format!(
            "authorize the device {router} on the Machines page of the admin console, then run \
             the same command again; if the hosts are gone for good, delete their Nodes with \
             `kubectl delete node`"
        ),
    )
}

/// Routers that may have left the topology and are not connected, or whose hosts do not
/// answer.
fn present_routers(input: Comparison<'_>) -> impl Iterator<Item = (Site, Failure)> {
    input.present_routers.iter().filter_map(move |(site, router)| {
        let device = input.inventory.get(&ObjectKey::Device(router.clone()));
        let device = device.map(|it| &it.resource);
        let device = match device {
            Some(Resource::TailnetDevice(device)) => Some(device),
            _ => None,
        };
        // The plan authorizes the routers of the topology only.
        let is_listed = input
            .desired
            .iter()
            .any(|it| it.address.kind == Kind::TailnetDevice && it.address.name == router.as_str());
        if !is_listed && device.is_some_and(|it| !it.authorized) {
            return Some((site.clone(), unauthorized(router)));
        }
        let is_offline = device.is_some_and(|it| !it.online);
        if let Some(gap) = input.inventory.gap_at(&Source::Host(router.clone()))
            && !is_offline
        {
            return Some((site.clone(), gap.failure.clone()));
        }
        let failure = Failure::new(
            Code::RouterOffline,
            format!("router {router} is not connected to the tailnet"),
            "start the machine; or apply the new name of the router first, then the rest of the \
             edit",
        );
        is_offline.then(|| (site.clone(), failure))
    })
}
