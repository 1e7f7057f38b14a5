//! A leader that is paused in the middle of an Operation.

use std::time::Duration;

use tokio::task::LocalSet;
use tokio::time::{Instant, sleep};

use super::{FIRST, boots, ended, is_whole, node, operation, phase, request, uid};
use crate::harness::Deployment;
use crate::watch::replicas::{NAMES, Replica, end, is_right, leader, until_idle};
use crate::watch::watched;

/// The moments at which the leader is paused: at the start of the work, and when it drains.
const MOMENTS: [fn(&Deployment) -> bool; 2] = [
    |deployment| phase(deployment, "work") == "Running",
    |deployment| node(deployment, FIRST)["spec"]["unschedulable"] == true,
];

/// Another replica completes the Operation. When the first one continues, it neither drains
/// and resets the worker again nor changes the status of the Operation.
#[tokio::test(start_paused = true)]
async fn a_leader_that_was_paused_does_not_repeat_an_operation_that_another_completed() {
    for (number, is_moment) in MOMENTS.into_iter().enumerate() {
        for kind in ["repave", "reboot"] {
            let deployment = Deployment::example_applied().await;
            deployment.sandbox.simulate_host_delays();
            let text = watched("");
            let scenario = async {
                let start = |name: &&'static str| Replica::start(name, &deployment, &text);
                let replicas: Vec<Replica> = NAMES[..2].iter().map(start).collect();
                let first = leader(&replicas, &deployment.sandbox).await;
                until_idle(&replicas).await;
                request(&deployment, "work", FIRST, kind).await;
                let begin = Instant::now();
                while !is_moment(&deployment) {
                    sleep(Duration::from_millis(10)).await;
                    assert!(begin.elapsed() < Duration::from_secs(60), "moment {number} is over");
                }
                first.pause(true);
                ended(&deployment, &["work"]).await;
                let status = operation(&deployment, "work")["status"].clone();
                assert_eq!(status["phase"], "Succeeded", "moment {number}: {status}");
                let done = (uid(&deployment, FIRST), boots(&deployment, FIRST));
                sleep(Duration::from_secs(60)).await;
                first.pause(false);
                until_idle(&replicas).await;
                let found = (uid(&deployment, FIRST), boots(&deployment, FIRST));
                assert_eq!(found, done, "moment {number}: the {kind} was repeated");
                assert_eq!(operation(&deployment, "work")["status"], status, "moment {number}");
                is_right(&replicas, &deployment).await;
                end(replicas, &deployment).await;
            };
            LocalSet::new().run_until(scenario).await;
            is_whole(&deployment).await;
        }
    }
}
