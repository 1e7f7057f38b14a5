//! Operations that people request: who created them, how they are held while their work runs,
//! and the Events about them.

use serde_json::{Value, json};
use stargate::provider::cluster::{
    OperationEvent, OperationObject, OperationOrigin, OperationPhase, OperationStart,
    OperationUpdate, RequestStatus,
};
use stargate::resource::work_request::RequestedOperation;
use stargate::topology::names::WorkerName;

use crate::api_server::ApiServer;
use crate::check_log::CheckLog;

const OPERATIONS: &str = "/apis/stargate.io/v1alpha1/namespaces/stargate/operations";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/stargate/events";
/// A worker that has a Server, and no Node.
const WORKER: &str = "attic-a";

pub(crate) async fn check(server: &ApiServer, check_log: &mut CheckLog) {
    let Some(found) = requested(server, check_log).await else { return };
    status(server, check_log, &found).await;
    held(server, check_log, &found.requested()).await;
    events(server, check_log, &found).await;
}

fn path() -> String {
    format!("{OPERATIONS}/please")
}

async fn object(server: &ApiServer) -> Option<OperationObject> {
    let all = server.stargate_client.operations().await.ok()?;
    all.into_iter().find(|it| it.name == "please")
}

/// An object of a person is a request, and one of stargate is a record.
async fn requested(server: &ApiServer, check_log: &mut CheckLog) -> Option<OperationObject> {
    let spec = json!({ "serverRef": { "name": WORKER }, "operation": "reboot",
        "provisioningProfileRef": { "name": "standard" } });
    let manifest = json!({ "apiVersion": "stargate.io/v1alpha1", "kind": "Operation",
        "metadata": { "name": "please" }, "spec": spec });
    let created = server.admin.apply_as("kubectl", &path(), &manifest).await;
    check_log.equals("a person requests an Operation", created.summary(), "201".to_owned());
    let all = server.stargate_client.operations().await;
    let all = check_log.succeeds("Operations are listed", all)?;
    let is_request = |it: &&OperationObject| it.origin == OperationOrigin::Request;
    let names: Vec<&str> = all.iter().filter(is_request).map(|it| it.name.as_str()).collect();
    check_log.equals("records are no requests", names, vec!["please"]);
    check_log.is_true("there are records", all.iter().any(|it| !is_request(&it)), &all);
    let found = all.into_iter().find(|it| it.name == "please")?;
    let state = (found.is_claimed, found.phase, found.is_held, found.is_deleting);
    check_log.equals("it is new", state, (false, None, false, false));
    let worker = WorkerName::new(WORKER);
    let claimed = server.stargate_client.claim_operation(&found, Some(&worker)).await;
    check_log.equals("it is claimed", claimed, Ok(()));
    let claimed = object(server).await?;
    let state = (claimed.is_claimed, claimed.origin, claimed.ownership.is_ours());
    check_log.equals("and stays a request", state, (true, OperationOrigin::Request, true));
    Some(claimed)
}

