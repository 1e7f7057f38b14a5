//! Approvals by digest, as an annotation of the Topology object.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stargate::lease::{Acquisition, LeaseIdentity, LeaseSlot};
use stargate::plan::Action;
use stargate::provider::http::Api;
use stargate::resource::Kind;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::sandbox::faults::Fault;
use stargate::watch::{ApprovalState, ReconcileResult, Trigger, WatchEvent};
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
async fn an_approval_makes_exactly_the_waiting_changes_and_is_used_once() {
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
        let is_refused = |event: &WatchEvent| {
            matches!(event, WatchEvent::Approval { digest, state, .. }
                if digest == "0123456789abcdef" && *state == ApprovalState::Refused)
        };
        assert!(watch.log.events().iter().any(is_refused), "it is in the log, too");
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
        // A refused digest approves nothing later.
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

/// A protected resource is blocked, and no approval changes that.
#[tokio::test(start_paused = true)]
async fn no_approval_deletes_protected_resources() {
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

fn refuse_changes_of_machines(deployment: &Deployment) {
    let refused =
        RefusedCalls::of(409, |call| is_request(call, "/virtualMachines/") && call.writes());
    deployment.sandbox.set_fault_injector(Some(refused));
}

/// The next attempt, in the same process, completes the changes of a failed one.
#[tokio::test(start_paused = true)]
async fn an_approval_survives_a_failed_attempt() {
    let deployment = Deployment::example_applied().await;
    let text = watched("");
    reporting(&deployment, &text, async |watch| {
        watch.settles().await;
        let digest = watch.removes_a_worker(&text).await;
        refuse_changes_of_machines(&deployment);
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

/// A plan without a source lacks changes: that is no reason to drop their approval.
#[tokio::test(start_paused = true)]
async fn an_approval_survives_an_outage_after_a_failed_attempt() {
    for api in [Api::Azure, Api::Tailscale] {
        let deployment = Deployment::example_applied().await;
        let text = watched("");
        reporting(&deployment, &text, async |watch| {
            watch.settles().await;
            let digest = watch.removes_a_worker(&text).await;
            refuse_changes_of_machines(&deployment);
            approve(&deployment, &digest).await;
            sleep(Duration::from_secs(60)).await;
            deployment.sandbox.set_fault_injector(None);
            deployment.sandbox.change(|sandbox, _| sandbox.down.insert(api));
            sleep(Duration::from_secs(600)).await;
            assert_eq!(watch.last().reconciled.result, ReconcileResult::Failed);
            deployment.sandbox.change(|sandbox, _| sandbox.down.clear());
            sleep(Duration::from_secs(1200)).await;
            assert_eq!(approval(&deployment), (digest, "Done".to_owned()), "{api}");
            watch.matches();
        })
        .await;
    }
}

/// An approval does not repeat completed changes while the others fail.
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

/// The file no longer contains the changes that waited under its former version, even if
/// the watch has not loaded it yet.
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

/// An approval also covers changes that the burst guard pauses: it names each of them. They
/// do not count, so that the limit of what is done without approval stays the same.
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
        deployment.inject(Fault::AksScaleIn, None);
        watch.settles().await;
        watch.matches();
        deployment.inject(Fault::AksScaleIn, None);
        watch.settles().await;
        has_conditions(&deployment, "False", "Paused", None);
    })
    .await;
    assert!(!deployment.plan().await.is_empty(), "the last removal waits");
}

/// The answer to the write that takes an approval is lost, and its repetition is refused.
#[tokio::test(start_paused = true)]
async fn an_approval_is_used_although_the_answer_to_its_removal_is_lost() {
    let deployment = Deployment::example_applied().await;
    let text = watched("");
    reporting(&deployment, &text, async |watch| {
        watch.settles().await;
        let digest = watch.removes_a_worker(&text).await;
        approve(&deployment, &digest).await;
        deployment.sandbox.set_fault_injector(Some(Arc::new(LostAnswer::default())));
        watch.settles().await;
        watch.matches();
        assert_eq!(approval(&deployment), (digest, "Done".to_owned()));
    })
    .await;
}

/// Loses the answer to the first change of a Topology, which takes effect.
#[derive(Debug, Default)]
struct LostAnswer(AtomicBool);

impl FaultInjector for LostAnswer {
    fn before(&self, _: &Call) -> Disposition {
        Disposition::Pass
    }

    fn after(&self, call: &Call) -> Delivery {
        let is_change = |path: &str| path.contains("/topologies/") && !path.ends_with("/status");
        match call {
            Call::Request { method, path, .. }
                if method == http::Method::PATCH
                    && is_change(path)
                    && !self.0.swap(true, Ordering::SeqCst) =>
            {
                Delivery::Lose
            }
            _ => Delivery::Deliver,
        }
    }
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
        assert!(status["pendingApproval"]["lostPairs"].as_u64() > Some(0), "{status:#}");
        approve(&deployment, &digest(&deployment)).await;
        watch.settles().await;
        watch.matches();
    })
    .await;
    assert!(!nodes(&deployment).contains("attic-a"));
}

/// `none` makes approved changes only.
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
