//! Taking a worker out of the cluster.

use std::time::Duration;

use super::error::LeaveError;
use super::record::{Records, Subject};
use super::step::{Stage, StepEvent};
use super::{Now, Progress, drain};
use crate::provider::cluster::{
    ClusterError, OperationKind, OperationRecord, ServerState, ServerStatus,
};
use crate::provider::host::{HostTarget, WorkerStep};
use crate::provider::read_write::{ClusterWrite, HostWrite};
use crate::resource::work_request::WorkRequest;
use crate::topology::names::{ProfileName, WorkerName};
use crate::topology::version::KubernetesVersion;

/// Whether the host of a worker is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostRetention {
    /// It is retained, and must be reset.
    Retained,
    /// It is deleted afterwards, so that it need not be reset.
    Deleted,
    /// It is deleted once the worker has joined elsewhere. Until then it must not serve the
    /// Node, so a host with a Ready Node must be reset.
    DeletedLater,
}

/// The parameters of the removal of a worker from the cluster.
#[derive(Clone)]
pub struct LeaveContext<'a> {
    /// The client of the hosts.
    pub hosts: &'a dyn HostWrite,
    /// The client of the cluster.
    pub cluster: &'a dyn ClusterWrite,
    /// The worker.
    pub worker: WorkerName,
    /// Its host and the way to it, where there is one.
    pub target: Option<HostTarget>,
    /// Whether the host is kept.
    pub retention: HostRetention,
    /// How long pods have to go.
    pub drain_within: Duration,
    /// The state to rejoin with; `None` unless the worker is reprovisioned.
    pub comes_back: Option<ComesBack>,
    /// The current time.
    pub now: &'a Now<'a>,
}

/// The identity with which a worker rejoins after it left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ComesBack {
    /// The name of its profile, for the records.
    pub profile: ProfileName,
    /// The version of its kubelet, for the records.
    pub kubelet: KubernetesVersion,
    /// The request that the work is a part of, for the records.
    pub request: Option<WorkRequest>,
}

/// The result of a removal from the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaveReport {
    /// How many pods went.
    pub evicted: usize,
    /// Whether the host was reset.
    pub reset: bool,
    /// The record to continue, if the worker rejoins.
    pub operation: Option<OperationRecord>,
    /// Failures that did not stop the removal.
    pub warnings: Vec<String>,
}

/// Cordons and drains a worker, resets its host, and deletes its Node.
///
/// The host is reset before the Node is deleted: a running kubelet would register again.
///
/// # Errors
///
/// The cluster did not respond or refused, pods were not evicted, or a host that stays
/// could not be reset.
pub async fn leave(
    context: &LeaveContext<'_>,
    progress: &Progress<'_>,
) -> Result<LeaveReport, LeaveError> {
    let Some(comes_back) = &context.comes_back else {
        note(context, progress).await;
        let report = stages(context, None, progress).await?;
        forget(context, progress).await;
        return Ok(report);
    };
    let subject = Subject {
        cluster: context.cluster,
        worker: context.worker.clone(),
        profile: comes_back.profile.clone(),
        kubelet: comes_back.kubelet,
        kind: OperationKind::Repave,
        request: comes_back.request.clone(),
        now: context.now,
    };
    let message = "removing the worker from the cluster to reprovision it";
    let mut records = Records::begin(subject, progress, None, message).await;
    match stages(context, Some(&mut records), progress).await {
        Ok(mut report) => {
            report.operation = Some(records.unfinished());
            Ok(report)
        }
        Err(error) => {
            records.end(Err(format!("{}; {}", error.failure.message, error.failure.remedy))).await;
            Err(error)
        }
    }
}

