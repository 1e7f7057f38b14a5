//! The way to each host of a topology.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use crate::provider::host::{HostAddress, HostTarget};
use crate::topology::model::{Datacenter, Site, Topology, Worker};

/// The AKS router, through the tailnet.
pub(crate) fn cluster_router(
    topology: &Topology,
    addresses: &BTreeMap<String, Ipv4Addr>,
) -> Option<HostTarget> {
    let name = topology.cluster.router.name.as_str();
    Some(target(topology, name, (*addresses.get(name)?).into(), None, None))
}

/// A datacenter's router, through the tailnet, or where the topology says that
/// SSH reaches it before it has joined.
pub(crate) fn datacenter_router(
    topology: &Topology,
    datacenter: &Datacenter,
    addresses: &BTreeMap<String, Ipv4Addr>,
) -> Option<HostTarget> {
    let router = &datacenter.router;
    let name = router.name.as_str();
    let joined = addresses.get(name).copied().map(HostAddress::Ip);
    let written = || router.ssh_address.as_deref().map(HostAddress::of_text);
    // Whoever writes no address of its own is in the router's network.
    let own = || match &datacenter.site {
        Site::Existing(_) => Some(HostAddress::Ip(router.ip)),
        Site::Azure(_) => None,
    };
    let address = joined.or_else(written).or_else(own)?;
    Some(target(topology, name, address, None, router.host_key.clone()))
}

/// A worker, through its datacenter's router.
pub(crate) fn worker(
    topology: &Topology,
    datacenter: &Datacenter,
    worker: &Worker,
    address: Ipv4Addr,
    addresses: &BTreeMap<String, Ipv4Addr>,
) -> Option<HostTarget> {
    let router = datacenter_router(topology, datacenter, addresses)?;
    let name = worker.name.as_str();
    Some(target(topology, name, address.into(), Some(router), worker.host_key.clone()))
}

fn target(
    topology: &Topology,
    hostname: &str,
    address: HostAddress,
    jump: Option<HostTarget>,
    host_key: Option<String>,
) -> HostTarget {
    HostTarget {
        hostname: hostname.to_owned(),
        address,
        port: topology.ssh.port,
        user: topology.ssh.user.clone(),
        jump: jump.map(Box::new),
        host_key,
        host_keys: topology.ssh.host_keys,
    }
}

/// A worker that the topology no longer names, through its datacenter's router.
pub(crate) fn former_worker(
    topology: &Topology,
    datacenter: &Datacenter,
    name: &str,
    address: Ipv4Addr,
    addresses: &BTreeMap<String, Ipv4Addr>,
) -> Option<HostTarget> {
    let router = datacenter_router(topology, datacenter, addresses)?;
    Some(target(topology, name, address.into(), Some(router), None))
}
