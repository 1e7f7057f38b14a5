//! An API server of a few lines: objects by path, lists, merge patches.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use kube::client::Body;
use serde_json::{Value, json};

use super::ClusterClient;
use crate::provider::http::RequestCount;
use crate::resource::Owner;
use crate::resource::names::{TailnetTag, TopologyName};

/// The objects by path, and the requests that were made.
#[derive(Debug, Clone, Default)]
pub(crate) struct FakeServer(pub(crate) Arc<Mutex<Objects>>);

#[derive(Debug, Default)]
pub(crate) struct Objects {
    pub(crate) by_path: BTreeMap<String, Value>,
    pub(crate) requests: Vec<String>,
}

impl Objects {
    fn handle(&mut self, method: &Method, uri: &http::Uri, body: Value) -> (u16, Value) {
        let path = uri.path().to_owned();
        self.requests.push(format!("{method} {path}"));
        let object_path = ["/status", "/approval"]
            .iter()
            .find_map(|subresource| path.strip_suffix(subresource))
            .unwrap_or(&path)
            .to_owned();
        match *method {
            Method::GET if self.by_path.contains_key(&path) => (200, self.by_path[&path].clone()),
            Method::GET if is_collection(&path) => (200, self.list(&path)),
            Method::POST => {
                let name = body["metadata"]["name"].as_str().unwrap_or("review").to_owned();
                self.by_path.insert(format!("{path}/{name}"), body.clone());
                (201, body)
            }
            Method::PATCH if uri.query().unwrap_or_default().contains("force") => {
                self.by_path.insert(object_path, body.clone());
                (200, body)
            }
            Method::PATCH => match self.by_path.get_mut(&object_path) {
                Some(object) => {
                    merge(object, &body);
                    (200, object.clone())
                }
                None => (404, not_found()),
            },
            Method::DELETE => match self.by_path.remove(&path) {
                Some(object) => (200, object),
                None => (404, not_found()),
            },
            _ => (404, not_found()),
        }
    }

    fn list(&self, path: &str) -> Value {
        let plural = path.rsplit('/').next().unwrap_or_default();
        let below = format!("{path}/");
        let items: Vec<_> = self
            .by_path
            .iter()
            .filter(|(object, _)| {
                object.starts_with(&below) || object.contains(&format!("/{plural}/"))
            })
            .map(|(_, object)| object.clone())
            .collect();
        json!({ "metadata": {}, "items": items })
    }
}

fn not_found() -> Value {
    json!({"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"})
}

fn is_collection(path: &str) -> bool {
    [
        "nodes",
        "pods",
        "secrets",
        "services",
        "endpointslices",
        "certificatesigningrequests",
        "servers",
        "operations",
    ]
    .iter()
    .any(|plural| path.ends_with(&format!("/{plural}")))
}

fn merge(object: &mut Value, patch: &Value) {
    let Some(fields) = patch.as_object() else {
        *object = patch.clone();
        return;
    };
    if !object.is_object() {
        *object = json!({});
    }
    for (name, value) in fields {
        if value.is_null() {
            object.as_object_mut().unwrap().remove(name);
        } else {
            merge(&mut object[name.as_str()], value);
        }
    }
}

impl FakeServer {
    pub(crate) fn put(&self, path: &str, object: Value) {
        self.0.lock().unwrap().by_path.insert(path.to_owned(), object);
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value> {
        self.0.lock().unwrap().by_path.get(path).cloned()
    }

    /// A client of the fake.
    pub(crate) fn client(&self) -> ClusterClient {
        let objects = Arc::clone(&self.0);
        let service = tower::service_fn(move |request: Request<Body>| {
            let objects = Arc::clone(&objects);
            async move {
                let (parts, body) = request.into_parts();
                let bytes = body.collect().await.unwrap().to_bytes();
                let body = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
                let (code, response) =
                    objects.lock().unwrap().handle(&parts.method, &parts.uri, body);
                let body = Full::new(Bytes::from(response.to_string()));
                Ok::<_, Infallible>(Response::builder().status(code).body(body).unwrap())
            }
        });
        let owner = Owner::new(TopologyName::new("demo"), TailnetTag::new("tag:stargate-demo"));
        ClusterClient::new(kube::Client::new(service, "default"), owner, RequestCount::default())
    }
}
