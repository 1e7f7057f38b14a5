//! Writes that must wait: one write runs at a time below a parent.

use super::errors::ArmError;
use super::kind::ArmKind;
use super::operation::OperationEffect;
use super::{ArmContext, ArmStore, etags};
use crate::resource::ArmId;

impl ArmStore {
    /// Returns an error if another write below the same parent is running, or if the target is a
    /// route table and a subnet that uses it is being written.
    pub(super) fn refuse_while_busy(
        &mut self,
        kind: ArmKind,
        id: &ArmId,
        context: &mut ArmContext<'_>,
    ) -> Result<(), ArmError> {
        let Some(busy) = self.busy(kind, id) else { return Ok(()) };
        let refusal = match (kind, self.running(&busy)) {
            (_, None) => return Ok(()),
            (ArmKind::ManagedCluster, Some(operation)) => {
                let state = self.get(&operation.target).map_or("Updating", etags::state);
                ArmError::pending_pool(operation.target.name(), state)
            }
            (_, Some(operation)) => {
                ArmError::another_operation(&operation.status_url(context.base_url))
            }
        };
        self.step_object(&busy, context);
        Err(refusal)
    }

    fn busy(&self, kind: ArmKind, id: &ArmId) -> Option<ArmId> {
        if let Some(operation) = self.running(id) {
            let locks =
                kind != ArmKind::NetworkInterface || operation.effect == OperationEffect::Delete;
            return locks.then(|| id.clone());
        }
        if !matches!(kind, ArmKind::RouteTable | ArmKind::NetworkSecurityGroup) {
            return None;
        }
        let in_writing =
            |user: &&ArmId| self.get(user).is_some_and(|b| etags::state(b) == "Updating");
        let user = self.index.users(id).find(in_writing)?;
        self.owner_of(user).filter(|owner| self.running(owner).is_some())
    }
}
