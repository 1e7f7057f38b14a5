//! The resources of one state: the observed ones, with the values of some objects replaced.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::Sources;
use super::single_routes::{ProjectedRoute, SingleRoutes};
use crate::desired::DesiredResource;
use crate::desired::facts::ClusterFacts;
use crate::inventory::{Inventory, Source};
use crate::resource::{Address, ArmId, Kind, ObjectKey, Ownership, PlaceIndex, Resource, Site};

/// The value of an object whose value may differ from the observed one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ObjectValue<'a> {
    /// As it was observed.
    Observed,
    /// The object does not exist.
    Absent,
    /// It has this value.
    Is(&'a Resource),
}

/// The value of a resource in a state.
#[derive(Debug, Clone, Copy)]
pub(super) enum ProjectedFact<'a> {
    /// It exists.
    There(&'a Resource),
    /// It does not exist.
    Absent,
    /// Its source could not be read, or its value is not known yet.
    Unread,
}

/// The devices that are in the tailnet under the tag of another topology, while that owns the
/// cluster's site: whether they serve is not known under the topology's own tag.
fn devices_of_another_topology(sources: Sources<'_>) -> BTreeSet<&Address> {
    let live = |desired: &DesiredResource| sources.inventory.get(desired.key.as_ref()?);
    let is_of_another = |desired: &DesiredResource| {
        let ownership = live(desired).map(|observed| &observed.ownership);
        matches!(ownership, Some(Ownership::OtherTopology { .. }))
    };
    let mut of_cluster = sources.desired.iter().filter(|it| it.address.site == Site::Cluster);
    if !of_cluster.any(is_of_another) {
        return BTreeSet::new();
    }
    let in_tailnet = [Kind::TailnetDevice, Kind::AdvertisedRoutes, Kind::ApprovedRoutes];
    let missing = sources
        .desired
        .iter()
        .filter(|it| in_tailnet.contains(&it.address.kind) && live(it).is_none());
    missing.map(|desired| &desired.address).collect()
}

/// A state of all resources: the inventory with the values of some objects replaced,
/// addresses with unknown values, and possibly without the cluster.
#[derive(Debug, Clone)]
pub struct ProjectedState<'a> {
    sources: Sources<'a>,
    /// The number of each object that may differ.
    numbers: Rc<PlaceIndex<'a, ObjectKey>>,
    /// By those numbers.
    values: Vec<ObjectValue<'a>>,
    unknown: BTreeSet<&'a Address>,
    is_cluster_lost: bool,
    /// The objects that subnets refer to, by ID.
    addresses: Rc<BTreeMap<&'a ObjectKey, &'a Address>>,
    /// The routes in tables of other owners.
    single_routes: Rc<SingleRoutes<'a>>,
    /// The numbers of the objects that were read.
    reads: RefCell<Vec<usize>>,
}

impl<'a> ProjectedState<'a> {
    /// Everything as it was observed. The objects are those that may get other
    /// values; each is known by its place among them.
    pub fn observed(sources: Sources<'a>, objects: &[&'a ObjectKey]) -> Self {
        let pointed_at = [Kind::RouteTable, Kind::NetworkSecurityGroup];
        let addresses = sources
            .desired
            .iter()
            .filter(|desired| pointed_at.contains(&desired.address.kind))
            .filter_map(|desired| Some((desired.key.as_ref()?, &desired.address)))
            .collect();
        Self {
            sources,
            numbers: Rc::new(PlaceIndex::of(objects.iter().copied())),
            values: vec![ObjectValue::Observed; objects.len()],
            unknown: devices_of_another_topology(sources),
            is_cluster_lost: false,
            addresses: Rc::new(addresses),
            single_routes: Rc::new(SingleRoutes::of(sources)),
            reads: RefCell::default(),
        }
    }

    /// Gives an object another value, and returns the one that it had.
    pub fn set(&mut self, object: usize, value: ObjectValue<'a>) -> ObjectValue<'a> {
        match self.values.get_mut(object) {
            Some(known) => std::mem::replace(known, value),
            None => ObjectValue::Observed,
        }
    }

    /// Makes the values of these resources unknown.
    pub fn set_unknown(&mut self, addresses: impl IntoIterator<Item = &'a Address>) {
        self.unknown.extend(addresses);
    }

    /// Takes the cluster away, with all that is deleted with it, or brings it back.
    pub fn set_cluster_lost(&mut self, lost: bool) {
        self.is_cluster_lost = lost;
    }

    /// The sources of the state.
    pub fn sources(&self) -> Sources<'a> {
        self.sources
    }

    /// The objects that were read since the last call, by number.
    pub(super) fn take_reads(&self) -> Vec<usize> {
        self.reads.take()
    }

    /// A resource that the topology asks for.
    pub(super) fn resource(&self, address: &Address) -> ProjectedFact<'a> {
        if self.unknown.contains(address) {
            return ProjectedFact::Unread;
        }
        match self.sources.desired.get(address).map(|desired| &desired.key) {
            Some(Some(key)) => self.object(address.kind, key),
            // An object without a name does not exist yet.
            Some(None) | None if self.is_unread(address.kind, None) => ProjectedFact::Unread,
            Some(None) | None => ProjectedFact::Absent,
        }
    }

    /// An object of a kind, whether or not the topology lists it.
    pub(super) fn object(&self, kind: Kind, key: &ObjectKey) -> ProjectedFact<'a> {
        if let Some(number) = self.numbers.place(kind, key) {
            self.reads.borrow_mut().push(number);
            match self.values.get(number) {
                Some(ObjectValue::Is(resource)) => return ProjectedFact::There(resource),
                Some(ObjectValue::Absent) => return ProjectedFact::Absent,
                Some(ObjectValue::Observed) | None => {}
            }
        }
        if self.lost_cluster().is_some_and(|cluster| cluster.is_deleted_with(key)) {
            return ProjectedFact::Absent;
        }
        let inventory: &'a Inventory = self.sources.inventory;
        match inventory.get(key) {
            Some(observed) => ProjectedFact::There(&observed.resource),
            None if self.is_unread(kind, Some(key)) => ProjectedFact::Unread,
            None => ProjectedFact::Absent,
        }
    }

    /// The topology's routes in a route table of another owner.
    pub(super) fn single_routes(&self, table: &ArmId) -> Vec<ProjectedRoute<'a>> {
        self.single_routes.of_table(table)
    }

    fn lost_cluster(&self) -> Option<&'a ClusterFacts> {
        self.sources.facts.cluster.as_ref().filter(|_| self.is_cluster_lost)
    }

    /// The cluster, unless this state has lost it.
    pub(super) fn cluster(&self) -> Option<&'a ClusterFacts> {
        self.sources.facts.cluster.as_ref().filter(|_| !self.is_cluster_lost)
    }

    /// Whether a host was probed and did not respond.
    pub(super) fn is_host_silent(&self, name: &str) -> bool {
        self.sources.inventory.gap_at(&Source::Host(name.to_owned())).is_some()
    }

    pub(super) fn is_unread(&self, kind: Kind, key: Option<&ObjectKey>) -> bool {
        self.sources.inventory.gap_for(kind, key).is_some()
    }

    /// The address of an object that a subnet refers to.
    pub(super) fn address_of(&self, kind: Kind, site: &Site, id: &ArmId) -> Address {
        let known = self.addresses.get(&ObjectKey::Azure(id.clone()));
        known.map_or_else(
            || Address::new(kind, site.clone(), id.name()),
            |address| (*address).clone(),
        )
    }
}
