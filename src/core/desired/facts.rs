//! Facts of live state that desired resources are computed from.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use super::OfferedVersions;
use crate::resource::azure::NodePool;
use crate::resource::settings::SupportPlan;
use crate::resource::work_request::RequestedOperation;
use crate::resource::{ArmId, Kind, ObjectKey, Site};
use crate::topology::names::{DatacenterName, SubscriptionId, WorkerName};
use crate::topology::version::KubernetesVersion;

/// Facts that the resources of a topology depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Facts {
    /// The subscription, from the topology or from the environment.
    pub subscription: SubscriptionId,
    /// The public key given to new machines.
    pub ssh_public_key: String,
    /// The AKS cluster, once it exists.
    pub cluster: Option<ClusterFacts>,
    /// AKS nodes with known pod CIDRs.
    pub nodes: Vec<AksNode>,
    /// AKS nodes whose pod CIDR is unknown so far.
    pub nodes_without_pod_cidr: Vec<NodeWithoutPodCidr>,
    /// The tailnet address of each router that has joined, by host name.
    pub router_addresses: BTreeMap<String, Ipv4Addr>,
    /// The tailnet address of each router that is not authorized, by host name: it keeps the
    /// address, and cannot be reached through it.
    pub unauthorized_routers: BTreeMap<String, Ipv4Addr>,
    /// Datacenters that left the topology and whose workers the cluster still records.
    pub departed: BTreeMap<Site, DepartedSite>,
    /// The router that each datacenter has now, by its host name, as the cluster records it.
    /// The topology may name another one: until that serves, hosts are reached through this
    /// one.
    pub present_routers: BTreeMap<Site, String>,
    /// How far the requested work on workers is, if work was requested.
    pub request: Option<RequestProgress>,
    /// The address that the workers of a datacenter in Azure come from: that of its NAT
    /// gateway.
    pub egress_addresses: BTreeMap<DatacenterName, Ipv4Addr>,
    /// The current addresses of each worker.
    pub assigned: BTreeMap<WorkerName, AssignedAddresses>,
    /// Where the pods of each worker are that has joined.
    pub joined: BTreeMap<WorkerName, JoinedPlace>,
    /// The versions that AKS offers; `None` if the cluster is neither created nor upgraded,
    /// or if AKS did not say.
    pub offered_versions: Option<OfferedVersions>,
    /// Whether node pools and workers that run another patch than the control plane are
    /// upgraded to it.
    pub upgrade_patches: bool,
    /// The day of the refresh, in UTC: known drift is ignored until a date.
    pub today: Date,
}

/// How far the work on workers is that the user requested by their names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestProgress {
    /// Names the request in the records of the work: an interrupted one is continued
    /// under its name.
    pub id: String,
    /// Workers on which an interrupted run has done the work, and when it ended.
    pub done: BTreeMap<WorkerName, String>,
    /// Workers that left the cluster in an interrupted run and have only to join again.
    pub left: BTreeSet<WorkerName>,
    /// The Operations that request the work, if people created them.
    pub operations: BTreeMap<WorkerName, RequestedOperation>,
}

/// A datacenter that left the topology: the configuration of its hosts must still be
/// removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DepartedSite {
    /// The host name of its router, if the router is in the tailnet.
    pub router: Option<String>,
    /// Whether its machines existed before stargate and stay after it.
    pub is_existing: bool,
}

/// The AKS cluster as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterFacts {
    /// The group that AKS made for nodes and network.
    pub node_resource_group: String,
    /// The VNet that its nodes are in.
    pub virtual_network: ArmId,
    /// The VNet's region.
    pub network_location: String,
    /// The VNet's address space.
    pub address_prefixes: Vec<Ipv4Net>,
    /// The subnets that node pools are in.
    pub node_subnets: Vec<NodeSubnet>,
    /// Every subnet of the VNet.
    pub subnets: BTreeMap<String, Ipv4Net>,
    /// The range of all pods.
    pub pod_cidr: Ipv4Net,
    /// The range of services.
    pub service_cidr: Ipv4Net,
    /// The address of the cluster's DNS.
    pub dns_service_ip: Ipv4Addr,
    /// The version that the control plane runs.
    pub version: KubernetesVersion,
    /// The support plan; `None` if AKS names none that is known.
    pub support_plan: Option<SupportPlan>,
    /// The name that the API server's certificate holds.
    pub fqdn: String,
    /// Whether the API server has no public address.
    pub private: bool,
    /// Whether its name is in public DNS, also that of a private API server.
    pub has_public_name: bool,
    /// The addresses that may reach the API server; empty for all.
    pub authorized_ranges: Vec<String>,
    /// Whether its control plane and its nodes are stopped.
    pub stopped: bool,
    /// Whether only AKS may change its node resource group.
    pub node_group_locked: bool,
    /// The node pools by their names in Azure, those of others included.
    pub node_pools: BTreeMap<String, LivePool>,
}