async fn stages(
    context: &LeaveContext<'_>,
    mut records: Option<&mut Records<'_>>,
    progress: &Progress<'_>,
) -> Result<LeaveReport, LeaveError> {
    let mut report = LeaveReport::default();
    let name = context.worker.as_str();
    let failed = |error: ClusterError| LeaveError::cluster(name, &error);
    let mut must_reset = context.retention == HostRetention::Retained;
    let (mut is_continued, mut uid) = (false, None);
    if let Some(node) = context.cluster.node(name).await.map_err(failed)? {
        must_reset |= context.retention == HostRetention::DeletedLater && node.ready;
        // Not after the drain: the worker would be left without pods.
        if must_reset && context.target.is_none() {
            return Err(LeaveError::unreachable(name));
        }
        if let Some(records) = &mut records {
            is_continued = records.continues_node(&node.uid);
            records.node_before(&node.uid).await;
        }
        report.evicted =
            drain::clear(context.cluster, &node, context.drain_within, progress).await?;
        uid = Some(node.uid);
    }
    if is_continued && is_reset(context).await {
        report.reset = true;
    } else {
        progress(StepEvent::StageStarted(Stage::Reset));
        report.reset = reset(context, must_reset, &mut report.warnings).await?;
        progress(StepEvent::StageCompleted(Stage::Reset));
    }
    progress(StepEvent::StageStarted(Stage::Removal));
    let cilium_uid = context.cluster.cilium_node_uid(name).await.map_err(failed)?;
    context.cluster.delete_node(name, uid.as_deref()).await.map_err(failed)?;
    if let Some(uid) = cilium_uid {
        context.cluster.delete_cilium_node(name, &uid).await.map_err(failed)?;
    }
    let now = (context.now)();
    let tokens = context.cluster.delete_stale_bootstrap_tokens(Some(&context.worker), now).await;
    tokens.map_err(failed)?;
    progress(StepEvent::StageCompleted(Stage::Removal));
    for warning in &report.warnings {
        progress(StepEvent::Warning(warning.clone()));
    }
    Ok(report)
}

/// The Server may be deleted already, or may never have existed: that is no failure.
async fn note(context: &LeaveContext<'_>, progress: &Progress<'_>) {
    let status = ServerStatus {
        state: ServerState::Leaving,
        message: "removing the worker from the cluster".to_owned(),
        current_os: None,
        applied_profile: None,
        updated: (context.now)(),
    };
    match context.cluster.update_server_status(&context.worker, &status).await {
        Err(error) if !error.is_not_found() => {
            progress(StepEvent::Warning(format!("the record was not written: {error}")));
        }
        _ => {}
    }
}

/// Deletes the records of a worker that has left. A cluster without the CRD has
/// none.
async fn forget(context: &LeaveContext<'_>, progress: &Progress<'_>) {
    match context.cluster.forget_operations(&context.worker, (context.now)()).await {
        Err(error) if !error.is_not_found() => {
            progress(StepEvent::Warning(format!("the records were not deleted: {error}")));
        }
        _ => {}
    }
}

/// Whether an attempt that was interrupted has reset the host: nothing is left by which its
/// kubelet could serve the Node.
async fn is_reset(context: &LeaveContext<'_>) -> bool {
    let Some(target) = &context.target else { return false };
    let Ok(probe) = context.hosts.probe_worker(target).await else { return false };
    let host = &probe.host;
    let is_running = host.kubelet_active || host.cni_configuration.is_some();
    let is_known = probe.client_certificate || probe.bootstrap_kubeconfig;
    let is_configured = probe.kubelet_configuration_digest.is_some()
        || probe.cluster_ca_digest.is_some()
        || host.stamp.is_some();
    !is_running && !is_known && !is_configured
}

async fn reset(
    context: &LeaveContext<'_>,
    must_reset: bool,
    warnings: &mut Vec<String>,
) -> Result<bool, LeaveError> {
    let Some(target) = &context.target else {
        return match must_reset {
            false => Ok(false),
            true => Err(LeaveError::unreachable(context.worker.as_str())),
        };
    };
    match (context.hosts.apply_worker_step(target, &WorkerStep::Reset).await, must_reset) {
        (Ok(()), _) => Ok(true),
        (Err(error), false) => {
            warnings.push(format!("the host was not reset before its machine is deleted: {error}"));
            Ok(false)
        }
        (Err(error), true) => Err(LeaveError::host(context.worker.as_str(), &error)),
    }
}
