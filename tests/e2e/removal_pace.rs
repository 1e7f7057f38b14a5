//! Not more workers of a datacenter than the width are disturbed at the same time, whatever
//! disturbs them.

use stargate::plan::Action;
use stargate::resource::Kind;

use crate::harness::{Deployment, summary};
use crate::makespan::many_workers;
use crate::moves::{applied, apply_to_the_end, edit};
use crate::observer::Observer;

/// The maximum number of workers with a name prefix that were disturbed at the same time.
fn most_disturbed(observer: &Observer, prefix: &str) -> usize {
    let of_site = |call: crate::observer::ObservedCall| {
        call.disturbed.iter().filter(|name| name.starts_with(prefix)).count()
    };
    observer.observed_calls().into_iter().map(of_site).max().unwrap_or_default()
}

async fn observe(deployment: &Deployment, name: &str) -> usize {
    let observer = Observer::of(deployment);
    apply_to_the_end(deployment, name).await;
    deployment.sandbox.set_fault_injector(None);
    most_disturbed(&observer, "dc1-worker")
}

#[tokio::test(start_paused = true)]
async fn removed_workers_are_drained_in_the_width() {
    let text = many_workers(20, "width = 3");
    let deployment = applied(&text, 21).await;
    let fewer = deployment.edited(&edit(&text, &[("count = 20", "count = 8")]));
    let plan = fewer.plan().await;
    let removed = plan
        .changes
        .iter()
        .filter(|it| it.address.kind == Kind::Worker && it.action == Action::Delete);
    assert_eq!(removed.count(), 12, "{}", summary(&plan));
    let most = observe(&fewer, "removal").await;
    assert!((2..=3).contains(&most), "{most}");
}

/// Removals and an upgrade in one edit share the width.
#[tokio::test(start_paused = true)]
async fn removals_and_a_rollout_share_the_width() {
    let text = many_workers(12, "width = 2\ncanary = 0");
    let text = text.replace(
        "kubernetes_version = \"1.33.5\"\n        [datacenters",
        "kubernetes_version = \"1.33.2\"\n        [datacenters",
    );
    let deployment = applied(&text, 22).await;
    let edited = edit(&text, &[("count = 12", "count = 7"), ("1.33.2", "1.33.5")]);
    let most = observe(&deployment.edited(&edited), "removal and upgrade").await;
    assert!((1..=2).contains(&most), "{most}");
}

/// Workers that move count at the place that they leave.
#[tokio::test(start_paused = true)]
async fn workers_that_move_leave_in_the_width() {
    let text = many_workers(9, "width = 2\ncanary = 0");
    let deployment = applied(&text, 23).await;
    let renamed = edit(&text, &[("datacenters.dc1", "datacenters.dc2")]);
    let most = observe(&deployment.edited(&renamed), "another datacenter").await;
    assert!((1..=2).contains(&most), "{most}");
}
