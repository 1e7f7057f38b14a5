//! The Lease that keeps two applies of one topology apart.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use jiff::Timestamp;
use stargate::apply::ApplyStatus;
use stargate::apply::events::{Event, Reporter};
use stargate::cli::exit;
use stargate::diagnostics::{Code, Failure};
use stargate::plan::saved_plan::SavedPlanRefusal;
use stargate::provider::clients::ClusterConnector;
use stargate::provider::cluster::{LeaseClaim, LeaseRecord};
use stargate::provider::http::{RequestCount, Transport, TransportError};
use stargate::provider::read_write::ClusterWrite;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::faults::Fault;
use stargate::sandbox::transport::InMemory;
use stargate::sandbox::{SandboxState, SharedSandbox};
use tokio::time::{Instant, sleep};

use crate::absence::mixed;
use crate::harness::{
    Deployment, EXAMPLE, IgnoreProgress, InMemoryConnector, RefreshOptions, clients_on, failures,
    summary,
};
use crate::refused_calls::{RefusedCalls, is_deletion};

pub(crate) const LEASE: &str = "stargate-write-stargate-aks-e2e-2";
pub(crate) const VALID: Duration = Duration::from_secs(60);

/// Records the warnings of an apply.
#[derive(Debug, Default)]
struct Warnings(Mutex<Vec<Failure>>);

impl Reporter for Warnings {
    fn event(&self, event: &Event) {
        if let Event::Warning(failure) = event {
            self.0.lock().unwrap().push(failure.clone());
        }
    }
}

/// Applies completely, with one warning.
async fn apply_with_a_warning(deployment: &Deployment) -> Failure {
    let options = RefreshOptions::default();
    let planned = deployment.refresh_and_plan(&options).await;
    let warnings = Warnings::default();
    let applied = deployment.apply_planned(&options, planned, &warnings).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    let mut warnings = warnings.0.into_inner().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    warnings.remove(0)
}

/// Records for whom an apply waited.
#[derive(Debug, Default)]
pub(crate) struct WaitLog(pub(crate) Mutex<Vec<String>>);

impl Reporter for WaitLog {
    fn event(&self, event: &Event) {
        if let Event::WaitingForLease { lease, holder, .. } = event {
            assert_eq!(lease, LEASE);
            self.0.lock().unwrap().push(holder.clone());
        }
    }
}

/// Another program's access to the Lease, and when it began.
pub(crate) struct Other(pub(crate) Arc<dyn ClusterWrite>, Instant);

impl Other {
    pub(crate) async fn of(deployment: &Deployment) -> Self {
        let owner = deployment.scope(&RefreshOptions::default()).owner();
        Self(deployment.clients.cluster.connect("", owner).await.unwrap(), Instant::now())
    }

    pub(crate) async fn read(&self) -> Option<LeaseRecord> {
        self.0.lease(LEASE).await.unwrap()
    }

    pub(crate) async fn hold(&self, holder: &str) {
        let previous = self.read().await;
        let now = "2026-01-02T03:04:05Z".parse::<Timestamp>().unwrap() + self.1.elapsed();
        let previous = previous.as_ref();
        let claim = LeaseClaim {
            name: LEASE,
            holder,
            duration: VALID,
            now,
            annotations: &Default::default(),
            previous,
        };
        self.0.write_lease(claim).await.unwrap();
    }
}

/// The applied example with a fault to repair.
pub(crate) async fn with_work() -> Deployment {
    let deployment = Deployment::example_applied().await;
    deployment.inject(Fault::CiliumNodeEmpty, None);
    deployment
}

/// Throttles the first writes of the repair, so that it takes most of a minute.
#[derive(Debug, Default)]
pub(crate) struct Slow(Mutex<u32>);

