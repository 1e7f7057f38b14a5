//! An existing cluster with Microsoft Entra ID and without local accounts: the token of the
//! Azure credential is what its API server accepts.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use stargate::diagnostics::{Code, Failure};
use stargate::inventory::Source;
use stargate::plan::PlanStatus;
use stargate::provider::azure::{ArmClient, Precondition};
use stargate::provider::clients::{Clients, KubeconfigConnector, KubeconfigSource};
use stargate::provider::credentials::TokenSource;
use stargate::provider::http::RequestCount;
use stargate::provider::limits::Limits;
use stargate::provider::reqwest_transport::ReqwestTransport;
use stargate::provider::secret::Secret;
use stargate::provider::sign_in::{Application, AzureEndpoints, AzureTokens, Proof, SignIn};
use stargate::resource::ArmId;
use stargate::resource::settings::AzureCloud;
use stargate::sandbox::SandboxState;
use stargate::sandbox::arm;
use stargate::sandbox::arm::Directory;
use stargate::sandbox::faults::Fault;
use stargate::sandbox::serve::Server;
use tokio::time::sleep;

use super::latency::served_with;
use super::{watched, watching};
use crate::destroy::foreign_cluster;
use crate::harness::{Deployment, EXAMPLE, RefreshOptions, summary};
use crate::node_pools::nodes_and_routes;

const NAME: &str = "stargate-aks-e2e-2";
/// The lifetime of tokens in seconds: less than the apply and the watch take together.
const LIFETIME_SECONDS: u32 = 2;
const ROLE: &str = "Azure Kubernetes Service RBAC Cluster Admin";

fn existing(text: &str) -> String {
    text.replace("[cluster]  ", "[cluster]\nexisting = true # ")
}

fn group() -> ArmId {
    ArmId::resource_group(arm::SUBSCRIPTION, NAME)
}

fn cluster() -> ArmId {
    group().in_group("Microsoft.ContainerService/managedClusters", NAME)
}

async fn put(deployment: &Deployment, id: &ArmId, body: Value) {
    deployment.clients.azure.put(id, &body, Precondition::None).await.unwrap();
    deployment.clients.azure.wait_until_idle(id).await.unwrap();
}

/// The existing cluster alone.
async fn before() -> SandboxState {
    let deployment = Deployment::of(&existing(EXAMPLE), SandboxState::new(12));
    put(&deployment, &group(), json!({ "location": "canadacentral" })).await;
    let mut body = foreign_cluster(json!({
        "name": "nodepool1", "mode": "System", "count": 2, "vmSize": "Standard_D4ads_v5",
    }));
    body["properties"]["aadProfile"] = json!({ "enableAzureRBAC": true });
    body["properties"]["disableLocalAccounts"] = json!(true);
    put(&deployment, &cluster(), body).await;
    deployment.copy_of_state()
}

fn directory<T>(deployment: &Deployment, change: impl FnOnce(&mut Directory) -> T) -> T {
    deployment.sandbox.change(|sandbox, _| change(&mut sandbox.arm.directory))
}

fn register(deployment: &Deployment, change: impl FnOnce(&mut arm::DirectoryIdentity)) {
    directory(deployment, |directory| {
        change(directory.identity("app", &mut || "app-id".to_owned()));
    });
}

fn connector(tokens: Arc<dyn TokenSource>) -> KubeconfigConnector {
    let (limits, requests) = (Limits::unlimited(), RequestCount::default());
    let connector = KubeconfigConnector { limits, requests, ..KubeconfigConnector::default() };
    connector.with_azure_tokens(tokens)
}

/// The served state, its clients signed in as an application with the role, and the tokens
/// for Azure Resource Manager.
async fn served() -> (Deployment, Server, Arc<AzureTokens>) {
    let (mut deployment, server) = served_with(&existing(EXAMPLE), before().await).await;
    register(&deployment, |identity| {
        identity.add_secret("right", None);
        identity.cluster_admin = true;
    });
    let url = server.endpoints.azure.clone();
    let endpoints =
        AzureEndpoints { authority: url.clone(), ..AzureEndpoints::of_cloud(AzureCloud::Public) };
    let (tenant, client) = (arm::TENANT.to_owned(), "app-id".to_owned());
    let proof = Proof::Secret(Secret::new("right"));
    let sign_in = SignIn::Application(Application { tenant, client, proof });
    let transport = Arc::new(ReqwestTransport::new(None).unwrap());
    let requests = RequestCount::default();
    let tokens = AzureTokens::new(sign_in, endpoints, transport.clone(), requests.clone());
    let tokens = Arc::new(tokens);
    let azure = ArmClient::new(transport, &url, tokens.clone(), Limits::unlimited(), requests);
    deployment.clients = Clients {
        azure: Arc::new(azure),
        cluster: Arc::new(connector(Arc::new(tokens.for_clusters()))),
        ..deployment.clients
    };
    (deployment, server, tokens)
}

