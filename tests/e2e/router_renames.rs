//! A router that gets another name while workers leave its datacenter, or leave and join again,
//! in the same edit: they leave through the router that is there.

use stargate::diagnostics::Code;

use crate::harness::{EXAMPLE, TWO_DATACENTERS, summary};
use crate::moves::{allowing_loss, applied, apply_to_the_end, edit};
use crate::observer::Observer;

const CLOUD_B: &str = "[[datacenters.cloud.workers]]\nname = \"cloud-b\"\n";
const CLOUD_B_IN_ATTIC: &str = "\n[[datacenters.attic.workers]]\nname = \"cloud-b\"\n\
                                ip = \"10.60.1.9\"\nmac = \"52:54:00:00:00:09\"\n";
const RENAMED: (&str, &str) = ("\"cloud-router\"", "\"cloud-gate\"");

/// Edits in which workers leave, each with the workers that do.
fn edits() -> Vec<(&'static str, String, &'static [&'static str])> {
    let pinned = format!("{CLOUD_B}pod_cidr = \"10.244.79.0/24\"\n");
    let renamed = |edits: &[(&str, &str)]| edit(&edit(TWO_DATACENTERS, &[RENAMED]), edits);
    vec![
        ("moves out", renamed(&[(CLOUD_B, "")]) + CLOUD_B_IN_ATTIC, &["cloud-b"]),
        ("rejoins", renamed(&[(CLOUD_B, &pinned)]), &["cloud-b"]),
        ("leaves", renamed(&[(CLOUD_B, "")]), &["cloud-b"]),
        (
            "datacenter renamed",
            renamed(&[("datacenters.cloud", "datacenters.sky")]),
            &["cloud-a", "cloud-b"],
        ),
        ("another pool", renamed(&[("10.244.64.0/20", "10.244.96.0/20")]), &["cloud-a", "cloud-b"]),
    ]
}

#[tokio::test(start_paused = true)]
async fn workers_leave_through_the_router_that_is_there() {
    for (name, text, leaving) in edits() {
        let deployment = applied(TWO_DATACENTERS, 31).await;
        let edited = deployment.edited(&text);
        let plan = edited.refresh_and_plan(&allowing_loss()).await.plan;
        let old = plan.changes.iter().find(|it| it.address.name == "cloud-router");
        let site = old.map(|it| it.address.site.to_string());
        assert_eq!(site.as_deref(), Some("cloud"), "{name}\n{}", summary(&plan));
        let observer = Observer::of(&edited);
        apply_to_the_end(&edited, name).await;
        for worker in leaving {
            let reset = observer.place(&["reset on", worker]);
            let old_device = observer.place(&["DELETE", "/device/"]);
            let old_machine = observer.place(&["DELETE", "virtualMachines/cloud-router"]);
            assert!(reset.is_some(), "{name}: {worker}\n{:#?}", observer.calls());
            assert!(reset < old_device && reset < old_machine, "{name}: {worker}");
        }
    }
}

/// The old router is off: workers that must be reset first stay, and the edit can be made
/// in two steps.
#[tokio::test(start_paused = true)]
async fn a_worker_does_not_rejoin_through_a_router_that_is_off() {
    let deployment = applied(TWO_DATACENTERS, 32).await;
    deployment.inject("router-offline".parse().unwrap(), Some("cloud-router"));
    let pinned = format!("{CLOUD_B}pod_cidr = \"10.244.79.0/24\"\n");
    let edited = deployment.edited(&edit(TWO_DATACENTERS, &[RENAMED, (CLOUD_B, &pinned)]));
    let plan = edited.refresh_and_plan(&allowing_loss()).await.plan;
    let worker = plan.blocked.iter().find(|it| it.address.to_string() == "worker/cloud/cloud-b");
    let code = worker.map(|it| it.failure.code);
    assert_eq!(code, Some(Code::RouterOffline), "{}", summary(&plan));
    let observer = Observer::of(&edited);
    edited.apply(&allowing_loss()).await;
    assert_eq!(observer.place(&["/nodes/cloud-b"]), None, "{:#?}", observer.calls());
    edited.sandbox.set_fault_injector(None);
    apply_to_the_end(&edited.edited(&edit(TWO_DATACENTERS, &[RENAMED])), "the name").await;
    apply_to_the_end(&edited, "the rest").await;
}

/// Both directions are interrupted until the new router is there, and reached afterwards,
/// whatever address it gets in the tailnet.
#[tokio::test(start_paused = true)]
async fn a_renamed_router_interrupts_all_pairs_through_it() {
    let deployment = applied(EXAMPLE, 33).await;
    for router in ["\"stargate-aks-e2e-2-dc-router\"", "\"stargate-aks-e2e-2-router\""] {
        let edited = deployment.edited(&edit(EXAMPLE, &[(router, "\"gate\"")]));
        let plan = edited.plan().await;
        let found = &plan.reachability;
        assert_eq!((found.kept, found.lost, found.unknown), (12, 0, 0), "{}", summary(&plan));
        let disrupted: Vec<u64> = found.disruptions.iter().map(|it| it.pairs).collect();
        assert_eq!(disrupted, [8], "{:?}", found.disruptions);
    }
}
