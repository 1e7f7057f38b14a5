//! Parameters of the executor that are not values of the resource. The plan holds them, so
//! that the executor does not read the topology.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::host_route::HostRoute;
use crate::desired::labels;
use crate::resource::work_request::WorkRequest;
use crate::resource::{ArmId, Owner};
use crate::topology::model::{PackageSource, Topology};
use crate::topology::names::{ProfileName, WorkerName};

/// Settings that all changes of a plan share.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ApplySettings {
    /// The marks of ownership that are written and looked for.
    pub owner: Owner,
    /// The fields of Nodes that stargate manages.
    pub managed: ManagedNodeFields,
    /// Whether pools and workers are upgraded to the patch of the control plane.
    #[serde(default)]
    pub upgrade_patches: bool,
}

impl ApplySettings {
    /// The settings of a topology.
    pub fn of(topology: &Topology) -> Self {
        let owner = Owner::new(topology.name.clone(), topology.tailnet.tag.clone());
        Self { owner, managed: ManagedNodeFields::of(topology), upgrade_patches: false }
    }
}

/// The labels and taints of Nodes that stargate manages. Those that other field managers
/// set (the kubelet, controllers) are neither compared nor changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedNodeFields {
    /// Names of labels.
    pub labels: BTreeSet<String>,
    /// Taints as `key=value:effect`.
    pub taints: BTreeSet<String>,
}

impl ManagedNodeFields {
    /// The union of the labels and taints of all profiles of a topology.
    pub fn of(topology: &Topology) -> Self {
        let profiles = topology.profiles.values();
        let of_profiles = profiles.clone().flat_map(|profile| profile.labels.keys().cloned());
        Self {
            labels: of_profiles.chain(labels::all_names()).collect(),
            taints: profiles.flat_map(|profile| profile.taints.iter().cloned()).collect(),
        }
    }
}

/// How a change is applied, if its values do not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Execution {
    /// By calls of its API, with its values alone.
    #[default]
    Api,
    /// On a router, over SSH.
    Router(Box<RouterExecution>),
    /// On a worker, over SSH, and in the cluster.
    Worker(Box<WorkerExecution>),
    /// On a node pool, and on its nodes in the cluster.
    NodePool(NodePoolExecution),
    /// An update of a worker's machine that restarts it, with the worker drained.
    WorkerRestart(WorkerRestart),
    /// The deletion of a route in a table of another owner that AKS nodes no longer use.
    RouteDeletion(RouteDeletion),
}

/// The deletion of a route in a table of another owner, of which the topology keeps none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteDeletion {
    /// The subnets of AKS nodes: while one of them has the table, the route stays.
    pub node_subnets: BTreeSet<ArmId>,
}

/// The worker whose machine restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerRestart {
    /// Its name.
    pub worker: WorkerName,
    /// How long a drain may take.
    pub drain_within: Duration,
}

/// Work on a node pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePoolExecution {
    /// How long the drain of one of its nodes may take.
    pub drain_within: Duration,
}

/// Work on a router.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterExecution {
    /// The way to it.
    pub route: HostRoute,
    /// Whether the machine existed before stargate and stays after it.
    pub is_existing: bool,
}

/// Work on a worker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerExecution {
    /// The way to it; `None` if the topology no longer has its datacenter.
    pub route: Option<HostRoute>,
    /// Whether the machine existed before stargate and stays after it.
    pub is_existing: bool,
    /// How long a drain may take.
    pub drain_within: Duration,
    /// The request of the user that the work is a part of, for the records.
    #[serde(default)]
    pub request: Option<WorkRequest>,
    /// Where it leaves, if that is another datacenter than its own in the topology, or
    /// one that the topology no longer has.
    #[serde(default)]
    pub departure: Option<WorkerDeparture>,
    /// The way to the host that it leaves, if another router than that of `route` leads
    /// there now.
    #[serde(default)]
    pub present_route: Option<HostRoute>,
    /// The profile to apply; `None` if the topology no longer lists the worker.
    pub profile: Option<WorkerProfile>,
}

/// The host that a worker leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerDeparture {
    /// The way to it; `None` if its router is unknown.
    pub route: Option<HostRoute>,
    /// Whether the machine existed before stargate and stays after it.
    pub is_existing: bool,
}

/// The provisioning settings of a worker that are not values of its Node and host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerProfile {
    /// The name of its profile, for the records in the cluster.
    pub name: ProfileName,
    /// The kubelet's `maxPods`.
    pub max_pods: u32,
    /// Where its packages come from.
    pub packages: PackageSource,
    /// The address of the cluster's DNS service.
    pub cluster_dns: Ipv4Addr,
}

#[cfg(test)]
impl Default for ApplySettings {
    fn default() -> Self {
        use crate::topology::names::{TailnetTag, TopologyName};
        let owner = Owner::new(TopologyName::new("lab"), TailnetTag::new("tag:stargate"));
        Self { owner, managed: ManagedNodeFields::default(), upgrade_patches: false }
    }
}
