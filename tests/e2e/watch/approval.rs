//! Changes without approval, and changes that wait.

use std::collections::BTreeSet;
use std::time::Duration;

use stargate::diagnostics::Code;
use stargate::lease::{Acquisition, LeaseIdentity, LeaseSlot};
use stargate::plan::{Action, ApprovalReason};
use stargate::provider::http::Api;
use stargate::resource::Kind;
use stargate::sandbox::faults::Fault;
use stargate::topology::load::load_text;
use stargate::watch::{
    BlockedChange, PairCounts, ReconcileResult, Reconciled, Trigger, WatchEvent,
};
use tokio::time::sleep;

use super::{Watch, watched, watching};
use crate::harness::{Deployment, RefreshOptions};
use crate::node_pools::{nodes_and_routes, routes_are_complete};
use crate::refused_calls::{RefusedCalls, is_request};

pub(super) const WORKER_2: &str = "
[[datacenters.dc1.workers]]
name = \"stargate-aks-e2e-2-worker-2\"
ip = \"10.50.1.6\"
pod_cidr = \"10.244.66.0/24\"
";

fn awaiting(reconciled: &Reconciled) -> BTreeSet<(Action, Kind)> {
    reconciled.awaiting_approval.iter().map(|it| (it.action, it.address.kind)).collect()
}

#[tokio::test(start_paused = true)]
async fn a_report_changes_nothing_and_lists_everything() {
    let deployment = Deployment::example_applied().await;
    deployment.inject(Fault::RouteMissing, None);
    deployment.inject(Fault::TailnetRouteUnapproved, None);
    let before = deployment.writes();
    watching(&deployment, &watched("apply = \"none\""), async |watch| {
        watch.settles().await;
        let last = watch.last().reconciled;
        assert_eq!(last.result, ReconcileResult::AwaitsApproval);
        assert!(last.awaiting_approval.iter().all(|it| it.reason == ApprovalReason::ReportOnly));
        let kinds = [(Action::Update, Kind::ApprovedRoutes), (Action::Update, Kind::RouteTable)];
        assert_eq!(awaiting(&last), kinds.into());
    })
    .await;
    assert_eq!(deployment.writes(), before);
}

/// Faults that `routes` corrects, each by itself, while no person is there.
#[tokio::test(start_paused = true)]
async fn routes_are_corrected_without_approval() {
    for fault in [
        Fault::RouteMissing,
        Fault::RouteWrongHop,
        Fault::RouteStale,
        Fault::DcRouteMissing,
        Fault::TailnetRouteUnapproved,
        Fault::TailnetBroadRoute,
        Fault::RouterTableDetached,
        Fault::KernelRouteMissing,
        Fault::ForwardingOff,
        Fault::MasqueradeMissing,
        Fault::CiliumNodeEmpty,
        Fault::ServerRouterIpHostname,
    ] {
        let deployment = Deployment::example_applied().await;
        deployment.inject(fault, None);
        watching(&deployment, &watched(""), async |watch| {
            watch.settles().await;
            watch.matches();
        })
        .await;
        let left = deployment.plan().await;
        assert!(left.is_empty(), "{fault:?}:\n{}", crate::harness::summary(&left));
    }
}

/// An edit that removes a worker waits, its routes with it; a node that comes in the
/// meantime gets its route.
#[tokio::test(start_paused = true)]
async fn an_edit_waits_for_approval_while_routes_are_kept_in_step() {
    let deployment = Deployment::example_applied().await;
    let text = watched("");
    let removed = text.replace(WORKER_2, "");
    assert_ne!(removed, text);
    watching(&deployment, &text, async |watch| {
        watch.settles().await;
        watch.edit(Some(&removed)).await;
        watch.settles().await;
        let last = watch.last().reconciled;
        assert_eq!((last.result, last.changes), (ReconcileResult::AwaitsApproval, 0), "{last:#?}");
        let waits = awaiting(&last);
        assert!(waits.contains(&(Action::Delete, Kind::Worker)), "{waits:?}");
        assert!(waits.contains(&(Action::Delete, Kind::VirtualMachine)), "{waits:?}");
        assert!(waits.contains(&(Action::Update, Kind::RouteTable)), "{waits:?}");
        deployment.inject(Fault::AksScaleOut, None);
        watch.settles().await;
        let last = watch.last().reconciled;
        assert_eq!(last.result, ReconcileResult::AwaitsApproval, "{last:#?}");
        assert_eq!(awaiting(&last), waits);
        routes_are_complete(&deployment);
        watch.edit(Some(&text)).await;
        watch.settles().await;
        watch.matches();
    })
    .await;
    assert!(deployment.plan().await.is_empty());
}

