//! Forwards a packet from host to host.

use std::cmp::Reverse;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::fabric::{EmulatedFabric, EmulatedHop, EmulatedInterface, EmulatedNetwork};
use super::group_rule::rule_matches;
use crate::resource::azure::MachineRole;
use crate::resource::host::KernelRoute;
use crate::sandbox::hosts::{CNI_FILE, EmulatedHost, HostKind, MAIN_TABLE};
use crate::sandbox::tailnet::EmulatedDevice;

/// A packet with more hops than this is in a loop.
const MAX_HOPS: usize = 32;
/// The priority of Tailscale's rules.
const TAILSCALE_RULE: u32 = 5_270;
/// Prefixes that Azure drops unless a user-defined route or the address space contains the
/// destination.
const BLACKHOLE_PREFIXES: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// A pod and its node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pod<'a> {
    pub(super) node: &'a str,
    pub(super) address: Ipv4Addr,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Packet {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) port: u16,
    is_reply: bool,
}

/// The link by which a packet enters or leaves a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Local,
    Network,
    Tailnet,
}

/// The connection tracking state of hosts and security groups.
#[derive(Debug, Default)]
struct ConnectionState<'a> {
    /// Host, source before, source after, destination.
    translations: Vec<(&'a str, Ipv4Addr, Ipv4Addr, Ipv4Addr)>,
    /// Interface address, source, destination.
    flows: Vec<(Ipv4Addr, Ipv4Addr, Ipv4Addr)>,
}

impl<'a> EmulatedFabric<'a> {
    /// Whether a pod can connect to a port of another pod.
    pub(super) fn connects(&'a self, from: Pod<'a>, to: Pod<'a>, port: u16) -> bool {
        if !self.has_pod_network(from) || !self.has_pod_network(to) {
            return false;
        }
        let mut connections = ConnectionState::default();
        let requested =
            Packet { source: from.address, destination: to.address, port, is_reply: false };
        let (start, end) = (self.label_of(from.node), self.label_of(to.node));
        let Some((host, arrived)) = self.forward(start, requested, &mut connections) else {
            return false;
        };
        if host != end {
            return false;
        }
        let (source, destination) = (arrived.destination, arrived.source);
        let response = Packet { source, destination, port, is_reply: true };
        let back = self.forward(host, response, &mut connections);
        back.is_some_and(|(host, packet)| host == start && packet.destination == from.address)
    }

    /// Whether the pod's node provides its pod network.
    fn has_pod_network(&self, pod: Pod<'_>) -> bool {
        match self.machine_of(pod.node) {
            Some(host) => pod_cidr_of(host).is_some_and(|range| range.contains(&pod.address)),
            None => self.aks.contains_key(pod.node),
        }
    }

    fn forward(
        &'a self,
        from: &'a str,
        mut packet: Packet,
        connections: &mut ConnectionState<'a>,
    ) -> Option<(&'a str, Packet)> {
        let (mut at, mut entered) = (from, Link::Local);
        for _ in 0..MAX_HOPS {
            let next = match self.machines.get(at) {
                Some(host) => {
                    self.through_machine((at, host), entered, &mut packet, connections)?
                }
                None => self.through_aks_node(at, &packet, connections)?,
            };
            match next {
                None => return Some((at, packet)),
                Some((host, link)) => (at, entered) = (host, link),
            }
        }
        None
    }

    /// The node delivers to its pods and its own address. The fabric forwards everything else.
    fn through_aks_node(
        &'a self,
        name: &'a str,
        packet: &Packet,
        connections: &mut ConnectionState<'a>,
    ) -> Option<Option<(&'a str, Link)>> {
        let node = self.aks.get(name)?;
        let to = packet.destination;
        if to == node.address || node.pods.is_some_and(|pods| pods.contains(&to)) {
            return Some(None);
        }
        self.over_fabric(node.address, packet, connections).map(Some)
    }

