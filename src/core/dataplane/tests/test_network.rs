//! A network of two AKS nodes and their router, and of a datacenter of two
//! workers and theirs, as its pieces, so that a test can break each of them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;

use crate::dataplane::fabric::{
    Fabric, FabricHop, FabricSubnet, Interface, Lan, OverlayRange, Segment, SegmentId, UserRoute,
};
use crate::dataplane::fact::{Fact, Origin};
use crate::dataplane::host::{
    Egress, ForwardingEntry, Host, HostId, Kernel, KernelHop, Pods, Port, ReversePathFilter,
    RoutingRule, SegmentPort, TableId, Translation,
};
use crate::dataplane::security::SecurityGroup;
use crate::dataplane::tunnel::{AdvertisedPrefixes, Member, TAILSCALE_MTU, Tunnel};
use crate::dataplane::{End, Network, PrefixTable, Protocol, RoundTrip, trace_round_trip};

pub(crate) const NODE_A: usize = 0;
pub(crate) const NODE_B: usize = 1;
pub(crate) const CLUSTER_ROUTER: usize = 2;
pub(crate) const DATACENTER_ROUTER: usize = 3;
pub(crate) const WORKER_1: usize = 4;
pub(crate) const WORKER_2: usize = 5;

/// Where each kind of fact says that it comes from.
pub(crate) const WORKERS_TABLE: Origin = Origin(1);
pub(crate) const ROUTER_TABLE: Origin = Origin(2);
pub(crate) const DATACENTER_TABLE: Origin = Origin(3);
pub(crate) const INTERFACE: Origin = Origin(4);
pub(crate) const KERNEL: Origin = Origin(5);
pub(crate) const ADVERTISED: Origin = Origin(6);
pub(crate) const APPROVED: Origin = Origin(7);
pub(crate) const DEVICE: Origin = Origin(8);
pub(crate) const GROUP: Origin = Origin(9);
pub(crate) const OTHER: Origin = Origin(10);

pub(crate) fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

pub(crate) fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub(crate) fn known<T>(value: T) -> Fact<T> {
    Fact::known(value, OTHER)
}

/// The pieces.
#[derive(Debug, Clone)]
pub(crate) struct TestNetwork {
    pub(crate) hosts: Vec<Host>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) members: BTreeMap<HostId, Member>,
}

/// The differences between networks that all work.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Choice {
    pub(crate) masquerade: bool,
    pub(crate) bare_metal: bool,
    pub(crate) local_rules: bool,
}

pub(crate) const CHOICE: Choice = Choice { masquerade: true, bare_metal: false, local_rules: true };

const HOSTS: [(&str, usize, &str, Option<&str>); 6] = [
    ("node-a", 0, "10.224.0.4", Some("10.244.1.0/24")),
    ("node-b", 0, "10.224.0.5", Some("10.244.0.0/24")),
    ("cluster-router", 0, "10.237.0.4", None),
    ("datacenter-router", 1, "10.50.0.4", None),
    ("worker-1", 1, "10.50.1.5", Some("10.244.65.0/24")),
    ("worker-2", 1, "10.50.1.6", Some("10.244.66.0/24")),
];

pub(crate) fn healthy(choice: Choice) -> TestNetwork {
    let segments = if choice.bare_metal { vec![cluster(), lan()] } else { vec![cluster(), vnet()] };
    let hosts = HOSTS.into_iter().map(|(name, segment, address, pods)| Host {
        name: name.to_owned(),
        runs: known(true),
        ports: vec![SegmentPort { segment: SegmentId(segment), address: ip(address) }],
        pods: known(pods.map_or(Pods::None, |range| Pods::Range(net(range)))),
        kernel: Fact::known(kernel(name, choice), KERNEL),
    });
    let member = |address: &str, prefixes: &[&str]| Member {
        address: known(ip(address)),
        connected: Fact::known(true, DEVICE),
        peers: Fact::unknown(OTHER),
        advertised: AdvertisedPrefixes {
            advertised: Fact::known(prefixes.iter().map(|text| net(text)).collect(), ADVERTISED),
            approved: Fact::known(prefixes.iter().map(|text| net(text)).collect(), APPROVED),
            accepts: Fact::known(true, KERNEL),
        },
        blocks_incoming: false,
        is_foreign: false,
    };
    let of_cluster = ["10.224.0.0/16", "10.244.0.0/24", "10.244.1.0/24"];
    let of_datacenter = ["10.50.0.0/16", "10.244.64.0/20"];
    TestNetwork {
        hosts: hosts.collect(),
        segments,
        members: BTreeMap::from([
            (HostId(CLUSTER_ROUTER), member("100.64.0.1", &of_cluster)),
            (HostId(DATACENTER_ROUTER), member("100.64.0.2", &of_datacenter)),
        ]),
    }
}

