//! Keeps the sandbox and a real API server together: what stargate writes to the server also
//! happens in the sandbox, where the emulated kubelets, Azure and Cilium see it, and what those
//! change in the sandbox is written to the server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};
use stargate::sandbox::kubernetes::{KubernetesStore, ObjectIdentity};
use stargate::sandbox::{SandboxState, SharedSandbox};

use super::requests::Requests;
use crate::api_server::{Caller, JSON, MERGE};

/// How often the sandbox is compared with what the server was sent.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// A kubelet renews its Lease this often; without it the Node becomes unreachable.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// A kind that both sides know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct MirroredKind {
    api_version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespace: Option<&'static str>,
    /// The changes of objects in the sandbox that the server gets, too.
    sends: Sends,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Sends {
    Nothing,
    /// New objects: what becomes of them the server decides.
    New,
    All,
}

const KINDS: [MirroredKind; 7] = [
    kind("v1", "Node", "nodes", None, Sends::All),
    kind(
        "acn.azure.com/v1alpha",
        "NodeNetworkConfig",
        "nodenetworkconfigs",
        Some("kube-system"),
        Sends::All,
    ),
    kind("cilium.io/v2", "CiliumNode", "ciliumnodes", None, Sends::All),
    kind(
        "certificates.k8s.io/v1",
        "CertificateSigningRequest",
        "certificatesigningrequests",
        None,
        Sends::New,
    ),
    kind("v1", "Secret", "secrets", Some("kube-system"), Sends::Nothing),
    kind("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", None, Sends::Nothing),
    kind(
        "rbac.authorization.k8s.io/v1",
        "ClusterRoleBinding",
        "clusterrolebindings",
        None,
        Sends::Nothing,
    ),
];

const fn kind(
    api_version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespace: Option<&'static str>,
    sends: Sends,
) -> MirroredKind {
    MirroredKind { api_version, kind, plural, namespace, sends }
}

impl MirroredKind {
    fn collection(self) -> String {
        let root = if self.api_version == "v1" { "/api" } else { "/apis" };
        let place = self.namespace.map(|it| format!("/namespaces/{it}")).unwrap_or_default();
        format!("{root}/{}{place}/{}", self.api_version, self.plural)
    }

    fn identity(self, name: &str) -> ObjectIdentity<'_> {
        ObjectIdentity {
            api_version: self.api_version,
            kind: self.kind,
            namespace: self.namespace,
            name,
        }
    }

    fn get(self, store: &KubernetesStore, name: &str) -> Option<Value> {
        store.get(self.api_version, self.kind, self.namespace, name).cloned()
    }
}

/// The objects of the sandbox as they were sent last.
type Known = BTreeMap<(MirroredKind, String), Value>;

/// The mirror between the sandbox and the server.
#[derive(Clone)]
pub(super) struct Mirror(Arc<Inside>);

struct Inside {
    sandbox: SharedSandbox,
    admin: Caller,
    known: Mutex<Known>,
    turn: tokio::sync::Mutex<()>,
}

impl std::fmt::Debug for Mirror {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Mirror")
    }
}

