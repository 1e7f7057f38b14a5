//! Devices with the topology's tag that are another topology's, or may be: none of them is
//! deleted, and no second router is made beside one.

use serde_json::json;
use stargate::apply::ApplyStatus;
use stargate::apply::events::Outcome;
use stargate::diagnostics::Code;
use stargate::plan::{Action, Plan, PlanStatus};
use stargate::resource::{ArmId, Kind};
use stargate::sandbox::SandboxState;
use stargate::sandbox::arm::SUBSCRIPTION;

use crate::harness::{Deployment, IgnoreProgress, RefreshOptions, TWO_DATACENTERS, summary};

const TAG: &str = "tag:stargate-stargate-aks-e2e-2";
const AKS_ROUTER: &str = "stargate-aks-e2e-2-router";
const DC_ROUTER: &str = "stargate-aks-e2e-2-dc-router";

/// Adds a device of another machine with the topology's tag. Returns its node id.
fn add_device(deployment: &Deployment, hostname: &str, online: bool) -> String {
    deployment.sandbox.change(|sandbox, now| {
        let SandboxState { tailnet, entropy, .. } = sandbox;
        let id = tailnet.add_foreign(hostname, &[], now, entropy);
        let device = tailnet.device_mut(&id).unwrap();
        device.tags = vec![TAG.to_owned()];
        device.online = online;
        device.joined = Some(now);
        id
    })
}

/// Adds a resource group that the topology owns.
fn add_own_group(deployment: &Deployment) {
    deployment.sandbox.change(|sandbox, _| {
        let SandboxState { arm, entropy, .. } = sandbox;
        let tags = json!({ "managed-by": "stargate", "stargate-topology": "stargate-aks-e2e-2",
                           "stargate-site": "cluster",
                           "stargate-resource": "resource-group/stargate-aks-e2e-2" });
        let body = json!({ "location": "canadacentral", "tags": tags,
                           "properties": { "provisioningState": "Succeeded" } });
        let id = ArmId::resource_group(SUBSCRIPTION, "stargate-aks-e2e-2");
        arm.upsert(&id, body, &mut || entropy.next_guid());
    });
}

fn has_device(deployment: &Deployment, id: &str) -> bool {
    deployment.sandbox.read(|sandbox| sandbox.tailnet.device(id).is_some())
}

fn deleted_devices(plan: &Plan) -> Vec<String> {
    let ends = |it: &&stargate::plan::Change| {
        it.address.kind == Kind::TailnetDevice
            && matches!(it.action, Action::Delete | Action::Replace)
    };
    plan.changes.iter().filter(ends).map(|it| it.address.name.to_string()).collect()
}

fn warns_of(plan: &Plan, text: &str) -> bool {
    let mut failures = plan.findings.iter().map(|finding| &finding.failure);
    failures.any(|it| it.code == Code::OwnedByOtherTopology && it.message.contains(text))
}

/// A router of another topology that is switched off is left alone, as one that is on.
#[tokio::test(start_paused = true)]
async fn a_device_that_no_object_records_is_not_deleted_on_or_off() {
    for online in [false, true] {
        let deployment = Deployment::example_applied().await;
        let id = add_device(&deployment, "their-router", online);
        let plan = deployment.plan().await;
        assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
        assert!(warns_of(&plan, "their-router"), "{}", summary(&plan));
        let applied = deployment.apply(&RefreshOptions::destroying()).await;
        let left = applied.remaining.as_ref().map(summary).unwrap_or_default();
        assert!(has_device(&deployment, &id), "{left}");
        let devices = deployment.sandbox.read(|sandbox| sandbox.tailnet.devices().count());
        assert_eq!(devices, 1, "the topology's own are deleted: {left}");
    }
}

/// A device that is off and has the name of a router may be another topology's router.
#[tokio::test(start_paused = true)]
async fn a_namesake_that_is_off_is_not_deleted() {
    for router in [AKS_ROUTER, DC_ROUTER] {
        let deployment = Deployment::example_applied().await;
        let id = add_device(&deployment, router, false);
        let plan = deployment.plan().await;
        assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
        assert!(warns_of(&plan, &id), "{}", summary(&plan));
        let plan = deployment.refresh_and_plan(&RefreshOptions::destroying()).await.plan;
        let mut deleted = deleted_devices(&plan);
        deleted.sort();
        assert_eq!(deleted, [DC_ROUTER, AKS_ROUTER], "{}", summary(&plan));
        deployment.apply(&RefreshOptions::destroying()).await;
        assert!(has_device(&deployment, &id));
    }
}

/// Of two connected devices of one name, the Servers record which is the datacenter's router.
/// Nothing records the cluster's: then neither is changed.
#[tokio::test(start_paused = true)]
async fn of_two_connected_namesakes_the_recorded_one_is_the_router() {
    let deployment = Deployment::example_applied().await;
    let theirs = add_device(&deployment, DC_ROUTER, true);
    let plan = deployment.plan().await;
    assert_eq!(deleted_devices(&plan), Vec::<String>::new(), "{}", summary(&plan));
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
    assert!(has_device(&deployment, &theirs));

    let deployment = Deployment::example_applied().await;
    let theirs = add_device(&deployment, AKS_ROUTER, true);
    for options in [RefreshOptions::default(), RefreshOptions::destroying()] {
        let plan = deployment.refresh_and_plan(&options).await.plan;
        assert_eq!(plan.status(), PlanStatus::Unknown, "{}", summary(&plan));
        let router = plan
            .changes
            .iter()
            .filter(|it| it.address.name == AKS_ROUTER && it.address.kind == Kind::TailnetDevice);
        assert_eq!(router.count(), 0, "{}", summary(&plan));
        let reason = format!("several connected devices of the tailnet have the name {AKS_ROUTER}");
        assert!(plan.gaps.iter().any(|gap| gap.failure.message == reason), "{}", summary(&plan));
    }
    assert!(has_device(&deployment, &theirs));
}

