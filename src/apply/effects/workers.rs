//! Work on workers.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::hosts::resolve;
use super::kubernetes::access;
use super::report::{failed, progress};
use super::requested;
use crate::apply::context::ClusterWriter;
use crate::apply::events::{Event, Outcome};
use crate::apply::iteration::Iteration;
use crate::bootstrap::{
    self, ComesBack, HostRetention, JoinContext, LeaveContext, MaintenanceContext, RebootContext,
    Stage, StepEvent, WorkerSettings,
};
use crate::diagnostics::{Code, Failure};
use crate::plan::{
    Action, Change, Execution, WorkerDeparture, WorkerExecution, WorkerProfile, WorkerRestart,
};
use crate::provider::cluster::OperationKind;
use crate::provider::host::{HostTarget, WorkerProbe, WorkerStep};
use crate::resource::host::JoinedWorker;
use crate::resource::protection::PROTECT_ANNOTATION;
use crate::resource::work_request::WorkRequest;
use crate::resource::{Kind, Resource};
use crate::topology::names::WorkerName;

/// The execution parameters of a worker change.
fn execution(change: &Change) -> Result<&WorkerExecution, Outcome> {
    let Execution::Worker(execution) = &change.execution else {
        let message = format!("the plan does not say how {} is reached", change.address);
        return Err(failed(Failure::new(Code::StalePlan, message, "run `stargate plan` again")));
    };
    Ok(execution)
}

fn profile(change: &Change) -> Result<&WorkerProfile, Outcome> {
    execution(change)?.profile.as_ref().ok_or_else(|| {
        failed(Failure::new(
            Code::UnknownProfile,
            format!("the plan has no profile for {}", change.address),
            "add the worker and its profile to the topology, then run `stargate plan` again",
        ))
    })
}

/// Starts the Operation that requested a change, unless it was deleted.
async fn start_requested(
    iteration: &Iteration<'_>,
    change: &Change,
    worker: &JoinedWorker,
) -> Result<(), Outcome> {
    match &execution(change)?.request {
        Some(WorkRequest::Operation(requested)) => {
            requested::start(iteration, change, &WorkerName::new(&worker.name), requested).await
        }
        Some(WorkRequest::Command(_)) | None => Ok(()),
    }
}

async fn worker_target(
    iteration: &Iteration<'_>,
    change: &Change,
    worker: &JoinedWorker,
) -> Result<Option<HostTarget>, Outcome> {
    match &execution(change)?.route {
        // A worker that moves leaves its old address and joins at the new one.
        Some(route) => resolve(iteration, &route.at(worker.ip)).await,
        None => Ok(None),
    }
}

/// The host that a worker leaves. `new_host` is a machine that answers at its new address.
async fn departing_host(
    iteration: &Iteration<'_>,
    change: &Change,
    worker: &JoinedWorker,
    new_host: Option<(HostTarget, WorkerProbe)>,
) -> Result<Option<HostTarget>, Outcome> {
    let is_worker = |probe: &WorkerProbe| probe.host.cni_configuration == Some(worker.pod_cidr);
    let old_host = match &execution(change)?.departure {
        Some(WorkerDeparture { route: Some(route), .. }) => resolve(iteration, route).await?,
        Some(WorkerDeparture { route: None, .. }) => None,
        None => match &execution(change)?.present_route {
            Some(route) => resolve(iteration, &route.at(worker.ip)).await?,
            None => worker_target(iteration, change, worker).await?,
        },
    };
    // With the worker's pod configuration it is the same machine under its new address, unless
    // the machine at the old address has it, too: an earlier move may have left it.
    let Some((new_host, _)) = new_host.filter(|(_, probe)| is_worker(probe)) else {
        return Ok(old_host);
    };
    if let Some(old_host) = old_host {
        let probe = iteration.clients.hosts.probe_worker(&old_host).await;
        if probe.is_ok_and(|probe| is_worker(&probe)) {
            return Ok(Some(old_host));
        }
    }
    Ok(Some(new_host))
}

/// Removes everything that stargate installed from a host without a Node.
pub(super) async fn reset(
    iteration: &Iteration<'_>,
    change: &Change,
    worker: &JoinedWorker,
) -> Result<(), Outcome> {
    let target = reachable_worker(iteration, change, worker).await?;
    let sink = ProgressSink::of(iteration, change);
    sink.report(StepEvent::StageStarted(Stage::Reset));
    let reset = iteration.clients.hosts.apply_worker_step(&target, &WorkerStep::Reset).await;
    reset.map_err(|error| failed(&error))?;
    sink.report(StepEvent::StageCompleted(Stage::Reset));
    Ok(())
}

async fn reachable_worker(
    iteration: &Iteration<'_>,
    change: &Change,
    worker: &JoinedWorker,
) -> Result<HostTarget, Outcome> {
    worker_target(iteration, change, worker).await?.ok_or_else(|| {
        failed(Failure::new(
            Code::HostUnreachable,
            format!("worker {} cannot be reached yet", worker.name),
            "its datacenter's router must join the tailnet first; then run the same command again",
        ))
    })
}