/// A node pool as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LivePool {
    /// Whether the topology owns it.
    pub is_ours: bool,
    /// Its settings; `None` if they could not be read.
    pub value: Option<NodePool>,
}

impl Facts {
    /// The tailnet address of a router that has joined, whether it is authorized or not.
    pub(crate) fn router_address(&self, name: &str) -> Option<Ipv4Addr> {
        let known = self.router_addresses.get(name);
        known.or_else(|| self.unauthorized_routers.get(name)).copied()
    }
}

impl ClusterFacts {
    /// The resource group of the VNet: that of the nodes if AKS made the VNet, and otherwise
    /// its owner's, which may be in another subscription. Azure attaches route tables and
    /// security groups of the VNet's own subscription and region only.
    pub fn network_group(&self) -> ArmId {
        let network = &self.virtual_network;
        let group = network.resource_group_name().unwrap_or_default();
        // The spelling that AKS was asked for.
        let is_of_nodes = group.eq_ignore_ascii_case(&self.node_resource_group);
        let group = if is_of_nodes { &self.node_resource_group } else { group };
        ArmId::resource_group(network.subscription().unwrap_or_default(), group)
    }

    /// Whether the VNet is in the node resource group, and deleted with the cluster.
    pub fn owns_network(&self) -> bool {
        let group = self.virtual_network.resource_group_name();
        group.is_some_and(|group| group.eq_ignore_ascii_case(&self.node_resource_group))
    }

    /// Whether an object is deleted with the cluster: AKS deletes its node
    /// resource group and all that is in it.
    pub fn is_deleted_with(&self, key: &ObjectKey) -> bool {
        match key {
            ObjectKey::Kubernetes(_) => true,
            ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id) => {
                let is_pool = id.resource_type().and_then(|name| Kind::of_arm_type(&name))
                    == Some(Kind::NodePool);
                is_pool
                    || id
                        .resource_group_name()
                        .is_some_and(|it| it.eq_ignore_ascii_case(&self.node_resource_group))
            }
            ObjectKey::Device(_)
            | ObjectKey::DeviceAdvertised(_)
            | ObjectKey::DeviceApproved(_)
            | ObjectKey::Host(_) => false,
        }
    }
}

/// A subnet that AKS nodes are in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeSubnet {
    /// Its id.
    pub id: ArmId,
    /// Its range.
    pub prefix: Ipv4Net,
    /// The security group on it: AKS's own, or its owner's.
    pub security_group: Option<ArmId>,
    /// The route table on it, if the topology does not own it and no other topology does.
    pub foreign_route_table: Option<ArmId>,
}

/// One of AKS's own nodes, of which not all is known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeWithoutPodCidr {
    /// Its name.
    pub name: String,
    /// Its address, if the Node reports one.
    pub address: Option<Ipv4Addr>,
}

/// One of AKS's own nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AksNode {
    /// Its name.
    pub name: String,
    /// Its address.
    pub address: Ipv4Addr,
    /// The range of its pods, as Azure gave it.
    pub pod_cidr: Ipv4Net,
    /// The name of its pool in Azure; `None` for a node outside of pools.
    #[serde(default)]
    pub pool: Option<String>,
}

/// Where the pods of a worker are that has joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinedPlace {
    /// The datacenter that its Node is labelled with.
    pub datacenter: DatacenterName,
    /// The address of its Node.
    pub ip: Ipv4Addr,
    /// The range of its pods.
    pub pod_cidr: Ipv4Net,
    /// The longest prefix that its datacenter's router serves and that the range is in.
    pub served_by: Option<Ipv4Net>,
}

/// The current addresses of a worker.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AssignedAddresses {
    /// Its address, from its NIC or its Server.
    pub ip: Option<Ipv4Addr>,
    /// Its pod CIDR, from its Node or its Server.
    pub pod_cidr: Option<Ipv4Net>,
    /// The version of its kubelet, from its Node.
    pub kubelet_version: Option<KubernetesVersion>,
}
