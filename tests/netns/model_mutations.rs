//! Whether the lab would notice a model that is wrong: the model is told lies
//! about a world, and what the kernels did must tell them from the truth.
//!
//! Each lie stands for a way to get a table wrong: what the model says of the
//! world with the lie is what a wrong model would say of the world as it is.

use std::fmt;
use std::sync::Arc;

use ipnet::Ipv4Net;
use stargate::dataplane::fabric::{FabricHop, Segment};
use stargate::dataplane::host::{
    Kernel, KernelHop, KernelTable, Leaving, Pods, ReversePathFilter, Rule, TableId,
};
use stargate::dataplane::security::SecurityGroup;
use stargate::dataplane::{Fabric, PrefixTable};

use super::compare::{Disagreement, Foretold};
use super::pairs::Pair;
use super::trail::Trails;
use super::world::{HOSTS, ORIGIN, ROUTERS, World, net, value};

/// A lie that was noticed in so many states is not told again.
const ENOUGH: usize = 3;

type Lie = fn(&mut World);

const LIES: [(&str, Lie); 23] = [
    ("table 52 is asked after main", |world| {
        each_kernel(world, |kernel| {
            let accepted = |rule: &&mut Rule| rule.table == TableId::TAILSCALE;
            kernel.rules.iter_mut().filter(accepted).for_each(|rule| rule.priority += 60_000);
            kernel.sort_rules();
        });
    }),
    ("rules are asked from the last", |world| {
        each_kernel(world, |kernel| kernel.rules.reverse());
    }),
    ("rules look at nobody's addresses", |world| {
        each_kernel(world, |kernel| {
            for rule in &mut kernel.rules {
                (rule.from, rule.to) = (net("0.0.0.0/0"), net("0.0.0.0/0"));
            }
        });
    }),
    ("a route that throws ends the search", |world| {
        each_route(world, |hop| match hop {
            KernelHop::Throw => KernelHop::Unreachable,
            other => other,
        });
    }),
    ("an unreachable route leaves it to the next table", |world| {
        each_route(world, |hop| match hop {
            KernelHop::Unreachable => KernelHop::Throw,
            other => other,
        });
    }),
    ("the higher metric counts", |world| {
        for (host, table, prefix, hidden) in world.shadowed.clone() {
            world.kernel(host).tables.entry(table).or_default().insert(prefix, hidden);
        }
    }),
    ("the shorter prefix of a kernel counts", |world| {
        each_kernel(world, |kernel| kernel.tables.values_mut().for_each(shorten));
    }),
    ("the shorter prefix of a user counts", |world| {
        each_fabric(world, |fabric| {
            for subnet in &mut fabric.subnets {
                shorten(Arc::make_mut(value(&mut subnet.routes)));
            }
        });
    }),
    ("the overlay comes before a user", |world| {
        each_fabric(world, |fabric| {
            let carried: Vec<_> = fabric.overlay.iter().map(|(prefix, _)| prefix).collect();
            drop_routes(fabric, &carried, true);
        });
    }),
    ("the address space comes before a user", |world| {
        each_fabric(world, |fabric| drop_routes(fabric, &fabric.address_space.clone(), false));
    }),
    ("the shorter prefix of a peer counts", |world| {
        ROUTERS.into_iter().for_each(|router| shorten(world.peers(router)));
    }),
    ("everybody forwards", |world| each_kernel(world, |kernel| kernel.forwarding = true)),
    ("no source is filtered", |world| {
        each_kernel(world, |kernel| kernel.reverse_path_filter = ReversePathFilter::Off);
    }),
    ("strict is loose", |world| {
        each_kernel(world, |kernel| {
            if kernel.reverse_path_filter == ReversePathFilter::Strict {
                kernel.reverse_path_filter = ReversePathFilter::Loose;
            }
        });
    }),
    ("no source is hidden", |world| each_kernel(world, |kernel| kernel.translations.clear())),
    ("the tunnel hides no source", |world| {
        each_kernel(world, |kernel| {
            kernel.translations.retain(|one| one.leaving != Leaving::Tunnel);
        });
    }),
    ("the fabric checks no address", |world| {
        each_fabric(world, |fabric| {
            for interface in fabric.interfaces.values_mut() {
                *value(&mut interface.forwarding) = true;
            }
        });
    }),
    ("security groups let everything pass", |world| {
        each_fabric(world, |fabric| {
            for subnet in &mut fabric.subnets {
                *value(&mut subnet.security) = Arc::new(SecurityGroup::open(ORIGIN));
            }
        });
    }),
    ("a next hop is whoever has the destination", |world| {
        each_fabric(world, |fabric| {
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
    ("everybody is online", |world| {
        world.members.values_mut().for_each(|member| *value(&mut member.connected) = true);
    }),
    ("every router is in the tailnet", |world| world.left.clear()),
    ("every host runs", |world| {
        world.hosts.iter_mut().for_each(|host| *value(&mut host.runs) = true);
    }),
    ("all pods have a network", |world| {
        for (host, description) in world.hosts.iter_mut().zip(&HOSTS) {
            *value(&mut host.pods) =
                description.pods.map_or(Pods::None, |range| Pods::Range(net(range)));
        }
    }),
];

fn each_kernel(world: &mut World, change: impl Fn(&mut Kernel)) {
    world.hosts.iter_mut().for_each(|host| change(value(&mut host.kernel)));
}

fn each_fabric(world: &mut World, change: impl Fn(&mut Fabric)) {
    for segment in &mut world.segments {
        if let Segment::Fabric(fabric) = segment {
            change(fabric);
        }
    }
}

/// Leaves users no route to exactly these prefixes, everywhere or where nodes are.
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

fn each_route(world: &mut World, change: impl Fn(KernelHop) -> KernelHop) {
    let change_table = |table: &mut KernelTable| {
        let entries: Vec<_> = table.iter().map(|(prefix, route)| (prefix, *route)).collect();
        for (prefix, mut route) in entries {
            route.hop = change(route.hop);
            table.insert(prefix, route);
        }
    };
    each_kernel(world, |kernel| kernel.tables.values_mut().for_each(change_table));
}

/// Leaves out what a broader entry holds, as if that were asked first.
fn shorten<T: Clone>(table: &mut PrefixTable<T>) {
    let broader =
        |prefix| table.iter().any(|(other, _)| other != prefix && other.contains(&prefix));
    let kept = table.iter().filter(|(prefix, _)| !broader(*prefix));
    *table = kept.map(|(prefix, entry)| (prefix, entry.clone())).collect();
}

/// In how many states each lie was told and noticed.
#[derive(Debug, Default)]
pub(crate) struct Noticed([Counts; LIES.len()]);

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    told: usize,
    noticed: usize,
    by_hops_alone: usize,
}

impl Noticed {
    /// Tells lies about a world of which the model, told the truth, says what was seen.
    pub(crate) fn tell(&mut self, world: &World, pairs: &[Pair], seen: &Trails) {
        for ((_, lie), counts) in LIES.iter().zip(&mut self.0) {
            if counts.noticed >= ENOUGH {
                continue;
            }
            let mut told = world.clone();
            lie(&mut told);
            let found = Foretold::of(&told.network(), pairs).disagreements(seen);
            counts.told += 1;
            counts.noticed += usize::from(!found.is_empty());
            let by_hops = !found.is_empty() && found.iter().all(Disagreement::is_of_hops_alone);
            counts.by_hops_alone += usize::from(by_hops);
        }
    }

    /// Lies that nobody noticed, or hardly anybody.
    pub(crate) fn missed(&self) -> Vec<String> {
        let believed = LIES.iter().zip(&self.0).filter(|(_, counts)| counts.noticed < ENOUGH);
        let mut missed: Vec<String> =
            believed.map(|((name, _), _)| format!("\"{name}\" is believed")).collect();
        if self.0.iter().all(|counts| counts.by_hops_alone == 0) {
            missed.push("no lie is noticed by the hops alone".to_owned());
        }
        missed
    }
}

impl fmt::Display for Noticed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((name, _), Counts { told, noticed, by_hops_alone }) in LIES.iter().zip(&self.0) {
            writeln!(f, "{noticed:>8} of {told} ({by_hops_alone} by hops alone): {name}")?;
        }
        Ok(())
    }
}
