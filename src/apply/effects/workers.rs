//! Work on workers.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::hosts::{addresses, datacenter};
use super::kubernetes::access;
use super::{failed, progress};
use crate::apply::Round;
use crate::apply::events::{Event, Outcome};
use crate::bootstrap::{
    self, ComesBack, HostFate, JoinContext, LeaveContext, RebootContext, StepEvent, WorkerSettings,
};
use crate::desired::labels;
use crate::diagnostics::{Code, Failure};
use crate::plan::{Action, Change};
use crate::provider::cluster::OperationKind;
use crate::provider::host::HostTarget;
use crate::refresh::targets;
use crate::resource::Kind;
use crate::resource::host::Worker;
use crate::topology::model::{self, Site};
use crate::topology::names::{ProfileName, WorkerName};

/// The worker as the topology has it, unless it names it no longer.
fn written<'a>(
    round: &'a Round<'_>,
    change: &Change,
    worker: &Worker,
) -> Option<&'a model::Worker> {
    let datacenter = datacenter(round, &change.address.side)?;
    datacenter.workers.iter().find(|other| other.name.as_str() == worker.name)
}

async fn worker_target(
    round: &Round<'_>,
    change: &Change,
    worker: &Worker,
) -> Result<Option<HostTarget>, Outcome> {
    let topology = round.run.scope.topology;
    let Some(datacenter) = datacenter(round, &change.address.side) else { return Ok(None) };
    let addresses = addresses(round, datacenter.router.name.as_str()).await?;
    Ok(match written(round, change, worker) {
        Some(written) => targets::worker(topology, datacenter, written, worker.ip, &addresses),
        None => targets::former_worker(topology, datacenter, &worker.name, worker.ip, &addresses),
    })
}

async fn reachable_worker(
    round: &Round<'_>,
    change: &Change,
    worker: &Worker,
) -> Result<HostTarget, Outcome> {
    worker_target(round, change, worker).await?.ok_or_else(|| {
        failed(Failure::new(
            Code::HostUnreachable,
            format!("worker {} cannot be reached yet", worker.name),
            "its datacenter's router must join the tailnet first; then run the same command again",
        ))
    })
}

/// Brings a worker to its profile and into the cluster.
pub(super) async fn join(
    round: &Round<'_>,
    change: &Change,
    worker: &Worker,
) -> Result<(), Outcome> {
    let access = access(round)?;
    let target = reachable_worker(round, change, worker).await?;
    let Some(written) = written(round, change, worker) else { return Ok(()) };
    let context = JoinContext {
        hosts: round.run.doors.hosts.as_ref(),
        cluster: &access.door,
        target,
        desired: worker.clone(),
        settings: settings(round, worker, &written.profile)?,
        profile: written.profile.clone(),
        operation: match change.action {
            Action::Replace => OperationKind::Repave,
            _ => OperationKind::Join,
        },
        continues: round.unfinished.take(&worker.name),
        now: round.run.now,
    };
    let teller = ProgressSink::of(round, change);
    let joined = bootstrap::join(&context, &|event| teller.tell(event)).await;
    joined.map(drop).map_err(failed)
}

fn settings(
    round: &Round<'_>,
    worker: &Worker,
    profile: &ProfileName,
) -> Result<WorkerSettings, Outcome> {
    let access = access(round)?;
    let profiles = &round.run.scope.topology.profiles;
    let Some(profile) = profiles.get(profile) else {
        return Err(failed(Failure::new(
            Code::UnknownProfile,
            format!("the topology has no profile {profile}"),
            format!("add [profiles.{profile}], or set another profile for worker {}", worker.name),
        )));
    };
    let routes = worker.host.seen().map(|host| host.kernel_routes.clone());
    Ok(WorkerSettings {
        cluster_ca_pem: access.certificate_authority.clone(),
        api_server: access.api_server.clone(),
        cluster_dns: round.dns_service_ip,
        max_pods: labels::max_pods(profile, worker.pod_cidr),
        packages: profile.packages,
        kernel_routes: routes.unwrap_or_default(),
    })
}

