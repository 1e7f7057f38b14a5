//! Names of the resources that stargate creates.

use crate::topology::model::{AzureDatacenter, Cluster};
use crate::topology::names::ResourceGroupName;

/// The route table on every AKS node subnet.
pub const WORKERS_ROUTE_TABLE: &str = "stargate-workers-rt";
/// The route table on the AKS router's subnet.
pub const ROUTER_ROUTE_TABLE: &str = "stargate-router-rt";
/// The AKS router's subnet.
pub const CLUSTER_ROUTER_SUBNET: &str = "stargate-aks-router-subnet";
/// The VNet of a datacenter.
pub const VIRTUAL_NETWORK: &str = "stargate-vnet";
/// The workers' subnet of a datacenter.
pub const WORKER_SUBNET: &str = "stargate-subnet";
/// The router's subnet of a datacenter.
pub const ROUTER_SUBNET: &str = "stargate-router-subnet";
/// The namespace of Servers, profiles and Operations.
pub const NAMESPACE: &str = "stargate";

/// Azure allows 80 characters in the name of a node resource group.
const MAX_NODE_RESOURCE_GROUP: usize = 80;

/// The requested name of the node resource group: AKS's own default, truncated to its
/// limit.
pub fn node_resource_group(cluster: &Cluster, location: &str) -> String {
    let mut name = format!("MC_{}_{}_{location}", cluster.resource_group, cluster.name);
    name.truncate(MAX_NODE_RESOURCE_GROUP);
    name
}

/// The route table on the workers' subnet of a datacenter.
pub fn worker_route_table(site: &AzureDatacenter) -> String {
    format!("{}-route-table", site.resource_group)
}

/// The route table on the router's subnet of a datacenter.
pub fn router_route_table(site: &AzureDatacenter) -> String {
    format!("{}-router-route-table", site.resource_group)
}

/// The NAT gateway of a datacenter.
pub fn nat_gateway(group: &ResourceGroupName) -> String {
    format!("{group}-nat-gateway")
}

/// The interface of a machine.
pub fn interface(machine: &str) -> String {
    format!("{machine}{INTERFACE_SUFFIX}")
}

/// The machine of an interface of that name.
pub fn machine_of(interface: &str) -> Option<&str> {
    interface.strip_suffix(INTERFACE_SUFFIX)
}

const INTERFACE_SUFFIX: &str = "-nic";

/// The public address of a machine or gateway.
pub fn public_ip(owner: &str) -> String {
    format!("{owner}{PUBLIC_IP_SUFFIX}")
}

/// The machine or gateway of a public address of that name.
pub fn owner_of_public_ip(name: &str) -> Option<&str> {
    name.strip_suffix(PUBLIC_IP_SUFFIX)
}

const PUBLIC_IP_SUFFIX: &str = "-pip";

/// A security group.
pub fn security_group(owner: &str) -> String {
    format!("{owner}-nsg")
}
