//! Tests with the real client against the store, in one process.

mod apply;
mod objects;
mod rules;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures::stream;
use http::{Request, Response, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::Frame;
use kube::api::{Api, DynamicObject, Patch, PatchParams};
use kube::client::Body;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};

use super::{KubernetesResponse, KubernetesStore, UserInfo};

pub(super) const NOW: &str = "2026-03-01T12:00:00Z";

pub(super) type Shared = Arc<Mutex<KubernetesStore>>;

pub(super) fn user() -> UserInfo {
    UserInfo { name: "tester".to_owned(), groups: vec!["system:masters".to_owned()] }
}

/// A client of the store. A watch ends after the known changes.
pub(super) fn client(store: &Shared) -> kube::Client {
    let store = Arc::clone(store);
    let service = tower::service_fn(move |request: Request<Body>| {
        let store = Arc::clone(&store);
        async move {
            let (parts, body) = request.into_parts();
            let body = body.collect().await?.to_bytes();
            let request = Request::from_parts(parts, body);
            let mut store = store.lock().unwrap();
            let response = match store.handle(&request, &user(), NOW) {
                KubernetesResponse::Complete(response) => {
                    response.map(|bytes| Full::new(bytes).boxed_unsync())
                }
                KubernetesResponse::Watch(mut watch) => streamed(store.watch_events(&mut watch)),
                KubernetesResponse::Proxied(requested) => {
                    panic!("there are no pods: {requested:?}")
                }
            };
            Ok::<_, kube::Error>(response)
        }
    });
    kube::Client::new(service, "default")
}

fn streamed(lines: Vec<Bytes>) -> Response<UnsyncBoxBody<Bytes, Infallible>> {
    let frames = lines.into_iter().map(|line| Ok(Frame::data(line)));
    let body = StreamBody::new(stream::iter(frames)).boxed_unsync();
    Response::builder().header(header::CONTENT_TYPE, "application/json").body(body).unwrap()
}

/// A store that serves `servers.stargate.io` with a schema and a status.
pub(super) fn store() -> KubernetesStore {
    let mut store = KubernetesStore::new("1.33.5");
    let reply = send(&mut store, "POST", CRDS, "application/json", &crd());
    assert_eq!(reply.0, 201, "{}", reply.1);
    store
}

pub(super) fn shared() -> Shared {
    Arc::new(Mutex::new(store()))
}

pub(super) const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
pub(super) const SERVERS: &str = "/apis/stargate.io/v1alpha1/namespaces/default/servers";

pub(super) fn crd() -> Value {
    json!({
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "servers.stargate.io"},
        "spec": {
            "group": "stargate.io",
            "scope": "Namespaced",
            "names": {"kind": "Server", "plural": "servers", "shortNames": ["srv"]},
            "versions": [{
                "name": "v1alpha1", "served": true, "storage": true,
                "subresources": {"status": {}},
                "additionalPrinterColumns":
                    [{"name": "Host", "type": "string", "jsonPath": ".spec.hostname"}],
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {
                    "spec": {"type": "object", "required": ["hostname"], "properties": {
                        "hostname": {"type": "string", "pattern": "^[a-z0-9-]+$"},
                        "size": {"type": "integer", "minimum": 0},
                        "notes": {"type": "object", "additionalProperties": {"type": "string"}},
                        "disks": {"type": "array", "x-kubernetes-list-type": "map",
                            "x-kubernetes-list-map-keys": ["name"],
                            "items": {"type": "object", "properties": {
                                "name": {"type": "string"}, "size": {"type": "integer"}}}},
                    }},
                    "status": {"type": "object", "properties": {"phase": {"type": "string"}}},
                }}},
            }],
        },
    })
}

pub(super) fn server(name: &str, spec: Value) -> Value {
    json!({"apiVersion": "stargate.io/v1alpha1", "kind": "Server",
        "metadata": {"name": name, "namespace": "default"}, "spec": spec})
}

pub(super) fn servers(client: &kube::Client) -> Api<DynamicObject> {
    let kind = GroupVersionKind::gvk("stargate.io", "v1alpha1", "Server");
    Api::default_namespaced_with(client.clone(), &ApiResource::from_gvk(&kind))
}

pub(super) async fn apply(
    api: &Api<DynamicObject>,
    manager: &str,
    name: &str,
    spec: Value,
) -> kube::Result<DynamicObject> {
    let patch = server(name, spec);
    api.patch(name, &PatchParams::apply(manager), &Patch::Apply(patch)).await
}

/// Sends one request without a client, which would hide details of the response.
pub(super) fn send(
    store: &mut KubernetesStore,
    method: &str,
    uri: &str,
    media: &str,
    body: &Value,
) -> (u16, Value) {
    let bytes = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
    let request = Request::builder()
        .method(method)
        .uri(uri)
        .header(header::CONTENT_TYPE, media)
        .body(bytes)
        .unwrap();
    match store.handle(&request, &user(), NOW) {
        KubernetesResponse::Complete(response) => {
            let value = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
            (response.status().as_u16(), value)
        }
        KubernetesResponse::Watch(watch) => panic!("a watch: {watch:?}"),
        KubernetesResponse::Proxied(requested) => panic!("there are no pods: {requested:?}"),
    }
}

pub(super) fn get(store: &mut KubernetesStore, uri: &str) -> (u16, Value) {
    send(store, "GET", uri, "", &Value::Null)
}
