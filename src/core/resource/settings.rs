//! Settings that the topology, the resources and the clients share.

use serde::{Deserialize, Serialize};

/// The policy for a host key that is not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HostKeyPolicy {
    /// Accept and remember the first key seen; refuse a changed one.
    AcceptNew,
    /// Accept only keys in known_hosts or pinned in the topology.
    KnownHosts,
}

/// A cloud of Azure, which has endpoints and accounts of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AzureCloud {
    /// The global cloud.
    Public,
    /// Azure Government, of the United States.
    UsGovernment,
    /// Azure operated by 21Vianet, in China.
    China,
}

/// The route table on the subnets of AKS nodes.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum NodeRouteTable {
    /// A table of the topology, on every subnet.
    #[default]
    Own,
    /// The table that a subnet has already, of its owner; only the topology's routes in it
    /// are written. A subnet without one gets the table of the topology.
    Existing,
}

/// How many nodes a pool has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodePoolScale {
    /// Held at this count: another one is drift.
    Fixed {
        /// The number of nodes.
        count: u32,
    },
    /// Left to the autoscaler between two bounds.
    Autoscaled {
        /// The least number of nodes.
        min: u32,
        /// The greatest number of nodes.
        max: u32,
    },
}

impl NodePoolScale {
    /// The minimum number of nodes.
    pub fn min_nodes(self) -> u32 {
        match self {
            Self::Fixed { count } => count,
            Self::Autoscaled { min, .. } => min,
        }
    }

    /// The maximum number of nodes.
    pub fn max_nodes(self) -> u32 {
        match self {
            Self::Fixed { count } => count,
            Self::Autoscaled { max, .. } => max,
        }
    }
}

/// The changes that `stargate watch` makes without approval.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
pub enum AutoApply {
    /// None: `watch` only reports drift.
    None,
    /// Updates in place of route tables, advertised and approved prefixes, settings of
    /// routers, pod CIDRs and labels of Nodes, CiliumNodes and Servers; and routes of nodes
    /// that joined or left.
    #[default]
    Routes,
    /// Everything except changes that replace or delete machines, workers and clusters,
    /// adopt objects, remove a protection, or make pairs of pods unreachable.
    All,
}

/// The pricing tier of an AKS cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ClusterTier {
    /// Without an uptime guarantee; for tests.
    Free,
    /// With an uptime guarantee.
    Standard,
    /// With an uptime guarantee and long-term support.
    Premium,
}

impl ClusterTier {
    /// The name in Azure's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "Free",
            Self::Standard => "Standard",
            Self::Premium => "Premium",
        }
    }

    /// The tier with a name in Azure's API.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Free, Self::Standard, Self::Premium];
        all.into_iter().find(|tier| tier.as_str().eq_ignore_ascii_case(text))
    }
}

/// How long AKS supports the Kubernetes version of a cluster.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema,
)]
pub enum SupportPlan {
    /// As long as the community does, about a year.
    #[default]
    #[serde(rename = "KubernetesOfficial")]
    Official,
    /// Two years, in the tier `premium` only.
    #[serde(rename = "AKSLongTermSupport")]
    LongTerm,
}

impl SupportPlan {
    /// The name in Azure's API.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Official => "KubernetesOfficial",
            Self::LongTerm => "AKSLongTermSupport",
        }
    }

    /// The plan with a name in Azure's API.
    pub fn parse(text: &str) -> Option<Self> {
        let all = [Self::Official, Self::LongTerm];
        all.into_iter().find(|plan| plan.as_str().eq_ignore_ascii_case(text))
    }
}

/// The purpose of a node pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum NodePoolMode {
    /// AKS runs its own pods on it. A cluster has at least one such pool.
    System,
    /// It runs the user's pods only, and may have no nodes.
    User,
}

/// The source of a worker's packages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum PackageSource {
    /// From the projects' own sources, pinned by keys, versions and checksums.
    Upstream,
    /// They are installed already: stargate checks their versions and downloads nothing.
    /// For sites without internet access.
    Preinstalled,
}

/// Whether routers translate or preserve the source addresses of forwarded packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum SourceAddresses {
    /// Both our masquerade on tailscale0 and Tailscale's own SNAT are on.
    Masquerade,
    /// Both are off: a pod sees the other pod's own address.
    Preserve,
}
