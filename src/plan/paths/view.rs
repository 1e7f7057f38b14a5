//! A resource as it is, or as it is once the plan is applied.

use std::collections::{BTreeMap, BTreeSet};

use super::{Moment, Sources};
use crate::plan::{Change, Inventory};
use crate::resource::{Address, ArmId, Kind, ObjectKey, Resource, Side};

/// What is seen of a resource.
#[derive(Debug, Clone, Copy)]
pub(super) enum Seen<'a> {
    /// It is there.
    There(&'a Resource),
    /// It is not there.
    Absent,
    /// Nobody could look, or nobody can tell yet.
    Hidden,
}

/// Resources at a moment.
#[derive(Debug)]
pub(super) struct View<'a> {
    sources: Sources<'a>,
    changes: BTreeMap<&'a ObjectKey, &'a Change>,
    deferred: BTreeSet<&'a Address>,
    /// What subnets point at, by its id.
    addresses: BTreeMap<&'a ObjectKey, &'a Address>,
}

impl<'a> View<'a> {
    pub(super) fn new(sources: Sources<'a>, moment: &Moment) -> Self {
        let changes = sources.plan.changes.iter().filter(|change| match moment {
            Moment::Observed => false,
            Moment::Planned => true,
            Moment::PlannedOnly(made) => made.contains(&change.address),
        });
        let changes = changes.map(|change| (&change.key, change)).collect();
        let deferred = match moment {
            Moment::Planned => sources.plan.deferred.iter().map(|it| &it.address).collect(),
            Moment::Observed | Moment::PlannedOnly(_) => BTreeSet::new(),
        };
        let pointed_at = [Kind::RouteTable, Kind::NetworkSecurityGroup];
        let addresses = sources
            .desired
            .iter()
            .filter(|desired| pointed_at.contains(&desired.address.kind))
            .filter_map(|desired| Some((desired.key.as_ref()?, &desired.address)))
            .collect();
        Self { sources, changes, deferred, addresses }
    }

    /// A resource that the topology asks for.
    pub(super) fn resource(&self, address: &Address) -> Seen<'a> {
        if self.deferred.contains(address) {
            return Seen::Hidden;
        }
        match self.sources.desired.get(address).map(|desired| &desired.key) {
            Some(Some(key)) => self.object(address.kind, key),
            // What has no name yet is not there yet.
            Some(None) | None if self.is_hidden(address.kind, None) => Seen::Hidden,
            Some(None) | None => Seen::Absent,
        }
    }

    /// An object of a kind, whoever asks for it.
    pub(super) fn object(&self, kind: Kind, key: &ObjectKey) -> Seen<'a> {
        if let Some(change) = self.changes.get(key) {
            return change.after.as_ref().map_or(Seen::Absent, Seen::There);
        }
        let inventory: &'a Inventory = self.sources.inventory;
        match inventory.get(key) {
            Some(observed) => Seen::There(&observed.resource),
            None if self.is_hidden(kind, Some(key)) => Seen::Hidden,
            None => Seen::Absent,
        }
    }

    pub(super) fn is_hidden(&self, kind: Kind, key: Option<&ObjectKey>) -> bool {
        self.sources.inventory.gap_for(kind, key).is_some()
    }

    /// The address of what a subnet points at.
    pub(super) fn address_of(&self, kind: Kind, side: &Side, id: &ArmId) -> Address {
        let known = self.addresses.get(&ObjectKey::Azure(id.clone()));
        known.map_or_else(
            || Address::new(kind, side.clone(), id.name()),
            |address| (*address).clone(),
        )
    }
}