/// Brings a worker to its profile and into the cluster.
pub(super) async fn join(
    iteration: &Iteration<'_>,
    change: &Change,
    worker: &JoinedWorker,
) -> Result<(), Outcome> {
    if change.records_protection_only() {
        let annotations = BTreeMap::from([(PROTECT_ANNOTATION, worker.protected_by.as_deref())]);
        let written =
            access(iteration)?.client.patch_node_annotations(&worker.name, &annotations).await;
        return written.map_err(failed);
    }
    let continues = iteration.unfinished.take(&worker.name);
    if continues.is_none() {
        start_requested(iteration, change, worker).await?;
    }
    let context = join_context(iteration, change, worker).await?;
    let context = JoinContext { continues, ..context };
    let sink = ProgressSink::of(iteration, change);
    let joined = bootstrap::join(&context, &|event| sink.report(event)).await;
    joined.map(drop).map_err(failed)
}

/// Downloads the packages that a worker lacks, and installs nothing.
pub(super) async fn stage_packages(
    iteration: &Iteration<'_>,
    change: &Change,
    worker: &JoinedWorker,
) -> Result<(), Outcome> {
    let context = join_context(iteration, change, worker).await?;
    let sink = ProgressSink::of(iteration, change);
    let staged = bootstrap::stage_packages(&context, &|event| sink.report(event)).await;
    staged.map_err(failed)
}

async fn join_context<'a>(
    iteration: &'a Iteration<'_>,
    change: &Change,
    worker: &JoinedWorker,
) -> Result<JoinContext<'a>, Outcome> {
    let access = access(iteration)?;
    let target = reachable_worker(iteration, change, worker).await?;
    let profile = profile(change)?;
    Ok(JoinContext {
        hosts: iteration.clients.hosts.as_ref(),
        cluster: access.client.as_ref(),
        target,
        desired: worker.clone(),
        settings: settings(access, worker, profile),
        profile: profile.name.clone(),
        operation: match (change.action, &execution(change)?.request) {
            (Action::Replace, _) | (_, Some(_)) => OperationKind::Repave,
            (_, None) => OperationKind::Join,
        },
        request: execution(change)?.request.clone(),
        drain_within: is_kubelet_upgrade(change).then_some(execution(change)?.drain_within),
        continues: None,
        now: iteration.now,
    })
}

/// Whether a change gives a worker that serves pods a kubelet of another version.
fn is_kubelet_upgrade(change: &Change) -> bool {
    let version = |value: &Option<Resource>| match value {
        Some(Resource::Worker(worker)) => Some(worker.kubelet_version),
        _ => None,
    };
    let (before, after) = (version(&change.before), version(&change.after));
    change.action != Action::Replace && before.is_some() && before != after
}

/// Changes the machine of a worker by an update that restarts it: cordons and drains
/// the worker before, waits until it is Ready afterwards, and uncordons it.
pub(super) async fn restart_machine(
    iteration: &Iteration<'_>,
    change: &Change,
    restart: &WorkerRestart,
    update: impl Future<Output = Result<(), Outcome>>,
) -> Result<(), Outcome> {
    let context = MaintenanceContext {
        cluster: access(iteration)?.client.as_ref(),
        worker: restart.worker.clone(),
        drain_within: restart.drain_within,
    };
    let sink = ProgressSink::of(iteration, change);
    let progress = |event| sink.report(event);
    let node = bootstrap::begin_maintenance(&context, &progress).await.map_err(failed)?;
    if let Err(outcome) = update.await {
        bootstrap::cancel_maintenance(&context, &progress).await;
        return Err(outcome);
    }
    let Some(node) = node else { return Ok(()) };
    bootstrap::end_maintenance(&context, &node, &progress).await.map_err(failed)
}

fn settings(
    access: &ClusterWriter,
    worker: &JoinedWorker,
    profile: &WorkerProfile,
) -> WorkerSettings {
    let routes = worker.host.observed().map(|host| BTreeMap::clone(&host.kernel_routes));
    WorkerSettings {
        cluster_ca_pem: access.credentials.certificate_authority.clone(),
        api_server: access.credentials.api_server.clone(),
        cluster_dns: profile.cluster_dns,
        max_pods: profile.max_pods,
        packages: profile.packages,
        kernel_routes: routes.unwrap_or_default(),
    }
}

/// Restarts a worker.
pub(super) async fn reboot(
    iteration: &Iteration<'_>,
    change: &Change,
    worker: &JoinedWorker,
) -> Result<(), Outcome> {
    start_requested(iteration, change, worker).await?;
    let access = access(iteration)?;
    let target = reachable_worker(iteration, change, worker).await?;
    let profile = profile(change)?;
    let context = RebootContext {
        hosts: iteration.clients.hosts.as_ref(),
        cluster: access.client.as_ref(),
        target,
        worker: WorkerName::new(worker.name.as_str()),
        profile: profile.name.clone(),
        kubelet: worker.kubelet_version,
        request: execution(change)?.request.clone(),
        drain_within: execution(change)?.drain_within,
        now: iteration.now,
    };
    let sink = ProgressSink::of(iteration, change);
    let rebooted = bootstrap::reboot(&context, &|event| sink.report(event)).await;
    rebooted.map_err(failed)
}