    fn through_machine(
        &'a self,
        (label, host): (&'a str, &'a EmulatedHost),
        entered: Link,
        packet: &mut Packet,
        connections: &mut ConnectionState<'a>,
    ) -> Option<Option<(&'a str, Link)>> {
        if !host.powered_on {
            return None;
        }
        let known = connections.translations.iter().find(|(name, _, translated_source, to)| {
            *name == label && *translated_source == packet.destination && *to == packet.source
        });
        let is_known = known.is_some();
        packet.destination = known.map_or(packet.destination, |known| known.1);
        let strict = host.kernel.reverse_path_filter;
        if entered != Link::Local && strict != 0 {
            let (link, _) = self.route(host, packet.source)?;
            if strict == 1 && link != entered {
                return None;
            }
        }
        if is_own(host, packet.destination) {
            return Some(None);
        }
        if let Some(range) = pod_cidr_of(host)
            && range.contains(&packet.destination)
        {
            return (!host.drops_pods || packet.is_reply || entered == Link::Local).then_some(None);
        }
        if entered != Link::Local && !host.kernel.ip_forwarding {
            return None;
        }
        let (link, neighbour) = self.route(host, packet.destination)?;
        let before = packet.source;
        if !is_known {
            packet.source = translated_source(host, entered, link).unwrap_or(before);
            connections.translations.push((label, before, packet.source, packet.destination));
        }
        match link {
            Link::Local => None,
            Link::Tailnet => self.over_tailnet(host, packet),
            Link::Network => match host.kind {
                HostKind::Vm { .. } => self.over_fabric(host.ip, packet, connections),
                HostKind::Existing { .. } => self.over_lan(neighbour, packet),
            },
        }
        .map(Some)
    }

    /// Looks up a destination in the rules and tables of a host.
    fn route(&self, host: &EmulatedHost, to: Ipv4Addr) -> Option<(Link, Ipv4Addr)> {
        let mut rules: Vec<_> =
            host.kernel.rules.iter().filter(|rule| rule.destination.contains(&to)).collect();
        rules.sort_by_key(|rule| rule.priority);
        let has_route = |table: u32| {
            let mut routes = host.kernel.routes.iter().filter(|route| route.table == table);
            table == MAIN_TABLE || routes.any(|route| route.destination.contains(&to))
        };
        let selected = rules.into_iter().find(|rule| has_route(rule.table));
        let is_first = selected.is_some_and(|rule| rule.priority < TAILSCALE_RULE);
        if !is_first && self.peer(host, to).is_some() {
            return Some((Link::Tailnet, to));
        }
        let table = selected.map_or(MAIN_TABLE, |rule| rule.table);
        let routes = host.kernel.routes.iter().filter(|route| route.table == table);
        let fitting = routes.filter(|route| route.destination.contains(&to));
        let rank = |via: KernelRoute| u32::MAX - via.metric();
        match fitting.max_by_key(|route| (route.destination.prefix_len(), rank(route.via))) {
            None => Some((Link::Network, to)),
            Some(route) => match route.via {
                KernelRoute::Tunnel => Some((Link::Tailnet, to)),
                KernelRoute::Via(neighbour) => Some((Link::Network, neighbour)),
                KernelRoute::Unreachable => None,
            },
        }
    }

    fn device(&self, host: &EmulatedHost) -> Option<&EmulatedDevice> {
        let id = host.tailscale.as_ref()?.device.as_deref()?;
        let known = self.devices.iter().find(|(device, _)| device.node_id == id || device.id == id);
        known
            .map(|(device, _)| *device)
            .filter(|it| it.authorized && it.lock_error.is_none() && !it.is_expired(self.now))
    }

