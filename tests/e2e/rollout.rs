//! Waves of workers: their order, and when the rollout halts.

use std::collections::BTreeSet;
use std::sync::Arc;

use stargate::apply::events::Outcome;
use stargate::apply::{Applied, ApplyStatus};
use stargate::diagnostics::Code;
use stargate::plan::{Action, Plan};
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};

use crate::harness::{Deployment, EXAMPLE, RefreshOptions};
use crate::makespan::many_workers;

/// Hosts on which a step fails.
#[derive(Debug)]
struct FailingStep {
    step: &'static str,
    hosts: BTreeSet<&'static str>,
}

impl FaultInjector for FailingStep {
    fn before(&self, effect: &Call) -> Disposition {
        match effect {
            Call::Host { hostname, activity, .. }
                if *activity == self.step && self.hosts.contains(hostname.as_str()) =>
            {
                Disposition::Refuse { status: 100, retry_after: None }
            }
            _ => Disposition::Pass,
        }
    }

    fn after(&self, _effect: &Call) -> Delivery {
        Delivery::Deliver
    }
}

/// Applies while the installation of packages fails on these hosts.
async fn apply_with_broken(deployment: &Deployment, hosts: &[&'static str]) -> Applied {
    apply_with_faults(deployment, "container-runtime", hosts).await
}

async fn apply_with_faults(
    deployment: &Deployment,
    step: &'static str,
    hosts: &[&'static str],
) -> Applied {
    let broken = FailingStep { step, hosts: hosts.iter().copied().collect() };
    deployment.sandbox.set_fault_injector(Some(Arc::new(broken)));
    let applied = deployment.apply(&RefreshOptions::default()).await;
    deployment.sandbox.set_fault_injector(None);
    applied
}

/// The number of workers with such an outcome.
fn workers(applied: &Applied, is_so: impl Fn(&Outcome) -> bool) -> usize {
    let outcomes = applied.outcomes.iter();
    outcomes.filter(|(address, it)| address.kind == Kind::Worker && is_so(it)).count()
}

fn held_back(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::RolloutHalted { .. })
}

fn reason(applied: &Applied) -> &str {
    match &applied.status {
        ApplyStatus::Partial(failure) if failure.code == Code::RolloutStopped => &failure.message,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_canary_halts_the_rollout() {
    let deployment = Deployment::of(&many_workers(9, "width = 4"), SandboxState::new(3));
    let applied = apply_with_broken(&deployment, &["dc1-worker-001"]).await;
    assert_eq!(workers(&applied, |it| matches!(it, Outcome::Failed(_))), 1);
    assert_eq!(workers(&applied, held_back), 8);
    let expected = "canary worker/dc1/dc1-worker-001 failed; 8 more workers were not started";
    assert_eq!(reason(&applied), expected);
    let touched = deployment.sandbox.read(|sandbox| {
        let hosts = sandbox.hosts.values().filter(|host| host.worker.container_runtime.is_some());
        hosts.count()
    });
    assert_eq!(touched, 0);
    // It failed before, so another worker is the canary.
    let applied = apply_with_broken(&deployment, &["dc1-worker-001"]).await;
    assert_eq!((workers(&applied, held_back), workers(&applied, Outcome::is_success)), (0, 8));
    deployment.iterate().await;
}

#[tokio::test(start_paused = true)]
async fn the_rollout_halts_only_after_too_many_failures() {
    let text = many_workers(14, "canary = 0\nwidth = 4\nmax_failures = 1");
    let with_upgrade = |broken: &'static [&'static str]| {
        let text = &text;
        async move {
            let deployment = Deployment::of(text, SandboxState::new(4));
            deployment.iterate().await;
            let edited = deployment.edited(&upgraded(text));
            let applied = apply_with_faults(&edited, "kubelet", broken).await;
            (edited, applied)
        }
    };
    let (_, applied) = with_upgrade(&["dc1-worker-002"]).await;
    assert_eq!((workers(&applied, held_back), workers(&applied, Outcome::is_success)), (0, 13));
    let (many, applied) = with_upgrade(&["dc1-worker-002", "dc1-worker-006"]).await;
    // The running wave completes.
    assert_eq!((workers(&applied, held_back), workers(&applied, Outcome::is_success)), (6, 6));
    assert!(
        reason(&applied).starts_with("2 workers failed; `max_failures` is 1; 6 more"),
        "{applied:?}"
    );
    many.iterate().await;
}

/// The same topology with another version of the kubelets.
fn upgraded(text: &str) -> String {
    let edited = text.replace(
        "[profiles.standard]\n        kubernetes_version = \"1.33.5\"",
        "[profiles.standard]\n        kubernetes_version = \"1.33.6\"",
    );
    assert_ne!(edited, text);
    edited
}

fn waves(plan: &Plan) -> Vec<Vec<String>> {
    let waves = plan.rollout.map(|rollout| rollout.waves(&plan.changes)).unwrap_or_default();
    waves.into_iter().map(|wave| wave.iter().map(|it| it.name.to_string()).collect()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_profile_edit_is_rolled_out_in_waves_with_failed_workers_last() {
    let text = many_workers(6, "width = 3");
    let deployment = Deployment::of(&text, SandboxState::new(5));
    deployment.iterate().await;
    assert_eq!(deployment.plan().await.rollout, None, "no changes are planned");
    deployment.sandbox.change(|sandbox, _| {
        sandbox.hosts.get_mut("dc1-worker-001").unwrap().worker.kubelet_active = false;
    });
    let edited = deployment.edited(&upgraded(&text));
    let plan = edited.plan().await;
    let updated = |kind| {
        plan.changes
            .iter()
            .filter(|it| it.address.kind == kind && it.action == Action::Update)
            .count()
    };
    assert_eq!(updated(Kind::Worker), 6);
    assert_eq!(
        waves(&plan),
        [
            vec!["dc1-worker-002"],
            vec!["dc1-worker-003", "dc1-worker-004", "dc1-worker-005"],
            vec!["dc1-worker-001", "dc1-worker-006"],
        ]
    );
    let order: Vec<u32> =
        plan.changes.iter().filter_map(|change| Some(change.wave?.number)).collect();
    assert!(order.is_sorted(), "{order:?}");
    edited.iterate().await;
}

/// Workers that swap pod CIDRs change in one wave. Workers whose network is replaced must all be
/// destroyed before any can be created: those of later waves are destroyed with the first, and
/// created in waves.
#[tokio::test(start_paused = true)]
async fn waves_have_no_cyclic_dependencies() {
    let swapped = EXAMPLE
        .replace("10.244.65.0/24", "swapped")
        .replace("10.244.66.0/24", "10.244.65.0/24")
        .replace("swapped", "10.244.66.0/24")
        + "\n[rollout]\nwidth = 2\n";
    let moved = EXAMPLE.replace("10.50.", "10.51.");
    let renumbered = moved
        .replace("10.244.65.0/24", "10.244.67.0/24")
        .replace("10.244.66.0/24", "10.244.68.0/24");
    // The routes of ranges that stay at other addresses change while no worker serves them: their
    // workers come together.
    for (text, destroy_waits) in
        [(swapped, [true, true]), (moved, [true, true]), (renumbered, [true, false])]
    {
        let edited = Deployment::example_applied().await.edited(&text);
        let subnets = ["subnet/dc1/stargate-subnet", "subnet/dc1/stargate-router-subnet"];
        let plan = edited.refresh_and_plan(&RefreshOptions::replacing(&subnets)).await.plan;
        let waits = plan.changes.iter().filter_map(|it| it.wave).map(|it| it.destroy_waits);
        assert_eq!(waits.collect::<Vec<_>>(), destroy_waits);
        edited.iterate_replacing(&subnets).await;
    }
}

/// A worker that is replaced alone serves until its wave starts.
#[tokio::test(start_paused = true)]
async fn a_worker_is_destroyed_when_its_wave_starts() {
    let text = EXAMPLE
        .replace("10.244.65.0/24", "10.244.67.0/24")
        .replace("10.244.66.0/24", "10.244.68.0/24");
    let edited = Deployment::example_applied().await.edited(&text);
    let hosts = BTreeSet::from(["stargate-aks-e2e-2-worker-1"]);
    let broken = FailingStep { step: "container-runtime", hosts };
    edited.sandbox.set_fault_injector(Some(Arc::new(broken)));
    let applied = edited.apply(&RefreshOptions::default()).await;
    assert_eq!(workers(&applied, held_back), 1, "{:?}", applied.outcomes);
    edited.sandbox.set_fault_injector(None);
    let second = edited.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        store.get("v1", "Node", None, "stargate-aks-e2e-2-worker-2").cloned().unwrap()
    });
    assert_eq!(second["spec"]["podCIDR"], "10.244.66.0/24", "the worker is unchanged");
    assert!(second["spec"]["unschedulable"].is_null());
    edited.iterate().await;
}
