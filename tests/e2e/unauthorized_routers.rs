//! Edits while the tailnet has withdrawn the authorization of a router: the plan restores it, and
//! one apply makes the edit behind it too.

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::plan::{Action, PlanStatus};
use stargate::resource::Kind;
use stargate::sandbox::faults::Fault;

use crate::harness::{Deployment, TWO_DATACENTERS, failures, summary};
use crate::moves::{allowing_loss, applied, edit};

const CLOUD_B: &str = "[[datacenters.cloud.workers]]\nname = \"cloud-b\"\n";
const ATTIC_B: &str = "[[datacenters.attic.workers]]\nname = \"attic-b\"\nip = \"10.60.1.6\"\n\
                       mac = \"52:54:00:00:00:06\"\npod_cidr = \"10.244.200.0/24\"\n";

fn edits() -> Vec<(&'static str, String)> {
    let edited = |pairs: &[(&str, &str)]| edit(TWO_DATACENTERS, pairs);
    let renamed = CLOUD_B.replace("cloud-b", "cloud-c");
    let moved = "\n[[datacenters.attic.workers]]\nname = \"cloud-b\"\nip = \"10.60.1.9\"\n\
                 mac = \"52:54:00:00:00:09\"\n";
    vec![
        (
            "another range of a VM",
            edited(&[(CLOUD_B, &(CLOUD_B.to_owned() + "pod_cidr = \"10.244.77.0/24\"\n"))]),
        ),
        (
            "another address of a VM",
            edited(&[(CLOUD_B, &(CLOUD_B.to_owned() + "ip = \"10.50.1.30\"\n"))]),
        ),
        ("a VM removed", edited(&[(CLOUD_B, "")])),
        ("a VM renamed", edited(&[(CLOUD_B, &renamed)])),
        ("another range of a machine", edited(&[("10.244.200.0", "10.244.201.0")])),
        ("a machine removed", edited(&[(ATTIC_B, "")])),
        ("a machine renamed", edited(&[("\"attic-b\"", "\"rack-b\"")])),
        ("a VM moved", edited(&[(CLOUD_B, "")]) + moved),
        (
            "a VM moved from a renamed datacenter",
            edited(&[(CLOUD_B, ""), ("datacenters.cloud", "datacenters.sky")]) + moved,
        ),
    ]
}

fn withdraw(deployment: &Deployment, router: &str) {
    deployment.inject("device-unauthorized".parse::<Fault>().unwrap(), Some(router));
}

#[tokio::test(start_paused = true)]
async fn one_apply_authorizes_a_router_and_makes_the_edit() {
    let before = applied(TWO_DATACENTERS, 43).await;
    let mut wrong = Vec::new();
    for (name, text) in edits() {
        for router in ["lab-router", "cloud-router", "attic-router"] {
            let deployment = Deployment::of(TWO_DATACENTERS, before.copy_of_state());
            withdraw(&deployment, router);
            let edited = deployment.edited(&text);
            let plan = edited.refresh_and_plan(&allowing_loss()).await.plan;
            let applied = edited.apply(&allowing_loss()).await;
            let failed = failures(&applied).join("\n");
            if applied.status != ApplyStatus::Converged || !plan.blocked.is_empty() {
                let status = &applied.status;
                wrong.push(format!("{name}, {router}: {status:?}\n{failed}\n{}", summary(&plan)));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

/// The machines of a datacenter that leaves are reset through its router: its device stays until
/// it is authorized by hand.
#[tokio::test(start_paused = true)]
async fn the_device_of_a_router_stays_while_its_machines_cannot_be_reset() {
    let text = &TWO_DATACENTERS[..TWO_DATACENTERS.find("[datacenters.attic]\n").unwrap()];
    let deployment = applied(TWO_DATACENTERS, 44).await;
    withdraw(&deployment, "attic-router");
    let edited = deployment.edited(text);
    let plan = edited.refresh_and_plan(&allowing_loss()).await.plan;
    assert_eq!(plan.status(), PlanStatus::Blocked, "{}", summary(&plan));
    assert!(plan.changes.is_empty(), "{}", summary(&plan));
    let workers = plan.blocked.iter().filter(|it| it.address.kind == Kind::Worker);
    let workers: Vec<_> = workers.filter(|it| it.action == Action::Delete).collect();
    assert_eq!(workers.len(), 2, "{}", summary(&plan));
    for worker in workers {
        assert_eq!(worker.failure.code, Code::RouterOffline);
        let remedy = &worker.failure.remedy;
        assert!(remedy.starts_with("authorize the device attic-router"), "{remedy}");
    }
    let writes = edited.writes();
    let applied = edited.apply(&allowing_loss()).await;
    assert_eq!((applied.status, edited.writes()), (ApplyStatus::Blocked, writes));
    // As the admin console does.
    edited.sandbox.change(|state, _| {
        let device = state.tailnet.devices().find(|it| it.hostname == "attic-router");
        let id = device.unwrap().id.clone();
        state.tailnet.device_mut(&id).unwrap().authorized = true;
    });
    let applied = edited.apply(&allowing_loss()).await;
    assert_eq!(applied.status, ApplyStatus::Converged, "{}", failures(&applied).join("\n"));
}
