use futures::TryStreamExt as _;
use k8s_openapi::api::core::v1::{ConfigMap, Node};
use kube::api::{Api as Objects, PostParams, WatchEvent, WatchParams};

use super::*;
use crate::sandbox::test_sandbox::complete_sandbox;
use crate::sandbox::transport::kube_client;

#[tokio::test]
async fn a_client_in_the_same_process_reads_the_cluster() {
    let sandbox = SharedSandbox::new(complete_sandbox());
    let nodes: Objects<Node> = Objects::all(kube_client(sandbox));
    assert_eq!(nodes.list(&Default::default()).await.unwrap().items.len(), 3);
}

#[tokio::test]
async fn external_clients_use_tls_with_the_cluster_s_name() {
    let sandbox = SharedSandbox::new(complete_sandbox());
    let options = ServeOptions { tls: true, ..ServeOptions::default() };
    let server = Server::start(sandbox.clone(), options).await.unwrap();
    let token = sandbox.read(|sandbox| sandbox.cluster_access.clone().unwrap().token);
    let mut config = kube::Config::new(server.endpoints.kubernetes.parse().unwrap());
    config.root_cert = Some(vec![der(server.endpoints.certificate.as_deref().unwrap())]);
    config.tls_server_name = Some("aks-1234.hcp.canadacentral.azmk8s.io".to_owned());
    config.auth_info.token = Some(token.into());
    let client = kube::Client::try_from(config).unwrap();
    let maps: Objects<ConfigMap> = Objects::namespaced(client, "default");
    let version = maps.list(&Default::default()).await.unwrap().metadata.resource_version.unwrap();
    let mut watch = Box::pin(maps.watch(&WatchParams::default(), &version).await.unwrap());
    let map: ConfigMap =
        serde_json::from_value(serde_json::json!({ "metadata": { "name": "seen" } })).unwrap();
    maps.create(&PostParams::default(), &map).await.unwrap();
    match watch.try_next().await.unwrap() {
        Some(WatchEvent::Added(map)) => assert_eq!(map.metadata.name.as_deref(), Some("seen")),
        other => panic!("{other:?}"),
    }
    server.stop().await;
    assert!(sandbox.read(|sandbox| sandbox.endpoints.kubernetes.is_empty()));
}

fn der(pem: &str) -> Vec<u8> {
    use base64::Engine as _;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(body).unwrap()
}