impl FaultInjector for Slow {
    fn before(&self, call: &Call) -> Disposition {
        let Call::Request { path, .. } = call else { return Disposition::Pass };
        let mut count = self.0.lock().unwrap();
        if !call.writes() || !path.contains("/ciliumnodes/") || *count == 2 {
            return Disposition::Pass;
        }
        *count += 1;
        Disposition::Refuse { status: 429, retry_after: Some(25) }
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

/// Calls for the Lease: their number, and their modification.
#[derive(Debug)]
struct LeaseCalls {
    count: Mutex<usize>,
    with: Disposition,
}

impl FaultInjector for LeaseCalls {
    fn before(&self, call: &Call) -> Disposition {
        match call {
            Call::Request { path, .. } if path.contains("/leases") => {
                *self.count.lock().unwrap() += 1;
                self.with.clone()
            }
            _ => Disposition::Pass,
        }
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

fn observe(deployment: &Deployment, with: Disposition) -> Arc<LeaseCalls> {
    let calls = Arc::new(LeaseCalls { count: Mutex::default(), with });
    deployment.sandbox.set_fault_injector(Some(calls.clone()));
    calls
}

#[tokio::test(start_paused = true)]
async fn no_lease_remains_after_an_apply_or_a_destroy() {
    let deployment = with_work().await;
    let calls = observe(&deployment, Disposition::Pass);
    deployment.iterate().await;
    assert_eq!(Other::of(&deployment).await.read().await, None);
    assert!(*calls.count.lock().unwrap() >= 3, "read, created and deleted: {calls:?}");
    let destroyed = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(destroyed.status, ApplyStatus::Converged, "{}", failures(&destroyed).join("\n"));
}

#[tokio::test(start_paused = true)]
async fn two_applies_wait_for_each_other() {
    let one = with_work().await;
    one.sandbox.set_fault_injector(Some(Arc::new(Slow::default())));
    let other = one.edited(EXAMPLE);
    let options = RefreshOptions::default();
    let (first, second) =
        (one.refresh_and_plan(&options).await, other.refresh_and_plan(&options).await);
    let (one_log, other_log) = (WaitLog::default(), WaitLog::default());
    let (first, second) = tokio::join!(
        one.apply_planned(&options, first, &one_log),
        other.apply_planned(&options, second, &other_log),
    );
    for applied in [&first, &second] {
        assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(applied).join("\n"));
    }
    let waits = one_log.0.lock().unwrap().len() + other_log.0.lock().unwrap().len();
    assert_eq!(waits, 1, "{one_log:?} {other_log:?}");
    // The one that waited made a new plan and found nothing left to change.
    assert_eq!(first.outcomes.len().min(second.outcomes.len()), 0);
    assert_eq!(Other::of(&one).await.read().await, None);
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_lease_is_taken_over_after_its_duration() {
    let deployment = with_work().await;
    Other::of(&deployment).await.hold("killed process").await;
    let log = WaitLog::default();
    let options = RefreshOptions::default();
    let planned = deployment.refresh_and_plan(&options).await;
    let started = Instant::now();
    let applied = deployment.apply_planned(&options, planned, &log).await;
    let took = started.elapsed();
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    assert_eq!(*log.0.lock().unwrap(), ["killed process"]);
    assert!(took >= VALID && took < VALID * 2, "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_renewed_lease_is_never_taken_over() {
    let deployment = with_work().await;
    let other = Other::of(&deployment).await;
    other.hold("other process").await;
    let options = RefreshOptions::default();
    let planned = deployment.refresh_and_plan(&options).await;
    let writes = deployment.writes();
    let log = WaitLog::default();
    let hold = async {
        for _ in 0..60 {
            sleep(VALID / 3).await;
            other.hold("other process").await;
        }
        let held = other.read().await.unwrap();
        assert_eq!(deployment.writes(), writes + 60, "only the holder wrote");
        other.0.delete_lease(LEASE, &held).await.unwrap();
    };
    let (applied, ()) = tokio::join!(deployment.apply_planned(&options, planned, &log), hold);
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
    assert_eq!(*log.0.lock().unwrap(), ["other process"]);
}

#[tokio::test(start_paused = true)]
async fn without_the_right_to_leases_nothing_is_changed() {
    let deployment = with_work().await;
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    observe(&deployment, Disposition::Refuse { status: 403, retry_after: None });
    let writes = deployment.writes();
    let options = RefreshOptions::default();
    let applied = deployment.apply_planned(&options, planned, &IgnoreProgress).await;
    let ApplyStatus::Partial(failure) = &applied.status else { panic!("{:?}", applied.status) };
    assert_eq!(failure.code, Code::ClusterRefused);
    assert!(failure.message.contains(LEASE), "{failure}");
    assert!(failure.remedy.contains("--no-lease"), "{}", failure.remedy);
    assert_eq!(deployment.writes(), writes);
}

/// The guards of the steps keep appliers apart where no server can.
#[tokio::test(start_paused = true)]
async fn an_api_server_that_does_not_answer_does_not_stop_an_apply() {
    let deployment = with_work().await;
    observe(&deployment, Disposition::Refuse { status: 503, retry_after: None });
    let warning = apply_with_a_warning(&deployment).await;
    assert_eq!(warning.code, Code::ServiceUnavailable);
    assert!(warning.message.contains(LEASE), "{}", warning);
    assert!(warning.remedy.contains("no other apply"), "{}", warning.remedy);
}

/// A Lease that could not be deleted keeps the next apply waiting: the user hears why.
#[tokio::test(start_paused = true)]
async fn a_lease_that_is_not_deleted_is_reported() {
    let deployment = with_work().await;
    deployment
        .sandbox
        .set_fault_injector(Some(RefusedCalls::of(403, |call| is_deletion(call, "/leases"))));
    let warning = apply_with_a_warning(&deployment).await;
    assert!(warning.message.contains("was not deleted"), "{}", warning);
    assert!(warning.remedy.contains("60 s"), "{}", warning.remedy);
}

#[tokio::test(start_paused = true)]
async fn an_apply_without_a_lease_does_not_ask_for_it() {
    let deployment = with_work().await.without_lease();
    Other::of(&deployment).await.hold("other process").await;
    let calls = observe(&deployment, Disposition::Pass);
    deployment.iterate().await;
    assert_eq!(*calls.count.lock().unwrap(), 0);
}

/// The infrastructure moves on while the applier of a saved plan waits: it changes nothing.
#[tokio::test(start_paused = true)]
async fn a_saved_plan_is_confirmed_again_after_the_wait() {
    let deployment = with_work().await;
    deployment.inject(Fault::RouteMissing, None);
    let plan = deployment.plan().await;
    Other::of(&deployment).await.hold("another apply").await;
    let meddle = async {
        sleep(VALID / 2).await;
        deployment.inject(Fault::RouteWrongHop, None);
        deployment.writes()
    };
    let (applied, writes) = tokio::join!(deployment.apply_saved(&plan), meddle);
    let applied = applied.unwrap();
    let ApplyStatus::Refused(SavedPlanRefusal::Stale(found)) = &applied.status else {
        panic!("{applied:?}")
    };
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(applied.outcomes.is_empty(), "{applied:?}");
    // The lease was taken over and released.
    let lease_writes = deployment.writes() - writes;
    assert!(lease_writes <= 2, "{lease_writes} writes");
    assert!(deployment.plan().await.changes.len() >= 2);
}

/// The approved plan is stale after the wait: the apply changes nothing, and reports the
/// holder of the lease, since when, and the new changes.
#[tokio::test(start_paused = true)]
async fn an_apply_that_was_overtaken_while_it_waited_names_the_holder_and_the_changes() {
    let deployment = with_work().await;
    let options = RefreshOptions::default();
    let planned = deployment.refresh_and_plan(&options).await;
    Other::of(&deployment).await.hold("ana@laptop (process 7)").await;
    let meddle = async {
        sleep(VALID / 2).await;
        deployment.inject(Fault::RouteWrongHop, None);
        deployment.writes()
    };
    let apply = deployment.apply_planned(&options, planned, &IgnoreProgress);
    let (applied, writes) = tokio::join!(apply, meddle);
    let ApplyStatus::Overtaken(failure) = &applied.status else { panic!("{:?}", applied.status) };
    assert_eq!(failure.code, Code::StalePlan);
    for part in [
        "ana@laptop (process 7) held the lease since 2026-01-02T",
        "1 change that the approved one does not: route-table/cluster/stargate-workers-rt",
    ] {
        assert!(failure.message.contains(part), "{failure}");
    }
    assert!(failure.remedy.contains("run the same command again"), "{}", failure.remedy);
    assert!(applied.outcomes.is_empty(), "{applied:?}");
    // The lease was taken over and released.
    assert!(deployment.writes() - writes <= 2);
    assert_eq!(exit::from_apply(&applied), exit::STALE);
}

/// Delays every request and every response, each by another time.
#[derive(Debug)]
struct Jitter {
    sandbox: SharedSandbox,
    seed: u64,
    count: Mutex<u64>,
}

impl Jitter {
    async fn pause(&self) {
        let count = {
            let mut count = self.count.lock().unwrap();
            *count += 1;
            *count
        };
        sleep(Duration::from_millis(mixed(self.seed ^ count) % 400)).await;
    }
}

#[async_trait]
impl Transport for Jitter {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        self.pause().await;
        let response = InMemory::new(self.sandbox.clone()).send(request).await;
        self.pause().await;
        response
    }
}

/// The deployment with delayed requests to Azure and Tailscale.
pub(crate) fn delayed(deployment: Deployment, seed: u64) -> Deployment {
    let (sandbox, requests) = (deployment.sandbox.clone(), RequestCount::default());
    let wire = Jitter { sandbox: sandbox.clone(), seed, count: Mutex::default() };
    let connector = InMemoryConnector { sandbox: sandbox.clone(), requests: requests.clone() };
    let wire =
        (Arc::new(wire) as Arc<dyn Transport>, Arc::new(connector) as Arc<dyn ClusterConnector>);
    let clients = clients_on(&sandbox, &deployment.topology, wire, requests);
    Deployment { clients, ..deployment }
}

/// Before there is a cluster no Lease keeps two applies apart: the guards of the steps do.
#[tokio::test(start_paused = true)]
async fn two_first_applies_do_not_disturb_each_other() {
    for seed in 0..8 {
        let one = Deployment::of(EXAMPLE, SandboxState::new(seed));
        let other = delayed(one.edited(EXAMPLE), 2 * seed + 1);
        let one = delayed(one, 2 * seed);
        let options = RefreshOptions::default();
        let (first, second) = tokio::join!(one.apply(&options), other.apply(&options));
        for applied in [&first, &second] {
            let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
            let failed = failures(applied).join("\n");
            assert_eq!(applied.status, ApplyStatus::Converged, "seed {seed}\n{failed}\n{left}");
        }
        let plan = one.refresh_and_plan(&RefreshOptions::deep()).await.plan;
        assert!(plan.is_empty(), "{}", summary(&plan));
    }
}
