//! The network of two nodes and two workers, extended with more of both, and
//! faults of any of them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use proptest::prelude::*;

use super::laws::{Edit, apply, edit};
use super::world::*;
use crate::dataplane::fabric::{FabricHop, OverlayRange, Segment, UserRoute};
use crate::dataplane::host::{
    Egress, HostId, KernelHop, Pods, Port, ReversePathFilter, RoutingRule, TableId, Translation,
};
use crate::dataplane::security::{
    AddressMatch, FilterRule, ProtocolMatch, SecurityGroup, TrafficDirection,
};
use crate::dataplane::{Fact, Origin};

/// Where a host's kernel, and its interface, say that they were read.
pub(super) const OF_KERNELS: u32 = 100;
pub(super) const OF_INTERFACES: u32 = 200;

/// Something that befalls a host, by its number among all.
#[derive(Debug, Clone)]
pub(super) enum Fault {
    /// What may befall the small world, too.
    Small(Edit),
    Stopped(usize, Fact<bool>),
    NotPlumbed(usize),
    PodsUnread(usize),
    /// It believes that these are its pods.
    PodsOf(usize, Ipv4Net),
    Unread(usize),
    NotForwarding(usize),
    Filter(usize, ReversePathFilter),
    Interface(usize, Fact<bool>),
    NoInterface(usize),
    /// Its kernel, or a subnet of its segment, sends that to another host.
    Kernel(usize, Ipv4Net, usize),
    Fabric(usize, Ipv4Net, usize),
    /// It hides its pods from all but these.
    Hides(usize, Ipv4Net),
    Rule(usize, Ipv4Net, u32),
    Denied(usize, TrafficDirection, Ipv4Net),
}

/// How many hosts there are: six, and so many more workers and nodes.
#[derive(Debug, Clone, Copy)]
pub(super) struct More {
    pub(super) nodes: u8,
    pub(super) workers: u8,
}

/// A world of several nodes and workers, made from what is shown where a law
/// does not hold.
#[derive(Debug, Clone)]
pub(super) struct ManyHosts {
    choice: Choice,
    more: More,
    faults: Vec<Fault>,
}

impl ManyHosts {
    pub(super) fn world(&self) -> World {
        let mut world = grown(self.choice, self.more);
        for fault in &self.faults {
            befall(&mut world, fault.clone());
        }
        own_origins(&mut world);
        world
    }
}

