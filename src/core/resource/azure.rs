//! Values of Azure.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::{Address, ArmId, Observable, Pending, Reference};
use crate::resource::settings::{ClusterTier, NodePoolMode, NodePoolScale, SupportPlan};
use crate::resource::version::KubernetesVersion;

/// The state of a creation that takes Azure minutes.
///
/// A working object that is being changed equals a ready one: Azure changes objects by
/// itself at any time. A write waits until Azure has finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Provisioning {
    /// The creation is complete.
    #[default]
    Ready,
    /// It is being made.
    Creating,
    /// It exists and is being changed, or Azure reports a state that is not known.
    Updating,
    /// It is being deleted, at the request of another client.
    Deleting,
    /// Azure gave up on it.
    Failed,
}

/// A resource group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceGroup {
    /// The region.
    pub location: String,
    /// The block of the topology whose protection is recorded on it, as in
    /// `datacenters.dc1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_by: Option<String>,
}

/// An AKS cluster with Azure CNI overlay and Cilium.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ManagedCluster {
    /// The region.
    pub location: String,
    /// The version of the control plane.
    pub kubernetes_version: KubernetesVersion,
    /// The pricing tier; compared only if the topology sets it.
    #[serde(default = "Observable::unobserved")]
    pub tier: Observable<ClusterTier>,
    /// The support plan; compared only if the topology sets it.
    #[serde(default = "Observable::unobserved")]
    pub support_plan: Observable<SupportPlan>,
    /// The group that AKS makes for nodes and network.
    pub node_resource_group: String,
    /// `azure` for Azure CNI.
    pub network_plugin: String,
    /// `overlay`.
    pub network_plugin_mode: String,
    /// `cilium`.
    pub network_dataplane: String,
    /// `cilium`.
    pub network_policy: String,
    /// The range of all pods.
    pub pod_cidr: Ipv4Net,
    /// The range of services.
    pub service_cidr: Ipv4Net,
    /// The node pools that are created with the cluster. Pools of an existing cluster are
    /// resources of their own.
    pub node_pools: BTreeMap<String, NodePool>,
    /// How far its making has come.
    pub provisioning: Provisioning,
    /// The block of the topology whose protection is recorded on it, as in
    /// `datacenters.dc1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_by: Option<String>,
}

/// An AKS node pool.
///
/// The settings that are `Observable` are compared only if the topology sets them:
/// AKS chooses their values otherwise.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodePool {
    /// The key in the topology, from the tag [`POOL_TAG`](super::ownership::POOL_TAG);
    /// empty for a pool that stargate did not create.
    pub key: String,
    /// Whether AKS runs its own pods on it.
    pub mode: NodePoolMode,
    /// The size of its machines.
    pub vm_size: String,
    /// A fixed count, or the autoscaler's bounds; in the latter case the
    /// present count is no drift.
    pub scale: NodePoolScale,
    /// The version of its kubelets.
    pub kubernetes_version: KubernetesVersion,
    /// The labels of its nodes, apart from AKS's own.
    pub labels: BTreeMap<String, String>,
    /// The taints of its nodes, as in `key=value:NoSchedule`.
    pub taints: BTreeSet<String>,
    /// The number or percentage of additional nodes during an upgrade, as in `33%`.
    pub max_surge: Observable<String>,
    /// The maximum number of pods on a node.
    pub max_pods: Observable<u32>,
    /// The size of the operating system disk in GB.
    pub os_disk_gb: Observable<u32>,
    /// The availability zones.
    pub zones: Observable<BTreeSet<String>>,
    /// The subnet of its nodes; `None` if AKS chose it.
    pub subnet: Option<ArmId>,
    /// How far its making has come.
    pub provisioning: Provisioning,
}

/// A virtual network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualNetwork {
    /// The region.
    pub location: String,
    /// The address space.
    pub address_prefixes: Vec<Ipv4Net>,
    /// The block of the topology whose protection is recorded on it, as in
    /// `datacenters.dc1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_by: Option<String>,
}

/// A subnet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subnet {
    /// The VNet that holds it.
    pub virtual_network: Pending<ArmId>,
    /// Its range.
    pub address_prefix: Ipv4Net,
    /// The route table on it.
    pub route_table: Option<ArmId>,
    /// The NAT gateway on it.
    pub nat_gateway: Option<ArmId>,
    /// The security group on it.
    pub network_security_group: Option<ArmId>,
}

impl Subnet {
    pub(super) fn references(&self) -> Vec<Reference<'_>> {
        let attached = [&self.route_table, &self.nat_gateway, &self.network_security_group];
        attached.into_iter().flatten().map(Reference::mutual).collect()
    }

    pub(super) fn awaits(&self) -> Vec<Address> {
        self.virtual_network.awaited().into_iter().collect()
    }
}

/// The route table of a subnet that is not ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTableAssociation {
    /// The subnet.
    pub subnet: Pending<ArmId>,
    /// The table on it, if it has one.
    pub route_table: Option<ArmId>,
}

impl RouteTableAssociation {
    pub(super) fn references(&self) -> Vec<Reference<'_>> {
        self.route_table.iter().map(Reference::mutual).collect()
    }

    pub(super) fn awaits(&self) -> Vec<Address> {
        self.subnet.awaited().into_iter().collect()
    }
}

