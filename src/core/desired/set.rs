//! The set of desired resources.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Allocation;
use crate::resource::{Address, Kind, ObjectKey, Resource, Site};

/// A resource that should exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredResource {
    /// Its address.
    pub address: Address,
    /// Where it stands; absent while the object that holds it has no name yet.
    pub key: Option<ObjectKey>,
    /// Its value.
    pub resource: Resource,
    /// Resources that must exist first.
    pub depends_on: Vec<Address>,
    /// Its containers: if one is replaced, this resource is replaced with it.
    pub contained_in: Vec<Address>,
    /// The resource whose creation yields this one, if no call of its own creates it (a
    /// device comes with its machine).
    pub created_by: Option<Address>,
    /// Never replace or delete it.
    pub protect: bool,
    /// The rule of the topology that requires it, as text.
    pub planned_because_of: String,
}

/// All desired resources by address.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DesiredSet {
    /// Shared, so that copies of the set are cheap and insertions move little.
    resources: BTreeMap<Address, Arc<DesiredResource>>,
    /// Sites of which everything is protected.
    protected_sites: BTreeSet<Site>,
    /// Blocks of the topology without `protect = true`.
    unprotected_blocks: BTreeSet<String>,
    /// The places of workers that the resources were built with.
    allocation: Option<Arc<Allocation>>,
    /// The resources that lead to workers at places which these are to leave.
    narrowed_later: BTreeSet<Address>,
    /// Single routes that lead to such places only: once the workers have moved, they go.
    withdrawn_later: BTreeSet<Address>,
    /// Later iterations of the same apply, in which workers get the places of others.
    later_iterations: LaterIterations,
    /// The resources that this set lacks or has with another value than once every worker is at
    /// its next place. What exists of those that it lacks stays until then.
    last: BTreeMap<Address, Arc<DesiredResource>>,
}

/// The later iterations of the same apply that are known.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct LaterIterations {
    pub(super) known: Vec<LaterIteration>,
    /// Whether others follow that were not computed.
    pub(super) are_partial: bool,
}

/// The changes of a later iteration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaterIteration {
    /// The workers that move before it.
    pub(crate) after: Vec<Address>,
    /// The resources that it changes, each with its value before; `None` for a new one.
    pub(crate) changed: Vec<(Option<Arc<DesiredResource>>, Arc<DesiredResource>)>,
    /// The single routes that it deletes.
    pub(crate) withdrawn: Vec<Address>,
}

/// Resources that must not be replaced or deleted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Protected {
    /// Each protected resource, and everything that contains it, with the protected
    /// resource that is the reason.
    by_address: BTreeMap<Address, Address>,
    /// The same by the place of the object.
    by_key: BTreeMap<ObjectKey, Address>,
    sites: BTreeSet<Site>,
    /// Blocks of the topology without `protect = true`.
    unprotected_blocks: BTreeSet<String>,
}

impl Protected {
    /// The protected resource because of which an object must stay: the object's
    /// own resource, or one that it contains.
    pub fn reason(&self, address: &Address, key: &ObjectKey) -> Option<&Address> {
        self.by_address.get(address).or_else(|| self.by_key.get(key))
    }

    /// Whether a resource is protected, or contains one that is.
    pub fn contains(&self, address: &Address) -> bool {
        self.by_address.contains_key(address)
    }

    /// All protected resources, and everything that contains them.
    pub fn addresses(&self) -> impl Iterator<Item = &Address> {
        self.by_address.keys()
    }

    /// Whether everything on a site is protected, including objects that the topology no
    /// longer lists.
    pub fn covers_site(&self, site: &Site) -> bool {
        self.sites.contains(site)
    }

    /// Whether a block is in the topology without `protect = true`: an apply removes the
    /// record of its protection.
    pub fn lifts(&self, block: &str) -> bool {
        self.unprotected_blocks.contains(block)
    }
}

