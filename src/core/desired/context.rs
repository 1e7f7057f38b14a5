//! The input of every function that builds resources, and the addresses, ids and
//! prefixes that follow from it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::rc::Rc;

use ipnet::Ipv4Net;

use super::retained::RetainedPaths;
use super::{AddressAssignment, Allocation, Facts, names};
use crate::net::prefix::router_address;
use crate::resource::{Address, ArmId, Kind, ObjectKey, Pending, Site};
use crate::topology::model::{Datacenter, Topology, Worker};
use crate::topology::names::DatacenterName;

/// A topology, the facts about its live state and the addresses of its workers.
pub(super) struct DesiredContext<'a> {
    pub(super) topology: &'a Topology,
    pub(super) facts: &'a Facts,
    /// Paths to workers that are not at their new places yet.
    pub(super) retained: RetainedPaths<'a>,
    /// Pod CIDRs outside of each datacenter's pool, by its name: every other datacenter
    /// needs them, and a search reads each worker.
    outside_pools: BTreeMap<&'a DatacenterName, Vec<Ipv4Net>>,
    /// The workers of each datacenter with their places, by its name: several kinds of
    /// resources are built from each.
    assignments: BTreeMap<&'a DatacenterName, Rc<[(&'a Worker, AddressAssignment)]>>,
    cluster_address: Address,
}

impl<'a> DesiredContext<'a> {
    pub(super) fn new(
        topology: &'a Topology,
        facts: &'a Facts,
        allocation: &'a Allocation,
    ) -> Self {
        let outside_pools = topology
            .datacenters
            .iter()
            .map(|datacenter| (&datacenter.name, allocation.outside_pool(datacenter)))
            .collect();
        let cluster_address =
            Address::new(Kind::ManagedCluster, Site::Cluster, &topology.cluster.name);
        let retained = RetainedPaths::of(topology, facts, allocation);
        let placed = |worker: &'a Worker| Some((worker, allocation.place(&worker.name)?));
        let assignments = |datacenter: &'a Datacenter| {
            (&datacenter.name, datacenter.workers.iter().filter_map(placed).collect())
        };
        let assignments = topology.datacenters.iter().map(assignments).collect();
        Self { topology, facts, retained, outside_pools, assignments, cluster_address }
    }

    /// The same once every worker is at its new place.
    pub(super) fn without_retained(&self) -> Self {
        Self {
            retained: RetainedPaths::default(),
            outside_pools: self.outside_pools.clone(),
            assignments: self.assignments.clone(),
            cluster_address: self.cluster_address.clone(),
            ..*self
        }
    }
}

/// Addresses, ids and prefixes of the cluster.
impl DesiredContext<'_> {
    pub(super) fn group(&self, name: &str) -> ArmId {
        ArmId::resource_group(self.facts.subscription.as_str(), name)
    }

    /// The group that AKS creates; for a cluster of ours stargate requests its name.
    pub(super) fn node_group(&self) -> Pending<ArmId> {
        match (&self.facts.cluster, self.topology.cluster.existing) {
            (Some(cluster), _) => Pending::Known(self.group(&cluster.node_resource_group)),
            (None, true) => Pending::after(self.cluster_address()),
            (None, false) => {
                let location = self.topology.azure.location.as_str();
                let name = names::node_resource_group(&self.topology.cluster, location);
                Pending::Known(self.group(&name))
            }
        }
    }

    pub(super) fn cluster_address(&self) -> Address {
        self.cluster_address.clone()
    }

    /// The dependencies of all resources beside the cluster's VNet.
    pub(super) fn cluster_dependencies(&self) -> Vec<Address> {
        if self.topology.cluster.existing { Vec::new() } else { vec![self.cluster_address()] }
    }

    /// The region of the cluster's objects. An existing cluster has its own, which is that of
    /// its VNet.
    pub(super) fn cluster_location(&self) -> String {
        match &self.facts.cluster {
            Some(cluster) if self.topology.cluster.existing => cluster.network_location.clone(),
            _ => self.topology.azure.location.to_string(),
        }
    }

    /// The resource group of the router and the tables of the cluster's side: that of the
    /// VNet.
    pub(super) fn network_group(&self) -> Pending<ArmId> {
        match &self.facts.cluster {
            Some(cluster) => Pending::Known(cluster.network_group()),
            None => self.node_group(),
        }
    }

    /// The private address of the AKS router.
    pub(super) fn cluster_router_ip(&self) -> Ipv4Addr {
        // A checked topology's router subnet has room for it.
        let subnet = self.topology.cluster.router.subnet_cidr;
        router_address(&subnet).unwrap_or_else(|| subnet.network())
    }

    pub(super) fn in_network_group(&self, kind: Kind, name: &str) -> Option<ObjectKey> {
        let group = self.network_group();
        let id = group.known()?.in_group(kind.arm_type(), name);
        Some(ObjectKey::Azure(id))
    }

    pub(super) fn id_in_network_group(&self, kind: Kind, name: &str) -> ArmId {
        let provider_type = kind.arm_type();
        self.network_group().known().map_or_else(
            || ArmId::new(format!("{provider_type}/{name}")),
            |group| group.in_group(provider_type, name),
        )
    }

    pub(super) fn router_subnet_id(&self) -> Pending<ArmId> {
        match &self.facts.cluster {
            Some(cluster) => Pending::Known(
                cluster.virtual_network.child("subnets", names::CLUSTER_ROUTER_SUBNET),
            ),
            None => Pending::after(self.cluster_address()),
        }
    }
}

