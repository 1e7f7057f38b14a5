//! Protection is recorded on objects: it holds after its block left the topology, until an
//! apply removes the record.

use std::collections::BTreeSet;

use serde_json::Value;
use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Action, Change, Plan, PlanStatus};
use stargate::resource::protection::{PROTECT_ANNOTATION, PROTECT_TAG};
use stargate::resource::{Api, ArmId, Kind};
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, failures, summary};

const ATTIC: &str = "[datacenters.attic]\n";
pub(crate) const CLOUD_B: &str = "[[datacenters.cloud.workers]]\nname = \"cloud-b\"\n";
const ATTIC_A: &str = "[[datacenters.attic.workers]]\nname = \"attic-a\"\nip = \"10.60.1.5\"\nmac = \
                       \"52:54:00:00:00:05\"\n";

pub(crate) fn edit(text: &str, from: &str, to: &str) -> String {
    assert!(text.contains(from), "{from}");
    text.replacen(from, to, 1)
}

pub(crate) fn with_protection(table: &str, protect: bool) -> String {
    edit(TWO_DATACENTERS, table, &format!("{table}protect = {protect}\n"))
}

pub(crate) fn without_datacenter(name: &str) -> String {
    let (begin, end) = (TWO_DATACENTERS.find("[datacenters.cloud]\n"), TWO_DATACENTERS.find(ATTIC));
    let (begin, end) = (begin.unwrap(), end.unwrap());
    match name {
        "cloud" => format!("{}{}", &TWO_DATACENTERS[..begin], &TWO_DATACENTERS[end..]),
        _ => TWO_DATACENTERS[..end].to_owned(),
    }
}

/// Every block with `protect`, with the topology that remains without the block.
fn blocks() -> Vec<(&'static str, String)> {
    vec![
        ("[datacenters.cloud]\n", without_datacenter("cloud")),
        (ATTIC, without_datacenter("attic")),
        (CLOUD_B, edit(TWO_DATACENTERS, CLOUD_B, "")),
        (ATTIC_A, edit(TWO_DATACENTERS, ATTIC_A, "")),
    ]
}

pub(crate) fn allowing_loss() -> RefreshOptions {
    RefreshOptions { allow_loss: true, ..RefreshOptions::default() }
}

pub(crate) async fn apply_all(deployment: &Deployment) {
    let applied = deployment.apply(&allowing_loss()).await;
    let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
    assert_eq!(applied.status, ApplyStatus::Converged, "{}\n{left}", failures(&applied).join("\n"));
}

/// The topology with a protected block, applied.
pub(crate) async fn protected(table: &str) -> Deployment {
    let deployment = Deployment::of(&with_protection(table, true), SandboxState::new(7));
    deployment.iterate().await;
    deployment
}

fn ends(plan: &Plan) -> Vec<String> {
    let ends =
        plan.changes.iter().filter(|it| matches!(it.action, Action::Delete | Action::Replace));
    ends.map(|it| format!("{:?} {}", it.action, it.address)).collect()
}

fn is_record_only(plan: &Plan) -> bool {
    plan.changes.iter().all(Change::records_protection_only)
}

/// The groups, and the objects in them that can have tags.
fn objects(sandbox: &SandboxState) -> Vec<(ArmId, Value)> {
    let types = Kind::ALL.iter().filter_map(|kind| kind.arm().map(|arm| arm.name));
    let types: BTreeSet<&str> = types.collect();
    let found = types.into_iter().flat_map(|name| sandbox.arm.list(&name.to_ascii_lowercase()));
    found.map(|(id, body)| (id.clone(), body.clone())).collect()
}

