use std::collections::BTreeSet;

use crate::plan::{ManagedNodeFields, PlanOptions};
use crate::resource::{ArmId, Kind, Owner, Site};
use crate::topology::model::Topology;
use crate::topology::names::SubscriptionId;

/// The scope of a refresh: the topology whose objects it reads, and the level of detail.
#[derive(Debug, Clone)]
pub struct Scope<'a> {
    /// The topology.
    pub topology: &'a Topology,
    /// The subscription.
    pub subscription: SubscriptionId,
    /// The public key given to new machines.
    pub ssh_public_key: String,
    /// The options of the plan that is made from it.
    pub options: PlanOptions,
    /// The names of all workers of the topology.
    pub worker_names: BTreeSet<String>,
    /// The fields of Nodes that stargate manages.
    pub managed: ManagedNodeFields,
}

impl<'a> Scope<'a> {
    /// The scope of a topology.
    pub fn new(
        topology: &'a Topology,
        subscription: SubscriptionId,
        ssh_public_key: String,
    ) -> Self {
        let workers = topology.datacenters.iter().flat_map(|datacenter| &datacenter.workers);
        Self {
            topology,
            subscription,
            ssh_public_key,
            options: PlanOptions::default(),
            worker_names: workers.map(|worker| worker.name.to_string()).collect(),
            managed: ManagedNodeFields::of(topology),
        }
    }

    /// The owner whose objects are read.
    pub fn owner(&self) -> Owner {
        let (name, tag) = (self.topology.name.clone(), self.topology.tailnet.tag.clone());
        Owner { former: self.options.adopt_from.clone(), ..Owner::new(name, tag) }
    }

    /// The site that a router belongs to; a router that the topology does not
    /// know is the cluster's.
    pub(super) fn site_of_router(&self, name: &str) -> Site {
        self.topology
            .datacenters
            .iter()
            .find(|datacenter| datacenter.router.name.as_str() == name)
            .map_or(Site::Cluster, |datacenter| Site::Datacenter(datacenter.name.clone()))
    }

    /// Whether the topology has a router of this name.
    pub(super) fn is_router(&self, name: &str) -> bool {
        let mut datacenters = self.topology.datacenters.iter();
        self.topology.cluster.router.name.as_str() == name
            || datacenters.any(|datacenter| datacenter.router.name.as_str() == name)
    }

    /// The id of the topology's cluster.
    pub(crate) fn cluster_id(&self) -> ArmId {
        let cluster = &self.topology.cluster;
        ArmId::resource_group(self.subscription.as_str(), cluster.resource_group.as_str())
            .in_group(Kind::ManagedCluster.arm_type(), cluster.name.as_str())
    }

    /// Whether the machines of a site existed before stargate.
    pub(super) fn is_existing(&self, site: &Site) -> bool {
        match site {
            Site::Cluster => false,
            Site::Datacenter(name) => self
                .topology
                .datacenters
                .iter()
                .any(|datacenter| datacenter.name == *name && datacenter.is_existing()),
        }
    }
}
