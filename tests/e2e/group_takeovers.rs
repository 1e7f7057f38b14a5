//! Datacenters whose resource groups are exchanged or taken over are refused before anything is
//! modified, and machines leave before the network that they are in is replaced.

use stargate::apply::ApplyStatus;
use stargate::connectivity::Pairs;
use stargate::diagnostics::Code;
use stargate::plan::impact::{IntermediateState, ReachabilityReport};
use stargate::plan::{FindingSeverity, Plan, PlanStatus};

use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, failures, summary};
use crate::moves::{SKY, applied, apply_to_the_end, edit};
use crate::refused_calls::{RefusedCalls, is_request};

const CLOUD_GROUP: &str = "resource_group = \"lab-cloud\"";
const SKY_GROUP: &str = "resource_group = \"lab-sky\"";

async fn cloud_and_sky(seed: u64) -> (Deployment, String) {
    let text = format!("{TWO_DATACENTERS}{SKY}");
    (applied(&text, seed).await, text)
}

fn refusals(plan: &Plan) -> Vec<&str> {
    let errors = plan.findings.iter().filter(|it| it.severity == FindingSeverity::Error);
    let refusals = errors.filter(|it| it.failure.code == Code::GroupTakeover);
    refusals.map(|it| it.failure.message.as_str()).collect()
}

fn exchanged_groups(text: &str) -> String {
    let exchanged = edit(text, &[(CLOUD_GROUP, "GROUP"), (SKY_GROUP, CLOUD_GROUP)]);
    edit(&exchanged, &[("GROUP", SKY_GROUP)])
}

fn moved_on(text: &str) -> String {
    let moved = edit(text, &[(SKY_GROUP, "GROUP"), (CLOUD_GROUP, SKY_GROUP)]);
    edit(&moved, &[("GROUP", "resource_group = \"lab-new\"")])
}

/// A refused edit is no outage: every packet still arrives.
#[tokio::test(start_paused = true)]
async fn a_refused_exchange_is_no_outage() {
    let (before, text) = cloud_and_sky(73).await;
    for text in [exchanged_groups(&text), moved_on(&text)] {
        let deployment = before.edited(&text);
        let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
        let present = planned.present_topology(&deployment.topology);
        let sources = planned.present_paths(&deployment.topology, present.as_ref());
        let report = ReachabilityReport::of_state(sources, &IntermediateState::Observed, 3);
        let Pairs { reached, dropped, unknown } = report.matrix.total();
        assert_eq!((dropped, unknown), (0, 0), "{reached} reached\n{}", summary(&planned.plan));
        assert_eq!(planned.plan.reachability.broken, 0, "{}", summary(&planned.plan));
    }
}

/// The groups of two datacenters are exchanged, or one moves into the group that another one
/// leaves or left: whatever the options permit, nothing is modified.
#[tokio::test(start_paused = true)]
async fn a_datacenter_does_not_move_into_the_group_of_another_one() {
    let (before, text) = cloud_and_sky(71).await;
    let (exchanged, moved_on) = (exchanged_groups(&text), moved_on(&text));
    let left = edit(TWO_DATACENTERS, &[(CLOUD_GROUP, SKY_GROUP)]);
    let into_sky = "[datacenters.cloud] would move into the resource group lab-sky, in which the \
                    machines of [datacenters.sky] are";
    let into_cloud = "[datacenters.sky] would move into the resource group lab-cloud, in which \
                      the machines of [datacenters.cloud] are";
    let cases =
        [(exchanged, &[into_sky, into_cloud][..]), (moved_on, &[into_sky]), (left, &[into_sky])];
    for (text, expected) in cases {
        let deployment = before.edited(&text);
        let permits = ["resource-group/cloud/lab-cloud", "resource-group/sky/lab-sky"];
        let permitted = RefreshOptions::replacing(&permits);
        for options in [RefreshOptions::default(), permitted] {
            let plan = deployment.refresh_and_plan(&options).await.plan;
            assert_eq!(refusals(&plan), expected, "{}", summary(&plan));
            assert_eq!(plan.status(), PlanStatus::Wrong, "{}", summary(&plan));
            let writes = deployment.writes();
            let applied = deployment.apply(&options).await;
            assert_ne!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
            assert_eq!(deployment.writes(), writes, "nothing is modified");
        }
    }
}

