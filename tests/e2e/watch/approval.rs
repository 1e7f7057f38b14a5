//! What is changed without approval, and what waits.

use std::collections::BTreeSet;

use stargate::plan::{Action, ApprovalReason};
use stargate::resource::Kind;
use stargate::sandbox::faults::Fault;
use stargate::watch::{ReconcileResult, Reconciled, Trigger};

use super::{Watch, watched, watching};
use crate::harness::Deployment;
use crate::node_pools::{nodes_and_routes, routes_are_complete};

const WORKER_2: &str = "
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

/// `all` creates what an edit adds, and waits with what ends a machine.
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
/// limit at once for an apply. Each node takes a route and an approved prefix with it.
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
    watching(&deployment, &watched("max_removals = 3"), async |watch| {
        watch.settles().await;
        deployment.inject(Fault::AksScaleIn, None);
        watch.settles().await;
        watch.matches();
        deployment.inject(Fault::AksScaleIn, None);
        watch.settles().await;
        is_refused(watch);
        watch.triggers.send(Trigger::Request).await.unwrap();
        watch.settles().await;
        watch.matches();
        deployment.inject(Fault::AksScaleIn, None);
        deployment.inject(Fault::AksScaleIn, None);
        watch.triggers.send(Trigger::Request).await.unwrap();
        watch.settles().await;
        is_refused(watch);
        let (nodes, routes) = nodes_and_routes(&deployment);
        assert_eq!(routes.difference(&nodes).count(), 2);
        deployment.iterate().await;
        watch.triggers.send(Trigger::Request).await.unwrap();
        watch.settles().await;
        watch.matches();
    })
    .await;
}

/// Another apply holds the lease: the watch waits, and continues after it.
#[tokio::test(start_paused = true)]
async fn a_reconcile_waits_for_the_lease_of_an_apply() {
    let deployment = Deployment::example_applied().await;
    watching(&deployment, &watched(""), async |watch| {
        let before = watch.settles().await.len();
        deployment.inject(Fault::RouteMissing, None);
        let (applied, ()) = tokio::join!(deployment.iterate(), async {
            watch.triggers.send(Trigger::Request).await.unwrap();
            watch.settles().await;
        });
        assert_eq!(applied.iterations, 1);
        assert!(watch.log.finished().len() > before);
        watch.matches();
    })
    .await;
    let leases = deployment.sandbox.read(|sandbox| {
        let store = sandbox.kubernetes.as_ref().unwrap();
        store.list("coordination.k8s.io/v1", "Lease", None).len()
    });
    assert_eq!(leases, 0, "each lease is released");
}
