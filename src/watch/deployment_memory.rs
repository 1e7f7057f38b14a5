//! A memory of the deployment: after a destroy nothing is created again without
//! approval.

use crate::inventory::{Inventory, Source};
use crate::plan::{Action, ApprovalReason, Plan};
use crate::resource::names::TopologyName;
use crate::resource::settings::AutoApply;
use crate::resource::{Address, Kind, ObjectKey};

use super::reconciled::{ReconcileResult, Reconciled};

/// A memory of the deployment of a topology. The Topology object goes with the
/// cluster, so that nothing else remembers it: a watch that starts after a destroy finds a
/// topology that was never applied.
#[derive(Debug, Default)]
pub struct DeploymentMemory {
    topology: Option<TopologyName>,
    /// It owned a cluster.
    has_cluster: bool,
    /// It owned an object in Azure, as every deployment does.
    has_objects: bool,
    is_destroyed: bool,
}

impl DeploymentMemory {
    /// Whether another process deleted the deployment, or began to, and it is not complete
    /// again.
    pub(super) fn is_destroyed(&self) -> bool {
        self.is_destroyed
    }

    /// Takes note of live state. What could not be read counts as present.
    pub(super) fn observe(&mut self, topology: &TopologyName, inventory: &Inventory) {
        if self.topology.as_ref() != Some(topology) {
            *self = Self { topology: Some(topology.clone()), ..Self::default() };
        }
        let owned = inventory.iter().filter(|(_, observed)| observed.ownership.is_ours());
        let owned = owned.filter(|(key, _)| matches!(key, ObjectKey::Azure(_)));
        let kinds: Vec<Kind> = owned.map(|(_, observed)| observed.resource.kind()).collect();
        let (has_objects, has_cluster) = (!kinds.is_empty(), kinds.contains(&Kind::ManagedCluster));
        let is_known = inventory.gap_at(&Source::Azure).is_none();
        let is_gone = self.has_cluster && !has_cluster || self.has_objects && !has_objects;
        self.is_destroyed |= is_known && is_gone;
        self.has_cluster |= has_cluster;
        self.has_objects |= has_objects;
    }

    /// A step is done.
    pub(super) fn note_done(&mut self, address: &Address, action: Action) {
        if action == Action::Delete {
            return;
        }
        self.has_cluster |= address.kind == Kind::ManagedCluster;
        self.has_objects |= matches!(address.kind, Kind::ManagedCluster | Kind::ResourceGroup);
    }

    /// Another process holds the Lease in order to destroy the topology.
    pub(super) fn note_destroy(&mut self) {
        self.is_destroyed = true;
    }

    /// Why a plan that was made before the destroy was seen must not be applied; `None` if it
    /// may.
    pub(super) fn refusal(
        &self,
        permitted: Option<AutoApply>,
        plan: &Plan,
    ) -> Option<ApprovalReason> {
        let creates = plan.changes.iter().any(|change| change.action == Action::Create);
        let is_refused = self.is_destroyed && creates && permitted == Some(AutoApply::All);
        is_refused.then_some(ApprovalReason::AfterDestroy)
    }

    /// Forgets the destroy once a person has created everything again.
    pub(super) fn note_end(&mut self, reconciled: &Reconciled) {
        let is_read = reconciled.failure.is_none()
            && matches!(
                reconciled.result,
                ReconcileResult::Matches | ReconcileResult::AwaitsApproval
            );
        let actions = reconciled.remaining.as_ref().map(|it| &it.actions);
        let is_complete = actions.is_some_and(|it| !it.contains_key(&Action::Create));
        if is_read && is_complete {
            self.is_destroyed = false;
        }
    }
}
