//! Approvals by digest, as an annotation of the Topology object.

use std::collections::BTreeSet;
use std::time::Duration;

use stargate::lease::{Acquisition, LeaseIdentity, LeaseSlot};
use stargate::plan::Action;
use stargate::resource::Kind;
use stargate::sandbox::faults::Fault;
use stargate::watch::{ReconcileResult, Trigger};
use tokio::time::sleep;

use super::approval::WORKER_2;
use super::topology_object::{
    approval, approve, digest, has_conditions, is_consumed, nodes, status,
};
use super::{reporting, watched};
use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS};
use crate::refused_calls::{RefusedCalls, is_request};

/// The digest is the same in every process for as long as the same changes wait, and its
/// approval makes all of them and nothing else, once.
#[tokio::test(start_paused = true)]
async fn an_approval_makes_exactly_what_waits_and_is_used_once() {
    let deployment = Deployment::example_applied().await;
    let text = watched("");
    let removed = text.replace(WORKER_2, "");
    let mut digests = BTreeSet::new();
    for _ in 0..2 {
        reporting(&deployment, &removed, async |watch| {
            watch.settles().await;
            digests.insert(digest(&deployment));
            deployment.inject(Fault::AksScaleOut, None);
            watch.settles().await;
            digests.insert(digest(&deployment));
        })
        .await;
    }
    assert_eq!(digests.len(), 1, "{digests:?}");
    let approved = digests.pop_first().unwrap();
    let before = nodes(&deployment);
    reporting(&deployment, &removed, async |watch| {
        watch.settles().await;
        approve(&deployment, &approved).await;
        watch.settles().await;
        watch.matches();
        let deleted: Vec<_> = before.difference(&nodes(&deployment)).cloned().collect();
        assert_eq!(deleted, ["stargate-aks-e2e-2-worker-2"]);
        assert_eq!(approval(&deployment), (approved.clone(), "Done".to_owned()));
        is_consumed(&deployment);
        has_conditions(&deployment, "True", "Matches", None);
        // The same changes wait again: they need an approval of their own.
        watch.edit(Some(&text)).await;
        watch.settles().await;
        let again = digest(&deployment);
        approve(&deployment, &again).await;
        watch.settles().await;
        watch.matches();
        watch.edit(Some(&removed)).await;
        watch.settles().await;
        assert_eq!(digest(&deployment), approved);
        watch.triggers.add(Trigger::Request);
        watch.settles().await;
        assert_eq!(watch.last().reconciled.result, ReconcileResult::AwaitsApproval);
        assert_eq!(nodes(&deployment).len(), before.len(), "nothing is deleted");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_approval_of_another_plan_is_refused_and_shown() {
    let deployment = Deployment::example_applied().await;
    let text = watched("");
    reporting(&deployment, &text, async |watch| {
        watch.settles().await;
        approve(&deployment, "0123456789abcdef").await;
        watch.settles().await;
        assert_eq!(approval(&deployment), ("0123456789abcdef".to_owned(), "Refused".to_owned()));
        is_consumed(&deployment);
        let first = watch.removes_a_worker(&text).await;
        // The plan changes before it is approved.
        let other = text.replace(WORKER_2, "").replace("azure-k8s-worker", "worker");
        watch.edit(Some(&other)).await;
        watch.settles().await;
        let second = digest(&deployment);
        assert_ne!(first, second);
        let (before, writes) = (nodes(&deployment), deployment.writes());
        approve(&deployment, &first).await;
        watch.settles().await;
        assert_eq!(approval(&deployment), (first.clone(), "Refused".to_owned()));
        let message = status(&deployment)["approval"]["message"].to_string();
        assert!(message.contains(&second), "{message}");
        assert_eq!(nodes(&deployment), before);
        assert_eq!(deployment.writes() - writes, 3, "the approval, its removal and its refusal");
        // What was refused approves nothing later.
        watch.edit(Some(&text.replace(WORKER_2, ""))).await;
        watch.settles().await;
        assert_eq!(digest(&deployment), first);
        assert_eq!(nodes(&deployment), before);
        approve(&deployment, &first).await;
        watch.settles().await;
        watch.matches();
    })
    .await;
}

/// What is protected is blocked, and no approval changes that.
#[tokio::test(start_paused = true)]
async fn no_approval_deletes_what_is_protected() {
    let text = watched("").replace("[datacenters.dc1]", "[datacenters.dc1]\nprotect = true");
    let deployment = Deployment::of(&text, stargate::sandbox::SandboxState::new(1));
    deployment.iterate().await;
    let before = nodes(&deployment);
    reporting(&deployment, &text, async |watch| {
        watch.settles().await;
        watch.edit(Some(&text.replace(WORKER_2, ""))).await;
        watch.settles().await;
        has_conditions(&deployment, "False", "Blocked", Some("Stalled"));
        let status = status(&deployment);
        if let Some(digest) = status["pendingApproval"]["digest"].as_str() {
            approve(&deployment, digest).await;
        }
        approve(&deployment, "00000000000000000000000000000000").await;
        watch.settles().await;
        assert_eq!(nodes(&deployment), before);
    })
    .await;
}

/// Another apply holds the Lease: the approved changes are made after it.
#[tokio::test(start_paused = true)]
async fn an_approval_waits_for_the_lease() {
    let deployment = Deployment::example_applied().await;
    let other = LeaseSlot::new(LeaseIdentity::new(&deployment.topology.name, "another apply"));
    let owner = deployment.scope(&RefreshOptions::default()).owner();
    let client = deployment.clients.cluster.connect("", owner).await.unwrap();
    let text = watched("");
    reporting(&deployment, &text, async |watch| {
        watch.settles().await;
        let digest = watch.removes_a_worker(&text).await;
        let (now, before) = (deployment.sandbox.now(), nodes(&deployment));
        let acquired = other.acquire(client.clone(), now, &|_| (), |_| ()).await.unwrap();
        assert_eq!(acquired, Acquisition::Free);
        approve(&deployment, &digest).await;
        sleep(Duration::from_secs(300)).await;
        assert_eq!(nodes(&deployment), before);
        has_conditions(&deployment, "Unknown", "Changing", Some("Reconciling"));
        assert_eq!(approval(&deployment), (digest.clone(), "InProgress".to_owned()));
        other.release().await.unwrap();
        watch.settles().await;
        watch.matches();
        assert_eq!(approval(&deployment), (digest, "Done".to_owned()));
    })
    .await;
}

/// What a failed attempt left is made by the next one, in the same process.
#[tokio::test(start_paused = true)]
async fn an_approval_survives_a_failed_attempt() {
    let deployment = Deployment::example_applied().await;
    let text = watched("");
    reporting(&deployment, &text, async |watch| {
        watch.settles().await;
        let digest = watch.removes_a_worker(&text).await;
        deployment.sandbox.set_fault_injector(Some(RefusedCalls::of(409, |call| {
            is_request(call, "/virtualMachines/") && call.writes()
        })));
        approve(&deployment, &digest).await;
        sleep(Duration::from_secs(60)).await;
        assert_eq!(watch.last().reconciled.result, ReconcileResult::Failed);
        deployment.sandbox.set_fault_injector(None);
        sleep(Duration::from_secs(1200)).await;
        watch.matches();
        assert_eq!(approval(&deployment), (digest, "Done".to_owned()));
    })
    .await;
}

/// What an approval has made already is not made again by it while the rest fails.
#[tokio::test(start_paused = true)]
async fn an_approval_that_partly_failed_is_not_used_twice() {
    let deployment = Deployment::example_applied().await;
    reporting(&deployment, &watched("apply = \"none\""), async |watch| {
        watch.settles().await;
        deployment.inject(Fault::RouteMissing, None);
        deployment.inject(Fault::TailnetRouteUnapproved, None);
        watch.triggers.add(Trigger::Request);
        watch.settles().await;
        let digest = digest(&deployment);
        deployment.sandbox.set_fault_injector(Some(RefusedCalls::of(403, |call| {
            is_request(call, "/routes") && is_request(call, "/device/") && call.writes()
        })));
        approve(&deployment, &digest).await;
        sleep(Duration::from_secs(5)).await;
        assert_eq!(watch.last().reconciled.result, ReconcileResult::Failed);
        assert_eq!(watch.last().reconciled.changes, 1, "the route");
        deployment.inject(Fault::RouteMissing, None);
        sleep(Duration::from_secs(1200)).await;
        deployment.sandbox.set_fault_injector(None);
        sleep(Duration::from_secs(1200)).await;
        assert_eq!(watch.last().reconciled.result, ReconcileResult::AwaitsApproval);
        let left = deployment.plan().await;
        let left: Vec<_> = left.changes.iter().map(|change| change.address.kind).collect();
        assert_eq!(left, [Kind::RouteTable], "the route needs another approval");
    })
    .await;
}

/// The file no longer wants what waited by its former version, even if the watch has not
/// loaded it yet.
#[tokio::test(start_paused = true)]
async fn an_approval_of_a_version_that_was_edited_since_is_refused() {
    let deployment = Deployment::example_applied().await;
    let text = watched("");
    reporting(&deployment, &text, async |watch| {
        watch.settles().await;
        let digest = watch.removes_a_worker(&text).await;
        let before = nodes(&deployment);
        watch.file.write(Some(&text));
        approve(&deployment, &digest).await;
        sleep(Duration::from_secs(30)).await;
        watch.triggers.add(Trigger::TopologyFile);
        watch.settles().await;
        watch.matches();
        assert_eq!(nodes(&deployment), before, "nothing is deleted");
        assert_eq!(approval(&deployment), (digest, "Refused".to_owned()));
    })
    .await;
}

/// An approval also covers what the burst guard holds back.
#[tokio::test(start_paused = true)]
async fn an_approval_covers_a_burst() {
    let deployment = Deployment::example_applied().await;
    for _ in 0..4 {
        deployment.inject(Fault::AksScaleOut, None);
    }
    deployment.iterate().await;
    reporting(&deployment, &watched("max_removals = 1"), async |watch| {
        watch.settles().await;
        deployment.inject(Fault::AksScaleIn, None);
        deployment.inject(Fault::AksScaleIn, None);
        watch.settles().await;
        has_conditions(&deployment, "False", "Paused", None);
        approve(&deployment, &digest(&deployment)).await;
        watch.settles().await;
        watch.matches();
    })
    .await;
    assert!(deployment.plan().await.is_empty());
}

/// The status says that the approval makes pairs unreachable, and the approval covers it.
#[tokio::test(start_paused = true)]
async fn an_approval_covers_the_loss_of_pairs_that_it_names() {
    let settings = "\n[watch]\ninterval_seconds = 86400\napply = \"all\"\n";
    let attic = TWO_DATACENTERS.find("[datacenters.attic]\n").unwrap();
    let without = format!("{}{settings}", &TWO_DATACENTERS[..attic]);
    let deployment = Deployment::of(TWO_DATACENTERS, stargate::sandbox::SandboxState::new(7));
    deployment.iterate().await;
    reporting(&deployment, &without, async |watch| {
        watch.settles().await;
        let status = status(&deployment);
        assert_eq!(status["pendingApproval"]["losesPairs"], true, "{status:#}");
        approve(&deployment, &digest(&deployment)).await;
        watch.settles().await;
        watch.matches();
    })
    .await;
    assert!(!nodes(&deployment).contains("attic-a"));
}

/// `none` makes what is approved, and nothing that comes beside it.
#[tokio::test(start_paused = true)]
async fn a_change_beside_the_approved_ones_waits() {
    let deployment = Deployment::example_applied().await;
    deployment.inject(Fault::TailnetRouteUnapproved, None);
    reporting(&deployment, &watched("apply = \"none\""), async |watch| {
        watch.settles().await;
        let first = digest(&deployment);
        deployment.inject(Fault::RouteMissing, None);
        approve(&deployment, &first).await;
        watch.settles().await;
        assert_eq!(approval(&deployment).1, "Refused");
        approve(&deployment, &digest(&deployment)).await;
        watch.settles().await;
        watch.matches();
        deployment.inject(Fault::RouteMissing, None);
        watch.triggers.add(Trigger::Request);
        watch.settles().await;
        let waiting = watch.last().reconciled.awaiting_approval;
        let kinds: Vec<_> = waiting.iter().map(|it| (it.action, it.address.kind)).collect();
        assert_eq!(kinds, [(Action::Update, Kind::RouteTable)]);
    })
    .await;
}
