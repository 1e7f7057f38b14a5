//! Updates that take a path from nodes: routes that end or lead elsewhere, and rules that no
//! longer permit their prefixes.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use super::{Action, Change};
use crate::resource::azure::NetworkSecurityGroup;
use crate::resource::host::{JoinedWorker, KernelRoute};
use crate::resource::{DataPlaneRole, Resource};

/// Whether a change may take a path from the nodes that leave with the same plan: it is made
/// once they have left.
pub(super) fn may_withdraw(change: &Change) -> bool {
    if change.action != Action::Update {
        return false;
    }
    match (&change.before, &change.after) {
        (
            Some(Resource::NetworkSecurityGroup(before)),
            Some(Resource::NetworkSecurityGroup(after)),
        ) => permitted(before).difference(&permitted(after)).next().is_some(),
        _ => change.address.kind.facts().role == DataPlaneRole::Routes,
    }
}

/// Whether an update takes a path that packets to or from a worker use.
pub(super) fn cuts_off(change: &Change, worker: &JoinedWorker) -> bool {
    if change.action != Action::Update {
        return false;
    }
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return false };
    if let Resource::Worker(after) = after {
        return ends_worker_route(before, after, worker);
    }
    let (before, after) = (paths(before), paths(after));
    let mut ended = before.iter().filter(|it| !after.contains(it));
    ended.any(|(prefix, _)| covers(prefix, worker))
}

fn covers(prefix: &Ipv4Net, worker: &JoinedWorker) -> bool {
    prefix.contains(&worker.ip) || prefix.contains(&worker.pod_cidr)
}

/// Whether the kernel routes of another worker are written without one to a worker. Which
/// it has now is known only by their digest.
fn ends_worker_route(before: &Resource, after: &JoinedWorker, worker: &JoinedWorker) -> bool {
    let Resource::Worker(before) = before else { return false };
    let Some(host) = after.host.observed().filter(|_| before.routes != after.routes) else {
        return false;
    };
    let mut routes = host.kernel_routes.iter();
    !routes.any(|(prefix, route)| *route != KernelRoute::Unreachable && covers(prefix, worker))
}

/// The prefixes that an object leads packets to or permits, each with where or by which rule.
fn paths(resource: &Resource) -> BTreeSet<(Ipv4Net, String)> {
    match resource {
        Resource::RouteTable(table) => of_routes(table.routes.known()),
        Resource::RouterHost(router) => of_routes(router.kernel_routes.known()),
        Resource::NetworkSecurityGroup(group) => permitted(group),
        _ => BTreeSet::new(),
    }
}

fn of_routes<Hop: std::fmt::Debug>(
    routes: Option<&BTreeMap<Ipv4Net, Hop>>,
) -> BTreeSet<(Ipv4Net, String)> {
    let routes = routes.into_iter().flatten();
    routes.map(|(prefix, hop)| (*prefix, format!("{hop:?}"))).collect()
}

/// The prefixes that rules name, by rule, without service tags.
fn permitted(group: &NetworkSecurityGroup) -> BTreeSet<(Ipv4Net, String)> {
    let rules = group.rules.iter().flat_map(|(name, rule)| {
        let sources = rule.source_prefixes.iter().map(move |it| (it, format!("from {name}")));
        let targets = rule.destination_prefixes.iter().map(move |it| (it, format!("to {name}")));
        sources.chain(targets)
    });
    rules.filter_map(|(prefix, rule)| Some((prefix.parse().ok()?, rule))).collect()
}
