//! The marks of ownership on objects.

use serde::{Deserialize, Serialize};

use crate::resource::names::{TailnetTag, TopologyName};

use super::Site;

/// The Azure tag that says that stargate manages an object.
pub const MANAGED_BY_TAG: &str = "managed-by";
/// The value of [`MANAGED_BY_TAG`].
pub const MANAGED_BY: &str = "stargate";
/// The Azure tag that names the topology.
pub const TOPOLOGY_TAG: &str = "stargate-topology";
/// The Azure tag that names the site of the network, for people and reports.
pub const SITE_TAG: &str = "stargate-site";
/// The Azure tag that names the key of a node pool in the topology. A pool without it
/// is not ours.
pub const POOL_TAG: &str = "stargate-pool";
/// The field manager of server-side apply.
pub const FIELD_MANAGER: &str = "stargate";
/// The label that names the topology on Kubernetes objects.
pub const TOPOLOGY_LABEL: &str = "stargate.io/topology";
/// The label that names the site of the network on Kubernetes objects.
pub const SITE_LABEL: &str = "stargate.io/site";
/// The route protocol number of our kernel routes; unassigned in iproute2.
pub const ROUTE_PROTOCOL: u8 = 117;

/// The owner whose mark is looked for and written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The topology.
    pub topology: TopologyName,
    /// Its tag in the tailnet.
    pub tag: TailnetTag,
}

/// What an observed object says of its owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ownership {
    /// It carries our mark.
    Ours {
        /// The site that the mark names.
        site: SiteName,
    },
    /// It carries no mark, or another's.
    Foreign,
    /// It can carry no mark; it belongs to the owner of what contains it or of
    /// what it points at.
    Inherited,
}

/// A site as a mark names it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SiteName(pub String);

impl From<&Site> for SiteName {
    fn from(site: &Site) -> Self {
        Self(site.to_string())
    }
}

impl From<&SiteName> for Site {
    fn from(name: &SiteName) -> Self {
        Self::from(name.0.as_str())
    }
}