/// `all` creates resources that an edit adds, and waits with deletions of machines.
#[tokio::test(start_paused = true)]
async fn everything_but_the_removal_of_machines_is_done() {
    let text = watched("apply = \"all\"");
    let without = text.replace(WORKER_2, "");
    let deployment = Deployment::of(&without, stargate::sandbox::SandboxState::new(1));
    watching(&deployment, &without, async |watch| {
        watch.settles().await;
        watch.matches();
        watch.edit(Some(&text)).await;
        watch.settles().await;
        watch.matches();
        watch.edit(Some(&without)).await;
        watch.settles().await;
        let last = watch.last().reconciled;
        assert_eq!((last.result, last.changes), (ReconcileResult::AwaitsApproval, 0), "{last:#?}");
        assert!(awaiting(&last).contains(&(Action::Delete, Kind::Worker)), "{last:#?}");
    })
    .await;
    let nodes = deployment
        .sandbox
        .read(|sandbox| sandbox.kubernetes.as_ref().unwrap().list("v1", "Node", None).len());
    assert_eq!(nodes, 4, "both workers stay");
}

/// More removals than the limit within ten minutes wait for a request, and more than the
/// limit at once for an apply. The prefix of a node is withdrawn in several places, and
/// counts once.
#[tokio::test(start_paused = true)]
async fn a_burst_of_removals_waits() {
    let deployment = Deployment::example_applied().await;
    for _ in 0..4 {
        deployment.inject(Fault::AksScaleOut, None);
    }
    deployment.iterate().await;
    let is_refused = |watch: &Watch<'_>| {
        let last = watch.last().reconciled;
        assert_eq!(last.result, ReconcileResult::AwaitsApproval, "{last:#?}");
        let mut reasons = last.awaiting_approval.iter().map(|it| &it.reason);
        assert!(reasons.all(|it| *it == ApprovalReason::TooManyRemovals), "{last:#?}");
    };
    watching(&deployment, &watched("max_removals = 1"), async |watch| {
        watch.settles().await;
        deployment.inject(Fault::AksScaleIn, None);
        watch.settles().await;
        watch.matches();
        deployment.inject(Fault::AksScaleIn, None);
        watch.settles().await;
        is_refused(watch);
        watch.triggers.add(Trigger::Request);
        watch.settles().await;
        watch.matches();
        deployment.inject(Fault::AksScaleIn, None);
        deployment.inject(Fault::AksScaleIn, None);
        watch.triggers.add(Trigger::Request);
        watch.settles().await;
        is_refused(watch);
        let (nodes, routes) = nodes_and_routes(&deployment);
        assert_eq!(routes.difference(&nodes).count(), 2);
        deployment.iterate().await;
        watch.triggers.add(Trigger::Request);
        watch.settles().await;
        watch.matches();
    })
    .await;
}

/// A burst of removals that cannot be made is not counted: the next one that can is made.
#[tokio::test(start_paused = true)]
async fn removals_are_counted_once_they_are_made() {
    let deployment = Deployment::example_applied().await;
    deployment.inject(Fault::AksScaleOut, None);
    deployment.iterate().await;
    watching(&deployment, &watched("max_removals = 1"), async |watch| {
        watch.settles().await;
        let before = watch.log.finished().len();
        deployment.sandbox.set_fault_injector(Some(RefusedCalls::of(409, |call| {
            call.writes() && !is_request(call, "/leases")
        })));
        deployment.inject(Fault::AksScaleIn, None);
        sleep(Duration::from_secs(120)).await;
        let failed = watch.log.finished().split_off(before);
        assert!(failed.len() >= 3, "{failed:#?}");
        for finished in &failed {
            assert_eq!(finished.reconciled.result, ReconcileResult::Failed, "{failed:#?}");
        }
        deployment.sandbox.set_fault_injector(None);
        sleep(Duration::from_secs(120)).await;
        watch.matches();
    })
    .await;
    routes_are_complete(&deployment);
}

/// Azure does not answer for half an hour: retries alone never pause changes.
#[tokio::test(start_paused = true)]
async fn changes_go_on_after_a_long_failure() {
    let deployment = Deployment::example_applied().await;
    let text = watched("").replace("interval_seconds = 86400", "interval_seconds = 60");
    watching(&deployment, &text, async |watch| {
        let before = watch.settles().await.len();
        deployment.sandbox.change(|sandbox, _| sandbox.down.insert(Api::Azure));
        watch.triggers.add(Trigger::Cluster);
        sleep(Duration::from_secs(1_800)).await;
        let failures = watch.log.finished().split_off(before);
        assert!(failures.len() > 20, "{} failures", failures.len());
        deployment.sandbox.change(|sandbox, _| sandbox.down.clear());
        deployment.inject(Fault::AksScaleOut, None);
        sleep(Duration::from_secs(90)).await;
        watch.matches();
    })
    .await;
    routes_are_complete(&deployment);
}

