//! An API server, as stargate's own client and as the bare wire see it.

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

/// How long what another part of a cluster does may take.
const SOON: Duration = Duration::from_secs(30);
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// An API server and its administrator.
pub(crate) struct ApiServer {
    kubeconfig: Kubeconfig,
    /// The administrator.
    pub(crate) admin: Caller,
    /// Stargate, as the administrator.
    pub(crate) door: ClusterClient,
}

/// Somebody who talks to the API server.
pub(crate) struct Caller {
    pub(crate) client: kube::Client,
}

/// The answer to a request, whatever it says.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Value,
}

impl Answer {
    /// Code, reason, and the fields that a refusal names with their reasons.
    pub(crate) fn verdict(&self) -> String {
        let mut words = vec![self.code.to_string()];
        words.extend(self.body["reason"].as_str().map(str::to_owned));
        for cause in self.body["details"]["causes"].as_array().into_iter().flatten() {
            words.push(format!("{}={}", text(&cause["field"]), text(&cause["reason"])));
        }
        words.join(" ")
    }

    /// The sentence of a refusal.
    pub(crate) fn message(&self) -> &str {
        text(&self.body["message"])
    }
}

/// A text, empty where there is none.
pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

impl ApiServer {
    pub(crate) async fn connect(kubeconfig: &str) -> Self {
        let client = client_from_kubeconfig(kubeconfig, policy()).await.unwrap();
        let owner = Owner {
            topology: TopologyName::new(TOPOLOGY),
            tag: TailnetTag::new("tag:stargate-lab"),
        };
        Self {
            kubeconfig: Kubeconfig::from_yaml(kubeconfig).unwrap(),
            door: ClusterClient::new(client.clone(), owner, RequestCount::default()),
            admin: Caller { client },
        }
    }

    /// Somebody with a bearer token, as in a worker's bootstrap kubeconfig.
    pub(crate) async fn with_token(&self, token: &Secret) -> Caller {
        self.caller(&json!({ "token": token.expose() })).await
    }

    /// Somebody with a client certificate.
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
    pub(crate) async fn ask(&self, method: &str, path: &str, media: &str, body: &Value) -> Answer {
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let request = Request::builder().method(method).uri(path).header("content-type", media);
        let request = request.body(Body::from(body)).unwrap();
        let response = self.client.send(request).await.unwrap();
        let code = response.status().as_u16();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer { code, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, JSON, &Value::Null).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.ask("POST", path, JSON, body).await
    }

    pub(crate) async fn merge(&self, path: &str, body: &Value) -> Answer {
        self.ask("PATCH", path, MERGE, body).await
    }

    /// Server-side apply as somebody else than stargate.
    pub(crate) async fn apply_as(&self, manager: &str, path: &str, body: &Value) -> Answer {
        let path = format!("{path}?fieldManager={manager}&force=false");
        self.ask("PATCH", &path, APPLY, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.ask("DELETE", path, JSON, &Value::Null).await
    }

    /// Reads an object until it is as it should be, or for long enough.
    pub(crate) async fn until(&self, path: &str, is_so: impl Fn(&Answer) -> bool) -> Answer {
        let deadline = tokio::time::Instant::now() + SOON;
        loop {
            let answer = self.get(path).await;
            if is_so(&answer) || tokio::time::Instant::now() >= deadline {
                return answer;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Counted nowhere and without a budget.
fn policy() -> RequestPolicy {
    let (count, settings) = (RequestCount::default(), ClientSettings::default());
    RequestPolicy::new(Api::Kubernetes, Limits::unlimited(), count, settings)
}
