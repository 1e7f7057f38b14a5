//! The prefixes that updates withdraw or add, and the machines that they belong to.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use super::rules::removes;
use crate::plan::diff;
use crate::plan::{Action, Change};
use crate::resource::azure::NextHop;
use crate::resource::host::KernelRoute;
use crate::resource::{Address, Kind, Pending, Resource};

/// A deletion that awaits approval, with the prefixes that are of use until then.
struct Departure {
    address: Address,
    action: Action,
    /// `None` for a cluster, whose nodes are not part of the plan: any prefix may be
    /// affected.
    prefixes: Option<Vec<Ipv4Net>>,
}

/// The prefixes of workers whose join awaits approval, with the addresses of the joins.
#[derive(Default)]
pub(super) struct Arrivals(BTreeMap<Ipv4Net, Address>);

impl Arrivals {
    /// Adds a worker, as it will be.
    pub(super) fn add(&mut self, address: &Address, after: Option<&Resource>) {
        if let Some(Resource::Worker(worker)) = after {
            let prefixes = [worker.pod_cidr, Ipv4Net::from(worker.ip)];
            self.0.extend(prefixes.map(|prefix| (prefix, address.clone())));
        }
    }

    /// The prefixes of these workers that an update adds or gives another next hop, and the
    /// join of one of the workers.
    fn routed(&self, before: &Resource, after: &Resource) -> Option<(BTreeSet<Ipv4Net>, &Address)> {
        let (before, after) = (hops(before)?, hops(after)?);
        let changed = after.iter().filter(|(prefix, hop)| before.get(prefix) != Some(hop));
        let routed: BTreeMap<Ipv4Net, &Address> =
            changed.filter_map(|(prefix, _)| Some((*prefix, self.0.get(prefix)?))).collect();
        let join = *routed.values().next()?;
        Some((routed.into_keys().collect(), join))
    }
}

/// An update that keeps prefixes as they are, because of a change that awaits approval.
pub(super) struct Retention {
    /// The resource.
    pub(super) address: Address,
    /// The deletion or the join that awaits approval.
    pub(super) cause: Address,
    /// Whether the whole update is omitted.
    pub(super) is_whole: bool,
}

/// Makes updates keep the prefixes of machines whose deletion awaits approval: a machine
/// is in use until it is deleted. Prefixes of workers whose join awaits approval are routed
/// to them together with the join.
pub(super) fn retain_routes(
    changes: &mut [Change],
    arrivals: &Arrivals,
    is_awaiting: &dyn Fn(&Address) -> bool,
) -> Vec<Retention> {
    let removed = changes.iter().filter(|it| removes(it.action) && is_awaiting(&it.address));
    let departures: Vec<Departure> = removed.filter_map(Departure::of).collect();
    let retained = changes.iter_mut().filter_map(|change| match (change.action, &change.address) {
        (Action::Update, _) => retain_in(change, &departures, arrivals),
        (Action::Create | Action::Delete, address) if address.kind == Kind::Route => {
            retain_single(change, &departures, arrivals)
        }
        _ => None,
    });
    retained.collect()
}

/// A single route is a prefix of its table: its creation and its deletion are omitted as a whole.
fn retain_single(
    change: &mut Change,
    departures: &[Departure],
    arrivals: &Arrivals,
) -> Option<Retention> {
    let of = |resource: &Option<Resource>| resource.as_ref().and_then(prefixes).unwrap_or_default();
    let (before, after) = (of(&change.before), of(&change.after));
    let withdraws = |it: &&Departure| !it.withdrawn(&before, &after).is_empty();
    let departure = departures.iter().find(withdraws).map(|it| &it.address);
    let arrival = || after.iter().find_map(|prefix| arrivals.0.get(prefix));
    let Some(cause) = departure.or_else(arrival).cloned() else {
        wait_for_no_departure(change, departures);
        return None;
    };
    Some(Retention { address: change.address.clone(), cause, is_whole: true })
}

