use serde_json::json;

use super::fake::FakeServer;
use crate::resource::kubernetes::{Manifest, ManifestKind};
use crate::resource::names::WorkerName;
use crate::resource::{Ownership, Site};

#[tokio::test]
async fn applying_adds_the_marks() {
    let fake = FakeServer::default();
    let manifest = Manifest {
        kind: ManifestKind::ServiceAccount,
        namespace: Some("goldpinger".into()),
        name: "goldpinger".to_owned(),
        body: json!({ "metadata": { "labels": { "app": "x" } } }).into(),
    };
    let live = fake.client().apply(&manifest, &Site::Cluster, true).await.unwrap();
    assert!(live.ownership.is_ours());
    let object = fake.get("/api/v1/namespaces/goldpinger/serviceaccounts/goldpinger").unwrap();
    assert_eq!(object["apiVersion"], "v1");
    assert_eq!(object["metadata"]["labels"]["stargate.io/topology"], "demo");
    assert_eq!(object["metadata"]["labels"]["app"], "x");
}

#[tokio::test]
async fn an_object_without_our_label_is_foreign() {
    let fake = FakeServer::default();
    fake.put("/api/v1/namespaces/goldpinger", json!({ "metadata": { "name": "goldpinger" } }));
    let client = fake.client();
    let live = client.get(ManifestKind::Namespace, None, "goldpinger").await.unwrap().unwrap();
    assert_eq!(live.ownership, Ownership::Foreign);
    assert_eq!(client.get(ManifestKind::Namespace, None, "other").await, Ok(None));
}

#[tokio::test]
async fn missing_apis_are_empty() {
    let client = FakeServer::default().client();
    assert!(client.node_network_configs().await.unwrap().is_empty());
    assert!(client.cilium_nodes().await.unwrap().is_empty());
    assert!(client.list_ours(ManifestKind::ProvisioningProfile).await.unwrap().is_empty());
}

#[tokio::test]
async fn tokens_come_and_go() {
    let fake = FakeServer::default();
    let client = fake.client();
    let now = "2026-01-01T00:00:00Z".parse().unwrap();
    let worker = WorkerName::new("dc1-w1");
    let token = client.create_bootstrap_token(&worker, now).await.unwrap();
    let path = format!("/api/v1/namespaces/kube-system/secrets/bootstrap-token-{}", token.id);
    let object = fake.get(&path).unwrap();
    assert_eq!(object["stringData"]["expiration"], "2026-01-01T01:00:00Z");
    assert!(object["stringData"].get("usage-bootstrap-signing").is_none());
    assert!(token.secret.expose().starts_with(&format!("{}.", token.id)));
    let other = WorkerName::new("dc1-w2");
    assert_eq!(client.delete_stale_bootstrap_tokens(Some(&other), now).await, Ok(0));
    assert_eq!(client.delete_stale_bootstrap_tokens(Some(&worker), now).await, Ok(1));
    assert_eq!(fake.get(&path), None);
}
