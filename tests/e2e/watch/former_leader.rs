//! A replica that led before reports at once which one leads now.

use std::time::Duration;

use stargate::watch::WatchEvent;
use tokio::task::LocalSet;
use tokio::time::sleep;

use super::replicas::{NAMES, Replica, end, leader, until_idle};
use super::watched;
use crate::harness::Deployment;

/// Nothing happens, and the leader stands still for longer than its lease is valid: it reports at
/// once that another replica leads, without a trigger from elsewhere.
#[tokio::test(start_paused = true)]
async fn a_former_leader_reports_the_next_one_at_once() {
    let deployment = Deployment::example_applied().await;
    LocalSet::new()
        .run_until(async {
            let start = |name: &&'static str| Replica::start(name, &deployment, &watched(""));
            let replicas: Vec<Replica> = NAMES[..2].iter().map(start).collect();
            let first = leader(&replicas, &deployment.sandbox).await;
            until_idle(&replicas).await;
            first.pause(true);
            sleep(Duration::from_secs(40)).await;
            let second = leader(&replicas, &deployment.sandbox).await;
            assert_ne!(second.name, first.name);
            first.pause(false);
            sleep(Duration::from_secs(10)).await;
            let reported = first.events().into_iter().any(|(_, event)| {
                matches!(event, WatchEvent::StandingBy { holder } if holder == second.name)
            });
            assert!(reported, "{:#?}", first.events());
            end(replicas, &deployment).await;
        })
        .await;
}
