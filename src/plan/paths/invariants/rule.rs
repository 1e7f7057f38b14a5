//! The rules by their names, and who tells what they look at.

use crate::resource::Kind;

macro_rules! rules {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal, $looks_at:expr;)*) => {
        /// What must hold.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[$doc])* $variant,)*
        }

        impl Rule {
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

            /// The kinds of resources that it looks at.
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
    PodsGetAddresses = 1, "pods-get-addresses", &[Kind::Worker];
    /// A Server names its datacenter's router by its address in the tailnet.
    ServersNameTheirRouter = 2, "servers-name-their-router", &[Kind::Server, Kind::TailnetDevice];
    /// No route leads to an address that nobody has.
    RoutesLeadToSomebody = 3, "routes-lead-to-somebody", &[Kind::RouteTable, Kind::Worker];
    /// No route is for pods that no node has.
    RoutesAreForSomebody = 3, "routes-are-for-somebody", &[Kind::RouteTable, Kind::Worker];
    /// What a router offers is approved, and nothing else is.
    OffersAreApproved = 3, "offers-are-approved", &[Kind::AdvertisedRoutes, Kind::ApprovedRoutes];
    /// A worker's CiliumNode names its pods.
    CiliumKnowsThePods = 4, "cilium-knows-the-pods", &[Kind::CiliumNode, Kind::Worker];
    /// Interfaces of routers and workers forward.
    InterfacesForward = 5, "interfaces-forward", &[Kind::NetworkInterface];
    /// In a virtual network neighbours' pods are reached straight, and not by
    /// the router.
    NeighboursAreReachedStraight = 5, "neighbours-are-reached-straight",
        &[Kind::RouteTable, Kind::Worker];
    /// A router hides both what goes into the tunnel and what comes out, or
    /// neither.
    SourcesAreHiddenBothWaysOrNot = 5, "sources-are-hidden-both-ways-or-not", &[Kind::RouterHost];
    /// Nothing of ours writes routes on AKS's own nodes, unless it is asked for.
    AksNodesAreLeftAlone = 6, "aks-nodes-are-left-alone", &[Kind::DaemonSet];
    /// No router offers a prefix that holds another's pods.
    NobodyOffersOthersPods = 7, "nobody-offers-others-pods",
        &[Kind::AdvertisedRoutes, Kind::ApprovedRoutes, Kind::Worker];
    /// What has no route ends at the datacenter's router.
    WhatHasNoRouteEnds = 7, "what-has-no-route-ends", &[Kind::RouterHost];
    /// No two nodes have pods of one range.
    PodRangesAreApart = 8, "pod-ranges-are-apart", &[Kind::Worker];
    /// A router clamps the segment size to the tunnel's.
    SegmentSizesAreClamped = 9, "segment-sizes-are-clamped", &[Kind::RouterHost];
    /// Every worker's Node is Ready.
    WorkersAreReady = 10, "workers-are-ready", &[Kind::Worker];
    /// A worker's Node has the address, the provider id and the labels that it
    /// should, and a kubelet that the control plane puts up with.
    NodesAreAsTheyShould = 10, "nodes-are-as-they-should", &[Kind::Worker, Kind::ManagedCluster];
    /// Nodes of AKS, which the API server asks through, reach the kubelets.
    KubeletsAreReached = 11, "kubelets-are-reached", &[Kind::Worker, Kind::ManagedCluster];
    /// Whatever carries the topology's mark is asked for by the topology.
    NothingIsLeftOver = 14, "nothing-is-left-over",
        &[Kind::ResourceGroup, Kind::Server, Kind::TailnetDevice];
    /// Nothing that stargate keeps in the cluster holds a secret.
    NoSecretIsKept = 15, "no-secret-is-kept", &[Kind::Server, Kind::ProvisioningProfile];
}