/// Addresses and prefixes of the datacenters.
impl DesiredContext<'_> {
    /// The workers of a datacenter with their places.
    pub(super) fn worker_places(
        &self,
        datacenter: &Datacenter,
    ) -> impl Iterator<Item = (&Worker, AddressAssignment)> {
        let assignments = self.assignments.get(&datacenter.name).into_iter();
        assignments.flat_map(|assignments| assignments.iter().copied())
    }

    /// A datacenter's pod ranges: its pool, each worker's outside of it, and those that
    /// workers have not left yet.
    pub(super) fn pod_cidrs<'b>(
        &'b self,
        datacenter: &'b Datacenter,
    ) -> impl Iterator<Item = Ipv4Net> + use<'b> {
        let outside = self.outside_pools.get(&datacenter.name).into_iter().flatten().copied();
        let retained = self.retained.prefixes(datacenter);
        datacenter.pod_pool.into_iter().chain(outside).chain(retained)
    }

    /// Networks and pod ranges of all datacenters but the given one.
    pub(super) fn remote_prefixes(&self, except: Option<&Datacenter>) -> BTreeSet<Ipv4Net> {
        self.topology
            .datacenters
            .iter()
            .filter(|datacenter| except.is_none_or(|except| except.name != datacenter.name))
            .flat_map(|datacenter| {
                std::iter::once(datacenter.network()).chain(self.pod_cidrs(datacenter))
            })
            .collect()
    }

    /// Networks of all datacenters but the given one.
    pub(super) fn other_networks(&self, except: &Datacenter) -> Vec<Ipv4Net> {
        self.topology
            .datacenters
            .iter()
            .filter(|datacenter| datacenter.name != except.name)
            .map(Datacenter::network)
            .collect()
    }

    /// Where AKS itself is: its node subnets and each node's pods.
    pub(super) fn aks_prefixes(&self) -> Pending<BTreeSet<Ipv4Net>> {
        let Some(cluster) = &self.facts.cluster else {
            return Pending::after(self.cluster_address());
        };
        if self.facts.nodes.is_empty() || self.has_unread_routes() {
            return Pending::after(self.cluster_address());
        }
        let subnets = cluster.node_subnets.iter().map(|subnet| subnet.prefix);
        let pods = self.facts.nodes.iter().map(|node| node.pod_cidr);
        Pending::Known(subnets.chain(pods).collect())
    }

    /// Whether a node of AKS cannot be found in the live routes, so that routes
    /// made without it would withdraw its own.
    pub(super) fn has_unread_routes(&self) -> bool {
        self.facts.nodes_without_pod_cidr.iter().any(|node| node.address.is_none())
    }

    /// The device of a datacenter's router.
    pub(super) fn device_address(&self, datacenter: &Datacenter) -> Address {
        let site = Site::Datacenter(datacenter.name.clone());
        Address::new(Kind::TailnetDevice, site, &datacenter.router.name)
    }

    /// The host configuration of a datacenter's router.
    pub(super) fn router_host_address(&self, datacenter: &Datacenter) -> Address {
        let site = Site::Datacenter(datacenter.name.clone());
        Address::new(Kind::RouterHost, site, &datacenter.router.name)
    }
}
