//! Deletions that a destroy withholds while the cluster, or the routers in the tailnet, could not
//! be read.

use std::collections::BTreeMap;

use super::cost::{Cost, joins_of_deferred};
use super::planning::PlanningInput;
use super::protection::blocked_for;
use super::step_graph::StepGraph;
use super::{Action, Change, Deferred, PlanContents};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Gap, Observed};
use crate::resource::{Address, Kind, ObjectKey, Resource, Site};
use crate::topology::model::Datacenter;

/// How to destroy a topology whose cluster will never be read again.
const IF_LOST: &str = "if it is lost for good, `stargate destroy --allow-unread-cluster` does not \
                       wait for it";

/// Blocks the deletion of everything while the facts of the cluster are unknown, or while the
/// hosts of workers stay whose state only their Nodes record. If the user permits that the
/// cluster is unread, only the datacenters of these hosts wait: the hosts are reset once the
/// cluster, and their pods with it, is gone.
pub(super) fn withhold(input: PlanningInput<'_>, plan: &mut PlanContents) {
    let is_permitted = input.options.deletes_unread_cluster();
    if let Some((worker, gap)) = unread_router(input, plan) {
        block(input, plan, &unreachable_hosts(&worker, gap), |_| true);
        return;
    }
    if let Some(gap) = input.inventory.cluster_gap().filter(|_| !is_permitted) {
        block(input, plan, &unknown_facts(gap), |_| true);
        return;
    }
    // The file need not list the workers: a host stays configured after its block was removed.
    if let Some((router, gap)) = unrecorded_router(input).filter(|_| !is_permitted) {
        block(input, plan, &unread_site(router, gap), |_| true);
        return;
    }
    let unread = input.topology.datacenters.iter().filter(|it| it.is_existing());
    let unread = unread.filter_map(|it| Some((it, gap_of_nodes(input, it)?)));
    let unread: Vec<(&Datacenter, &Gap)> = unread.collect();
    let Some((datacenter, gap)) = unread.first() else { return };
    if !is_permitted {
        block(input, plan, &unread_hosts(datacenter, gap), |_| true);
        return;
    }
    let is_cluster = |change: &&Change| {
        change.address.kind == Kind::ManagedCluster && change.action == Action::Delete
    };
    let cluster = plan.changes.iter().find(is_cluster).map(|change| change.address.clone());
    for (datacenter, gap) in unread {
        let site = Site::Datacenter(datacenter.name.clone());
        let is_of_site = |change: &Change| change.address.site == site;
        match &cluster {
            Some(cluster) => defer(input, plan, datacenter, cluster),
            None => block(input, plan, &waiting_hosts(datacenter, gap), is_of_site),
        }
    }
}

/// A worker that leaves through a router whose device could not be read, with the reason.
fn unread_router<'a>(input: PlanningInput<'a>, plan: &PlanContents) -> Option<(Address, &'a Gap)> {
    let inventory = input.inventory;
    let of_all = inventory.gap_for(Kind::TailnetDevice, None);
    let is_leaving = |it: &&Change| it.address.kind == Kind::Worker && it.action == Action::Delete;
    plan.changes.iter().filter(is_leaving).find_map(|change| {
        let Address { site, .. } = &change.address;
        let listed =
            input.topology.datacenters.iter().find(|it| *site == Site::Datacenter(it.name.clone()));
        let listed = listed.map(|it| it.router.name.as_str());
        let present = input.facts.present_routers.get(site).map(String::as_str);
        let mut devices = listed.into_iter().chain(present).map(|it| ObjectKey::Device(it.into()));
        let of_device = || devices.find_map(|it| inventory.gap_for(Kind::TailnetDevice, Some(&it)));
        of_all.or_else(of_device).map(|gap| (change.address.clone(), gap))
    })
}

/// Leaves the hosts of a datacenter to a later iteration: without the cluster, all that is
/// known of them is read from the hosts themselves.
fn defer(
    input: PlanningInput<'_>,
    plan: &mut PlanContents,
    datacenter: &Datacenter,
    cluster: &Address,
) {
    let site = Site::Datacenter(datacenter.name.clone());
    let withheld = withdraw(plan, |change| change.address.site == site);
    let later = |address, reason: &str| Deferred {
        waits_for: vec![cluster.clone()],
        ..Deferred::new(address, Action::Delete, reason)
    };
    let withheld = withheld.iter().map(|it| later(it.address.clone(), &it.planned_because_of));
    let workers = datacenter.workers.iter().map(|worker| {
        let address = Address::new(Kind::Worker, site.clone(), worker.name.as_str());
        later(address, "its host is reset once its pods are gone with the cluster")
    });
    // The deletion of a worker whose Node was read is withheld already.
    let mut deferred = BTreeMap::new();
    for one in withheld.chain(workers) {
        deferred.entry(one.address.clone()).or_insert(one);
    }
    plan.deferred.extend(deferred.into_values());
    plan.deferred.sort_by(|one, other| one.address.cmp(&other.address));
    complete(input, plan);
}

