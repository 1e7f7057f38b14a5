//! The effects of operations when they end.

use super::errors::OperationFailure;
use super::index::key;
use super::kind::ArmKind;
use super::operation::Operation;
use super::{ArmContext, ArmStore, aks_network, etags, json, vm_attachments};
use crate::resource::ArmId;

impl ArmStore {
    /// Completes a write: the state becomes final and the etag changes once more.
    pub(super) fn end_write(&mut self, operation: &Operation, context: &mut ArmContext<'_>) {
        let owner = key(&operation.owner);
        let Some(stored) = self.objects.get_mut(&owner) else { return };
        let state = if operation.failure.is_some() { "Failed" } else { "Succeeded" };
        etags::set_state(stored.kind, &mut stored.body, "Succeeded", None);
        let only = (operation.target != operation.owner).then(|| operation.target.name());
        etags::set_state(stored.kind, &mut stored.body, state, only);
        etags::stamp_end(stored.kind, &mut stored.body, context.guid);
        let kind = stored.kind;
        self.touch(owner);
        if operation.failure.is_some() {
            return;
        }
        match kind {
            ArmKind::VirtualMachine => vm_attachments::create_disk(self, &operation.owner, context),
            ArmKind::ManagedCluster => {
                aks_network::create_node_group(self, &operation.owner, context.guid);
            }
            _ => {}
        }
    }

    /// Completes a deletion: the object exists until now.
    pub(super) fn end_delete(&mut self, operation: &Operation, context: &mut ArmContext<'_>) {
        let target = &operation.target;
        let blocked = self.blocked_by(target);
        if operation.failure.is_some() || blocked.is_some() {
            if let (Some(failure), Some(operation)) =
                (blocked, self.operations.get_mut(&operation.id))
            {
                operation.failure = Some(failure);
            }
            self.modify(
                target,
                |body| json::set(body, &["properties", "provisioningState"], "Failed".into()),
                context.guid,
            );
            return;
        }
        if self.objects.contains_key(&key(target)) {
            self.delete_with_vm(target, context.guid);
            self.drop_tree(target);
            return;
        }
        self.drop_child(target);
        if let Some(stored) = self.objects.get_mut(&key(&operation.owner)) {
            etags::set_state(stored.kind, &mut stored.body, "Succeeded", None);
            etags::stamp_end(stored.kind, &mut stored.body, context.guid);
        }
    }

    /// The failure that blocks the deletion of a group while objects outside it use its contents.
    fn blocked_by(&self, target: &ArmId) -> Option<OperationFailure> {
        if self.stored(target)?.kind != ArmKind::ResourceGroup {
            return None;
        }
        let inside = format!("{}/", key(target));
        let node_groups: Vec<String> =
            self.keys_below(target).filter_map(|cluster| self.node_group_of(cluster)).collect();
        let outside = |user: &ArmId| {
            let user = key(user);
            !user.starts_with(&inside) && !node_groups.iter().any(|group| user.starts_with(group))
        };
        let (used, user) = self.keys_below(target).find_map(|used| {
            let stored = self.objects.get(used)?;
            let subnets = json::items(&stored.body, "/properties/subnets").iter();
            let subnets = subnets.filter_map(|subnet| json::text(subnet, "/id")).map(ArmId::new);
            std::iter::once(stored.id.clone())
                .chain(subnets)
                .find_map(|id| self.index.users(&id).find(|user| outside(user)).cloned())
                .map(|user| (stored.id.clone(), user))
        })?;
        Some(OperationFailure {
            code: "ResourceGroupDeletionBlocked".to_owned(),
            message: format!(
                "Deletion of resource group '{}' failed as resource {used} is still used by \
                 {user}.",
                target.name()
            ),
        })
    }
}
