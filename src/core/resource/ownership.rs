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
/// The Azure tag that names the object that carries it, as in
/// `virtual-network/stargate-vnet`: Azure copies tags to other objects.
pub const RESOURCE_TAG: &str = "stargate-resource";
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

/// The owner whose mark is read and written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The topology.
    pub topology: TopologyName,
    /// Its tag in the tailnet.
    pub tag: TailnetTag,
    /// The name that the topology had before. Objects marked with it are taken over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub former: Option<TopologyName>,
}

impl Owner {
    /// The owner of a topology that was not renamed.
    pub fn new(topology: TopologyName, tag: TailnetTag) -> Self {
        Self { topology, tag, former: None }
    }

    /// The ownership of an object whose mark names a topology and a site.
    pub fn ownership(&self, topology: Option<&str>, site: SiteName) -> Ownership {
        match topology {
            None => Ownership::Foreign,
            Some(name) if name == self.topology.as_str() => Ownership::Ours { site },
            Some(name) if self.former.as_ref().is_some_and(|former| former.as_str() == name) => {
                Ownership::Former { site }
            }
            Some(name) => Ownership::OtherTopology { topology: name.to_owned() },
        }
    }

    /// The tag of a device that the topology owns, of those that the device has: its own,
    /// the default tag of its name, which no other topology has, or, if the topology was
    /// renamed, the default tag of its former name.
    pub fn tag_among<'a>(&self, tags: impl IntoIterator<Item = &'a String>) -> Option<&'a str> {
        let former = self.former.as_ref().map(default_tag);
        let rank = |tag: &str| match tag {
            tag if tag == self.tag.as_str() => Some(0),
            tag if self.is_own_tag(tag) => Some(1),
            tag if Some(tag) == former.as_deref() => Some(2),
            _ => None,
        };
        let ranked = tags.into_iter().filter_map(|tag| Some((rank(tag)?, tag.as_str())));
        ranked.min().map(|(_, tag)| tag)
    }

    /// Whether a tag names the topology itself: the one that it has, or the default one that
    /// its devices have from before.
    pub fn is_own_tag(&self, tag: &str) -> bool {
        tag == self.tag.as_str() || tag == default_tag(&self.topology)
    }

    /// The names that mark objects of the topology: its own and its former one.
    pub fn names(&self) -> impl Iterator<Item = &TopologyName> {
        std::iter::once(&self.topology).chain(&self.former)
    }
}

/// The tag in the tailnet of a topology that names none.
pub fn default_tag(topology: &TopologyName) -> String {
    format!("tag:stargate-{topology}")
}

/// The owner of an observed object, by its marks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ownership {
    /// It carries our mark.
    Ours {
        /// The site that the mark names.
        site: SiteName,
    },
    /// It carries the mark of the name that the topology had before, or the mark that an
    /// earlier version wrote.
    Former {
        /// The site that the mark names.
        site: SiteName,
    },
    /// It carries the mark of another topology.
    OtherTopology {
        /// The name of that topology.
        topology: String,
    },
    /// It carries no mark.
    Foreign,
    /// It cannot carry a mark; it belongs to the owner of its container or of the object
    /// that it refers to.
    Inherited,
}

impl Ownership {
    /// Whether the topology owns the object, under its own or its former name.
    pub fn is_ours(&self) -> bool {
        self.site().is_some()
    }

    /// Whether the object belongs to others: another topology, or none.
    pub fn is_foreign(&self) -> bool {
        matches!(self, Self::Foreign | Self::OtherTopology { .. })
    }

    /// The site that the mark of the topology names.
    pub fn site(&self) -> Option<&SiteName> {
        match self {
            Self::Ours { site } | Self::Former { site } => Some(site),
            Self::OtherTopology { .. } | Self::Foreign | Self::Inherited => None,
        }
    }
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
