//! Operations whose Server comes, goes, or may not be changed.

use std::sync::Arc;
use std::time::Duration;

use kube::api::{Patch, PatchParams};
use serde_json::json;
use stargate::provider::cluster::OperationPhase;
use stargate::sandbox::SandboxState;
use stargate::sandbox::fault_injector::{Call, Delivery, Disposition, FaultInjector};
use stargate::watch::WatchEvent;
use tokio::time::sleep;

use super::{
    FIRST, PROFILE, SECOND, api, boots, condition, create, ended, events_about, is_whole, manifest,
    operation, phase, reasons, request, until,
};
use crate::harness::Deployment;
use crate::watch::approval::WORKER_2;
use crate::watch::{watched, watching};

/// An Operation and its worker may be committed together, and arrive in any order.
#[tokio::test(start_paused = true)]
async fn an_operation_waits_for_its_worker_to_appear() {
    let text = watched("apply = \"all\"");
    let without = text.replace(WORKER_2, "");
    let deployment = Deployment::of(&without, SandboxState::new(1));
    deployment.iterate().await;
    watching(&deployment, &without, async |watch| {
        watch.settles().await;
        request(&deployment, "early", SECOND, "reboot").await;
        watch.settles().await;
        let (status, reason, message) = condition(&deployment, "early", "Reconciling");
        assert_eq!((status.as_str(), reason.as_str()), ("True", "UnknownServer"), "{message}");
        assert!(message.contains("5 minutes after its creation"), "{message}");
        let labels = operation(&deployment, "early")["metadata"]["labels"].clone();
        assert!(labels.is_null(), "another topology may have the worker: {labels}");
        watch.edit(Some(&text)).await;
        ended(&deployment, &["early"]).await;
    })
    .await;
    assert_eq!(
        (phase(&deployment, "early").as_str(), boots(&deployment, SECOND)),
        ("Succeeded", 1)
    );
}

/// Without a timer and without an event.
#[tokio::test(start_paused = true)]
async fn an_operation_whose_worker_does_not_appear_is_refused_in_time() {
    let deployment = Deployment::example_applied().await;
    watching(&deployment, &watched(""), async |watch| {
        watch.settles().await;
        request(&deployment, "typo", "worker-9", "reboot").await;
        sleep(Duration::from_secs(290)).await;
        assert_eq!(phase(&deployment, "typo"), "Pending");
        sleep(Duration::from_secs(20)).await;
        assert_eq!(phase(&deployment, "typo"), "Refused");
    })
    .await;
    assert_eq!(events_about(&deployment, "Operation", "typo"), reasons(&["Refused"]));
}

/// A request ends with its worker, and says so: it is not deleted like a record.
#[tokio::test(start_paused = true)]
async fn a_request_ends_when_its_worker_is_removed() {
    let deployment = Deployment::example_applied().await;
    let none = watched("apply = \"none\"");
    watching(&deployment, &none, async |watch| {
        request(&deployment, "waiting", SECOND, "repave").await;
        request(&deployment, "other", FIRST, "repave").await;
        watch.settles().await;
        assert_eq!(condition(&deployment, "waiting", "Reconciling").1, "ReportOnly");
    })
    .await;
    let without = none.replace(WORKER_2, "");
    deployment.edited(&without).iterate().await;
    assert_eq!(phase(&deployment, "waiting"), "Refused");
    let (_, reason, message) = condition(&deployment, "waiting", "Stalled");
    assert_eq!(reason, "ServerRemoved", "{message}");
    assert!(message.contains(SECOND), "{message}");
    assert_eq!(events_about(&deployment, "Operation", "waiting"), reasons(&["Refused"]));
    assert_eq!(phase(&deployment, "other"), "Pending", "the other worker is still there");
}

