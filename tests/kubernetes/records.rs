//! Operations and Servers: the status is written through its subresource, and the spec of an
//! Operation is immutable.

use jiff::Timestamp;
use serde_json::{Value, json};
use stargate::provider::cluster::{
    ClusterError, OperationKind, OperationPhase, OperationRecord, ServerState, ServerStatus,
};
use stargate::topology::names::{ProfileName, WorkerName};

use crate::api_server::ApiServer;
use crate::check_log::CheckLog;
use crate::definitions::SERVERS;

/// How the API server reports that it did not evaluate the validation rules.
const BLOCKED: &str = "<nil>=FieldValueInvalid";
const OPERATIONS: &str = "/apis/stargate.io/v1alpha1/namespaces/stargate/operations";

pub(crate) async fn check(server: &ApiServer, check_log: &mut CheckLog) {
    operation(server, check_log).await;
    refused_operations(server, check_log).await;
    server_status(server, check_log).await;
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn record() -> OperationRecord {
    OperationRecord {
        worker: WorkerName::new("attic-a"),
        profile: ProfileName::new("standard"),
        kind: OperationKind::Repave,
        started: time("2026-01-02T03:04:05Z"),
        phase: OperationPhase::Running,
        completed: None,
        message: "kubelet".to_owned(),
        request: None,
        node_uid: None,
        boot_id: None,
    }
}

async fn operation(server: &ApiServer, check_log: &mut CheckLog) {
    let mut record = record();
    let path = format!("{OPERATIONS}/{}", record.name());
    let stargate_client = &server.stargate_client;
    let early = stargate_client.update_operation(&record).await.err();
    let is_missing = early.as_ref().is_some_and(ClusterError::is_not_found);
    check_log.is_true("a record must be created first", is_missing, &early);
    check_log.equals(
        "a record is created",
        stargate_client.create_operation(&record).await,
        Ok(()),
    );
    check_log.equals(
        "creating it is idempotent",
        stargate_client.create_operation(&record).await,
        Ok(()),
    );
    let running = server.admin.get(&path).await.body;
    let expected = json!({
        "phase": "Running", "startTime": "2026-01-02T03:04:05Z", "message": "kubelet",
        "conditions": [{ "type": "Complete", "status": "Unknown", "reason": "Running",
            "message": "kubelet", "lastTransitionTime": "2026-01-02T03:04:05Z" }],
    });
    check_log.equals("it contains the progress", running["status"].clone(), expected);
    let generation = running["metadata"]["generation"].clone();
    check_log.equals("which does not change the generation", generation, json!(1));
    record.phase = OperationPhase::Failed;
    record.completed = Some(time("2026-01-02T03:09:05Z"));
    record.message = "the kubelet did not start".to_owned();
    check_log.equals("its end is written", stargate_client.update_operation(&record).await, Ok(()));
    let ended = server.admin.get(&path).await.body;
    let status = &ended["status"];
    let found = (&status["phase"], &status["completionTime"], &status["conditions"][0]["status"]);
    let expected = (&json!("Failed"), &json!("2026-01-02T03:09:05Z"), &json!("False"));
    check_log.equals("and read", found, expected);
    let spec = json!({ "serverRef": { "name": "attic-a" }, "operation": "repave",
        "provisioningProfileRef": { "name": "standard" } });
    check_log.equals("the spec is unchanged", ended["spec"].clone(), spec);
}

async fn refused_operations(server: &ApiServer, check_log: &mut CheckLog) {
    let path = format!("{OPERATIONS}/{}", record().name());
    let response = server.admin.merge(&path, &json!({ "spec": { "operation": "join" } })).await;
    let summary = "422 Invalid spec=FieldValueInvalid";
    check_log.equals("an Operation's spec is immutable", response.summary(), summary.into());
    let sentence = format!(
        "Operation.stargate.io \"{}\" is invalid: spec: Invalid value: \"object\": an Operation \
         cannot be changed",
        record().name()
    );
    check_log.equals("with this message", response.message(), sentence.as_str());
    let ignored = json!({ "status": { "phase": "Succeeded" } });
    let response = server.admin.merge(&path, &ignored).await;
    let phase = response.body["status"]["phase"].clone();
    check_log.equals("a status is not written with the object", phase, json!("Failed"));
    let ignored = json!({ "spec": { "operation": "join" }, "metadata": { "labels": { "a": "b" } },
        "status": { "message": "only this" } });
    let response = server.admin.merge(&format!("{path}/status"), &ignored).await.body;
    let found = (&response["spec"]["operation"], &response["metadata"]["labels"]["a"]);
    check_log.equals("nor an object with its status", found, (&json!("repave"), &Value::Null));
    for (status, summary) in [
        (json!({ "phase": "Nearly" }), format!("status.phase=FieldValueNotSupported {BLOCKED}")),
        (
            json!({ "startTime": "yesterday" }),
            format!("status.startTime=FieldValueTypeInvalid {BLOCKED}"),
        ),
        (json!({ "message": 1 }), format!("status.message=FieldValueTypeInvalid {BLOCKED}")),
        (
            json!({ "conditions": [{ "type": "Complete", "status": "True", "reason": "a" }] }),
            format!("status.conditions[0].lastTransitionTime=FieldValueRequired {BLOCKED}"),
        ),
        (
            json!({ "conditions": [condition("Maybe"), condition("Maybe")] }),
            "status.conditions[1]=FieldValueDuplicate".to_owned(),
        ),
    ] {
        let change = json!({ "status": status });
        let response = server.admin.merge(&format!("{path}/status"), &change).await;
        let what = format!("the status {status} is refused");
        check_log.equals(&what, response.summary(), format!("422 Invalid {summary}"));
    }
    let wrong = json!({
        "apiVersion": "stargate.io/v1alpha1", "kind": "Operation",
        "metadata": { "name": "wrong" },
        "spec": { "serverRef": { "name": "a" }, "operation": "explode",
            "provisioningProfileRef": { "name": "b" } },
    });
    let response = server.admin.post(OPERATIONS, &wrong).await;
    let summary = format!("422 Invalid spec.operation=FieldValueNotSupported {BLOCKED}");
    check_log.equals("an unknown Operation is refused", response.summary(), summary);
}

fn condition(kind: &str) -> Value {
    json!({ "type": kind, "status": "True", "reason": "a",
        "lastTransitionTime": "2026-01-02T03:04:05Z" })
}

async fn server_status(server: &ApiServer, check_log: &mut CheckLog) {
    let worker = WorkerName::new("attic-a");
    let mut status = ServerStatus {
        state: ServerState::Provisioning,
        message: "kubelet".to_owned(),
        current_os: Some("Ubuntu 24.04, kubelet 1.33.5".to_owned()),
        applied_profile: Some("standard".to_owned()),
        updated: time("2026-01-02T03:04:05Z"),
    };
    let stargate_client = &server.stargate_client;
    check_log.equals(
        "a status is written",
        stargate_client.update_server_status(&worker, &status).await,
        Ok(()),
    );
    status.state = ServerState::Ready;
    status.message = String::new();
    (status.current_os, status.applied_profile) = (None, None);
    status.updated = time("2026-01-02T03:09:05Z");
    check_log.equals(
        "and another",
        stargate_client.update_server_status(&worker, &status).await,
        Ok(()),
    );
    let object = server.admin.get(&format!("{SERVERS}/attic-a")).await.body;
    let expected = json!({
        "state": "ready", "message": "", "lastUpdated": "2026-01-02T03:09:05Z",
        "currentOS": "Ubuntu 24.04, kubelet 1.33.5", "appliedProfile": "standard",
        "conditions": [{ "type": "Ready", "status": "True", "reason": "ready", "message": "",
            "lastTransitionTime": "2026-01-02T03:09:05Z" }],
    });
    check_log.equals("omitted fields are kept", object["status"].clone(), expected);
    let missing =
        stargate_client.update_server_status(&WorkerName::new("missing"), &status).await.err();
    let is_missing = missing.as_ref().is_some_and(ClusterError::is_not_found);
    check_log.is_true("a missing Server is an error", is_missing, &missing);
}