/// A NAT gateway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NatGateway {
    /// The region.
    pub location: String,
    /// The source address of outbound connections.
    pub public_ip: ArmId,
    /// The block of the topology whose protection is recorded on it, as in
    /// `datacenters.dc1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_by: Option<String>,
}

impl NatGateway {
    pub(super) fn references(&self) -> Vec<Reference<'_>> {
        vec![Reference::mutual(&self.public_ip)]
    }
}

/// A network security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkSecurityGroup {
    /// The region.
    pub location: String,
    /// All its rules, by name.
    pub rules: BTreeMap<String, SecurityRule>,
    /// The block of the topology whose protection is recorded on it, as in
    /// `datacenters.dc1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_by: Option<String>,
}

/// A rule of a network security group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecurityRule {
    /// 100 to 4096; the lower number wins.
    pub priority: u16,
    /// The direction of the matched traffic.
    pub direction: RuleDirection,
    /// The effect on matching packets.
    pub access: Access,
    /// `*`, `Tcp`, `Udp` or `Icmp`.
    pub protocol: String,
    /// Where packets come from: prefixes, or a service tag.
    pub source_prefixes: Vec<String>,
    /// Where they go: prefixes, or a service tag.
    pub destination_prefixes: Vec<String>,
    /// Destination ports, `*` or ranges.
    pub destination_ports: Vec<String>,
}

/// The direction of the traffic that a rule matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum RuleDirection {
    /// Into the subnet or interface.
    Inbound,
    /// Out of it.
    Outbound,
}

/// The effect of a rule on matching packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Access {
    /// Let the packet pass.
    Allow,
    /// Drop it.
    Deny,
}

/// A static public IP address of the Standard SKU.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublicIpAddress {
    /// The region.
    pub location: String,
    /// The block of the topology whose protection is recorded on it, as in
    /// `datacenters.dc1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_by: Option<String>,
}

/// A network interface with one static private address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkInterface {
    /// The region.
    pub location: String,
    /// The subnet that it is in.
    pub subnet: Pending<ArmId>,
    /// Its address.
    pub private_ip: Ipv4Addr,
    /// Whether it may send and receive packets of other addresses.
    pub ip_forwarding: bool,
    /// Its public address, if it has one.
    pub public_ip: Option<ArmId>,
    /// The security group on it, which filters packets in addition to the subnet's. None is of
    /// the topology.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network_security_group: Option<ArmId>,
    /// The block of the topology whose protection is recorded on it, as in
    /// `datacenters.dc1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_by: Option<String>,
}

impl NetworkInterface {
    pub(super) fn references(&self) -> Vec<Reference<'_>> {
        let subnet = self.subnet.known().map(Reference::one_way);
        let attached = [&self.public_ip, &self.network_security_group];
        subnet.into_iter().chain(attached.into_iter().flatten().map(Reference::mutual)).collect()
    }

    pub(super) fn awaits(&self) -> Vec<Address> {
        self.subnet.awaited().into_iter().collect()
    }
}

/// A virtual machine.
///
/// Values that only its creation uses (cloud-init, the auth key in it) are not part of the
/// value: Azure never returns them, so they could not be compared.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualMachine {
    /// The region.
    pub location: String,
    /// The size.
    pub vm_size: String,
    /// The login user.
    pub admin_user: String,
    /// The public key that may log in.
    pub ssh_public_key: String,
    /// Its interface.
    pub network_interface: ArmId,
    /// The purpose.
    pub role: MachineRole,
    /// How far its making has come.
    pub provisioning: Provisioning,
    /// The block of the topology whose protection is recorded on it, as in
    /// `datacenters.dc1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_by: Option<String>,
}

impl VirtualMachine {
    pub(super) fn references(&self) -> Vec<Reference<'_>> {
        vec![Reference::mutual(&self.network_interface)]
    }
}

/// The purpose of a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MachineRole {
    /// A subnet router of the tailnet.
    Router,
    /// A Kubernetes worker.
    Worker,
}

/// A route table with all its routes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteTable {
    /// The region.
    pub location: String,
    /// Next hops by destination; exactly these.
    pub routes: Pending<BTreeMap<Ipv4Net, NextHop>>,
    /// The block of the topology whose protection is recorded on it, as in
    /// `datacenters.dc1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_by: Option<String>,
}

impl RouteTable {
    pub(super) fn awaits(&self) -> Vec<Address> {
        self.routes.awaited().into_iter().collect()
    }
}

/// One route in a route table of another owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SingleRoute {
    /// The destination.
    pub address_prefix: Ipv4Net,
    /// Where packets go.
    pub next_hop: NextHop,
}

/// Where a route sends packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NextHop {
    /// A private address in the VNet: Azure's `VirtualAppliance`.
    #[serde(rename = "virtual_appliance")]
    Appliance(Ipv4Addr),
    /// The VNet itself.
    VirtualNetwork,
    /// The internet.
    Internet,
    /// A VPN or ExpressRoute gateway.
    Gateway,
    /// Nowhere: the packet is dropped.
    None,
}

impl NextHop {
    /// The address of a private next hop.
    pub fn address(self) -> Option<Ipv4Addr> {
        match self {
            Self::Appliance(address) => Some(address),
            Self::VirtualNetwork | Self::Internet | Self::Gateway | Self::None => None,
        }
    }
}
