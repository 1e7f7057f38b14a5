//! The topology lifts a protection, or keeps it, in the same edit that changes the block.

use stargate::apply::ApplyStatus;
use stargate::plan::{Action, Plan};
use stargate::resource::protection::PROTECT_TAG;
use stargate::resource::{ArmId, Kind};
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, TWO_DATACENTERS, failures, summary};
use crate::protection_records::{
    CLOUD_B, allowing_loss, apply_all, carriers, edit, protected, with_protection,
};

/// Resources that the topology no longer protects are deleted in one apply, and the plan
/// gives the reason.
#[tokio::test(start_paused = true)]
async fn a_removal_together_with_the_lift_is_one_apply() {
    let deployment = protected("[datacenters.cloud]\n").await;
    let text = with_protection("[datacenters.cloud]\n", false).replacen(CLOUD_B, "", 1);
    let edited = deployment.edited(&text);
    let plan = edited.plan().await;
    let machine = plan.changes.iter().find(|it| {
        it.address.kind == Kind::VirtualMachine && it.address.name.as_str() == "cloud-b"
    });
    let machine = machine.unwrap();
    assert_eq!(machine.action, Action::Delete, "{}", summary(&plan));
    let reason = &machine.planned_because_of;
    assert!(reason.contains("[datacenters.cloud] has no `protect = true`"), "{reason}");
    // Worker, Server, VM and interface; none of them is deferred or only loses its record.
    assert_eq!(plan.count(Action::Delete), 4, "{}", summary(&plan));
    assert!(plan.deferred.is_empty() && plan.blocked.is_empty(), "{}", summary(&plan));
    apply_all(&edited).await;
    assert_eq!(carriers(&edited), Vec::<String>::new());
    assert!(edited.plan().await.is_empty());
}

/// The router gets another name, and its block no longer protects it.
#[tokio::test(start_paused = true)]
async fn a_router_is_renamed_and_released_in_one_apply() {
    for (table, old, new) in [
        ("[datacenters.cloud.router]\n", "\"cloud-router\"", "\"cloud-gate\""),
        ("[cluster.router]\n", "\"lab-router\"", "\"lab-gate\""),
    ] {
        let unprotected = Deployment::of(TWO_DATACENTERS, SandboxState::new(5));
        unprotected.iterate().await;
        let renamed = TWO_DATACENTERS.replace(old, new);
        let expected = unprotected.edited(&renamed).plan().await;
        let edited = protected(table).await.edited(&renamed);
        let plan = edited.plan().await;
        let counts = |plan: &Plan| Action::ALL.map(|action| plan.count(action));
        assert_eq!(counts(&plan), counts(&expected), "{table}\n{}", summary(&plan));
        assert!(plan.blocked.is_empty(), "{table}\n{}", summary(&plan));
        apply_all(&edited).await;
        assert!(edited.plan().await.is_empty(), "{table}");
    }
}

/// A protected router that is renamed stays, with all its containers.
#[tokio::test(start_paused = true)]
async fn nothing_fails_beside_a_protected_router_that_is_renamed() {
    for (table, old, new) in [
        ("[datacenters.cloud.router]\n", "\"cloud-router\"", "\"cloud-gate\""),
        ("[cluster.router]\n", "\"lab-router\"", "\"lab-gate\""),
    ] {
        let edited = protected(table).await.edited(&with_protection(table, true).replace(old, new));
        for _ in 0..2 {
            let applied = edited.apply(&allowing_loss()).await;
            assert_eq!(applied.status, ApplyStatus::Blocked, "{table}: {:?}", failures(&applied));
        }
    }
}

/// Another program wrote the mark: the remedy names no block that cannot be.
#[tokio::test(start_paused = true)]
async fn a_mark_without_a_block_has_a_remedy_of_its_own() {
    let deployment = protected(CLOUD_B).await;
    deployment.sandbox.change(|sandbox, _| {
        let machines: Vec<ArmId> = sandbox
            .arm
            .list("Microsoft.Compute/virtualMachines")
            .map(|(id, _)| id.clone())
            .collect();
        for id in machines.iter().filter(|id| id.name() == "cloud-b") {
            sandbox.arm.modify(
                id,
                |body| body["tags"][PROTECT_TAG] = "true".into(),
                &mut String::new,
            );
        }
    });
    let edited = deployment.edited(&edit(TWO_DATACENTERS, CLOUD_B, ""));
    let plan = edited.plan().await;
    let machine = plan.blocked.iter().find(|it| it.address.kind == Kind::VirtualMachine).unwrap();
    let failure = &machine.failure;
    assert!(
        !failure.message.contains("[true]") && failure.message.contains("`true`"),
        "{failure:?}"
    );
    assert!(failure.remedy.contains("the tag `stargate-protect`"), "{failure:?}");
}