/// Two topologies of one name, in two subscriptions and one tailnet: nothing is created in the
/// second as long as it has nothing of the topology. Afterwards the plan says why its router
/// is not made. The first one's is left alone.
#[tokio::test(start_paused = true)]
async fn a_router_is_not_made_beside_a_connected_device_of_its_name() {
    let deployment = Deployment::example();
    let theirs = add_device(&deployment, AKS_ROUTER, true);
    for options in [RefreshOptions::default(), RefreshOptions::destroying()] {
        let plan = deployment.refresh_and_plan(&options).await.plan;
        let mut findings = plan.findings.iter();
        let is_refused = findings.any(|it| it.failure.code == Code::OtherSubscription);
        assert!(is_refused, "{}", summary(&plan));
        let writes = deployment.writes();
        deployment.apply(&options).await;
        assert_eq!(deployment.writes(), writes);
    }
    add_own_group(&deployment);
    let before =
        deployment.sandbox.read(|sandbox| sandbox.tailnet.device(&theirs).cloned().unwrap());
    for options in [RefreshOptions::default(), RefreshOptions::destroying()] {
        let plan = deployment.refresh_and_plan(&options).await.plan;
        assert_eq!(plan.status(), PlanStatus::Unknown, "{}", summary(&plan));
        let reason = format!("the device {AKS_ROUTER} of the tailnet is connected");
        let mut gaps = plan.gaps.iter();
        assert!(gaps.any(|gap| gap.failure.message.starts_with(&reason)), "{}", summary(&plan));
        let of_router = plan.changes.iter().filter(|it| it.address.name == AKS_ROUTER);
        assert_eq!(of_router.count(), 0, "{}", summary(&plan));
        deployment.apply(&options).await;
    }
    let after =
        deployment.sandbox.read(|sandbox| sandbox.tailnet.device(&theirs).cloned().unwrap());
    assert_eq!(before, after);
}

/// A device of the same name that took the place of the planned one is another device.
#[tokio::test(start_paused = true)]
async fn a_device_that_joined_after_the_plan_is_not_deleted() {
    let deployment = Deployment::example_applied().await;
    let options = RefreshOptions::destroying();
    let planned = deployment.refresh_and_plan(&options).await;
    deployment.sandbox.change(|sandbox, _| {
        let planned = sandbox.tailnet.devices().find(|it| it.hostname == DC_ROUTER).unwrap();
        let planned = planned.node_id.clone();
        sandbox.tailnet.remove_device(&planned);
    });
    let theirs = add_device(&deployment, DC_ROUTER, true);
    let applied = deployment.apply_planned(&options, planned, &IgnoreProgress).await;
    let stale = applied.outcomes.iter().any(|(address, outcome)| {
        address.kind == Kind::TailnetDevice
            && address.name == DC_ROUTER
            && matches!(outcome, Outcome::GuardFailed { .. })
    });
    assert!(stale, "{:?}", applied.outcomes);
    assert!(has_device(&deployment, &theirs));
}

/// Servers record the objects of a datacenter that left the topology, which are deleted.
#[tokio::test(start_paused = true)]
async fn the_router_of_a_departed_datacenter_is_deleted() {
    let lab = Deployment::of(TWO_DATACENTERS, SandboxState::new(21));
    lab.iterate().await;
    let (head, _) = TWO_DATACENTERS.split_once("[datacenters.attic]").unwrap();
    let deployment = lab.edited(head);
    let plan = deployment.plan().await;
    assert_eq!(deleted_devices(&plan), ["attic-router"], "{}", summary(&plan));
    let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
    assert_eq!(deployment.apply(&options).await.status, ApplyStatus::Converged);
    let left = deployment.sandbox.read(|sandbox| {
        sandbox.tailnet.devices().filter(|it| it.hostname == "attic-router").count()
    });
    assert_eq!(left, 0);
}

/// Two topologies of one tailnet, each with its own tag, have routers of one host name: the
/// router of the other one does not stand for this topology's.
#[tokio::test(start_paused = true)]
async fn a_router_of_another_tag_is_not_taken_for_the_topology_s() {
    let deployment = Deployment::example_applied().await;
    let id = add_device(&deployment, DC_ROUTER, true);
    deployment.sandbox.change(|sandbox, _| {
        let device = sandbox.tailnet.device_mut(&id).unwrap();
        device.tags = vec!["tag:of-another-topology".to_owned()];
    });
    let plan = deployment.plan().await;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
    deployment.inject(stargate::sandbox::faults::Fault::DeviceDeleted, Some(DC_ROUTER));
    assert!(has_device(&deployment, &id));
    let plan = deployment.plan().await;
    let machine = plan.changes.iter().find(|it| it.address.kind == Kind::VirtualMachine);
    let machine = machine.unwrap_or_else(|| panic!("{}", summary(&plan)));
    assert_eq!(machine.action, Action::Replace, "{}", summary(&plan));
    deployment.iterate().await;
    assert!(has_device(&deployment, &id));
}
