//! Changes that wait together with a change of a worker that awaits approval.

use std::collections::BTreeSet;

use stargate::plan::Action;
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;
use stargate::sandbox::faults::Fault;
use stargate::watch::{ReconcileResult, Reconciled};

use super::approval::WORKER_2;
use super::topology_object::{approve, digest};
use super::{NO_TIMER, reporting, watched, watching};
use crate::harness::{Deployment, TWO_DATACENTERS};
use crate::node_pools::routes_are_complete;
use crate::observer::Observer;

fn awaiting(reconciled: &Reconciled) -> BTreeSet<(Action, Kind)> {
    reconciled.awaiting_approval.iter().map(|it| (it.action, it.address.kind)).collect()
}

/// The ordered pairs of nodes whose pods connect.
fn connected(deployment: &Deployment) -> BTreeSet<(String, String)> {
    let now = deployment.sandbox.now();
    deployment.sandbox.read(|state| state.connected_nodes(now))
}

/// Rules and routes that lead to workers wait with the removal of the workers.
#[tokio::test(start_paused = true)]
async fn no_rule_is_narrowed_before_the_removal_of_its_workers_is_approved() {
    let settings = format!("\n[watch]\n{NO_TIMER}\napply = \"all\"\n");
    let text = format!("{TWO_DATACENTERS}{settings}");
    let attic = TWO_DATACENTERS.find("[datacenters.attic]\n").unwrap();
    let without = format!("{}{settings}", &TWO_DATACENTERS[..attic]);
    let deployment = Deployment::of(&text, SandboxState::new(7));
    watching(&deployment, &text, async |watch| {
        watch.settles().await;
        watch.matches();
        let (pairs, observer) = (connected(&deployment), Observer::of(&deployment));
        watch.edit(Some(&without)).await;
        watch.settles().await;
        let last = watch.last().reconciled;
        assert_eq!((last.result, last.changes), (ReconcileResult::AwaitsApproval, 0), "{last:#?}");
        let waits = awaiting(&last);
        for kind in [Kind::NetworkSecurityGroup, Kind::RouteTable, Kind::RouterHost] {
            assert!(waits.contains(&(Action::Update, kind)), "{kind}: {waits:?}");
        }
        let no_changes = ["/leases", "Credential", "accessreviews"];
        let is_change = |call: &String| !no_changes.iter().any(|it| call.contains(it));
        let written = observer.calls().into_iter().find(is_change);
        assert_eq!((written, connected(&deployment)), (None, pairs));
    })
    .await;
}

/// Routes to a worker are made together with it: until its join is approved, its addresses
/// lead to no machine. Those of a node of AKS that comes in the meantime do not wait.
#[tokio::test(start_paused = true)]
async fn routes_to_a_worker_wait_with_its_join() {
    let text = watched("");
    let without = text.replace(WORKER_2, "");
    let deployment = Deployment::of(&without, SandboxState::new(1));
    deployment.iterate().await;
    let to_worker = |deployment: &Deployment| {
        let state = serde_json::to_string(&deployment.copy_of_state().arm).unwrap();
        state.matches("10.244.66.0/24").count()
    };
    reporting(&deployment, &without, async |watch| {
        watch.settles().await;
        watch.matches();
        let before = deployment.writes();
        watch.edit(Some(&text)).await;
        watch.settles().await;
        let last = watch.last().reconciled;
        assert_eq!((last.result, last.changes), (ReconcileResult::AwaitsApproval, 0), "{last:#?}");
        let waits = awaiting(&last);
        for kind in [Kind::RouteTable, Kind::RouterHost] {
            assert!(waits.contains(&(Action::Update, kind)), "{kind}: {waits:?}");
        }
        assert_eq!(to_worker(&deployment), 0);
        let first = digest(&deployment);
        deployment.inject(Fault::AksScaleOut, None);
        watch.settles().await;
        routes_are_complete(&deployment);
        assert!(deployment.writes() > before);
        assert_eq!(to_worker(&deployment), 0);
        assert_eq!(digest(&deployment), first, "the same changes wait");
        approve(&deployment, &first).await;
        watch.settles().await;
        watch.matches();
        assert!(to_worker(&deployment) > 0);
    })
    .await;
    let left = deployment.edited(&text).plan().await;
    assert!(left.is_empty(), "{}", crate::harness::summary(&left));
}

/// The record of a worker says where the worker is until its own change is approved.
#[tokio::test(start_paused = true)]
async fn the_record_of_a_worker_waits_with_its_worker() {
    let deployment = Deployment::example_applied().await;
    let text = watched("");
    for (name, edited) in [
        ("a datacenter is renamed", text.replace("datacenters.dc1", "datacenters.east")),
        ("an address changes", text.replace("10.50.1.6", "10.50.1.16")),
        (
            "pods get another range",
            text.replace("10.244.64.0/20", "10.244.96.0/20")
                .replace("10.244.65.0/24", "10.244.97.0/24")
                .replace("10.244.66.0/24", "10.244.98.0/24"),
        ),
    ] {
        let (pairs, observer) = (connected(&deployment), Observer::of(&deployment));
        watching(&deployment, &text, async |watch| {
            watch.settles().await;
            watch.matches();
            watch.edit(Some(&edited)).await;
            watch.settles().await;
            let last = watch.last().reconciled;
            assert_eq!(last.result, ReconcileResult::AwaitsApproval, "{name}: {last:#?}");
            let waits = awaiting(&last);
            assert!(waits.contains(&(Action::Update, Kind::Server)), "{name}: {waits:?}");
        })
        .await;
        let written = observer.calls().into_iter().find(|call| call.contains("/servers/"));
        assert_eq!((written, connected(&deployment)), (None, pairs), "{name}");
        deployment.sandbox.set_fault_injector(None);
        deployment.iterate().await;
    }
}
