//! Mutation tests of the lab: would it detect an error in the model? The specification of a network
//! is mutated, and the observations of the unmutated network must differ from the predictions.
//!
//! Each mutation stands for an error in the model's lookup: the predictions for the mutated network
//! are those of a wrong model for the original network.

use std::fmt;
use std::sync::Arc;

use ipnet::Ipv4Net;
use stargate::dataplane::fabric::{FabricHop, Segment};
use stargate::dataplane::host::{
    Egress, Kernel, KernelHop, KernelTable, Pods, ReversePathFilter, RoutingRule, TableId,
};
use stargate::dataplane::security::SecurityGroup;
use stargate::dataplane::{Fabric, PrefixTable};

use super::compare::{Disagreement, Prediction};
use super::network_spec::{HOSTS, NetworkSpec, ORIGIN, ROUTERS, net, value};
use super::pairs::Pair;
use super::trail::Trails;

/// A mutation that was detected in this many states is not tried again.
const MIN_DETECTIONS: usize = 3;

type Mutation = fn(&mut NetworkSpec);

const MUTATIONS: [(&str, Mutation); 23] = [
    ("table 52 is looked up after main", |spec| {
        each_kernel(spec, |kernel| {
            let accepted = |rule: &&mut RoutingRule| rule.table == TableId::TAILSCALE;
            kernel.rules.iter_mut().filter(accepted).for_each(|rule| rule.priority += 60_000);
            kernel.sort_rules();
        });
    }),
    ("rules are evaluated in reverse order", |spec| {
        each_kernel(spec, |kernel| kernel.rules.reverse());
    }),
    ("rules match all addresses", |spec| {
        each_kernel(spec, |kernel| {
            for rule in &mut kernel.rules {
                (rule.from, rule.to) = (net("0.0.0.0/0"), net("0.0.0.0/0"));
            }
        });
    }),
    ("a throw route ends the lookup", |spec| {
        each_route(spec, |hop| match hop {
            KernelHop::Throw => KernelHop::Unreachable,
            other => other,
        });
    }),
    ("an unreachable route continues with the next table", |spec| {
        each_route(spec, |hop| match hop {
            KernelHop::Unreachable => KernelHop::Throw,
            other => other,
        });
    }),
    ("the higher metric is preferred", |spec| {
        for (host, table, prefix, backup) in spec.shadowed.clone() {
            spec.kernel(host).tables.entry(table).or_default().insert(prefix, backup);
        }
    }),
    ("the shorter kernel prefix is preferred", |spec| {
        each_kernel(spec, |kernel| kernel.tables.values_mut().for_each(shorten));
    }),
    ("the shorter user-defined prefix is preferred", |spec| {
        each_fabric(spec, |fabric| {
            for subnet in &mut fabric.subnets {
                shorten(Arc::make_mut(value(&mut subnet.routes)));
            }
        });
    }),
    ("the overlay precedes user-defined routes", |spec| {
        each_fabric(spec, |fabric| {
            let routed: Vec<_> = fabric.overlay.iter().map(|(prefix, _)| prefix).collect();
            drop_routes(fabric, &routed, true);
        });
    }),
    ("the address space precedes user-defined routes", |spec| {
        each_fabric(spec, |fabric| drop_routes(fabric, &fabric.address_space.clone(), false));
    }),
    ("the shorter peer prefix is preferred", |spec| {
        ROUTERS.into_iter().for_each(|router| shorten(spec.peers(router)));
    }),
    ("every host forwards", |spec| each_kernel(spec, |kernel| kernel.forwarding = true)),
    ("no reverse path filter", |spec| {
        each_kernel(spec, |kernel| kernel.reverse_path_filter = ReversePathFilter::Off);
    }),
    ("a strict reverse path filter is loose", |spec| {
        each_kernel(spec, |kernel| {
            if kernel.reverse_path_filter == ReversePathFilter::Strict {
                kernel.reverse_path_filter = ReversePathFilter::Loose;
            }
        });
    }),
    ("no masquerading", |spec| each_kernel(spec, |kernel| kernel.translations.clear())),
    ("no masquerading into the tunnel", |spec| {
        each_kernel(spec, |kernel| {
            kernel.translations.retain(|one| one.egress != Egress::Tunnel);
        });
    }),
    ("no source and destination checks in the fabric", |spec| {
        each_fabric(spec, |fabric| {
            for interface in fabric.interfaces.values_mut() {
                *value(&mut interface.forwarding) = true;
            }
        });
    }),
    ("security groups allow everything", |spec| {
        each_fabric(spec, |fabric| {
            for subnet in &mut fabric.subnets {
                *value(&mut subnet.security) = Arc::new(SecurityGroup::open(ORIGIN));
            }
        });
    }),
    ("a next hop in the fabric is the destination itself", |spec| {
        each_fabric(spec, |fabric| {
            for subnet in &mut fabric.subnets {
                let routes = Arc::make_mut(value(&mut subnet.routes));
                let entries: Vec<_> =
                    routes.iter().map(|(prefix, route)| (prefix, *route)).collect();
                for (prefix, mut route) in entries {
                    route.hop = FabricHop::VirtualNetwork;
                    routes.insert(prefix, route);
                }
            }
        });
    }),
    ("every member is online", |spec| {
        spec.members.values_mut().for_each(|member| *value(&mut member.connected) = true);
    }),
    ("every router is in the tailnet", |spec| spec.left.clear()),
    ("every host runs", |spec| {
        spec.hosts.iter_mut().for_each(|host| *value(&mut host.runs) = true);
    }),
    ("all pods have a network", |spec| {
        for (host, description) in spec.hosts.iter_mut().zip(&HOSTS) {
            *value(&mut host.pods) =
                description.pods.map_or(Pods::None, |range| Pods::Range(net(range)));
        }
    }),
];

