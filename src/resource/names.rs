//! Newtypes for the names that a topology gives.
//!
//! A value of one of these types was checked when the topology was loaded; the
//! type keeps a worker's name from being used as a datacenter's.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! name_types {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Wraps a name that was already checked.
            pub fn new(name: impl Into<String>) -> Self {
                Self(name.into())
            }

            /// The name as it is written.
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
    /// The topology's own name; every object that stargate makes carries it.
    TopologyName;
    /// A datacenter, by its key in `[datacenters.<name>]`.
    DatacenterName;
    /// A worker: its host name and its Node name.
    WorkerName;
    /// A router: its host name, its VM name and its device name in the tailnet.
    RouterName;
    /// A provisioning profile, by its key in `[profiles.<name>]`.
    ProfileName;
    /// An AKS node pool.
    NodePoolName;
    /// An AKS cluster.
    ClusterName;
    /// An Azure resource group.
    ResourceGroupName;
    /// An Azure region, such as `canadacentral`.
    Location;
    /// An Azure VM size, such as `Standard_D2s_v5`.
    VmSize;
    /// An Azure subscription's id (a GUID).
    SubscriptionId;
    /// A device tag in the tailnet, with its `tag:` in front.
    TailnetTag;
}