impl DesiredSet {
    /// An empty set of resources that are built with these places of workers.
    pub(super) fn with_allocation(allocation: Arc<Allocation>) -> Self {
        Self { allocation: Some(allocation), ..Self::default() }
    }

    /// The places of workers that the resources were built with; `None` in a set that
    /// was not built from a topology.
    pub(crate) fn allocation(&self) -> Option<&Arc<Allocation>> {
        self.allocation.as_ref()
    }

    /// The resources that lead to workers at places which these are to leave: once the
    /// workers have moved, the topology asks for less.
    pub(crate) fn narrowed_later(&self) -> &BTreeSet<Address> {
        &self.narrowed_later
    }

    /// Single routes that lead only to workers at places which these are to leave.
    pub(crate) fn withdrawn_later(&self) -> &BTreeSet<Address> {
        &self.withdrawn_later
    }

    /// Later iterations of the same apply, in which workers get the places of others.
    pub(crate) fn later_iterations(&self) -> &[LaterIteration] {
        &self.later_iterations.known
    }

    /// Whether further iterations follow the known ones.
    pub(crate) fn has_unknown_iterations(&self) -> bool {
        self.later_iterations.are_partial
    }

    /// Resources of workers that join once others have left their places.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &DesiredResource> {
        let lacks = |(at, _): &(&Address, _)| !self.resources.contains_key(*at);
        self.last.iter().filter(lacks).map(|(_, resource)| &**resource)
    }

    /// All resources as they are once every worker is at its next place.
    pub(crate) fn last_values(&self) -> impl Iterator<Item = &DesiredResource> {
        let stays = |it: &&DesiredResource| !self.last.contains_key(&it.address);
        self.iter().filter(stays).chain(self.last.values().map(Arc::as_ref))
    }

    /// Notes the changes of later iterations.
    pub(super) fn note_later_iterations(&mut self, iterations: LaterIterations) {
        self.later_iterations = iterations;
    }

    /// Notes the resources that differ once every worker is at its next place.
    pub(super) fn note_last(&mut self, last: &Self) {
        let differing = last.differing_from(self);
        self.last = differing.map(|(_, it)| (it.address.clone(), it.clone())).collect();
    }

    /// The resources of this set that another one lacks or has with another value, each with its
    /// value there.
    pub(super) fn differing_from<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (Option<&'a Arc<DesiredResource>>, &'a Arc<DesiredResource>)> {
        let pairs = self.resources.values().map(|it| (other.resources.get(&it.address), it));
        pairs.filter(|(other, it)| other.is_none_or(|other| other.resource != it.resource))
    }

    /// Notes the resources that have another value once every worker is at its new place.
    pub(super) fn note_narrowed(&mut self, narrowed: &Self) {
        let differs = |it: &&DesiredResource| {
            narrowed.get(&it.address).is_some_and(|other| other.resource != it.resource)
        };
        self.narrowed_later = self.iter().filter(differs).map(|it| it.address.clone()).collect();
        self.withdrawn_later = narrowed.routes_missing_of(self).collect();
    }

    /// The single routes of another set that this one lacks.
    pub(super) fn routes_missing_of<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = Address> + 'a {
        let addresses = other.resources.keys().filter(|it| it.kind == Kind::Route);
        addresses.filter(|it| !self.resources.contains_key(*it)).cloned()
    }

    /// Adds a resource.
    pub fn add(&mut self, resource: DesiredResource) {
        self.resources.insert(resource.address.clone(), Arc::new(resource));
    }

    /// The resource at an address.
    pub fn get(&self, address: &Address) -> Option<&DesiredResource> {
        self.resources.get(address).map(Arc::as_ref)
    }

    /// All of them in the order of their addresses.
    pub fn iter(&self) -> impl Iterator<Item = &DesiredResource> {
        self.resources.values().map(Arc::as_ref)
    }

    /// Protects everything of a site for which `is_part` holds.
    pub(crate) fn protect_site(&mut self, site: &Site, is_part: impl Fn(&Address) -> bool) {
        self.protected_sites.insert(site.clone());
        for resource in self.resources.values_mut() {
            if !resource.protect && resource.address.site == *site && is_part(&resource.address) {
                Arc::make_mut(resource).protect = true;
            }
        }
    }

    /// Notes the blocks of the topology without `protect = true`.
    pub(crate) fn note_unprotected(&mut self, blocks: BTreeSet<String>) {
        self.unprotected_blocks = blocks;
    }

    /// The resources for which `is_meant` holds, to change their values.
    pub(super) fn select_mut(
        &mut self,
        is_meant: impl Fn(&DesiredResource) -> bool,
    ) -> impl Iterator<Item = &mut DesiredResource> {
        self.resources.values_mut().filter(move |it| is_meant(it)).map(Arc::make_mut)
    }

    /// Each protected resource and its containers: they must not be replaced or deleted.
    pub fn protected(&self) -> Protected {
        let by_address = self.protected_addresses();
        let key = |address: &Address| self.find(address).and_then(|it| it.key.clone());
        let by_key = by_address.iter().filter_map(|(at, reason)| Some((key(at)?, reason.clone())));
        let (sites, unprotected_blocks) =
            (self.protected_sites.clone(), self.unprotected_blocks.clone());
        Protected { by_key: by_key.collect(), by_address, sites, unprotected_blocks }
    }

    fn protected_addresses(&self) -> BTreeMap<Address, Address> {
        let mut found = BTreeMap::new();
        for protected in self.iter().chain(self.waiting()).filter(|resource| resource.protect) {
            let mut containers = vec![&protected.address];
            while let Some(container) = containers.pop() {
                if found.contains_key(container) && *container != protected.address {
                    continue;
                }
                found.insert(container.clone(), protected.address.clone());
                containers.extend(
                    self.find(container).into_iter().flat_map(|container| &container.contained_in),
                );
            }
        }
        found
    }

    /// A resource of the set, or of a worker that waits.
    fn find(&self, address: &Address) -> Option<&DesiredResource> {
        let waiting = || self.last.get(address).map(Arc::as_ref);
        self.get(address).or_else(waiting)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.resources.len()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.resources.is_empty()
    }
}

