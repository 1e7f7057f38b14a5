//! Updates that take a path from nodes: routes that end or lead elsewhere, and rules that no
//! longer permit their prefixes.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use serde_json::Value;

use super::{Action, Change};
use crate::resource::azure::NetworkSecurityGroup;
use crate::resource::host::{JoinedWorker, KernelRoute};
use crate::resource::kubernetes::ManifestKind;
use crate::resource::{DataPlaneRole, Kind, Resource};

/// Whether a change may take a path from the nodes that leave with the same plan: it is made
/// once they have left.
pub(super) fn may_withdraw(change: &Change) -> bool {
    if change.action != Action::Update {
        return false;
    }
    match (&change.before, &change.after) {
        (Some(before), Some(after))
            if matches!(change.address.kind, Kind::NetworkSecurityGroup | Kind::DaemonSet) =>
        {
            paths(before).difference(&paths(after)).next().is_some()
        }
        _ => change.address.kind.facts().role == DataPlaneRole::Routes,
    }
}

/// The prefixes that a change no longer leads anywhere, or no longer permits, and that nothing
/// wider of it covers.
pub(super) fn withdrawn(change: &Change) -> BTreeSet<Ipv4Net> {
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        return BTreeSet::new();
    };
    let (before, after) = (covered(before), covered(after));
    let is_covered = |(prefix, manner): &(Ipv4Net, Manner)| {
        after.iter().any(|(wider, other)| wider.contains(prefix) && other == manner)
    };
    before.into_iter().filter(|it| !is_covered(it)).map(|(prefix, _)| prefix).collect()
}

/// The prefixes that an update leads somewhere and did not before.
pub(super) fn gained(change: &Change) -> BTreeSet<Ipv4Net> {
    let (Some(before), Some(after), Action::Update) =
        (&change.before, &change.after, change.action)
    else {
        return BTreeSet::new();
    };
    // A rule that permits more leads nothing elsewhere.
    if matches!(after, Resource::NetworkSecurityGroup(_)) {
        return BTreeSet::new();
    }
    let (before, after) = (covered(before), covered(after));
    after.difference(&before).map(|(prefix, _)| *prefix).collect()
}

/// Whether packets to a prefix are led or permitted differently after a change.
pub(super) fn leads_elsewhere(change: &Change, prefix: &Ipv4Net) -> bool {
    let (Some(before), Some(after)) = (&change.before, &change.after) else { return false };
    let (before, after) = (paths(before), paths(after));
    let mut ended = before.iter().filter(|it| !after.contains(it));
    ended.any(|(wider, _)| wider.contains(prefix))
}

/// Whether an update takes a path that packets to or from a worker use.
pub(super) fn cuts_off(change: &Change, worker: &JoinedWorker) -> bool {
    if change.action != Action::Update {
        return false;
    }
    if let (Some(before), Some(Resource::Worker(after))) = (&change.before, &change.after) {
        return ends_worker_route(before, after, worker);
    }
    let used = [Ipv4Net::from(worker.ip), worker.pod_cidr];
    used.iter().any(|prefix| leads_elsewhere(change, prefix))
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

/// Where packets are led, or by which rule they are permitted.
type Manner = String;

/// The prefixes that an object leads packets to or permits, each with where or by which rule.
fn paths(resource: &Resource) -> BTreeSet<(Ipv4Net, Manner)> {
    match resource {
        Resource::RouteTable(table) => of_routes(table.routes.known()),
        Resource::RouterHost(router) => of_routes(router.kernel_routes.known()),
        Resource::AdvertisedRoutes(routes) | Resource::ApprovedRoutes(routes) => {
            let prefixes = routes.prefixes.known().into_iter().flatten();
            prefixes.map(|prefix| (*prefix, Manner::new())).collect()
        }
        Resource::NetworkSecurityGroup(group) => permitted(group),
        Resource::Manifest(manifest) if manifest.kind == ManifestKind::DaemonSet => {
            named_in(&manifest.body).into_iter().map(|prefix| (prefix, Manner::new())).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// The same, where it does not matter to which hop a route leads. What is unreachable is led
/// nowhere.
fn covered(resource: &Resource) -> BTreeSet<(Ipv4Net, Manner)> {
    let is_led = |manner: &Manner| *manner != format!("{:?}", KernelRoute::Unreachable);
    let leads = matches!(resource, Resource::RouteTable(_) | Resource::RouterHost(_));
    let paths = paths(resource).into_iter().filter(|(_, manner)| is_led(manner));
    paths.map(|(prefix, manner)| (prefix, if leads { Manner::new() } else { manner })).collect()
}

/// The prefixes in the texts of an object: those of the routes that a DaemonSet sets.
fn named_in(value: &Value) -> BTreeSet<Ipv4Net> {
    match value {
        Value::String(text) => text.split_whitespace().filter_map(|it| it.parse().ok()).collect(),
        Value::Array(values) => values.iter().flat_map(named_in).collect(),
        Value::Object(fields) => fields.values().flat_map(named_in).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => BTreeSet::new(),
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
