//! The Topology object: its status keeps every field, and an approval is taken once.

use serde_json::{Value, json};
use stargate::provider::cluster::{ClusterError, TopologyObject};
use stargate::resource::custom_resources::APPROVE_ANNOTATION;

use crate::api_server::ApiServer;
use crate::check_log::CheckLog;

const TOPOLOGIES: &str = "/apis/stargate.io/v1alpha1/namespaces/stargate/topologies";

pub(crate) async fn check(server: &ApiServer, check_log: &mut CheckLog) {
    let client = &server.stargate_client;
    check_log.equals("there is no Topology", client.topology_object().await, Ok(None));
    let created = client.create_topology_object().await;
    let Some(created) = check_log.succeeds("a Topology is created", created) else { return };
    check_log.equals("its generation", created.generation, 1);
    let again = client.create_topology_object().await;
    let is_conflict = again.as_ref().is_err_and(ClusterError::is_conflict);
    check_log.is_true("it is created once", is_conflict, &again);
    written_status(server, check_log).await;
    approvals(server, check_log).await;
    let name = path(server);
    check_log.equals("it is deleted", server.admin.delete(&name).await.code, 200);
}

fn path(server: &ApiServer) -> String {
    format!("{TOPOLOGIES}/{}", server.stargate_client.owner().topology)
}

/// A status with every field.
fn whole_status() -> Value {
    let digest = "0123456789abcdef0123456789abcdef";
    json!({
        "observedGeneration": 1,
        "conditions": [{
            "type": "Ready", "status": "False", "reason": "AwaitsApproval",
            "message": "awaiting approval: 1 change", "observedGeneration": 1,
            "lastTransitionTime": "2026-01-02T03:04:05Z",
        }],
        "version": "0.1.0",
        "topologyDigest": "d1",
        "apply": "routes",
        "intervalSeconds": 300,
        "drift": {
            "total": 1,
            "kinds": [{ "kind": "worker", "count": 1 }],
            "actions": [{ "action": "delete", "count": 1 }],
        },
        "pairs": { "reached": 12, "broken": 0, "unknown": 0 },
        "workers": { "ready": 2, "notReady": 0, "missing": 0, "unknown": 0 },
        "pendingApproval": {
            "total": 1, "digest": digest, "losesPairs": false, "lostPairs": 0,
            "command": "kubectl annotate",
            "changes": [{
                "address": "worker/dc1/a", "action": "delete", "reason": "it deletes a machine",
            }],
        },
        "blocked": { "total": 1, "changes": [{ "message": "an error of the topology" }] },
        "approval": { "digest": digest, "state": "Refused", "message": "no change waits" },
        "lastSuccessTime": "2026-01-02T03:04:05Z",
        "lastUpdateTime": "2026-01-02T03:04:05Z",
    })
}

async fn written_status(server: &ApiServer, check_log: &mut CheckLog) {
    let client = &server.stargate_client;
    let status = whole_status();
    check_log.succeeds("a status is written", client.update_topology_status(&status).await);
    let read = read(server).await;
    check_log.equals("no field is pruned", read.map(|it| it.status), Some(status));
    let fewer = json!({ "pendingApproval": { "total": 0, "digest": null, "changes": [] } });
    check_log.succeeds("a field is removed", client.update_topology_status(&fewer).await);
    let pending = read_status(server).await["pendingApproval"].clone();
    check_log.equals("and is gone", pending["digest"].clone(), Value::Null);
    let wrong = json!({ "pendingApproval": { "digest": "no digest" } });
    let refused = client.update_topology_status(&wrong).await;
    check_log.is_true("the schema is enforced", refused.is_err(), &refused);
}

async fn read(server: &ApiServer) -> Option<TopologyObject> {
    server.stargate_client.topology_object().await.ok().flatten()
}

async fn read_status(server: &ApiServer) -> Value {
    read(server).await.map(|it| it.status).unwrap_or_default()
}

async fn approvals(server: &ApiServer, check_log: &mut CheckLog) {
    let client = &server.stargate_client;
    let annotate = json!({ "metadata": { "annotations": { APPROVE_ANNOTATION: "d1" } } });
    server.admin.merge(&path(server), &annotate).await;
    let Some(first) = read(server).await else { return };
    check_log.equals("the approval is read", first.approval.clone(), Some("d1".to_owned()));
    let changed = json!({ "metadata": { "annotations": { APPROVE_ANNOTATION: "d2" } } });
    server.admin.merge(&path(server), &changed).await;
    let taken = client.take_approval(&first).await;
    let is_conflict = taken.as_ref().is_err_and(ClusterError::is_conflict);
    check_log.is_true("an approval that changed is not taken", is_conflict, &taken);
    let Some(second) = read(server).await else { return };
    check_log.succeeds("an approval is taken", client.take_approval(&second).await);
    let left = read(server).await.map(|it| it.approval);
    check_log.equals("it is there no more", left, Some(None));
}
