//! The changes that a person approved, by the digests that `watch` showed for approval.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::plan::diff::FieldChange;
use crate::plan::impact::{Loss, Reachability};
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
    /// How many pairs of nodes they may make unreachable, by the cause.
    lost_pairs: BTreeMap<Option<Address>, u64>,
    /// How many they may make unreachable in all.
    total_lost_pairs: u64,
}

impl ApprovedChanges {
    /// Everything in a plan that awaits approval.
    pub fn all_of(plan: &Plan) -> Self {
        let digests = plan.awaiting_approval.iter().map(|it| it.digest.clone()).collect();
        let total_lost_pairs = plan.approval_lost_pairs();
        Self { digests, lost_pairs: lost_pairs(&plan.approval_losses), total_lost_pairs }
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

    /// Removes the approvals of changes that no longer await approval in a plan, and the
    /// permission to make more pairs of nodes unreachable than the rest of them does.
    pub fn retain_awaiting(&mut self, plan: &Plan) {
        let deferred = |it: &AwaitingApproval| of_deferred(&it.address, it.action);
        let awaiting = plan.awaiting_approval.iter();
        let awaiting: BTreeSet<String> =
            awaiting.flat_map(|it| [it.digest.clone(), deferred(it)]).collect();
        self.digests.retain(|digest| awaiting.contains(digest));
        self.limit_losses(&plan.approval_losses);
    }

    /// Permits no more lost pairs than these, in all and by each cause.
    fn limit_losses(&mut self, losses: &[Loss]) {
        let left = lost_pairs(losses);
        for (cause, pairs) in &mut self.lost_pairs {
            *pairs = (*pairs).min(left.get(cause).copied().unwrap_or(0));
        }
        self.total_lost_pairs = self.total_lost_pairs.min(left.values().sum());
    }

    /// Whether no more pairs of nodes become unreachable than the approval announced, in all
    /// and by each cause that it named.
    pub(super) fn announces(&self, found: &Reachability) -> bool {
        let lost = lost_pairs(&found.losses);
        let is_announced = |(cause, pairs): (&Option<Address>, &u64)| {
            self.lost_pairs.get(cause).is_none_or(|announced| pairs <= announced)
        };
        found.lost <= self.total_lost_pairs && lost.iter().all(is_announced)
    }

    /// How many of them still await approval.
    pub fn count_in(&self, awaiting: &[AwaitingApproval]) -> usize {
        awaiting.iter().filter(|it| self.digests.contains(&it.digest)).count()
    }
}

impl Plan {
    /// The digest of all changes that await approval; `None` if there are no such changes.
    /// It depends only on the resources, the actions, the desired values and the number of
    /// pairs of nodes that would become unreachable: it is the same in every process for as
    /// long as the same changes wait.
    pub fn approval_digest(&self) -> Option<String> {
        let waiting: BTreeSet<&str> =
            self.awaiting_approval.iter().map(|it| it.digest.as_str()).collect();
        (!waiting.is_empty()).then(|| digest(&json!([waiting, self.approval_lost_pairs()])))
    }

    /// How many pairs of nodes become unreachable once all these changes are made.
    pub fn approval_lost_pairs(&self) -> u64 {
        self.approval_losses.iter().map(|loss| loss.pairs).sum()
    }
}

fn lost_pairs(losses: &[Loss]) -> BTreeMap<Option<Address>, u64> {
    let mut by_cause = BTreeMap::new();
    for loss in losses {
        *by_cause.entry(loss.resource.clone()).or_default() += loss.pairs;
    }
    by_cause
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

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(resource: &str, pairs: u64) -> Loss {
        let example = ("a".to_owned(), "b".to_owned());
        Loss { pairs, example, resource: Some(resource.parse().unwrap()) }
    }

    fn found(losses: Vec<Loss>) -> Reachability {
        let lost = losses.iter().map(|it| it.pairs).sum();
        Reachability { lost, losses, ..Reachability::default() }
    }

    fn approval(losses: &[Loss]) -> ApprovedChanges {
        let lost_pairs = lost_pairs(losses);
        let total_lost_pairs = lost_pairs.values().sum();
        ApprovedChanges { digests: BTreeSet::new(), lost_pairs, total_lost_pairs }
    }

    /// The pairs of a change that was made are lost already: another loss is another matter.
    #[test]
    fn an_approval_covers_fewer_pairs_after_a_part_of_it_was_made() {
        const FIRST: &str = "worker/dc1/first";
        const SECOND: &str = "worker/dc1/second";
        let mut approved = approval(&[loss(FIRST, 4), loss(SECOND, 2)]);
        approved.limit_losses(&[loss(SECOND, 3)]);
        for (covered, losses) in [
            (true, vec![loss(SECOND, 2)]),
            (false, vec![loss(SECOND, 3)]),
            (false, vec![loss(FIRST, 1)]),
            (false, vec![loss(FIRST, 4), loss(SECOND, 2)]),
            (false, vec![loss("worker/dc1/third", 4)]),
        ] {
            assert_eq!(approved.announces(&found(losses.clone())), covered, "{losses:?}");
        }
        // A loss never grows back.
        approved.limit_losses(&[loss(FIRST, 4), loss(SECOND, 2)]);
        assert!(!approved.announces(&found(vec![loss(FIRST, 1)])));
        approved.limit_losses(&[]);
        assert!(!approved.announces(&found(vec![loss(SECOND, 1)])));
        assert!(approved.announces(&found(vec![])));
    }

    #[test]
    fn an_approval_covers_the_pairs_that_it_announced_and_no_others() {
        const FIRST: &str = "worker/dc1/first";
        const SECOND: &str = "worker/dc1/second";
        let approved = approval(&[loss(FIRST, 4), loss(SECOND, 2)]);
        for (covered, losses) in [
            (true, vec![]),
            (true, vec![loss(FIRST, 4), loss(SECOND, 2)]),
            (true, vec![loss(SECOND, 1)]),
            // A node came, and its pairs with the worker would be lost, too.
            (false, vec![loss(FIRST, 5)]),
            (false, vec![loss(FIRST, 4), loss(SECOND, 3)]),
            (false, vec![loss(FIRST, 4), loss("worker/dc1/third", 3)]),
        ] {
            assert_eq!(approved.announces(&found(losses.clone())), covered, "{losses:?}");
        }
        assert!(!ApprovedChanges::default().announces(&found(vec![loss(FIRST, 1)])));
        assert!(ApprovedChanges::default().announces(&found(vec![])));
    }
}
