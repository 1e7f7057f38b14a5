//! The table of kinds: one row for each kind of resource.
//!
//! A row contains everything that holds for all objects of a kind: the service that stores
//! it, its containers, the duration of its changes, its role in the data plane. A new kind
//! is a row here, a value in [`Resource`](super::Resource), a codec, and a function in
//! [`crate::desired`].

use std::fmt;

use serde::{Deserialize, Serialize};

use super::arm_type::{ArmType, COMPUTE, CONTAINER_SERVICE, NETWORK, RESOURCES};
use super::custom_resources::{GROUP, VERSION};
use super::kind_facts::{
    Calls, DataPlaneRole, FixedFields, KindFacts, Requests, Service, UsualSeconds, device, host,
    in_azure, in_cluster, manifest,
};
use super::kubernetes_api::KubernetesApi;
use super::restarts::Restart;

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $facts:expr;)*) => {
        /// The kind of a resource.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "kebab-case")]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
        }

        impl Kind {
            /// Every kind, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The row of the kind.
            pub const fn facts(self) -> &'static KindFacts {
                match self {
                    $(Self::$variant => const { &$facts },)*
                }
            }
        }
    };
}

kinds! {
    /// An Azure resource group.
    ResourceGroup = KindFacts {
        containers: &[],
        seconds: UsualSeconds { delete: 120, ..UsualSeconds::all(1) },
        requests: Requests { reads: Calls::each(2), ..Requests::AZURE },
        ..in_azure("resource-group",
            ArmType::part("Microsoft.Resources/resourceGroups", "resource group", RESOURCES))
    };
    /// An AKS cluster.
    ManagedCluster = KindFacts {
        containers: &[Kind::ResourceGroup],
        conditional_creation: Some("ManagedClusters_CreateOrUpdate in Azure/azure-rest-api-specs, \
            Microsoft.ContainerService/aks/stable/2025-05-01/managedClusters.json"),
        fixed: FixedFields::AllBut(
            &["kubernetes_version", "tier", "support_plan", "node_pools", "provisioning",
              "protected_by"]),
        creation_only: &["node_pools"],
        restarts: &[("kubernetes_version", Restart::ControlPlane)],
        role: DataPlaneRole::Path,
        seconds: UsualSeconds { create: 300, ..UsualSeconds::all(240) },
        ..in_azure("managed-cluster",
            ArmType::listed("Microsoft.ContainerService/managedClusters", "AKS cluster", CONTAINER_SERVICE))
    };
    /// An AKS node pool.
    NodePool = KindFacts {
        containers: &[Kind::ManagedCluster],
        locks_container: true,
        conditional_creation: Some("AgentPools_CreateOrUpdate in Azure/azure-rest-api-specs, \
            Microsoft.ContainerService/aks/stable/2025-05-01/managedClusters.json"),
        // AKS refuses a PUT that changes one of these (`PropertyChangeNotAllowed`; *Resize
        // node pools in AKS*: "AKS doesn't support resizing node pools directly").
        fixed: FixedFields::Only(&["vm_size", "max_pods", "os_disk_gb", "zones", "subnet"]),
        restarts: &[("kubernetes_version", Restart::PoolNodes)],
        seconds: UsualSeconds { update: 180, ..UsualSeconds::all(240) },
        ..in_azure("node-pool",
            ArmType::part("Microsoft.ContainerService/managedClusters/agentPools", "node pool", CONTAINER_SERVICE))
    };
    /// An Azure virtual network.
    VirtualNetwork = KindFacts {
        role: DataPlaneRole::Path,
        ..in_azure("virtual-network",
            ArmType::listed("Microsoft.Network/virtualNetworks", "virtual network", NETWORK))
    };
    /// A subnet that stargate makes.
    Subnet = KindFacts {
        marked: false,
        containers: &[Kind::VirtualNetwork, Kind::ManagedCluster],
        locks_container: true,
        fixed: FixedFields::Only(&["address_prefix", "virtual_network"]),
        role: DataPlaneRole::Path,
        ..in_azure("subnet",
            ArmType::part("Microsoft.Network/virtualNetworks/subnets", "subnet", NETWORK))
    };
    /// The route table of an AKS node subnet.
    RouteTableAssociation = KindFacts {
        service: Service::AzureProperty(
            ArmType::part("Microsoft.Network/virtualNetworks/subnets", "subnet", NETWORK)),
        marked: false,
        locks_container: true,
        fixed: FixedFields::NONE,
        role: DataPlaneRole::Path,
        ..in_azure("route-table-association",
            ArmType::part("Microsoft.Network/virtualNetworks/subnets", "subnet", NETWORK))
    };
    /// A NAT gateway.
    NatGateway = KindFacts {
        seconds: UsualSeconds::all(20),
        ..in_azure("nat-gateway",
            ArmType::listed("Microsoft.Network/natGateways", "NAT gateway", NETWORK))
    };
    /// A network security group.
    NetworkSecurityGroup = KindFacts {
        role: DataPlaneRole::Path,
        ..in_azure("network-security-group",
            ArmType::listed("Microsoft.Network/networkSecurityGroups", "network security group", NETWORK))
    };
    /// A public IP address.
    PublicIpAddress = in_azure("public-ip-address",
        ArmType::listed("Microsoft.Network/publicIPAddresses", "public IP address", NETWORK));
    /// A network interface.
    NetworkInterface = KindFacts {
        containers: &[Kind::ResourceGroup, Kind::Subnet],
        fixed: FixedFields::Only(&["location", "subnet", "private_ip"]),
        role: DataPlaneRole::Path,
        ..in_azure("network-interface",
            ArmType::listed("Microsoft.Network/networkInterfaces", "network interface", NETWORK))
    };
    /// A virtual machine.
    VirtualMachine = KindFacts {
        containers: &[Kind::ResourceGroup, Kind::NetworkInterface],
        conditional_creation: Some("VirtualMachines_CreateOrUpdate in Azure/azure-rest-api-specs, \
            Microsoft.Compute/ComputeRP/stable/2024-07-01/virtualMachine.json"),
        fixed: FixedFields::Only(&["location", "network_interface"]),
        // Azure sets up the login once, from `osProfile`, which it refuses to change.
        creation_only: &["admin_user", "ssh_public_key"],
        restarts: &[("vm_size", Restart::Machine)],
        role: DataPlaneRole::Path,
        seconds: UsualSeconds::all(60),
        ..in_azure("virtual-machine",
            ArmType::listed("Microsoft.Compute/virtualMachines", "virtual machine", COMPUTE))
    };
    /// A route table.
    RouteTable = KindFacts {
        role: DataPlaneRole::Routes,
        ..in_azure("route-table",
            ArmType::listed("Microsoft.Network/routeTables", "route table", NETWORK))
    };
    /// A route of ours in a route table of another owner. Its name tells whose it is.
    Route = KindFacts {
        marked: false,
        containers: &[],
        locks_container: true,
        fixed: FixedFields::NONE,
        role: DataPlaneRole::Routes,
        ..in_azure("route",
            ArmType::part("Microsoft.Network/routeTables/routes", "route", NETWORK))
    };
    /// A router's device in the tailnet.
    TailnetDevice = KindFacts {
        containers: &[Kind::VirtualMachine],
        role: DataPlaneRole::Path,
        seconds: UsualSeconds { create: 60, ..UsualSeconds::all(1) },
        ..device("tailnet-device")
    };
    /// The prefixes that a router advertises to the tailnet. The router itself
    /// sets them, so the API is only read.
    AdvertisedRoutes = KindFacts {
        deleted_with_container: true,
        requests: Requests { writes: Calls::once(0), ..Requests::TAILNET },
        ..device("advertised-routes")
    };
    /// The prefixes that the tailnet accepts from a router.
    ApprovedRoutes = KindFacts {
        deleted_with_container: true,
        ..device("approved-routes")
    };
    /// A CustomResourceDefinition.
    CustomResourceDefinition = manifest("custom-resource-definition",
        KubernetesApi::cluster_wide("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"));
    /// A Kubernetes namespace.
    Namespace = manifest("namespace", KubernetesApi::cluster_wide("", "v1", "Namespace", "namespaces"));
    /// A Kubernetes service account.
    ServiceAccount = manifest("service-account",
        KubernetesApi::namespaced("", "v1", "ServiceAccount", "serviceaccounts"));
    /// A cluster role.
    ClusterRole = manifest("cluster-role",
        KubernetesApi::cluster_wide("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles"));
    /// A cluster role binding.
    ClusterRoleBinding = KindFacts {
        fixed: FixedFields::Only(&["roleRef"]),
        ..manifest("cluster-role-binding",
            KubernetesApi::cluster_wide("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings"))
    };
    /// A DaemonSet.
    DaemonSet = KindFacts {
        fixed: FixedFields::Only(&["spec.selector"]),
        ..manifest("daemon-set", KubernetesApi::namespaced("apps", "v1", "DaemonSet", "daemonsets"))
    };
    /// A Kubernetes service.
    Service = manifest("service", KubernetesApi::namespaced("", "v1", "Service", "services"));
    /// A Server, stargate's record of a machine.
    Server = KindFacts {
        containers: &[Kind::ManagedCluster, Kind::Namespace, Kind::CustomResourceDefinition],
        ..manifest("server", KubernetesApi::namespaced(GROUP, VERSION, "Server", "servers"))
    };
    /// A ProvisioningProfile.
    ProvisioningProfile = KindFacts {
        containers: &[Kind::ManagedCluster, Kind::Namespace, Kind::CustomResourceDefinition],
        ..manifest("provisioning-profile",
            KubernetesApi::namespaced(GROUP, VERSION, "ProvisioningProfile", "provisioningprofiles"))
    };
    /// A worker's CiliumNode.
    CiliumNode = KindFacts {
        containers: &[Kind::Worker],
        deleted_with_container: true,
        appears_by_itself: true,
        role: DataPlaneRole::Path,
        ..in_cluster("cilium-node", KubernetesApi::cluster_wide("cilium.io", "v2", "CiliumNode", "ciliumnodes"))
    };
    /// A router's host configuration. It is reached through the tailnet.
    RouterHost = KindFacts {
        role: DataPlaneRole::Routes,
        seconds: UsualSeconds::all(15),
        requests: Requests { writes: Calls::once(0), ..Requests::TAILNET },
        ..host("router-host")
    };
    /// A worker's membership in the cluster: its Node, and the host behind it.
    Worker = KindFacts {
        containers: &[Kind::ManagedCluster, Kind::VirtualMachine],
        // Its profile and the right to join, until it has left.
        relies_on: &[Kind::ProvisioningProfile, Kind::ClusterRoleBinding],
        appears_by_itself: true,
        // A Node's pod CIDR and provider id can be set once.
        fixed: FixedFields::Only(&["pod_cidr", "provider_id", "ip"]),
        restarts: &[
            ("kubelet_version", Restart::KubeletUpgrade),
            ("profile_digest", Restart::NodeAgents),
            ("host", Restart::NodeAgents),
            ("ready", Restart::NodeAgents),
        ],
        role: DataPlaneRole::Path,
        seconds: UsualSeconds { create: 90, reboot: 120, ..UsualSeconds::all(1) },
        // Token, approval, pod CIDR, annotation, Operation twice, token deleted.
        requests: Requests { reads: Calls::once(6), writes: Calls::once(7), ..Requests::MANIFEST },
        ..in_cluster("worker", KubernetesApi::cluster_wide("", "v1", "Node", "nodes"))
    };
}