/// Probes the host that a worker moves to, if that existed before: a worker is not given up
/// for a host that does not answer or is another one. The router of another datacenter may
/// come with the same plan; then there is no way to the host yet.
async fn probe_new_host(
    iteration: &Iteration<'_>,
    change: &Change,
    leaving: &JoinedWorker,
) -> Result<Option<(HostTarget, WorkerProbe)>, Outcome> {
    let Some(Resource::Worker(desired)) = &change.after else { return Ok(None) };
    if !execution(change)?.is_existing || desired.ip == leaving.ip {
        return Ok(None);
    }
    let target = match worker_target(iteration, change, desired).await? {
        Some(target) => target,
        None if change.moves_from().is_some() => return Ok(None),
        None => reachable_worker(iteration, change, desired).await?,
    };
    let context =
        format!("{} stays at {}: its new host was probed first", desired.name, leaving.ip);
    // A host of another name is refused by the probe.
    match iteration.clients.hosts.probe_worker(&target).await {
        Ok(probe) => Ok(Some((target, probe))),
        Err(error) => Err(failed(Failure::from(&error).within(&context))),
    }
}

/// Takes a worker out of the cluster.
pub(super) async fn leave(
    iteration: &Iteration<'_>,
    change: &Change,
    worker: &JoinedWorker,
) -> Result<(), Outcome> {
    start_requested(iteration, change, worker).await?;
    let access = access(iteration)?;
    let execution = execution(change)?;
    let comes_back = match change.action {
        Action::Replace => execution.profile.as_ref().map(|profile| ComesBack {
            profile: profile.name.clone(),
            kubelet: worker.kubelet_version,
            request: execution.request.clone(),
        }),
        _ => None,
    };
    let new_host = match change.action {
        Action::Replace => probe_new_host(iteration, change, worker).await?,
        _ => None,
    };
    let context = LeaveContext {
        hosts: iteration.clients.hosts.as_ref(),
        cluster: access.client.as_ref(),
        worker: WorkerName::new(worker.name.as_str()),
        target: departing_host(iteration, change, worker, new_host).await?,
        retention: retention(change, execution),
        drain_within: execution.drain_within,
        comes_back,
        now: iteration.now,
    };
    let sink = ProgressSink::of(iteration, change);
    let left = bootstrap::leave(&context, &|event| sink.report(event)).await;
    let left = left.map_err(failed)?;
    iteration.unfinished.put(left.operation);
    Ok(())
}

/// A machine stays if it existed before, or if only its worker is replaced.
fn retention(change: &Change, execution: &WorkerExecution) -> HostRetention {
    if let Some(departure) = &execution.departure {
        return match (departure.is_existing, change.action) {
            (true, _) => HostRetention::Retained,
            (false, Action::Replace) => HostRetention::DeletedLater,
            (false, _) => HostRetention::Deleted,
        };
    }
    let cause = change.caused_by.as_ref().map(|cause| cause.kind);
    let alone = change.action == Action::Replace && cause != Some(Kind::VirtualMachine);
    if execution.is_existing || alone { HostRetention::Retained } else { HostRetention::Deleted }
}

/// Reports the steps on a worker as events, with how long each took.
struct ProgressSink<'a> {
    iteration: &'a Iteration<'a>,
    change: &'a Change,
    /// When the part at hand began, by the executor's clock.
    began: Mutex<Timestamp>,
}

impl<'a> ProgressSink<'a> {
    fn of(iteration: &'a Iteration<'a>, change: &'a Change) -> Self {
        Self { iteration, change, began: Mutex::new((iteration.now)()) }
    }

    fn report(&self, event: StepEvent) {
        match event {
            StepEvent::StepStarted(step) => self.begins(step.as_str()),
            StepEvent::StageStarted(stage) => self.begins(stage.as_str()),
            StepEvent::StepCompleted(step) => self.ended(step.as_str()),
            StepEvent::StageCompleted(stage) => {
                self.iteration.stages.add(&self.change.address, stage);
                self.ended(stage.as_str());
            }
            StepEvent::Warning(text) => progress(self.iteration, self.change, text),
            StepEvent::StepVerified(_) => {}
        }
    }

    fn begins(&self, phase: &str) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = (self.iteration.now)();
        let address = self.change.address.clone();
        let event = Event::PhaseStarted { address, phase: phase.to_owned() };
        self.iteration.reporter.event(&event);
    }

    fn ended(&self, phase: &str) {
        let began = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let took = (self.iteration.now)().duration_since(began).as_millis();
        let event = Event::PhaseFinished {
            address: self.change.address.clone(),
            phase: phase.to_owned(),
            // If the clock was set back in between, the duration is unknown: zero.
            milliseconds: u64::try_from(took).unwrap_or(0),
        };
        self.iteration.reporter.event(&event);
    }
}
