//! Kernels that differ, wherever they were read.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};

use ipnet::Ipv4Net;

use crate::dataplane::fact::Origin;
use crate::dataplane::host::{
    Egress, Host, Kernel, KernelHop, Port, ReversePathFilter, RoutingRule, TableId,
};
use crate::dataplane::network::Network;

/// A kernel, and the first host that has such a one.
pub(super) struct Distinct<'a> {
    pub(super) host: &'a Host,
    pub(super) kernel: &'a Kernel,
}

/// The range of a host's pods.
pub(super) fn range_of(host: &Host) -> Option<Ipv4Net> {
    host.pods.read().ok().and_then(|pods| pods.range())
}

/// What tells two kernels apart, wherever it was read.
#[derive(Debug, PartialEq, Eq)]
struct KernelShape<'a> {
    flags: (bool, ReversePathFilter, bool),
    rules: &'a [RoutingRule],
    routes: Vec<Route>,
    /// Each with its sources, unless these are the host's own pods.
    snat: Vec<SnatShape<'a>>,
}

/// Kernels of one datacenter have the same routes, and those of two differ in the
/// number of their routes or in the first or the last: hashing all of them would
/// take longer than to compare those that are nearly always equal.
impl Hash for KernelShape<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.flags.hash(state);
        self.snat.hash(state);
        (self.rules.len(), self.routes.len()).hash(state);
        (self.routes.first(), self.routes.last()).hash(state);
    }
}

/// A route with where it was read, unless that is where the kernel was.
type Route = (TableId, Ipv4Net, KernelHop, Option<Origin>);

/// A translation by its ports, its sources and what it leaves alone.
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
    let read = host.kernel.origin();
    let elsewhere = |origin: Origin| (origin != read).then_some(origin);
    let routes = kernel.tables.iter().flat_map(|(id, table)| {
        let route = move |(prefix, route): (Ipv4Net, &crate::dataplane::host::ForwardingEntry)| {
            (*id, prefix, route.hop, elsewhere(route.origin))
        };
        table.iter().map(route)
    });
    let snat = kernel
        .translations
        .iter()
        .map(|rule| (rule.entering, rule.egress, sources(rule.sources), rule.except.as_slice()));
    KernelShape {
        flags: (kernel.forwarding, kernel.reverse_path_filter, kernel.clamps_segment_size),
        rules: &kernel.rules,
        routes: routes.collect(),
        snat: snat.collect(),
    }
}