/// Restarts a worker.
pub(super) async fn reboot(
    round: &Round<'_>,
    change: &Change,
    worker: &Worker,
) -> Result<(), Outcome> {
    let access = access(round)?;
    let target = reachable_worker(round, change, worker).await?;
    let Some(written) = written(round, change, worker) else { return Ok(()) };
    let context = RebootContext {
        hosts: round.run.doors.hosts.as_ref(),
        cluster: &access.door,
        target,
        worker: WorkerName::new(worker.name.as_str()),
        profile: written.profile.clone(),
        kubelet: worker.kubelet_version,
        drain_within: round.run.scope.topology.rollout.drain_within,
        now: round.run.now,
    };
    let teller = ProgressSink::of(round, change);
    let rebooted = bootstrap::reboot(&context, &|event| teller.tell(event)).await;
    rebooted.map_err(failed)
}

/// Takes a worker out of the cluster.
pub(super) async fn leave(
    round: &Round<'_>,
    change: &Change,
    worker: &Worker,
) -> Result<(), Outcome> {
    let access = access(round)?;
    let comes_back = match change.action {
        Action::Replace => written(round, change, worker).map(|written| ComesBack {
            profile: written.profile.clone(),
            kubelet: worker.kubelet_version,
        }),
        _ => None,
    };
    let context = LeaveContext {
        hosts: round.run.doors.hosts.as_ref(),
        cluster: &access.door,
        worker: WorkerName::new(worker.name.as_str()),
        target: worker_target(round, change, worker).await?,
        fate: fate(round, change),
        drain_within: round.run.scope.topology.rollout.drain_within,
        comes_back,
        now: round.run.now,
    };
    let teller = ProgressSink::of(round, change);
    let left = bootstrap::leave(&context, &|event| teller.tell(event)).await;
    let left = left.map_err(failed)?;
    round.unfinished.put(left.operation);
    Ok(())
}

/// A machine stays that was there before, and one whose worker alone is made
/// anew.
fn fate(round: &Round<'_>, change: &Change) -> HostFate {
    let existing = datacenter(round, &change.address.side)
        .is_some_and(|datacenter| matches!(datacenter.site, Site::Existing(_)));
    let cause = change.caused_by.as_ref().map(|cause| cause.kind);
    let alone = change.action == Action::Replace && cause != Some(Kind::VirtualMachine);
    if existing || alone { HostFate::Stays } else { HostFate::GoesAway }
}

/// Tells what happens to a worker as events, with how long each part took.
struct ProgressSink<'a> {
    round: &'a Round<'a>,
    change: &'a Change,
    /// When the part at hand began, by the executor's clock.
    began: Mutex<Timestamp>,
}

impl<'a> ProgressSink<'a> {
    fn of(round: &'a Round<'a>, change: &'a Change) -> Self {
        Self { round, change, began: Mutex::new((round.run.now)()) }
    }

    fn tell(&self, event: StepEvent) {
        match event {
            StepEvent::Started(step) => self.begins(step.as_str()),
            StepEvent::Begins(stage) => self.begins(stage.as_str()),
            StepEvent::Done(step) => self.ended(step.as_str()),
            StepEvent::Ended(stage) => self.ended(stage.as_str()),
            StepEvent::Warning(text) => progress(self.round, self.change, text),
            StepEvent::Proven(_) => {}
        }
    }

    fn begins(&self, part: &str) {
        *self.began.lock().unwrap_or_else(PoisonError::into_inner) = (self.round.run.now)();
        let address = self.change.address.clone();
        let event = Event::PartStarted { address, part: part.to_owned() };
        self.round.run.reporter.event(&event);
    }

    fn ended(&self, part: &str) {
        let began = *self.began.lock().unwrap_or_else(PoisonError::into_inner);
        let took = (self.round.run.now)().duration_since(began).as_millis();
        let event = Event::PartFinished {
            address: self.change.address.clone(),
            part: part.to_owned(),
            // A clock that was set back in between tells of no time at all.
            milliseconds: u64::try_from(took).unwrap_or(0),
        };
        self.round.run.reporter.event(&event);
    }
}