    /// The device that Tailscale on a host sends packets for an address to.
    fn peer(&self, host: &EmulatedHost, to: Ipv4Addr) -> Option<&'a EmulatedDevice> {
        let own = self.device(host)?;
        let accepts = host.tailscale.as_ref().is_some_and(|it| it.accept_routes);
        let others = self.devices.iter().filter(|(device, _)| {
            device.node_id != own.node_id
                && device.authorized
                && device.lock_error.is_none()
                && !device.is_expired(self.now)
        });
        let longest_match = |(device, routes): &'_ (&'a EmulatedDevice, Vec<Ipv4Net>)| {
            let routes = routes.iter().filter(|route| accepts && route.contains(&to));
            let longest = routes.map(Ipv4Net::prefix_len).max();
            let own = (device.address == to).then_some(32);
            Some((own.max(longest)?, *device))
        };
        let first =
            |(length, device): &(u8, &EmulatedDevice)| (*length, Reverse(device.precedence()));
        others.filter_map(longest_match).max_by_key(first).map(|(_, device)| device)
    }

    fn over_tailnet(&'a self, host: &EmulatedHost, packet: &Packet) -> Option<(&'a str, Link)> {
        let own = self.device(host).filter(|device| device.online)?;
        let peer = self.peer(host, packet.destination).filter(|device| device.online)?;
        let has = |(_, host): &(&&'a str, &&'a EmulatedHost)| {
            self.device(host).is_some_and(|device| device.node_id == peer.node_id)
        };
        let (label, receiver) = self.machines.iter().find(has)?;
        let is_shielded = receiver.tailscale.as_ref().is_some_and(|it| it.shields_up);
        if is_shielded && !packet.is_reply {
            return None;
        }
        let sender = self.peer(receiver, packet.source)?;
        (sender.node_id == own.node_id).then_some((*label, Link::Tailnet))
    }

    fn over_lan(&'a self, neighbour: Ipv4Addr, packet: &Packet) -> Option<(&'a str, Link)> {
        let there = |(_, host): &(&&'a str, &&'a EmulatedHost)| {
            host.ip == neighbour && matches!(host.kind, HostKind::Existing { .. })
        };
        let found = self.machines.iter().find(there).map(|(label, _)| (*label, Link::Network));
        found.or_else(|| self.over_gateway(neighbour, packet))
    }

    /// A gateway between the segments of a site: it routes the pods of each machine to the
    /// machine, and everything else to the site's router.
    fn over_gateway(&'a self, gateway: Ipv4Addr, packet: &Packet) -> Option<(&'a str, Link)> {
        let segmented = || {
            let on_lan = |host: &EmulatedHost| matches!(host.kind, HostKind::Existing { .. });
            self.machines.iter().filter(move |(_, host)| host.on_link.is_some() && on_lan(host))
        };
        segmented().find(|(_, host)| host.on_link.is_some_and(|it| it.contains(&gateway)))?;
        let has_pod = |(_, host): &(&&'a str, &&'a EmulatedHost)| {
            pod_cidr_of(host).is_some_and(|pods| pods.contains(&packet.destination))
        };
        let routers = || segmented().find(|(_, host)| host.role == MachineRole::Router);
        let (next, _) = segmented().find(has_pod).or_else(routers)?;
        Some((*next, Link::Network))
    }

    fn over_fabric(
        &'a self,
        from: Ipv4Addr,
        packet: &Packet,
        connections: &mut ConnectionState<'a>,
    ) -> Option<(&'a str, Link)> {
        let network = self.networks.iter().find(|it| it.interfaces.contains_key(&from))?;
        let sender = network.interfaces.get(&from)?;
        if !self.is_address_of(from, sender, packet.source) && !sender.forwarding {
            return None;
        }
        allowed_by_groups(network, from, sender, "Outbound", packet, connections).then_some(())?;
        let to = match self.fabric_route(network, sender, packet.destination) {
            EmulatedHop::Appliance(address) => address,
            EmulatedHop::VnetLocal => packet.destination,
            EmulatedHop::Internet | EmulatedHop::Blackhole => return None,
        };
        let receiver = network.interfaces.get(&to)?;
        if !self.is_address_of(to, receiver, packet.destination) && !receiver.forwarding {
            return None;
        }
        allowed_by_groups(network, to, receiver, "Inbound", packet, connections).then_some(())?;
        Some((receiver.owner.as_str(), Link::Network))
    }

    /// Whether an address belongs to an interface, or to a pod that the fabric routes to it.
    fn is_address_of(
        &self,
        at: Ipv4Addr,
        interface: &EmulatedInterface,
        address: Ipv4Addr,
    ) -> bool {
        let node = self.aks.get(interface.owner.as_str());
        at == address || node.and_then(|node| node.pods).is_some_and(|it| it.contains(&address))
    }

    /// The longest matching prefix. Among equal ones a user-defined route precedes the overlay's.
    fn fabric_route(
        &self,
        network: &EmulatedNetwork,
        sender: &EmulatedInterface,
        to: Ipv4Addr,
    ) -> EmulatedHop {
        let user = sender.routes.iter().map(|(prefix, hop)| (*prefix, 2, *hop));
        let in_overlay = self.aks.contains_key(sender.owner.as_str());
        let nodes = self.aks.values().filter(|_| in_overlay);
        let overlay =
            nodes.filter_map(|it| Some((it.pods?, 1, EmulatedHop::Appliance(it.address))));
        let own = network.space.iter().map(|prefix| (*prefix, 0, EmulatedHop::VnetLocal));
        // A private prefix inside the address space is not dropped.
        let blackholes =
            BLACKHOLE_PREFIXES.into_iter().filter(|prefix| !network.space.contains(prefix));
        let blackholes = blackholes.map(|prefix| (prefix, 0, EmulatedHop::Blackhole));
        let all = user.chain(overlay).chain(own).chain(blackholes);
        all.filter(|(prefix, _, _)| prefix.contains(&to))
            .max_by_key(|(prefix, rank, _)| (prefix.prefix_len(), *rank))
            .map_or(EmulatedHop::Internet, |(_, _, hop)| hop)
    }
}