fn retain_in(
    change: &mut Change,
    departures: &[Departure],
    arrivals: &Arrivals,
) -> Option<Retention> {
    let (before, mut after) = (change.before.clone()?, change.after.clone()?);
    prefixes(&before)?;
    wait_for_no_departure(change, departures);
    let mut cause = None;
    for departure in departures {
        let withdrawn = departure.withdrawn(&prefixes(&before)?, &prefixes(&after)?);
        if !withdrawn.is_empty() {
            cause.get_or_insert(&departure.address);
            leave_prefixes(&mut after, &before, &withdrawn);
        }
    }
    if let Some((routed, join)) = arrivals.routed(&before, &after) {
        cause.get_or_insert(join);
        leave_prefixes(&mut after, &before, &routed);
    }
    let cause = cause?.clone();
    change.differences = diff::between(&before, &after);
    change.after = Some(after);
    let is_whole = change.differences.is_empty();
    Some(Retention { address: change.address.clone(), cause, is_whole })
}

/// A change waits for these only in order not to withdraw their prefixes too early.
fn wait_for_no_departure(change: &mut Change, departures: &[Departure]) {
    let is_deleted = |address: &Address| {
        let mut deleted = departures.iter().filter(|it| it.action == Action::Delete);
        deleted.any(|it| it.address == *address && it.prefixes.is_some())
    };
    change.depends_on.retain(|address| !is_deleted(address));
}

impl Departure {
    fn of(change: &Change) -> Option<Self> {
        let prefixes = match (&change.before, change.address.kind) {
            (Some(Resource::Worker(worker)), _) => {
                Some(vec![worker.pod_cidr, Ipv4Net::from(worker.ip)])
            }
            (_, Kind::ManagedCluster) => None,
            _ => return None,
        };
        Some(Self { address: change.address.clone(), action: change.action, prefixes })
    }

    /// The prefixes before an update that match packets to the machine and that the update
    /// withdraws. A wider prefix that stays may have another next hop.
    fn withdrawn(
        &self,
        before: &BTreeSet<Ipv4Net>,
        after: &BTreeSet<Ipv4Net>,
    ) -> BTreeSet<Ipv4Net> {
        let Some(used) = &self.prefixes else {
            return before.difference(after).copied().collect();
        };
        let longest = |used: &Ipv4Net| {
            let matching = before.iter().filter(|prefix| prefix.contains(used));
            matching.max_by_key(|prefix| prefix.prefix_len())
        };
        let matched = used.iter().filter_map(longest);
        matched.filter(|prefix| !after.contains(prefix)).copied().collect()
    }
}

/// The prefixes that a resource routes, advertises or approves.
fn prefixes(resource: &Resource) -> Option<BTreeSet<Ipv4Net>> {
    match resource {
        Resource::RouteTable(table) => Some(table.routes.known()?.keys().copied().collect()),
        Resource::Route(route) => Some(BTreeSet::from([route.address_prefix])),
        Resource::AdvertisedRoutes(routes) | Resource::ApprovedRoutes(routes) => {
            routes.prefixes.known().cloned()
        }
        Resource::RouterHost(router) => {
            let routes = router.kernel_routes.known()?;
            let forwarded = routes.iter().filter(|(_, hop)| **hop != KernelRoute::Unreachable);
            Some(forwarded.map(|(prefix, _)| *prefix).collect())
        }
        _ => None,
    }
}

/// The next hop of a prefix.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Hop {
    Azure(NextHop),
    Kernel(KernelRoute),
    /// To the device.
    Device,
}

/// The next hop of each prefix that a resource routes, advertises or approves.
fn hops(resource: &Resource) -> Option<BTreeMap<Ipv4Net, Hop>> {
    let hops = match resource {
        Resource::RouteTable(table) => {
            let routes = table.routes.known()?.iter();
            routes.map(|(prefix, hop)| (*prefix, Hop::Azure(*hop))).collect()
        }
        Resource::Route(route) => {
            BTreeMap::from([(route.address_prefix, Hop::Azure(route.next_hop))])
        }
        Resource::RouterHost(router) => {
            let routes = router.kernel_routes.known()?.iter();
            routes.map(|(prefix, hop)| (*prefix, Hop::Kernel(*hop))).collect()
        }
        _ => prefixes(resource)?.into_iter().map(|prefix| (prefix, Hop::Device)).collect(),
    };
    Some(hops)
}

