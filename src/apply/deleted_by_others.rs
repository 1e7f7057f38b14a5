//! Objects in Azure that others delete while an apply runs: another process of stargate, AKS,
//! a policy, or a person. A destroy may be running, and the user did not approve a creation, so
//! an apply does not recreate them. It recreates once what it created itself while its Lease
//! kept every destroy away.

use std::collections::{BTreeMap, BTreeSet};

use super::events::Outcome;
use crate::inventory::Inventory;
use crate::plan::{Action, Change, Plan};
use crate::resource::{Address, ArmId, ObjectKey, Resource};

/// The objects of the topology that exist as far as the apply knows.
#[derive(Debug, Default)]
pub(super) struct KnownObjects {
    objects: BTreeMap<ArmId, Origin>,
    /// Those that it may create once more.
    recreated: BTreeSet<ArmId>,
}

/// How an object came to exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    /// It existed before, was created without the Lease, or was recreated before.
    Other,
    /// This apply created it while it held the Lease.
    CreatedUnderLease,
}

impl KnownObjects {
    /// Adds the objects that were read for a plan.
    pub(super) fn observe(&mut self, inventory: &Inventory) {
        let ours = inventory.iter().filter(|(_, observed)| observed.ownership.is_ours());
        for (key, _) in ours {
            if let ObjectKey::Azure(id) = key {
                self.objects.entry(id.clone()).or_insert(Origin::Other);
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
        for change in &plan.changes {
            let ObjectKey::Azure(id) = &change.key else { continue };
            let Some(outcome) = outcomes.get(&change.address) else { continue };
            if matches!(change.action, Action::Delete | Action::Replace) {
                self.remove(id, change);
            }
            if change.action != Action::Delete && outcome.is_success() {
                let is_created = change.action == Action::Create && *outcome == Outcome::Done;
                let origin = match is_created && under_lease && !self.recreated.contains(id) {
                    true => Origin::CreatedUnderLease,
                    false => Origin::Other,
                };
                self.objects.entry(id.clone()).or_insert(origin);
            }
        }
    }

    /// Removes an object that this apply deletes, with its contents and, for a cluster, the
    /// contents of its node resource group.
    fn remove(&mut self, id: &ArmId, change: &Change) {
        let node_group = match &change.before {
            Some(Resource::ManagedCluster(cluster)) => Some(&cluster.node_resource_group),
            _ => None,
        };
        let is_of_cluster = |known: &ArmId| {
            let group = known.resource_group_name();
            group.zip(node_group).is_some_and(|(name, group)| name.eq_ignore_ascii_case(group))
        };
        self.objects
            .retain(|known, _| known != id && !known.is_inside(id) && !is_of_cluster(known));
    }

    /// Whether a step of the last plan failed in Azure, as it does if an object is missing.
    pub(super) fn has_failed_step(
        &self,
        plan: &Plan,
        outcomes: &BTreeMap<Address, Outcome>,
    ) -> bool {
        let in_azure = plan.changes.iter().filter(|it| matches!(it.key, ObjectKey::Azure(_)));
        let has_failed =
            |outcome: &Outcome| matches!(outcome, Outcome::Failed(_) | Outcome::GuardFailed { .. });
        !self.objects.is_empty()
            && in_azure.filter_map(|it| outcomes.get(&it.address)).any(has_failed)
    }

    /// The changes of the next plan that would create what another process deleted.
    pub(super) fn deleted_in<'a>(&self, plan: &'a Plan) -> Vec<&'a Change> {
        let is_deleted = |change: &&Change| match &change.key {
            ObjectKey::Azure(id) => {
                change.action == Action::Create && self.objects.contains_key(id)
            }
            _ => false,
        };
        plan.changes.iter().filter(is_deleted).collect()
    }

    /// Permits the recreation of these deleted objects, if this apply created each of them
    /// under its Lease. Each is recreated once.
    pub(super) fn permit_recreation(&mut self, deleted: &[&Change]) -> bool {
        let ids: Vec<&ArmId> = deleted
            .iter()
            .filter_map(|change| match &change.key {
                ObjectKey::Azure(id) => Some(id),
                _ => None,
            })
            .collect();
        let is_own = |id: &&ArmId| self.objects.get(*id) == Some(&Origin::CreatedUnderLease);
        if ids.len() != deleted.len() || !ids.iter().all(is_own) {
            return false;
        }
        for id in ids {
            self.objects.remove(id);
            self.recreated.insert(id.clone());
        }
        true
    }
}
