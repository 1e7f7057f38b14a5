//! Objects in Azure that another process deletes while an apply runs. An apply does not
//! recreate them: a destroy may be running, and the user did not approve a creation.

use std::collections::{BTreeMap, BTreeSet};

use super::events::Outcome;
use crate::inventory::Inventory;
use crate::plan::{Action, Change, Plan};
use crate::resource::{Address, ArmId, ObjectKey, Resource};

/// The objects of the topology that exist as far as the apply knows.
#[derive(Debug, Default)]
pub(super) struct KnownObjects(BTreeSet<ArmId>);

impl KnownObjects {
    /// Adds the objects that were read for a plan.
    pub(super) fn observe(&mut self, inventory: &Inventory) {
        let ours = inventory.iter().filter(|(_, observed)| observed.ownership.is_ours());
        self.0.extend(ours.filter_map(|(key, _)| match key {
            ObjectKey::Azure(id) => Some(id.clone()),
            _ => None,
        }));
    }

    /// Notes the objects that an iteration created and deleted.
    pub(super) fn note(&mut self, plan: &Plan, outcomes: &BTreeMap<Address, Outcome>) {
        for change in &plan.changes {
            let ObjectKey::Azure(id) = &change.key else { continue };
            let Some(outcome) = outcomes.get(&change.address) else { continue };
            if matches!(change.action, Action::Delete | Action::Replace) {
                self.remove(id, change);
            }
            if change.action != Action::Delete && outcome.is_success() {
                self.0.insert(id.clone());
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
        self.0.retain(|known| known != id && !known.is_inside(id) && !is_of_cluster(known));
    }

    /// The changes of the next plan that would create what another process deleted.
    pub(super) fn deleted_in<'a>(&self, plan: &'a Plan) -> Vec<&'a Change> {
        let is_deleted = |change: &&Change| match &change.key {
            ObjectKey::Azure(id) => change.action == Action::Create && self.0.contains(id),
            _ => false,
        };
        plan.changes.iter().filter(is_deleted).collect()
    }
}
