//! A packet, carried from machine to machine.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde_json::Value;

use super::fabric::{Fabric, Hop, Interface, Network};
use crate::resource::host::KernelRoute;
use crate::sandbox::hosts::{CNI_FILE, Host, HostKind, MAIN_TABLE};
use crate::sandbox::tailnet::Device;

/// A packet that came so far goes round.
const MAX_HOPS: usize = 32;
/// The priority of Tailscale's rules.
const TAILSCALE_RULE: u32 = 5_270;
/// What Azure drops unless the user or the address space says otherwise.
const NOWHERE: [Ipv4Net; 4] = [
    Ipv4Net::new_assert(Ipv4Addr::new(10, 0, 0, 0), 8),
    Ipv4Net::new_assert(Ipv4Addr::new(172, 16, 0, 0), 12),
    Ipv4Net::new_assert(Ipv4Addr::new(192, 168, 0, 0), 16),
    Ipv4Net::new_assert(Ipv4Addr::new(100, 64, 0, 0), 10),
];

/// A pod, and where it lives.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pod<'a> {
    pub(super) node: &'a str,
    pub(super) address: Ipv4Addr,
}

#[derive(Debug, Clone, Copy)]
struct Packet {
    source: Ipv4Addr,
    destination: Ipv4Addr,
    port: u16,
    is_answer: bool,
}

/// By which way a packet came into a machine, or leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Inside,
    Network,
    Tailnet,
}

/// What machines and security groups remember of the packets that they passed.
#[derive(Debug, Default)]
struct Memory<'a> {
    /// Machine, source before, source after, destination.
    hidden: Vec<(&'a str, Ipv4Addr, Ipv4Addr, Ipv4Addr)>,
    /// Interface, source, destination.
    flows: Vec<(Ipv4Addr, Ipv4Addr, Ipv4Addr)>,
}

impl<'a> Fabric<'a> {
    /// Whether a connection from a pod to another's port comes about.
    pub(super) fn connects(&'a self, from: Pod<'a>, to: Pod<'a>, port: u16) -> bool {
        if !self.lives(from) || !self.lives(to) {
            return false;
        }
        let mut memory = Memory::default();
        let asked =
            Packet { source: from.address, destination: to.address, port, is_answer: false };
        let Some((host, arrived)) = self.forward(from.node, asked, &mut memory) else {
            return false;
        };
        if host != to.node {
            return false;
        }
        let (source, destination) = (arrived.destination, arrived.source);
        let answer = Packet { source, destination, port, is_answer: true };
        let back = self.forward(host, answer, &mut memory);
        back.is_some_and(|(host, packet)| host == from.node && packet.destination == from.address)
    }

    /// Whether the pod's node gives pods their network.
    fn lives(&self, pod: Pod<'_>) -> bool {
        match self.machines.get(pod.node) {
            Some(host) => pods_of(host).is_some_and(|range| range.contains(&pod.address)),
            None => self.aks.contains_key(pod.node),
        }
    }

    fn forward(
        &'a self,
        from: &'a str,
        mut packet: Packet,
        memory: &mut Memory<'a>,
    ) -> Option<(&'a str, Packet)> {
        let (mut at, mut entered) = (from, Way::Inside);
        for _ in 0..MAX_HOPS {
            let next = match self.machines.get(at) {
                Some(host) => self.through_machine(host, entered, &mut packet, memory)?,
                None => self.through_aks_node(at, &packet, memory)?,
            };
            match next {
                None => return Some((at, packet)),
                Some((host, way)) => (at, entered) = (host, way),
            }
        }
        None
    }

    /// Nothing but pods and its own address; everything else is the fabric's.
    fn through_aks_node(
        &'a self,
        name: &'a str,
        packet: &Packet,
        memory: &mut Memory<'a>,
    ) -> Option<Option<(&'a str, Way)>> {
        let node = self.aks.get(name)?;
        let to = packet.destination;
        if to == node.address || node.pods.is_some_and(|pods| pods.contains(&to)) {
            return Some(None);
        }
        self.over_fabric(node.address, packet, memory).map(Some)
    }

    fn through_machine(
        &'a self,
        host: &'a Host,
        entered: Way,
        packet: &mut Packet,
        memory: &mut Memory<'a>,
    ) -> Option<Option<(&'a str, Way)>> {
        if !host.powered_on {
            return None;
        }
        let known = memory.hidden.iter().find(|(name, _, shown, to)| {
            *name == host.name && *shown == packet.destination && *to == packet.source
        });
        let is_known = known.is_some();
        packet.destination = known.map_or(packet.destination, |known| known.1);
        let strict = host.kernel.reverse_path_filter;
        if entered != Way::Inside && strict != 0 {
            let (way, _) = self.route(host, packet.source)?;
            if strict == 1 && way != entered {
                return None;
            }
        }
        if is_own(host, packet.destination) {
            return Some(None);
        }
        if let Some(range) = pods_of(host)
            && range.contains(&packet.destination)
        {
            return (!host.drops_pods || packet.is_answer || entered == Way::Inside)
                .then_some(None);
        }
        if entered != Way::Inside && !host.kernel.ip_forwarding {
            return None;
        }
        let (way, neighbour) = self.route(host, packet.destination)?;
        let before = packet.source;
        if !is_known {
            packet.source = shown(host, entered, way).unwrap_or(before);
            memory.hidden.push((&host.name, before, packet.source, packet.destination));
        }
        match way {
            Way::Inside => None,
            Way::Tailnet => self.over_tailnet(host, packet),
            Way::Network => match host.kind {
                HostKind::Vm { .. } => self.over_fabric(host.ip, packet, memory),
                HostKind::Existing { .. } => self.over_lan(neighbour),
            },
        }
        .map(Some)
    }

