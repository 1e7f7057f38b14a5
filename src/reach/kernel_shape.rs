//! Kernels that differ, wherever they were read.

use std::collections::HashMap;

use ipnet::Ipv4Net;

use super::host::{Host, Kernel, KernelHop, Leaving, Port, ReversePathFilter, Rule, TableId};
use super::network::Network;

/// The range of a host's pods.
pub(super) fn range_of(host: &Host) -> Option<Ipv4Net> {
    host.pods.read().ok().and_then(|pods| pods.range())
}

/// What tells two kernels apart, wherever it was read.
#[derive(Debug, PartialEq, Eq, Hash)]
struct KernelShape {
    flags: (bool, ReversePathFilter, bool),
    rules: Vec<Rule>,
    routes: Vec<(TableId, Ipv4Net, KernelHop)>,
    /// Each with its sources, unless these are the host's own pods.
    hidden: Vec<Hidden>,
}

/// A translation by its ports, its sources and what it leaves alone.
type Hidden = (Option<Port>, Leaving, Option<Ipv4Net>, Vec<Ipv4Net>);

/// The kernels that differ, and the number of each host's among them; hosts
/// whose kernel could not be read have a number of their own together.
pub(super) fn distinct_kernels(network: &Network) -> (Vec<&Kernel>, Vec<usize>) {
    let mut numbers: HashMap<KernelShape, usize> = HashMap::new();
    let (mut kernels, mut of_hosts) = (Vec::new(), Vec::new());
    for (_, host) in network.hosts() {
        let Ok(kernel) = host.kernel.read() else {
            of_hosts.push(usize::MAX);
            continue;
        };
        let next = kernels.len();
        let number = *numbers.entry(shape(kernel, host)).or_insert_with(|| {
            kernels.push(kernel);
            next
        });
        of_hosts.push(number);
    }
    (kernels, of_hosts)
}

fn shape(kernel: &Kernel, host: &Host) -> KernelShape {
    let own = range_of(host);
    let sources = |prefix: Ipv4Net| (Some(prefix) != own).then_some(prefix);
    KernelShape {
        flags: (kernel.forwarding, kernel.reverse_path_filter, kernel.clamps_segment_size),
        rules: kernel.rules.clone(),
        routes: kernel
            .tables
            .iter()
            .flat_map(|(id, table)| table.iter().map(|(prefix, route)| (*id, prefix, route.hop)))
            .collect(),
        hidden: kernel
            .translations
            .iter()
            .map(|rule| (rule.entering, rule.leaving, sources(rule.sources), rule.except.clone()))
            .collect(),
    }
}
