//! The network: its elements, and the owner of each address.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;

use super::fabric::{Segment, SegmentId};
use super::fact::Origin;
use super::host::{Host, HostId};
use super::table::PrefixTable;
use super::tunnel::Tunnel;

/// Hosts, segments, and one tunnel.
#[derive(Debug, Clone)]
pub struct Network {
    /// Shared with the networks of other states, which differ in a few hosts.
    hosts: Vec<Arc<Host>>,
    segments: Vec<Segment>,
    tunnel: Tunnel,
    owners: PrefixTable<HostId>,
}

/// An endpoint of a packet: an address, and the host that has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct End {
    /// The host.
    pub host: HostId,
    /// The address of the host or of a pod on it.
    pub address: Ipv4Addr,
}

impl Network {
    /// Puts the elements together. An address that two hosts claim is the
    /// first one's.
    pub fn new(hosts: Vec<Host>, segments: Vec<Segment>, tunnel: Tunnel) -> Self {
        let hosts = hosts.into_iter().map(Arc::new).collect();
        let mut network = Self { hosts, segments, tunnel, owners: PrefixTable::default() };
        network.assign_owners();
        network
    }

    /// Recomputes the owners of addresses after hosts or members changed.
    pub(crate) fn assign_owners(&mut self) -> PrefixTable<HostId> {
        let mut claims = Vec::with_capacity(2 * self.hosts.len());
        let mut claim = |prefix: Ipv4Net, host: usize| claims.push((prefix, HostId(host)));
        for (number, host) in self.hosts.iter().enumerate() {
            for port in &host.ports {
                claim(port.address.into(), number);
            }
            if let Some(range) = host.pods.read().ok().and_then(|pods| pods.range()) {
                claim(range, number);
            }
        }
        for (id, member) in &self.tunnel.members {
            if let Ok(address) = member.address.read() {
                claim((*address).into(), id.0);
            }
        }
        // Of several claims to one prefix, the first one stays.
        let owners = claims.into_iter().rev().collect();
        std::mem::replace(&mut self.owners, owners)
    }

    /// The owner of each address.
    pub(crate) fn owners(&self) -> &PrefixTable<HostId> {
        &self.owners
    }

    /// Restores owners that [`Network::assign_owners`] returned.
    pub(crate) fn restore_owners(&mut self, owners: PrefixTable<HostId>) {
        self.owners = owners;
    }

    /// Exchanges a host; the owners of addresses do not change.
    pub(crate) fn exchange_host(&mut self, id: HostId, host: Arc<Host>) -> Option<Arc<Host>> {
        self.hosts.get_mut(id.0).map(|known| std::mem::replace(known, host))
    }

    /// Exchanges a segment.
    pub(crate) fn exchange_segment(&mut self, id: SegmentId, segment: Segment) -> Option<Segment> {
        self.segments.get_mut(id.0).map(|known| std::mem::replace(known, segment))
    }

    /// Exchanges the tunnel; the owners of addresses do not change.
    pub(crate) fn exchange_tunnel(&mut self, tunnel: Tunnel) -> Tunnel {
        std::mem::replace(&mut self.tunnel, tunnel)
    }

    /// Its hosts in the order of their numbers.
    pub fn hosts(&self) -> impl Iterator<Item = (HostId, &Host)> {
        self.hosts.iter().enumerate().map(|(number, host)| (HostId(number), &**host))
    }

    /// A host.
    pub fn host(&self, id: HostId) -> Option<&Host> {
        self.hosts.get(id.0).map(|host| &**host)
    }

    /// Its segments in the order of their numbers.
    pub fn segments(&self) -> impl Iterator<Item = (SegmentId, &Segment)> {
        self.segments.iter().enumerate().map(|(number, segment)| (SegmentId(number), segment))
    }

    /// A segment.
    pub fn segment(&self, id: SegmentId) -> Option<&Segment> {
        self.segments.get(id.0)
    }

    /// The tunnel.
    pub fn tunnel(&self) -> &Tunnel {
        &self.tunnel
    }

    /// The owner of an address, which may be the address of a pod.
    pub fn owner_of(&self, address: Ipv4Addr) -> Option<HostId> {
        self.owners.lookup(address).map(|(_, host)| *host)
    }

    /// The end at an address that a host of the network has.
    pub fn end(&self, address: Ipv4Addr) -> Option<End> {
        self.owner_of(address).map(|host| End { host, address })
    }

    /// The name of a host.
    pub fn name(&self, id: HostId) -> &str {
        self.host(id).map_or("", |host| &host.name)
    }

    /// Whether two hosts are on one segment.
    pub fn share_segment(&self, one: HostId, other: HostId) -> bool {
        let ports = |id| self.host(id).into_iter().flat_map(|host| &host.ports);
        ports(one).any(|port| ports(other).any(|it| it.segment == port.segment))
    }

    /// The source of a node on a segment that could not be read: the node may
    /// have an address there that seems unassigned.
    pub fn unread_on(&self, segment: SegmentId) -> Option<Origin> {
        let on_it = |host: &&Arc<Host>| host.ports.iter().any(|port| port.segment == segment);
        let mut hosts = self.hosts.iter().filter(on_it);
        hosts.find_map(|host| Some(host.pods.read().err()?.origin))
    }

    /// Every prefix longer than that which some table has an entry for, in order.
    pub fn prefixes(&self, longer_than: u8) -> Vec<Ipv4Net> {
        let mut found = Vec::new();
        let mut add = |prefix: Ipv4Net| {
            if prefix.prefix_len() > longer_than {
                found.push(prefix);
            }
        };
        for segment in &self.segments {
            let Segment::Fabric(fabric) = segment else { continue };
            for routes in fabric.subnets.iter().filter_map(|subnet| subnet.routes.read().ok()) {
                routes.iter().for_each(|(prefix, _)| add(prefix));
            }
        }
        for kernel in self.hosts.iter().filter_map(|host| host.kernel.read().ok()) {
            for table in kernel.tables.values() {
                table.iter().for_each(|(prefix, _)| add(prefix));
            }
        }
        for peers in self.tunnel.members.values().filter_map(|member| member.peers.read().ok()) {
            peers.iter().for_each(|(prefix, _)| add(prefix));
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}
