//! Several commands that change one deployment at the same time.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stargate::apply::events::{Event, Outcome, Reporter};
use stargate::apply::{Applied, ApplyStatus, apply_once};
use stargate::pipeline::{Pipeline, Planned};
use stargate::plan::{WorkerOperation, WorkerRequest};
use stargate::provider::cluster::LeaseClaim;
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::faults::Fault;
use stargate::topology::names::WorkerName;
use tokio::time::sleep;

use crate::harness::{
    Deployment, EXAMPLE, IgnoreProgress, RefreshOptions, clock, failures, summary,
};
use crate::lease::delayed;

const LEASE: &str = "stargate-write-stargate-aks-e2e-2";
const WORKER: &str = "stargate-aks-e2e-2-worker-1";

fn described(applied: &Applied) -> String {
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    format!("{:?}\n{}\n{left}", applied.status, failures(applied).join("\n"))
}

/// Three applies of the example at the same time, with delays of their own: each ends
/// complete, and nothing is left to change.
async fn converge_side_by_side(one: Deployment, seed: u64) -> [Applied; 3] {
    let [second, third] = [1, 2].map(|it| delayed(one.edited(EXAMPLE), 3 * seed + it));
    let first = delayed(one, 3 * seed);
    let options = RefreshOptions::default();
    let (a, b, c) =
        tokio::join!(first.apply(&options), second.apply(&options), third.apply(&options));
    let applied = [a, b, c];
    for one in &applied {
        assert_eq!(one.status, ApplyStatus::Converged, "seed {seed} {}", described(one));
    }
    let plan = first.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    assert!(plan.is_empty(), "{}", summary(&plan));
    applied
}

/// Three applies of one difference: one makes the changes, the others find nothing left.
#[tokio::test(start_paused = true)]
async fn of_three_applies_one_makes_the_changes() {
    for seed in 0..4 {
        let one = Deployment::example_applied().await;
        for fault in [Fault::RouteMissing, Fault::CiliumNodeEmpty, Fault::TailnetRouteUnapproved] {
            one.inject(fault, None);
        }
        let applied = converge_side_by_side(one, seed).await;
        let changing = applied.iter().filter(|it| !it.outcomes.is_empty()).count();
        assert_eq!(changing, 1, "seed {seed}");
    }
}

/// Before there is a cluster, only the guards of the steps keep three applies apart.
#[tokio::test(start_paused = true)]
async fn three_first_applies_do_not_disturb_each_other() {
    for seed in 0..4 {
        converge_side_by_side(Deployment::of(EXAMPLE, SandboxState::new(seed)), seed).await;
    }
}

