//! Hosts that outlive a destroy and must be reset before anything else goes, and the records
//! of routers that stay.

use std::collections::BTreeMap;

use super::cost::Cost;
use super::decision::{ResourceDecision, ResourceDecisions};
use super::planning::PlanningInput;
use super::protection::blocked_for;
use super::step_graph::StepGraph;
use super::{Action, Blocked, PlanContents};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Gap;
use crate::resource::kubernetes::ObjectName;
use crate::resource::{Address, Kind, ObjectKey, Site};
use crate::topology::model::Datacenter;

/// Blocks everything that a plan would destroy while the cluster could not be read and
/// workers are on machines that existed before: only their Nodes tell what is on them,
/// and with the cluster these would go.
pub(super) fn block_all(input: PlanningInput<'_>, plan: &mut PlanContents) {
    let with_hosts = input.topology.datacenters.iter().filter(|it| has_lasting_hosts(it));
    let unread = |datacenter: &Datacenter| {
        let mut keys = datacenter.workers.iter().map(|worker| node_key(worker.name.as_str()));
        let of_all = input.inventory.gap_for(Kind::Worker, None);
        of_all.or_else(|| keys.find_map(|key| input.inventory.gap_for(Kind::Worker, Some(&key))))
    };
    let mut found = with_hosts.filter_map(|datacenter| Some((datacenter, unread(datacenter)?)));
    let Some((datacenter, gap)) = found.next() else { return };
    let failure = failure(datacenter, gap);
    let changes = std::mem::take(&mut plan.changes);
    plan.blocked.extend(changes.iter().map(|change| blocked_for(change, failure.clone(), None)));
    plan.blocked.sort_by(|one, other| one.address.cmp(&other.address));
    plan.steps = StepGraph::default();
    plan.rollout = None;
    plan.cost = Cost { requests: plan.cost.requests.clone(), ..Cost::default() };
}

/// Blocks the deletion of what stands for the machine of a router that stays: its device
/// and routes in the tailnet, of which no mark names the site.
pub(super) fn keep_router_parts(decisions: &mut ResourceDecisions) {
    let machines: BTreeMap<String, (Address, Code)> = blocked_deletions(decisions)
        .filter(|it| it.address.kind == Kind::VirtualMachine)
        .map(|it| (it.address.name.to_string(), (it.address.clone(), it.failure.code)))
        .collect();
    for (address, decision) in decisions.iter_mut().filter(|_| !machines.is_empty()) {
        let ResourceDecision::Change(change) = decision else { continue };
        let is_part = matches!(
            address.kind,
            Kind::TailnetDevice | Kind::AdvertisedRoutes | Kind::ApprovedRoutes | Kind::RouterHost
        );
        if !is_part || change.action != Action::Delete {
            continue;
        }
        let Some((machine, code)) = machines.get(change.key.name()) else { continue };
        let message = format!("it belongs to {machine}, which is kept");
        let failure = Failure::new(*code, message, format!("resolve {machine} first"));
        *decision = blocked_for(change, failure, Some(machine.clone())).into();
    }
}

fn blocked_deletions(decisions: &ResourceDecisions) -> impl Iterator<Item = &Blocked> {
    let blocked = decisions.values().filter_map(|decision| match decision {
        ResourceDecision::Blocked(blocked) => Some(&**blocked),
        _ => None,
    });
    blocked.filter(|blocked| blocked.action == Action::Delete)
}

/// Blocks the deletion of the Servers of a datacenter whose router stays although the
/// topology no longer lists it: they are the only record of that router.
pub(super) fn keep_records(decisions: &mut ResourceDecisions) {
    let routers: BTreeMap<Site, (Address, Code)> = blocked_deletions(decisions)
        .filter(|it| it.address.site != Site::Cluster)
        .filter(|it| matches!(it.address.kind, Kind::RouterHost | Kind::TailnetDevice))
        .map(|it| (it.address.site.clone(), (it.address.clone(), it.failure.code)))
        .collect();
    if routers.is_empty() {
        return;
    }
    for (address, decision) in decisions.iter_mut() {
        let ResourceDecision::Change(change) = decision else { continue };
        if address.kind != Kind::Server || change.action != Action::Delete {
            continue;
        }
        let Some((router, code)) = routers.get(&address.site) else { continue };
        let message = format!("it records {router}, which is kept");
        let failure = Failure::new(*code, message, format!("resolve {router} first"));
        *decision = blocked_for(change, failure, Some(router.clone())).into();
    }
}

fn node_key(name: &str) -> ObjectKey {
    ObjectKey::Kubernetes(ObjectName {
        kind: "Node".into(),
        namespace: None,
        name: name.to_owned(),
    })
}

fn has_lasting_hosts(datacenter: &Datacenter) -> bool {
    datacenter.is_existing() && !datacenter.workers.is_empty()
}

fn failure(datacenter: &Datacenter, gap: &Gap) -> Failure {
    Failure::new(
        Code::SourceGap,
        format!(
            "nothing is deleted while {} cannot be read: the hosts of [datacenters.{}] stay, and \
             their workers could not be drained and reset",
            gap.source, datacenter.name
        ),
        "restore the access to the cluster, then run the same command again; `az aks start` starts \
         a stopped cluster",
    )
}
