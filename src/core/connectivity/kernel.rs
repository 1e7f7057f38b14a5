//! The kernel configuration of AKS nodes, workers and routers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use crate::dataplane::host::{
    self, Egress, ForwardingEntry, Kernel, KernelHop, Port, ReversePathFilter, RoutingRule,
    TableId, Translation,
};
use crate::dataplane::{Fact, Member};
use crate::resource::Shared;
use crate::resource::foreign_rule::{ForeignHop, ForeignRule};
use crate::resource::host::{KernelRoute as Hop, RouterHost};

/// The metric of `unreachable` routes: any other route takes precedence.
const LAST_METRIC: u32 = 4_096;
/// Our rules, Tailscale's, and the kernel's own.
const OUR_RULE: u32 = 5_200;
const TAILSCALE_RULE: u32 = 5_270;
const TUNNEL_DEVICE: &str = "tailscale0";

/// A router as it is read, before the tailnet's tables are known.
pub(super) struct RouterParts {
    pub(super) host: host::Host,
    pub(super) member: Member,
    pub(super) pending: PendingRouter,
}

/// A router whose kernel waits for the tailnet's tables.
#[derive(Clone)]
pub(super) struct PendingRouter {
    /// The configuration that stargate applied, if it could be read.
    pub(super) config: Fact<Shared<RouterHost>>,
    /// Its own network, on the LAN or in the fabric.
    pub(super) network: Ipv4Net,
    /// The workers that it reaches through a gateway, by their pod CIDRs: the gateway is
    /// not modelled, and assumed to forward.
    pub(super) behind_gateway: BTreeMap<Ipv4Net, Ipv4Addr>,
    /// Rules of others on it.
    pub(super) foreign_rules: Vec<ForeignRule>,
}

/// A kernel that sends everything to the one segment that it is on.
pub(super) fn node_kernel(network: Ipv4Net) -> Kernel {
    let route = ForwardingEntry { metric: 0, hop: KernelHop::OnLink(0), origin: None };
    Kernel::plain([(network, route), (Ipv4Net::default(), route)].into_iter().collect())
}

/// Cilium applies SNAT to packets from pods to other destinations than pods.
pub(super) fn pod_snat(pods: Ipv4Net, pod_cidr: Ipv4Net) -> Translation {
    Translation {
        entering: Some(Port::Local),
        egress: Egress::Segments,
        sources: pods,
        except: vec![pod_cidr],
    }
}

/// Puts routes that stargate wrote into table main.
pub(super) fn add_routes(kernel: &mut Kernel, routes: impl Iterator<Item = (Ipv4Net, Hop)>) {
    for (prefix, route) in routes {
        let (metric, hop) = match route {
            Hop::Tunnel => (0, KernelHop::Tunnel),
            Hop::Via(neighbour) => (0, KernelHop::Via(0, neighbour)),
            Hop::Unreachable => (LAST_METRIC, KernelHop::Unreachable),
        };
        kernel.add_route(TableId::MAIN, prefix, ForwardingEntry { metric, hop, origin: None });
    }
}

/// The kernel of the last worker, for the next one: workers of a datacenter have the
/// same routes, and share the tables that these make.
#[derive(Clone, Default)]
pub(super) struct NodeKernels(Option<(Ipv4Net, KernelRoutes, Kernel)>);

/// The routes that stargate wrote on a worker.
pub(super) type KernelRoutes = Shared<BTreeMap<Ipv4Net, Hop>>;

impl NodeKernels {
    /// The kernel of a node in that network with these routes.
    pub(super) fn of(&mut self, network: Ipv4Net, routes: &KernelRoutes) -> Kernel {
        if let Some((of_network, of_routes, kernel)) = &self.0
            && (*of_network, of_routes) == (network, routes)
        {
            return kernel.clone();
        }
        let mut kernel = node_kernel(network);
        add_routes(&mut kernel, routes.iter().map(|(prefix, route)| (*prefix, *route)));
        self.0 = Some((network, routes.clone(), kernel.clone()));
        kernel
    }
}