fn appliance(routes: &[(&str, &str)], origin: Origin) -> Fact<Arc<PrefixTable<UserRoute>>> {
    let entry = |(prefix, hop): &(&str, &str)| {
        (net(prefix), UserRoute { hop: FabricHop::Appliance(ip(hop)), origin })
    };
    Fact::known(Arc::new(routes.iter().map(entry).collect()), origin)
}

fn subnet(name: &str, routes: &[(&str, &str)], origin: Origin) -> FabricSubnet {
    let security = Fact::known(Arc::new(SecurityGroup::open(GROUP)), GROUP);
    let routes = appliance(routes, origin);
    FabricSubnet { name: name.to_owned(), routes, security, interface_security: None }
}

fn interface(host: usize, subnet: usize, in_overlay: bool) -> Interface {
    let forwarding = Fact::known(!in_overlay, INTERFACE);
    Interface { host: HostId(host), subnet, forwarding, in_overlay }
}

fn cluster() -> Segment {
    let router = "10.237.0.4";
    let overlay = [("10.244.1.0/24", "10.224.0.4"), ("10.244.0.0/24", "10.224.0.5")];
    Segment::Fabric(Box::new(Fabric {
        name: "aks-vnet".to_owned(),
        origin: OTHER,
        address_space: vec![net("10.224.0.0/12")],
        subnets: vec![
            subnet(
                "aks-subnet",
                &[("10.50.0.0/16", router), ("10.244.64.0/20", router)],
                WORKERS_TABLE,
            ),
            subnet("router-subnet", &overlay, ROUTER_TABLE),
        ],
        interfaces: BTreeMap::from([
            (ip("10.224.0.4"), interface(NODE_A, 0, true)),
            (ip("10.224.0.5"), interface(NODE_B, 0, true)),
            (ip(router), interface(CLUSTER_ROUTER, 1, false)),
        ]),
        unread: None,
        overlay: overlay
            .iter()
            .map(|(range, node)| (net(range), OverlayRange { node: ip(node), origin: OTHER }))
            .collect(),
    }))
}

const TO_WORKERS: [(&str, &str); 2] =
    [("10.244.65.0/24", "10.50.1.5"), ("10.244.66.0/24", "10.50.1.6")];

fn vnet() -> Segment {
    let router = "10.50.0.4";
    let broad = [("100.64.0.0/10", router), ("10.224.0.0/12", router), ("10.244.0.0/16", router)];
    Segment::Fabric(Box::new(Fabric {
        name: "stargate-vnet".to_owned(),
        origin: OTHER,
        address_space: vec![net("10.50.0.0/16")],
        subnets: vec![
            subnet("stargate-subnet", &[&broad[..], &TO_WORKERS].concat(), DATACENTER_TABLE),
            subnet("stargate-router-subnet", &TO_WORKERS, ROUTER_TABLE),
        ],
        interfaces: BTreeMap::from([
            (ip("10.50.1.5"), interface(WORKER_1, 0, false)),
            (ip("10.50.1.6"), interface(WORKER_2, 0, false)),
            (ip(router), interface(DATACENTER_ROUTER, 1, false)),
        ]),
        unread: None,
        overlay: PrefixTable::default(),
    }))
}

fn lan() -> Segment {
    Segment::Lan(Lan {
        name: "lan".to_owned(),
        origin: OTHER,
        prefix: net("10.50.0.0/16"),
        hosts: BTreeMap::from([
            (ip("10.50.0.4"), HostId(DATACENTER_ROUTER)),
            (ip("10.50.1.5"), HostId(WORKER_1)),
            (ip("10.50.1.6"), HostId(WORKER_2)),
        ]),
    })
}

pub(crate) fn route(hop: KernelHop) -> ForwardingEntry {
    ForwardingEntry { metric: 0, hop, origin: None }
}

fn kernel(name: &str, choice: Choice) -> Kernel {
    let local = (net("0.0.0.0/0"), route(KernelHop::OnLink(0)));
    let mut main: PrefixTable<ForwardingEntry> = [local].into_iter().collect();
    let to_pods: &[(&str, &str)] = match name {
        "worker-1" | "worker-2" if choice.bare_metal => {
            &[("10.244.0.0/16", "10.50.0.4"), ("10.224.0.0/16", "10.50.0.4")]
        }
        "datacenter-router" => &TO_WORKERS,
        _ => &[],
    };
    for (prefix, via) in to_pods {
        main.insert(net(prefix), route(KernelHop::Via(0, ip(via))));
    }
    match name {
        "cluster-router" => router(
            main,
            &["10.50.0.0/16", "10.244.64.0/20"],
            &["10.224.0.0/16", "10.244.0.0/24", "10.244.1.0/24"],
            choice,
        ),
        "datacenter-router" => {
            for broad in ["10.244.0.0/16", "10.224.0.0/12", "100.64.0.0/10"] {
                main.insert(net(broad), route(KernelHop::Unreachable));
            }
            let remote = ["10.224.0.0/16", "10.244.0.0/24", "10.244.1.0/24"];
            router(main, &remote, &["10.50.0.0/16", "10.244.64.0/20"], choice)
        }
        _ => Kernel::plain(main),
    }
}

