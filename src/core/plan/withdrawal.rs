//! Updates that take a path from nodes: routes that end or lead elsewhere, and rules that no
//! longer permit their prefixes.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;
use serde_json::Value;

use super::{Action, Change};
use crate::resource::azure::{Access, NetworkSecurityGroup, NextHop};
use crate::resource::host::{JoinedWorker, KernelRoute};
use crate::resource::kubernetes::ManifestKind;
use crate::resource::{DataPlaneRole, Kind, Resource};

/// Whether an object of this kind decides where packets go.
pub(super) fn sends_packets(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::RouteTable
            | Kind::Route
            | Kind::RouterHost
            | Kind::AdvertisedRoutes
            | Kind::ApprovedRoutes
            | Kind::NetworkSecurityGroup
    )
}

/// Whether a change may lead packets elsewhere while what is at both ends stays: an update, or the
/// creation of a single route, which is to its table as an update.
pub(super) fn changes_paths(change: &Change) -> bool {
    change.action == Action::Update || is_new_route(change)
}

fn is_new_route(change: &Change) -> bool {
    change.action == Action::Create && change.address.kind == Kind::Route
}

/// The paths before and after a change; none before a single route that is created.
fn around<'a>(
    change: &'a Change,
    paths: fn(&'a Resource) -> Paths<'a>,
) -> Option<(Paths<'a>, Paths<'a>)> {
    let after = paths(change.after.as_ref()?);
    match &change.before {
        Some(before) => Some((paths(before), after)),
        None => is_new_route(change).then(|| (Paths::new(), after)),
    }
}

/// Whether a change may take a path from the nodes that leave with the same plan: it is made
/// once they have left.
pub(super) fn may_withdraw(change: &Change) -> bool {
    if change.action != Action::Update {
        return false;
    }
    match (&change.before, &change.after) {
        (Some(before), Some(after)) if shows_its_paths(change.address.kind) => {
            let narrows_network = match (before, after) {
                (Resource::RouterHost(before), Resource::RouterHost(after)) => {
                    !before.local_prefixes.is_subset(&after.local_prefixes)
                }
                _ => false,
            };
            narrows_network || paths(before).difference(&paths(after)).next().is_some()
        }
        _ => change.address.kind.facts().role == DataPlaneRole::Routes,
    }
}

/// Whether the value of an object of this kind holds every path that it is about.
fn shows_its_paths(kind: Kind) -> bool {
    sends_packets(kind) || kind == Kind::DaemonSet
}

/// The prefixes that a change no longer leads anywhere, or no longer permits, and that nothing
/// wider of it covers.
pub(super) fn withdrawn(change: &Change) -> BTreeSet<Ipv4Net> {
    let (Some(before), Some(after)) = (&change.before, &change.after) else {
        return BTreeSet::new();
    };
    let (before, after) = (covered(before), covered(after));
    let is_covered = |(prefix, via): &(Ipv4Net, Via<'_>)| {
        after.iter().any(|(wider, other)| wider.contains(prefix) && other == via)
    };
    before.into_iter().filter(|it| !is_covered(it)).map(|(prefix, _)| prefix).collect()
}

/// The prefixes that an update leads somewhere and did not before.
pub(super) fn gained(change: &Change) -> BTreeSet<Ipv4Net> {
    // A rule that permits more leads nothing elsewhere.
    if !changes_paths(change) || matches!(change.after, Some(Resource::NetworkSecurityGroup(_))) {
        return BTreeSet::new();
    }
    let Some((before, after)) = around(change, covered) else { return BTreeSet::new() };
    after.difference(&before).map(|(prefix, _)| *prefix).collect()
}

/// Whether an update leads packets to a prefix, or permits them, that it did not before.
pub(super) fn adds_path_to(change: &Change, prefix: &Ipv4Net) -> bool {
    let Some((before, after)) = around(change, covered) else { return false };
    let mut added = after.difference(&before);
    added.any(|(wider, _)| wider.contains(prefix))
}

/// The prefixes that an update routes to another hop, begins to route or ends to route.
pub(super) fn redirected(change: &Change) -> BTreeSet<Ipv4Net> {
    // A rule that permits more leads nothing elsewhere.
    if matches!(change.after, Some(Resource::NetworkSecurityGroup(_))) {
        return BTreeSet::new();
    }
    let Some((before, after)) = around(change, paths) else { return BTreeSet::new() };
    before.symmetric_difference(&after).map(|(prefix, _)| *prefix).collect()
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

/// The treatment of a prefix's packets by an object.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Via<'a> {
    /// A route table sends them to a next hop.
    NextHop(NextHop),
    /// A kernel sends them.
    Kernel(KernelRoute),
    /// They are routed, to any next hop.
    AnyHop,
    /// A router takes them out of the tailnet.
    Tailnet,
    /// A DaemonSet sets a route for them.
    NodeRoute,
    /// A rule permits them by their source.
    SourceOf(&'a str),
    /// A rule permits them by their destination.
    DestinationOf(&'a str),
}

impl Via<'_> {
    /// The same, where it does not matter to which hop a route leads; `None` where packets
    /// are dropped.
    fn without_hop(self) -> Option<Self> {
        match self {
            Self::NextHop(NextHop::None) | Self::Kernel(KernelRoute::Unreachable) => None,
            Self::NextHop(_) | Self::Kernel(_) => Some(Self::AnyHop),
            other => Some(other),
        }
    }
}

type Paths<'a> = BTreeSet<(Ipv4Net, Via<'a>)>;

