//! An Operation that is deleted.

use std::time::Duration;

use stargate::resource::names::WorkerName;
use tokio::time::sleep;

use super::{
    FIRST, SECOND, boots, delete, ended, is_whole, node, operation, phase, request, uid, until,
};
use crate::harness::{Deployment, RefreshOptions};
use crate::watch::{watched, watching};

#[tokio::test(start_paused = true)]
async fn an_operation_that_is_deleted_before_it_starts_is_cancelled() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.simulate_host_delays();
    watching(&deployment, &watched(""), async |watch| {
        watch.settles().await;
        for (name, worker) in [("one", FIRST), ("two", SECOND), ("other", FIRST)] {
            request(&deployment, name, worker, "reboot").await;
        }
        until("one of them runs", || {
            ["one", "two"].iter().any(|name| phase(&deployment, name) == "Running")
        })
        .await;
        // The other one is in a later wave of the same plan.
        let (running, waiting) = match phase(&deployment, "one").as_str() {
            "Running" => ("one", "two"),
            _ => ("two", "one"),
        };
        delete(&deployment, waiting).await;
        delete(&deployment, "other").await;
        ended(&deployment, &[running]).await;
        watch.settles().await;
    })
    .await;
    let rebooted = boots(&deployment, FIRST) + boots(&deployment, SECOND);
    assert_eq!(rebooted, 1, "the deleted ones were not started");
    assert!(operation(&deployment, "other").is_null());
    is_whole(&deployment).await;
}

#[tokio::test(start_paused = true)]
async fn the_work_of_an_operation_that_is_deleted_while_it_runs_is_completed() {
    for kind in ["repave", "reboot"] {
        let deployment = Deployment::example_applied().await;
        deployment.sandbox.simulate_host_delays();
        let before = uid(&deployment, FIRST);
        watching(&deployment, &watched(""), async |watch| {
            watch.settles().await;
            request(&deployment, "going", FIRST, kind).await;
            until("it is drained", || node(&deployment, FIRST)["spec"]["unschedulable"] == true)
                .await;
            delete(&deployment, "going").await;
            let held = operation(&deployment, "going");
            assert!(held["metadata"]["deletionTimestamp"].is_string(), "{held}");
            until("it is gone", || operation(&deployment, "going").is_null()).await;
            watch.settles().await;
        })
        .await;
        let done = uid(&deployment, FIRST) != before || boots(&deployment, FIRST) == 1;
        assert!(done, "{kind}");
        is_whole(&deployment).await;
    }
}

/// The same after the process was killed: the next one completes it.
#[tokio::test(start_paused = true)]
async fn a_deletion_and_a_kill_leave_no_worker_drained() {
    let deployment = Deployment::example_applied().await;
    deployment.sandbox.simulate_host_delays();
    let before = uid(&deployment, FIRST);
    let text = watched("");
    let cut_off = watching(&deployment, &text, async |watch| {
        watch.settles().await;
        request(&deployment, "going", FIRST, "repave").await;
        until("its Node is gone", || node(&deployment, FIRST).is_null()).await;
        delete(&deployment, "going").await;
        sleep(Duration::from_secs(4 * 3_600)).await;
    });
    tokio::select! {
        _ = cut_off => panic!("it was not interrupted"),
        () = until("it is deleted", || {
            operation(&deployment, "going")["metadata"]["deletionTimestamp"].is_string()
        }) => {}
    }
    assert!(node(&deployment, FIRST).is_null());
    watching(&deployment, &watched(""), async |watch| {
        until("it is gone", || operation(&deployment, "going").is_null()).await;
        watch.settles().await;
    })
    .await;
    assert_ne!(uid(&deployment, FIRST), before);
    is_whole(&deployment).await;
}

/// The API server answers 422 to a patch with the uid of an object that was replaced.
#[tokio::test(start_paused = true)]
async fn an_operation_that_was_replaced_by_another_of_its_name_is_not_claimed() {
    let deployment = Deployment::example_applied().await;
    request(&deployment, "again", FIRST, "reboot").await;
    let planned = deployment.refresh_and_plan(&RefreshOptions::default()).await;
    let access = planned.observation.cluster_access().unwrap();
    let client = access.credentials.connect(&deployment.clients).await.unwrap();
    let worker = WorkerName::new(FIRST);
    let before = access.client.operations().await.unwrap().remove(0);
    delete(&deployment, "again").await;
    request(&deployment, "again", FIRST, "reboot").await;
    client.claim_operation(&before, Some(&worker)).await.unwrap();
    let after = access.client.operations().await.unwrap().remove(0);
    assert_ne!(after.uid, before.uid);
    assert!(!after.is_claimed, "{after:?}");
    client.claim_operation(&after, Some(&worker)).await.unwrap();
    assert!(access.client.operations().await.unwrap().remove(0).is_claimed);
}
