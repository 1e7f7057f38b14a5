//! Edits that are not applied yet: live objects are reported under their current names, and
//! objects that were never created are no outage.

use stargate::connectivity::Pairs;
use stargate::pipeline::Pipeline;
use stargate::plan::PlanStatus;
use stargate::plan::impact::{IntermediateState, ReachabilityReport, violations};
use stargate::sandbox::SandboxState;

use crate::block_edits::{ATTIC_A, CLOUD_B, CLOUD_B_IN_ATTIC};
use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, clock, summary};

const LOFT: &str = "\n[datacenters.loft]\npod_pool = \"10.244.160.0/20\"\nprofile = \"standard\"\n\n\
    [datacenters.loft.existing]\nnetwork_cidr = \"10.61.0.0/16\"\n\n\
    [datacenters.loft.router]\nname = \"loft-router\"\nip = \"10.61.0.4\"\n\n\
    [[datacenters.loft.workers]]\nname = \"loft-a\"\nip = \"10.61.1.5\"\nmac = \
    \"52:54:00:00:02:05\"\n";
const SHED: &str = "\n[datacenters.shed]\npod_pool = \"10.244.176.0/20\"\nprofile = \"standard\"\n\n\
    [datacenters.shed.azure]\nresource_group = \"lab-shed\"\nvnet_cidr = \"10.62.0.0/16\"\n\
    subnet_cidr = \"10.62.1.0/24\"\nrouter_subnet_cidr = \"10.62.0.0/24\"\n\
    vm_size = \"Standard_D2s_v5\"\n\n[datacenters.shed.router]\nname = \"shed-router\"\n\n\
    [[datacenters.shed.workers]]\nname = \"shed-a\"\n";

fn replaced(from: &str, to: &str) -> String {
    assert!(TWO_DATACENTERS.contains(from), "{from}");
    TWO_DATACENTERS.replace(from, to)
}

fn edits() -> Vec<(&'static str, String)> {
    let cloud_x = "[[datacenters.cloud.workers]]\nname = \"cloud-x\"\n";
    let attic_x = "[[datacenters.attic.workers]]\nname = \"attic-x\"\nip = \"10.60.1.15\"\n\
                   mac = \"52:54:00:00:00:15\"\n";
    vec![
        ("a router on a VM renamed", replaced("\"cloud-router\"", "\"cloud-gate\"")),
        ("a router on an existing machine renamed", replaced("\"attic-router\"", "\"attic-gate\"")),
        ("the cluster's router renamed", replaced("\"lab-router\"", "\"lab-gate\"")),
        (
            "the topology renamed",
            replaced("[stargate]\nname = \"lab\"", "[stargate]\nname = \"den\""),
        ),
        ("a worker on a VM added", replaced(CLOUD_B, &format!("{CLOUD_B}\n{cloud_x}"))),
        ("an existing worker added", format!("{TWO_DATACENTERS}\n{attic_x}")),
        ("a datacenter of existing machines added", format!("{TWO_DATACENTERS}{LOFT}")),
        ("a datacenter of VMs added", format!("{TWO_DATACENTERS}{SHED}")),
        ("a worker on a VM renamed", replaced("\"cloud-b\"", "\"cloud-x\"")),
        ("a worker moved", replaced(CLOUD_B, "") + "\n" + CLOUD_B_IN_ATTIC),
        ("a worker removed", replaced(ATTIC_A, "")),
        ("a datacenter of VMs renamed", replaced("datacenters.cloud", "datacenters.sky")),
        ("a datacenter of machines renamed", replaced("datacenters.attic", "datacenters.loft")),
        ("another pool", replaced("10.244.64.0/20", "10.244.96.0/20")),
        (
            "another address",
            replaced("name = \"cloud-b\"\n", "name = \"cloud-b\"\nip = \"10.50.1.40\"\n"),
        ),
        ("another resource group", replaced("\"lab-cloud\"", "\"lab-sky\"")),
        (
            "the cluster renamed",
            replaced("[cluster]\nname = \"lab\"", "[cluster]\nname = \"lab2\""),
        ),
        ("another network", replaced("10.50.", "10.51.")),
    ]
}

#[tokio::test(start_paused = true)]
async fn an_edit_that_is_not_applied_is_no_outage() {
    let healthy = Deployment::of(TWO_DATACENTERS, SandboxState::new(1));
    healthy.iterate().await;
    let state = healthy.copy_of_state();
    let mut problems = Vec::new();
    for (name, text) in edits() {
        let deployment = Deployment::of(TWO_DATACENTERS, state.clone()).edited(&text);
        let planned = deployment.refresh_and_plan(&Default::default()).await;
        let present_topology = planned.present_topology(&deployment.topology);
        let sources = planned.present_paths(&deployment.topology, present_topology.as_ref());
        let report = ReachabilityReport::of_state(sources, &IntermediateState::Observed, 3);
        let Pairs { reached, dropped, unknown } = report.matrix.total();
        let found = violations(sources, &report.model, &IntermediateState::Observed);
        let broken = planned.plan.reachability.broken;
        // Under another name of the topology or of the cluster nothing else is read, and the
        // renamed machine gives itself its former name.
        let is_known = !matches!(
            name,
            "the topology renamed"
                | "the cluster renamed"
                | "a router on an existing machine renamed"
        );
        if dropped + broken > 0 || is_known && (unknown > 0 || reached < 30) {
            problems.push(format!(
                "{name}: {reached} reached, {dropped} dropped, {unknown} unknown, {broken} broken, \
                 {:?}\n{found:?}\n{}",
                report.matrix.broken.first().map(|it| &it.example),
                summary(&planned.plan)
            ));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Under the name that the cluster has now, everything is read and nothing is missing.
#[tokio::test(start_paused = true)]
async fn a_cluster_that_is_to_have_another_name_serves_until_then() {
    let healthy = Deployment::of(TWO_DATACENTERS, SandboxState::new(1));
    healthy.iterate().await;
    let renamed = replaced("[cluster]\nname = \"lab\"", "[cluster]\nname = \"lab2\"");
    let moved = renamed.replace("resource_group = \"lab\"", "resource_group = \"lab-other\"");
    let other_network = renamed.replace("10.50.", "10.51.");
    for text in [renamed, moved, other_network] {
        let deployment = Deployment::of(TWO_DATACENTERS, healthy.copy_of_state()).edited(&text);
        let options = RefreshOptions::default();
        let planned = deployment.refresh_and_plan(&options).await;
        let scope = deployment.scope(&options);
        let clock = clock(deployment.sandbox.now());
        let clients = deployment.clients.read_only();
        let pipeline = Pipeline { clients: &clients, scope: &scope, now: &clock };
        let present = pipeline.read_present_cluster(&planned).await.unwrap();
        let topology = present.planned.present_topology(&present.topology);
        let sources = present.planned.present_paths(&present.topology, topology.as_ref());
        let report = ReachabilityReport::of_state(sources, &IntermediateState::Observed, 3);
        let Pairs { reached, dropped, unknown } = report.matrix.total();
        assert_eq!((reached, dropped, unknown), (42, 0, 0), "{}", summary(&present.planned.plan));
        let nodes = present.planned.observation.facts.joined.len();
        assert_eq!(nodes, 4, "{}", summary(&present.planned.plan));
        // What is to be done stays what it was.
        assert_eq!(planned.plan.status(), PlanStatus::Blocked);
    }
    let planned = healthy.plan().await;
    assert_eq!(planned.status(), PlanStatus::Matches);
}