    /// What a machine's rules and tables say of an address.
    fn route(&self, host: &Host, to: Ipv4Addr) -> Option<(Way, Ipv4Addr)> {
        let first = host.kernel.rules.iter().any(|rule| {
            rule.priority < TAILSCALE_RULE
                && rule.table == MAIN_TABLE
                && rule.destination.contains(&to)
        });
        if !first && self.peer(host, to).is_some() {
            return Some((Way::Tailnet, to));
        }
        let routes = host.kernel.routes.iter().filter(|route| route.table == MAIN_TABLE);
        let fitting = routes.filter(|route| route.destination.contains(&to));
        let rank = |via: KernelRoute| u32::MAX - via.metric();
        match fitting.max_by_key(|route| (route.destination.prefix_len(), rank(route.via))) {
            None => Some((Way::Network, to)),
            Some(route) => match route.via {
                KernelRoute::Tunnel => Some((Way::Tailnet, to)),
                KernelRoute::Via(neighbour) => Some((Way::Network, neighbour)),
                KernelRoute::Unreachable => None,
            },
        }
    }

    fn device(&self, host: &Host) -> Option<&Device> {
        let id = host.tailscale.as_ref()?.device.as_deref()?;
        let known = self.devices.iter().find(|(device, _)| device.node_id == id || device.id == id);
        known.map(|(device, _)| *device).filter(|it| it.authorized && !it.is_expired(self.now))
    }

    /// The other device that a machine's Tailscale takes an address for.
    fn peer(&self, host: &Host, to: Ipv4Addr) -> Option<&'a Device> {
        let own = self.device(host)?;
        let accepts = host.tailscale.as_ref().is_some_and(|it| it.accept_routes);
        let others = self.devices.iter().filter(|(device, _)| {
            device.node_id != own.node_id && device.authorized && !device.is_expired(self.now)
        });
        let fits = |(device, routes): &'_ (&'a Device, Vec<Ipv4Net>)| {
            let routes = routes.iter().filter(|route| accepts && route.contains(&to));
            let longest = routes.map(Ipv4Net::prefix_len).max();
            let own = (device.address == to).then_some(32);
            Some((own.max(longest)?, *device))
        };
        others.filter_map(fits).max_by_key(|(length, _)| *length).map(|(_, device)| device)
    }

    fn over_tailnet(&'a self, host: &Host, packet: &Packet) -> Option<(&'a str, Way)> {
        let own = self.device(host).filter(|device| device.online)?;
        let peer = self.peer(host, packet.destination).filter(|device| device.online)?;
        let has = |host: &&&'a Host| {
            self.device(host).is_some_and(|device| device.node_id == peer.node_id)
        };
        let receiver = self.machines.values().find(has)?;
        let sender = self.peer(receiver, packet.source)?;
        (sender.node_id == own.node_id).then_some((receiver.name.as_str(), Way::Tailnet))
    }

    fn over_lan(&'a self, neighbour: Ipv4Addr) -> Option<(&'a str, Way)> {
        let there = |host: &&&'a Host| {
            host.ip == neighbour && matches!(host.kind, HostKind::Existing { .. })
        };
        self.machines.values().find(there).map(|host| (host.name.as_str(), Way::Network))
    }

    fn over_fabric(
        &'a self,
        from: Ipv4Addr,
        packet: &Packet,
        memory: &mut Memory<'a>,
    ) -> Option<(&'a str, Way)> {
        let network = self.networks.iter().find(|it| it.interfaces.contains_key(&from))?;
        let sender = network.interfaces.get(&from)?;
        if !self.is_own_of(from, sender, packet.source) && !sender.forwarding {
            return None;
        }
        passes(network, from, sender, "Outbound", packet, memory).then_some(())?;
        let to = match self.fabric_route(network, sender, packet.destination) {
            Hop::Appliance(address) => address,
            Hop::Within => packet.destination,
            Hop::Out | Hop::Nowhere => return None,
        };
        let receiver = network.interfaces.get(&to)?;
        if !self.is_own_of(to, receiver, packet.destination) && !receiver.forwarding {
            return None;
        }
        passes(network, to, receiver, "Inbound", packet, memory).then_some(())?;
        Some((receiver.owner.as_str(), Way::Network))
    }

    /// Whether an address is that of an interface, or of a pod that the fabric
    /// carries for it.
    fn is_own_of(&self, at: Ipv4Addr, interface: &Interface, address: Ipv4Addr) -> bool {
        let node = self.aks.get(interface.owner.as_str());
        at == address || node.and_then(|node| node.pods).is_some_and(|it| it.contains(&address))
    }

    /// The longest prefix; of equal ones the user's, then the overlay's.
    fn fabric_route(&self, network: &Network, sender: &Interface, to: Ipv4Addr) -> Hop {
        let user = sender.routes.iter().map(|(prefix, hop)| (*prefix, 2, *hop));
        let in_overlay = self.aks.contains_key(sender.owner.as_str());
        let nodes = self.aks.values().filter(|_| in_overlay);
        let overlay = nodes.filter_map(|it| Some((it.pods?, 1, Hop::Appliance(it.address))));
        let own = network.space.iter().map(|prefix| (*prefix, 0, Hop::Within));
        // What is of the address space is not dropped for being private.
        let nowhere = NOWHERE.into_iter().filter(|prefix| !network.space.contains(prefix));
        let nowhere = nowhere.map(|prefix| (prefix, 0, Hop::Nowhere));
        let all = user.chain(overlay).chain(own).chain(nowhere);
        all.filter(|(prefix, _, _)| prefix.contains(&to))
            .max_by_key(|(prefix, rank, _)| (prefix.prefix_len(), *rank))
            .map_or(Hop::Out, |(_, _, hop)| hop)
    }
}