fn router(
    mut main: PrefixTable<ForwardingEntry>,
    remote: &[&str],
    local: &[&str],
    choice: Choice,
) -> Kernel {
    let tunnel = route(KernelHop::Tunnel);
    let accepted =
        remote.iter().chain(&["100.64.0.1/32", "100.64.0.2/32"]).map(|text| (net(text), tunnel));
    let table_52 = accepted.collect();
    for prefix in remote {
        main.insert(net(prefix), tunnel);
    }
    let mut kernel = Kernel::plain(main);
    kernel.tables.insert(TableId::TAILSCALE, table_52);
    kernel.rules.push(RoutingRule::any(5_270, TableId::TAILSCALE));
    if choice.local_rules {
        let rule =
            |text: &&str| RoutingRule { to: net(text), ..RoutingRule::any(5_200, TableId::MAIN) };
        kernel.rules.extend(local.iter().map(rule));
    }
    kernel.sort_rules();
    kernel.reverse_path_filter = ReversePathFilter::Loose;
    kernel.clamps_segment_size = true;
    if choice.masquerade {
        let any = Ipv4Net::default();
        let rule =
            |entering, egress| Translation { entering, egress, sources: any, except: vec![] };
        kernel.translations =
            vec![rule(None, Egress::Tunnel), rule(Some(Port::Tunnel), Egress::Segments)];
    }
    kernel
}

impl TestNetwork {
    pub(crate) fn network(&self) -> Network {
        let tunnel = Tunnel {
            name: "tailnet".to_owned(),
            mtu: TAILSCALE_MTU,
            members: self.members.clone(),
        };
        Network::new(self.hosts.clone(), self.segments.clone(), tunnel.of_tailnet())
    }

    pub(crate) fn kernel(&mut self, host: usize) -> &mut Kernel {
        match &mut self.hosts[host].kernel {
            Fact::Known { value, .. } => value,
            Fact::Unknown { .. } => panic!("the kernel is known"),
        }
    }

    pub(crate) fn fabric(&mut self, segment: usize) -> &mut Fabric {
        match &mut self.segments[segment] {
            Segment::Fabric(fabric) => fabric,
            Segment::Lan(_) => panic!("it is a fabric"),
        }
    }

    pub(crate) fn routes(&mut self, segment: usize, subnet: usize) -> &mut PrefixTable<UserRoute> {
        match &mut self.fabric(segment).subnets[subnet].routes {
            Fact::Known { value, .. } => Arc::make_mut(value),
            Fact::Unknown { .. } => panic!("the table is known"),
        }
    }

    pub(crate) fn drop_route(&mut self, segment: usize, subnet: usize, prefix: &str) {
        let table = self.routes(segment, subnet);
        *table = table.iter().filter(|(it, _)| *it != net(prefix)).map(|(p, r)| (p, *r)).collect();
    }

    pub(crate) fn advertised(&mut self, host: usize) -> &mut AdvertisedPrefixes {
        &mut self.members.get_mut(&HostId(host)).unwrap().advertised
    }

    /// From a pod of one host to a pod of another.
    pub(crate) fn pods(&self, from: usize, to: usize) -> RoundTrip {
        self.round_trip(pod(from), pod(to))
    }

    pub(crate) fn round_trip(&self, from: Ipv4Addr, to: Ipv4Addr) -> RoundTrip {
        let network = self.network();
        let from: End = network.end(from).unwrap();
        trace_round_trip(&network, from, to, Protocol::Tcp(8_080))
    }

    /// Every address of every node.
    pub(crate) fn ends(&self) -> Vec<Ipv4Addr> {
        let nodes = [NODE_A, NODE_B, WORKER_1, WORKER_2];
        nodes.into_iter().flat_map(|node| [pod(node), self.hosts[node].ports[0].address]).collect()
    }
}

/// The address of a pod on a host.
pub(crate) fn pod(host: usize) -> Ipv4Addr {
    let range = net(HOSTS[host].3.unwrap());
    crate::net::prefix::host(&range, 10).unwrap()
}

/// Every choice of a network that works.
pub(crate) fn choices() -> Vec<Choice> {
    let both = [false, true];
    let mut all = Vec::new();
    for masquerade in both {
        for bare_metal in both {
            for local_rules in both {
                all.push(Choice { masquerade, bare_metal, local_rules });
            }
        }
    }
    all
}
