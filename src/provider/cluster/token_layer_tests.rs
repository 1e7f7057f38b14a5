use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Mutex;

use async_trait::async_trait;

use super::super::error::About;
use super::super::login::ClusterLogin;
use super::super::request_layer::RequestLayer;
use super::*;
use crate::diagnostics::{Code, Failure};
use crate::provider::error::RequestError;
use crate::provider::http::{Api, RequestCount};
use crate::provider::limits::Limits;
use crate::provider::request_policy::RequestPolicy;
use crate::provider::settings::ClientSettings;

/// Returns its tokens in turn; a token is kept until it is forgotten.
#[derive(Debug, Default)]
struct Tokens(Mutex<VecDeque<&'static str>>);

#[async_trait]
impl TokenSource for Tokens {
    async fn token(&self) -> Result<Secret, RequestError> {
        let first = self.0.lock().unwrap().front().copied();
        first.map(Secret::new).ok_or_else(|| RequestError::Credentials {
            api: Api::Azure,
            reason: "disabled".to_owned(),
            refused: true,
            remedy: "enable it".to_owned(),
        })
    }

    async fn forget(&self, _: &Secret) {
        self.0.lock().unwrap().pop_front();
    }
}

type Received = Arc<Mutex<Vec<String>>>;

/// A client whose server answers 200 to the token `right`, 403 to `poor`, and 401 to others.
fn client(tokens: &[&'static str]) -> (kube::Client, Received) {
    let received = Received::default();
    let log = Arc::clone(&received);
    let service = tower::service_fn(move |request: Request<Body>| {
        let token = request.headers()[header::AUTHORIZATION].to_str().unwrap().to_owned();
        let (status, body) = match token.as_str() {
            "Bearer right" => (200, "{}"),
            "Bearer poor" => (403, r#"{"message":"User \"me\" cannot list"}"#),
            _ => (401, r#"{"message":"Unauthorized"}"#),
        };
        log.lock().unwrap().push(token);
        let body = Full::new(Bytes::from_static(body.as_bytes()));
        std::future::ready(Ok::<_, Infallible>(
            Response::builder().status(status).body(body).unwrap(),
        ))
    });
    let text = r#"{"current-context":"c","contexts":[{"name":"c","context":{"cluster":"k",
        "user":"u"}}],"users":[{"name":"u","user":{"auth-provider":{"name":"azure","config":
        {"cluster-id":"/the/cluster"}}}}]}"#;
    let cluster =
        super::super::entra::take_sign_in(&mut super::super::kubeconfig::parse(text).unwrap())
            .unwrap();
    let tokens = Tokens(Mutex::new(tokens.iter().copied().collect()));
    let layer = TokenLayer { tokens: Arc::new(tokens), entra: Some(Arc::new(cluster)) };
    let (count, settings) = (RequestCount::default(), ClientSettings::default());
    let policy = RequestPolicy::new(Api::Kubernetes, Limits::unlimited(), count, settings);
    let builder = kube::client::ClientBuilder::new(service, "default");
    let builder = builder.with_layer(&RequestLayer::new(policy)).with_layer(&layer);
    (builder.build(), received)
}

/// Sends a request twice, and returns the tokens that were received and the last failure.
async fn sent(tokens: &[&'static str]) -> (Vec<String>, Option<Failure>) {
    let (client, received) = client(tokens);
    let mut failure = None;
    for _ in 0..2 {
        let request = Request::get("/api/v1/nodes").body(Vec::new()).unwrap();
        let answered = client.request::<serde_json::Value>(request).await;
        let about = About::new("list", "Node", "of the cluster");
        failure = answered.err().map(|error| Failure::from(about.failed(error)));
    }
    let received = received.lock().unwrap().clone();
    (received, failure)
}

#[tokio::test]
async fn a_refused_token_is_replaced_once() {
    let (received, failure) = sent(&["old", "right"]).await;
    assert_eq!(received, ["Bearer old", "Bearer right", "Bearer right"]);
    assert_eq!(failure, None);
    let (received, failure) = sent(&["a", "b", "c", "d"]).await;
    assert_eq!(received, ["Bearer a", "Bearer b", "Bearer b", "Bearer c"]);
    let failure = failure.unwrap();
    assert_eq!(failure.code, Code::ClusterRefused);
    assert!(failure.remedy.contains("--scope '/the/cluster'"), "{failure:?}");
}

#[tokio::test]
async fn a_missing_role_and_a_refused_sign_in_have_their_own_remedies() {
    let (received, failure) = sent(&["poor"]).await;
    assert_eq!(received, ["Bearer poor", "Bearer poor"]);
    let failure = failure.unwrap();
    assert!(failure.remedy.contains("--assignee me"), "{failure:?}");
    let (received, failure) = sent(&[]).await;
    assert_eq!(received, Vec::<String>::new());
    let failure = failure.unwrap();
    assert_eq!((failure.code, failure.remedy.as_str()), (Code::AzureRefused, "enable it"));
}

#[tokio::test]
async fn a_cluster_of_azure_needs_the_azure_credential() {
    let text = "{current-context: c, contexts: [{name: c, context: {cluster: k, user: u}}], \
                clusters: [{name: k, cluster: {server: 'https://k'}}], users: [{name: u, user: \
                {auth-provider: {name: azure}}}]}";
    let (count, settings) = (RequestCount::default(), ClientSettings::default());
    let policy = RequestPolicy::new(Api::Kubernetes, Limits::unlimited(), count, settings);
    let refused = ClusterLogin::default().client(text, policy).await.err().unwrap();
    assert!(refused.to_string().contains("no Azure credential"), "{refused}");
}