/// The objects that carry a record: ids of Azure, Nodes and Servers.
pub(crate) fn carriers(deployment: &Deployment) -> Vec<String> {
    deployment.sandbox.read(|sandbox| {
        let tagged = |(_, body): &(ArmId, Value)| !body["tags"][PROTECT_TAG].is_null();
        let azure = objects(sandbox).into_iter().filter(tagged).map(|(id, _)| id.to_string());
        let store = sandbox.kubernetes.as_ref().unwrap();
        let kinds = [("v1", "Node"), ("stargate.io/v1alpha1", "Server")];
        let cluster = kinds.into_iter().flat_map(|(version, kind)| store.list(version, kind, None));
        let annotated =
            |object: &Value| !object["metadata"]["annotations"][PROTECT_ANNOTATION].is_null();
        let cluster = cluster.filter(|it| annotated(it));
        let cluster = cluster.map(|it| format!("{} {}", it["kind"], it["metadata"]["name"]));
        let stamped = sandbox.hosts.values().filter(|host| host.protected_by.is_some());
        let hosts = stamped.map(|host| format!("host {}", host.name));
        azure.chain(cluster).chain(hosts).collect()
    })
}

#[tokio::test(start_paused = true)]
async fn a_block_that_was_removed_is_still_protected() {
    for (table, without) in blocks() {
        let deployment = protected(table).await;
        let removed = deployment.edited(&without);
        let plan = removed.plan().await;
        assert_eq!(ends(&plan), Vec::<String>::new(), "{table}");
        let recorded = |text: &str| text.contains("recorded") && !text.contains("/work");
        let blocked = plan.blocked.iter().filter(|it| it.failure.code == Code::Protected);
        let blocked: Vec<_> = blocked.filter(|it| recorded(&it.failure.message)).collect();
        assert!(!blocked.is_empty(), "{table}\n{}", summary(&plan));
        assert!(blocked.iter().all(|it| it.failure.remedy.contains("protect = false")), "{table}");
        assert_eq!(plan.status(), PlanStatus::Blocked, "{table}\n{}", summary(&plan));
        let before = deployment.copy_of_state();
        let now = deployment.sandbox.now();
        let connected = before.connected_nodes(now);
        removed.apply(&RefreshOptions::default()).await;
        // Nor do the other sites stop to reach it.
        let after = removed.sandbox.read(|state| state.connected_nodes(now));
        assert_eq!(connected.difference(&after).next(), None, "{table}");
        let kept = |state: &SandboxState| {
            let nodes = state.kubernetes.as_ref().unwrap().list("v1", "Node", None).len();
            (objects(state).len(), nodes, state.tailnet.devices().count())
        };
        assert_eq!(kept(&before), removed.sandbox.read(kept), "{table}");
        // With its block back, nothing differs.
        let back = deployment.edited(&with_protection(table, true));
        apply_all(&back).await;
        assert!(back.plan().await.is_empty(), "{table}");
    }
}

/// Objects that a refused edit leaves in place stay reachable: no other site sends their
/// packets to unused addresses.
#[tokio::test(start_paused = true)]
async fn a_protected_datacenter_stays_reachable_when_its_network_is_edited() {
    let text = with_protection(ATTIC, true);
    let (before, attic) = text.split_at(text.find(ATTIC).unwrap());
    let network = format!("{before}{}", attic.replace("10.60.", "10.61."));
    let pool = edit(&text, "10.244.128.0/20", "10.244.144.0/20");
    for edited in [network, pool] {
        let deployment = protected(ATTIC).await;
        let now = deployment.sandbox.now();
        let connected = deployment.sandbox.read(|state| state.connected_nodes(now));
        let edited = deployment.edited(&edited);
        let plan = edited.plan().await;
        assert_eq!(plan.status(), PlanStatus::Blocked, "{}", summary(&plan));
        edited.apply(&RefreshOptions::default()).await;
        let after = edited.sandbox.read(|state| state.connected_nodes(now));
        assert_eq!(connected.difference(&after).next(), None, "{}", summary(&plan));
    }
}

