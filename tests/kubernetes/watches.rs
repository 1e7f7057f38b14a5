//! Watches: every change is told, in order, from a version on.

use futures::{Stream, TryStreamExt as _};
use kube::api::{Api, ApiResource, DynamicObject, WatchEvent, WatchParams};
use serde_json::json;
use stargate::provider::cluster::{ServerState, ServerStatus};
use stargate::resource::Side;
use stargate::topology::names::WorkerName;

use crate::api_server::ApiServer;
use crate::definitions::SERVERS;
use crate::manifests::a_server;
use crate::verdicts::Verdicts;

fn servers(server: &ApiServer) -> Api<DynamicObject> {
    let resource = ApiResource {
        group: "stargate.io".into(),
        version: "v1alpha1".into(),
        api_version: "stargate.io/v1alpha1".into(),
        kind: "Server".into(),
        plural: "servers".into(),
    };
    Api::namespaced_with(server.admin.client.clone(), "stargate", &resource)
}

pub(crate) async fn check(server: &ApiServer, verdicts: &mut Verdicts) {
    let list = server.admin.get(SERVERS).await;
    let version = list.body["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
    let params = WatchParams::default().timeout(20);
    let all = servers(server).watch(&params, &version).await;
    let Some(all) = verdicts.well("a watch begins", all) else { return };
    let chosen = servers(server).watch(&params.labels("checked=yes"), &version).await;
    let Some(chosen) = verdicts.well("a watch by label begins", chosen) else { return };
    change(server, verdicts).await;
    let expected = [
        "ADDED watched",
        "MODIFIED watched pending",
        "MODIFIED watched ready",
        "MODIFIED watched ready",
        "DELETED watched ready",
    ];
    let seen = events(all, expected.len()).await;
    verdicts.same("a watch tells all, in order", seen, expected.map(str::to_owned).to_vec());
    let seen = events(chosen, 2).await;
    let expected = ["ADDED watched ready", "DELETED watched ready"];
    verdicts.same(
        "a watch by label tells what comes and goes by it",
        seen,
        expected.map(str::to_owned).to_vec(),
    );
    refused(server, verdicts).await;
}

/// Made, written twice through its status, given a label, and deleted.
async fn change(server: &ApiServer, verdicts: &mut Verdicts) {
    let mut manifest = a_server("attic-a");
    manifest.name = "watched".to_owned();
    manifest.body["spec"]["hostname"] = json!("watched");
    let made = server.door.apply(&manifest, &Side::Cluster, true).await;
    verdicts.well("a Server comes", made);
    let worker = WorkerName::new("watched");
    let path = format!("{SERVERS}/watched");
    let status = json!({ "status": { "state": "pending" } });
    let written = server.admin.merge(&format!("{path}/status"), &status).await;
    verdicts.same("its status is written", written.code, 200);
    let status = ServerStatus {
        state: ServerState::Ready,
        message: String::new(),
        current_os: None,
        applied_profile: None,
        updated: "2026-01-02T03:04:05Z".parse().unwrap(),
    };
    verdicts.same(
        "and by stargate",
        server.door.update_server_status(&worker, &status).await,
        Ok(()),
    );
    let same = server.door.update_server_status(&worker, &status).await;
    verdicts.same("the same again is no event", same, Ok(()));
    let labelled = json!({ "metadata": { "labels": { "checked": "yes" } } });
    server.admin.merge(&path, &labelled).await;
    server.admin.delete(&path).await;
}

async fn events<S>(stream: S, count: usize) -> Vec<String>
where
    S: Stream<Item = kube::Result<WatchEvent<DynamicObject>>>,
{
    let mut stream = std::pin::pin!(stream);
    let mut seen = Vec::new();
    while seen.len() < count {
        let (word, object) = match stream.try_next().await {
            Ok(Some(WatchEvent::Added(object))) => ("ADDED", object),
            Ok(Some(WatchEvent::Modified(object))) => ("MODIFIED", object),
            Ok(Some(WatchEvent::Deleted(object))) => ("DELETED", object),
            Ok(Some(WatchEvent::Bookmark(_))) => continue,
            other => {
                seen.push(format!("{other:?}"));
                break;
            }
        };
        let name = object.metadata.name.unwrap_or_default();
        let state = object.data["status"]["state"].as_str().unwrap_or_default().to_owned();
        seen.push(format!("{word} {name} {state}").trim_end().to_owned());
    }
    seen
}

async fn refused(server: &ApiServer, verdicts: &mut Verdicts) {
    let path = format!("{SERVERS}?watch=true&resourceVersion=nonsense");
    let answer = server.admin.get(&path).await;
    verdicts.same("a version that is none is refused", answer.verdict(), "500".into());
}