async fn status(server: &ApiServer, check_log: &mut CheckLog, found: &OperationObject) {
    let status = OperationUpdate {
        phase: OperationPhase::Pending,
        reason: "Queued".to_owned(),
        message: "waits for its turn in the rollout".to_owned(),
        started: None,
        completed: None,
        node_uid: None,
        boot_id: None,
        request: Some(RequestStatus {
            uid: found.uid.clone(),
            requested: found.created,
            generation: found.generation,
            attempts: 0,
        }),
    };
    let written = server.stargate_client.write_operation_status(&found.name, &status).await;
    check_log.equals("its status is written", written, Ok(()));
    let live = server.admin.get(&path()).await.body;
    let conditions = live["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let conditions: Vec<(&Value, &Value)> =
        conditions.iter().map(|it| (&it["type"], &it["status"])).collect();
    let words = [
        ("Complete", "Unknown"),
        ("Ready", "False"),
        ("Reconciling", "True"),
        ("Stalled", "False"),
    ];
    let expected = words.map(|(kind, status)| (json!(kind), json!(status)));
    let expected: Vec<(&Value, &Value)> = expected.iter().map(|(a, b)| (a, b)).collect();
    check_log.equals("with the conditions of kstatus", conditions, expected);
    check_log.equals("and its generation", &live["status"]["observedGeneration"], &json!(1));
    let mut other = OperationUpdate { phase: OperationPhase::Failed, ..status.clone() };
    other.request = other.request.map(|it| RequestStatus { uid: "another".to_owned(), ..it });
    let written = server.stargate_client.write_operation_status(&found.name, &other).await;
    let conflict = written.is_err_and(|error| error.is_conflict());
    check_log.is_true("the status of another object is not written", conflict, &"no conflict");
    let phase = server.admin.get(&path()).await.body["status"]["phase"].clone();
    check_log.equals("it stays", phase, json!("Pending"));
    let refused = OperationUpdate { phase: OperationPhase::Refused, ..status };
    let written = server.stargate_client.write_operation_status(&found.name, &refused).await;
    check_log.equals("an Operation can be refused", written, Ok(()));
}

/// A started Operation outlives its deletion until it is released.
async fn held(server: &ApiServer, check_log: &mut CheckLog, requested: &RequestedOperation) {
    let client = &server.stargate_client;
    let other = RequestedOperation { uid: "another".to_owned(), ..requested.clone() };
    let cancelled = Ok(OperationStart::Cancelled);
    let started = client.start_operation(&other).await;
    check_log.equals("another object of the name is not started", started, cancelled.clone());
    for what in ["it is started", "a start is idempotent"] {
        let started = client.start_operation(requested).await;
        check_log.equals(what, started, Ok(OperationStart::Started));
    }
    server.admin.delete(&path()).await;
    let found = object(server).await.map(|it| (it.is_deleting, it.is_held));
    check_log.equals("it is held although it is deleted", found, Some((true, true)));
    let started = client.start_operation(requested).await;
    check_log.equals("its work goes on", started, Ok(OperationStart::Started));
    let other = client.release_operation("please", "another").await;
    check_log.equals("another object of the name is not released", other, Ok(()));
    let found = object(server).await.map(|it| it.is_held);
    check_log.equals("it is still held", found, Some(true));
    check_log.equals(
        "it is released",
        client.release_operation("please", &requested.uid).await,
        Ok(()),
    );
    check_log.equals("and is gone", object(server).await, None);
    let started = client.start_operation(requested).await;
    check_log.equals("what is gone is not started", started, cancelled);
    check_log.equals(
        "nor released",
        client.release_operation("please", &requested.uid).await,
        Ok(()),
    );
}

async fn events(server: &ApiServer, check_log: &mut CheckLog, found: &OperationObject) {
    let event = OperationEvent {
        operation: found.name.clone(),
        uid: found.uid.clone(),
        worker: Some(WorkerName::new(WORKER)),
        reason: "Started",
        note: "the Operation please was started".to_owned(),
        is_warning: false,
        at: found.created,
    };
    for what in ["events are recorded", "and once for each reason"] {
        let recorded = server.stargate_client.record_operation_event(&event).await;
        check_log.equals(what, recorded, Ok(()));
    }
    let live = server.admin.get(EVENTS).await.body;
    let items = live["items"].as_array().cloned().unwrap_or_default();
    let ours = items.iter().filter(|it| it["reportingController"] == "stargate.io/watch");
    let mut about: Vec<String> = ours
        .map(|it| format!("{} {}", it["regarding"]["kind"], it["reason"]).replace('"', ""))
        .collect();
    about.sort();
    check_log.equals(
        "about the Operation and its Server",
        about,
        vec!["Operation Started".to_owned(), "Server Started".to_owned()],
    );
}