/// Puts a desired resource together, a clause at a time.
pub(super) struct ResourceBuilder {
    resource: DesiredResource,
}

impl ResourceBuilder {
    pub(super) fn new(address: Address, key: Option<ObjectKey>, resource: Resource) -> Self {
        Self {
            resource: DesiredResource {
                address,
                key,
                resource,
                depends_on: Vec::new(),
                contained_in: Vec::new(),
                created_by: None,
                protect: false,
                planned_because_of: String::new(),
            },
        }
    }

    pub(super) fn depends_on(mut self, address: Address) -> Self {
        self.resource.depends_on.push(address);
        self
    }

    pub(super) fn depends_on_all(mut self, addresses: impl IntoIterator<Item = Address>) -> Self {
        self.resource.depends_on.extend(addresses);
        self
    }

    pub(super) fn contained_in_all(self, addresses: impl IntoIterator<Item = Address>) -> Self {
        addresses.into_iter().fold(self, Self::contained_in)
    }

    pub(super) fn contained_in(mut self, address: Address) -> Self {
        self.resource.contained_in.push(address.clone());
        self.depends_on(address)
    }

    pub(super) fn created_by(mut self, address: Address) -> Self {
        self.resource.created_by = Some(address.clone());
        self.contained_in(address)
    }

    pub(super) fn protected(mut self, protect: bool) -> Self {
        self.resource.protect = protect;
        self
    }

    pub(super) fn planned_because_of(mut self, reason: impl Into<String>) -> DesiredResource {
        self.resource.planned_because_of = reason.into();
        self.resource
    }
}
