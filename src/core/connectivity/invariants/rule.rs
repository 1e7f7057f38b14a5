//! The names of the rules, and the sources that they need.

use crate::resource::Kind;

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $looks_at:expr;)*) => {
        /// A rule that holds in every correct state.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Invariant {
            $($(#[$doc])* $variant,)*
        }

        impl Invariant {
            /// Every rule.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The invariant that it is a part of.
            pub fn number(self) -> u8 {
                match self {
                    $(Self::$variant => $number,)*
                }
            }

            /// Its name, which stays.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// The kinds of resources that it checks.
            pub(super) fn looks_at(self) -> &'static [Kind] {
                match self {
                    $(Self::$variant => $looks_at,)*
                }
            }
        }
    };
}

rules! {
    /// The runtime of a worker chose our CNI configuration, and that names its
    /// pods.
    CniConfigActive = 1, "cni-config-active", &[Kind::Worker];
    /// A Server names its datacenter's router by its address in the tailnet.
    ServerRouterAddressCurrent = 2, "server-router-address-current", &[Kind::Server, Kind::TailnetDevice];
    /// No route has an unassigned address as its next hop.
    NextHopExists = 3, "next-hop-exists", &[Kind::RouteTable, Kind::Route, Kind::Worker];
    /// No route is for pods that no node has.
    NoStaleRoutes = 3, "no-stale-routes", &[Kind::RouteTable, Kind::Route, Kind::Worker];
    /// The tailnet has approved exactly the routes that a router advertises.
    AdvertisedRoutesApproved = 3, "advertised-routes-approved", &[Kind::AdvertisedRoutes, Kind::ApprovedRoutes];
    /// A worker's CiliumNode names its pods.
    CiliumNodePodCidrSet = 4, "cilium-node-pod-cidr-set", &[Kind::CiliumNode, Kind::Worker];
    /// Interfaces of routers and workers forward.
    IpForwardingEnabled = 5, "ip-forwarding-enabled", &[Kind::NetworkInterface];
    /// In a virtual network neighbours' pods are reached straight, and not by
    /// the router.
    NoRouterHairpinInVnet = 5, "no-router-hairpin-in-vnet",
        &[Kind::RouteTable, Kind::Worker];
    /// A router applies SNAT into and out of the tunnel, or not at all.
    SnatSymmetric = 5, "snat-symmetric", &[Kind::RouterHost];
    /// Stargate writes no routes on AKS nodes unless the topology enables it.
    NoRouteManagerUnlessEnabled = 6, "no-route-manager-unless-enabled", &[Kind::DaemonSet];
    /// No router offers a prefix that holds another's pods.
    NoOverlappingAdvertisements = 7, "no-overlapping-advertisements",
        &[Kind::AdvertisedRoutes, Kind::ApprovedRoutes, Kind::Worker];
    /// The datacenter's router drops packets without a more specific route.
    UnroutedPodsBlackholed = 7, "unrouted-pods-blackholed", &[Kind::RouterHost];
    /// No two nodes have pods of one range.
    PodCidrsDisjoint = 8, "pod-cidrs-disjoint", &[Kind::Worker];
    /// A router clamps the segment size to the tunnel's.
    MssClamped = 9, "mss-clamped", &[Kind::RouterHost];
    /// Every worker's Node is Ready.
    WorkersReady = 10, "workers-ready", &[Kind::Worker];
    /// A worker's Node has the address, the provider id and the labels that it
    /// should, and a kubelet that the control plane puts up with.
    NodesMatchSpec = 10, "nodes-match-spec", &[Kind::Worker, Kind::ManagedCluster];
    /// Nodes of AKS, which the API server asks through, reach the kubelets.
    KubeletPortReachable = 11, "kubelet-port-reachable", &[Kind::Worker, Kind::ManagedCluster];
    /// The topology requests every object that it owns.
    NoOrphans = 14, "no-orphans",
        &[Kind::ResourceGroup, Kind::Server, Kind::TailnetDevice];
    /// Nothing that stargate keeps in the cluster holds a secret.
    NoSecretsInCluster = 15, "no-secrets-in-cluster", &[Kind::Server, Kind::ProvisioningProfile];
}
