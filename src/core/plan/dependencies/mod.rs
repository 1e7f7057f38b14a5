//! Dependencies between the changes of a plan.

mod deletions;
mod returning_routers;

use std::collections::{BTreeMap, BTreeSet};

use foldhash::{HashMap, HashMapExt};

use crate::plan::decision::{Comparison, ResourceDecision, ResourceDecisions};
use crate::plan::dependency_collector::{DependencyCollector, Edges};
use crate::plan::exclusive_claims::Claims;
use crate::plan::interruptions::{self, restarts_router};
use crate::plan::new_places::NewPaths;
use crate::plan::present_routers::{is_router_part, renamed_router};
use crate::plan::removal_pace::RemovalPace;
use crate::plan::rollout::is_rolled_out;
use crate::plan::withdrawal::may_withdraw;
use crate::plan::{Action, Change};
use crate::resource::{Address, ArmId, Kind, ObjectKey, PlaceIndex, Resource, Site};
use returning_routers::ReturningRouters;

/// Adds the edges between changes, and the interruption of each change.
pub(super) fn add(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let index = Index::new(input, decisions.values().filter_map(change_of));
    let edges: Vec<Edges> = index.changes.iter().map(|change| index.edges(input, change)).collect();
    let changes = decisions.values_mut().filter_map(|decision| match decision {
        ResourceDecision::Change(change) => Some(change),
        _ => None,
    });
    for (change, edges) in changes.zip(edges) {
        if let Some(interrupted) = interruptions::of(change) {
            change.interrupts = interrupted;
        }
        change.depends_on = edges.depends_on;
        change.destroy_after = edges.destroy_after;
        change.create_after_destroy_of = edges.create_after_destroy_of;
    }
}

/// The addresses that each change waits for.
pub(super) fn before_each(
    input: Comparison<'_>,
    decisions: &ResourceDecisions,
) -> BTreeMap<Address, Vec<Address>> {
    let index = Index::new(input, decisions.values().filter_map(change_of));
    let all = index.changes.iter().map(|change| {
        let edges = index.edges(input, change);
        let before = [edges.depends_on, edges.destroy_after, edges.create_after_destroy_of];
        (change.address.clone(), before.concat())
    });
    all.collect()
}

fn change_of(decision: &ResourceDecision) -> Option<&Change> {
    match decision {
        ResourceDecision::Change(change) => Some(change),
        _ => None,
    }
}

/// The changes of a plan, indexed by the properties that edges depend on.
struct Index<'a> {
    /// In the order of their addresses.
    changes: Vec<&'a Change>,
    positions: PlaceIndex<'a, Address>,
    /// Replacements by their container.
    contained: HashMap<&'a Address, Vec<&'a Address>>,
    /// Deletions of workers, by name: pods leave before their routes go.
    leaving_workers: BTreeMap<&'a str, &'a Address>,
    /// The same, by their site.
    leaving_from: BTreeMap<&'a Site, Vec<&'a Address>>,
    /// Workers that leave a site for another one, by the site that they leave.
    moving_from: BTreeMap<Site, Vec<&'a Address>>,
    /// Workers that leave and join again behind a router of another name, by their site.
    rejoining_at: BTreeMap<&'a Site, Vec<&'a Address>>,
    /// Deletions by the object's id, in the id's order.
    deleted: BTreeMap<&'a ArmId, &'a Address>,
    /// Changes by each ID that their current value refers to.
    pointing_at: HashMap<&'a ArmId, Vec<&'a Change>>,
    /// Sites whose router takes over the address of a deleted router, each with the site of
    /// the deleted one.
    successors: BTreeSet<(&'a Site, &'a Site)>,
    /// Updates that restart a router's machine, by site.
    restarting_routers: BTreeMap<&'a Site, Vec<&'a Address>>,
    /// Deletions of Kubernetes objects, by kind.
    deleted_kinds: BTreeMap<Kind, Vec<&'a Address>>,
    claims: Claims<'a>,
    pace: RemovalPace<'a>,
    new_paths: NewPaths<'a>,
    returning_routers: ReturningRouters<'a>,
}

impl<'a> Index<'a> {
    fn new(input: Comparison<'a>, changes: impl Iterator<Item = &'a Change>) -> Self {
        let changes: Vec<&Change> = changes.collect();
        let mut index = Self {
            claims: Claims::of(&changes),
            pace: RemovalPace::of(input, &changes),
            new_paths: NewPaths::of(&changes),
            returning_routers: ReturningRouters::of(input, &changes),
            positions: PlaceIndex::of(changes.iter().map(|change| &change.address)),
            changes,
            contained: HashMap::new(),
            leaving_workers: BTreeMap::new(),
            leaving_from: BTreeMap::new(),
            moving_from: BTreeMap::new(),
            rejoining_at: BTreeMap::new(),
            deleted: BTreeMap::new(),
            pointing_at: HashMap::new(),
            successors: BTreeSet::new(),
            restarting_routers: BTreeMap::new(),
            deleted_kinds: BTreeMap::new(),
        };
        index.changes.clone().into_iter().for_each(|change| index.add(input, change));
        index.successors = index.successors();
        index
    }

