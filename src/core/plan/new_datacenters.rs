//! New datacenters whose router or network is blocked, new workers that are blocked, and new
//! datacenters and workers that packets would not reach: the plan is made without them, because
//! routes, rules and records would be for missing resources.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::held_back::{blocked_until, held_back_until};
use super::ignored_routes::WithheldRoutes;
use super::planning::{PlanningInput, compare_states, desired_state};
use super::protection::blocked_for;
use super::succession::worker_of;
use super::{Action, Blocked, Change, Finding, Plan};
use crate::desired::{DesiredResource, allocate, names};
use crate::diagnostics::{Code, Failure};
use crate::resource::{Address, Kind, Site};
use crate::topology::model::{Datacenter, Topology};

/// Makes a plan again without the new datacenters and workers that cannot work, and blocks
/// everything that it would do for them.
pub(super) fn leave_out(input: PlanningInput<'_>, findings: &[Finding], whole: Plan) -> Plan {
    if input.options.destroy || input.options.worker_request.is_some() {
        return whole;
    }
    let causes = Causes::of(input, &whole);
    if causes.sites.is_empty() && causes.workers.is_empty() {
        return whole;
    }
    let mut topology: Topology = input.topology.clone();
    causes.remove_from(&mut topology);
    let mut findings = findings.to_vec();
    let allocation = allocate(&topology, input.facts).map(Arc::new);
    let desired = desired_state(&topology, input.facts, allocation, &mut findings);
    let input = PlanningInput { topology: &topology, ..input };
    merge(compare_states(input, findings, desired), whole, &causes)
}

/// The rest of a plan, with the blocked changes of the omitted datacenters and workers.
fn merge(rest: Plan, whole: Plan, causes: &Causes) -> Plan {
    let Plan { contents: mut merged, .. } = rest;
    let Plan { contents, desired } = whole;
    let changes = contents.changes.iter();
    let changes = changes.filter_map(|change| Some(causes.at(&change.address)?.blocked(change)));
    let deferred = contents.deferred.iter().filter_map(|deferred| {
        let Cause { address, code, .. } = causes.at(&deferred.address)?;
        Some(blocked_until(deferred, address, *code))
    });
    merged.blocked.extend(changes.chain(deferred));
    let blocked = contents.blocked.into_iter();
    merged.blocked.extend(blocked.filter(|it| causes.at(&it.address).is_some()));
    merged.blocked.sort_by(|one, other| one.address.cmp(&other.address));
    // A blocked router explains why its host could not be read.
    merged.gaps = contents.gaps;
    Plan { contents: merged, desired }
}

/// The change that blocks a datacenter or a worker.
struct Cause {
    address: Address,
    code: Code,
    /// The reason, unless the change of that resource is blocked itself.
    reason: Option<Failure>,
}

impl Cause {
    fn blocked(&self, change: &Change) -> Blocked {
        match &self.reason {
            Some(reason) if change.address == self.address => {
                blocked_for(change, reason.clone(), None)
            }
            _ => held_back_until(change, &self.address, self.code),
        }
    }
}

/// Omitted datacenters and workers, each with its cause.
struct Causes {
    sites: BTreeMap<Site, Cause>,
    /// By the address of the worker.
    workers: BTreeMap<Address, Cause>,
}

impl Causes {
    fn of(input: PlanningInput<'_>, plan: &Plan) -> Self {
        let withheld = WithheldRoutes::of(plan);
        let mut sites = unusable(input, plan);
        for datacenter in &input.topology.datacenters {
            let site = Site::Datacenter(datacenter.name.clone());
            if sites.contains_key(&site) {
                continue;
            }
            let Some(reason) = withheld.to_datacenter(datacenter) else { continue };
            let first = plan.changes.iter().map(|it| &it.address).find(|it| it.site == site);
            if let Some(address) = first.filter(|_| is_new(input, plan, &site)).cloned() {
                let code = reason.code;
                sites.insert(site, Cause { address, code, reason: Some(reason) });
            }
        }
        let workers = withheld.to_workers(input.topology).into_iter();
        let workers = workers.filter(|(address, _)| !sites.contains_key(&address.site));
        let cause = |(address, reason): (Address, Failure)| {
            let code = reason.code;
            (address.clone(), Cause { address, code, reason: Some(reason) })
        };
        let mut workers: BTreeMap<Address, Cause> = workers.map(cause).collect();
        for (address, cause) in blocked_workers(input, plan) {
            if !sites.contains_key(&address.site) {
                workers.entry(address).or_insert(cause);
            }
        }
        Self { sites, workers }
    }

