//! The specification of a healthy network: two AKS nodes and their router in a fabric, a
//! datacenter's router and two workers in another, and a bare-metal datacenter on a LAN.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;

use ipnet::Ipv4Net;
use stargate::dataplane::fabric::{
    Fabric, FabricHop, FabricSubnet, Interface, Lan, OverlayRange, Segment, SegmentId, UserRoute,
};
use stargate::dataplane::host::{
    Egress, ForwardingEntry, Host, HostId, Kernel, KernelHop, KernelTable, Pods, Port,
    ReversePathFilter, RoutingRule, SegmentPort, TableId, Translation,
};
use stargate::dataplane::security::SecurityGroup;
use stargate::dataplane::tunnel::{AdvertisedPrefixes, Member, PeerPrefix, TAILSCALE_MTU, Tunnel};
use stargate::dataplane::{Fact, Network, Origin, PrefixTable};

/// Provenance does not matter here.
pub(crate) const ORIGIN: Origin = Origin(0);
pub(crate) const NODE_A: usize = 0;
pub(crate) const NODE_B: usize = 1;
pub(crate) const CLUSTER_ROUTER: usize = 2;
pub(crate) const AZURE_ROUTER: usize = 3;
pub(crate) const METAL_ROUTER: usize = 6;
pub(crate) const ROUTERS: [usize; 3] = [CLUSTER_ROUTER, AZURE_ROUTER, METAL_ROUTER];

/// The name, segment, address and pods of a host.
#[derive(Debug)]
pub(crate) struct Description {
    pub(crate) name: &'static str,
    pub(crate) segment: usize,
    pub(crate) address: &'static str,
    pub(crate) pods: Option<&'static str>,
    pub(crate) in_tunnel: Option<&'static str>,
}

const fn node(
    name: &'static str,
    segment: usize,
    address: &'static str,
    pods: &'static str,
) -> Description {
    Description { name, segment, address, pods: Some(pods), in_tunnel: None }
}

const fn router(
    name: &'static str,
    segment: usize,
    address: &'static str,
    in_tunnel: &'static str,
) -> Description {
    Description { name, segment, address, pods: None, in_tunnel: Some(in_tunnel) }
}

pub(crate) const HOSTS: [Description; 9] = [
    node("node-a", 0, "10.224.0.4", "10.244.1.0/24"),
    node("node-b", 0, "10.224.0.5", "10.244.0.0/24"),
    router("router", 0, "10.237.0.4", "100.64.0.1"),
    router("router-1", 1, "10.50.0.4", "100.64.0.2"),
    node("worker-1", 1, "10.50.1.5", "10.244.65.0/24"),
    node("worker-2", 1, "10.50.1.6", "10.244.66.0/24"),
    router("router-2", 2, "10.60.0.4", "100.64.0.3"),
    node("worker-3", 2, "10.60.1.5", "10.244.81.0/24"),
    node("worker-4", 2, "10.60.1.6", "10.244.82.0/24"),
];

/// Which hosts may claim the pod CIDR of another host.
pub(crate) const CLAIMS: [(usize, usize); 2] = [(5, 4), (NODE_B, 7)];

/// The prefixes that each router serves.
const SERVED: [(usize, &[&str]); 3] = [
    (CLUSTER_ROUTER, &["10.224.0.0/16", "10.237.0.0/24", "10.244.0.0/24", "10.244.1.0/24"]),
    (AZURE_ROUTER, &["10.50.0.0/16", "10.244.64.0/20"]),
    (METAL_ROUTER, &["10.60.0.0/16", "10.244.80.0/20"]),
];