    fn add(&mut self, input: Comparison<'a>, change: &'a Change) {
        if change.action == Action::Replace {
            let containers =
                input.desired.get(&change.address).map(|desired| &desired.contained_in);
            for container in containers.into_iter().flatten() {
                self.contained.entry(container).or_default().push(&change.address);
            }
        }
        for id in change.before.iter().flat_map(references) {
            self.pointing_at.entry(id).or_default().push(change);
        }
        if change.address.kind == Kind::Worker
            && let Some(site) = change.moves_from()
        {
            self.moving_from.entry(site).or_default().push(&change.address);
        } else if change.address.kind == Kind::Worker
            && change.action == Action::Replace
            && renamed_router(input, &change.address.site).is_some()
        {
            self.rejoining_at.entry(&change.address.site).or_default().push(&change.address);
        }
        if restarts_router(change) {
            let routers = self.restarting_routers.entry(&change.address.site).or_default();
            routers.push(&change.address);
        }
        if change.action != Action::Delete {
            return;
        }
        self.deleted_kinds.entry(change.address.kind).or_default().push(&change.address);
        if change.address.kind == Kind::Worker {
            self.leaving_workers.insert(&change.address.name, &change.address);
            self.leaving_from.entry(&change.address.site).or_default().push(&change.address);
        }
        if let ObjectKey::Azure(id) = &change.key {
            self.deleted.insert(id, &change.address);
        }
    }

    /// Only moves of workers use them.
    fn successors(&self) -> BTreeSet<(&'a Site, &'a Site)> {
        let is_interface = |change: &&&Change| change.address.kind == Kind::NetworkInterface;
        let changes = self.changes.iter().filter(|_| !self.moving_from.is_empty());
        let taken = changes.filter(is_interface).flat_map(|change| {
            let (leaving, _) = self.claims.released_for(change);
            leaving.into_iter().map(|taken| (&change.address.site, &taken.site))
        });
        taken.filter(|(site, left)| site != left).collect()
    }

    fn edges(&self, input: Comparison<'a>, change: &'a Change) -> Edges {
        let mut found = DependencyCollector::default();
        let (leaving, moving) = self.claims.released_for(change);
        found.depends_on.extend(leaving);
        found.create_after_destroy_of.extend(moving);
        match change.action {
            // A replaced child may be created in another container: only its deletion
            // matters.
            Action::Delete => {
                let (ends, comes): (Vec<_>, Vec<_>) = self
                    .before_deletion(change)
                    .into_iter()
                    .partition(|address| self.is_moving(address, change));
                found.create_after_destroy_of.extend(ends);
                found.depends_on.extend(comes);
                found.depends_on.extend(self.pace.before_removal(change));
                found.depends_on.extend(self.returning_routers.before_departure(change));
                return found.into();
            }
            Action::Replace => {
                found.destroy_after.extend(self.replaced_dependents(change));
                found.destroy_after.extend(self.deleted_dependents(change));
                found.destroy_after.extend(self.joining_before(input, change));
                found.destroy_after.extend(self.new_paths.before_work(change));
                found.destroy_after.extend(self.returning_routers.before_departure(change));
            }
            // Children of the lost container are deleted before the new one is created, or
            // refresh would take them for children of the new one.
            Action::Create => {
                found.create_after_destroy_of.extend(self.replaced_dependents(change));
            }
            Action::Update | Action::Adopt | Action::Reboot => {}
        }
        found.depends_on.extend(self.before_creation(input, change));
        found.depends_on.extend(self.new_paths.before_creation(change));
        found.create_after_destroy_of.extend(self.new_paths.after_destroy(change));
        match change.action {
            Action::Replace => found.destroy_after.extend(self.pace.before_work(change)),
            _ => found.depends_on.extend(self.pace.before_work(change)),
        }
        found.create_after_destroy_of.extend(self.moving_before(change));
        found.create_after_destroy_of.extend(self.leaving_worker(change));
        found.into()
    }

