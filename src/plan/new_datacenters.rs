//! A new datacenter whose router or network is blocked: the plan is made without it. Routes,
//! rules and workers would lead to, or stand on, what is not there.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::held_back::{blocked_until, held_back_until};
use super::planning::{PlanningInput, compare_states, desired_state};
use super::{Blocked, Finding, Plan};
use crate::desired::{DesiredResource, allocate};
use crate::diagnostics::Code;
use crate::resource::{Address, Kind, Site};
use crate::topology::model::{Datacenter, Topology};

/// Makes a plan again without the new datacenters that cannot work, and blocks everything
/// that it would do for them.
pub(super) fn leave_out(input: PlanningInput<'_>, findings: &[Finding], whole: Plan) -> Plan {
    if input.options.destroy || input.options.worker_request.is_some() {
        return whole;
    }
    let causes = unusable(input, &whole);
    if causes.is_empty() {
        return whole;
    }
    let is_held =
        |datacenter: &Datacenter| causes.contains_key(&Site::Datacenter(datacenter.name.clone()));
    let mut topology: Topology = input.topology.clone();
    topology.datacenters.retain(|datacenter| !is_held(datacenter));
    let mut findings = findings.to_vec();
    let allocation = allocate(&topology, input.facts).map(Arc::new);
    let desired = desired_state(&topology, input.facts, allocation, &mut findings);
    let input = PlanningInput { topology: &topology, ..input };
    merge(compare_states(input, findings, desired), whole, &causes)
}

/// The rest of a plan, with the blocked changes of the datacenters that are left out.
fn merge(rest: Plan, whole: Plan, causes: &BTreeMap<Site, Cause>) -> Plan {
    let Plan { contents: mut merged, .. } = rest;
    let Plan { contents, desired } = whole;
    let cause = |address: &Address| causes.get(&address.site);
    let changes = contents.changes.iter().filter_map(|change| {
        let Cause { address, code } = cause(&change.address)?;
        Some(held_back_until(change, address, *code))
    });
    let deferred = contents.deferred.iter().filter_map(|deferred| {
        let Cause { address, code } = cause(&deferred.address)?;
        Some(blocked_until(deferred, address, *code))
    });
    merged.blocked.extend(changes.chain(deferred));
    merged.blocked.extend(contents.blocked.into_iter().filter(|it| cause(&it.address).is_some()));
    merged.blocked.sort_by(|one, other| one.address.cmp(&other.address));
    // A blocked router explains why its host could not be read.
    merged.gaps = contents.gaps;
    Plan { contents: merged, desired }
}

/// What blocks a datacenter.
struct Cause {
    address: Address,
    code: Code,
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
        // What waits for another site is held back with that.
        if address.site == site {
            causes.insert(site, Cause { address, code: first.failure.code });
        }
    }
    causes
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
        // The host of a router is there before it is the topology's.
        let may_be_hidden = desired.address.kind != Kind::RouterHost
            && inventory.gap_for(desired.address.kind, key).is_some();
        !may_be_hidden && !observed.is_some_and(|it| it.ownership.is_ours())
    };
    let mut desired = plan.desired().iter().filter(|it| it.address.site == *site);
    let is_left = inventory.iter().any(|(_, it)| it.site().as_ref() == Some(site));
    desired.all(is_absent) && !is_left
}