/// Why the cluster cannot be read.
async fn gap(deployment: &Deployment) -> Option<Failure> {
    let reading = deployment.read(&deployment.scope(&RefreshOptions::default())).await;
    let gap = reading.observation.inventory.gap_at(&Source::Kubernetes);
    gap.map(|gap| gap.failure.clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_without_local_accounts_is_planned_applied_and_watched() {
    let (deployment, _server, _) = served().await;
    directory(&deployment, |it| it.set_token_seconds(Some(LIFETIME_SECONDS)));
    let before = deployment.copy_of_state().arm.get(&cluster()).cloned();
    let plan = deployment.plan().await;
    assert!(!plan.is_empty() && gap(&deployment).await.is_none(), "{}", summary(&plan));
    deployment.iterate().await;
    let plan = deployment.refresh_and_plan(&RefreshOptions::deep()).await.plan;
    assert_eq!(plan.status(), PlanStatus::Matches, "{}", summary(&plan));
    assert_eq!(deployment.copy_of_state().arm.get(&cluster()).cloned(), before);
    let text = existing(&watched("max_removals = 1000"));
    let finished = watching(&deployment, &text, async |watch| {
        watch.settles().await;
        // Longer than a token is valid.
        sleep(Duration::from_secs(2 * u64::from(LIFETIME_SECONDS))).await;
        deployment.inject(Fault::AksScaleOut, None);
        watch.settles().await;
    })
    .await;
    let (nodes, routes) = nodes_and_routes(&deployment);
    assert_eq!((nodes.len(), &routes), (3, &nodes), "{finished:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_reason_why_the_api_server_refuses_has_its_remedy() {
    let (mut deployment, _server, tokens) = served().await;
    assert_eq!(gap(&deployment).await, None);
    // A revoked token is replaced.
    directory(&deployment, |it| it.revoke_tokens("app"));
    assert_eq!(gap(&deployment).await, None);
    let scope = format!("--scope '{}'", cluster());
    let refused = |failure: Option<Failure>, words: &[&str]| {
        let failure = failure.unwrap();
        assert_eq!(failure.code, Code::ClusterRefused, "{failure:?}");
        for word in words {
            let found = failure.remedy.contains(word) || failure.message.contains(word);
            assert!(found, "no {word}: {failure:?}");
        }
    };
    register(&deployment, |identity| identity.cluster_admin = false);
    let words = [ROLE, &scope, "--assignee app-id", "nodes is forbidden"];
    refused(gap(&deployment).await, &words);
    register(&deployment, |identity| identity.cluster_admin = true);
    // Tokens for another service.
    deployment.clients.cluster = Arc::new(connector(tokens.clone()));
    refused(gap(&deployment).await, &[ROLE, &scope, "does not accept the token", "tenantID"]);
    let before = deployment.copy_of_state().arm;
    // Azure still accepts its token; one for the cluster is not issued.
    register(&deployment, |identity| identity.disabled = true);
    deployment.clients.cluster = Arc::new(connector(Arc::new(tokens.for_clusters())));
    let failure = gap(&deployment).await.unwrap();
    assert_eq!(failure.code, Code::AzureRefused, "{failure:?}");
    assert!(failure.message.contains("AADSTS7000112"), "{failure:?}");
    assert!(failure.remedy.contains("accountEnabled=true"), "{failure:?}");
    directory(&deployment, |it| it.revoke_tokens("app"));
    let failure = gap(&deployment).await.unwrap();
    assert!(failure.remedy.contains("accountEnabled=true"), "{failure:?}");
    let _applied = deployment.apply(&RefreshOptions::default()).await;
    assert_eq!(deployment.copy_of_state().arm.version(), before.version());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plugin_of_a_kubeconfig_runs_without_a_terminal() {
    let (mut deployment, _server, tokens) = served().await;
    let answer = deployment.clients.azure.cluster_user_credential(&cluster(), false).await.unwrap();
    let encoded = answer["kubeconfigs"][0]["value"].as_str().unwrap();
    let text = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, encoded);
    let text = String::from_utf8(text.unwrap()).unwrap();
    let with_plugin = |deployment: &mut Deployment, script: &str| {
        let (rest, _) = text.split_once("    exec:\n").unwrap();
        let arguments = json!(["-c", script]);
        let exec = format!(
            "    exec:\n      apiVersion: client.authentication.k8s.io/v1\n      interactiveMode: \
             IfAvailable\n      command: /bin/sh\n      args: {arguments}\n"
        );
        deployment.clients.kubeconfig =
            KubeconfigSource::Given(Secret::new(format!("{rest}{exec}")));
    };
    let token = tokens.for_clusters().token().await.unwrap();
    let credential = json!({ "status": { "token": token.expose() } });
    with_plugin(&mut deployment, &format!("echo '{credential}'"));
    assert_eq!(gap(&deployment).await, None);
    let prompt = "echo 'open https://microsoft.com/devicelogin' >&2; read line || exit 1";
    with_plugin(&mut deployment, prompt);
    let failure = gap(&deployment).await.unwrap();
    assert_eq!(failure.code, Code::ClusterRefused);
    assert!(failure.message.contains("microsoft.com/devicelogin"), "{failure:?}");
    assert!(failure.remedy.contains("unset KUBECONFIG"), "{failure:?}");
}
