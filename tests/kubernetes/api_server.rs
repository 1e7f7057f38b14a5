//! An API server, accessed with stargate's client and with plain HTTP requests.

use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use kube::client::Body;
use kube::config::{AuthInfo, Kubeconfig, NamedAuthInfo};
use serde_json::{Value, json};
use stargate::provider::cluster::{ClusterClient, client_from_kubeconfig};
use stargate::provider::http::{Api, RequestCount};
use stargate::provider::limits::Limits;
use stargate::provider::request_policy::RequestPolicy;
use stargate::provider::secret::Secret;
use stargate::provider::settings::ClientSettings;
use stargate::resource::Owner;
use stargate::topology::names::{TailnetTag, TopologyName};

pub(crate) const TOPOLOGY: &str = "lab";
pub(crate) const JSON: &str = "application/json";
pub(crate) const MERGE: &str = "application/merge-patch+json";
pub(crate) const APPLY: &str = "application/apply-patch+yaml";

/// The timeout for asynchronous effects of other components of a cluster.
const TIMEOUT: Duration = Duration::from_secs(30);
const POLL_INTERVAL: Duration = Duration::from_millis(100);

/// An API server and its administrator.
pub(crate) struct ApiServer {
    kubeconfig: Kubeconfig,
    /// The administrator's plain client.
    pub(crate) admin: Caller,
    /// Stargate's client, as the administrator.
    pub(crate) stargate_client: ClusterClient,
}

/// A plain client with its credentials.
#[derive(Clone)]
pub(crate) struct Caller {
    pub(crate) client: kube::Client,
}

/// The response to a request, successful or not. The code is 0 if the server did not answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ApiResponse {
    pub(crate) code: u16,
    pub(crate) body: Value,
}

impl ApiResponse {
    /// The status code, the reason, and the fields with their causes in an error.
    pub(crate) fn summary(&self) -> String {
        let mut words = vec![self.code.to_string()];
        words.extend(self.body["reason"].as_str().map(str::to_owned));
        for cause in self.body["details"]["causes"].as_array().into_iter().flatten() {
            words.push(format!("{}={}", text(&cause["field"]), text(&cause["reason"])));
        }
        words.join(" ")
    }

    /// The message of an error.
    pub(crate) fn message(&self) -> &str {
        text(&self.body["message"])
    }
}

/// The string, or an empty one for other values.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl ApiServer {
    pub(crate) async fn connect(kubeconfig: &str) -> Self {
        let client = client_from_kubeconfig(kubeconfig, policy()).await.unwrap();
        let owner = Owner::new(TopologyName::new(TOPOLOGY), TailnetTag::new("tag:stargate-lab"));
        Self {
            kubeconfig: Kubeconfig::from_yaml(kubeconfig).unwrap(),
            stargate_client: ClusterClient::new(client.clone(), owner, RequestCount::default()),
            admin: Caller { client },
        }
    }

    /// A client with a bearer token, as in a worker's bootstrap kubeconfig.
    pub(crate) async fn with_token(&self, token: &Secret) -> Caller {
        self.caller(&json!({ "token": token.expose() })).await
    }

    /// A client with a client certificate.
    pub(crate) async fn with_certificate(&self, certificate: &str, key: &str) -> Caller {
        let user = json!({
            "client-certificate-data": crate::certificates::encode(certificate.as_bytes()),
            "client-key-data": crate::certificates::encode(key.as_bytes()),
        });
        self.caller(&user).await
    }

    async fn caller(&self, user: &Value) -> Caller {
        let mut kubeconfig = self.kubeconfig.clone();
        let named = kubeconfig.auth_infos.first().unwrap().name.clone();
        let user: AuthInfo = serde_json::from_value(user.clone()).unwrap();
        kubeconfig.auth_infos =
            vec![NamedAuthInfo { name: named, auth_info: Some(user), ..Default::default() }];
        let text = serde_json::to_string(&kubeconfig).unwrap();
        Caller { client: client_from_kubeconfig(&text, policy()).await.unwrap() }
    }
}

impl Caller {
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        media: &str,
        body: &Value,
    ) -> ApiResponse {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header("content-type", media);
        let request = request.body(Body::from(body)).unwrap();
        let failed = |error: kube::Error| ApiResponse { code: 0, body: json!(error.to_string()) };
        let response = match self.client.send(request).await {
            Ok(response) => response,
            Err(error) => return failed(error),
        };
        let code = response.status().as_u16();
        match response.into_body().collect().await {
            Ok(body) => {
                let body = serde_json::from_slice(&body.to_bytes()).unwrap_or(Value::Null);
                ApiResponse { code, body }
            }
            Err(error) => failed(error),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> ApiResponse {
        self.send("GET", path, JSON, &Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> ApiResponse {
        self.send("POST", path, JSON, body).await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> ApiResponse {
        self.send("PATCH", path, MERGE, body).await
    }

    /// Server-side apply with another field manager.
    pub(crate) async fn apply_as(&self, manager: &str, path: &str, body: &Value) -> ApiResponse {
        let path = format!("{path}?fieldManager={manager}&force=false");
        self.send("PATCH", &path, APPLY, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> ApiResponse {
        self.send("DELETE", path, JSON, &Value::Null).await
    }

    /// Reads an object until it has the expected state, or until the timeout.
    pub(crate) async fn until(
        &self,
        path: &str,
        is_so: impl Fn(&ApiResponse) -> bool,
    ) -> ApiResponse {
        let deadline = tokio::time::Instant::now() + TIMEOUT;
        loop {
            let response = self.get(path).await;
            if is_so(&response) || tokio::time::Instant::now() >= deadline {
                return response;
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }
}

/// Counted nowhere and without a budget.
pub(crate) fn policy() -> RequestPolicy {
    let (count, settings) = (RequestCount::default(), ClientSettings::default());
    RequestPolicy::new(Api::Kubernetes, Limits::unlimited(), count, settings)
}
