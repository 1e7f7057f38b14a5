//! The step that deletes the cluster, and with it the Lease of the apply.

use super::events::Outcome;
use super::write_lease::WriteLease;
use crate::plan::{Action, Change, Phase};
use crate::resource::Kind;

/// A step that deletes the cluster.
pub(super) struct ClusterDeletion<'a> {
    lease: &'a WriteLease<'a>,
    action: Action,
}

impl<'a> ClusterDeletion<'a> {
    /// Begins the step, if it is one that deletes the cluster.
    pub(super) fn begin(lease: &'a WriteLease<'a>, change: &Change, phase: Phase) -> Option<Self> {
        let action = change.action;
        let is_deletion = change.address.kind == Kind::ManagedCluster
            && (phase == Phase::Destroy || action == Action::Delete);
        is_deletion.then(|| {
            lease.expect_end_of_cluster();
            Self { lease, action }
        })
    }

    /// Ends the step.
    pub(super) async fn end(self, outcome: &Outcome) {
        let is_gone = match outcome {
            Outcome::Done => true,
            // A cluster that was replaced before stays.
            Outcome::UpToDate => self.action == Action::Delete,
            _ => false,
        };
        self.lease.end_of_cluster(is_gone).await;
    }
}