/// The writes to the Lease and to the cluster's object, in their order.
#[derive(Debug, Default)]
struct WriteLog(Mutex<Vec<&'static str>>);

impl FaultInjector for WriteLog {
    fn before(&self, call: &Call) -> Disposition {
        if let Call::Request { method, path, .. } = call {
            let path = path.to_ascii_lowercase();
            let is_delete = *method == http::Method::DELETE;
            let is_cluster = path.contains("/managedclusters/") && !path.contains("/agentpools/");
            let what = match (is_delete, call.writes()) {
                (true, _) if path.contains("/leases/") => Some("release"),
                (false, true) if path.contains("/leases") => Some("hold"),
                (true, _) if is_cluster => Some("delete cluster"),
                _ => None,
            };
            self.0.lock().unwrap().extend(what);
        }
        Disposition::Pass
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

/// Until the cluster is gone, a process that waits sees that the destroy still runs.
#[tokio::test(start_paused = true)]
async fn a_destroy_holds_the_lease_until_the_cluster_is_gone() {
    let deployment = Deployment::example_applied().await;
    let order = Arc::new(WriteLog::default());
    deployment.sandbox.set_fault_injector(Some(order.clone()));
    let destroyed = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(destroyed.status, ApplyStatus::Converged, "{}", described(&destroyed));
    let order = order.0.lock().unwrap();
    let place = |what| order.iter().position(|it| *it == what);
    let hold = place("hold").expect("it was held");
    assert!(hold < place("delete cluster").expect("the cluster is deleted"), "{order:?}");
    assert_eq!(place("release"), None, "{order:?}");
}

/// Records for whom a command waited.
#[derive(Debug, Default)]
struct Waits(Mutex<Vec<String>>);

impl Reporter for Waits {
    fn event(&self, event: &Event) {
        if let Event::WaitingForLease { holder, .. } = event {
            self.0.lock().unwrap().push(holder.clone());
        }
    }
}

async fn work(
    deployment: &Deployment,
    operation: WorkerOperation,
    reporter: &dyn Reporter,
) -> Applied {
    let workers = BTreeSet::from([WorkerName::new(WORKER)]);
    let worker_request = Some(WorkerRequest::new(operation, workers));
    let options = RefreshOptions { worker_request, ..RefreshOptions::default() };
    let Planned { plan, observation, omitted } = deployment.refresh_and_plan(&options).await;
    let scope = deployment.scope(&options);
    let clock = clock(deployment.sandbox.now());
    let clients = deployment.clients.read_only();
    let pipeline = Pipeline { clients: &clients, scope: &scope, now: &clock };
    apply_once(&deployment.context(pipeline, reporter), Planned { plan, observation, omitted })
        .await
}

/// Both wait for an apply that holds the Lease, say which, and release the Lease at the end.
#[tokio::test(start_paused = true)]
async fn reprovisioning_and_reboots_hold_the_lease() {
    for operation in [WorkerOperation::Repave, WorkerOperation::Reboot] {
        let deployment = Deployment::example_applied().await;
        let owner = deployment.scope(&RefreshOptions::default()).owner();
        let other = deployment.clients.cluster.connect("", owner).await.unwrap();
        let now = "2026-01-02T03:04:05Z".parse().unwrap();
        let duration = Duration::from_secs(600);
        let claim = LeaseClaim {
            name: LEASE,
            holder: "another apply",
            duration,
            now,
            annotations: &Default::default(),
            previous: None,
        };
        other.write_lease(claim).await.unwrap();
        let waits = Waits::default();
        let release = async {
            sleep(Duration::from_secs(90)).await;
            let held = other.lease(LEASE).await.unwrap().unwrap();
            assert_eq!(held.holder, "another apply");
            other.delete_lease(LEASE, &held).await.unwrap();
        };
        let (applied, ()) = tokio::join!(work(&deployment, operation, &waits), release);
        assert_eq!(applied.status, ApplyStatus::Converged, "{operation:?} {}", described(&applied));
        assert_eq!(*waits.0.lock().unwrap(), ["another apply"], "{operation:?}");
        let worked = applied
            .outcomes
            .iter()
            .any(|(address, outcome)| address.kind == Kind::Worker && *outcome == Outcome::Done);
        assert!(worked, "{operation:?} {:?}", applied.outcomes);
        assert_eq!(other.lease(LEASE).await.unwrap(), None, "{operation:?}");
        let alone = work(&deployment, operation, &IgnoreProgress).await;
        assert_eq!(alone.status, ApplyStatus::Converged, "{operation:?} {}", described(&alone));
        assert_eq!(other.lease(LEASE).await.unwrap(), None, "{operation:?}");
    }
}

/// Answers every deletion in Azure with 502, although it takes effect.
#[derive(Debug, Default)]
struct LostDeletions(AtomicUsize);

impl FaultInjector for LostDeletions {
    fn before(&self, _: &Call) -> Disposition {
        Disposition::Pass
    }

    fn after(&self, call: &Call) -> Delivery {
        match call {
            Call::Request { method, path, .. }
                if *method == http::Method::DELETE && path.starts_with("/subscriptions/") =>
            {
                self.0.fetch_add(1, Ordering::SeqCst);
                Delivery::Refuse(502)
            }
            _ => Delivery::Deliver,
        }
    }
}

/// A destroy whose deletions took effect but whose responses were lost: one apply recreates
/// everything.
#[tokio::test(start_paused = true)]
async fn one_apply_follows_a_destroy_whose_answers_were_lost() {
    let deployment = Deployment::example_applied().await;
    let lost = Arc::new(LostDeletions::default());
    deployment.sandbox.set_fault_injector(Some(lost.clone()));
    let machines = |sandbox: &SandboxState| {
        let all = sandbox.arm.list("Microsoft.Compute/virtualMachines");
        all.filter(|(_, body)| body["properties"]["provisioningState"] == "Succeeded").count()
    };
    let before = deployment.sandbox.read(machines);
    let destroyed = deployment.apply(&RefreshOptions::destroying()).await;
    assert!(matches!(destroyed.status, ApplyStatus::Partial(_) | ApplyStatus::Converged));
    assert!(lost.0.load(Ordering::SeqCst) > 0, "no answer was lost");
    assert!(deployment.sandbox.read(machines) < before, "nothing was deleted");
    deployment.sandbox.set_fault_injector(None);
    let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
    let applied = deployment.apply(&options).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", described(&applied));
    let plan = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    assert!(plan.is_empty(), "{}", summary(&plan));
}
