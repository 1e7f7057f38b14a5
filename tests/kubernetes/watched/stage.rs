//! A deployment whose cluster is a real API server: Azure, the tailnet and the hosts are the
//! sandbox's.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::{Value, json};
use stargate::apply::StopSignal;
use stargate::provider::clients::ClusterConnector;
use stargate::provider::cluster::{ClusterClient, ClusterError, client_from_kubeconfig};
use stargate::provider::http::RequestCount;
use stargate::provider::read_write::ClusterWrite;
use stargate::resource::Owner;
use stargate::sandbox::transport::InMemory;
use stargate::sandbox::{SandboxState, SharedSandbox};
use tokio::task::JoinSet;

use super::mirror::{Mirror, forward};
use super::requests::Requests;
use crate::api_server::{ApiServer, Caller, policy};
use crate::harness::{Deployment, EXAMPLE, KEY, clients_on};

pub(super) const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const ROLES: &str = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
const BINDINGS: &str = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings";
/// Definitions that a managed cluster brings.
const OF_AKS: [&str; 2] = ["nodenetworkconfigs.acn.azure.com", "ciliumnodes.cilium.io"];
const OF_STARGATE: [&str; 4] = ["servers", "operations", "provisioningprofiles", "topologies"];
const OF_MONITORING: [&str; 2] = ["podmonitors", "prometheusrules"];
const NAMESPACES: [&str; 3] = ["stargate", "goldpinger", "stargate-system"];

/// The deployment, and the control of its API server.
pub(super) struct Stage {
    pub(super) admin: Caller,
    pub(super) sandbox: SharedSandbox,
    pub(super) mirror: Mirror,
    kubeconfig: String,
    tasks: JoinSet<()>,
}

/// The text of a topology that no timer reconciles.
pub(super) fn text(settings: &str) -> String {
    format!("{EXAMPLE}\n[watch]\ninterval_seconds = 86400\nmax_removals = 1000\n{settings}\n")
}

/// The services of the example, applied in virtual time.
fn applied() -> SandboxState {
    let runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = { runtime }.enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let deployment = Deployment::at(EXAMPLE, SandboxState::new(1), Timestamp::now());
        deployment.iterate().await;
        deployment.copy_of_state()
    })
}

impl Stage {
    /// Fills the API server with the Nodes of the example and what belongs to them.
    pub(super) async fn set(kubeconfig: &str) -> Self {
        let server = ApiServer::connect(kubeconfig).await;
        clear(&server.admin).await;
        let state = std::thread::spawn(applied).join().unwrap();
        define(&server.admin, &state).await;
        let sandbox = SharedSandbox::new(state);
        let mirror = Mirror::new(sandbox.clone(), server.admin.clone());
        mirror.send().await;
        let mut tasks = JoinSet::new();
        tasks.spawn(mirror.clone().run());
        let kubeconfig = kubeconfig.to_owned();
        Self { admin: server.admin, sandbox, mirror, kubeconfig, tasks }
    }

    /// Adds stargate's own objects.
    pub(super) async fn complete(&self) {
        self.deployment(EXAMPLE, None).iterate().await;
    }

    /// The deployment as a client at a port sees it; `None` for the server's own.
    pub(super) fn deployment(&self, text: &str, port: Option<u16>) -> Deployment {
        self.deployment_of(text, self.kubeconfig_at(port), None)
    }

    /// The same with the credentials of a kubeconfig, whose requests are noted.
    pub(super) fn deployment_of(
        &self,
        text: &str,
        kubeconfig: String,
        requests: Option<Requests>,
    ) -> Deployment {
        let sandbox = self.sandbox.clone();
        let topology = stargate::topology::load::load_text("stargate.toml", text).unwrap().topology;
        let connector = RealConnector { kubeconfig, mirror: self.mirror.clone(), requests };
        let wire = (Arc::new(InMemory::new(sandbox.clone())) as _, Arc::new(connector) as _);
        let clients = clients_on(&sandbox, &topology, wire, RequestCount::default());
        Deployment {
            subscription: stargate::topology::names::SubscriptionId::new(
                stargate::sandbox::arm::SUBSCRIPTION,
            ),
            sandbox,
            topology,
            clients,
            public_key: KEY.to_owned(),
            stop: StopSignal::default(),
            takes_lease: true,
        }
    }

    /// The administrator's kubeconfig, at another port.
    pub(super) fn kubeconfig_at(&self, port: Option<u16>) -> String {
        let Some(port) = port else { return self.kubeconfig.clone() };
        self.kubeconfig.replace(&format!("127.0.0.1:{}", self.port()), &format!("127.0.0.1:{port}"))
    }

    /// The kubeconfig of an account with a token.
    pub(super) fn with_token(&self, token: &str) -> String {
        let (until_user, _) = self.kubeconfig.split_once("  user: {").unwrap();
        format!("{until_user}  user: {{ token: {token} }}\n")
    }

    /// A plain client with the credentials of a kubeconfig.
    pub(super) async fn caller(&self, kubeconfig: &str) -> Caller {
        Caller { client: client_from_kubeconfig(kubeconfig, policy()).await.unwrap() }
    }

    /// The port of the API server.
    pub(super) fn port(&self) -> u16 {
        let (_, rest) = self.kubeconfig.split_once("https://127.0.0.1:").unwrap();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().unwrap()
    }

    /// Empties the API server for the tests that follow.
    pub(super) async fn end(mut self) {
        self.tasks.shutdown().await;
        clear(&self.admin).await;
    }

