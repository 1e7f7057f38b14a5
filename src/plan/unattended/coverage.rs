//! The prefixes that updates withdraw, and the machines that they belong to.

use std::collections::{BTreeMap, BTreeSet};

use ipnet::Ipv4Net;

use super::rules::removes;
use crate::plan::diff;
use crate::plan::{Action, Change};
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

/// An update that keeps prefixes which it would withdraw.
pub(super) struct Retention {
    /// The resource.
    pub(super) address: Address,
    /// The deletion that awaits approval.
    pub(super) deletion: Address,
    /// Whether the whole update is omitted.
    pub(super) is_whole: bool,
}

/// Makes updates keep the routes of machines whose deletion awaits approval: a machine is
/// in use until it is deleted.
pub(super) fn retain_routes(
    changes: &mut [Change],
    is_awaiting: &dyn Fn(&Address) -> bool,
) -> Vec<Retention> {
    let removed = changes.iter().filter(|it| removes(it.action) && is_awaiting(&it.address));
    let departures: Vec<Departure> = removed.filter_map(Departure::of).collect();
    let updates = changes.iter_mut().filter(|it| it.action == Action::Update);
    updates.filter_map(|change| retain_in(change, &departures)).collect()
}

fn retain_in(change: &mut Change, departures: &[Departure]) -> Option<Retention> {
    let (before, mut after) = (change.before.clone()?, change.after.clone()?);
    prefixes(&before)?;
    // It waits for these only in order not to withdraw their prefixes too early.
    let is_deleted = |address: &Address| {
        let mut deleted = departures.iter().filter(|it| it.action == Action::Delete);
        deleted.any(|it| it.address == *address && it.prefixes.is_some())
    };
    change.depends_on.retain(|address| !is_deleted(address));
    let mut deletion = None;
    for departure in departures {
        let withdrawn = departure.withdrawn(&prefixes(&before)?, &prefixes(&after)?);
        if !withdrawn.is_empty() {
            deletion.get_or_insert(&departure.address);
            restore_prefixes(&mut after, &before, &withdrawn);
        }
    }
    let deletion = deletion?.clone();
    change.differences = diff::between(&before, &after);
    change.after = Some(after);
    let is_whole = change.differences.is_empty();
    Some(Retention { address: change.address.clone(), deletion, is_whole })
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

/// Gives a resource these prefixes again, as it had them.
fn restore_prefixes(after: &mut Resource, before: &Resource, withdrawn: &BTreeSet<Ipv4Net>) {
    match (after, before) {
        (Resource::RouteTable(after), Resource::RouteTable(before)) => {
            copy_routes(&mut after.routes, &before.routes, withdrawn);
        }
        (Resource::RouterHost(after), Resource::RouterHost(before)) => {
            copy_routes(&mut after.kernel_routes, &before.kernel_routes, withdrawn);
        }
        (Resource::AdvertisedRoutes(after) | Resource::ApprovedRoutes(after), _) => {
            if let Pending::Known(prefixes) = &mut after.prefixes {
                prefixes.extend(withdrawn);
            }
        }
        _ => {}
    }
}

fn copy_routes<T: Copy>(
    after: &mut Pending<BTreeMap<Ipv4Net, T>>,
    before: &Pending<BTreeMap<Ipv4Net, T>>,
    withdrawn: &BTreeSet<Ipv4Net>,
) {
    if let (Pending::Known(after), Some(before)) = (after, before.known()) {
        let routes = withdrawn.iter().filter_map(|prefix| Some((*prefix, *before.get(prefix)?)));
        after.extend(routes);
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
        match removes(change.action) {
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
        Kind::RouteTable | Kind::ApprovedRoutes | Kind::AdvertisedRoutes | Kind::RouterHost
    );
    if change.action != Action::Update || !counts {
        return BTreeSet::new();
    }
    let before = change.before.as_ref().and_then(prefixes).unwrap_or_default();
    let after = change.after.as_ref().and_then(prefixes).unwrap_or_default();
    before.difference(&after).copied().collect()
}
