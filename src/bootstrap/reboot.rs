//! Restarting a worker.

use std::ops::ControlFlow;
use std::time::Duration;

use super::error::{LeaveError, RebootError};
use super::maintenance::wait_until_ready;
use super::record::{Records, Subject};
use super::step::{Stage, StepEvent};
use super::waiting::POLL;
use super::{Now, Progress, drain};
use crate::diagnostics::{Code, Failure};
use crate::provider::cluster::{ClusterError, NodeFacts, OperationKind};
use crate::provider::host::{HostError, HostTarget, WorkerStep};
use crate::provider::poll::Polling;
use crate::provider::read_write::{ClusterWrite, HostWrite};
use crate::resource::work_request::WorkRequest;
use crate::topology::names::{ProfileName, WorkerName};
use crate::topology::version::KubernetesVersion;

/// The time that a machine may take to reboot.
const REBOOT: Polling = Polling { interval: POLL, timeout: Duration::from_secs(900) };

/// The parameters of a reboot.
#[derive(Clone)]
pub struct RebootContext<'a> {
    /// The client of the hosts.
    pub hosts: &'a dyn HostWrite,
    /// The client of the cluster.
    pub cluster: &'a dyn ClusterWrite,
    /// The worker's host and the way to it.
    pub target: HostTarget,
    /// The worker.
    pub worker: WorkerName,
    /// The name of its profile, for the records.
    pub profile: ProfileName,
    /// The version of its kubelet, for the records.
    pub kubelet: KubernetesVersion,
    /// The request that the reboot is a part of, for the records.
    pub request: Option<WorkRequest>,
    /// How long pods have to go.
    pub drain_within: Duration,
    /// The current time.
    pub now: &'a Now<'a>,
}

/// Cordons and drains a worker, restarts its machine, waits until machine and Node are
/// Ready again, and uncordons the Node.
///
/// # Errors
///
/// Pods were not evicted, the machine or its Node is not Ready before the timeout, or the
/// cluster refused a request. A worker that is not Ready stays cordoned.
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
        request: context.request.clone(),
        now: context.now,
    };
    let mut records = Records::begin(subject, progress, None, "draining the worker").await;
    let outcome = stages(context, &mut records, progress).await;
    let message = outcome.as_ref().map(|()| "the worker is Ready again");
    records
        .end(message.map_err(|error| format!("{}: {}", error.stage, error.failure.message)))
        .await;
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
        let message = format!("the host has the name {}", probe.hostname);
        let remedy = "correct the worker's address or host name in the topology";
        return Err(context.failed(Stage::Cordon, Code::WrongHost, &message, remedy));
    }
    let node = context.cluster.node(name).await;
    let node = node.map_err(|error| context.cluster_failed(Stage::Cordon, &error))?;
    let node = node.ok_or_else(|| {
        let remedy = "run `stargate apply` first";
        context.failed(Stage::Cordon, Code::ObjectMissing, "its Node does not exist", remedy)
    })?;
    let before = records.boot_before(&probe.boot_id).await;
    // A boot that is unknown proves nothing.
    let boot = if before == probe.boot_id || probe.boot_id.is_empty() {
        let drained = drain::clear(context.cluster, &node, context.drain_within, progress).await;
        drained.map_err(|error| context.at(Stage::Drain, error.failure))?;
        records.reaches("restarting the machine").await;
        progress(StepEvent::StageStarted(Stage::Restart));
        let boot = context.restart(probe.boot_id).await?;
        progress(StepEvent::StageCompleted(Stage::Restart));
        boot
    } else {
        // An attempt that was interrupted has restarted it.
        probe.boot_id
    };
    records.reaches("the machine is running; waiting for its Node").await;
    progress(StepEvent::StageStarted(Stage::Ready));
    context.ready(&boot).await?;
    progress(StepEvent::StageCompleted(Stage::Ready));
    let uncordoned = context.cluster.uncordon_after_work(name).await;
    uncordoned.map_err(|error| context.cluster_failed(Stage::Uncordon, &error))
}

impl RebootContext<'_> {
    fn at(&self, stage: Stage, failure: Failure) -> RebootError {
        RebootError { hostname: self.worker.to_string(), stage, failure }
    }

    fn failed(&self, stage: Stage, code: Code, message: &str, remedy: &str) -> RebootError {
        self.at(stage, Failure::new(code, message, remedy))
    }

    fn host(&self, stage: Stage, error: &HostError) -> RebootError {
        self.at(stage, LeaveError::host(self.worker.as_str(), error).failure)
    }

    fn cluster_failed(&self, stage: Stage, error: &ClusterError) -> RebootError {
        self.at(stage, LeaveError::cluster(self.worker.as_str(), error).failure)
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
        let polled = REBOOT.poll_until(|| async {
            match self.hosts.probe_worker(&self.target).await {
                // A machine that does not say which boot it is in may be in the old one.
                Ok(probe) if !probe.boot_id.is_empty() && probe.boot_id != from_boot => {
                    Ok(ControlFlow::Break(probe.boot_id))
                }
                Ok(_) => Ok(ControlFlow::Continue("it did not shut down".to_owned())),
                Err(error @ HostError::Failed { .. }) => Err(self.host(stage, &error)),
                Err(error) => Ok(ControlFlow::Continue(error.to_string())),
            }
        });
        match polled.await? {
            ControlFlow::Break(boot) => Ok(boot),
            ControlFlow::Continue(last) => {
                let minutes = REBOOT.timeout.as_secs() / 60;
                let message =
                    format!("the machine does not answer after {minutes} minutes: {last}");
                let remedy =
                    "look at the machine's console; once it runs, run `stargate reboot` again";
                Err(self.failed(stage, Code::StepTimedOut, &message, remedy))
            }
        }
    }

    /// Waits until the kubelet of the new boot reports Ready: earlier conditions of the
    /// Node may be from the old boot.
    async fn ready(&self, boot: &str) -> Result<(), RebootError> {
        let is_back =
            |node: &NodeFacts| node.ready && (node.boot_id.is_empty() || node.boot_id == boot);
        let ready = wait_until_ready(self.cluster, self.worker.as_str(), is_back).await;
        ready.map_err(|failure| self.at(Stage::Ready, failure))
    }
}
