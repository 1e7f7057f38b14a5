//! Objects in Azure and in the cluster that others delete while an apply runs: another process of
//! stargate, AKS, a policy, or a person. A destroy may be running, and the user did not approve a
//! creation, so an apply does not recreate them. It recreates once what it created itself while
//! its Lease kept every destroy away.

use std::collections::{BTreeMap, BTreeSet};

use super::events::Outcome;
use crate::inventory::Inventory;
use crate::plan::{Action, Change, Plan};
use crate::resource::{Address, ArmId, Kind, ObjectKey, Resource};

/// The objects of the topology that exist as far as the apply knows.
#[derive(Debug, Default)]
pub(super) struct KnownObjects {
    objects: BTreeMap<ObjectKey, Origin>,
    /// Those that it may create once more.
    recreated: BTreeSet<ObjectKey>,
}

/// How an object came to exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It existed before, was created without the Lease, or was recreated before.
    Other,
    /// This apply created it while it held the Lease.
    CreatedUnderLease,
}

/// Whether others delete objects of this kind on their own: hosts and devices have no objects.
fn may_be_deleted(key: &ObjectKey) -> bool {
    matches!(key, ObjectKey::Azure(_) | ObjectKey::Kubernetes(_))
}

impl KnownObjects {
    /// Adds the objects in Azure that were read for a plan. Those of the cluster are known if
    /// this apply creates them: many of them are deleted with others.
    pub(super) fn observe(&mut self, inventory: &Inventory) {
        let ours = inventory.iter().filter(|(_, observed)| observed.ownership.is_ours());
        for (key, _) in ours {
            if matches!(key, ObjectKey::Azure(_)) {
                self.objects.entry(key.clone()).or_insert(Origin::Other);
            }
        }
    }

    /// Notes the objects that an iteration created and deleted, and whether the apply held the
    /// Lease when it began.
    pub(super) fn note(
        &mut self,
        plan: &Plan,
        outcomes: &BTreeMap<Address, Outcome>,
        under_lease: bool,
    ) {
        for change in plan.changes.iter().filter(|change| may_be_deleted(&change.key)) {
            let Some(outcome) = outcomes.get(&change.address) else { continue };
            if matches!(change.action, Action::Delete | Action::Replace) {
                self.remove(change);
            }
            if change.action != Action::Delete && outcome.is_success() {
                self.add(change, *outcome == Outcome::Done && under_lease);
            }
        }
    }

    fn add(&mut self, change: &Change, is_made_under_lease: bool) {
        let key = &change.key;
        let is_created = change.action == Action::Create && is_made_under_lease;
        match (is_created && !self.recreated.contains(key), key) {
            (true, _) => drop(self.objects.entry(key.clone()).or_insert(Origin::CreatedUnderLease)),
            (false, ObjectKey::Azure(_)) => {
                self.objects.entry(key.clone()).or_insert(Origin::Other);
            }
            (false, _) => {}
        }
    }

    /// Removes an object that this apply deletes, with its contents and, for a cluster, its
    /// objects and the contents of its node resource group.
    fn remove(&mut self, change: &Change) {
        let node_group = match &change.before {
            Some(Resource::ManagedCluster(cluster)) => Some(&cluster.node_resource_group),
            _ => None,
        };
        let is_of_cluster = |known: &ArmId| {
            let group = known.resource_group_name();
            group.zip(node_group).is_some_and(|(name, group)| name.eq_ignore_ascii_case(group))
        };
        let is_cluster = change.address.kind == Kind::ManagedCluster;
        self.objects.retain(|known, _| match (known, &change.key) {
            (known, key) if known == key => false,
            (ObjectKey::Azure(known), ObjectKey::Azure(id)) => {
                !known.is_inside(id) && !is_of_cluster(known)
            }
            (ObjectKey::Kubernetes(_), _) => !is_cluster,
            _ => true,
        });
    }

    /// Whether a step of the last plan failed as it does if an object is missing.
    pub(super) fn has_failed_step(
        &self,
        plan: &Plan,
        outcomes: &BTreeMap<Address, Outcome>,
    ) -> bool {
        let concerned = plan.changes.iter().filter(|it| may_be_deleted(&it.key));
        let has_failed =
            |outcome: &Outcome| matches!(outcome, Outcome::Failed(_) | Outcome::GuardFailed { .. });
        !self.objects.is_empty()
            && concerned.filter_map(|it| outcomes.get(&it.address)).any(has_failed)
    }

    /// The changes of the next plan that would create what another process deleted.
    pub(super) fn deleted_in<'a>(&self, plan: &'a Plan) -> Vec<&'a Change> {
        let is_deleted = |change: &&Change| {
            change.action == Action::Create && self.objects.contains_key(&change.key)
        };
        plan.changes.iter().filter(is_deleted).collect()
    }

    /// Permits the recreation of these deleted objects, if this apply created each of them
    /// under its Lease. Each is recreated once.
    pub(super) fn permit_recreation(&mut self, deleted: &[&Change]) -> bool {
        let keys = deleted.iter().map(|change| &change.key);
        let is_own = |key: &ObjectKey| self.objects.get(key) == Some(&Origin::CreatedUnderLease);
        if !keys.clone().all(is_own) {
            return false;
        }
        for key in keys {
            self.objects.remove(key);
            self.recreated.insert(key.clone());
        }
        true
    }
}