/// The range of a worker's pods, where our configuration is the one that counts.
fn pods_of(host: &Host) -> Option<Ipv4Net> {
    host.cni_chosen().filter(|(file, _)| *file == CNI_FILE).map(|(_, range)| *range)
}

fn is_own(host: &Host, address: Ipv4Addr) -> bool {
    let tailnet = host.tailscale.as_ref().and_then(|it| it.address);
    host.ip == address || tailnet == Some(address)
}

/// The address that a machine puts in place of a source.
fn shown(host: &Host, entered: Way, left: Way) -> Option<Ipv4Addr> {
    let tailscale = host.tailscale.as_ref()?;
    match (entered, left) {
        (_, Way::Tailnet) if host.firewall.masquerade => tailscale.address,
        (Way::Tailnet, Way::Network) if tailscale.snat_subnet_routes => Some(host.ip),
        _ => None,
    }
}

/// Whether the security groups at an interface let a packet pass.
fn passes<'a>(
    network: &Network,
    at: Ipv4Addr,
    interface: &Interface,
    direction: &str,
    packet: &Packet,
    memory: &mut Memory<'a>,
) -> bool {
    let Packet { source, destination, .. } = *packet;
    if memory.flows.contains(&(at, destination, source)) {
        return true;
    }
    let inside = |address: Ipv4Addr| {
        let routed = interface.routes.iter().filter(|(prefix, _)| prefix.contains(&address));
        let routed = routed.max_by_key(|(prefix, _)| prefix.prefix_len());
        network.space.iter().any(|prefix| prefix.contains(&address))
            || routed.is_some_and(|(_, hop)| *hop != Hop::Out)
    };
    let passed = interface.groups.iter().all(|rules| {
        let mut rules = rules.iter().filter(|rule| rule["properties"]["direction"] == direction);
        let rule = rules.find(|rule| fits(&rule["properties"], packet, &inside));
        match rule {
            Some(rule) => rule["properties"]["access"] == "Allow",
            // What Azure puts behind all others: within the virtual network.
            None => inside(source) && inside(destination),
        }
    });
    if passed {
        memory.flows.push((at, source, destination));
    }
    passed
}

fn fits(rule: &Value, packet: &Packet, inside: &dyn Fn(Ipv4Addr) -> bool) -> bool {
    let all = |one: &str, many: &str| -> Vec<String> {
        let list = rule[many].as_array().into_iter().flatten().filter_map(Value::as_str);
        list.chain(rule[one].as_str()).map(str::to_owned).collect()
    };
    let address = |texts: Vec<String>, address: Ipv4Addr| {
        texts.iter().any(|text| match text.as_str() {
            "*" => true,
            "VirtualNetwork" => inside(address),
            text => match text.parse::<Ipv4Net>() {
                Ok(prefix) => prefix.contains(&address),
                Err(_) => text.parse() == Ok(address),
            },
        })
    };
    let port = |text: &String| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let within = |first: u16, last: u16| (first..=last).contains(&packet.port);
        text == "*"
            || first.parse().is_ok_and(|first| last.parse().is_ok_and(|it| within(first, it)))
    };
    let protocol = rule["protocol"].as_str().unwrap_or_default();
    (protocol == "*" || protocol.eq_ignore_ascii_case("tcp"))
        && address(all("sourceAddressPrefix", "sourceAddressPrefixes"), packet.source)
        && address(
            all("destinationAddressPrefix", "destinationAddressPrefixes"),
            packet.destination,
        )
        && all("destinationPortRange", "destinationPortRanges").iter().any(port)
}
