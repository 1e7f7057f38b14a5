//! Resources: addresses, the table of kinds, typed values, and the marks of
//! ownership.
//!
//! The same struct serves as the desired value and as the observed one. A
//! decoder fills it from what a service answered and leaves out what stargate
//! does not govern, so that defaults and read-only fields that a service adds
//! can never look like drift.

pub mod address;
pub mod api;
pub mod arm_id;
pub mod arm_type;
pub mod azure;
pub mod custom_resources;
pub mod digest;
pub mod host;
mod kind;
mod kind_facts;
pub mod kubernetes;
pub mod names;
pub mod ownership;
pub mod pending;
pub mod restarts;
pub mod settings;
pub mod tailnet;
pub mod version;

use serde::{Deserialize, Serialize};

pub use address::{Address, Side};
pub use api::Api;
pub use arm_id::ArmId;
pub use arm_type::ArmType;
pub use kind::Kind;
pub use kind_facts::{
    Calls, DataPlaneRole, FixedFields, KindFacts, Reference, Requests, Service, UsualSeconds,
};
pub use ownership::{Owner, Ownership};
pub use pending::{Observable, Pending};

/// The value of one object, desired or observed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "kind", content = "value")]
pub enum Resource {
    /// An Azure resource group.
    ResourceGroup(azure::ResourceGroup),
    /// An AKS cluster.
    ManagedCluster(azure::ManagedCluster),
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
    NetworkInterface(azure::NetworkInterface),
    /// A virtual machine.
    VirtualMachine(azure::VirtualMachine),
    /// A route table with all its routes.
    RouteTable(azure::RouteTable),
    /// A router's device in the tailnet.
    TailnetDevice(tailnet::Device),
    /// The prefixes that a router offers to the tailnet.
    AdvertisedRoutes(tailnet::RouteSet),
    /// The prefixes that the tailnet accepts from a router.
    ApprovedRoutes(tailnet::RouteSet),
    /// A Kubernetes object that is applied whole.
    Manifest(kubernetes::Manifest),
    /// The CiliumNode of a worker.
    CiliumNode(kubernetes::CiliumNode),
    /// A router's host configuration.
    RouterHost(host::RouterHost),
    /// A worker's membership in the cluster, and its host behind it.
    Worker(host::Worker),
}

impl Resource {
    /// The kind of the object.
    pub fn kind(&self) -> Kind {
        match self {
            Self::ResourceGroup(_) => Kind::ResourceGroup,
            Self::ManagedCluster(_) => Kind::ManagedCluster,
            Self::VirtualNetwork(_) => Kind::VirtualNetwork,
            Self::Subnet(_) => Kind::Subnet,
            Self::RouteTableAssociation(_) => Kind::RouteTableAssociation,
            Self::NatGateway(_) => Kind::NatGateway,
            Self::NetworkSecurityGroup(_) => Kind::NetworkSecurityGroup,
            Self::PublicIpAddress(_) => Kind::PublicIpAddress,
            Self::NetworkInterface(_) => Kind::NetworkInterface,
            Self::VirtualMachine(_) => Kind::VirtualMachine,
            Self::RouteTable(_) => Kind::RouteTable,
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
        (self.kind().facts().references)(self)
    }

    /// The resources that the value's pending fields wait for, each once.
    pub fn awaits(&self) -> Vec<Address> {
        let mut found = (self.kind().facts().awaits)(self);
        found.sort();
        found.dedup();
        found
    }
}

/// Where an object stands in the service that holds it.
///
/// Two objects are the same one exactly when their keys are equal.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ObjectKey {
    /// An object of Azure Resource Manager.
    Azure(ArmId),
    /// The route table of a subnet that is not ours, by the subnet's id.
    AzureAssociation(ArmId),
    /// A device, by its host name among the devices with our tag.
    Device(String),
    /// What a device offers, by the device's host name.
    DeviceAdvertised(String),
    /// What the tailnet accepts from a device, by the device's host name.
    DeviceApproved(String),
    /// An object of the cluster.
    Kubernetes(kubernetes::ObjectName),
    /// A host's configuration, by host name.
    Host(String),
}

impl ObjectKey {
    /// The object's own name.
    pub fn name(&self) -> &str {
        match self {
            Self::Azure(id) | Self::AzureAssociation(id) => id.name(),
            Self::Kubernetes(object) => &object.name,
            Self::Device(name)
            | Self::DeviceAdvertised(name)
            | Self::DeviceApproved(name)
            | Self::Host(name) => name,
        }
    }
}
