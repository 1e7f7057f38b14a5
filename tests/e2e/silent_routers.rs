//! Removals behind a router that does not answer: workers that must be reset first stay,
//! and the rest of the plan is applied.

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Action, Plan};
use stargate::resource::Kind;

use crate::harness::{Deployment, RefreshOptions, TWO_DATACENTERS, failures, summary};
use crate::moves::{allowing_loss, applied, apply_to_the_end, edit, pairs};
use crate::observer::Observer;
use crate::router_devices::SilentHost;

const CLOUD_B: &str = "[[datacenters.cloud.workers]]\nname = \"cloud-b\"\n";
const ATTIC_A: &str = "[[datacenters.attic.workers]]\nname = \"attic-a\"\nip = \"10.60.1.5\"\nmac = \
                       \"52:54:00:00:00:05\"\n";

/// The same, with another label in the profile.
fn with_label(text: &str) -> String {
    let profile = "[profiles.standard]\n";
    edit(text, &[(profile, &format!("{profile}labels = {{ tier = \"lab\" }}\n"))])
}

fn without_attic() -> String {
    TWO_DATACENTERS[..TWO_DATACENTERS.find("[datacenters.attic]\n").unwrap()].to_owned()
}

fn without_cloud() -> String {
    let (begin, end) = (
        TWO_DATACENTERS.find("[datacenters.cloud]\n").unwrap(),
        TWO_DATACENTERS.find("[datacenters.attic]\n").unwrap(),
    );
    format!("{}{}", &TWO_DATACENTERS[..begin], &TWO_DATACENTERS[end..])
}

/// The workers whose removal is blocked, with the code.
fn held_removals(plan: &Plan) -> Vec<(String, Code)> {
    let blocked = plan.blocked.iter().filter(|it| it.action == Action::Delete);
    let workers = blocked.filter(|it| it.address.kind == Kind::Worker);
    workers.map(|it| (it.address.name.to_string(), it.failure.code)).collect()
}

/// Calls that change a machine of the attic, its Node or the path to it.
fn calls_for_attic(observer: &Observer) -> Vec<String> {
    let is_one = |call: &String| {
        let is_path = call.contains("routeTables") || call.contains("networkSecurityGroups");
        call.contains("attic") || is_path
    };
    observer.calls().into_iter().filter(is_one).collect()
}

fn power_on(deployment: &Deployment, router: &str) {
    deployment.sandbox.change(|state, _| state.hosts.get_mut(router).unwrap().powered_on = true);
}

/// One machine, and all of them with their datacenter.
#[tokio::test(start_paused = true)]
async fn machines_that_must_be_reset_stay_until_their_router_answers() {
    for (name, text, leaving) in [
        ("one machine", edit(TWO_DATACENTERS, &[(ATTIC_A, "")]), &["attic-a"][..]),
        ("all machines", without_attic(), &["attic-a", "attic-b"]),
    ] {
        let deployment = applied(TWO_DATACENTERS, 41).await;
        deployment.inject("router-offline".parse().unwrap(), Some("attic-router"));
        let edited = deployment.edited(&with_label(&text));
        let plan = edited.refresh_and_plan(&allowing_loss()).await.plan;
        let held = held_removals(&plan);
        let names: Vec<&str> = held.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, leaving, "{name}\n{}", summary(&plan));
        let is_clear = |code| matches!(code, Code::RouterOffline | Code::HostUnreachable);
        assert!(held.iter().all(|(_, code)| is_clear(*code)), "{name}: {held:?}");
        let observer = Observer::of(&edited);
        let applied = edited.apply(&allowing_loss()).await;
        let failed = failures(&applied).join("\n");
        assert!(failed.is_empty(), "{name}\n{failed}");
        assert_eq!(calls_for_attic(&observer), Vec::<String>::new(), "{name}\n{}", summary(&plan));
        let rest = observer.place(&["PATCH", "provisioningprofiles/standard"]);
        assert!(rest.is_some(), "{name}: {:#?}", observer.calls());

        edited.sandbox.set_fault_injector(None);
        power_on(&edited, "attic-router");
        let observer = Observer::of(&edited);
        apply_to_the_end(&edited, name).await;
        for worker in leaving {
            assert!(observer.place(&["reset on", worker]).is_some(), "{name}: {worker}");
        }
    }
}

