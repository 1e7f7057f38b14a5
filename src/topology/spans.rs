//! The spans of values in the file, for diagnostics after loading.

use std::collections::BTreeMap;

use super::names::{DatacenterName, NodePoolName, ProfileName, WorkerName};
use crate::diagnostics::Span;
use crate::resource::{Address, Site};

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

    /// The span of the block that describes a resource: its worker, its router or its
    /// node pool, else its datacenter or the cluster; the topology's name for what no
    /// block describes.
    pub fn block_of(&self, address: &Address) -> Span {
        match &address.site {
            Site::Cluster => self.cluster.block_of(address.name.as_str()),
            Site::Datacenter(name) => match self.datacenter(name) {
                Some(spans) => self.block_in(name, spans, address.name.as_str()),
                None => self.name.clone(),
            },
        }
    }

    fn block_in(&self, site: &DatacenterName, spans: &DatacenterSpans, resource: &str) -> Span {
        let of_site = |(_, (at, _)): &(&WorkerName, &(usize, usize))| {
            self.by_datacenter.get(site) == Some(at)
        };
        let workers = self.by_worker.iter().filter(of_site);
        let named = workers.filter(|(name, _)| is_part_of(resource, name.as_str()));
        // The longest name: `worker-1` begins like `worker-10`.
        let worker = named.max_by_key(|(name, _)| name.as_str().len());
        worker
            .and_then(|(_, (_, at))| spans.workers.get(*at))
            .map_or_else(|| spans.name.clone(), |worker| worker.name.clone())
    }
}

impl ClusterSpans {
    fn block_of(&self, resource: &str) -> Span {
        let pools = self.node_pools.iter();
        let pool = pools.filter(|(name, _)| is_part_of(resource, name.as_str()));
        let pool = pool.max_by_key(|(name, _)| name.as_str().len()).map(|(_, span)| span);
        pool.unwrap_or(&self.name).clone()
    }
}

/// Whether a resource has the name of a block or is named after it, as a network
/// interface is after its machine.
fn is_part_of(resource: &str, block: &str) -> bool {
    let rest = resource.strip_prefix(block);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['-', '.', '/']))
}