    pub(super) async fn object(&self, path: &str) -> Value {
        self.admin.get(path).await.body
    }
}

/// Sends a signal to the API server; a supervisor starts one that ended again.
pub(super) fn signal_api_server(signal: &str) {
    let file = PathBuf::from(std::env::var(super::PROCESS).unwrap());
    let id = std::fs::read_to_string(file).unwrap();
    let kill = Command::new("kill").args([signal, id.trim()]).status().unwrap();
    assert!(kill.success());
}

/// Waits until the API server answers.
pub(super) async fn until_ready(admin: &Caller) {
    admin.until("/readyz", |response| response.code == 200).await;
}

/// Forgets the history of all objects: watches of an earlier version begin again.
pub(super) async fn compact_history() {
    let etcd = std::env::var(super::ETCD).unwrap();
    let post = async |path: &str, body: Value| -> Value {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let sent = client.post(format!("{etcd}/v3/kv/{path}")).body(body.to_string()).send().await;
        let text = sent.unwrap().error_for_status().unwrap().text().await.unwrap();
        serde_json::from_str(&text).unwrap()
    };
    let found = post("range", json!({ "key": "AA==", "limit": 1 })).await;
    let revision = found["header"]["revision"].clone();
    post("compaction", json!({ "revision": revision, "physical": true })).await;
}

#[derive(Debug)]
struct RealConnector {
    kubeconfig: String,
    mirror: Mirror,
    requests: Option<Requests>,
}

#[async_trait]
impl ClusterConnector for RealConnector {
    async fn connect(
        &self,
        _kubeconfig: &str,
        owner: Owner,
    ) -> Result<Arc<dyn ClusterWrite>, ClusterError> {
        let server = client_from_kubeconfig(&self.kubeconfig, policy()).await?;
        let (mirror, requests) = (self.mirror.clone(), self.requests.clone());
        let service = tower::service_fn(move |request| {
            forward(server.clone(), mirror.clone(), requests.clone(), request)
        });
        let client = kube::client::ClientBuilder::new(service, "default").build();
        Ok(Arc::new(ClusterClient::new(client, owner, RequestCount::default())))
    }
}

/// Deletes what an earlier deployment left.
async fn clear(admin: &Caller) {
    let mut names: Vec<String> = OF_STARGATE.map(|it| format!("{it}.stargate.io")).into();
    names.extend(OF_AKS.map(str::to_owned));
    names.extend(OF_MONITORING.map(|it| format!("{it}.monitoring.coreos.com")));
    let mut paths: Vec<String> = names.iter().map(|it| format!("{DEFINITIONS}/{it}")).collect();
    paths.extend(NAMESPACES.map(|it| format!("/api/v1/namespaces/{it}")));
    release_operations(admin).await;
    for path in &paths {
        admin.delete(path).await;
    }
    admin.delete("/api/v1/nodes").await;
    admin.delete("/apis/certificates.k8s.io/v1/certificatesigningrequests").await;
    admin.delete("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases").await;
    for collection in [ROLES, BINDINGS] {
        admin.delete(&format!("{collection}?labelSelector=stargate.io%2Ftopology")).await;
        for collection in [collection.to_owned(), within_kube_system(collection)] {
            let of_manifests = "labelSelector=app.kubernetes.io%2Fname%3Dstargate";
            admin.delete(&format!("{collection}?{of_manifests}")).await;
        }
    }
    for path in paths {
        let deleted = admin.until(&path, |response| response.code == 404).await;
        assert_eq!(deleted.code, 404, "{path}: {deleted:?}");
    }
}

fn within_kube_system(collection: &str) -> String {
    collection.replace("/v1/cluster", "/v1/namespaces/kube-system/")
}

/// No watch runs that would take off the finalizers.
async fn release_operations(admin: &Caller) {
    let all = admin.get("/apis/stargate.io/v1alpha1/operations").await.body;
    for operation in all["items"].as_array().into_iter().flatten() {
        let name = operation["metadata"]["name"].as_str().unwrap();
        let path = format!("/apis/stargate.io/v1alpha1/namespaces/stargate/operations/{name}");
        admin.merge(&path, &json!({ "metadata": { "finalizers": null } })).await;
    }
}

/// The kinds that a managed cluster brings.
async fn define(admin: &Caller, state: &SandboxState) {
    let store = state.kubernetes.as_ref().unwrap();
    for name in OF_AKS {
        let kind = ("apiextensions.k8s.io/v1", "CustomResourceDefinition");
        let found = store.get(kind.0, kind.1, None, name).unwrap();
        let object = json!({ "apiVersion": kind.0, "kind": kind.1, "metadata": { "name": name },
            "spec": found["spec"] });
        let created = admin.post(DEFINITIONS, &object).await;
        assert_eq!(created.code, 201, "{created:?}");
        let established = |it: &crate::api_server::ApiResponse| {
            let conditions = it.body["status"]["conditions"].as_array();
            conditions
                .into_iter()
                .flatten()
                .any(|one| one["type"] == "Established" && one["status"] == "True")
        };
        admin.until(&format!("{DEFINITIONS}/{name}"), established).await;
    }
    // An established kind is served a moment later.
    for collection in
        ["/apis/acn.azure.com/v1alpha/nodenetworkconfigs", "/apis/cilium.io/v2/ciliumnodes"]
    {
        admin.until(collection, |response| response.code == 200).await;
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
}
