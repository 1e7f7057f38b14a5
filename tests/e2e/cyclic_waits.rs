//! Edits after which workers would wait for each other: the plan refuses them before anything
//! is modified.

use stargate::apply::ApplyStatus;
use stargate::diagnostics::Code;
use stargate::sandbox::SandboxState;

use crate::harness::{Deployment, RefreshOptions, failures, summary};
use crate::worker_waves::{base, with_worker_line};

/// Whether the plan refuses the edit. An edit that it accepts is made by one apply.
async fn is_refused(text: &str, width: u32) -> bool {
    let before = Deployment::of(&base(), SandboxState::new(7));
    before.iterate().await;
    let deployment = before.edited(&format!("{text}\n[rollout]\nwidth = {width}\n"));
    let options = RefreshOptions { allow_loss: true, ..RefreshOptions::default() };
    let plan = deployment.refresh_and_plan(&options).await.plan;
    let codes = [Code::NoProgress, Code::AddressExchange];
    let cyclic = plan.blocked.iter().filter(|it| codes.contains(&it.failure.code));
    let is_refused = cyclic.count() > 0;
    let writes = deployment.writes();
    let applied = deployment.apply(&options).await;
    if is_refused {
        assert!(plan.changes.is_empty(), "{}", summary(&plan));
        assert_eq!(deployment.writes(), writes, "{}", failures(&applied).join("\n"));
    } else {
        let failed = failures(&applied).join("\n");
        assert_eq!(applied.status, ApplyStatus::Converged, "{failed}\n{}", summary(&plan));
    }
    is_refused
}

#[tokio::test(start_paused = true)]
async fn an_address_and_a_range_that_are_taken_in_opposite_directions_are_refused() {
    let text =
        with_worker_line(&base(), "cloud-a", "ip = \"10.50.1.30\"\npod_cidr = \"10.244.65.0/24\"");
    let text =
        with_worker_line(&text, "cloud-b", "ip = \"10.50.1.4\"\npod_cidr = \"10.244.70.0/24\"");
    assert!(is_refused(&text, 1).await);
    assert!(!is_refused(&text, 2).await);
}

/// One update leads to the ranges of two workers of one datacenter, which another one requires.
#[tokio::test(start_paused = true)]
async fn a_worker_from_another_datacenter_does_not_disturb_two_at_once() {
    let attic_c = "\n[[datacenters.attic.workers]]\nname = \"attic-c\"\nip = \"10.60.1.7\"\n\
                   mac = \"52:54:00:00:00:07\"\n";
    let moved = "\n[[datacenters.cloud.workers]]\nname = \"attic-c\"\npod_cidr = \
                 \"10.244.66.0/24\"\n";
    let text = with_worker_line(&base(), "cloud-a", "pod_cidr = \"10.244.70.0/24\"");
    assert!(text.contains(attic_c));
    assert!(is_refused(&(text.replace(attic_c, "") + moved), 1).await);
}
