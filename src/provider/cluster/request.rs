//! Requests to the API server, as JSON in and JSON out.
//!
//! Objects stay JSON here: what stargate does not know of an object must
//! survive, and typed models would drop it.

use std::time::Duration;

use kube::core::Request;
use kube::core::params::{DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::Value;

use super::error::{About, ClusterError};
use crate::resource::kubernetes::Api;
use crate::resource::ownership::FIELD_MANAGER;

/// The pauses before a request is sent again.
const DELAYS: [Duration; 4] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(4),
];

/// A request that could be put together, or why not.
type Made = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

/// How many objects a page of a list holds.
const PAGE: u32 = 500;

/// A collection of objects: an API, and a namespace of a namespaced one.
#[derive(Clone)]
pub(super) struct Collection {
    client: kube::Client,
    api: Api,
    namespace: Option<String>,
}

/// APIs that stargate reads or writes beside the manifests.
pub(super) mod apis {
    use super::Api;
    use crate::resource::custom_resources::{GROUP, VERSION};
    use crate::resource::{Kind, Service};

    /// The API of a kind; compiling fails for one that is not in the cluster.
    const fn of(kind: Kind) -> Api {
        match kind.facts().service {
            Service::Kubernetes(api) => api,
            _ => unreachable!(),
        }
    }

    const fn api(
        group: &'static str,
        version: &'static str,
        kind: &'static str,
        plural: &'static str,
        namespaced: bool,
    ) -> Api {
        Api { group, version, kind, plural, namespaced }
    }

    pub(in super::super) const NODE: Api = of(Kind::Worker);
    pub(in super::super) const POD: Api = api("", "v1", "Pod", "pods", true);
    pub(in super::super) const SERVICE: Api = api("", "v1", "Service", "services", true);
    pub(in super::super) const ENDPOINT_SLICE: Api =
        api("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true);
    pub(in super::super) const SECRET: Api = api("", "v1", "Secret", "secrets", true);
    pub(in super::super) const CILIUM_NODE: Api = of(Kind::CiliumNode);
    pub(in super::super) const NODE_NETWORK_CONFIG: Api =
        api("acn.azure.com", "v1alpha", "NodeNetworkConfig", "nodenetworkconfigs", true);
    pub(in super::super) const CERTIFICATE_SIGNING_REQUEST: Api = api(
        "certificates.k8s.io",
        "v1",
        "CertificateSigningRequest",
        "certificatesigningrequests",
        false,
    );
    pub(in super::super) const SUBJECT_ACCESS_REVIEW: Api =
        api("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", false);
    pub(in super::super) const OPERATION: Api =
        api(GROUP, VERSION, "Operation", "operations", true);
    pub(in super::super) const SERVER: Api = api(GROUP, VERSION, "Server", "servers", true);
}

/// What a patch means.
#[derive(Debug, Clone, Copy)]
pub(super) enum PatchKind {
    /// A JSON merge patch.
    Merge,
    /// Server-side apply as stargate's field manager.
    Apply {
        /// Take fields from other managers.
        force: bool,
    },
}

impl Collection {
    pub(super) fn new(client: &kube::Client, api: Api, namespace: Option<&str>) -> Self {
        Self { client: client.clone(), api, namespace: namespace.map(str::to_owned) }
    }

    fn path(&self) -> String {
        let mut path = if self.api.group.is_empty() {
            format!("/api/{}", self.api.version)
        } else {
            format!("/apis/{}/{}", self.api.group, self.api.version)
        };
        if let Some(namespace) = &self.namespace {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        path.push('/');
        path.push_str(self.api.plural);
        path
    }

    fn requests(&self) -> Request {
        Request::new(self.path())
    }

    pub(super) fn about(&self, doing: &'static str, name: &str) -> About {
        let full = match &self.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        };
        About::new(doing, self.api.kind, &full)
    }

    async fn send(&self, about: &About, request: Made) -> Result<Value, ClusterError> {
        let (outcome, _) = self.send_patiently(about, request).await;
        outcome
    }