impl Mirror {
    pub(super) fn new(sandbox: SharedSandbox, admin: Caller) -> Self {
        let (known, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Self(Arc::new(Inside { sandbox, admin, known, turn }))
    }

    /// Sends what the sandbox changes, until the task is dropped.
    pub(super) async fn run(self) {
        let mut heartbeat = tokio::time::Instant::now();
        loop {
            self.send().await;
            if heartbeat.elapsed() >= HEARTBEAT || self.0.known.lock().unwrap().is_empty() {
                self.renew_leases().await;
                heartbeat = tokio::time::Instant::now();
            }
            tokio::time::sleep(POLL_INTERVAL).await;
        }
    }

    /// Makes the sandbox's object what the server has after a write of stargate.
    pub(super) async fn reflect(&self, path: &str, written: &Value) {
        let Some((kind, name)) = subject(path, written) else { return };
        let _turn = self.0.turn.lock().await;
        let live = self.0.admin.get(&format!("{}/{name}", kind.collection())).await;
        self.0.sandbox.change(|sandbox, now| {
            let store = sandbox.kubernetes.as_mut().unwrap();
            let mut known = self.0.known.lock().unwrap();
            if live.code == 404 {
                store.delete(&kind.identity(&name), &now.to_string());
                known.remove(&(kind, name));
                return;
            }
            let before = kind.get(store, &name);
            let object = of_sandbox(kind, live.body, before.as_ref());
            let stored = store.put(object, "stargate", &now.to_string()).unwrap().clone();
            known.insert((kind, name), stored);
        });
    }

    /// Sends the differences since the last time. What fails is sent again.
    pub(super) async fn send(&self) {
        let _turn = self.0.turn.lock().await;
        let current = self.0.sandbox.read(sent_objects);
        let known = self.0.known.lock().unwrap().clone();
        // Nodes first: the others are their dependents.
        let is_node = |((kind, _), _): &(&(MirroredKind, String), &Value)| kind.kind == "Node";
        let nodes = current.iter().filter(is_node);
        for (key, object) in nodes.chain(current.iter().filter(|it| !is_node(it))) {
            let is_sent = match known.get(key) {
                None => self.create(key, object).await,
                Some(before) if before == object || key.0.sends == Sends::New => true,
                Some(before) => self.update(key, before, object).await,
            };
            if is_sent {
                self.0.known.lock().unwrap().insert(key.clone(), object.clone());
            }
        }
        for key in known.keys().filter(|key| key.0.sends == Sends::All) {
            if !current.contains_key(key) {
                let path = format!("{}/{}", key.0.collection(), key.1);
                if matches!(self.0.admin.delete(&path).await.code, 200 | 202 | 404) {
                    self.0.known.lock().unwrap().remove(key);
                }
            }
        }
    }

    async fn create(&self, (kind, name): &(MirroredKind, String), object: &Value) -> bool {
        let mut body = json!({
            "apiVersion": kind.api_version, "kind": kind.kind,
            "metadata": { "name": name, "labels": object["metadata"]["labels"],
                "annotations": object["metadata"]["annotations"] },
            "spec": object["spec"], "status": object["status"],
        });
        if kind.sends == Sends::New {
            return self.request_certificate(body).await;
        }
        body["metadata"]["ownerReferences"] = self.owners(object).await;
        let created = self.0.admin.post(&kind.collection(), &body).await;
        let status = json!({ "status": object["status"] });
        let path = format!("{}/{name}/status", kind.collection());
        matches!(created.code, 201 | 409) && self.0.admin.merge(&path, &status).await.code == 200
    }

    /// A request of a kubelet with its bootstrap token, which the server authorizes.
    async fn request_certificate(&self, mut body: Value) -> bool {
        let user = body["spec"]["username"].as_str().unwrap_or_default().to_owned();
        let groups = body["spec"]["groups"].as_array().cloned().unwrap_or_default();
        for field in ["username", "groups", "uid", "extra"] {
            body["spec"].as_object_mut().unwrap().remove(field);
        }
        body["status"] = json!({});
        let path = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
        let mut request = Request::post(path).header("content-type", JSON);
        request = request.header("impersonate-user", user);
        for group in &groups {
            request = request.header("impersonate-group", group.as_str().unwrap());
        }
        let request = request.body(Body::from(body.to_string().into_bytes())).unwrap();
        let response = self.0.admin.client.send(request).await;
        response.is_ok_and(|it| matches!(it.status().as_u16(), 201 | 409))
    }

    async fn update(
        &self,
        (kind, name): &(MirroredKind, String),
        before: &Value,
        object: &Value,
    ) -> bool {
        let path = format!("{}/{name}", kind.collection());
        let mut codes = Vec::new();
        let change = json!({
            "metadata": {
                "labels": difference(&before["metadata"]["labels"], &object["metadata"]["labels"]),
            },
            "spec": difference(&before["spec"], &object["spec"]),
        });
        if change != json!({ "metadata": { "labels": {} }, "spec": {} }) {
            codes.push(self.0.admin.merge(&path, &change).await.code);
        }
        let change = difference(&before["status"], &object["status"]);
        if change != json!({}) {
            let path = format!("{path}/status");
            codes.push(self.0.admin.merge(&path, &json!({ "status": change })).await.code);
        }
        // The deletion of one that is missing is reflected.
        codes.iter().all(|code| matches!(code, 200 | 404))
    }

    /// The owners of an object by the uids that they have on the server.
    async fn owners(&self, object: &Value) -> Value {
        let mut owners = object["metadata"]["ownerReferences"].clone();
        for owner in owners.as_array_mut().into_iter().flatten() {
            let path = format!("/api/v1/nodes/{}", owner["name"].as_str().unwrap());
            owner["uid"] = self.0.admin.get(&path).await.body["metadata"]["uid"].clone();
        }
        owners
    }

    /// Renews the Leases of Nodes whose kubelets are alive, so that the node controller leaves them
    /// alone.
    async fn renew_leases(&self) {
        const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
        let nodes = self.0.known.lock().unwrap().clone();
        let is_ready = |node: &Value| {
            let conditions = node["status"]["conditions"].as_array();
            conditions
                .into_iter()
                .flatten()
                .any(|it| it["type"] == "Ready" && it["status"] == "True")
        };
        let ready = nodes.iter().filter(|((kind, _), it)| kind.kind == "Node" && is_ready(it));
        for ((_, name), _) in ready {
            let time = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string();
            let lease = json!({
                "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                "metadata": { "name": name },
                "spec": { "holderIdentity": name, "leaseDurationSeconds": 40, "renewTime": time },
            });
            let path = format!("{LEASES}/{name}");
            if self.0.admin.send("PATCH", &path, MERGE, &lease).await.code == 404 {
                self.0.admin.post(LEASES, &lease).await;
            }
        }
    }
}

/// The object of a request of stargate, if it is of a mirrored kind.
fn subject(path: &str, written: &Value) -> Option<(MirroredKind, String)> {
    let kind = KINDS.into_iter().find(|kind| {
        let rest = path.strip_prefix(&kind.collection());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })?;
    let rest = path.strip_prefix(&kind.collection())?.trim_start_matches('/');
    let named = rest.split('/').next().filter(|name| !name.is_empty());
    let created = || written["metadata"]["name"].as_str();
    Some((kind, named.or_else(created)?.to_owned()))
}

/// The server's object as the sandbox keeps it.
fn of_sandbox(kind: MirroredKind, mut live: Value, before: Option<&Value>) -> Value {
    live["apiVersion"] = json!(kind.api_version);
    live["kind"] = json!(kind.kind);
    let metadata = live["metadata"].as_object_mut().unwrap();
    for field in ["managedFields", "resourceVersion", "uid", "ownerReferences"] {
        metadata.remove(field);
    }
    // Each side knows its owners by its own uids.
    if let Some(owners) = before.and_then(|it| it["metadata"].get("ownerReferences")) {
        metadata.insert("ownerReferences".to_owned(), owners.clone());
    }
    live
}

fn sent_objects(sandbox: &SandboxState) -> Known {
    let store = sandbox.kubernetes.as_ref().unwrap();
    let kinds = KINDS.into_iter().filter(|kind| kind.sends != Sends::Nothing);
    let objects = kinds.flat_map(|kind| {
        let all = store.list(kind.api_version, kind.kind, None).into_iter();
        all.map(move |it| ((kind, it["metadata"]["name"].as_str().unwrap().to_owned()), it.clone()))
    });
    objects.collect()
}

/// The merge patch from one value to the other.
fn difference(before: &Value, after: &Value) -> Value {
    let empty = serde_json::Map::new();
    let (before, after) =
        (before.as_object().unwrap_or(&empty), after.as_object().unwrap_or(&empty));
    let mut patch = serde_json::Map::new();
    for (key, value) in after {
        match before.get(key) {
            Some(old) if old == value => {}
            Some(old) if old.is_object() && value.is_object() => {
                patch.insert(key.clone(), difference(old, value));
            }
            _ => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    for key in before.keys().filter(|key| !after.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    patch.into()
}

/// The service below a client of stargate: requests go to the server, and writes that succeed are
/// reflected. A watch that is killed ends neither: else the server would have a write that the
/// sandbox never sees.
pub(super) async fn forward(
    server: kube::Client,
    mirror: Mirror,
    requests: Option<Requests>,
    request: Request<Body>,
) -> Result<http::Response<Body>, kube::Error> {
    tokio::spawn(async move { send_and_reflect(&server, &mirror, requests, request).await })
        .await
        .unwrap()
}

async fn send_and_reflect(
    server: &kube::Client,
    mirror: &Mirror,
    requests: Option<Requests>,
    request: Request<Body>,
) -> Result<http::Response<Body>, kube::Error> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let request = match &requests {
        Some(requests) => requests.note(request).await,
        None => request,
    };
    let response = server.send(request).await?;
    if let Some(requests) = &requests {
        requests.answered(&method, &path, response.status().as_u16());
    }
    if method == http::Method::GET || !response.status().is_success() {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let bytes = body.collect().await?.to_bytes();
    let written = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
    mirror.reflect(&path, &written).await;
    Ok(http::Response::from_parts(parts, Body::from(bytes.to_vec())))
}
