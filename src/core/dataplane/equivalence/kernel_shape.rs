//! Kernels that differ, regardless of their origin.

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

use foldhash::{HashMap, HashMapExt};

use ipnet::Ipv4Net;

use crate::dataplane::fact::Origin;
use crate::dataplane::host::{
    Egress, Host, Kernel, KernelHop, KernelTable, Port, ReversePathFilter, RoutingRule, TableId,
};
use crate::dataplane::network::Network;
use crate::resource::Shared;

/// The number of routes in the hash that distinguishes kernels without shared routes.
const HASHED_ROUTES: usize = 4;

/// A kernel, and the first host that has such a one.
pub(super) struct Distinct<'a> {
    pub(super) host: &'a Host,
    pub(super) kernel: &'a Kernel,
}

/// The range of a host's pods.
pub(super) fn range_of(host: &Host) -> Option<Ipv4Net> {
    host.pods.read().ok().and_then(|pods| pods.range())
}

/// The properties by which two kernels differ, regardless of their origin.
#[derive(Debug, PartialEq, Eq)]
struct KernelShape<'a> {
    flags: (bool, ReversePathFilter, bool),
    rules: &'a [RoutingRule],
    routes: Routes<'a>,
    /// Each with its sources, unless these are the host's own pods.
    snat: Vec<SnatShape<'a>>,
}

impl Hash for KernelShape<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.flags.hash(state);
        self.snat.hash(state);
        self.rules.len().hash(state);
        self.routes.hash(state);
    }
}

/// A route with where it was read, unless that is where the kernel was.
type Route = (TableId, Ipv4Net, KernelHop, Option<Origin>);

/// The routes of all tables. Kernels of one datacenter share them.
#[derive(Debug)]
struct Routes<'a>(&'a Shared<BTreeMap<TableId, KernelTable>>);

impl<'a> Routes<'a> {
    fn iter(&self) -> impl Iterator<Item = Route> + use<'a> {
        let routes = |(id, table): (&'a TableId, &'a KernelTable)| {
            let id = *id;
            table.iter().map(move |(prefix, route)| (id, prefix, route.hop, route.origin))
        };
        self.0.iter().flat_map(routes)
    }
}

impl PartialEq for Routes<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.0.is_same(other.0) || self.iter().eq(other.iter())
    }
}

impl Eq for Routes<'_> {}

/// Kernels of two datacenters differ in the first few routes: hashing all of them would
/// take longer than to compare those that are nearly always equal.
impl Hash for Routes<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.iter().take(HASHED_ROUTES).for_each(|route| route.hash(state));
    }
}

/// A translation by its ports, its sources and its exceptions.
type SnatShape<'a> = (Option<Port>, Egress, Option<Ipv4Net>, &'a [Ipv4Net]);

/// The kernels that differ, and the number of each host's among them; a host
/// whose kernel could not be read has none.
pub(super) fn distinct_kernels(network: &Network) -> (Vec<Distinct<'_>>, Vec<Option<usize>>) {
    let mut numbers: HashMap<KernelShape<'_>, usize> = HashMap::new();
    let (mut host_kernels, mut of_hosts) = (Vec::new(), Vec::new());
    for (_, host) in network.hosts() {
        let number = host.kernel.read().ok().map(|kernel| {
            let next = host_kernels.len();
            *numbers.entry(shape(kernel, host)).or_insert_with(|| {
                host_kernels.push(Distinct { host, kernel });
                next
            })
        });
        of_hosts.push(number);
    }
    (host_kernels, of_hosts)
}

fn shape<'a>(kernel: &'a Kernel, host: &Host) -> KernelShape<'a> {
    let own = range_of(host);
    let sources = |prefix: Ipv4Net| (Some(prefix) != own).then_some(prefix);
    let snat = kernel
        .translations
        .iter()
        .map(|rule| (rule.entering, rule.egress, sources(rule.sources), rule.except.as_slice()));
    KernelShape {
        flags: (kernel.forwarding, kernel.reverse_path_filter, kernel.clamps_segment_size),
        rules: &kernel.rules,
        routes: Routes(&kernel.tables),
        snat: snat.collect(),
    }
}
