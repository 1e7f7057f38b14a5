//! Settings of others on hosts and Nodes are reported with a remedy, and settings of
//! stargate are compared with the effective ones.

use std::collections::BTreeMap;

use stargate::connectivity::Matrix;
use stargate::diagnostics::Code;
use stargate::plan::impact::IntermediateState;
use stargate::plan::{Finding, FindingSeverity, PlanStatus};
use stargate::resource::host::KernelRoute;
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;

use crate::connectivity::model;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, TWO_DATACENTERS, failures, summary};

const WORKER: &str = "stargate-aks-e2e-2-worker-1";
const ROUTER: &str = "stargate-aks-e2e-2-dc-router";

async fn findings(healthy: &SandboxState, fault: Fault, deep: bool) -> Vec<Finding> {
    let deployment = Deployment::of(EXAMPLE, healthy.clone());
    deployment.inject(fault, None);
    let options = RefreshOptions { deep, ..RefreshOptions::default() };
    deployment.refresh_and_plan(&options).await.plan.findings.clone()
}

/// The report of a foreign setting on a host names the command that undoes it.
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

/// A worker behind a gateway: the kernel takes only next hops of its own segment.
#[tokio::test(start_paused = true)]
async fn a_worker_on_another_segment_has_its_gateway_as_next_hop() {
    let text = TWO_DATACENTERS
        .replace("ip = \"10.60.0.4\"", "ip = \"10.60.0.4\"\ngateway = \"10.60.0.1\"")
        .replace("ip = \"10.60.1.6\"", "ip = \"10.60.1.6\"\ngateway = \"10.60.1.1\"");
    // Without the key the join stops with the key as its remedy.
    let without = segmented(TWO_DATACENTERS);
    let applied = without.apply(&RefreshOptions::default()).await;
    let failed = failures(&applied).join("\n");
    assert!(failed.contains("10.60.0.4 is on none of its own segments (10.60.1.0/24)"), "{failed}");
    let with = segmented(&text);
    with.iterate().await;
    let state = with.copy_of_state();
    let routes = state.hosts["attic-b"].our_routes();
    let gateway = KernelRoute::Via([10, 60, 1, 1].into());
    assert!(!routes.is_empty() && routes.values().all(|via| *via == gateway), "{routes:?}");
    let routes = state.hosts["attic-router"].our_routes();
    let pods = "10.244.200.0/24".parse().unwrap();
    assert_eq!(routes[&pods], KernelRoute::Via([10, 60, 0, 1].into()));
    let planned = with.refresh_and_plan(&RefreshOptions::deep()).await;
    let model = model(&with, &planned, &IntermediateState::Observed);
    assert!(Matrix::of(&model).broken.is_empty());
}

/// A router in Azure and its workers are in different subnets: a kernel refuses the address of a
/// worker as next hop, and the gateway of the router's subnet forwards to it.
#[tokio::test(start_paused = true)]
async fn a_router_in_azure_has_the_gateway_of_its_subnet_as_next_hop() {
    let state = Deployment::example_applied().await.copy_of_state();
    let router = &state.hosts["stargate-aks-e2e-2-dc-router"];
    let pods = "10.244.65.0/24".parse().unwrap();
    assert_eq!(router.our_routes()[&pods], KernelRoute::Via([10, 50, 0, 1].into()));
    let direct = BTreeMap::from([(pods, KernelRoute::Via([10, 50, 1, 5].into()))]);
    let refused = router.refuses(&direct);
    assert_eq!(refused.unwrap(), "10.244.65.0/24: Error: Nexthop has invalid gateway.");
}

/// Two datacenters, with a machine that is not on the segment of its router.
fn segmented(text: &str) -> Deployment {
    let deployment = Deployment::of(text, SandboxState::new(5));
    deployment.sandbox.change(|sandbox, _| {
        // The router and the first worker have addresses on both segments.
        for (name, segment) in [
            ("attic-b", "10.60.1.0/24"),
            ("attic-a", "10.60.0.0/16"),
            ("attic-router", "10.60.0.0/16"),
        ] {
            sandbox.hosts.get_mut(name).unwrap().on_link = segment.parse().ok();
        }
    });
    deployment
}

/// A worker's host is read only with `--deep`.
#[tokio::test(start_paused = true)]
async fn rules_on_workers_need_a_deep_refresh() {
    let healthy = Deployment::example_applied().await.copy_of_state();
    assert_eq!(findings(&healthy, Fault::WorkerTailscale, false).await, []);
}

/// Two Nodes with one range of pods are an error, also if another program added one.
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
