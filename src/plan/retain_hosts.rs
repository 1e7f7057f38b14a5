//! Hosts that outlive a destroy and must be reset before anything else is deleted.

use super::PlanContents;
use super::cost::Cost;
use super::planning::PlanningInput;
use super::protection::blocked_for;
use super::step_graph::StepGraph;
use crate::diagnostics::{Code, Failure};
use crate::inventory::Gap;
use crate::resource::{Kind, ObjectKey};
use crate::topology::model::Datacenter;

/// Blocks everything that a plan would destroy if the cluster could not be read and workers
/// run on existing machines: only their Nodes record the state of these machines, and would
/// be deleted with the cluster.
pub(super) fn block_all(input: PlanningInput<'_>, plan: &mut PlanContents) {
    let with_hosts = input.topology.datacenters.iter().filter(|it| has_lasting_hosts(it));
    let unread = |datacenter: &Datacenter| {
        let mut keys =
            datacenter.workers.iter().map(|worker| ObjectKey::node(worker.name.as_str()));
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
