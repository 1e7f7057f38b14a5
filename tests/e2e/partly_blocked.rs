//! A part of a plan is blocked: nothing is done that cannot work without it, and the rest goes
//! on.

use std::sync::Arc;

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Plan, PlanStatus};
use stargate::resource::Kind;
use stargate::sandbox::hosts::HostKind;

use crate::harness::{Deployment, TWO_DATACENTERS, failures, summary};
use crate::moves::{allowing_loss, applied, apply_to_the_end, edit};
use crate::protection_records::{protected, without_datacenter};
use crate::router_devices::SilentHost;

const ATTIC: &str = "[datacenters.attic]\n";

/// The topology without its datacenter of existing machines.
fn without_attic() -> String {
    TWO_DATACENTERS[..TWO_DATACENTERS.find(ATTIC).unwrap()].to_owned()
}

/// The topology without datacenters.
fn without_datacenters() -> String {
    TWO_DATACENTERS[..TWO_DATACENTERS.find("[datacenters.cloud]\n").unwrap()].to_owned()
}

fn power(deployment: &Deployment, host: &str, on: bool) {
    deployment.sandbox.change(|state, _| state.hosts.get_mut(host).unwrap().powered_on = on);
}

/// Gives a router that existed before another host name, as its operator does.
fn rename_host(deployment: &Deployment, from: &str, to: &str) {
    let mac = "52:54:00:00:00:99";
    deployment.sandbox.change(|state, _| {
        let host = state.hosts.get_mut(from).unwrap();
        host.kind = HostKind::Existing { mac: Some(mac.to_owned()) };
        let ip = host.ip;
        state.seed_machine(to, ip, Some(mac), true);
    });
}

/// Whether anything in Azure or on a router names the network of the attic.
fn leads_to_attic(deployment: &Deployment) -> bool {
    let text = |state: &stargate::sandbox::SandboxState| {
        let routers = ["lab-router", "cloud-router"].map(|it| state.hosts.get(it).cloned());
        let objects = ["routeTables", "networkSecurityGroups"].map(|kind| {
            let list = state.arm.list(&format!("Microsoft.Network/{kind}"));
            list.map(|(_, object)| format!("{object:?}")).collect::<String>()
        });
        format!("{routers:?}{objects:?}")
    };
    deployment.sandbox.read(text).contains("10.60.0.0")
}

fn assert_all_of_attic_is_held(plan: &Plan, name: &str) {
    let of_attic = |site: &str| site == "attic";
    let changed: Vec<String> = plan
        .changes
        .iter()
        .filter(|it| of_attic(&it.address.site.to_string()))
        .map(|it| it.address.to_string())
        .collect();
    assert_eq!(changed, Vec::<String>::new(), "{name}\n{}", summary(plan));
    for kind in [Kind::Worker, Kind::Server, Kind::TailnetDevice] {
        let held = plan.blocked.iter().filter(|it| it.address.kind == kind);
        assert!(held.count() > 0, "{name}: {kind}\n{}", summary(plan));
    }
    assert_eq!(plan.status(), PlanStatus::Blocked, "{name}\n{}", summary(plan));
}

/// The router of a new datacenter does not answer, alone and beside another new datacenter.
#[tokio::test(start_paused = true)]
async fn nothing_leads_to_a_new_datacenter_whose_router_does_not_answer() {
    for (name, before) in [("alone", without_attic()), ("beside another", without_datacenters())] {
        for fault in ["silent", "off", "other host"] {
            let name = format!("{name}, {fault}");
            let deployment = applied(&before, 51).await;
            let edited = deployment.edited(TWO_DATACENTERS);
            match fault {
                "silent" => {
                    let injector = Arc::new(SilentHost("attic-router"));
                    edited.sandbox.set_fault_injector(Some(injector));
                }
                "off" => power(&edited, "attic-router", false),
                _ => rename_host(&edited, "attic-router", "attic-gate"),
            }
            let plan = edited.refresh_and_plan(&allowing_loss()).await.plan;
            assert_all_of_attic_is_held(&plan, &name);
            let done = edited.apply(&allowing_loss()).await;
            assert!(failures(&done).is_empty(), "{name}: {:?}", failures(&done));
            assert!(!leads_to_attic(&edited), "{name}\n{}", summary(&plan));
            let has_cloud = edited.sandbox.read(|state| state.hosts.get("cloud-a").is_some());
            assert!(has_cloud, "{name}: {:?}", done.status);

            edited.sandbox.set_fault_injector(None);
            match fault {
                "other host" => rename_host(&edited, "attic-gate", "attic-router"),
                _ => power(&edited, "attic-router", true),
            }
            apply_to_the_end(&edited, &name).await;
            assert!(leads_to_attic(&edited), "{name}");
        }
    }
}

/// The name of an existing router is that of its host: an edit of the one does not change the
/// other.
#[tokio::test(start_paused = true)]
async fn another_name_of_an_existing_router_is_refused() {
    let deployment = applied(TWO_DATACENTERS, 52).await;
    let renamed = edit(TWO_DATACENTERS, &[("\"attic-router\"", "\"attic-gate\"")]);
    let edited = deployment.edited(&renamed);
    let plan = edited.refresh_and_plan(&allowing_loss()).await.plan;
    assert_eq!(plan.status(), PlanStatus::Blocked, "{}", summary(&plan));
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
    for kind in [Kind::RouterHost, Kind::TailnetDevice] {
        let blocked = plan.blocked.iter().find(|it| it.address.kind == kind);
        let code = blocked.map(|it| it.failure.code);
        assert_eq!(code, Some(Code::WrongHost), "{kind}\n{}", summary(&plan));
    }
    let done = edited.apply(&allowing_loss()).await;
    assert_eq!(done.status, ApplyStatus::Blocked);
    // The host gets the name first, as the plan says.
    // The test's sandbox added a machine of that name.
    edited.sandbox.change(|state, _| drop(state.hosts.remove("attic-gate")));
    rename_host(&edited, "attic-router", "attic-gate");
    edited.sandbox.change(|state, _| {
        let device = state.tailnet.devices().find(|it| it.hostname == "attic-router");
        let id = device.unwrap().node_id.clone();
        state.tailnet.device_mut(&id).unwrap().hostname = "attic-gate".into();
    });
    apply_to_the_end(&edited, "renamed").await;
}

/// A datacenter leaves the file while its router is protected: nothing of it goes, and its
/// routes stay.
#[tokio::test(start_paused = true)]
async fn a_datacenter_stays_whole_with_its_protected_router() {
    for (table, name) in
        [("[datacenters.cloud.router]\n", "cloud"), ("[datacenters.attic.router]\n", "attic")]
    {
        let deployment = protected(table).await;
        let removed = deployment.edited(&without_datacenter(name));
        let plan = removed.plan().await;
        assert!(plan.changes.is_empty(), "{}", summary(&plan));
        let of_workers = plan.blocked.iter().filter(|it| it.address.kind == Kind::Worker);
        assert!(of_workers.clone().count() >= 2, "{}", summary(&plan));
        assert!(of_workers.clone().all(|it| it.failure.code == Code::Protected));
        let before = removed.writes();
        let applied = removed.apply(&allowing_loss()).await;
        assert_eq!(applied.status, ApplyStatus::Blocked, "{:?}", failures(&applied));
        assert_eq!(removed.writes(), before);
    }
}