/// The gap that hides the Node of a worker of a datacenter.
fn gap_of_nodes<'a>(input: PlanningInput<'a>, datacenter: &Datacenter) -> Option<&'a Gap> {
    let mut keys = datacenter.workers.iter().map(|worker| ObjectKey::node(worker.name.as_str()));
    let of_all = input.inventory.gap_for(Kind::Worker, None);
    of_all.or_else(|| keys.find_map(|key| input.inventory.gap_for(Kind::Worker, Some(&key))))
}

fn block(
    input: PlanningInput<'_>,
    plan: &mut PlanContents,
    failure: &Failure,
    is_withheld: impl Fn(&Change) -> bool,
) {
    let withheld = withdraw(plan, is_withheld);
    plan.blocked.extend(withheld.iter().map(|change| blocked_for(change, failure.clone(), None)));
    plan.blocked.sort_by(|one, other| one.address.cmp(&other.address));
    complete(input, plan);
}

/// Takes these changes out of a plan.
fn withdraw(plan: &mut PlanContents, is_withheld: impl Fn(&Change) -> bool) -> Vec<Change> {
    let changes = std::mem::take(&mut plan.changes);
    let (withheld, left) = changes.into_iter().partition(is_withheld);
    plan.changes = left;
    withheld
}

/// Computes the order and the cost of the changes that are left.
fn complete(input: PlanningInput<'_>, plan: &mut PlanContents) {
    plan.steps = StepGraph::of(&plan.changes);
    if plan.changes.is_empty() {
        plan.rollout = None;
        plan.cost = Cost { requests: plan.cost.requests.clone(), ..Cost::default() };
        return;
    }
    let joins = joins_of_deferred(input.topology.rollout.canary, &plan.deferred);
    plan.cost = plan.cost.of_same_refresh(&plan.changes, &plan.steps, &plan.deferred, joins);
}

/// A router that has the topology's tag, and that no machine or block of the topology explains,
/// while the Nodes cannot be read: hosts behind it may have workers.
fn unrecorded_router(input: PlanningInput<'_>) -> Option<(&str, &Gap)> {
    let gap = input.inventory.gap_for(Kind::Worker, None)?;
    let is_unrecorded = |observed: &Observed| {
        matches!(observed.resource, Resource::TailnetDevice(_)) && !observed.ownership.is_ours()
    };
    let mut devices = input.inventory.iter().filter(|(_, observed)| is_unrecorded(observed));
    devices.next().map(|(key, _)| (key.name(), gap))
}

fn unread_site(router: &str, gap: &Gap) -> Failure {
    Failure::new(
        Code::SourceGap,
        format!(
            "nothing is deleted while {} cannot be read: the router {router} has the topology's \
             tag, and the hosts behind it may have workers that could not be drained and reset",
            gap.source
        ),
        format!(
            "restore the access to the cluster, then run the same command again; if the device is \
             another topology's, give each its own `[tailnet] tag`; {IF_LOST}"
        ),
    )
}

fn unreachable_hosts(worker: &Address, gap: &Gap) -> Failure {
    let cause = gap.failure.clone();
    let message = format!(
        "nothing is deleted while the routers in the tailnet are unknown: {worker} and others are \
         drained and reset through them, and their devices would stay"
    );
    let remedy = format!(
        "{}; if the tailnet is lost for good, delete the Nodes of the workers with `kubectl delete \
         node`, then run the same command again: their hosts stay configured",
        cause.remedy
    );
    Failure { remedy, ..cause.within(message) }
}

fn unknown_facts(gap: &Gap) -> Failure {
    let cause = gap.failure.clone();
    let remedy = format!("{}; {IF_LOST}", cause.remedy);
    let message = "nothing is deleted while the facts of the cluster are unknown: its workers \
                   could not be drained, and it is unknown which of them are protected";
    Failure { remedy, ..cause.within(message) }
}

fn unread_hosts(datacenter: &Datacenter, gap: &Gap) -> Failure {
    Failure::new(
        Code::SourceGap,
        format!(
            "nothing is deleted while {} cannot be read: the hosts of [datacenters.{}] stay, and \
             their workers could not be drained and reset",
            gap.source, datacenter.name
        ),
        format!(
            "restore the access to the cluster, then run the same command again; `az aks start` \
             starts a stopped cluster; {IF_LOST}"
        ),
    )
}

fn waiting_hosts(datacenter: &Datacenter, gap: &Gap) -> Failure {
    Failure::new(
        Code::SourceGap,
        format!(
            "the hosts of [datacenters.{}] are reset once the cluster is gone: {} cannot be read, \
             and their workers may still run pods",
            datacenter.name, gap.source
        ),
        "this destroy does not delete the cluster: restore the access to it, or have it deleted; \
         then run the same command again",
    )
}
