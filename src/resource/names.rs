//! Newtypes for names in a topology.
//!
//! The names were checked when the topology was loaded. The types prevent a
//! worker name from being used as a datacenter name.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! name_types {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a checked name.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
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
    /// A tailnet device tag, including `tag:`.
    TailnetTag;
}