/// Machines that could not be listed may be in the group.
#[tokio::test(start_paused = true)]
async fn a_group_with_unread_machines_is_not_taken_over() {
    let (before, text) = cloud_and_sky(74).await;
    let deployment = before.edited(&exchanged_groups(&text));
    deployment.sandbox.set_fault_injector(Some(RefusedCalls::of(403, |call| {
        is_request(call, "/virtualMachines") && !call.writes()
    })));
    let plan = deployment.plan().await;
    assert_eq!(refusals(&plan).len(), 2, "{}", summary(&plan));
}

/// Tables of datacenters get each other's names, or a new one: their groups stay with them.
#[tokio::test(start_paused = true)]
async fn renamed_tables_keep_their_groups() {
    let (before, text) = cloud_and_sky(72).await;
    let exchanged = text.replace("datacenters.cloud", "datacenters.other");
    let exchanged = exchanged.replace("datacenters.sky", "datacenters.cloud");
    let exchanged = exchanged.replace("datacenters.other", "datacenters.sky");
    let deployment = before.edited(&exchanged);
    assert_eq!(refusals(&deployment.plan().await), Vec::<&str>::new());
    apply_to_the_end(&deployment, "exchanged names").await;
}

/// The remedy names the options that the first step needs.
#[tokio::test(start_paused = true)]
async fn the_remedy_of_a_takeover_names_the_options() {
    let (before, text) = cloud_and_sky(75).await;
    let refused = before.edited(&edit(TWO_DATACENTERS, &[(CLOUD_GROUP, SKY_GROUP)])).plan().await;
    let findings = refused.findings.iter().filter(|it| it.failure.code == Code::GroupTakeover);
    let remedies: Vec<&str> = findings.map(|it| it.failure.remedy.as_str()).collect();
    let options = "`stargate apply --replace resource-group/sky/lab-sky --allow-loss`";
    assert!(remedies.len() == 1 && remedies[0].contains(options), "{remedies:?}");
    let first = before.edited(&edit(&text, &[(SKY_GROUP, "resource_group = \"lab-new\"")]));
    let replace = RefreshOptions::replacing(&["resource-group/sky/lab-sky"]);
    for allow_loss in [false, true] {
        let options = RefreshOptions { allow_loss, ..replace.clone() };
        let plan = first.refresh_and_plan(&options).await.plan;
        assert!(plan.blocked.is_empty(), "{}", summary(&plan));
        assert_eq!(plan.reachability.is_refused(), !allow_loss, "{}", summary(&plan));
    }
}

/// Two steps take the datacenter into the group that another one left.
#[tokio::test(start_paused = true)]
async fn a_group_is_taken_over_in_two_applies() {
    let (before, text) = cloud_and_sky(73).await;
    let first = edit(&text, &[(SKY_GROUP, "resource_group = \"lab-new\"")]);
    let second = edit(&first, &[(CLOUD_GROUP, SKY_GROUP)]);
    let steps = [(first, "resource-group/sky/lab-sky"), (second, "resource-group/cloud/lab-cloud")];
    for (text, replaced) in steps {
        let deployment = before.edited(&text);
        let plan = deployment.plan().await;
        let refused = |code| plan.blocked.iter().any(|it| it.failure.code == code);
        assert!(refused(Code::ReplacementNotRequested), "{}", summary(&plan));
        deployment.iterate_replacing(&[replaced]).await;
    }
}

/// The network of a datacenter is replaced while one of its workers is removed.
#[tokio::test(start_paused = true)]
async fn a_removed_worker_leaves_before_its_network_is_replaced() {
    let removed = ("[[datacenters.cloud.workers]]\nname = \"cloud-b\"\n", "");
    let subnet = ("\nsubnet_cidr = \"10.50.1.0/24\"", "\nsubnet_cidr = \"10.50.9.0/24\"");
    let location = (
        "\n[datacenters.cloud.azure]\n",
        "\n[datacenters.cloud.azure]\nlocation = \"canadacentral\"\n",
    );
    let group = (CLOUD_GROUP, "resource_group = \"lab-new\"");
    let cases = [
        (subnet, "subnet/cloud/stargate-subnet"),
        (("10.50.", "10.53."), "virtual-network/cloud/stargate-vnet"),
        (location, "resource-group/cloud/lab-cloud"),
        (group, "resource-group/cloud/lab-cloud"),
    ];
    for (edited, replaced) in cases {
        let before = applied(TWO_DATACENTERS, 74).await;
        let deployment = before.edited(&edit(TWO_DATACENTERS, &[removed, edited]));
        let refused = deployment.plan().await;
        let codes: Vec<Code> = refused.blocked.iter().map(|it| it.failure.code).collect();
        assert!(codes.contains(&Code::ReplacementNotRequested), "{}", summary(&refused));
        deployment.iterate_replacing(&[replaced]).await;
    }
}
