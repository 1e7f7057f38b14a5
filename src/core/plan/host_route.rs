//! The way to a host, as far as a plan knows it: a router's tailnet address is
//! known only once the router has joined.

use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

use crate::topology::model::{Datacenter, DatacenterKind, HostKeyPolicy, Topology};

/// A host, and how SSH reaches it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostRoute {
    /// The name that the host must give itself.
    pub hostname: String,
    /// Where it is reached, from the jump host if there is one.
    pub location: HostLocation,
    /// The port of sshd.
    pub port: u16,
    /// The login user.
    pub user: String,
    /// The datacenter's router, for a worker behind it.
    pub jump: Option<Box<HostRoute>>,
    /// The pinned host key.
    pub host_key: Option<String>,
    /// The policy for unknown keys.
    pub host_keys: HostKeyPolicy,
}

/// Where a host is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostLocation {
    /// At the tailnet address of the device that has the host's name.
    Tailnet {
        /// An address or a name that reaches the host before it has joined.
        before_joining: Option<String>,
    },
    /// At an address of its datacenter's network.
    Local(Ipv4Addr),
}

impl HostRoute {
    /// The AKS router, through the tailnet.
    pub fn cluster_router(topology: &Topology) -> Self {
        let location = HostLocation::Tailnet { before_joining: None };
        Self::new(topology, topology.cluster.router.name.as_str(), location)
    }

    /// A datacenter's router: through the tailnet, and before it has joined where
    /// the topology says that SSH reaches it. Without such an address, a machine
    /// that existed before is reached in the router's own network.
    pub fn datacenter_router(topology: &Topology, datacenter: &Datacenter) -> Self {
        let router = &datacenter.router;
        let own = || match &datacenter.kind {
            DatacenterKind::Existing(_) => Some(router.ip.to_string()),
            DatacenterKind::Azure(_) => None,
        };
        let before_joining = router.ssh_address.clone().or_else(own);
        Self {
            host_key: router.host_key.clone(),
            ..Self::new(topology, router.name.as_str(), HostLocation::Tailnet { before_joining })
        }
    }

    /// The router of a datacenter that left the topology, through the tailnet.
    pub fn departed_router(topology: &Topology, hostname: &str) -> Self {
        Self::new(topology, hostname, HostLocation::Tailnet { before_joining: None })
    }

    /// A worker of a datacenter that left the topology, through its router.
    pub(crate) fn departed_worker(
        topology: &Topology,
        router: &str,
        name: &str,
        address: Ipv4Addr,
    ) -> Self {
        let router = Self::departed_router(topology, router);
        let location = HostLocation::Local(address);
        Self { jump: Some(Box::new(router)), ..Self::new(topology, name, location) }
    }

    /// A worker, through its datacenter's router.
    pub fn worker(
        topology: &Topology,
        datacenter: &Datacenter,
        name: &str,
        host_key: Option<&String>,
        address: Ipv4Addr,
    ) -> Self {
        let router = Self::datacenter_router(topology, datacenter);
        Self {
            jump: Some(Box::new(router)),
            host_key: host_key.cloned(),
            ..Self::new(topology, name, HostLocation::Local(address))
        }
    }

    fn new(topology: &Topology, hostname: &str, location: HostLocation) -> Self {
        Self {
            hostname: hostname.to_owned(),
            location,
            port: topology.ssh.port,
            user: topology.ssh.user.clone(),
            jump: None,
            host_key: None,
            host_keys: topology.ssh.host_keys,
        }
    }

    /// The same host behind another router.
    pub(crate) fn behind(self, router: Self) -> Self {
        Self { jump: Some(Box::new(router)), ..self }
    }

    /// The same host at another address of its datacenter's network.
    pub fn at(&self, address: Ipv4Addr) -> Self {
        Self { location: HostLocation::Local(address), ..self.clone() }
    }

    /// The host on the way that is reached first.
    pub fn first_hop(&self) -> &Self {
        self.jump.as_deref().map_or(self, Self::first_hop)
    }
}