/// The prefixes that an object routes or permits.
fn paths(resource: &Resource) -> Paths<'_> {
    match resource {
        Resource::RouteTable(table) => of_routes(table.routes.known(), Via::NextHop),
        Resource::Route(route) => {
            [(route.address_prefix, Via::NextHop(route.next_hop))].into_iter().collect()
        }
        Resource::RouterHost(router) => of_routes(router.kernel_routes.known(), Via::Kernel),
        Resource::AdvertisedRoutes(routes) | Resource::ApprovedRoutes(routes) => {
            let prefixes = routes.prefixes.known().into_iter().flatten();
            prefixes.map(|prefix| (*prefix, Via::Tailnet)).collect()
        }
        Resource::NetworkSecurityGroup(group) => permitted(group),
        Resource::Manifest(manifest) if manifest.kind == ManifestKind::DaemonSet => {
            named_in(&manifest.body).into_iter().map(|prefix| (prefix, Via::NodeRoute)).collect()
        }
        _ => BTreeSet::new(),
    }
}

/// The prefixes whose packets an object does not drop, with any next hop.
fn covered(resource: &Resource) -> Paths<'_> {
    let paths = paths(resource).into_iter();
    paths.filter_map(|(prefix, via)| Some((prefix, via.without_hop()?))).collect()
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

fn of_routes<'a, Hop: Copy>(
    routes: Option<&BTreeMap<Ipv4Net, Hop>>,
    via: fn(Hop) -> Via<'a>,
) -> Paths<'a> {
    routes.into_iter().flatten().map(|(prefix, hop)| (*prefix, via(*hop))).collect()
}

/// The prefixes that rules permit, without service tags.
fn permitted(group: &NetworkSecurityGroup) -> Paths<'_> {
    let permits = group.rules.iter().filter(|(_, rule)| rule.access == Access::Allow);
    let rules = permits.flat_map(|(name, rule)| {
        let sources = rule.source_prefixes.iter().map(move |it| (it, Via::SourceOf(name)));
        let targets = rule.destination_prefixes.iter();
        sources.chain(targets.map(move |it| (it, Via::DestinationOf(name))))
    });
    rules.filter_map(|(text, via)| Some((rule_prefix(text)?, via))).collect()
}

/// The prefix of a rule, which Azure writes as `*` for all addresses.
fn rule_prefix(text: &str) -> Option<Ipv4Net> {
    match text {
        "*" => Some(Ipv4Net::default()),
        _ => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::azure::{RouteTable, RuleDirection, SecurityRule};
    use crate::resource::{Address, ObjectKey, Pending};

    fn prefix(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    fn update(before: Resource, after: Resource) -> Change {
        let address: Address = "route-table/cluster/lab".parse().unwrap();
        let key = ObjectKey::Host("lab".to_owned());
        let mut change = Change::new(address, key, Action::Update, "a test");
        (change.before, change.after) = (Some(before), Some(after));
        change
    }

    fn table(routes: &[(&str, NextHop)]) -> Resource {
        let routes = routes.iter().map(|(text, hop)| (prefix(text), *hop)).collect();
        let (location, routes) = (String::new(), Pending::Known(routes));
        Resource::RouteTable(RouteTable { location, routes, protected_by: None }.into())
    }

    fn group(access: Access, source: &str) -> Resource {
        let rule = SecurityRule {
            priority: 1000,
            direction: RuleDirection::Inbound,
            access,
            protocol: "*".to_owned(),
            source_prefixes: vec![source.to_owned()],
            destination_prefixes: vec!["VirtualNetwork".to_owned()],
            destination_ports: vec!["*".to_owned()],
        };
        let rules = [("forwarded".to_owned(), rule)].into();
        let group = NetworkSecurityGroup { location: String::new(), rules, protected_by: None };
        Resource::NetworkSecurityGroup(group)
    }

    #[test]
    fn a_route_that_drops_packets_withdraws_its_prefix() {
        let hop = NextHop::Appliance([10, 0, 0, 4].into());
        let routed = || table(&[("10.1.0.0/16", hop)]);
        let withdrawn_by = |after| withdrawn(&update(routed(), after)).into_iter().collect();
        let dropped: Vec<Ipv4Net> = withdrawn_by(table(&[("10.1.0.0/16", NextHop::None)]));
        assert_eq!(dropped, [prefix("10.1.0.0/16")]);
        let other = NextHop::Appliance([10, 0, 0, 5].into());
        let wider: Vec<Ipv4Net> = withdrawn_by(table(&[("10.0.0.0/8", other)]));
        assert_eq!(wider, []);
        assert!(leads_elsewhere(&update(routed(), table(&[])), &prefix("10.1.2.0/24")));
    }

    #[test]
    fn a_narrowed_rule_withdraws_its_former_permission() {
        let narrowed = update(group(Access::Allow, "*"), group(Access::Allow, "10.1.0.0/16"));
        assert!(leads_elsewhere(&narrowed, &prefix("10.2.0.0/16")));
        assert_eq!(withdrawn(&narrowed), [Ipv4Net::default()].into());
        let denied =
            update(group(Access::Allow, "10.1.0.0/16"), group(Access::Deny, "10.1.0.0/16"));
        assert_eq!(withdrawn(&denied), [prefix("10.1.0.0/16")].into());
        let lifted = update(group(Access::Deny, "10.1.0.0/16"), group(Access::Allow, "*"));
        assert_eq!(withdrawn(&lifted), BTreeSet::new());
    }
}
