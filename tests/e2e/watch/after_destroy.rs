//! Another process destroys the topology beside a watch that makes all changes: nothing is
//! created again until a person does it.

use std::collections::BTreeSet;
use std::time::Duration;

use stargate::apply::ApplyStatus;
use stargate::lease::{LeaseIdentity, LeaseSlot};
use stargate::plan::{Action, ApprovalReason};
use stargate::provider::cluster::{COMMAND_ANNOTATION, DESTROY_COMMAND};
use stargate::resource::Kind;
use stargate::sandbox::SandboxState;
use stargate::watch::{ReconcileResult, Trigger};
use tokio::time::sleep;

use super::approval::WORKER_2;
use super::{Watch, watched, watching};
use crate::harness::{Deployment, RefreshOptions};

fn azure_objects(deployment: &Deployment) -> usize {
    let groups =
        |sandbox: &SandboxState| sandbox.arm.list("Microsoft.Resources/resourceGroups").count();
    deployment.sandbox.read(groups)
}

/// Asserts that everything waits, and why.
fn waits(watch: &Watch<'_>) {
    let last = watch.last().reconciled;
    assert_eq!((last.result, last.changes), (ReconcileResult::AwaitsApproval, 0), "{last:#?}");
    let mut waiting = last.awaiting_approval.iter();
    assert!(waiting.all(|it| it.action == Action::Create), "{last:#?}");
    let after_destroy: BTreeSet<Kind> = last
        .awaiting_approval
        .iter()
        .filter(|it| it.reason == ApprovalReason::AfterDestroy)
        .map(|it| it.address.kind)
        .collect();
    assert!(after_destroy.contains(&Kind::ManagedCluster), "{last:#?}");
}

/// The watch creates the deployment first, or finds it; a person destroys it and, later,
/// creates it again.
#[tokio::test(start_paused = true)]
async fn nothing_that_was_destroyed_is_created_again() {
    let text = watched("apply = \"all\"");
    for is_first in [true, false] {
        let deployment = match is_first {
            true => Deployment::of(&text, SandboxState::new(1)),
            false => Deployment::example_applied().await,
        };
        watching(&deployment, &text, async |watch| {
            watch.settles().await;
            watch.matches();
            let destroyed = deployment.apply(&RefreshOptions::destroying()).await;
            assert_eq!(destroyed.status, ApplyStatus::Converged);
            for _ in 0..2 {
                watch.triggers.add(Trigger::Request);
                watch.settles().await;
                waits(watch);
                assert_eq!(azure_objects(&deployment), 0);
            }
            deployment.iterate().await;
            watch.triggers.add(Trigger::Request);
            watch.settles().await;
            watch.matches();
            let without = text.replace(WORKER_2, "");
            watch.edit(Some(&without)).await;
            watch.settles().await;
            deployment.edited(&without).iterate().await;
            watch.edit(Some(&text)).await;
            watch.settles().await;
            watch.matches();
        })
        .await;
    }
}

/// A process that destroys the topology holds the lease and ends before it deleted the cluster:
/// what is missing then waits.
#[tokio::test(start_paused = true)]
async fn nothing_is_created_after_a_destroy_that_ended_early() {
    let text = watched("apply = \"all\"");
    let without = text.replace(WORKER_2, "");
    let deployment = Deployment::of(&without, SandboxState::new(1));
    deployment.iterate().await;
    let other = LeaseSlot::new(LeaseIdentity::new(&deployment.topology.name, "a destroy"));
    other.annotate(COMMAND_ANNOTATION, DESTROY_COMMAND.to_owned());
    let owner = deployment.scope(&RefreshOptions::default()).owner();
    let client = deployment.clients.cluster.connect("", owner).await.unwrap();
    watching(&deployment, &without, async |watch| {
        watch.settles().await;
        watch.matches();
        let now = deployment.sandbox.now();
        other.acquire(client.clone(), now, &|_| (), |_| ()).await.unwrap();
        watch.edit(Some(&text)).await;
        sleep(Duration::from_secs(120)).await;
        other.release().await.unwrap();
        sleep(Duration::from_secs(120)).await;
        watch.settles().await;
        let last = watch.last().reconciled;
        assert_eq!((last.result, last.changes), (ReconcileResult::AwaitsApproval, 0), "{last:#?}");
        let mut waiting = last.awaiting_approval.iter();
        assert!(
            waiting.any(|it| it.reason == ApprovalReason::AfterDestroy
                && it.address.kind == Kind::VirtualMachine),
            "{last:#?}"
        );
    })
    .await;
}