    /// Sends a request, again while the API server gives no answer or asks to
    /// come back later; tells whether it was sent more than once. Every request
    /// here may be repeated.
    async fn send_patiently(
        &self,
        about: &About,
        request: Made,
    ) -> (Result<Value, ClusterError>, bool) {
        let mut sent = 0;
        loop {
            let outcome = self.send_once(about, &request).await;
            let again = outcome.as_ref().is_err_and(ClusterError::is_unavailable);
            match DELAYS.get(sent).filter(|_| again) {
                Some(delay) => tokio::time::sleep(*delay).await,
                None => return (outcome, sent > 0),
            }
            sent += 1;
        }
    }

    async fn send_once(&self, about: &About, request: &Made) -> Result<Value, ClusterError> {
        let request = request.as_ref().map_err(|error| about.malformed(error.to_string()))?;
        self.client.request(request.clone()).await.map_err(|error| about.failed(&error))
    }

    /// Every object that the selectors choose, page after page.
    pub(super) async fn list(
        &self,
        labels: Option<&str>,
        fields: Option<&str>,
    ) -> Result<Vec<Value>, ClusterError> {
        let about = About::new("list", self.api.plural, labels.or(fields).unwrap_or("(all)"));
        let mut params = ListParams::default().limit(PAGE);
        params.label_selector = labels.map(str::to_owned);
        params.field_selector = fields.map(str::to_owned);
        let mut objects = Vec::new();
        loop {
            let mut page = self.send(&about, self.requests().list(&params)).await?;
            if let Value::Array(items) = page["items"].take() {
                objects.extend(items);
            }
            match page["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => params = params.continue_token(token),
                _ => return Ok(objects),
            }
        }
    }

    /// Like [`Self::list`], and empty where the API itself is not there.
    pub(super) async fn list_if_served(&self) -> Result<Vec<Value>, ClusterError> {
        match self.list(None, None).await {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            answer => answer,
        }
    }

    /// The object, if there is one.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Value>, ClusterError> {
        let about = self.about("read", name);
        match self.send(&about, self.requests().get(name, &GetParams::default())).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create(&self, name: &str, object: &Value) -> Result<Value, ClusterError> {
        let about = self.about("create", name);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run: false };
        let request = self.requests().create(&params, object.to_string().into_bytes());
        let (outcome, repeated) = self.send_patiently(&about, request).await;
        match outcome {
            // The first one arrived, and only its answer did not.
            Err(error) if repeated && error.is_conflict() => self.get(name).await?.ok_or(error),
            outcome => outcome,
        }
    }

    /// Changes an object, or one of its subresources.
    pub(super) async fn patch(
        &self,
        name: &str,
        subresource: Option<&str>,
        kind: PatchKind,
        patch: &Value,
    ) -> Result<Value, ClusterError> {
        let (about, params, patch) = match kind {
            PatchKind::Merge => {
                let params = PatchParams {
                    field_manager: Some(FIELD_MANAGER.to_owned()),
                    ..PatchParams::default()
                };
                (self.about("change", name), params, Patch::Merge(patch))
            }
            PatchKind::Apply { force } => {
                let mut params = PatchParams::apply(FIELD_MANAGER);
                params.force = force;
                (self.about("apply", name), params, Patch::Apply(patch))
            }
        };
        let requests = self.requests();
        let request = match subresource {
            Some(subresource) => requests.patch_subresource(subresource, name, &params, &patch),
            None => requests.patch(name, &params, &patch),
        };
        self.send(&about, request).await
    }

    pub(super) async fn merge(&self, name: &str, patch: &Value) -> Result<Value, ClusterError> {
        self.patch(name, None, PatchKind::Merge, patch).await
    }

    /// Asks for the object's deletion; an object that is not there is fine.
    pub(super) async fn delete(&self, name: &str) -> Result<(), ClusterError> {
        let about = self.about("delete", name);
        match self.send(&about, self.requests().delete(name, &DeleteParams::background())).await {
            Err(error) if !error.is_not_found() => Err(error),
            _ => Ok(()),
        }
    }

    /// Posts an object to a subresource, as an eviction. It is sent once: where
    /// a budget forbids an eviction, the answer is 429 as well.
    pub(super) async fn post_subresource(
        &self,
        name: &str,
        subresource: &str,
        doing: &'static str,
        object: &Value,
    ) -> Result<(), ClusterError> {
        let about = self.about(doing, name);
        let body = object.to_string().into_bytes();
        let params = PostParams::default();
        let request = self.requests().create_subresource(subresource, name, &params, body);
        self.send_once(&about, &request).await.map(|_| ())
    }
}