/// Adds rules of other programs with their tables.
pub(super) fn add_foreign_rules(kernel: &mut Kernel, rules: &[ForeignRule]) {
    for (number, rule) in rules.iter().enumerate() {
        // A table with a name gets a number that no kernel uses.
        let unnamed = || u32::MAX - u32::try_from(number).unwrap_or_default();
        let table = TableId(rule.table.parse().unwrap_or_else(|_| unnamed()));
        for (prefix, hop) in &rule.routes {
            let hop = match hop {
                ForeignHop::Via(neighbour) => KernelHop::Via(0, *neighbour),
                ForeignHop::Device(device) if device == TUNNEL_DEVICE => KernelHop::Tunnel,
                // The network behind another device is not modelled.
                ForeignHop::Device(_) | ForeignHop::Unreachable => KernelHop::Unreachable,
            };
            kernel.add_route(table, *prefix, ForwardingEntry { metric: 0, hop, origin: None });
        }
        let (priority, from, to) = (rule.priority, rule.from, rule.to);
        kernel.rules.push(RoutingRule { priority, from, to, table });
    }
    kernel.sort_rules();
}

impl PendingRouter {
    /// The kernel with the table that Tailscale keeps.
    pub(super) fn kernel(&self, member: Option<&Member>) -> Fact<Kernel> {
        let origin = self.config.origin();
        let Ok(config) = self.config.read() else { return Fact::unknown(origin) };
        let Some(routes) = config.kernel_routes.known() else { return Fact::unknown(origin) };
        let mut kernel = node_kernel(self.network);
        let passed_on = |(prefix, route): (&Ipv4Net, &Hop)| match self.behind_gateway.get(prefix) {
            Some(worker) if matches!(route, Hop::Via(_)) => (*prefix, Hop::Via(*worker)),
            _ => (*prefix, *route),
        };
        add_routes(&mut kernel, routes.iter().map(passed_on));
        kernel.forwarding = config.ip_forwarding;
        kernel.reverse_path_filter = match config.reverse_path_filter {
            0 => ReversePathFilter::Off,
            1 => ReversePathFilter::Strict,
            _ => ReversePathFilter::Loose,
        };
        kernel.clamps_segment_size = config.mss_clamp;
        kernel.translations = translations(config);
        for prefix in &config.local_prefixes {
            kernel
                .rules
                .push(RoutingRule { to: *prefix, ..RoutingRule::any(OUR_RULE, TableId::MAIN) });
        }
        if let Some(member) = member {
            let route = |origin| ForwardingEntry {
                metric: 0,
                hop: KernelHop::Tunnel,
                origin: Some(origin),
            };
            let table = match member.peers.read() {
                Ok(peers) => {
                    peers.iter().map(|(prefix, peer)| (prefix, route(peer.origin))).collect()
                }
                // Packets that look up the table enter the tunnel, whose result is
                // unknown; other packets are forwarded as usual.
                Err(unread) if tunnel_precedes_unread_table(member, &kernel) => {
                    std::iter::once((Ipv4Net::default(), route(unread.origin))).collect()
                }
                Err(unread) => return Fact::unknown(unread.origin),
            };
            kernel.tables.insert(TableId::TAILSCALE, table);
            kernel.rules.push(RoutingRule::any(TAILSCALE_RULE, TableId::TAILSCALE));
        }
        add_foreign_rules(&mut kernel, &self.foreign_rules);
        Fact::known(kernel, origin)
    }
}

/// Whether packets reach the tunnel before a decision needs the unread table 52.
fn tunnel_precedes_unread_table(member: &Member, kernel: &Kernel) -> bool {
    member.connected.read() == Ok(&true) && kernel.reverse_path_filter != ReversePathFilter::Strict
}

/// Our rule applies SNAT to packets into the tunnel, Tailscale's to packets out of it.
fn translations(config: &RouterHost) -> Vec<Translation> {
    let any = Ipv4Net::default();
    let rule = |entering, egress| Translation { entering, egress, sources: any, except: vec![] };
    let ours = config.masquerade.then(|| rule(None, Egress::Tunnel));
    let theirs = config.snat_subnet_routes.then(|| rule(Some(Port::Tunnel), Egress::Segments));
    ours.into_iter().chain(theirs).collect()
}
