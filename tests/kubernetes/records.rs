//! Operations and Servers: their status is written through its own door, and an
//! Operation's wish never changes.

use jiff::Timestamp;
use serde_json::{Value, json};
use stargate::provider::cluster::{
    ClusterError, OperationKind, OperationPhase, OperationRecord, ServerState, ServerStatus,
};
use stargate::topology::names::{ProfileName, WorkerName};

use crate::api_server::ApiServer;
use crate::definitions::SERVERS;
use crate::verdicts::Verdicts;

/// How the API server says that it did not come to look at the rules.
const BLOCKED: &str = "<nil>=FieldValueInvalid";
const OPERATIONS: &str = "/apis/stargate.io/v1alpha1/namespaces/stargate/operations";

pub(crate) async fn check(server: &ApiServer, verdicts: &mut Verdicts) {
    operation(server, verdicts).await;
    refused_operations(server, verdicts).await;
    server_status(server, verdicts).await;
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
    }
}

async fn operation(server: &ApiServer, verdicts: &mut Verdicts) {
    let mut record = record();
    let path = format!("{OPERATIONS}/{}", record.name());
    let door = &server.door;
    let early = door.update_operation(&record).await.err();
    let is_missing = early.as_ref().is_some_and(ClusterError::is_not_found);
    verdicts.holds("a record must be made first", is_missing, &early);
    verdicts.same("a record is made", door.create_operation(&record).await, Ok(()));
    verdicts.same("twice is once", door.create_operation(&record).await, Ok(()));
    let running = server.admin.get(&path).await.body;
    let expected = json!({
        "phase": "Running", "startTime": "2026-01-02T03:04:05Z", "message": "kubelet",
        "conditions": [{ "type": "Complete", "status": "Unknown", "reason": "Running",
            "message": "kubelet", "lastTransitionTime": "2026-01-02T03:04:05Z" }],
    });
    verdicts.same("it says how far the work is", running["status"].clone(), expected);
    let generation = running["metadata"]["generation"].clone();
    verdicts.same("which is no change of what is wanted", generation, json!(1));
    record.phase = OperationPhase::Failed;
    record.completed = Some(time("2026-01-02T03:09:05Z"));
    record.message = "the kubelet did not start".to_owned();
    verdicts.same("its end is written", door.update_operation(&record).await, Ok(()));
    let ended = server.admin.get(&path).await.body;
    let status = &ended["status"];
    let seen = (&status["phase"], &status["completionTime"], &status["conditions"][0]["status"]);
    let expected = (&json!("Failed"), &json!("2026-01-02T03:09:05Z"), &json!("False"));
    verdicts.same("and read", seen, expected);
    let spec = json!({ "serverRef": { "name": "attic-a" }, "operation": "repave",
        "provisioningProfileRef": { "name": "standard" } });
    verdicts.same("the wish is as it was", ended["spec"].clone(), spec);
}

async fn refused_operations(server: &ApiServer, verdicts: &mut Verdicts) {
    let path = format!("{OPERATIONS}/{}", record().name());
    let answer = server.admin.merge(&path, &json!({ "spec": { "operation": "join" } })).await;
    let verdict = "422 Invalid spec=FieldValueInvalid";
    verdicts.same("an Operation's wish cannot be changed", answer.verdict(), verdict.into());
    let sentence = format!(
        "Operation.stargate.io \"{}\" is invalid: spec: Invalid value: \"object\": an Operation \
         cannot be changed",
        record().name()
    );
    verdicts.same("and that is said", answer.message(), sentence.as_str());
    let ignored = json!({ "status": { "phase": "Succeeded" } });
    let answer = server.admin.merge(&path, &ignored).await;
    let phase = answer.body["status"]["phase"].clone();
    verdicts.same("a status is not written with the object", phase, json!("Failed"));
    let ignored = json!({ "spec": { "operation": "join" }, "metadata": { "labels": { "a": "b" } },
        "status": { "message": "only this" } });
    let answer = server.admin.merge(&format!("{path}/status"), &ignored).await.body;
    let seen = (&answer["spec"]["operation"], &answer["metadata"]["labels"]["a"]);
    verdicts.same("nor an object with its status", seen, (&json!("repave"), &Value::Null));
    for (status, verdict) in [
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
        let answer = server.admin.merge(&format!("{path}/status"), &change).await;
        let what = format!("the status {status} is refused");
        verdicts.same(&what, answer.verdict(), format!("422 Invalid {verdict}"));
    }
    let wrong = json!({
        "apiVersion": "stargate.io/v1alpha1", "kind": "Operation",
        "metadata": { "name": "wrong" },
        "spec": { "serverRef": { "name": "a" }, "operation": "explode",
            "provisioningProfileRef": { "name": "b" } },
    });
    let answer = server.admin.post(OPERATIONS, &wrong).await;
    let verdict = format!("422 Invalid spec.operation=FieldValueNotSupported {BLOCKED}");
    verdicts.same("an unknown Operation is refused", answer.verdict(), verdict);
}

fn condition(kind: &str) -> Value {
    json!({ "type": kind, "status": "True", "reason": "a",
        "lastTransitionTime": "2026-01-02T03:04:05Z" })
}

async fn server_status(server: &ApiServer, verdicts: &mut Verdicts) {
    let worker = WorkerName::new("attic-a");
    let mut status = ServerStatus {
        state: ServerState::Provisioning,
        message: "kubelet".to_owned(),
        current_os: Some("Ubuntu 24.04, kubelet 1.33.5".to_owned()),
        applied_profile: Some("standard".to_owned()),
        updated: time("2026-01-02T03:04:05Z"),
    };
    let door = &server.door;
    verdicts.same("a status is written", door.update_server_status(&worker, &status).await, Ok(()));
    status.state = ServerState::Ready;
    status.message = String::new();
    (status.current_os, status.applied_profile) = (None, None);
    status.updated = time("2026-01-02T03:09:05Z");
    verdicts.same("and another", door.update_server_status(&worker, &status).await, Ok(()));
    let object = server.admin.get(&format!("{SERVERS}/attic-a")).await.body;
    let expected = json!({
        "state": "ready", "message": "", "lastUpdated": "2026-01-02T03:09:05Z",
        "currentOS": "Ubuntu 24.04, kubelet 1.33.5", "appliedProfile": "standard",
        "conditions": [{ "type": "Ready", "status": "True", "reason": "ready", "message": "",
            "lastTransitionTime": "2026-01-02T03:09:05Z" }],
    });
    verdicts.same("what was not told stays", object["status"].clone(), expected);
    let nobody = door.update_server_status(&WorkerName::new("nobody"), &status).await.err();
    let is_missing = nobody.as_ref().is_some_and(ClusterError::is_not_found);
    verdicts.holds("no Server, no status", is_missing, &nobody);
}