/// The device is connected, and SSH does not answer; or the device is gone.
#[tokio::test(start_paused = true)]
async fn no_machine_is_cordoned_behind_a_router_that_is_silent_or_gone() {
    for name in ["silent", "gone"] {
        let deployment = applied(TWO_DATACENTERS, 42).await;
        let edited = deployment.edited(&without_attic());
        let all = pairs(&edited);
        if name == "silent" {
            edited
                .sandbox
                .set_fault_injector(Some(std::sync::Arc::new(SilentHost("attic-router"))));
        } else {
            deployment.inject("device-deleted".parse().unwrap(), Some("attic-router"));
        }
        let plan = edited.refresh_and_plan(&allowing_loss()).await.plan;
        assert_eq!(held_removals(&plan).len(), 2, "{name}\n{}", summary(&plan));
        assert!(plan.changes.is_empty(), "{name}\n{}", summary(&plan));
        let before = edited.writes();
        let applied = edited.apply(&allowing_loss()).await;
        assert_ne!(applied.status, ApplyStatus::Converged, "{name}: {:?}", failures(&applied));
        assert!(failures(&applied).is_empty(), "{name}: {:?}", failures(&applied));
        assert_eq!(edited.writes(), before, "{name}");
        if name == "silent" {
            assert_eq!(pairs(&edited), all);
            edited.sandbox.set_fault_injector(None);
            apply_to_the_end(&edited, name).await;
        }
    }
}

/// A VM is deleted with its worker: it need not be reset.
#[tokio::test(start_paused = true)]
async fn a_machine_that_is_deleted_needs_no_router() {
    for (name, text, leaving) in [
        ("one VM", edit(TWO_DATACENTERS, &[(CLOUD_B, "")]), &["cloud-b"][..]),
        ("all VMs", without_cloud(), &["cloud-a", "cloud-b"]),
    ] {
        let deployment = applied(TWO_DATACENTERS, 43).await;
        deployment.inject("router-offline".parse().unwrap(), Some("cloud-router"));
        let edited = deployment.edited(&text);
        let observer = Observer::of(&edited);
        let applied = edited.apply(&allowing_loss()).await;
        assert!(failures(&applied).is_empty(), "{name}: {:?}", failures(&applied));
        for worker in leaving {
            let drained = observer.place(&["DELETE", "/nodes/", worker]);
            let deleted = observer.place(&["DELETE", "virtualMachines/", worker]);
            assert!(drained.is_some() && drained < deleted, "{name}: {worker}");
        }
        edited.sandbox.set_fault_injector(None);
        if name == "one VM" {
            power_on(&edited, "cloud-router");
        }
        apply_to_the_end(&edited, name).await;
    }
}

/// The cluster stays with the Nodes of the machines that could not be reset.
#[tokio::test(start_paused = true)]
async fn a_destroy_keeps_workers_that_it_cannot_reset() {
    let deployment = applied(TWO_DATACENTERS, 44).await;
    deployment.inject("router-offline".parse().unwrap(), Some("attic-router"));
    let plan = deployment.refresh_and_plan(&RefreshOptions::destroying()).await.plan;
    assert_eq!(held_removals(&plan).len(), 2, "{}", summary(&plan));
    let observer = Observer::of(&deployment);
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    assert!(failures(&applied).is_empty(), "{:?}", failures(&applied));
    let of_attic: Vec<String> =
        observer.calls().into_iter().filter(|call| call.contains("attic")).collect();
    assert_eq!(of_attic, Vec::<String>::new());
    assert_eq!(observer.place(&["DELETE", "managedClusters/lab"]), None);
    deployment.sandbox.set_fault_injector(None);
    power_on(&deployment, "attic-router");
    let applied = deployment.apply(&RefreshOptions::destroying()).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{:?}", failures(&applied));
}
