//! Newtypes for names in a topology.
//!
//! The names were checked when the topology was loaded. The types prevent a
//! worker name from being used as a datacenter name. Their text is shared: every
//! address of a plan holds one.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

macro_rules! name_types {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash)]
        pub struct $name(Arc<str>);

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> Ordering {
                // Most comparisons are of copies of one name, such as a datacenter's.
                if Arc::ptr_eq(&self.0, &other.0) {
                    return Ordering::Equal;
                }
                self.0.cmp(&other.0)
            }
        }

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
                Some(self.cmp(other))
            }
        }

        impl $name {
            /// Wraps a checked name.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into().into())
            }

            /// The name.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.pad(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer).map(Self::new)
            }
        }
    )*};
}

name_types! {
    /// The name of the topology, recorded as owner on every object.
    TopologyName;
    /// The key of a datacenter in `[datacenters.<name>]`.
    DatacenterName;
    /// The host name and Node name of a worker.
    WorkerName;
    /// The host name, VM name and tailnet device name of a router.
    RouterName;
    /// The key of a provisioning profile in `[profiles.<name>]`.
    ProfileName;
    /// The name of an AKS node pool.
    NodePoolName;
    /// The name of an AKS cluster.
    ClusterName;
    /// The name of an Azure resource group.
    ResourceGroupName;
    /// An Azure region, such as `canadacentral`.
    Location;
    /// An Azure VM size, such as `Standard_D2s_v5`.
    VmSize;
    /// An Azure subscription ID (a GUID).
    SubscriptionId;
    /// The name of a resource among those of its kind and site.
    ResourceName;
    /// A tailnet device tag, including `tag:`.
    TailnetTag;
}

impl SubscriptionId {
    /// Whether a text is a GUID, as every subscription ID is.
    pub fn is_legal(text: &str) -> bool {
        let groups: Vec<&str> = text.split('-').collect();
        let lengths: Vec<usize> = groups.iter().map(|group| group.len()).collect();
        let hexadecimal = |group: &&str| group.chars().all(|one| one.is_ascii_hexdigit());
        lengths == [8, 4, 4, 4, 12] && groups.iter().all(hexadecimal)
    }
}

macro_rules! resources_named_by {
    ($($name:ident),*) => {$(
        impl From<&$name> for ResourceName {
            /// The resource of that name shares its text.
            fn from(name: &$name) -> Self {
                Self(name.0.clone())
            }
        }
    )*};
}

resources_named_by!(WorkerName, RouterName, ProfileName, ClusterName, ResourceGroupName);

impl std::ops::Deref for ResourceName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl<T: Into<String>> From<T> for ResourceName {
    fn from(name: T) -> Self {
        Self::new(name)
    }
}

impl PartialEq<str> for ResourceName {
    fn eq(&self, other: &str) -> bool {
        *self.0 == *other
    }
}

impl PartialEq<&str> for ResourceName {
    fn eq(&self, other: &&str) -> bool {
        *self.0 == **other
    }
}

impl TopologyName {
    /// Whether a topology can have this name. The name that an object records may be any text.
    pub fn is_legal(text: &str) -> bool {
        let is_legal = |one: char| one.is_ascii_lowercase() || one.is_ascii_digit() || one == '-';
        (1..=63).contains(&text.len()) && text.chars().all(is_legal)
    }
}
