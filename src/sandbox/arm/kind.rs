//! The kinds of objects that the emulated ARM serves.

use serde::{Deserialize, Serialize};

/// A resource provider, as far as the behaviour of its operations differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Provider {
    Network,
    Compute,
    ContainerService,
    Resources,
}

impl Provider {
    pub(super) const ALL: [Self; 4] =
        [Self::Network, Self::Compute, Self::ContainerService, Self::Resources];

    pub(super) fn namespace(self) -> &'static str {
        match self {
            Self::Network => "Microsoft.Network",
            Self::Compute => "Microsoft.Compute",
            Self::ContainerService => "Microsoft.ContainerService",
            Self::Resources => "Microsoft.Resources",
        }
    }

    /// The API versions that a client may choose from, newest first. The emulation takes others,
    /// too.
    pub(super) fn api_versions(self) -> &'static [&'static str] {
        match self {
            Self::Network => &["2025-01-01", "2024-10-01", "2024-05-01"],
            Self::Compute => &["2025-04-01", "2024-11-01", "2024-07-01"],
            Self::ContainerService => &["2025-08-01", "2025-05-01", "2024-09-01"],
            Self::Resources => &["2025-04-01", "2024-11-01", "2021-04-01"],
        }
    }

    pub(super) fn parse(namespace: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|provider| provider.namespace().eq_ignore_ascii_case(namespace))
    }
}

/// The kind of a resource group or of an object in one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ArmKind {
    ResourceGroup,
    VirtualNetwork,
    RouteTable,
    NetworkInterface,
    NetworkSecurityGroup,
    PublicIpAddress,
    NatGateway,
    VirtualMachine,
    Disk,
    ManagedCluster,
    /// A resource of another type that the sandbox added. It only appears in the lists of its
    /// group.
    Foreign,
}

impl ArmKind {
    pub(super) const NAMED: [Self; 10] = [
        Self::ResourceGroup,
        Self::VirtualNetwork,
        Self::RouteTable,
        Self::NetworkInterface,
        Self::NetworkSecurityGroup,
        Self::PublicIpAddress,
        Self::NatGateway,
        Self::VirtualMachine,
        Self::Disk,
        Self::ManagedCluster,
    ];

    /// Namespace and type as written in paths.
    pub(super) fn resource_type(self) -> &'static str {
        match self {
            Self::ResourceGroup => "Microsoft.Resources/resourceGroups",
            Self::VirtualNetwork => "Microsoft.Network/virtualNetworks",
            Self::RouteTable => "Microsoft.Network/routeTables",
            Self::NetworkInterface => "Microsoft.Network/networkInterfaces",
            Self::NetworkSecurityGroup => "Microsoft.Network/networkSecurityGroups",
            Self::PublicIpAddress => "Microsoft.Network/publicIPAddresses",
            Self::NatGateway => "Microsoft.Network/natGateways",
            Self::VirtualMachine => "Microsoft.Compute/virtualMachines",
            Self::Disk => "Microsoft.Compute/disks",
            Self::ManagedCluster => "Microsoft.ContainerService/managedClusters",
            Self::Foreign => "",
        }
    }

    /// The type as shown in bodies: AKS capitalises its own differently.
    pub(super) fn shown_type(self) -> &'static str {
        match self {
            Self::ManagedCluster => "Microsoft.ContainerService/ManagedClusters",
            other => other.resource_type(),
        }
    }

    pub(super) fn parse(resource_type: &str) -> Option<Self> {
        Self::NAMED
            .into_iter()
            .find(|kind| kind.resource_type().eq_ignore_ascii_case(resource_type))
    }

    pub(super) fn provider(self) -> Provider {
        match self {
            Self::ResourceGroup | Self::Foreign => Provider::Resources,
            Self::VirtualMachine | Self::Disk => Provider::Compute,
            Self::ManagedCluster => Provider::ContainerService,
            _ => Provider::Network,
        }
    }

    /// The children stored in the body of an object of this kind.
    pub(super) fn children(self) -> &'static [ChildKind] {
        match self {
            Self::VirtualNetwork => &[ChildKind::Subnet],
            Self::RouteTable => &[ChildKind::Route],
            Self::NetworkSecurityGroup => &[ChildKind::SecurityRule, ChildKind::DefaultRule],
            Self::NetworkInterface => &[ChildKind::IpConfiguration],
            Self::ManagedCluster => &[ChildKind::AgentPool],
            _ => &[],
        }
    }

    pub(super) fn child(self, segment: &str) -> Option<ChildKind> {
        self.children().iter().copied().find(|child| child.segment().eq_ignore_ascii_case(segment))
    }
}

/// The kind of a child, which is stored in the body of its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ChildKind {
    Subnet,
    Route,
    SecurityRule,
    DefaultRule,
    IpConfiguration,
    AgentPool,
}

impl ChildKind {
    /// The kind of the objects whose body holds the children.
    pub(super) fn parent(self) -> ArmKind {
        match self {
            Self::Subnet => ArmKind::VirtualNetwork,
            Self::Route => ArmKind::RouteTable,
            Self::SecurityRule | Self::DefaultRule => ArmKind::NetworkSecurityGroup,
            Self::IpConfiguration => ArmKind::NetworkInterface,
            Self::AgentPool => ArmKind::ManagedCluster,
        }
    }

    /// The segment in paths.
    pub(super) fn segment(self) -> &'static str {
        match self {
            Self::Subnet => "subnets",
            Self::Route => "routes",
            Self::SecurityRule => "securityRules",
            Self::DefaultRule => "defaultSecurityRules",
            Self::IpConfiguration => "ipConfigurations",
            Self::AgentPool => "agentPools",
        }
    }

    /// The member of the parent's body that holds the children.
    pub(super) fn member(self) -> &'static str {
        match self {
            Self::AgentPool => "agentPoolProfiles",
            other => other.segment(),
        }
    }

    pub(super) fn pointer(self) -> String {
        format!("/properties/{}", self.member())
    }

    /// Whether the child can be written at its own URL.
    pub(super) fn writable(self) -> bool {
        !matches!(self, Self::DefaultRule | Self::IpConfiguration)
    }

    pub(super) fn shown_type(self, parent: ArmKind) -> String {
        format!("{}/{}", parent.resource_type(), self.segment())
    }
}