/// Answers each write of the status of one Operation as if the object were deleted.
#[derive(Debug)]
struct DeletedOperation(&'static str);

impl FaultInjector for DeletedOperation {
    fn before(&self, call: &Call) -> Disposition {
        let suffix = format!("/operations/{}/status", self.0);
        match call {
            Call::Request { path, .. } if call.writes() && path.ends_with(&suffix) => {
                let body = json!({
                    "kind": "Status", "apiVersion": "v1", "status": "Failure",
                    "reason": "NotFound", "message": "not found", "code": 404,
                });
                Disposition::Respond { status: 404, body: body.to_string() }
            }
            _ => Disposition::Pass,
        }
    }

    fn after(&self, _: &Call) -> Delivery {
        Delivery::Deliver
    }
}

/// A request that is deleted while its worker is removed does not keep the others open.
#[tokio::test(start_paused = true)]
async fn a_deleted_request_does_not_keep_the_others_of_a_removed_worker() {
    let deployment = Deployment::example_applied().await;
    let none = watched("apply = \"none\"");
    watching(&deployment, &none, async |watch| {
        request(&deployment, "deleted", SECOND, "repave").await;
        request(&deployment, "waiting", SECOND, "repave").await;
        watch.settles().await;
    })
    .await;
    deployment.sandbox.set_fault_injector(Some(Arc::new(DeletedOperation("deleted"))));
    deployment.edited(&none.replace(WORKER_2, "")).iterate().await;
    deployment.sandbox.set_fault_injector(None);
    assert_eq!(phase(&deployment, "deleted"), "Pending", "its status was not written");
    let (_, reason, _) = condition(&deployment, "waiting", "Stalled");
    assert_eq!(
        (phase(&deployment, "waiting").as_str(), reason.as_str()),
        ("Refused", "ServerRemoved")
    );
}

/// A refused request has no start: it is kept like those that ended after it began.
#[tokio::test(start_paused = true)]
async fn a_refused_request_is_not_the_first_to_be_deleted() {
    let deployment = Deployment::example_applied().await;
    watching(&deployment, &watched(""), async |watch| {
        watch.settles().await;
        for number in 0..4 {
            let name = format!("before-{number}");
            request(&deployment, &name, FIRST, "reboot").await;
            ended(&deployment, &[&name]).await;
        }
        create(&deployment, manifest("a-join", FIRST, "join", PROFILE)).await;
        ended(&deployment, &["a-join"]).await;
        // The others are old by now, and so is the refused one.
        sleep(Duration::from_secs(2 * 3_600)).await;
        request(&deployment, "after", FIRST, "reboot").await;
        ended(&deployment, &["after"]).await;
    })
    .await;
    assert_eq!(phase(&deployment, "a-join"), "Refused", "it is still there");
    assert!(operation(&deployment, "before-0").is_null(), "the oldest is deleted");
}

/// A started Operation whose worker was protected in the meantime waits for a person. The
/// Operations of other workers do not.
#[tokio::test(start_paused = true)]
async fn an_operation_that_is_blocked_does_not_hold_the_others() {
    let deployment = Deployment::example_applied().await;
    let protected = watched("")
        .replace(&format!("name = \"{FIRST}\""), &format!("name = \"{FIRST}\"\nprotect = true"));
    deployment.edited(&protected).iterate().await;
    let mut started = manifest("started", FIRST, "repave", PROFILE);
    started["metadata"]["finalizers"] = json!(["stargate.io/operation"]);
    create(&deployment, started).await;
    sleep(Duration::from_secs(1)).await;
    request(&deployment, "same", FIRST, "reboot").await;
    request(&deployment, "other", SECOND, "reboot").await;
    watching(&deployment, &protected, async |watch| {
        ended(&deployment, &["other"]).await;
        watch.settles().await;
        watch.matches();
        let writes = deployment.writes();
        watch.triggers.add(stargate::watch::Trigger::Request);
        watch.settles().await;
        assert_eq!(deployment.writes(), writes, "nothing is written again");
    })
    .await;
    assert_eq!((boots(&deployment, FIRST), boots(&deployment, SECOND)), (0, 1));
    let (_, reason, _) = condition(&deployment, "started", "Reconciling");
    assert_eq!((phase(&deployment, "started").as_str(), reason.as_str()), ("Running", "Protected"));
    let (_, reason, _) = condition(&deployment, "same", "Reconciling");
    assert_eq!(
        (phase(&deployment, "same").as_str(), reason.as_str()),
        ("Pending", "WaitsForServer")
    );
    deployment.edited(&watched("")).iterate().await;
    watching(&deployment, &watched(""), async |_| {
        until("both end", || {
            ["started", "same"].iter().all(|name| phase(&deployment, name) == "Succeeded")
        })
        .await;
    })
    .await;
    is_whole(&deployment).await;
}

/// Two started Operations are planned together: one is blocked, and an interrupted attempt has
/// completed the other one, which ends once.
#[tokio::test(start_paused = true)]
async fn an_operation_that_ends_beside_a_blocked_one_ends_once() {
    let deployment = Deployment::example_applied().await;
    let protected = watched("")
        .replace(&format!("name = \"{FIRST}\""), &format!("name = \"{FIRST}\"\nprotect = true"));
    deployment.edited(&protected).iterate().await;
    for (name, server) in [("blocked", FIRST), ("complete", SECOND)] {
        let mut started = manifest(name, server, "repave", PROFILE);
        started["metadata"]["finalizers"] = json!(["stargate.io/operation"]);
        create(&deployment, started).await;
    }
    // The Node was created again after the record of its former uid.
    let status = json!({ "status": { "phase": "Running", "nodeUID": "former" } });
    let params = PatchParams::default();
    api(&deployment).patch_status("complete", &params, &Patch::Merge(status)).await.unwrap();
    watching(&deployment, &protected, async |watch| {
        ended(&deployment, &["complete"]).await;
        watch.settles().await;
        let events = watch.log.events();
        let succeeded = events.iter().filter(|event| {
            matches!(event, WatchEvent::Operation { name, phase, .. }
                if name == "complete" && *phase == OperationPhase::Succeeded)
        });
        assert_eq!(succeeded.count(), 1, "{events:#?}");
    })
    .await;
    assert_eq!((boots(&deployment, FIRST), boots(&deployment, SECOND)), (0, 0));
    let (_, reason, _) = condition(&deployment, "blocked", "Reconciling");
    assert_eq!((phase(&deployment, "blocked").as_str(), reason.as_str()), ("Running", "Protected"));
}
