//! A resource as it is, or as it is once the plan is applied.

use std::collections::{BTreeMap, BTreeSet};

use super::{IntermediateState, Sources};
use crate::desired::facts::ClusterFacts;
use crate::inventory::{Inventory, Source};
use crate::plan::stale_facts::is_destroyed_with;
use crate::plan::{Action, Change};
use crate::resource::{Address, ArmId, Kind, ObjectKey, Resource, Side};

/// What is seen of a resource.
#[derive(Debug, Clone, Copy)]
pub(super) enum ProjectedFact<'a> {
    /// It is there.
    There(&'a Resource),
    /// It is not there.
    Absent,
    /// Nobody could look, or nobody can tell yet.
    Hidden,
}

/// Resources at a moment.
#[derive(Debug)]
pub(super) struct ProjectedState<'a> {
    sources: Sources<'a>,
    /// What changes have made of objects; nothing where these are gone.
    changed: BTreeMap<&'a ObjectKey, Option<&'a Resource>>,
    deferred: BTreeSet<&'a Address>,
    /// The cluster that is gone, or is made anew, and nobody knows how.
    lost_cluster: Option<&'a ClusterFacts>,
    /// What subnets point at, by its id.
    addresses: BTreeMap<&'a ObjectKey, &'a Address>,
}

impl IntermediateState {
    /// What a change has made of its object at this moment, if it has begun:
    /// nothing where that is gone.
    fn value_of<'c>(&self, change: &'c Change) -> Option<Option<&'c Resource>> {
        let is_made = match self {
            Self::Observed => false,
            Self::Planned => true,
            Self::PlannedOnly(made) => made.contains(&change.address),
            Self::Between(progress) if progress.gone.contains(&change.address) => {
                return Some(None);
            }
            Self::Between(progress) => progress.made.contains(&change.address),
        };
        is_made.then_some(change.after.as_ref())
    }
}

impl<'a> ProjectedState<'a> {
    pub(super) fn new(sources: Sources<'a>, moment: &IntermediateState) -> Self {
        let changes = &sources.plan.changes;
        let value = |change: &'a Change| Some((&change.key, moment.value_of(change)?));
        let changed = changes.iter().filter_map(value).collect();
        let loses_cluster = |change: &Change| {
            let ends = matches!(change.action, Action::Replace | Action::Delete);
            change.address.kind == Kind::ManagedCluster && ends && moment.value_of(change).is_some()
        };
        let facts = sources.facts.cluster.as_ref();
        let lost_cluster = facts.filter(|_| changes.iter().any(loses_cluster));
        let deferred = match moment {
            IntermediateState::Planned => {
                sources.plan.deferred.iter().map(|it| &it.address).collect()
            }
            IntermediateState::Observed
            | IntermediateState::PlannedOnly(_)
            | IntermediateState::Between(_) => BTreeSet::new(),
        };
        let pointed_at = [Kind::RouteTable, Kind::NetworkSecurityGroup];
        let addresses = sources
            .desired
            .iter()
            .filter(|desired| pointed_at.contains(&desired.address.kind))
            .filter_map(|desired| Some((desired.key.as_ref()?, &desired.address)))
            .collect();
        Self { sources, changed, deferred, lost_cluster, addresses }
    }

    /// A resource that the topology asks for.
    pub(super) fn resource(&self, address: &Address) -> ProjectedFact<'a> {
        if self.deferred.contains(address) {
            return ProjectedFact::Hidden;
        }
        match self.sources.desired.get(address).map(|desired| &desired.key) {
            Some(Some(key)) => self.object(address.kind, key),
            // What has no name yet is not there yet.
            Some(None) | None if self.is_hidden(address.kind, None) => ProjectedFact::Hidden,
            Some(None) | None => ProjectedFact::Absent,
        }
    }

    /// An object of a kind, whoever asks for it.
    pub(super) fn object(&self, kind: Kind, key: &ObjectKey) -> ProjectedFact<'a> {
        if let Some(value) = self.changed.get(key) {
            return value.map_or(ProjectedFact::Absent, ProjectedFact::There);
        }
        if self.lost_cluster.is_some_and(|cluster| is_destroyed_with(key, cluster)) {
            return ProjectedFact::Absent;
        }
        let inventory: &'a Inventory = self.sources.inventory;
        match inventory.get(key) {
            Some(observed) => ProjectedFact::There(&observed.resource),
            None if self.is_hidden(kind, Some(key)) => ProjectedFact::Hidden,
            None => ProjectedFact::Absent,
        }
    }

    /// The cluster, unless it is lost at this moment.
    pub(super) fn cluster(&self) -> Option<&'a ClusterFacts> {
        self.sources.facts.cluster.as_ref().filter(|_| self.lost_cluster.is_none())
    }

    /// Whether a host was looked for and did not answer.
    pub(super) fn is_host_silent(&self, name: &str) -> bool {
        self.sources.inventory.gap_at(&Source::Host(name.to_owned())).is_some()
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