#[tokio::test(start_paused = true)]
async fn a_lifted_protection_lets_its_block_go() {
    for (table, without) in blocks() {
        let deployment = protected(table).await;
        assert!(!carriers(&deployment).is_empty(), "{table}");
        let lifted = deployment.edited(&with_protection(table, false));
        let plan = lifted.plan().await;
        assert!(!plan.changes.is_empty() && is_record_only(&plan), "{table}\n{}", summary(&plan));
        assert!(plan.blocked.is_empty(), "{table}\n{}", summary(&plan));
        apply_all(&lifted).await;
        assert_eq!(carriers(&lifted), Vec::<String>::new(), "{table}");
        let removed = deployment.edited(&without);
        assert!(!ends(&removed.plan().await).is_empty(), "{table}");
        apply_all(&removed).await;
        assert!(removed.plan().await.is_empty(), "{table}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_older_deployment_gets_its_records_without_a_disruption() {
    let deployment = Deployment::of(TWO_DATACENTERS, SandboxState::new(8));
    deployment.iterate().await;
    let tables = [
        "[cluster]\n",
        "[cluster.router]\n",
        "[datacenters.cloud.router]\n",
        "[datacenters.attic.router]\n",
    ];
    let tables = tables.into_iter().chain(blocks().into_iter().map(|(table, _)| table));
    for table in tables {
        let edited = deployment.edited(&with_protection(table, true));
        let plan = edited.plan().await;
        assert!(!plan.changes.is_empty() && is_record_only(&plan), "{table}\n{}", summary(&plan));
        assert!(plan.rollout.is_none(), "{table}");
        assert!(plan.changes.iter().all(|it| it.interrupts.is_none()), "{table}");
        assert_eq!(plan.reachability.disruptions.len(), 0, "{table}\n{}", summary(&plan));
        let puts = puts(&edited);
        apply_all(&edited).await;
        assert_eq!(puts, self::puts(&edited), "{table}");
        assert!(edited.plan().await.is_empty(), "{table}");
        apply_all(&deployment.edited(&with_protection(table, false))).await;
    }
}

/// Requests that write an object of Azure whole.
fn puts(deployment: &Deployment) -> u64 {
    deployment.sandbox.read(|sandbox| {
        let writes = &sandbox.log.counts()[&Api::Azure];
        writes.iter().filter(|(route, _)| route.starts_with("PUT")).map(|(_, count)| count).sum()
    })
}

#[tokio::test(start_paused = true)]
async fn a_destroy_stops_before_the_first_deletion_while_a_record_remains() {
    for (table, without) in blocks() {
        let deployment = protected(table).await;
        for text in [without, with_protection(table, false)] {
            let edited = deployment.edited(&text);
            let plan = edited.refresh_and_plan(&RefreshOptions::destroying()).await.plan;
            assert!(plan.changes.is_empty(), "{table}\n{}", summary(&plan));
            let mut remedies = plan.blocked.iter().map(|it| &it.failure.remedy);
            assert!(remedies.any(|it| it.contains("stargate apply")), "{table}");
            let writes = edited.writes();
            let applied = edited.apply(&RefreshOptions::destroying()).await;
            assert_eq!(applied.status, ApplyStatus::Blocked, "{table}");
            assert_eq!(edited.writes(), writes, "{table}");
        }
        let lifted = deployment.edited(&with_protection(table, false));
        apply_all(&lifted).await;
        let destroyed = lifted.apply(&RefreshOptions::destroying()).await;
        assert_eq!(destroyed.status, ApplyStatus::Converged, "{}", failures(&destroyed).join("\n"));
    }
}

/// A plan that was saved before the protection was recorded has no authority over it.
#[tokio::test(start_paused = true)]
async fn a_saved_plan_does_not_delete_resources_protected_after_it() {
    for (table, without) in blocks() {
        let deployment = Deployment::of(TWO_DATACENTERS, SandboxState::new(9));
        deployment.iterate().await;
        let removed = deployment.edited(&without);
        let saved = removed.refresh_and_plan(&allowing_loss()).await.plan;
        assert!(!ends(&saved).is_empty(), "{table}");
        apply_all(&deployment.edited(&with_protection(table, true))).await;
        let marked = carriers(&deployment);
        // The plan that is made now does not contain its deletions.
        assert!(removed.apply_saved(&saved).await.is_err(), "{table}");
        // And each step refuses by itself.
        removed.apply_once(&saved).await;
        assert_eq!(carriers(&deployment), marked, "{table}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_was_removed_is_written_again() {
    let deployment = protected("[datacenters.cloud]\n").await;
    let marked = carriers(&deployment);
    deployment.sandbox.change(|sandbox, _| {
        for (id, _) in objects(sandbox) {
            let untag = |body: &mut Value| {
                if let Some(tags) = body["tags"].as_object_mut() {
                    tags.remove(PROTECT_TAG);
                }
            };
            sandbox.arm.modify(&id, untag, &mut String::new);
        }
    });
    let plan = deployment.plan().await;
    assert!(!plan.changes.is_empty() && is_record_only(&plan), "{}", summary(&plan));
    // Nodes and Servers still carry it.
    let removed = deployment.edited(&without_datacenter("cloud"));
    assert_eq!(ends(&removed.plan().await), Vec::<String>::new());
    apply_all(&deployment).await;
    assert_eq!(carriers(&deployment), marked);
}

/// The protection of an object with an unreadable tag is unknown.
#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_be_read_deletes_nothing() {
    let deployment = Deployment::of(TWO_DATACENTERS, SandboxState::new(10));
    deployment.iterate().await;
    deployment.sandbox.change(|sandbox, _| {
        let machine = sandbox.arm.list("microsoft.compute/virtualmachines");
        let id = machine.map(|(id, _)| id.clone()).find(|id| id.name() == "cloud-b").unwrap();
        let garble = |body: &mut Value| body["tags"][PROTECT_TAG] = 1.into();
        sandbox.arm.modify(&id, garble, &mut String::new);
    });
    for (_, without) in blocks() {
        let plan = deployment.edited(&without).plan().await;
        let azure = |it: &&String| it.contains("virtual-machine") || it.contains("network-");
        assert_eq!(ends(&plan).iter().find(azure), None, "{}", summary(&plan));
        let device = ends(&plan).into_iter().find(|it| it.contains("tailnet-device"));
        assert_eq!(device, None, "{}", summary(&plan));
        assert_eq!(plan.status(), PlanStatus::Unknown);
    }
    assert!(!deployment.plan().await.changes.iter().any(|it| it.address.kind == Kind::Worker));
}

/// The objects of the old name stay, and so do their records elsewhere.
#[tokio::test(start_paused = true)]
async fn a_protected_block_that_is_renamed_keeps_its_objects() {
    for (table, old, new) in [
        ("[datacenters.cloud]\n", "datacenters.cloud", "datacenters.sky"),
        ("[datacenters.cloud.router]\n", "\"cloud-router\"", "\"sky-router\""),
        (CLOUD_B, "\"cloud-b\"", "\"sky-b\""),
    ] {
        let deployment = protected(table).await;
        let marked = carriers(&deployment);
        let renamed = with_protection(table, true).replace(old, new);
        let renamed = deployment.edited(&renamed);
        assert_eq!(ends(&renamed.plan().await), Vec::<String>::new(), "{table}");
        renamed.apply(&allowing_loss()).await;
        let left = carriers(&renamed);
        assert!(marked.iter().all(|it| left.contains(it)), "{table}: {marked:?} {left:?}");
    }
}

/// Only the block that is recorded lifts its protection: one of another name, without
/// `protect`, does not.
#[tokio::test(start_paused = true)]
async fn another_name_of_a_block_does_not_lift_its_protection() {
    let deployment = protected("[datacenters.cloud]\n").await;
    let marked = carriers(&deployment);
    for lift in ["", "protect = false\n"] {
        let renamed = TWO_DATACENTERS.replace("datacenters.cloud", "datacenters.sky");
        let table = "[datacenters.sky]\n";
        let renamed = deployment.edited(&edit(&renamed, table, &format!("{table}{lift}")));
        let plan = renamed.plan().await;
        assert_eq!(ends(&plan), Vec::<String>::new(), "{}", summary(&plan));
        renamed.apply(&allowing_loss()).await;
        let left = carriers(&renamed);
        assert!(marked.iter().all(|it| left.contains(it)), "{lift}: {marked:?} {left:?}");
    }
}

/// A router that joins for the first time is not replaced by that, nor is one that joins
/// again after its device was deleted.
#[tokio::test(start_paused = true)]
async fn a_protected_router_of_existing_machines_joins() {
    let deployment = Deployment::of(&without_datacenter("attic"), SandboxState::new(7));
    deployment.iterate().await;
    for table in [ATTIC, "[datacenters.attic.router]\n"] {
        let added = deployment.edited(&with_protection(table, true));
        let plan = added.plan().await;
        assert!(plan.blocked.is_empty(), "{table}: {}", summary(&plan));
    }
    let added = deployment.edited(&with_protection(ATTIC, true));
    apply_all(&added).await;
    assert!(added.plan().await.is_empty());
}

/// A worker neither leaves a protected datacenter for another one, nor does its machine go.
#[tokio::test(start_paused = true)]
async fn a_worker_does_not_move_out_of_a_protected_datacenter() {
    let deployment = protected("[datacenters.cloud]\n").await;
    let attic = "\n[[datacenters.attic.workers]]\nname = \"cloud-b\"\nip = \"10.60.1.9\"\nmac = \
                 \"52:54:00:00:00:09\"\n";
    for protect in [true, false] {
        let text = with_protection("[datacenters.cloud]\n", true);
        let text = match protect {
            true => text,
            // The record alone keeps it.
            false => without_datacenter("cloud"),
        };
        let moved = format!("{}{attic}", text.replacen(CLOUD_B, "", 1));
        let moved = deployment.edited(&moved);
        let plan = moved.plan().await;
        assert_eq!(ends(&plan), Vec::<String>::new(), "{}", summary(&plan));
        let mut blocked = plan.blocked.iter().filter(|it| it.address.kind == Kind::Worker);
        assert!(blocked.any(|it| it.failure.code == Code::Protected), "{}", summary(&plan));
    }
}

/// The datacenter stays whole: its workers would leave a router behind that serves nothing.
#[tokio::test(start_paused = true)]
async fn a_protected_router_of_existing_machines_stays_without_its_datacenter() {
    let deployment = protected("[datacenters.attic.router]\n").await;
    let removed = deployment.edited(&without_datacenter("attic"));
    let plan = removed.plan().await;
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
    for kind in [Kind::TailnetDevice, Kind::RouterHost, Kind::Worker, Kind::Server] {
        let blocked = plan.blocked.iter().find(|it| it.address.kind == kind);
        assert_eq!(blocked.map(|it| it.failure.code), Some(Code::Protected), "{}", summary(&plan));
    }
    for _ in 0..3 {
        let applied = removed.apply(&allowing_loss()).await;
        let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
        assert_eq!(applied.status, ApplyStatus::Blocked, "{:?}\n{left}", failures(&applied));
        assert_eq!(removed.plan().await.status(), PlanStatus::Blocked);
    }
    let plan = removed.plan().await;
    assert_eq!(ends(&plan), Vec::<String>::new(), "{}", summary(&plan));
    // The datacenter can come back.
    let back = removed.edited(&with_protection("[datacenters.attic.router]\n", true));
    apply_all(&back).await;
    assert!(back.plan().await.is_empty());
    let is_member = |state: &SandboxState| {
        state.tailnet.devices().any(|device| device.hostname == "attic-router")
    };
    assert!(removed.sandbox.read(is_member));
    assert_eq!(carriers(&removed), ["host attic-router"]);
}