pub(crate) fn net(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

pub(crate) fn ip(text: &str) -> Ipv4Addr {
    text.parse().unwrap()
}

pub(crate) fn known<T>(value: T) -> Fact<T> {
    Fact::known(value, ORIGIN)
}

pub(crate) fn value<T>(fact: &mut Fact<T>) -> &mut T {
    match fact {
        Fact::Known { value, .. } => value,
        Fact::Unknown { .. } => panic!("every fact is known here"),
    }
}

/// The address of a pod on a node.
pub(crate) fn pod(host: usize) -> Ipv4Addr {
    stargate::net::prefix::host(&net(HOSTS[host].pods.unwrap()), 10).unwrap()
}

/// The elements of a network, each of which can have faults. Both the model and the namespaces are
/// built from it.
#[derive(Debug, Clone)]
pub(crate) struct NetworkSpec {
    pub(crate) hosts: Vec<Host>,
    pub(crate) segments: Vec<Segment>,
    pub(crate) members: BTreeMap<HostId, Member>,
    /// Members that left the tailnet, although peers may still know them.
    pub(crate) left: BTreeSet<HostId>,
    /// Routes that the kernel has in addition to the model's: to the same prefixes with a higher
    /// metric.
    pub(crate) shadowed: Vec<(usize, TableId, Ipv4Net, ForwardingEntry)>,
}

pub(crate) fn healthy(masquerade: bool, local_rules: bool) -> NetworkSpec {
    let hosts = HOSTS.iter().enumerate().map(|(id, description)| Host {
        name: description.name.to_owned(),
        runs: known(true),
        ports: vec![SegmentPort {
            segment: SegmentId(description.segment),
            address: ip(description.address),
        }],
        pods: known(description.pods.map_or(Pods::None, |range| Pods::Range(net(range)))),
        kernel: known(kernel(id, masquerade, local_rules)),
    });
    let member = |(router, served): (usize, &[&str])| {
        let prefixes: Vec<Ipv4Net> = served.iter().map(|text| net(text)).collect();
        let member = Member {
            address: known(ip(HOSTS[router].in_tunnel.unwrap())),
            connected: known(true),
            peers: Fact::unknown(ORIGIN),
            advertised: AdvertisedPrefixes {
                advertised: known(prefixes.clone()),
                approved: known(prefixes),
                accepts: known(true),
            },
            blocks_incoming: false,
            is_foreign: false,
        };
        (HostId(router), member)
    };
    let mut spec = NetworkSpec {
        hosts: hosts.collect(),
        segments: vec![cluster(), azure(), metal()],
        members: SERVED.into_iter().map(member).collect(),
        left: BTreeSet::new(),
        shadowed: Vec::new(),
    };
    spec.recompute_tailnet_routes();
    spec
}

fn subnet(name: &str, routes: &[(&str, &str)]) -> FabricSubnet {
    let entry = |(prefix, hop): &(&str, &str)| {
        (net(prefix), UserRoute { hop: FabricHop::Appliance(ip(hop)), origin: ORIGIN })
    };
    FabricSubnet {
        name: name.to_owned(),
        routes: known(Arc::new(routes.iter().map(entry).collect())),
        security: known(Arc::new(SecurityGroup::open(ORIGIN))),
        interface_security: None,
    }
}

/// The interfaces of a segment's hosts. Routers are in the second subnet.
fn interfaces(segment: usize, in_overlay: bool) -> BTreeMap<Ipv4Addr, Interface> {
    let here = HOSTS.iter().enumerate().filter(|(_, host)| host.segment == segment);
    here.map(|(id, host)| {
        let is_router = host.in_tunnel.is_some();
        let in_overlay = in_overlay && !is_router;
        let forwarding = known(!in_overlay);
        let subnet = usize::from(is_router);
        (ip(host.address), Interface { host: HostId(id), subnet, forwarding, in_overlay })
    })
    .collect()
}

fn cluster() -> Segment {
    let router = HOSTS[CLUSTER_ROUTER].address;
    let nodes = [NODE_A, NODE_B].map(|node| (HOSTS[node].pods.unwrap(), HOSTS[node].address));
    let to_datacenters = ["10.50.0.0/16", "10.244.64.0/20", "10.60.0.0/16", "10.244.80.0/20"];
    let range =
        |(range, node): (&str, &str)| (net(range), OverlayRange { node: ip(node), origin: ORIGIN });
    Segment::Fabric(Box::new(Fabric {
        name: "aks-vnet".to_owned(),
        origin: ORIGIN,
        address_space: vec![net("10.224.0.0/12")],
        subnets: vec![
            subnet("aks-subnet", &to_datacenters.map(|prefix| (prefix, router))),
            subnet("router-subnet", &nodes),
        ],
        interfaces: interfaces(0, true),
        unread: None,
        overlay: nodes.into_iter().map(range).collect(),
    }))
}

/// The pod CIDRs of a segment's workers, with the workers' addresses.
fn to_workers(segment: usize) -> Vec<(&'static str, &'static str)> {
    let here = HOSTS.iter().filter(|host| host.segment == segment);
    here.filter_map(|host| Some((host.pods?, host.address))).collect()
}

fn azure() -> Segment {
    let router = HOSTS[AZURE_ROUTER].address;
    let broad = ["100.64.0.0/10", "10.224.0.0/12", "10.244.0.0/16", "10.60.0.0/16"];
    let workers = to_workers(1);
    let of_workers = [&broad.map(|prefix| (prefix, router))[..], &workers].concat();
    Segment::Fabric(Box::new(Fabric {
        name: "stargate-vnet".to_owned(),
        origin: ORIGIN,
        address_space: vec![net("10.50.0.0/16")],
        subnets: vec![
            subnet("stargate-subnet", &of_workers),
            subnet("stargate-router-subnet", &workers),
        ],
        interfaces: interfaces(1, false),
        unread: None,
        overlay: PrefixTable::default(),
    }))
}

fn metal() -> Segment {
    let here = HOSTS.iter().enumerate().filter(|(_, host)| host.segment == 2);
    Segment::Lan(Lan {
        name: "lan".to_owned(),
        origin: ORIGIN,
        prefix: net("10.60.0.0/16"),
        hosts: here.map(|(id, host)| (ip(host.address), HostId(id))).collect(),
    })
}

pub(crate) fn route(hop: KernelHop) -> ForwardingEntry {
    ForwardingEntry { metric: 0, hop, origin: None }
}

fn kernel(id: usize, masquerade: bool, local_rules: bool) -> Kernel {
    let host = &HOSTS[id];
    let on_link = route(KernelHop::OnLink(0));
    let mut main: KernelTable = [(Ipv4Net::default(), on_link)].into_iter().collect();
    if host.in_tunnel.is_some() {
        return router_kernel(id, main, masquerade, local_rules);
    }
    if host.segment == 2 {
        let via = route(KernelHop::Via(0, ip(HOSTS[METAL_ROUTER].address)));
        for prefix in ["10.244.0.0/16", "10.224.0.0/16", "10.237.0.0/24", "10.50.0.0/16"] {
            main.insert(net(prefix), via);
        }
        main.insert(net("10.60.0.0/16"), on_link);
    }
    Kernel::plain(main)
}

fn router_kernel(id: usize, mut main: KernelTable, masquerade: bool, local_rules: bool) -> Kernel {
    let mut local = Vec::new();
    for (router, served) in SERVED {
        for prefix in served {
            match router == id {
                true => local.push(net(prefix)),
                false => main.insert(net(prefix), route(KernelHop::Tunnel)),
            }
        }
    }
    if id != CLUSTER_ROUTER {
        for broad in ["10.244.0.0/16", "10.224.0.0/12", "100.64.0.0/10"] {
            main.insert(
                net(broad),
                ForwardingEntry { metric: 4_096, ..route(KernelHop::Unreachable) },
            );
        }
        for (prefix, worker) in to_workers(HOSTS[id].segment) {
            main.insert(net(prefix), route(KernelHop::Via(0, ip(worker))));
        }
    }
    let mut kernel = Kernel::plain(main);
    kernel.rules.push(RoutingRule::any(5_270, TableId::TAILSCALE));
    if local_rules {
        let rule = |to| RoutingRule { to, ..RoutingRule::any(5_200, TableId::MAIN) };
        kernel.rules.extend(local.into_iter().map(rule));
    }
    kernel.sort_rules();
    kernel.reverse_path_filter = ReversePathFilter::Loose;
    if masquerade {
        kernel.translations = vec![masquerade_rule(None, Egress::Tunnel), from_tunnel()];
    }
    kernel
}

/// Tailscale's masquerading of packets from the tunnel.
pub(crate) fn from_tunnel() -> Translation {
    masquerade_rule(Some(Port::Tunnel), Egress::Segments)
}

pub(crate) fn masquerade_rule(entering: Option<Port>, egress: Egress) -> Translation {
    Translation { entering, egress, sources: Ipv4Net::default(), except: Vec::new() }
}

impl NetworkSpec {
    /// Recomputes what the tailnet derives from advertised and approved routes, in the tunnel and
    /// in table 52.
    pub(crate) fn recompute_tailnet_routes(&mut self) {
        self.members = self.tunnel().of_tailnet().members;
        for id in ROUTERS {
            let peers = self.peers(id).iter();
            let table = peers.map(|(prefix, _)| (prefix, route(KernelHop::Tunnel))).collect();
            self.kernel(id).tables.insert(TableId::TAILSCALE, table);
        }
    }

    /// Removes additional routes whose preferred route is gone: the kernel would use them, and the
    /// model does not know them.
    pub(crate) fn remove_unshadowed_routes(&mut self) {
        let hosts = &self.hosts;
        self.shadowed.retain(|(host, table, prefix, backup)| {
            let kernel = hosts[*host].kernel.read().unwrap();
            let preferred = kernel.tables.get(table).and_then(|table| table.get(prefix));
            preferred.is_some_and(|preferred| preferred.metric < backup.metric)
        });
    }

    fn tunnel(&self) -> Tunnel {
        let members = self.members.clone();
        Tunnel { name: "tailnet".to_owned(), mtu: TAILSCALE_MTU, members }
    }

    /// The network as the model sees it.
    pub(crate) fn network(&self) -> Network {
        let mut tunnel = self.tunnel();
        tunnel.members.retain(|id, _| !self.left.contains(id));
        Network::new(self.hosts.clone(), self.segments.clone(), tunnel)
    }

    pub(crate) fn kernel(&mut self, host: usize) -> &mut Kernel {
        value(&mut self.hosts[host].kernel)
    }

    pub(crate) fn member(&mut self, host: usize) -> &mut Member {
        self.members.get_mut(&HostId(host)).unwrap()
    }

    pub(crate) fn peers(&mut self, host: usize) -> &mut PrefixTable<PeerPrefix> {
        value(&mut self.member(host).peers)
    }

    pub(crate) fn fabric(&mut self, segment: usize) -> &mut Fabric {
        match &mut self.segments[segment] {
            Segment::Fabric(fabric) => fabric,
            Segment::Lan(_) => panic!("the segment is a fabric"),
        }
    }
}