    /// Replacements of resources that the object contains or that refer to it: Azure
    /// refuses to delete the object before they are gone.
    fn replaced_dependents(&self, change: &'a Change) -> impl Iterator<Item = &'a Address> {
        let living = self.contained.get(&change.address).into_iter().flatten().copied();
        let pointing = match &change.key {
            ObjectKey::Azure(id) => self.pointing_at.get(id),
            _ => None,
        };
        let pointing = pointing.into_iter().flatten().filter(|it| it.action == Action::Replace);
        let all = living.chain(pointing.map(|it| &it.address));
        all.filter(|address| **address != change.address)
    }

    /// Deletions of objects that are in a replaced one or refer to it, such as the interface of a
    /// removed worker in a replaced subnet: Azure refuses to delete the object before, or
    /// deletes a machine with it whose worker has not left yet.
    fn deleted_dependents(&self, change: &'a Change) -> impl Iterator<Item = &'a Address> {
        let id = match &change.key {
            ObjectKey::Azure(id) => Some(id),
            _ => None,
        };
        let pointing = id.and_then(|id| self.pointing_at.get(id)).into_iter().flatten();
        let pointing = pointing.filter(|it| it.action == Action::Delete).map(|it| &it.address);
        let inside = id.into_iter().flat_map(|id| self.inside(id));
        pointing.chain(inside).filter(|address| **address != change.address)
    }

    /// The new router that a worker moves behind: the worker stays where it is until its new
    /// host can be probed. A router that takes the place of the one that the worker leaves
    /// through comes later.
    fn joining_before(
        &self,
        input: Comparison<'a>,
        change: &'a Change,
    ) -> impl Iterator<Item = &'a Address> {
        let is_succeeded = |left: Site| self.successors.contains(&(&change.address.site, &left));
        let moves = change.moves_from().is_some_and(|left| !is_succeeded(left));
        let desired = input.desired.get(&change.address).filter(|_| moves);
        let dependencies = desired.into_iter().flat_map(|desired| &desired.depends_on);
        dependencies.filter(|address| {
            matches!(address.kind, Kind::RouterHost | Kind::TailnetDevice)
                && address.site == change.address.site
                && self.change(address).is_some_and(|it| it.action == Action::Create)
        })
    }

    /// Creations, updates and replacements follow their dependencies.
    fn before_creation(
        &self,
        input: Comparison<'a>,
        change: &Change,
    ) -> impl Iterator<Item = &'a Address> {
        let desired = input.desired.get(&change.address);
        let dependencies = desired.into_iter().flat_map(|desired| &desired.depends_on);
        let changed = dependencies.filter(|address| self.change(address).is_some());
        let pools = self.deleted_kinds.get(&Kind::NodePool).into_iter().flatten();
        let leaving = self.leaving_workers.values().chain(pools).copied();
        let leaving = may_withdraw(change).then_some(leaving);
        let taken_over = self.new_paths.after_removal(change);
        let routers = is_rolled_out(change).then(|| self.routers_before(&change.address.site));
        let routers = routers.or_else(|| self.restart_before(change));
        let leaving = leaving.into_iter().flatten().chain(taken_over);
        changed.chain(leaving).chain(routers.into_iter().flatten())
    }

    /// The restarts of routers that come before work on a worker: it is reached through
    /// its router, and its pods are disturbed once at a time.
    fn routers_before(&self, site: &Site) -> Vec<&'a Address> {
        let of_site = |site: &Site| self.restarting_routers.get(site).cloned().unwrap_or_default();
        of_site(&Site::Cluster).into_iter().chain(of_site(site)).collect()
    }

    /// The restart of the router on which a change is made.
    fn restart_before(&self, change: &Change) -> Option<Vec<&'a Address>> {
        let is_on_router = matches!(change.address.kind, Kind::RouterHost | Kind::AdvertisedRoutes);
        let restarting = self.restarting_routers.get(&change.address.site);
        restarting.filter(|_| is_on_router).cloned()
    }

    fn change(&self, address: &Address) -> Option<&'a Change> {
        self.changes.get(self.positions.place(address.kind, address)?).copied()
    }

    /// The address of a change, as the change holds it.
    fn changed(&self, address: &Address) -> Option<&'a Address> {
        self.change(address).map(|change| &change.address)
    }

    /// Whether the address belongs to a replacement that moves out of the deleted object.
    /// Only its destroy phase must precede the deletion, because it may be created
    /// elsewhere.
    fn is_moving(&self, address: &Address, deleted: &Change) -> bool {
        let Some(replaced) = self.change(address) else { return false };
        let is_resident = deleted.address.kind == Kind::VirtualMachine
            && address.kind.is_contained_in(Kind::VirtualMachine);
        // A worker that joins again behind another router leaves through this one.
        let is_rejoining = address.kind == Kind::Worker && is_router_part(deleted.address.kind);
        let leaves = is_resident || is_rejoining || replaced.moves_from().is_some();
        replaced.action == Action::Replace && leaves
    }

    /// The worker that leaves its place before its record is changed to the next one: if it
    /// stays, so does the record.
    fn leaving_worker(&self, change: &Change) -> Option<&'a Address> {
        let is_record =
            change.address.kind == Kind::Server && matches!(change.action, Action::Update);
        let worker = || Address { kind: Kind::Worker, ..change.address.clone() };
        let worker = is_record.then(|| self.change(&worker())).flatten()?;
        (worker.action == Action::Replace).then_some(&worker.address)
    }

    /// The moving workers that leave before an update withdraws their routes.
    fn moving_before(&self, change: &'a Change) -> impl Iterator<Item = &'a Address> {
        let withdraws = may_withdraw(change);
        let from =
            |site: &Site| *site == change.address.site || change.address.site == Site::Cluster;
        let moving = self.moving_from.iter().filter(move |(site, _)| withdraws && from(site));
        moving.flat_map(|(_, workers)| workers.iter().copied())
    }
}

/// The ids that a value points at.
pub(super) fn references(resource: &Resource) -> Vec<&ArmId> {
    resource.references().into_iter().map(|reference| reference.id).collect()
}
