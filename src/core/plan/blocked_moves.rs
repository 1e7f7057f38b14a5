//! A worker that may not move keeps everything that it depends on: its machine at the old
//! place and the routes to its pods. A worker whose machine may not be deleted does not
//! move.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::protection::blocked_for;
use super::{Action, Change};
use crate::desired::names::machine_of;
use crate::diagnostics::Failure;
use crate::resource::host::JoinedWorker;
use crate::resource::{Address, Kind, Resource};

/// Blocks changes to the machines and routes of workers that are blocked or unread, and the
/// moves of workers whose old machine is blocked.
pub(super) fn block(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    // A plan that destroys wants no worker, and has rules of its own.
    if input.desired.is_empty() {
        return;
    }
    let staying = StayingWorkers::of(input, decisions);
    let machines = blocked_machines(decisions);
    if staying.by_name.is_empty() && machines.is_empty() {
        return;
    }
    for decision in decisions.values_mut() {
        let ResourceDecision::Change(change) = decision else { continue };
        let found = staying.needs(change).or_else(|| holds_machine(&machines, change));
        let Some((cause, failure)) = found else { continue };
        let message = format!("{} stays as it is, because {cause} does", change.address);
        let failure = failure.clone().within(message);
        *decision = blocked_for(change, failure, Some(cause.clone())).into();
    }
}

type Reason<'a> = (&'a Address, &'a Failure);

/// Workers that stay where they are.
#[derive(Default)]
struct StayingWorkers {
    /// By name, with the reason.
    by_name: BTreeMap<String, (Address, Failure)>,
    /// Their pod CIDRs at present, of those that were to move.
    pod_cidrs: Vec<(Ipv4Net, String)>,
    /// Blocked workers: machines and routes created for them would be unused.
    blocked: BTreeSet<String>,
}

impl StayingWorkers {
    fn of(input: Comparison<'_>, decisions: &ResourceDecisions) -> Self {
        let mut staying = Self::default();
        for (address, decision) in decisions.iter().filter(|(it, _)| it.kind == Kind::Worker) {
            let failure = match decision {
                ResourceDecision::Blocked(blocked) => blocked.failure.clone(),
                ResourceDecision::Unreadable(gap) => gap.failure.clone(),
                _ => continue,
            };
            let Some(desired) = input.desired.get(address) else { continue };
            let Resource::Worker(worker) = &desired.resource else { continue };
            if matches!(decision, ResourceDecision::Blocked(_)) {
                staying.blocked.insert(worker.name.clone());
            }
            let observed = desired.key.as_ref().and_then(|key| input.inventory.get(key));
            if let Some(observed) = observed
                && let Resource::Worker(live) = &observed.resource
                && (observed.site().is_some_and(|site| site != desired.address.site)
                    || has_moved(live, worker))
            {
                staying.pod_cidrs.push((live.pod_cidr, worker.name.clone()));
            }
            staying.by_name.insert(worker.name.clone(), (desired.address.clone(), failure));
        }
        staying
    }

    /// The worker that needs an object that the change deletes, and why the worker stays.
    fn needs(&self, change: &Change) -> Option<Reason<'_>> {
        let takes_away = matches!(change.action, Action::Delete | Action::Replace);
        let name = match change.address.kind {
            Kind::VirtualMachine if takes_away => change.key.name(),
            Kind::NetworkInterface if takes_away => machine_of(change.key.name())?,
            Kind::VirtualMachine | Kind::NetworkInterface => self.blocked.get(made_for(change)?)?,
            Kind::Server => {
                &self.pod_cidrs.iter().find(|it| it.1 == change.address.name.as_str())?.1
            }
            _ => {
                let ends = |(prefix, _): &&(Ipv4Net, String)| ends_route(change, *prefix);
                &self.pod_cidrs.iter().find(ends)?.1
            }
        };
        self.by_name.get(name).map(|(address, failure)| (address, failure))
    }
}

/// The worker that a machine is created for.
fn made_for(change: &Change) -> Option<&str> {
    let is_created = change.action == Action::Create;
    match change.address.kind {
        Kind::VirtualMachine if is_created => Some(change.key.name()),
        Kind::NetworkInterface if is_created => machine_of(change.key.name()),
        _ => None,
    }
}

fn has_moved(live: &JoinedWorker, desired: &JoinedWorker) -> bool {
    (live.ip, live.pod_cidr) != (desired.ip, desired.pod_cidr)
}

/// Machines that may not go, by the name of their worker.
fn blocked_machines(decisions: &ResourceDecisions) -> BTreeMap<String, (Address, Failure)> {
    let blocked = decisions.values().filter_map(|decision| match decision {
        ResourceDecision::Blocked(blocked) => Some(blocked),
        _ => None,
    });
    blocked
        .filter(|it| it.address.kind == Kind::VirtualMachine && it.action == Action::Delete)
        .map(|it| (it.address.name.to_string(), (it.address.clone(), it.failure.clone())))
        .collect()
}

/// The machine of a worker that would be taken from it, if the machine stays.
fn holds_machine<'a>(
    machines: &'a BTreeMap<String, (Address, Failure)>,
    change: &Change,
) -> Option<Reason<'a>> {
    let Some(Resource::Worker(worker)) = &change.before else { return None };
    let (address, failure) = machines.get(&worker.name)?;
    (address.site != change.address.site).then_some((address, failure))
}

/// Whether a change withdraws a route for a prefix, or sends it elsewhere.
fn ends_route(change: &Change, prefix: Ipv4Net) -> bool {
    let Some(before) = &change.before else { return false };
    let hop = next_hop(before, prefix);
    hop.is_some() && hop != change.after.as_ref().and_then(|after| next_hop(after, prefix))
}

/// Where a resource sends a prefix, as text; `None` if it has no route for it.
fn next_hop(resource: &Resource, prefix: Ipv4Net) -> Option<String> {
    match resource {
        Resource::RouteTable(table) => {
            table.routes.known()?.get(&prefix).map(|route| format!("{route:?}"))
        }
        Resource::Route(route) => {
            (route.address_prefix == prefix).then(|| format!("{:?}", route.next_hop))
        }
        Resource::RouterHost(router) => {
            router.kernel_routes.known()?.get(&prefix).map(|route| format!("{route:?}"))
        }
        Resource::AdvertisedRoutes(routes) | Resource::ApprovedRoutes(routes) => {
            routes.prefixes.known()?.contains(&prefix).then(String::new)
        }
        _ => None,
    }
}
