//! Restarting a worker.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::error::LeaveError;
use super::record::{Records, Subject};
use super::step::{Stage, StepEvent};
use super::waiting::POLL;
use super::{Now, Progress, drain};
use crate::provider::cluster::{ClusterError, NodeFacts, OperationKind};
use crate::provider::host::{HostError, HostTarget, WorkerStep};
use crate::provider::read_write::{ClusterWrite, HostWrite};
use crate::topology::names::{ProfileName, WorkerName};
use crate::topology::version::KubernetesVersion;

/// How long a machine may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(900);
/// How long its Node may then take to be Ready.
const READY_WITHIN: Duration = Duration::from_secs(300);

/// What a reboot works with.
#[derive(Clone)]
pub struct RebootContext<'a> {
    /// The door to hosts.
    pub hosts: &'a dyn HostWrite,
    /// The door to the cluster.
    pub cluster: &'a dyn ClusterWrite,
    /// The worker's host and the way to it.
    pub target: HostTarget,
    /// The worker.
    pub worker: WorkerName,
    /// The name of its profile, for the records.
    pub profile: ProfileName,
    /// The version of its kubelet, for the records.
    pub kubelet: KubernetesVersion,
    /// How long pods have to go.
    pub drain_within: Duration,
    /// The current time.
    pub now: &'a Now<'a>,
}

/// A worker was not rebooted, or did not come back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{hostname} was not rebooted, at the stage {stage}: {reason}")]
pub struct RebootError {
    /// The worker.
    pub hostname: String,
    /// Where it failed.
    pub stage: Stage,
    /// What happened.
    pub reason: String,
    /// What mends it.
    pub remedy: String,
}

/// Cordons and drains a worker, restarts its machine, waits until machine and
/// Node are back, and lets pods come again.
///
/// # Errors
///
/// Pods do not go, the machine or its Node does not come back in time, or the
/// cluster did not do its part. A worker that did not come back stays cordoned.
pub async fn reboot(
    context: &RebootContext<'_>,
    progress: &Progress<'_>,
) -> Result<(), RebootError> {
    let subject = Subject {
        cluster: context.cluster,
        worker: context.worker.clone(),
        profile: context.profile.clone(),
        kubelet: context.kubelet,
        kind: OperationKind::Reboot,
        now: context.now,
    };
    let mut records = Records::begin(subject, progress, None, "the pods leave the worker").await;
    let outcome = stages(context, &mut records, progress).await;
    let told = outcome.as_ref().map(|()| "the worker is back and Ready");
    records.end(told.map_err(|error| format!("{}: {}", error.stage, error.reason))).await;
    outcome
}

async fn stages(
    context: &RebootContext<'_>,
    records: &mut Records<'_>,
    progress: &Progress<'_>,
) -> Result<(), RebootError> {
    let name = context.worker.as_str();
    let probe = context.hosts.probe_worker(&context.target).await;
    let probe = probe.map_err(|error| context.host(Stage::Cordon, &error))?;
    if probe.hostname != name {
        let reason = format!("the host calls itself {}", probe.hostname);
        let remedy = "check the worker's address and host name in the topology";
        return Err(context.failed(Stage::Cordon, reason, remedy));
    }
    let node = context.cluster.node(name).await;
    let node = node.map_err(|error| context.cluster_failed(Stage::Cordon, &error))?;
    let node = node.ok_or_else(|| {
        context.failed(Stage::Cordon, "its Node is gone", "run `stargate apply` first")
    })?;
    let drained = drain::clear(context.cluster, &node, context.drain_within, progress).await;
    drained.map_err(|LeaveError { reason, remedy, .. }| {
        context.failed(Stage::Drain, reason, &remedy)
    })?;
    records.reaches("the machine restarts").await;
    progress(StepEvent::Begins(Stage::Restart));
    let boot = context.restart(probe.boot_id).await?;
    progress(StepEvent::Ended(Stage::Restart));
    records.reaches("the machine is back; its Node is waited for").await;
    progress(StepEvent::Begins(Stage::Ready));
    context.ready(&boot).await?;
    progress(StepEvent::Ended(Stage::Ready));
    let uncordoned = context.cluster.uncordon_after_work(name).await;
    uncordoned.map_err(|error| context.cluster_failed(Stage::Uncordon, &error))
}

impl RebootContext<'_> {
    fn failed(&self, stage: Stage, reason: impl Into<String>, remedy: &str) -> RebootError {
        let hostname = self.worker.to_string();
        RebootError { hostname, stage, reason: reason.into(), remedy: remedy.to_owned() }
    }

    fn host(&self, stage: Stage, error: &HostError) -> RebootError {
        let LeaveError { reason, remedy, .. } = LeaveError::host(self.worker.as_str(), error);
        self.failed(stage, reason, &remedy)
    }

    fn cluster_failed(&self, stage: Stage, error: &ClusterError) -> RebootError {
        let LeaveError { reason, remedy, .. } = LeaveError::cluster(self.worker.as_str(), error);
        self.failed(stage, reason, &remedy)
    }

    /// Restarts the machine, and answers the identity of its new boot. A
    /// connection that breaks is how most machines say that they go down.
    async fn restart(&self, from_boot: String) -> Result<String, RebootError> {
        let stage = Stage::Restart;
        let step = WorkerStep::Reboot { from_boot: from_boot.clone() };
        match self.hosts.apply_worker_step(&self.target, &step).await {
            Ok(()) | Err(HostError::Lost { .. } | HostError::Unreachable { .. }) => {}
            Err(error) => return Err(self.host(stage, &error)),
        }
        let deadline = Instant::now() + BACK_WITHIN;
        let mut last = "it still is as it was before".to_owned();
        while Instant::now() < deadline {
            match self.hosts.probe_worker(&self.target).await {
                Ok(probe) if probe.boot_id != from_boot => return Ok(probe.boot_id),
                Ok(_) => {}
                Err(error @ HostError::Failed { .. }) => return Err(self.host(stage, &error)),
                Err(error) => last = error.to_string(),
            }
            sleep(POLL).await;
        }
        let reason = format!("it is not back after {} minutes: {last}", BACK_WITHIN.as_secs() / 60);
        Err(self.failed(
            stage,
            reason,
            "look at the machine's console; once it runs, `stargate reboot` goes on",
        ))
    }

    /// Waits until the kubelet of the new boot says that it is Ready: what the
    /// Node says of itself may be from before.
    async fn ready(&self, boot: &str) -> Result<(), RebootError> {
        let stage = Stage::Ready;
        let deadline = Instant::now() + READY_WITHIN;
        let is_back =
            |node: &NodeFacts| node.ready && (node.boot_id.is_empty() || node.boot_id == boot);
        loop {
            let seen = match self.cluster.node(self.worker.as_str()).await {
                Ok(node) => node,
                Err(error) if error.is_unavailable() => None,
                Err(error) => return Err(self.cluster_failed(stage, &error)),
            };
            if seen.as_ref().is_some_and(is_back) {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let planned_because_of =
                    seen.and_then(|node| node.not_ready_because).unwrap_or_default();
                let reason =
                    format!("its Node is not Ready after five minutes: {planned_because_of}");
                let remedy = "look at `journalctl -u kubelet -u containerd` on the worker";
                return Err(self.failed(stage, reason.trim_end_matches(": "), remedy));
            }
            sleep(POLL).await;
        }
    }
}