pub(super) fn many_hosts() -> impl Strategy<Value = ManyHosts> {
    let choice = (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(
        |(masquerade, local_rules, bare_metal)| Choice { masquerade, bare_metal, local_rules },
    );
    let more = (0_u8..3, 0_u8..3).prop_map(|(nodes, workers)| More { nodes, workers });
    (choice, more).prop_flat_map(|(choice, more)| {
        let hosts = 6 + usize::from(more.nodes) + usize::from(more.workers);
        prop::collection::vec(fault(hosts), 0..6).prop_map(move |faults| ManyHosts {
            choice,
            more,
            faults,
        })
    })
}

/// A healthy world of that many.
pub(super) fn grown(choice: Choice, more: More) -> World {
    let mut world = healthy(choice);
    for number in 0..more.nodes {
        add_node(&mut world, number, choice);
    }
    for number in 0..more.workers {
        add_worker(&mut world, number);
    }
    world
}

fn add_host(world: &mut World, like: usize, name: String, address: Ipv4Addr, pods: Ipv4Net) {
    let host = HostId(world.hosts.len());
    let mut added = world.hosts[like].clone();
    let port = &mut added.ports[0];
    let (segment, model) = (port.segment.0, std::mem::replace(&mut port.address, address));
    added.name = name;
    added.pods = known(Pods::Range(pods));
    world.hosts.push(added);
    match &mut world.segments[segment] {
        Segment::Fabric(fabric) => {
            let mut interface = fabric.interfaces[&model];
            interface.host = host;
            fabric.interfaces.insert(address, interface);
        }
        Segment::Lan(lan) => {
            lan.hosts.insert(address, host);
        }
    }
}

fn add_node(world: &mut World, number: u8, choice: Choice) {
    let address = Ipv4Addr::new(10, 224, 0, 6 + number);
    let pods = net(&format!("10.244.{}.0/24", 2 + number));
    add_host(world, NODE_B, format!("node-{number}"), address, pods);
    world.fabric(0).overlay.insert(pods, OverlayRange { node: address, origin: OTHER });
    let hop = FabricHop::Appliance(address);
    world.routes(0, 1).insert(pods, UserRoute { hop, origin: ROUTER_TABLE });
    let advertised = world.advertised(CLUSTER_ROUTER);
    for fact in [&mut advertised.advertised, &mut advertised.approved] {
        if let Fact::Known { value, .. } = fact {
            value.push(pods);
        }
    }
    let remote = world.kernel(DATACENTER_ROUTER);
    for table in remote.tables.values_mut() {
        table.insert(pods, route(KernelHop::Tunnel));
    }
    if choice.local_rules {
        let local = world.kernel(CLUSTER_ROUTER);
        local.rules.push(RoutingRule { to: pods, ..RoutingRule::any(5_200, TableId::MAIN) });
        local.sort_rules();
    }
}

fn add_worker(world: &mut World, number: u8) {
    let address = Ipv4Addr::new(10, 50, 1, 7 + number);
    let pods = net(&format!("10.244.{}.0/24", 67 + number));
    add_host(world, WORKER_2, format!("worker-{}", number + 3), address, pods);
    if let Segment::Fabric(_) = world.segments[1] {
        for (subnet, origin) in [(0, DATACENTER_TABLE), (1, ROUTER_TABLE)] {
            let hop = FabricHop::Appliance(address);
            world.routes(1, subnet).insert(pods, UserRoute { hop, origin });
        }
    }
    let router = world.kernel(DATACENTER_ROUTER);
    let main = router.tables.get_mut(&TableId::MAIN).unwrap();
    main.insert(pods, route(KernelHop::Via(0, address)));
}

/// Each host's facts were read at that host.
fn own_origins(world: &mut World) {
    for (number, host) in (0_u32..).zip(&mut world.hosts) {
        let own = Origin(OF_KERNELS + number);
        if let Fact::Known { value, origin } = &mut host.kernel {
            *origin = own;
            for table in value.tables.values_mut() {
                *table = table.iter().map(|(at, route)| (at, of(*route, own))).collect();
            }
        } else {
            host.kernel = Fact::unknown(own);
        }
    }
    for segment in &mut world.segments {
        let Segment::Fabric(fabric) = segment else { continue };
        for interface in fabric.interfaces.values_mut() {
            let own = Origin(OF_INTERFACES + u32::try_from(interface.host.0).unwrap());
            let (Fact::Known { origin, .. } | Fact::Unknown { origin }) = &mut interface.forwarding;
            *origin = own;
        }
    }
}

fn of(
    route: crate::dataplane::host::ForwardingEntry,
    own: Origin,
) -> crate::dataplane::host::ForwardingEntry {
    let origin = if route.origin == KERNEL { own } else { route.origin };
    crate::dataplane::host::ForwardingEntry { origin, ..route }
}

fn prefix() -> impl Strategy<Value = Ipv4Net> {
    let all = [
        "0.0.0.0/0",
        "10.224.0.0/12",
        "10.224.0.6/31",
        "10.244.0.0/16",
        "10.244.0.0/23",
        "10.244.2.0/24",
        "10.244.1.128/25",
        "10.244.64.0/20",
        "10.244.66.0/23",
        "10.244.66.0/24",
        "10.244.67.128/25",
        "10.50.0.0/16",
        "10.50.1.6/31",
        "10.50.1.7/32",
        "10.237.0.4/32",
        "100.64.0.0/10",
    ];
    prop::sample::select(all.to_vec()).prop_map(net)
}

fn fault(hosts: usize) -> impl Strategy<Value = Fault> {
    let host = 0..hosts;
    let on = prop_oneof![
        Just(Fact::known(true, OTHER)),
        Just(Fact::known(false, OTHER)),
        Just(Fact::unknown(OTHER))
    ];
    let filter = prop::sample::select(vec![
        ReversePathFilter::Off,
        ReversePathFilter::Strict,
        ReversePathFilter::Loose,
    ]);
    let way = prop::sample::select(vec![TrafficDirection::Inbound, TrafficDirection::Outbound]);
    prop_oneof![
        2 => edit().prop_map(Fault::Small),
        1 => (host.clone(), on.clone()).prop_map(|(host, runs)| Fault::Stopped(host, runs)),
        1 => host.clone().prop_map(Fault::NotPlumbed),
        1 => host.clone().prop_map(Fault::PodsUnread),
        1 => (host.clone(), prefix()).prop_map(|(host, range)| Fault::PodsOf(host, range)),
        1 => host.clone().prop_map(Fault::Unread),
        1 => host.clone().prop_map(Fault::NotForwarding),
        1 => (host.clone(), filter).prop_map(|(host, filter)| Fault::Filter(host, filter)),
        1 => (host.clone(), on).prop_map(|(host, on)| Fault::Interface(host, on)),
        1 => host.clone().prop_map(Fault::NoInterface),
        2 => (host.clone(), prefix(), host.clone())
            .prop_map(|(host, prefix, to)| Fault::Kernel(host, prefix, to)),
        2 => (host.clone(), prefix(), host.clone())
            .prop_map(|(host, prefix, to)| Fault::Fabric(host, prefix, to)),
        1 => (host.clone(), prefix()).prop_map(|(host, except)| Fault::Hides(host, except)),
        1 => (host.clone(), prefix(), 5_100_u32..5_300)
            .prop_map(|(host, to, priority)| Fault::Rule(host, to, priority)),
        1 => (host, way, prefix()).prop_map(|(host, way, from)| Fault::Denied(host, way, from)),
    ]
}

fn befall(world: &mut World, fault: Fault) {
    let address = |world: &World, host: usize| world.hosts[host].ports[0].address;
    match fault {
        Fault::Small(Edit::Fabric(segment, ..)) if !is_fabric(world, segment) => {}
        Fault::Small(Edit::Interface(host, _)) if interface(world, host).is_none() => {}
        Fault::Small(edit) => apply(world, edit),
        Fault::Stopped(host, runs) => world.hosts[host].runs = runs,
        Fault::NotPlumbed(host) => {
            if let Some(range) = world.hosts[host].pods.read().ok().and_then(|it| it.range()) {
                world.hosts[host].pods = known(Pods::NotPlumbed(range));
            }
        }
        Fault::PodsUnread(host) => world.hosts[host].pods = Fact::unknown(OTHER),
        Fault::PodsOf(host, range) => world.hosts[host].pods = known(Pods::Range(range)),
        Fault::Unread(host) => world.hosts[host].kernel = Fact::unknown(KERNEL),
        Fault::Interface(host, on) => {
            if let Some(interface) = interface(world, host) {
                interface.forwarding = on;
            }
        }
        Fault::NoInterface(host) => {
            let port = world.hosts[host].ports[0];
            match &mut world.segments[port.segment.0] {
                Segment::Fabric(fabric) => drop(fabric.interfaces.remove(&port.address)),
                Segment::Lan(lan) => drop(lan.hosts.remove(&port.address)),
            }
        }
        Fault::Fabric(host, prefix, to) => {
            let hop = FabricHop::Appliance(address(world, to));
            let segment = world.hosts[host].ports[0].segment.0;
            let subnet = interface(world, host).map(|interface| interface.subnet);
            if let Some(subnet) = subnet {
                world.routes(segment, subnet).insert(prefix, UserRoute { hop, origin: OTHER });
            }
        }
        Fault::Denied(host, way, from) => deny(world, host, way, from),
        in_kernel => befall_kernel(world, in_kernel),
    }
}

fn befall_kernel(world: &mut World, fault: Fault) {
    let (Fault::NotForwarding(host)
    | Fault::Filter(host, _)
    | Fault::Kernel(host, ..)
    | Fault::Hides(host, _)
    | Fault::Rule(host, ..)) = fault
    else {
        return;
    };
    if world.hosts[host].kernel.read().is_err() {
        return;
    }
    let pods = world.hosts[host].pods.read().ok().and_then(|pods| pods.range());
    match fault {
        Fault::NotForwarding(_) => world.kernel(host).forwarding = false,
        Fault::Filter(_, filter) => world.kernel(host).reverse_path_filter = filter,
        Fault::Kernel(_, prefix, to) => {
            let hop = KernelHop::Via(0, world.hosts[to].ports[0].address);
            let main = world.kernel(host).tables.get_mut(&TableId::MAIN).unwrap();
            main.insert(prefix, route(hop));
        }
        Fault::Hides(_, except) => world.kernel(host).translations.push(Translation {
            entering: Some(Port::Local),
            egress: Egress::Segments,
            sources: pods.unwrap_or_default(),
            except: vec![except],
        }),
        Fault::Rule(_, to, priority) => {
            let kernel = world.kernel(host);
            let table = if priority % 2 == 0 { TableId::MAIN } else { TableId::TAILSCALE };
            kernel.rules.push(RoutingRule { to, ..RoutingRule::any(priority, table) });
            kernel.sort_rules();
        }
        _ => {}
    }
}

fn is_fabric(world: &World, segment: usize) -> bool {
    matches!(world.segments[segment], Segment::Fabric(_))
}

fn interface(world: &mut World, host: usize) -> Option<&mut crate::dataplane::Interface> {
    let port = world.hosts[host].ports[0];
    match &mut world.segments[port.segment.0] {
        Segment::Fabric(fabric) => fabric.interfaces.get_mut(&port.address),
        Segment::Lan(_) => None,
    }
}

fn deny(world: &mut World, host: usize, direction: TrafficDirection, from: Ipv4Net) {
    let Some(subnet) = interface(world, host).map(|interface| interface.subnet) else { return };
    let segment = world.hosts[host].ports[0].segment.0;
    let any = vec![AddressMatch::Prefix(Ipv4Net::default())];
    let rule = |name: &str, priority, allows, direction, sources| FilterRule {
        name: name.to_owned(),
        priority,
        direction,
        allows,
        protocol: ProtocolMatch::Any,
        sources,
        destinations: any.clone(),
        ports: vec![0..=u16::MAX],
    };
    let rules = vec![
        rule("deny", 100, false, direction, vec![AddressMatch::Prefix(from)]),
        rule("in", 200, true, TrafficDirection::Inbound, any.clone()),
        rule("out", 200, true, TrafficDirection::Outbound, vec![AddressMatch::VirtualNetwork]),
    ];
    let group = SecurityGroup::with_defaults(GROUP, rules);
    world.fabric(segment).subnets[subnet].security = Fact::known(Arc::new(group), GROUP);
}
