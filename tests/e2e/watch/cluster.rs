//! Changes of the cluster trigger reconciles, whatever happens to the watches.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, BodyStream, StreamBody};
use hyper::body::Body as _;
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, Patch, PatchParams};
use serde_json::json;
use stargate::provider::clients::ClusterConnector;
use stargate::provider::cluster::{ClusterClient, ClusterError};
use stargate::provider::http::{Api as ServiceApi, RequestCount};
use stargate::provider::read_write::ClusterWrite;
use stargate::resource::Owner;
use stargate::sandbox::SharedSandbox;
use stargate::sandbox::faults::Fault;
use stargate::sandbox::stream::ResponseBody;
use stargate::sandbox::transport::{kube_client, kube_service};
use stargate::watch::{ReconcileResult, Trigger};
use tokio::time::sleep;
use tower::ServiceExt as _;

use super::{Watch, watched, watching};
use crate::harness::{Deployment, request_layer};
use crate::node_pools::{nodes_and_routes, routes_are_complete};

impl Watch<'_> {
    /// Waits for a reconcile beyond these that changed something without a person and
    /// without a timer.
    async fn heals(&self, before: usize) {
        self.settles().await;
        let later = self.log.finished().split_off(before);
        assert!(later.iter().any(|it| it.reconciled.changes > 0), "{later:#?}");
        for finished in &later {
            assert_eq!(finished.triggers, [Trigger::Cluster].into(), "{later:#?}");
            assert_eq!(finished.reconciled.result, ReconcileResult::Matches, "{later:#?}");
        }
        routes_are_complete(self.deployment);
        let left = self.deployment.plan().await;
        assert!(left.is_empty(), "{}", crate::harness::summary(&left));
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_gets_its_route_and_one_that_goes_loses_it() {
    let deployment = Deployment::example_applied().await;
    let (nodes, routes) = nodes_and_routes(&deployment);
    watching(&deployment, &watched(""), async |watch| {
        let before = watch.settles().await.len();
        watch.matches();
        deployment.inject(Fault::AksScaleOut, None);
        watch.heals(before).await;
        let (more_nodes, more_routes) = nodes_and_routes(&deployment);
        assert_eq!(more_nodes.len(), nodes.len() + 1);
        assert!(more_routes.is_superset(&routes));
        let before = watch.log.finished().len();
        deployment.inject(Fault::AksScaleIn, None);
        watch.heals(before).await;
        assert_eq!(nodes_and_routes(&deployment), (nodes, routes));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn node_events_within_a_second_lead_to_at_most_three_reconciles() {
    let deployment = Deployment::example_applied().await;
    let nodes: Api<Node> = Api::all(kube_client(deployment.sandbox.clone()));
    let name = nodes_of_aks(&nodes).await.remove(0);
    watching(&deployment, &watched(""), async |watch| {
        let before = watch.settles().await.len();
        for number in 0..200 {
            let label = json!({ "metadata": { "labels": { "test": number.to_string() } } });
            nodes.patch(&name, &PatchParams::default(), &Patch::Merge(label)).await.unwrap();
            if number % 50 == 0 {
                deployment.inject(Fault::AksScaleOut, None);
            }
            sleep(Duration::from_millis(5)).await;
        }
        let count = watch.settles().await.len() - before;
        let _ = writeln!(std::io::stderr(), "200 events of Nodes: {count} reconciles");
        assert!((1..=3).contains(&count), "{count} reconciles");
        watch.heals(before).await;
    })
    .await;
}

async fn nodes_of_aks(nodes: &Api<Node>) -> Vec<String> {
    let all = nodes.list(&Default::default()).await.unwrap();
    let names = all.into_iter().filter_map(|node| node.metadata.name);
    names.filter(|name| name.starts_with("aks-")).collect()
}

/// Changes during an outage of the API server are noticed after it.
#[tokio::test(start_paused = true)]
async fn an_outage_of_the_api_server_loses_no_event() {
    let deployment = Deployment::example_applied().await;
    watching(&deployment, &watched(""), async |watch| {
        let before = watch.settles().await.len();
        deployment.sandbox.change(|sandbox, _| sandbox.down.insert(ServiceApi::Kubernetes));
        sleep(Duration::from_secs(60)).await;
        deployment.inject(Fault::AksScaleOut, None);
        sleep(Duration::from_secs(60)).await;
        deployment.sandbox.change(|sandbox, _| sandbox.down.clear());
        sleep(Duration::from_secs(60)).await;
        watch.heals(before).await;
    })
    .await;
}

/// The change log of the API server no longer reaches back to the version of the watch.
#[tokio::test(start_paused = true)]
async fn a_version_that_is_too_old_loses_no_event() {
    let deployment = Deployment::example_applied().await;
    watching(&deployment, &watched(""), async |watch| {
        let before = watch.settles().await.len();
        deployment.sandbox.change(|sandbox, _| sandbox.down.insert(ServiceApi::Kubernetes));
        sleep(Duration::from_secs(1)).await;
        deployment.inject(Fault::AksScaleOut, None);
        deployment.sandbox.change(|sandbox, _| {
            // As in an API server that was restarted: its log of changes is empty.
            let store = serde_json::to_value(sandbox.kubernetes.as_ref().unwrap()).unwrap();
            sandbox.kubernetes = Some(serde_json::from_value(store).unwrap());
            sandbox.down.clear();
        });
        sleep(Duration::from_secs(60)).await;
        watch.heals(before).await;
    })
    .await;
}

/// Connects to the sandbox; while it is frozen, watches get no byte and no end, and those
/// that it froze never get one.
#[derive(Debug)]
struct FreezingConnector {
    sandbox: SharedSandbox,
    is_frozen: Arc<AtomicBool>,
}

#[async_trait]
impl ClusterConnector for FreezingConnector {
    async fn connect(
        &self,
        _kubeconfig: &str,
        owner: Owner,
    ) -> Result<Arc<dyn ClusterWrite>, ClusterError> {
        let is_frozen = Arc::clone(&self.is_frozen);
        let service = kube_service(self.sandbox.clone())
            .map_response(move |response| response.map(|body| freezing(body, &is_frozen)));
        let requests = RequestCount::default();
        let builder = kube::client::ClientBuilder::new(service, "default");
        let client = builder.with_layer(&request_layer(&requests)).build();
        Ok(Arc::new(ClusterClient::new(client, owner, requests)))
    }
}

fn freezing(body: ResponseBody, is_frozen: &Arc<AtomicBool>) -> ResponseBody {
    if body.size_hint().exact().is_some() {
        return body;
    }
    let frames = stream::unfold(
        (BodyStream::new(body), Arc::clone(is_frozen)),
        |(mut frames, is_frozen)| async move {
            let frame = frames.next().await;
            if is_frozen.load(Ordering::SeqCst) {
                std::future::pending::<()>().await;
            }
            Some((frame?, (frames, is_frozen)))
        },
    );
    StreamBody::new(frames).boxed_unsync()
}

/// A connection that is dead without an end: the deadline of the watch notices it.
#[tokio::test(start_paused = true)]
async fn a_watch_that_is_silently_dead_is_noticed_in_time() {
    let mut deployment = Deployment::example_applied().await;
    let is_frozen = Arc::new(AtomicBool::new(false));
    let (sandbox, frozen) = (deployment.sandbox.clone(), Arc::clone(&is_frozen));
    deployment.clients.cluster = Arc::new(FreezingConnector { sandbox, is_frozen: frozen });
    watching(&deployment, &watched(""), async |watch| {
        let before = watch.settles().await.len();
        is_frozen.store(true, Ordering::SeqCst);
        deployment.inject(Fault::AksScaleOut, None);
        assert_eq!(watch.settles().await.len(), before, "the event is lost");
        is_frozen.store(false, Ordering::SeqCst);
        sleep(Duration::from_secs(70)).await;
        watch.heals(before).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn heartbeats_trigger_nothing() {
    let deployment = Deployment::example_applied().await;
    let nodes: Api<Node> = Api::all(kube_client(deployment.sandbox.clone()));
    let name = nodes_of_aks(&nodes).await.remove(0);
    watching(&deployment, &watched(""), async |watch| {
        let before = watch.settles().await.len();
        for number in 0..20 {
            let beat =
                json!({ "metadata": { "annotations": { "other.io/beat": number.to_string() } } });
            nodes.patch(&name, &PatchParams::default(), &Patch::Merge(beat)).await.unwrap();
            sleep(Duration::from_secs(10)).await;
        }
        assert_eq!(watch.settles().await.len(), before);
    })
    .await;
}
