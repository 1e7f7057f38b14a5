//! The network of two nodes and two workers, extended with more of both, and
//! faults of any of them.

use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use proptest::prelude::*;

use super::laws::{Edit, apply, edit};
use super::test_network::*;
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
    /// An edit of the small network.
    Small(Edit),
    Stopped(usize, Fact<bool>),
    NotPlumbed(usize),
    NoNode(usize),
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

/// A network of several nodes and workers, generated from a value that proptest can shrink
/// and print.
#[derive(Debug, Clone)]
pub(super) struct ManyHosts {
    choice: Choice,
    more: More,
    faults: Vec<Fault>,
}

impl ManyHosts {
    pub(super) fn test_network(&self) -> TestNetwork {
        let mut test_network = grown(self.choice, self.more);
        for fault in &self.faults {
            inject(&mut test_network, fault.clone());
        }
        own_origins(&mut test_network);
        test_network
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

/// A healthy network of that many.
pub(super) fn grown(choice: Choice, more: More) -> TestNetwork {
    let mut test_network = healthy(choice);
    for number in 0..more.nodes {
        add_node(&mut test_network, number, choice);
    }
    for number in 0..more.workers {
        add_worker(&mut test_network, number);
    }
    test_network
}

fn add_host(
    test_network: &mut TestNetwork,
    like: usize,
    name: String,
    address: Ipv4Addr,
    pods: Ipv4Net,
) {
    let host = HostId(test_network.hosts.len());
    let mut added = test_network.hosts[like].clone();
    let port = &mut added.ports[0];
    let (segment, model) = (port.segment.0, std::mem::replace(&mut port.address, address));
    added.name = name;
    added.pods = known(Pods::Range(pods));
    test_network.hosts.push(added);
    match &mut test_network.segments[segment] {
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

fn add_node(test_network: &mut TestNetwork, number: u8, choice: Choice) {
    let address = Ipv4Addr::new(10, 224, 0, 6 + number);
    let pods = net(&format!("10.244.{}.0/24", 2 + number));
    add_host(test_network, NODE_B, format!("node-{number}"), address, pods);
    test_network.fabric(0).overlay.insert(pods, OverlayRange { node: address, origin: OTHER });
    let hop = FabricHop::Appliance(address);
    test_network.routes(0, 1).insert(pods, UserRoute { hop, origin: ROUTER_TABLE });
    let advertised = test_network.advertised(CLUSTER_ROUTER);
    for fact in [&mut advertised.advertised, &mut advertised.approved] {
        if let Fact::Known { value, .. } = fact {
            value.push(pods);
        }
    }
    let remote = test_network.kernel(DATACENTER_ROUTER);
    for table in remote.tables.values_mut() {
        table.insert(pods, route(KernelHop::Tunnel));
    }
    if choice.local_rules {
        let local = test_network.kernel(CLUSTER_ROUTER);
        local.rules.push(RoutingRule { to: pods, ..RoutingRule::any(5_200, TableId::MAIN) });
        local.sort_rules();
    }
}

fn add_worker(test_network: &mut TestNetwork, number: u8) {
    let address = Ipv4Addr::new(10, 50, 1, 7 + number);
    let pods = net(&format!("10.244.{}.0/24", 67 + number));
    add_host(test_network, WORKER_2, format!("worker-{}", number + 3), address, pods);
    if let Segment::Fabric(_) = test_network.segments[1] {
        for (subnet, origin) in [(0, DATACENTER_TABLE), (1, ROUTER_TABLE)] {
            let hop = FabricHop::Appliance(address);
            test_network.routes(1, subnet).insert(pods, UserRoute { hop, origin });
        }
    }
    let router = test_network.kernel(DATACENTER_ROUTER);
    let main = router.tables.get_mut(&TableId::MAIN).unwrap();
    main.insert(pods, route(KernelHop::Via(0, address)));
}

/// Each host's facts were read at that host.
fn own_origins(test_network: &mut TestNetwork) {
    for (number, host) in (0_u32..).zip(&mut test_network.hosts) {
        let own = Origin(OF_KERNELS + number);
        let (Fact::Known { origin, .. } | Fact::Unknown { origin }) = &mut host.kernel;
        *origin = own;
    }
    for segment in &mut test_network.segments {
        let Segment::Fabric(fabric) = segment else { continue };
        for interface in fabric.interfaces.values_mut() {
            let own = Origin(OF_INTERFACES + u32::try_from(interface.host.0).unwrap());
            let (Fact::Known { origin, .. } | Fact::Unknown { origin }) = &mut interface.forwarding;
            *origin = own;
        }
    }
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
        1 => host.clone().prop_map(Fault::NoNode),
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

fn inject(test_network: &mut TestNetwork, fault: Fault) {
    let address =
        |test_network: &TestNetwork, host: usize| test_network.hosts[host].ports[0].address;
    match fault {
        Fault::Small(Edit::Fabric(segment, ..)) if !is_fabric(test_network, segment) => {}
        Fault::Small(Edit::Interface(host, _)) if interface(test_network, host).is_none() => {}
        Fault::Small(edit) => apply(test_network, edit),
        Fault::Stopped(host, runs) => test_network.hosts[host].runs = runs,
        Fault::NotPlumbed(host) => {
            if let Some(range) = test_network.hosts[host].pods.read().ok().and_then(|it| it.range())
            {
                test_network.hosts[host].pods = known(Pods::NotPlumbed(range));
            }
        }
        Fault::NoNode(host) => {
            if let Some(range) = test_network.hosts[host].pods.read().ok().and_then(|it| it.range())
            {
                test_network.hosts[host].pods = known(Pods::NoNode(range));
                test_network.hosts[host].kernel = Fact::unknown(KERNEL);
            }
        }
        Fault::PodsUnread(host) => test_network.hosts[host].pods = Fact::unknown(OTHER),
        Fault::PodsOf(host, range) => test_network.hosts[host].pods = known(Pods::Range(range)),
        Fault::Unread(host) => test_network.hosts[host].kernel = Fact::unknown(KERNEL),
        Fault::Interface(host, on) => {
            if let Some(interface) = interface(test_network, host) {
                interface.forwarding = on;
            }
        }
        Fault::NoInterface(host) => {
            let port = test_network.hosts[host].ports[0];
            match &mut test_network.segments[port.segment.0] {
                Segment::Fabric(fabric) => drop(fabric.interfaces.remove(&port.address)),
                Segment::Lan(lan) => drop(lan.hosts.remove(&port.address)),
            }
        }
        Fault::Fabric(host, prefix, to) => {
            let hop = FabricHop::Appliance(address(test_network, to));
            let segment = test_network.hosts[host].ports[0].segment.0;
            let subnet = interface(test_network, host).map(|interface| interface.subnet);
            if let Some(subnet) = subnet {
                test_network
                    .routes(segment, subnet)
                    .insert(prefix, UserRoute { hop, origin: OTHER });
            }
        }
        Fault::Denied(host, way, from) => deny(test_network, host, way, from),
        in_kernel => inject_kernel(test_network, in_kernel),
    }
}

fn inject_kernel(test_network: &mut TestNetwork, fault: Fault) {
    let (Fault::NotForwarding(host)
    | Fault::Filter(host, _)
    | Fault::Kernel(host, ..)
    | Fault::Hides(host, _)
    | Fault::Rule(host, ..)) = fault
    else {
        return;
    };
    if test_network.hosts[host].kernel.read().is_err() {
        return;
    }
    let pods = test_network.hosts[host].pods.read().ok().and_then(|pods| pods.range());
    match fault {
        Fault::NotForwarding(_) => test_network.kernel(host).forwarding = false,
        Fault::Filter(_, filter) => test_network.kernel(host).reverse_path_filter = filter,
        Fault::Kernel(_, prefix, to) => {
            let hop = KernelHop::Via(0, test_network.hosts[to].ports[0].address);
            let main = test_network.kernel(host).tables.get_mut(&TableId::MAIN).unwrap();
            main.insert(prefix, route(hop));
        }
        Fault::Hides(_, except) => test_network.kernel(host).translations.push(Translation {
            entering: Some(Port::Local),
            egress: Egress::Segments,
            sources: pods.unwrap_or_default(),
            except: vec![except],
        }),
        Fault::Rule(_, to, priority) => {
            let kernel = test_network.kernel(host);
            let table = if priority % 2 == 0 { TableId::MAIN } else { TableId::TAILSCALE };
            kernel.rules.push(RoutingRule { to, ..RoutingRule::any(priority, table) });
            kernel.sort_rules();
        }
        _ => {}
    }
}

fn is_fabric(test_network: &TestNetwork, segment: usize) -> bool {
    matches!(test_network.segments[segment], Segment::Fabric(_))
}

fn interface(
    test_network: &mut TestNetwork,
    host: usize,
) -> Option<&mut crate::dataplane::Interface> {
    let port = test_network.hosts[host].ports[0];
    match &mut test_network.segments[port.segment.0] {
        Segment::Fabric(fabric) => fabric.interfaces.get_mut(&port.address),
        Segment::Lan(_) => None,
    }
}

fn deny(test_network: &mut TestNetwork, host: usize, direction: TrafficDirection, from: Ipv4Net) {
    let Some(subnet) = interface(test_network, host).map(|interface| interface.subnet) else {
        return;
    };
    let segment = test_network.hosts[host].ports[0].segment.0;
    let any = vec![AddressMatch::Prefix(Ipv4Net::default())];
    let rule = |name: &str, priority, allows, direction, sources| FilterRule {
        name: name.into(),
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
    test_network.fabric(segment).subnets[subnet].security = Fact::known(Arc::new(group), GROUP);
}