/// Reconciles that fail and succeed in turn pause changes, and say why.
#[tokio::test(start_paused = true)]
async fn failures_that_return_pause_changes() {
    let deployment = Deployment::example_applied().await;
    watching(&deployment, &watched(""), async |watch| {
        watch.settles().await;
        for _ in 0..8 {
            deployment.sandbox.set_fault_injector(Some(RefusedCalls::of(403, |call| {
                is_request(call, "/subscriptions/")
            })));
            watch.triggers.add(Trigger::Cluster);
            sleep(Duration::from_secs(4)).await;
            assert_eq!(watch.last().reconciled.result, ReconcileResult::Failed);
            deployment.sandbox.set_fault_injector(None);
            watch.settles().await;
            watch.settles().await;
            watch.matches();
        }
        deployment.inject(Fault::RouteMissing, None);
        watch.triggers.add(Trigger::Cluster);
        watch.settles().await;
        let last = watch.last().reconciled;
        assert_eq!(last.result, ReconcileResult::AwaitsApproval, "{last:#?}");
        assert!(
            last.awaiting_approval.iter().all(|it| it.reason == ApprovalReason::TooManyFailures)
        );
        watch.triggers.add(Trigger::Request);
        watch.settles().await;
        watch.matches();
    })
    .await;
}

/// A blocked change is reported with the reason and the remedy.
#[tokio::test(start_paused = true)]
async fn a_blocked_reconcile_names_blocked_changes() {
    let deployment = Deployment::example_applied().await;
    let renamed = watched("").replace("name = \"stargate-aks-e2e-2\"", "name = \"other-name\"");
    assert_ne!(renamed, watched(""));
    let topology = load_text("stargate.toml", &renamed).unwrap().topology;
    deployment.sandbox.change(|sandbox, _| sandbox.seed(&topology));
    let before = deployment.writes();
    watching(&deployment, &renamed, async |watch| {
        watch.settles().await;
        let last = watch.last().reconciled;
        assert_eq!(last.result, ReconcileResult::Blocked, "{last:#?}");
        assert!(!last.blocked.is_empty());
        let is_owned = |it: &&BlockedChange| it.failure.code == Code::OwnedByOtherTopology;
        let owned = last.blocked.iter().filter(is_owned).count();
        assert!(owned > 0, "{last:#?}");
        for blocked in &last.blocked {
            assert!(blocked.address.is_some() && blocked.action.is_some(), "{blocked:?}");
            assert!(!blocked.failure.message.is_empty() && !blocked.failure.remedy.is_empty());
        }
    })
    .await;
    assert_eq!(deployment.writes(), before);
}

/// Another process holds the lease: the watch names it, waits, and continues after it.
#[tokio::test(start_paused = true)]
async fn a_reconcile_waits_for_the_lease_of_an_apply() {
    let deployment = Deployment::example_applied().await;
    let other = LeaseSlot::new(LeaseIdentity::new(&deployment.topology.name, "another apply"));
    let owner = deployment.scope(&RefreshOptions::default()).owner();
    let client = deployment.clients.cluster.connect("", owner).await.unwrap();
    watching(&deployment, &watched(""), async |watch| {
        let before = watch.settles().await.len();
        let now = deployment.sandbox.now();
        let acquired = other.acquire(client.clone(), now, &|_| (), |_| ()).await.unwrap();
        assert_eq!(acquired, Acquisition::Free);
        deployment.inject(Fault::RouteMissing, None);
        watch.triggers.add(Trigger::Request);
        sleep(Duration::from_secs(300)).await;
        assert_eq!(watch.log.finished().len(), before, "it waits");
        let events = watch.log.events();
        let is_change = |it: &WatchEvent| matches!(it, WatchEvent::ChangeStarted { .. });
        assert!(!events.iter().any(is_change), "{events:#?}");
        let Some(WatchEvent::WaitingForLease { lease, holder }) = events.last() else {
            panic!("{events:#?}")
        };
        assert_eq!(
            (&lease[..], &holder[..]),
            ("stargate-write-stargate-aks-e2e-2", "another apply")
        );
        other.release().await.unwrap();
        sleep(Duration::from_secs(10)).await;
        watch.settles().await;
        assert!(watch.log.events().iter().any(is_change));
        watch.matches();
    })
    .await;
    let leases = deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        store.list("coordination.k8s.io/v1", "Lease", None).len()
    });
    assert_eq!(leases, 0, "each lease is released");
}

/// An edit that waits for approval cuts no pair: live objects still forward.
#[tokio::test(start_paused = true)]
async fn waiting_changes_are_no_outage() {
    let text = watched("apply = \"none\"");
    let another = WORKER_2.replace("worker-2", "worker-3").replace(".1.6", ".1.7");
    let another = another.replace("10.244.66.0", "10.244.67.0");
    let added = text.replace(WORKER_2, &format!("{WORKER_2}{another}"));
    let renamed = text.replace("stargate-aks-e2e-2-dc-router", "another-router");
    let deployment = Deployment::example_applied().await;
    for edited in [added, renamed] {
        assert_ne!(edited, text);
        watching(&deployment, &edited, async |watch| {
            watch.settles().await;
            let last = watch.last().reconciled;
            assert_eq!(last.result, ReconcileResult::AwaitsApproval);
            let PairCounts { reached, broken, unknown } = last.pairs;
            assert_eq!((reached, broken, unknown), (12, 0, 0));
        })
        .await;
    }
}
