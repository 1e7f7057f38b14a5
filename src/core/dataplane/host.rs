//! Linux hosts: rules, tables, forwarding, address translation.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::fabric::SegmentId;
use super::fact::{Fact, Origin};
use super::table::PrefixTable;
use crate::resource::Shared;

/// The number of a host in its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

/// A machine that sends, receives or forwards packets.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// The name.
    pub name: String,
    /// Whether the machine exists and runs.
    pub runs: Fact<bool>,
    /// Its ports on segments; addresses in the tunnel belong to the tunnel.
    pub ports: Vec<SegmentPort>,
    /// Its pods.
    pub pods: Fact<Pods>,
    /// The configuration of its kernel.
    pub kernel: Fact<Kernel>,
}

/// A port of a host on a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentPort {
    /// The segment.
    pub segment: SegmentId,
    /// The host's address there.
    pub address: Ipv4Addr,
}

/// The pods of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pods {
    /// It is not a node of the cluster.
    None,
    /// Pods get addresses of this prefix.
    Range(Ipv4Net),
    /// Pods should get addresses of this prefix, but no CNI configuration assigns them.
    NotPlumbed(Ipv4Net),
    /// The cluster has no Node of it: no pod has an address of this prefix, whatever its kernel
    /// does.
    NoNode(Ipv4Net),
}

impl Pods {
    /// The pod CIDR, whether or not addresses are assigned.
    pub fn range(self) -> Option<Ipv4Net> {
        match self {
            Self::None => None,
            Self::Range(range) | Self::NotPlumbed(range) | Self::NoNode(range) => Some(range),
        }
    }
}

/// The port at which a packet enters or leaves a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// The host's own processes and pods.
    Local,
    /// The segment port of that number.
    Segment(usize),
    /// The tunnel.
    Tunnel,
}

/// The network configuration of a kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// Whether IP forwarding is enabled.
    pub forwarding: bool,
    /// The reverse path filter.
    pub reverse_path_filter: ReversePathFilter,
    /// The rules in order of priority; the table of local addresses precedes all.
    pub rules: Vec<RoutingRule>,
    /// Routes by table.
    pub tables: Shared<BTreeMap<TableId, KernelTable>>,
    /// SNAT rules; the first match applies.
    pub translations: Vec<Translation>,
    /// Whether the TCP MSS is clamped to the MTU of the tunnel.
    pub clamps_segment_size: bool,
}

/// The routes of one table.
pub type KernelTable = PrefixTable<ForwardingEntry>;

/// The number of a kernel's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableId(pub u32);

impl TableId {
    /// Table main.
    pub const MAIN: Self = Self(254);
    /// Tailscale's table of accepted routes.
    pub const TAILSCALE: Self = Self(52);
}

/// `rp_filter`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ReversePathFilter {
    /// Any source is accepted.
    Off,
    /// The route to the source must use the port at which the packet arrived.
    Strict,
    /// There must be a route to the source.
    Loose,
}

/// A rule: matching packets are looked up in that table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RoutingRule {
    /// Lower priorities are evaluated first.
    pub priority: u32,
    /// Sources that match; `0.0.0.0/0` is any.
    pub from: Ipv4Net,
    /// Destinations that match; `0.0.0.0/0` is any.
    pub to: Ipv4Net,
    /// The table.
    pub table: TableId,
}

impl RoutingRule {
    /// A rule for every packet.
    pub fn any(priority: u32, table: TableId) -> Self {
        let all = Ipv4Net::default();
        Self { priority, from: all, to: all, table }
    }
}

/// A route of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ForwardingEntry {
    /// The lower metric of two routes to one prefix wins.
    pub metric: u32,
    /// The next hop.
    pub hop: KernelHop,
    /// The origin of the fact; `None` where the kernel itself was read.
    pub origin: Option<Origin>,
}

/// The next hop of a kernel route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KernelHop {
    /// To the owner of the destination's address on that port's segment.
    OnLink(usize),
    /// To a neighbour on that port's segment.
    Via(usize, Ipv4Addr),
    /// Into the tunnel.
    Tunnel,
    /// Rejected: the sender receives an ICMP error.
    Unreachable,
    /// Throw: evaluation continues with the next rule.
    Throw,
}

/// An SNAT rule: the source becomes the address of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// The port at which the packet entered; absent for any port.
    pub entering: Option<Port>,
    /// The ports at which it leaves.
    pub egress: Egress,
    /// Sources that are translated; `0.0.0.0/0` is any.
    pub sources: Ipv4Net,
    /// Destinations that are exempt.
    pub except: Vec<Ipv4Net>,
}

/// The egress ports of a translation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Egress {
    /// Into the tunnel.
    Tunnel,
    /// Onto any segment.
    Segments,
}

impl Translation {
    /// Whether it translates a packet's source.
    pub fn applies(&self, entered: Port, left: Port, source: Ipv4Addr, to: Ipv4Addr) -> bool {
        let egress = match self.egress {
            Egress::Tunnel => left == Port::Tunnel,
            Egress::Segments => matches!(left, Port::Segment(_)),
        };
        egress
            && self.entering.is_none_or(|entering| entering == entered)
            && self.sources.contains(&source)
            && !self.except.iter().any(|except| except.contains(&to))
    }
}

/// The result of a route lookup.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The rule that selected the table.
    pub rule: RoutingRule,
    /// The prefix that matched.
    pub prefix: Ipv4Net,
    /// The route.
    pub route: ForwardingEntry,
}

impl Kernel {
    /// A kernel that forwards, with table main only.
    pub fn plain(main: KernelTable) -> Self {
        Self {
            forwarding: true,
            reverse_path_filter: ReversePathFilter::Off,
            rules: vec![RoutingRule::any(32_766, TableId::MAIN)],
            tables: BTreeMap::from([(TableId::MAIN, main)]).into(),
            translations: Vec::new(),
            clamps_segment_size: false,
        }
    }

    /// Adds a route; the lower metric of two routes to one prefix wins.
    pub fn add_route(&mut self, table: TableId, prefix: Ipv4Net, route: ForwardingEntry) {
        let table = self.tables.entry(table).or_default();
        if table.get(&prefix).is_none_or(|known| route.metric < known.metric) {
            table.insert(prefix, route);
        }
    }

    /// Evaluates the rules in order. A table without a matching route and a throw
    /// route continue with the next rule; an unreachable route ends the lookup.
    pub fn lookup(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Option<Found> {
        let fits =
            |rule: &&RoutingRule| rule.from.contains(&source) && rule.to.contains(&destination);
        self.rules.iter().filter(fits).find_map(|rule| {
            let (prefix, route) = self.tables.get(&rule.table)?.lookup(destination)?;
            (route.hop != KernelHop::Throw).then_some(Found { rule: *rule, prefix, route: *route })
        })
    }

    /// Sorts the rules as the kernel evaluates them.
    pub fn sort_rules(&mut self) {
        self.rules.sort_by_key(|rule| rule.priority);
    }
}