/// The pod CIDR of a worker, if stargate's CNI configuration is the active one.
pub(super) fn pod_cidr_of(host: &EmulatedHost) -> Option<Ipv4Net> {
    host.cni_chosen().filter(|(file, _)| *file == CNI_FILE).map(|(_, range)| *range)
}

fn is_own(host: &EmulatedHost, address: Ipv4Addr) -> bool {
    let tailnet = host.tailscale.as_ref().and_then(|it| it.address);
    host.ip == address || tailnet == Some(address)
}

/// The address that a host translates the source of a packet to.
fn translated_source(host: &EmulatedHost, entered: Link, left: Link) -> Option<Ipv4Addr> {
    let tailscale = host.tailscale.as_ref()?;
    match (entered, left) {
        (_, Link::Tailnet) if host.firewall.masquerade => tailscale.address,
        (Link::Tailnet, Link::Network) if tailscale.snat_subnet_routes => Some(host.ip),
        _ => None,
    }
}

/// Whether the security groups of an interface allow a packet.
fn allowed_by_groups<'a>(
    network: &EmulatedNetwork,
    at: Ipv4Addr,
    interface: &EmulatedInterface,
    direction: &str,
    packet: &Packet,
    connections: &mut ConnectionState<'a>,
) -> bool {
    let Packet { source, destination, .. } = *packet;
    if connections.flows.contains(&(at, destination, source)) {
        return true;
    }
    let inside = |address: Ipv4Addr| {
        let routed = interface.routes.iter().filter(|(prefix, _)| prefix.contains(&address));
        let routed = routed.max_by_key(|(prefix, _)| prefix.prefix_len());
        network.space.iter().any(|prefix| prefix.contains(&address))
            || routed.is_some_and(|(_, hop)| *hop != EmulatedHop::Internet)
    };
    let passed = interface.groups.iter().all(|rules| {
        let mut rules = rules.iter().filter(|rule| rule["properties"]["direction"] == direction);
        let rule = rules.find(|rule| rule_matches(&rule["properties"], packet, &inside));
        match rule {
            Some(rule) => rule["properties"]["access"] == "Allow",
            // Azure's last rules: within the virtual network everything is allowed.
            None => inside(source) && inside(destination),
        }
    });
    if passed {
        connections.flows.push((at, source, destination));
    }
    passed
}
