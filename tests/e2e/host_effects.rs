//! What hosts and Nodes show that stargate did not set is reported with its remedy, and what
//! stargate set is compared with what is in force.

use stargate::diagnostics::Code;
use stargate::plan::{Finding, FindingSeverity, PlanStatus};
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;

use crate::harness::{Deployment, EXAMPLE, RefreshOptions, summary};

const WORKER: &str = "stargate-aks-e2e-2-worker-1";
const ROUTER: &str = "stargate-aks-e2e-2-dc-router";

async fn findings(healthy: &SandboxState, fault: Fault, deep: bool) -> Vec<Finding> {
    let deployment = Deployment::of(EXAMPLE, healthy.clone());
    deployment.inject(fault, None);
    let options = RefreshOptions { deep, ..RefreshOptions::default() };
    deployment.refresh_and_plan(&options).await.plan.findings.clone()
}

/// What others set on a host is named with the command that undoes it.
#[tokio::test(start_paused = true)]
async fn settings_of_others_are_named_with_their_remedy() {
    let healthy = Deployment::example_applied().await.copy_of_state();
    let cases = [
        (Fault::WorkerTailscale, Code::ForeignHostRouting, WORKER, "--accept-routes=false"),
        (Fault::RouterExitNode, Code::RouterTailscaleState, ROUTER, "--exit-node="),
        (Fault::RouterShieldsUp, Code::RouterTailscaleState, ROUTER, "--shields-up=false"),
        (Fault::RouterLockedOut, Code::RouterTailscaleState, ROUTER, "tailscale lock sign"),
        (Fault::ForeignNode, Code::UnknownNode, "lab-node", "kubectl delete node lab-node"),
    ];
    for (fault, code, named, remedy) in cases {
        let found = findings(&healthy, fault, true).await;
        let of_code: Vec<&Finding> = found.iter().filter(|it| it.failure.code == code).collect();
        let [finding] = of_code[..] else { panic!("{fault}: {found:#?}") };
        assert_eq!(finding.severity, FindingSeverity::Warning, "{fault}");
        assert!(finding.failure.message.contains(named), "{fault}: {}", finding.failure.message);
        assert!(finding.failure.remedy.contains(remedy), "{fault}: {}", finding.failure.remedy);
    }
    let found = findings(&healthy, Fault::WorkerTailscale, true).await;
    for text in ["rule 5270", "table 52", "device tailscale0"] {
        assert!(found[0].failure.message.contains(text), "{}", found[0].failure.message);
    }
}

/// A worker's host is read only with `--deep`.
#[tokio::test(start_paused = true)]
async fn rules_on_workers_need_a_deep_refresh() {
    let healthy = Deployment::example_applied().await.copy_of_state();
    assert_eq!(findings(&healthy, Fault::WorkerTailscale, false).await, []);
}

/// Two Nodes with one range of pods are an error, whichever program added the other one.
#[tokio::test(start_paused = true)]
async fn a_foreign_node_with_a_workers_range_is_an_error() {
    let deployment = Deployment::example_applied().await;
    deployment.inject(Fault::ForeignNode, None);
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Wrong, "{}", summary(&plan));
    let found = plan.findings.iter().find(|it| it.failure.code == Code::LivePodOverlap).unwrap();
    for text in ["lab-node", WORKER, "10.244.65.0/24"] {
        assert!(found.failure.message.contains(text), "{}", found.failure.message);
    }
}
