//! The value of an object: one variant for each type of value.

use serde::{Deserialize, Serialize};

use super::{Address, Kind, Reference, Shared, azure, host, kubernetes, tailnet};

/// The value of one object, desired or observed.
///
/// A large topology has thousands of objects of some kinds, and a plan holds the values of
/// those that change. These are shared, and so are the largest of the others, since every
/// value takes as much room as the largest kind does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "value")]
pub enum Resource {
    /// An Azure resource group.
    ResourceGroup(azure::ResourceGroup),
    /// An AKS cluster.
    ManagedCluster(Shared<azure::ManagedCluster>),
    /// An AKS node pool.
    NodePool(Shared<azure::NodePool>),
    /// An Azure virtual network.
    VirtualNetwork(azure::VirtualNetwork),
    /// A subnet that stargate makes.
    Subnet(azure::Subnet),
    /// The one property of an AKS node subnet that stargate sets.
    RouteTableAssociation(azure::RouteTableAssociation),
    /// A NAT gateway, by which workers reach out.
    NatGateway(azure::NatGateway),
    /// A network security group.
    NetworkSecurityGroup(azure::NetworkSecurityGroup),
    /// A public IP address.
    PublicIpAddress(azure::PublicIpAddress),
    /// A network interface.
    NetworkInterface(Shared<azure::NetworkInterface>),
    /// A virtual machine.
    VirtualMachine(Shared<azure::VirtualMachine>),
    /// A route table with all its routes.
    RouteTable(Shared<azure::RouteTable>),
    /// A route of ours in a table of another owner.
    Route(azure::SingleRoute),
    /// A router's device in the tailnet.
    TailnetDevice(tailnet::Device),
    /// The prefixes that a router offers to the tailnet.
    AdvertisedRoutes(tailnet::RouteSet),
    /// The prefixes that the tailnet accepts from a router.
    ApprovedRoutes(tailnet::RouteSet),
    /// A Kubernetes object that is applied whole.
    Manifest(kubernetes::Manifest),
    /// The CiliumNode of a worker.
    CiliumNode(Shared<kubernetes::CiliumNode>),
    /// A router's host configuration.
    RouterHost(Shared<host::RouterHost>),
    /// A worker's membership in the cluster, and its host behind it.
    Worker(Shared<host::JoinedWorker>),
}

impl Resource {
    /// The kind of the object.
    pub fn kind(&self) -> Kind {
        match self {
            Self::ResourceGroup(_) => Kind::ResourceGroup,
            Self::ManagedCluster(_) => Kind::ManagedCluster,
            Self::NodePool(_) => Kind::NodePool,
            Self::VirtualNetwork(_) => Kind::VirtualNetwork,
            Self::Subnet(_) => Kind::Subnet,
            Self::RouteTableAssociation(_) => Kind::RouteTableAssociation,
            Self::NatGateway(_) => Kind::NatGateway,
            Self::NetworkSecurityGroup(_) => Kind::NetworkSecurityGroup,
            Self::PublicIpAddress(_) => Kind::PublicIpAddress,
            Self::NetworkInterface(_) => Kind::NetworkInterface,
            Self::VirtualMachine(_) => Kind::VirtualMachine,
            Self::RouteTable(_) => Kind::RouteTable,
            Self::Route(_) => Kind::Route,
            Self::TailnetDevice(_) => Kind::TailnetDevice,
            Self::AdvertisedRoutes(_) => Kind::AdvertisedRoutes,
            Self::ApprovedRoutes(_) => Kind::ApprovedRoutes,
            Self::Manifest(manifest) => manifest.kind.into(),
            Self::CiliumNode(_) => Kind::CiliumNode,
            Self::RouterHost(_) => Kind::RouterHost,
            Self::Worker(_) => Kind::Worker,
        }
    }

    /// The objects that the value points at.
    pub fn references(&self) -> Vec<Reference<'_>> {
        match self {
            Self::Subnet(subnet) => subnet.references(),
            Self::RouteTableAssociation(association) => association.references(),
            Self::NatGateway(gateway) => gateway.references(),
            Self::NetworkInterface(interface) => interface.references(),
            Self::VirtualMachine(machine) => machine.references(),
            Self::ResourceGroup(_)
            | Self::ManagedCluster(_)
            | Self::NodePool(_)
            | Self::VirtualNetwork(_)
            | Self::NetworkSecurityGroup(_)
            | Self::PublicIpAddress(_)
            | Self::RouteTable(_)
            | Self::Route(_)
            | Self::TailnetDevice(_)
            | Self::AdvertisedRoutes(_)
            | Self::ApprovedRoutes(_)
            | Self::Manifest(_)
            | Self::CiliumNode(_)
            | Self::RouterHost(_)
            | Self::Worker(_) => Vec::new(),
        }
    }

    /// The resources that the value's pending fields wait for, each once.
    pub fn awaits(&self) -> Vec<Address> {
        let mut found = self.awaited_by_fields();
        found.sort();
        found.dedup();
        found
    }

    fn awaited_by_fields(&self) -> Vec<Address> {
        match self {
            Self::Subnet(subnet) => subnet.awaits(),
            Self::RouteTableAssociation(association) => association.awaits(),
            Self::NetworkInterface(interface) => interface.awaits(),
            Self::RouteTable(table) => table.awaits(),
            Self::AdvertisedRoutes(routes) | Self::ApprovedRoutes(routes) => routes.awaits(),
            Self::Manifest(manifest) => manifest.awaits(),
            Self::RouterHost(router) => router.awaits(),
            Self::ResourceGroup(_)
            | Self::ManagedCluster(_)
            | Self::NodePool(_)
            | Self::VirtualNetwork(_)
            | Self::NatGateway(_)
            | Self::NetworkSecurityGroup(_)
            | Self::PublicIpAddress(_)
            | Self::VirtualMachine(_)
            | Self::Route(_)
            | Self::TailnetDevice(_)
            | Self::CiliumNode(_)
            | Self::Worker(_) => Vec::new(),
        }
    }
}