    /// The cause, if the resource belongs to an omitted datacenter or worker.
    fn at(&self, address: &Address) -> Option<&Cause> {
        let of_worker = || {
            if self.workers.is_empty() {
                return None;
            }
            let kind = Kind::Worker;
            let own = || match address.kind {
                Kind::Server | Kind::CiliumNode | Kind::VirtualMachine => {
                    Some(Address { kind, ..address.clone() })
                }
                _ => None,
            };
            self.workers.get(&worker_of(address).or_else(own)?)
        };
        self.sites.get(&address.site).or_else(of_worker)
    }

    fn remove_from(&self, topology: &mut Topology) {
        let site = |datacenter: &Datacenter| Site::Datacenter(datacenter.name.clone());
        topology.datacenters.retain(|it| !self.sites.contains_key(&site(it)));
        for datacenter in &mut topology.datacenters {
            let site = site(datacenter);
            datacenter.workers.retain(|worker| {
                let address = Address::new(Kind::Worker, site.clone(), &worker.name);
                !self.workers.contains_key(&address)
            });
        }
    }
}

/// The new datacenters of which something is blocked that all the rest stands on.
fn unusable(input: PlanningInput<'_>, plan: &Plan) -> BTreeMap<Site, Cause> {
    let mut causes = BTreeMap::new();
    for datacenter in &input.topology.datacenters {
        let site = Site::Datacenter(datacenter.name.clone());
        let blocked = plan.blocked.iter().filter(|it| it.address.site == site);
        let mut essential = blocked.filter(|it| is_essential(it, datacenter));
        let Some(first) = essential.next().filter(|_| is_new(input, plan, &site)) else {
            continue;
        };
        let address = first.caused_by.as_ref().unwrap_or(&first.address).clone();
        // A change that waits for another site is held back with that site.
        if address.site == site {
            causes.insert(site, Cause { address, code: first.failure.code, reason: None });
        }
    }
    causes
}

/// The new workers that are blocked and of which nothing exists. A plan without changes would
/// make nothing for them.
fn blocked_workers<'a>(
    input: PlanningInput<'a>,
    plan: &'a Plan,
) -> impl Iterator<Item = (Address, Cause)> + use<'a> {
    let joins = |it: &&Blocked| it.address.kind == Kind::Worker && it.action == Action::Create;
    let blocked = plan.blocked.iter().filter(|_| !plan.changes.is_empty()).filter(joins);
    let absent = blocked.filter(move |it| is_absent(input, plan, &it.address));
    absent.map(|it| {
        let address = it.caused_by.as_ref().unwrap_or(&it.address).clone();
        (it.address.clone(), Cause { address, code: it.failure.code, reason: None })
    })
}

/// Whether nothing of a worker exists, at any place, or may be hidden.
fn is_absent(input: PlanningInput<'_>, plan: &Plan, worker: &Address) -> bool {
    let name = worker.name.as_str();
    let kinds = [
        Kind::Worker,
        Kind::Server,
        Kind::CiliumNode,
        Kind::VirtualMachine,
        Kind::NetworkInterface,
    ];
    let interface = names::interface(name);
    let is_part = |kind: Kind, found: &str| {
        kinds.contains(&kind) && (found == name || found == interface.as_str())
    };
    let desired = plan.desired().iter().filter(|it| it.address.site == worker.site);
    let mut desired = desired.filter(|it| is_part(it.address.kind, it.address.name.as_str()));
    let mut live = input.inventory.iter();
    // The parts of a worker that waits for the place of another one are not desired yet.
    plan.desired().get(worker).is_some()
        && !live.any(|(key, it)| is_part(it.resource.kind(), key.name()))
        && !desired.any(|it| input.inventory.gap_for(it.address.kind, it.key.as_ref()).is_some())
}

/// Whether everything in a datacenter stands on a blocked resource: it is no part of one
/// worker.
fn is_essential(blocked: &Blocked, datacenter: &Datacenter) -> bool {
    let Address { kind, name, .. } = &blocked.address;
    match kind {
        Kind::Worker | Kind::Server | Kind::CiliumNode | Kind::NetworkInterface => false,
        Kind::VirtualMachine => *name == datacenter.router.name.as_str(),
        _ => true,
    }
}

/// Whether the topology owns nothing of a datacenter yet, and nothing may be hidden.
fn is_new(input: PlanningInput<'_>, plan: &Plan, site: &Site) -> bool {
    let inventory = input.inventory;
    let is_absent = |desired: &DesiredResource| {
        let key = desired.key.as_ref();
        let observed = key.and_then(|key| inventory.get(key));
        // The host of a router exists before it belongs to the topology.
        let may_be_hidden = desired.address.kind != Kind::RouterHost
            && inventory.gap_for(desired.address.kind, key).is_some();
        !may_be_hidden && !observed.is_some_and(|it| it.ownership.is_ours())
    };
    let mut desired = plan.desired().iter().filter(|it| it.address.site == *site);
    let is_left = inventory.iter().any(|(_, it)| it.site().as_ref() == Some(site));
    desired.all(is_absent) && !is_left
}
