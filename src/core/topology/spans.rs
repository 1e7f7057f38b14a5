//! The spans of values in the file, for diagnostics after loading.

use std::collections::BTreeMap;

use super::names::{DatacenterName, NodePoolName, ProfileName, WorkerName};
use crate::diagnostics::Span;
use crate::resource::{Address, Kind, Site};

/// The spans of a topology's values.
#[derive(Debug, Clone, Default)]
pub struct TopologySpans {
    /// `stargate.name`.
    pub name: Span,
    /// The values of the cluster.
    pub cluster: ClusterSpans,
    /// The tag of the tailnet, if set.
    pub tag: Option<Span>,
    /// The profiles by name.
    pub profiles: BTreeMap<ProfileName, ProfileSpans>,
    /// The datacenters, in the order of the topology.
    pub datacenters: Vec<DatacenterSpans>,
    /// `until` of each `[[ignore]]`, if set, in the order of the topology.
    pub ignores: Vec<Option<Span>>,
    pub(super) by_datacenter: BTreeMap<DatacenterName, usize>,
    pub(super) by_worker: BTreeMap<WorkerName, (usize, usize)>,
}

/// The spans of the cluster's values.
#[derive(Debug, Clone, Default)]
pub struct ClusterSpans {
    /// The name.
    pub name: Span,
    /// The resource group.
    pub resource_group: Span,
    /// The Kubernetes version.
    pub kubernetes_version: Span,
    /// The pod CIDR.
    pub pod_cidr: Span,
    /// The service CIDR.
    pub service_cidr: Span,
    /// The node pools by name.
    pub node_pools: BTreeMap<NodePoolName, Span>,
    /// The name of the router.
    pub router_name: Span,
    /// The subnet of the router.
    pub router_subnet: Span,
}

/// The spans of a profile's values.
#[derive(Debug, Clone, Default)]
pub struct ProfileSpans {
    /// The key.
    pub name: Span,
    /// The kubelet version.
    pub kubernetes_version: Span,
}

/// The spans of a datacenter's values.
#[derive(Debug, Clone, Default)]
pub struct DatacenterSpans {
    /// The key.
    pub name: Span,
    /// The prefix of the VNet or network.
    pub network: Span,
    /// The resource group (kind `azure`).
    pub resource_group: Option<Span>,
    /// The worker subnet (kind `azure`).
    pub subnet: Option<Span>,
    /// The router subnet (kind `azure`).
    pub router_subnet: Option<Span>,
    /// The pod pool, if set.
    pub pod_pool: Option<Span>,
    /// The profile.
    pub profile: Span,
    /// The name of the router.
    pub router_name: Span,
    /// The address of the router, if set.
    pub router_ip: Option<Span>,
    /// The workers, in the order of the topology.
    pub workers: Vec<WorkerSpans>,
}

/// The spans of a worker's values; for a worker of a range, those of the range.
#[derive(Debug, Clone, Default)]
pub struct WorkerSpans {
    /// The name.
    pub name: Span,
    /// The address, if set.
    pub ip: Option<Span>,
    /// The pod CIDR, if set.
    pub pod_cidr: Option<Span>,
    /// The MAC address, if set.
    pub mac: Option<Span>,
}

impl TopologySpans {
    /// The spans of a datacenter's values.
    pub fn datacenter(&self, name: &DatacenterName) -> Option<&DatacenterSpans> {
        self.datacenters.get(*self.by_datacenter.get(name)?)
    }

    /// The spans of a worker's values.
    pub fn worker(&self, name: &WorkerName) -> Option<&WorkerSpans> {
        let (datacenter, worker) = *self.by_worker.get(name)?;
        self.datacenters.get(datacenter)?.workers.get(worker)
    }

    /// The span of the block that describes a resource: its worker or its node pool, else
    /// its datacenter or the cluster; else the topology's name.
    pub fn block_of(&self, address: &Address) -> Span {
        match &address.site {
            Site::Cluster => {
                let pools = &self.cluster.node_pools;
                let pool = || pools.get(&NodePoolName::new(address.name.as_str()));
                let pool =
                    Some(()).filter(|()| address.kind == Kind::NodePool).and_then(|()| pool());
                pool.unwrap_or(&self.cluster.name).clone()
            }
            Site::Datacenter(name) => match self.datacenter(name) {
                Some(spans) => self.block_in(name, spans, address.name.as_str()),
                None => self.name.clone(),
            },
        }
    }

    fn block_in(&self, site: &DatacenterName, spans: &DatacenterSpans, resource: &str) -> Span {
        let here = self.by_datacenter.get(site);
        let named = block_names(resource).filter_map(|name| {
            let (datacenter, worker) = self.by_worker.get(&WorkerName::new(name))?;
            (Some(datacenter) == here).then(|| spans.workers.get(*worker)).flatten()
        });
        named.map(|worker| worker.name.clone()).next().unwrap_or_else(|| spans.name.clone())
    }
}

/// The names of blocks that a resource may be named after, as a network interface is after
/// its machine: its own name first, then shorter ones.
fn block_names(resource: &str) -> impl Iterator<Item = &str> {
    let ends = resource.rmatch_indices(['-', '.', '/']).map(|(end, _)| end);
    std::iter::once(resource.len()).chain(ends).filter_map(|end| resource.get(..end))
}
