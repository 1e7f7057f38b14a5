//! Watches report every change in order, starting from a version.

use futures::{Stream, TryStreamExt as _};
use kube::api::{Api, ApiResource, DynamicObject, WatchEvent, WatchParams};
use serde_json::json;
use stargate::provider::cluster::{ServerState, ServerStatus};
use stargate::resource::Site;
use stargate::topology::names::WorkerName;

use crate::api_server::ApiServer;
use crate::check_log::CheckLog;
use crate::definitions::SERVERS;
use crate::manifests::a_server;

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

pub(crate) async fn check(server: &ApiServer, check_log: &mut CheckLog) {
    let list = server.admin.get(SERVERS).await;
    let version = list.body["metadata"]["resourceVersion"].as_str().unwrap_or("0").to_owned();
    let params = WatchParams::default().timeout(20);
    let all = servers(server).watch(&params, &version).await;
    let Some(all) = check_log.succeeds("a watch begins", all) else { return };
    let chosen = servers(server).watch(&params.labels("checked=yes"), &version).await;
    let Some(chosen) = check_log.succeeds("a watch by label begins", chosen) else { return };
    change(server, check_log).await;
    let expected = [
        "ADDED watched",
        "MODIFIED watched pending",
        "MODIFIED watched ready",
        "MODIFIED watched ready",
        "DELETED watched ready",
    ];
    let found = events(all, expected.len()).await;
    check_log.equals(
        "a watch reports all changes in order",
        found,
        expected.map(str::to_owned).to_vec(),
    );
    let found = events(chosen, 2).await;
    let expected = ["ADDED watched ready", "DELETED watched ready"];
    check_log.equals(
        "a watch by label reports objects that begin or cease to match",
        found,
        expected.map(str::to_owned).to_vec(),
    );
    refused(server, check_log).await;
}

/// Creates an object, updates its status twice, adds a label, and deletes it.
async fn change(server: &ApiServer, check_log: &mut CheckLog) {
    let mut manifest = a_server("attic-a");
    manifest.name = "watched".to_owned();
    manifest.body["spec"]["hostname"] = json!("watched");
    let made = server.stargate_client.apply(&manifest, &Site::Cluster, true).await;
    check_log.succeeds("a Server comes", made);
    let worker = WorkerName::new("watched");
    let path = format!("{SERVERS}/watched");
    let status = json!({ "status": { "state": "pending" } });
    let written = server.admin.merge(&format!("{path}/status"), &status).await;
    check_log.equals("its status is written", written.code, 200);
    let status = ServerStatus {
        state: ServerState::Ready,
        message: String::new(),
        current_os: None,
        applied_profile: None,
        updated: "2026-01-02T03:04:05Z".parse().unwrap(),
    };
    check_log.equals(
        "and by stargate",
        server.stargate_client.update_server_status(&worker, &status).await,
        Ok(()),
    );
    let equals = server.stargate_client.update_server_status(&worker, &status).await;
    check_log.equals("an identical write is no event", equals, Ok(()));
    let labelled = json!({ "metadata": { "labels": { "checked": "yes" } } });
    server.admin.merge(&path, &labelled).await;
    server.admin.delete(&path).await;
}

async fn events<S>(stream: S, count: usize) -> Vec<String>
where
    S: Stream<Item = kube::Result<WatchEvent<DynamicObject>>>,
{
    let mut stream = std::pin::pin!(stream);
    let mut found = Vec::new();
    while found.len() < count {
        let (word, object) = match stream.try_next().await {
            Ok(Some(WatchEvent::Added(object))) => ("ADDED", object),
            Ok(Some(WatchEvent::Modified(object))) => ("MODIFIED", object),
            Ok(Some(WatchEvent::Deleted(object))) => ("DELETED", object),
            Ok(Some(WatchEvent::Bookmark(_))) => continue,
            other => {
                found.push(format!("{other:?}"));
                break;
            }
        };
        let name = object.metadata.name.unwrap_or_default();
        let state = object.data["status"]["state"].as_str().unwrap_or_default().to_owned();
        found.push(format!("{word} {name} {state}").trim_end().to_owned());
    }
    found
}

async fn refused(server: &ApiServer, check_log: &mut CheckLog) {
    let path = format!("{SERVERS}?watch=true&resourceVersion=nonsense");
    let response = server.admin.get(&path).await;
    check_log.equals("an invalid version is refused", response.summary(), "500".into());
}
