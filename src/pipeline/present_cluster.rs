//! The live state of a topology whose cluster still has its former name, because the edit of
//! the name is not applied yet.

use super::{Pipeline, Planned};
use crate::refresh::{Observation, Scope};
use crate::resource::{ArmId, Kind, ObjectKey, Resource};
use crate::topology::model::Topology;
use crate::topology::names::{ClusterName, ResourceGroupName};

/// A topology with the live name of its cluster, and the live state and plan under this name.
#[derive(Debug, Clone)]
pub struct PresentCluster {
    /// The topology.
    pub topology: Topology,
    /// The live state and the plan.
    pub planned: Planned,
}

impl Pipeline<'_> {
    /// Reads live state again under the name of the cluster that is there, if the topology
    /// names one that is not and owns another one.
    pub async fn read_present_cluster(&self, planned: &Planned) -> Option<PresentCluster> {
        let topology = with_present_cluster(self.scope, &planned.observation)?;
        let scope = Scope { topology: &topology, ..self.scope.clone() };
        let planned = Pipeline { scope: &scope, ..*self }.run().await;
        Some(PresentCluster { topology, planned })
    }

    /// A plan that changes nothing keeps every pair of the cluster that is there, under the name
    /// that it has.
    pub(super) async fn with_present_reachability(&self, planned: Planned) -> Planned {
        if !planned.plan.changes.is_empty() || self.scope.options.destroy {
            return planned;
        }
        match Box::pin(self.read_present_cluster(&planned)).await {
            Some(present) => Planned {
                plan: planned.plan.with_reachability_of(&present.planned.plan),
                ..planned
            },
            None => planned,
        }
    }
}

fn with_present_cluster(scope: &Scope<'_>, observation: &Observation) -> Option<Topology> {
    let inventory = &observation.inventory;
    let key = ObjectKey::Azure(scope.cluster_id());
    let is_absent = inventory.get(&key).is_none()
        && inventory.gap_for(Kind::ManagedCluster, Some(&key)).is_none();
    if scope.topology.cluster.existing || observation.facts.cluster.is_some() || !is_absent {
        return None;
    }
    let id = only_cluster(observation)?;
    let mut topology = scope.topology.clone();
    topology.cluster.name = ClusterName::new(id.name());
    topology.cluster.resource_group = ResourceGroupName::new(id.resource_group_name()?);
    Some(topology)
}

/// The cluster that the topology owns, if it owns one.
fn only_cluster(observation: &Observation) -> Option<&ArmId> {
    let mut clusters = observation.inventory.iter().filter_map(|(key, observed)| {
        let is_cluster = matches!(observed.resource, Resource::ManagedCluster(_));
        match key {
            ObjectKey::Azure(id) if is_cluster && observed.ownership.is_ours() => Some(id),
            _ => None,
        }
    });
    clusters.next().filter(|_| clusters.next().is_none())
}
