//! The continuation of an apply after an iteration with failed steps: another process may be the cause.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::timeout;

use super::{Iterations, next_plan};
use crate::apply::cluster_wait::TransientCluster;
use crate::apply::end_conditions;
use crate::apply::events::Outcome;
use crate::apply::status::ApplyStatus;
use crate::diagnostics::Code;
use crate::pipeline::Planned;
use crate::plan::Change;
use crate::resource::Address;

/// How long live state is read after a service did not respond, to find out whether another
/// process is the cause. It delays the report of the failure.
const MAX_REPLAN_TIME: Duration = Duration::from_secs(30);

impl Iterations<'_> {
    /// Determines whether steps failed because of another process. A destroy continues if
    /// objects were created that its plan did not contain; an apply without a Lease reports
    /// the objects that another process deleted. Otherwise the apply ends with `status`.
    pub(super) async fn plan_after_failure(
        &mut self,
        status: ApplyStatus,
        planned: &mut Planned,
    ) -> Result<(), ApplyStatus> {
        let may_be_overtaken = matches!(status, ApplyStatus::Partial(_) | ApplyStatus::Stale);
        if self.context.stop.is_set() || !may_be_overtaken {
            return Err(status);
        }
        if !self.lease.destroys() && self.lease.is_held().await {
            return self.plan_after_deletion(status, planned).await;
        }
        let next = next_plan(self.context, &self.lease);
        let next = match is_outage(&self.outcomes) {
            true => timeout(MAX_REPLAN_TIME, next).await.map_err(|_| status.clone())??,
            false => next.await?,
        };
        let before = planned.plan.changes.iter().map(|change| &change.address);
        let before: BTreeSet<&Address> = before.collect();
        let is_new = |change: &Change| !before.contains(&change.address);
        if self.lease.destroys() {
            let has_new = next.plan.changes.iter().any(is_new);
            *planned = next;
            return if has_new { Ok(()) } else { Err(status) };
        }
        self.ensure_not_deleted(&next.plan).await?;
        let cluster = TransientCluster::of(&next.observation);
        match cluster.as_ref().and_then(TransientCluster::deleted) {
            Some(cluster) => Err(end_conditions::cluster_deleted_by_others(cluster)),
            None => Err(status),
        }
    }

    /// Continues if steps failed because a program that takes no Lease deleted what this apply
    /// created: it is created once more. Otherwise the apply ends with `status`, or with the
    /// objects that were deleted.
    async fn plan_after_deletion(
        &mut self,
        status: ApplyStatus,
        planned: &mut Planned,
    ) -> Result<(), ApplyStatus> {
        let has_failed = self.known.has_failed_step(&planned.plan, &self.outcomes);
        if self.context.saved.is_some() || !has_failed || is_outage(&self.outcomes) {
            return Err(status);
        }
        let next = next_plan(self.context, &self.lease).await?;
        if self.known.deleted_in(&next.plan).is_empty() {
            return Err(status);
        }
        self.ensure_not_deleted(&next.plan).await?;
        *planned = next;
        Ok(())
    }
}

/// Whether steps failed, and each of them because a service did not respond.
fn is_outage(outcomes: &BTreeMap<Address, Outcome>) -> bool {
    let mut failures = outcomes.values().filter_map(|outcome| match outcome {
        Outcome::Failed(failure) => Some(failure.code),
        _ => None,
    });
    let is_no_response = |code| {
        matches!(code, Code::Throttled | Code::ServiceUnavailable | Code::ServiceUnreachable)
    };
    failures.next().is_some_and(is_no_response) && failures.all(is_no_response)
}
