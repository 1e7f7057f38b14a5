//! The end of a join, complete or not.

use std::collections::BTreeMap;

use super::JoinRun;
use crate::bootstrap::error::JoinError;
use crate::bootstrap::step::{JoinStep, StepEvent};
use crate::provider::cluster::{
    ClusterError, KERNEL_ROUTES_ANNOTATION, NodeFacts, PROFILE_DIGEST_ANNOTATION,
};
use crate::provider::host::WorkerStep;
use crate::resource::protection::PROTECT_ANNOTATION;

impl JoinRun<'_> {
    /// All of the worker's tokens: one of a run that was cut off is among them.
    pub(super) async fn delete_tokens(&self) -> Result<(), ClusterError> {
        let (cluster, now) = (self.context.cluster, (self.context.now)());
        if let Some(token) = &self.token {
            cluster.delete_bootstrap_token(&token.id).await?;
        }
        cluster.delete_stale_bootstrap_tokens(Some(&self.worker()), now).await.map(|_| ())
    }

    /// Records on the Node that the join is complete. It comes last, after the
    /// records: a join that is cut off before it is repeated from there.
    pub(super) async fn record_join(&self) -> Result<(), JoinError> {
        let desired = &self.context.desired;
        let routes = Some(desired.routes.as_str()).filter(|routes| !routes.is_empty());
        let annotations = BTreeMap::from([
            (PROFILE_DIGEST_ANNOTATION, Some(desired.profile_digest.as_str())),
            (KERNEL_ROUTES_ANNOTATION, routes),
            (PROTECT_ANNOTATION, desired.protected_by.as_deref()),
        ]);
        let written = self.context.cluster.patch_node_annotations(&desired.name, &annotations);
        written.await.map_err(self.cluster_error(JoinStep::Stamp))?;
        self.uncordon().await
    }

    /// Uncordons a Node that was cordoned for this work, or for work that was
    /// interrupted.
    pub(super) async fn uncordon(&self) -> Result<(), JoinError> {
        let desired = &self.context.desired;
        if self.node.as_ref().is_some_and(NodeFacts::is_cordoned_for_work) {
            let released = self.context.cluster.uncordon_after_work(&desired.name).await;
            released.map_err(self.cluster_error(JoinStep::Stamp))?;
        }
        Ok(())
    }

    /// No token may survive a failure. One that cannot be deleted expires within an hour.
    pub(super) async fn clean_up(&mut self) {
        if self.token.is_none() {
            return;
        }
        if let Err(error) = self.delete_tokens().await {
            (self.progress)(StepEvent::Warning(format!("the token was not deleted: {error}")));
        }
        let work = WorkerStep::RemoveBootstrapKubeconfig;
        if let Err(error) = self.host_step(JoinStep::RemoveToken, &work).await {
            let reason = error.failure.message;
            (self.progress)(StepEvent::Warning(format!(
                "the bootstrap kubeconfig was not removed: {reason}"
            )));
        }
    }
}
