//! The changes that a person approved, by the digests that `watch` showed for approval.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::plan::diff::FieldChange;
use crate::plan::{Action, AwaitingApproval, Change, Plan};
use crate::resource::Address;

/// How many bytes of a SHA-256 a digest keeps: enough that two sets of changes with the same
/// digest cannot be prepared.
const DIGEST_BYTES: usize = 16;

/// The changes that a person approved. Nothing beyond them is approved: a change of the
/// same resource to other values is another change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ApprovedChanges {
    digests: BTreeSet<String>,
    loses_pairs: bool,
}

impl ApprovedChanges {
    /// Everything in a plan that awaits approval.
    pub fn all_of(plan: &Plan) -> Self {
        let digests = plan.awaiting_approval.iter().map(|it| it.digest.clone()).collect();
        Self { digests, loses_pairs: plan.approval_loses_pairs }
    }

    /// Whether nothing is approved.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// Whether a change is approved, now that its values are known.
    pub fn covers(&self, change: &Change) -> bool {
        !self.is_empty()
            && (self.digests.contains(&of_change(change))
                || self.covers_deferred(&change.address, change.action))
    }

    /// Whether a change with values that were unknown is approved.
    pub(super) fn covers_deferred(&self, address: &Address, action: Action) -> bool {
        !self.is_empty() && self.digests.contains(&of_deferred(address, action))
    }

    /// The digests by which a change is approved.
    pub fn digests_of(&self, change: &Change) -> Vec<String> {
        let digests = [of_change(change), of_deferred(&change.address, change.action)];
        digests.into_iter().filter(|digest| self.digests.contains(digest)).collect()
    }

    /// Removes the approvals of changes that were made.
    pub fn remove(&mut self, made: &BTreeSet<String>) {
        self.digests.retain(|digest| !made.contains(digest));
    }

    /// Removes the approvals of changes that no longer await approval.
    pub fn retain_awaiting(&mut self, awaiting: &[AwaitingApproval]) {
        let deferred = |it: &AwaitingApproval| of_deferred(&it.address, it.action);
        let awaiting = awaiting.iter().flat_map(|it| [it.digest.clone(), deferred(it)]);
        let awaiting: BTreeSet<String> = awaiting.collect();
        self.digests.retain(|digest| awaiting.contains(digest));
    }

    /// Whether they may make pairs of nodes unreachable.
    pub(super) fn may_lose_pairs(&self) -> bool {
        self.loses_pairs
    }

    /// How many of them still await approval.
    pub fn count_in(&self, awaiting: &[AwaitingApproval]) -> usize {
        awaiting.iter().filter(|it| self.digests.contains(&it.digest)).count()
    }
}

impl Plan {
    /// The digest of all changes that await approval; `None` if there are no such changes.
    /// It depends only on the resources, the actions, the desired values and whether pairs
    /// of nodes would become unreachable: it is the same in every process for as long as
    /// the same changes wait.
    pub fn approval_digest(&self) -> Option<String> {
        let waiting: BTreeSet<&str> =
            self.awaiting_approval.iter().map(|it| it.digest.as_str()).collect();
        (!waiting.is_empty()).then(|| digest(&json!([waiting, self.approval_loses_pairs])))
    }
}

/// The digest of a change.
pub(super) fn of_change(change: &Change) -> String {
    let Change { address, action, .. } = change;
    match action {
        Action::Update => of_update(address, &change.differences.iter().collect::<Vec<_>>()),
        Action::Create | Action::Replace | Action::Adopt => {
            let after = serde_json::to_value(&change.after).unwrap_or_default();
            digest(&json!([address, action, after]))
        }
        Action::Delete | Action::Reboot => digest(&json!([address, action])),
    }
}

/// The digest of an update of these fields.
pub(super) fn of_update(address: &Address, fields: &[&FieldChange]) -> String {
    let mut values: Vec<String> =
        fields.iter().map(|it| json!([it.path, it.after, it.pending]).to_string()).collect();
    values.sort_unstable();
    digest(&json!([address, Action::Update, values]))
}

/// The digest of a change with unknown values.
pub(super) fn of_deferred(address: &Address, action: Action) -> String {
    digest(&json!([address, action, "deferred"]))
}

fn digest(value: &Value) -> String {
    let hash = Sha256::digest(value.to_string().as_bytes());
    hash.iter().take(DIGEST_BYTES).map(|byte| format!("{byte:02x}")).collect()
}
