//! Datacenters that become one: the last workers of one move to another, and its table is
//! removed. No pair is lost, because each worker leaves when its new place is ready.

use stargate::apply::ApplyStatus;
use stargate::plan::PlanStatus;

use crate::announced_losses::apply;
use crate::harness::{RefreshOptions, TWO_DATACENTERS, summary};
use crate::moves::{SKY, applied, edit, pairs};

fn joined(text: &str, table: &str, worker: &str) -> String {
    edit(text, &[(table, "")]) + worker
}

#[tokio::test(start_paused = true)]
async fn the_last_worker_of_a_removed_datacenter_is_interrupted_and_not_lost() {
    let both = format!("{TWO_DATACENTERS}{SKY}");
    let second = "\n[[datacenters.sky.workers]]\nname = \"sky-b\"\n";
    let two_workers = format!("{both}{second}");
    let arrives = "\n[[datacenters.cloud.workers]]\nname = \"sky-a\"\n";
    let both_arrive = format!("{arrives}\n[[datacenters.cloud.workers]]\nname = \"sky-b\"\n");
    let in_attic = "\n[[datacenters.attic.workers]]\nname = \"sky-a\"\nip = \"10.60.1.9\"\n\
                    mac = \"52:54:00:00:00:09\"\n";
    let all_of = format!("{SKY}{second}");
    let cases = [
        ("one worker", &both, joined(&both, SKY, arrives)),
        ("two workers", &two_workers, joined(&two_workers, &all_of, &both_arrive)),
        ("to existing machines", &both, joined(&both, SKY, in_attic)),
    ];
    for (name, before, text) in cases {
        let before = applied(before, 81).await;
        let all = pairs(&before);
        let deployment = before.edited(&text);
        let plan = deployment.plan().await;
        let found = &plan.reachability;
        assert_eq!((found.lost, found.removed, found.unknown), (0, 0, 0), "{name}: {found:?}");
        assert!(!found.disruptions.is_empty(), "{name}: {found:?}");
        let applied = apply(&deployment, &RefreshOptions::default()).await;
        assert_eq!(applied.status, ApplyStatus::Converged, "{name}\n{}", applied.report);
        assert_eq!(applied.understated(), None, "{name}\n{}", applied.report);
        assert_eq!(pairs(&deployment), all, "{name}");
    }
}

/// A worker that moves away hides nothing of what the workers lose that stay.
#[tokio::test(start_paused = true)]
async fn workers_that_stay_in_a_replaced_datacenter_are_lost_beside_one_that_moves() {
    let second = "\n[[datacenters.sky.workers]]\nname = \"sky-b\"\n";
    let region = "vm_size = \"Standard_D2s_v5\"\n\n[datacenters.sky.router]";
    let elsewhere = format!("location = \"canadacentral\"\n{region}");
    let replaced = edit(&format!("{SKY}{second}"), &[(region, &elsewhere)]);
    let moved = edit(&replaced, &[("\n[[datacenters.sky.workers]]\nname = \"sky-a\"\n", "")])
        + "\n[[datacenters.cloud.workers]]\nname = \"sky-a\"\n";
    let before = applied(&format!("{TWO_DATACENTERS}{SKY}{second}"), 81).await;
    let options = RefreshOptions::replacing(&["resource-group/sky/lab-sky"]);
    let lost = async |text: &str| {
        let deployment = before.edited(&format!("{TWO_DATACENTERS}{text}"));
        let plan = deployment.refresh_and_plan(&options).await.plan;
        assert_eq!(plan.status(), PlanStatus::Differs, "{}", summary(&plan));
        plan.reachability.lost
    };
    let (of_both, of_one) = (lost(&replaced).await, lost(&moved).await);
    assert!(0 < of_one && of_one < of_both, "{of_one} of {of_both}");
}
