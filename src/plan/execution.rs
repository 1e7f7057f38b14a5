//! What an executor needs beside the values of a change. The plan holds it, so
//! that an executor does not read the topology.

use std::collections::{BTreeSet, HashMap};
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Change;
use super::host_route::HostRoute;
use crate::desired::{Facts, labels};
use crate::resource::{Kind, Owner, Resource, Site};
use crate::topology::model::{self, Datacenter, DatacenterKind, PackageSource, Topology};
use crate::topology::names::ProfileName;

/// What all changes of a plan have in common.
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

/// The labels and taints of Nodes that stargate sets. What others set on a Node
/// (the kubelet, controllers) is neither compared nor changed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedNodeFields {
    /// Names of labels.
    pub labels: BTreeSet<String>,
    /// Taints as `key=value:effect`.
    pub taints: BTreeSet<String>,
}

impl ManagedNodeFields {
    /// What the profiles of a topology set on any worker.
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
    Router(RouterExecution),
    /// On a worker, over SSH, and in the cluster.
    Worker(Box<WorkerExecution>),
    /// On a node pool, and on its nodes in the cluster.
    NodePool(NodePoolExecution),
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
    /// What it is brought to; `None` if the topology no longer names it.
    pub profile: Option<WorkerProfile>,
}

/// What a worker is brought to, beside the values of its Node and host.
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

/// Adds to each change what applying it needs.
pub(super) fn attach(topology: &Topology, facts: &Facts, changes: &mut [Change]) {
    let sites = Sites::of(topology, facts);
    for change in changes {
        change.execution = sites.execution(change);
    }
}

/// The topology, indexed.
struct Sites<'a> {
    topology: &'a Topology,
    cluster_dns: Ipv4Addr,
    datacenters: HashMap<&'a str, (&'a Datacenter, HashMap<&'a str, &'a model::Worker>)>,
}

impl<'a> Sites<'a> {
    fn of(topology: &'a Topology, facts: &Facts) -> Self {
        let workers = |datacenter: &'a Datacenter| {
            datacenter.workers.iter().map(|worker| (worker.name.as_str(), worker)).collect()
        };
        let cluster = facts.cluster.as_ref();
        Self {
            topology,
            cluster_dns: cluster.map_or(Ipv4Addr::UNSPECIFIED, |it| it.dns_service_ip),
            datacenters: topology
                .datacenters
                .iter()
                .map(|it| (it.name.as_str(), (it, workers(it))))
                .collect(),
        }
    }

    fn execution(&self, change: &Change) -> Execution {
        match change.address.kind {
            Kind::RouterHost | Kind::AdvertisedRoutes | Kind::TailnetDevice => self.router(change),
            Kind::Worker => Execution::Worker(Box::new(self.worker(change))),
            Kind::NodePool => Execution::NodePool(NodePoolExecution {
                drain_within: self.topology.rollout.drain_within,
            }),
            _ => Execution::Api,
        }
    }

    /// A machine in Azure that the topology no longer names goes with its VM, and
    /// nothing is done on it.
    fn router(&self, change: &Change) -> Execution {
        let execution = match &change.address.site {
            Site::Cluster => Some(RouterExecution {
                route: HostRoute::cluster_router(self.topology),
                is_existing: false,
            }),
            Site::Datacenter(name) => {
                self.datacenters.get(name.as_str()).map(|(datacenter, _)| RouterExecution {
                    route: HostRoute::datacenter_router(self.topology, datacenter),
                    is_existing: is_existing(datacenter),
                })
            }
        };
        match execution {
            Some(execution)
                if execution.is_existing
                    || change.address.name == execution.route.hostname.as_str() =>
            {
                Execution::Router(execution)
            }
            _ => Execution::Api,
        }
    }

    fn worker(&self, change: &Change) -> WorkerExecution {
        let mut execution = WorkerExecution {
            route: None,
            is_existing: false,
            drain_within: self.topology.rollout.drain_within,
            profile: None,
        };
        let Site::Datacenter(name) = &change.address.site else { return execution };
        let Some((datacenter, workers)) = self.datacenters.get(name.as_str()) else {
            return execution;
        };
        let value = change.after.as_ref().or(change.before.as_ref());
        let Some(Resource::Worker(worker)) = value else { return execution };
        let written = workers.get(worker.name.as_str());
        let host_key = written.and_then(|written| written.host_key.as_ref());
        let route = HostRoute::worker(self.topology, datacenter, &worker.name, host_key, worker.ip);
        execution.route = Some(route);
        execution.is_existing = is_existing(datacenter);
        execution.profile = written.and_then(|written| {
            let profile = self.topology.profiles.get(&written.profile)?;
            Some(WorkerProfile {
                name: written.profile.clone(),
                max_pods: labels::max_pods(profile, worker.pod_cidr),
                packages: profile.packages,
                cluster_dns: self.cluster_dns,
            })
        });
        execution
    }
}

fn is_existing(datacenter: &Datacenter) -> bool {
    matches!(datacenter.kind, DatacenterKind::Existing(_))
}

#[cfg(test)]
impl Default for ApplySettings {
    fn default() -> Self {
        use crate::topology::names::{TailnetTag, TopologyName};
        let owner = Owner::new(TopologyName::new("lab"), TailnetTag::new("tag:stargate"));
        Self { owner, managed: ManagedNodeFields::default(), upgrade_patches: false }
    }
}