impl Kind {
    /// The word that stands first in an address.
    pub const fn as_str(self) -> &'static str {
        self.facts().name
    }

    /// The kind of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }

    /// The type in Azure Resource Manager; `None` for objects of other services.
    pub const fn arm(self) -> Option<&'static ArmType> {
        match &self.facts().service {
            Service::Azure(arm) | Service::AzureProperty(arm) => Some(arm),
            Service::Tailnet | Service::Kubernetes(_) | Service::Host => None,
        }
    }

    /// The name of [`Kind::arm`], as in `Microsoft.Network/routeTables`; empty for objects
    /// of other services.
    pub const fn arm_type(self) -> &'static str {
        match self.arm() {
            Some(arm) => arm.name,
            None => "",
        }
    }

    /// The kind of the objects of a type of Azure Resource Manager, in any
    /// letter case.
    pub fn of_arm_type(resource_type: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| match &kind.facts().service {
            Service::Azure(arm) => arm.name.eq_ignore_ascii_case(resource_type),
            _ => false,
        })
    }

    /// Whether the cluster's API server holds its objects.
    pub fn is_kubernetes(self) -> bool {
        matches!(self.facts().service, Service::Kubernetes(_))
    }

    /// Whether objects of this kind can be in one of the other kind.
    pub fn is_contained_in(self, container: Self) -> bool {
        self.facts().containers.contains(&container)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_kind_has_a_name_of_its_own_and_is_written_by_it() {
        let names: BTreeSet<&str> = Kind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(names.len(), Kind::ALL.len());
        for kind in Kind::ALL {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.as_str());
            assert_eq!(Kind::named(kind.as_str()), Some(*kind));
        }
    }

    #[test]
    fn no_two_kinds_have_objects_of_one_type() {
        for kind in Kind::ALL {
            if let Service::Azure(arm) = &kind.facts().service {
                assert_eq!(Kind::of_arm_type(&arm.name.to_ascii_lowercase()), Some(*kind));
            }
        }
        let subnet = Kind::RouteTableAssociation.arm_type();
        assert_eq!(Kind::of_arm_type(subnet), Some(Kind::Subnet), "a property is no object");
        assert_eq!(Kind::of_arm_type("Microsoft.Compute/disks"), None);
    }

    #[test]
    fn conditional_creations_are_documented_in_the_version_that_is_spoken() {
        for kind in Kind::ALL {
            let Some(source) = kind.facts().conditional_creation else { continue };
            let version = kind.arm().map(|arm| arm.api_version);
            assert!(version.is_some_and(|version| source.contains(version)), "{kind}: {source}");
        }
    }

    #[test]
    fn containers_lead_to_no_circle() {
        fn visit(kind: Kind, path: &mut Vec<Kind>) {
            assert!(!path.contains(&kind), "{kind} contains itself: {path:?}");
            path.push(kind);
            kind.facts().containers.iter().for_each(|container| visit(*container, path));
            path.pop();
        }
        Kind::ALL.iter().for_each(|kind| visit(*kind, &mut Vec::new()));
    }
}
