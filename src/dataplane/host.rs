//! Hosts as Linux has them: rules, tables, forwarding, translated addresses.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::fabric::SegmentId;
use super::fact::{Fact, Origin};
use super::table::PrefixTable;

/// The number of a host in its network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub usize);

/// A machine that sends, takes or forwards packets.
#[derive(Debug, Clone, PartialEq)]
pub struct Host {
    /// What it is called.
    pub name: String,
    /// Whether there is a machine, and whether it runs.
    pub runs: Fact<bool>,
    /// Where it hangs on segments; its addresses in the tunnel are the tunnel's.
    pub ports: Vec<SegmentPort>,
    /// The pods that live on it.
    pub pods: Fact<Pods>,
    /// What its kernel does.
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
    /// It is no node of the cluster.
    None,
    /// Pods get addresses of this range.
    Range(Ipv4Net),
    /// Pods should get addresses of this range, and nothing gives them any.
    NotPlumbed(Ipv4Net),
}

impl Pods {
    /// The range of the pods' addresses, given out or not.
    pub fn range(self) -> Option<Ipv4Net> {
        match self {
            Self::None => None,
            Self::Range(range) | Self::NotPlumbed(range) => Some(range),
        }
    }
}

/// Where a packet comes into a host, or leaves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Port {
    /// The host's own processes and pods.
    Own,
    /// The segment port of that number.
    Segment(usize),
    /// The tunnel.
    Tunnel,
}

/// The network configuration of a kernel.
#[derive(Debug, Clone, PartialEq)]
pub struct Kernel {
    /// Whether packets of others are passed on.
    pub forwarding: bool,
    /// What is asked of a packet's source.
    pub reverse_path_filter: ReversePathFilter,
    /// Which table is asked when; the table of own addresses comes before all.
    pub rules: Vec<Rule>,
    /// Routes by table.
    pub tables: BTreeMap<TableId, KernelTable>,
    /// Whose addresses are hidden; the first that fits counts.
    pub translations: Vec<Translation>,
    /// Whether the segment size of TCP is clamped to what the tunnel takes.
    pub clamps_segment_size: bool,
}

/// The routes of one table.
pub type KernelTable = PrefixTable<KernelRoute>;

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
    /// Any source is taken.
    Off,
    /// The way to the source must leave by the port that the packet came by.
    Strict,
    /// There must be some way to the source.
    Loose,
}

/// A rule: what fits is looked up in that table.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rule {
    /// The lower is asked first.
    pub priority: u32,
    /// Sources that it looks at; `0.0.0.0/0` is any.
    pub from: Ipv4Net,
    /// Destinations that it looks at; `0.0.0.0/0` is any.
    pub to: Ipv4Net,
    /// The table.
    pub table: TableId,
}

impl Rule {
    /// A rule for every packet.
    pub fn any(priority: u32, table: TableId) -> Self {
        let all = Ipv4Net::default();
        Self { priority, from: all, to: all, table }
    }
}

/// A route of a kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KernelRoute {
    /// Of two routes to one prefix the lower is taken.
    pub metric: u32,
    /// Where it leads.
    pub hop: KernelHop,
    /// Where it was read.
    pub origin: Origin,
}

/// Where a kernel's route leads.
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
    /// Back to the rules: the next one is asked.
    Throw,
}

/// A source address that is hidden behind the host's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translation {
    /// Where the packet came in; absent for any port.
    pub entering: Option<Port>,
    /// Where it leaves.
    pub leaving: Leaving,
    /// Sources that are hidden; `0.0.0.0/0` is any.
    pub sources: Ipv4Net,
    /// Destinations that are left alone.
    pub except: Vec<Ipv4Net>,
}

/// The ports that a translation looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leaving {
    /// Into the tunnel.
    Tunnel,
    /// Onto any segment.
    Segments,
}

impl Translation {
    /// Whether a packet's source is hidden by it.
    pub fn applies(&self, entered: Port, left: Port, source: Ipv4Addr, to: Ipv4Addr) -> bool {
        let leaving = match self.leaving {
            Leaving::Tunnel => left == Port::Tunnel,
            Leaving::Segments => matches!(left, Port::Segment(_)),
        };
        leaving
            && self.entering.is_none_or(|entering| entering == entered)
            && self.sources.contains(&source)
            && !self.except.iter().any(|except| except.contains(&to))
    }
}

/// What a kernel's tables say of a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Found {
    /// The rule that led to the table.
    pub rule: Rule,
    /// The prefix that matched.
    pub prefix: Ipv4Net,
    /// The route.
    pub route: KernelRoute,
}

impl Kernel {
    /// A kernel that forwards, with table main and nothing else.
    pub fn plain(main: KernelTable) -> Self {
        Self {
            forwarding: true,
            reverse_path_filter: ReversePathFilter::Off,
            rules: vec![Rule::any(32_766, TableId::MAIN)],
            tables: BTreeMap::from([(TableId::MAIN, main)]),
            translations: Vec::new(),
            clamps_segment_size: false,
        }
    }

    /// Adds a route; of two to one prefix the one with the lower metric stays.
    pub fn add_route(&mut self, table: TableId, prefix: Ipv4Net, route: KernelRoute) {
        let table = self.tables.entry(table).or_default();
        if table.get(&prefix).is_none_or(|known| route.metric < known.metric) {
            table.insert(prefix, route);
        }
    }

    /// Asks the rules in their order. A table without an answer, and a route
    /// that throws, leave it to the next rule; an unreachable one ends it.
    pub fn lookup(&self, source: Ipv4Addr, destination: Ipv4Addr) -> Option<Found> {
        let fits = |rule: &&Rule| rule.from.contains(&source) && rule.to.contains(&destination);
        self.rules.iter().filter(fits).find_map(|rule| {
            let (prefix, route) = self.tables.get(&rule.table)?.lookup(destination)?;
            (route.hop != KernelHop::Throw).then_some(Found { rule: *rule, prefix, route: *route })
        })
    }

    /// Sorts the rules as the kernel asks them.
    pub fn sort_rules(&mut self) {
        self.rules.sort_by_key(|rule| rule.priority);
    }
}