/// Leaves these prefixes of a resource as they were.
fn leave_prefixes(after: &mut Resource, before: &Resource, left: &BTreeSet<Ipv4Net>) {
    match (after, before) {
        (Resource::RouteTable(after), Resource::RouteTable(before)) => {
            leave_routes(&mut after.routes, &before.routes, left);
        }
        (Resource::RouterHost(after), Resource::RouterHost(before)) => {
            leave_routes(&mut after.kernel_routes, &before.kernel_routes, left);
        }
        (
            Resource::AdvertisedRoutes(after) | Resource::ApprovedRoutes(after),
            Resource::AdvertisedRoutes(before) | Resource::ApprovedRoutes(before),
        ) => {
            if let (Pending::Known(after), Some(before)) =
                (&mut after.prefixes, before.prefixes.known())
            {
                after.retain(|prefix| !left.contains(prefix));
                after.extend(before.intersection(left));
            }
        }
        _ => {}
    }
}

fn leave_routes<T: Copy>(
    after: &mut Pending<BTreeMap<Ipv4Net, T>>,
    before: &Pending<BTreeMap<Ipv4Net, T>>,
    left: &BTreeSet<Ipv4Net>,
) {
    if let (Pending::Known(after), Some(before)) = (after, before.known()) {
        for prefix in left {
            match before.get(prefix) {
                Some(hop) => _ = after.insert(*prefix, *hop),
                None => _ = after.remove(prefix),
            }
        }
    }
}

/// The number of removals by changes. A prefix counts once, however many route tables,
/// kernels and devices it is withdrawn from, so that a removed node counts as one in a
/// large topology, too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Removals {
    /// How many objects are deleted or replaced.
    pub objects: usize,
    /// The prefixes that are no longer routed, advertised or approved somewhere.
    pub prefixes: BTreeSet<Ipv4Net>,
}

impl Removals {
    /// Counts the removals of all these changes together.
    pub fn of_changes<'a>(changes: impl IntoIterator<Item = &'a Change>) -> Self {
        let mut removals = Self::default();
        for change in changes {
            let Self { objects, prefixes } = Self::of_change(change);
            removals.objects += objects;
            removals.prefixes.extend(prefixes);
        }
        removals
    }

    /// Counts the removals of one change.
    pub fn of_change(change: &Change) -> Self {
        match removes(change.action) && change.address.kind != Kind::Route {
            true => Self { objects: 1, prefixes: BTreeSet::new() },
            false => Self { objects: 0, prefixes: withdrawn_by(change) },
        }
    }

    /// How much is removed without the prefixes that were counted before.
    pub fn count_without(&self, counted: &BTreeSet<Ipv4Net>) -> usize {
        self.objects + self.prefixes.difference(counted).count()
    }
}

fn withdrawn_by(change: &Change) -> BTreeSet<Ipv4Net> {
    let counts = matches!(
        change.address.kind,
        Kind::RouteTable
            | Kind::Route
            | Kind::ApprovedRoutes
            | Kind::AdvertisedRoutes
            | Kind::RouterHost
    );
    let is_deleted_route = change.deleted_route().is_some();
    if change.action != Action::Update && !is_deleted_route || !counts {
        return BTreeSet::new();
    }
    let before = change.before.as_ref().and_then(prefixes).unwrap_or_default();
    let after = change.after.as_ref().and_then(prefixes).unwrap_or_default();
    before.difference(&after).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::azure::SingleRoute;
    use crate::resource::{ArmId, ObjectKey, Site};

    /// The same prefix may be withdrawn from kernels and devices with it.
    #[test]
    fn a_deleted_single_route_counts_as_its_prefix() {
        let address_prefix = "10.50.0.0/16".parse().unwrap();
        let next_hop = NextHop::Appliance([10, 0, 0, 4].into());
        let deleted = |table: &str| {
            let id = ArmId::resource_group("s", table).child("routes", "r");
            let address = Address::new(Kind::Route, Site::Cluster, table);
            let mut change = Change::new(address, ObjectKey::Azure(id), Action::Delete, "");
            change.before = Some(Resource::Route(SingleRoute { address_prefix, next_hop }));
            change
        };
        let removals = Removals::of_changes(&[deleted("one"), deleted("two")]);
        assert_eq!(removals, Removals { objects: 0, prefixes: [address_prefix].into() });
    }
}