fn each_kernel(spec: &mut NetworkSpec, change: impl Fn(&mut Kernel)) {
    spec.hosts.iter_mut().for_each(|host| change(value(&mut host.kernel)));
}

fn each_fabric(spec: &mut NetworkSpec, change: impl Fn(&mut Fabric)) {
    for segment in &mut spec.segments {
        if let Segment::Fabric(fabric) = segment {
            change(fabric);
        }
    }
}

/// Removes the user-defined routes to exactly these prefixes, in all subnets or in those of nodes.
fn drop_routes(fabric: &mut Fabric, prefixes: &[Ipv4Net], of_nodes: bool) {
    let interfaces = fabric.interfaces.values();
    let nodes: Vec<usize> = interfaces.filter(|one| one.in_overlay).map(|one| one.subnet).collect();
    for (number, subnet) in fabric.subnets.iter_mut().enumerate() {
        if of_nodes && !nodes.contains(&number) {
            continue;
        }
        let routes = Arc::make_mut(value(&mut subnet.routes));
        let kept = routes.iter().filter(|(prefix, _)| !prefixes.contains(prefix));
        *routes = kept.map(|(prefix, route)| (prefix, *route)).collect();
    }
}

fn each_route(spec: &mut NetworkSpec, change: impl Fn(KernelHop) -> KernelHop) {
    let change_table = |table: &mut KernelTable| {
        let entries: Vec<_> = table.iter().map(|(prefix, route)| (prefix, *route)).collect();
        for (prefix, mut route) in entries {
            route.hop = change(route.hop);
            table.insert(prefix, route);
        }
    };
    each_kernel(spec, |kernel| kernel.tables.values_mut().for_each(change_table));
}

/// Removes entries inside a broader entry, as if the broader one took precedence.
fn shorten<T: Clone>(table: &mut PrefixTable<T>) {
    let broader =
        |prefix| table.iter().any(|(other, _)| other != prefix && other.contains(&prefix));
    let kept = table.iter().filter(|(prefix, _)| !broader(*prefix));
    *table = kept.map(|(prefix, entry)| (prefix, entry.clone())).collect();
}

/// In how many states each mutation was tried and detected.
#[derive(Debug, Default)]
pub(crate) struct MutationCoverage([Counts; MUTATIONS.len()]);

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    tried: usize,
    detected: usize,
    only_by_hops: usize,
}

impl MutationCoverage {
    /// Tries mutations of a network on which model and kernel agree.
    pub(crate) fn try_mutations(&mut self, spec: &NetworkSpec, pairs: &[Pair], seen: &Trails) {
        for ((_, mutate), counts) in MUTATIONS.iter().zip(&mut self.0) {
            if counts.detected >= MIN_DETECTIONS {
                continue;
            }
            let mut tried = spec.clone();
            mutate(&mut tried);
            let found = Prediction::of(&tried.network(), pairs).disagreements(seen);
            counts.tried += 1;
            counts.detected += usize::from(!found.is_empty());
            let by_hops = !found.is_empty() && found.iter().all(Disagreement::differs_only_in_hops);
            counts.only_by_hops += usize::from(by_hops);
        }
    }

    /// Mutations that were detected in too few states.
    pub(crate) fn undetected_mutations(&self) -> Vec<String> {
        let undetected =
            MUTATIONS.iter().zip(&self.0).filter(|(_, counts)| counts.detected < MIN_DETECTIONS);
        let mut undetected_mutations: Vec<String> =
            undetected.map(|((name, _), _)| format!("mutation \"{name}\" is undetected")).collect();
        if self.0.iter().all(|counts| counts.only_by_hops == 0) {
            undetected_mutations.push("no mutation is detected only by hops".to_owned());
        }
        undetected_mutations
    }
}

impl fmt::Display for MutationCoverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, _), Counts { tried, detected, only_by_hops }) in MUTATIONS.iter().zip(&self.0) {
            writeln!(f, "{detected:>8} of {tried} ({only_by_hops} only by hops): {name}")?;
        }
        Ok(())
    }
}
