//! Where the file says what: for diagnostics that come after loading.

use std::collections::BTreeMap;

use super::names::{DatacenterName, NodePoolName, ProfileName, WorkerName};
use crate::diagnostics::Span;

/// The places of a topology's values.
#[derive(Debug, Clone, Default)]
pub struct TopologySpans {
    /// `stargate.name`.
    pub name: Span,
    /// The cluster's values.
    pub cluster: ClusterSpans,
    /// The tailnet's tag, where written.
    pub tag: Option<Span>,
    /// The names of the profiles.
    pub profiles: BTreeMap<ProfileName, ProfileSpans>,
    /// The datacenters, in the order of the topology.
    pub datacenters: Vec<DatacenterSpans>,
    pub(super) by_datacenter: BTreeMap<DatacenterName, usize>,
    pub(super) by_worker: BTreeMap<WorkerName, (usize, usize)>,
}

/// The places of the cluster's values.
#[derive(Debug, Clone, Default)]
pub struct ClusterSpans {
    /// Its name.
    pub name: Span,
    /// Its resource group.
    pub resource_group: Span,
    /// Its version.
    pub kubernetes_version: Span,
    /// Its pod CIDR.
    pub pod_cidr: Span,
    /// Its service CIDR.
    pub service_cidr: Span,
    /// The names of its node pools.
    pub node_pools: BTreeMap<NodePoolName, Span>,
    /// Its router's name.
    pub router_name: Span,
    /// Its router's subnet.
    pub router_subnet: Span,
}

/// The places of a profile's values.
#[derive(Debug, Clone, Default)]
pub struct ProfileSpans {
    /// Its key.
    pub name: Span,
    /// Its kubelet's version.
    pub kubernetes_version: Span,
}

/// The places of a datacenter's values.
#[derive(Debug, Clone, Default)]
pub struct DatacenterSpans {
    /// Its key.
    pub name: Span,
    /// Its VNet's or network's prefix.
    pub network: Span,
    /// Its resource group (kind `azure`).
    pub resource_group: Option<Span>,
    /// Its workers' subnet (kind `azure`).
    pub subnet: Option<Span>,
    /// Its router's subnet (kind `azure`).
    pub router_subnet: Option<Span>,
    /// Its pod pool, where written.
    pub pod_pool: Option<Span>,
    /// Its profile.
    pub profile: Span,
    /// Its router's name.
    pub router_name: Span,
    /// Its router's address, where written.
    pub router_ip: Option<Span>,
    /// Its workers, in the order of the topology.
    pub workers: Vec<WorkerSpans>,
}

/// The places of a worker's values; for a worker out of a range, the range's.
#[derive(Debug, Clone, Default)]
pub struct WorkerSpans {
    /// Its name.
    pub name: Span,
    /// Its address, where written.
    pub ip: Option<Span>,
    /// Its pod CIDR, where written.
    pub pod_cidr: Option<Span>,
    /// Its hardware address, where written.
    pub mac: Option<Span>,
}

impl TopologySpans {
    /// The places of a datacenter's values.
    pub fn datacenter(&self, name: &DatacenterName) -> Option<&DatacenterSpans> {
        self.datacenters.get(*self.by_datacenter.get(name)?)
    }

    /// The places of a worker's values.
    pub fn worker(&self, name: &WorkerName) -> Option<&WorkerSpans> {
        let (datacenter, worker) = *self.by_worker.get(name)?;
        self.datacenters.get(datacenter)?.workers.get(worker)
    }
}
