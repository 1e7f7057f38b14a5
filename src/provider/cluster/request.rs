//! Requests to the API server, with JSON bodies.
//!
//! Objects stay JSON here, because typed models would drop fields that stargate does not
//! know.

use kube::core::Request;
use kube::core::params::{
    DeleteParams, GetParams, ListParams, Patch, PatchParams, PostParams, Preconditions,
};
use serde_json::Value;

use super::error::{About, ClusterError};
use super::request_layer::Attempts;
use crate::diagnostics::ServiceText;
use crate::diagnostics::service_text::{Breaks, make_safe};
use crate::provider::http_client::kind_of;
use crate::provider::listing::Listing;
use crate::provider::request_policy::RetryClass;
use crate::provider::settings::ClientSettings;
use crate::resource::kubernetes::KubernetesApi;
use crate::resource::ownership::FIELD_MANAGER;

/// How often a write is repeated if another writer was faster.
pub(super) const MAX_WRITES: usize = 5;

/// A request that could be put together, or why not.
type Made = Result<http::Request<Vec<u8>>, kube::core::request::Error>;

/// How many objects a page of a list holds.
const PAGE: u32 = 500;

/// A collection of objects: an API, and a namespace of a namespaced one.
#[derive(Clone)]
pub(super) struct Collection {
    client: kube::Client,
    settings: ClientSettings,
    api: KubernetesApi,
    namespace: Option<String>,
    breaks: Breaks,
}

/// APIs that stargate reads or writes beside the manifests.
pub(super) mod apis {
    use super::KubernetesApi;
    use crate::resource::custom_resources::{GROUP, VERSION};
    use crate::resource::{Kind, Service};

    /// The API of a kind; compiling fails for one that is not in the cluster.
    const fn of(kind: Kind) -> KubernetesApi {
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
    ) -> KubernetesApi {
        KubernetesApi { group, version, kind, plural, namespaced }
    }

    pub(in super::super) const NODE: KubernetesApi = of(Kind::Worker);
    pub(in super::super) const POD: KubernetesApi = api("", "v1", "Pod", "pods", true);
    pub(in super::super) const SERVICE: KubernetesApi = api("", "v1", "Service", "services", true);
    pub(in super::super) const ENDPOINT_SLICE: KubernetesApi =
        api("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices", true);
    pub(in super::super) const SECRET: KubernetesApi = api("", "v1", "Secret", "secrets", true);
    pub(in super::super) const CILIUM_NODE: KubernetesApi = of(Kind::CiliumNode);
    pub(in super::super) const NODE_NETWORK_CONFIG: KubernetesApi =
        api("acn.azure.com", "v1alpha", "NodeNetworkConfig", "nodenetworkconfigs", true);
    pub(in super::super) const CERTIFICATE_SIGNING_REQUEST: KubernetesApi = api(
        "certificates.k8s.io",
        "v1",
        "CertificateSigningRequest",
        "certificatesigningrequests",
        false,
    );
    pub(in super::super) const SUBJECT_ACCESS_REVIEW: KubernetesApi =
        api("authorization.k8s.io", "v1", "SubjectAccessReview", "subjectaccessreviews", false);
    pub(in super::super) const LEASE: KubernetesApi =
        api("coordination.k8s.io", "v1", "Lease", "leases", true);
    pub(in super::super) const EVENT: KubernetesApi =
        api("events.k8s.io", "v1", "Event", "events", true);
    pub(in super::super) const OPERATION: KubernetesApi =
        api(GROUP, VERSION, "Operation", "operations", true);
    pub(in super::super) const SERVER: KubernetesApi =
        api(GROUP, VERSION, "Server", "servers", true);
    pub(in super::super) const TOPOLOGY: KubernetesApi =
        api(GROUP, VERSION, "Topology", "topologies", true);
}

/// The type of a patch.
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
    pub(super) fn new(
        client: &kube::Client,
        settings: &ClientSettings,
        api: KubernetesApi,
        namespace: Option<&str>,
    ) -> Self {
        Self {
            client: client.clone(),
            settings: *settings,
            api,
            namespace: namespace.map(str::to_owned),
            breaks: Breaks::Escape,
        }
    }

    /// Keeps line feeds outside of `metadata` and `status`: descriptions and
    /// scripts are compared with stargate's own.
    pub(super) fn keeping_breaks(mut self) -> Self {
        self.breaks = Breaks::Keep;
        self
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

    pub(super) fn about(&self, activity: &'static str, name: &str) -> About {
        let full = match &self.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        };
        About::new(activity, self.api.kind, &full)
    }

    async fn send(&self, about: &About, request: Made) -> Result<Value, ClusterError> {
        self.send_as(about, request, RetryClass::Idempotent, &Attempts::default()).await
    }

    /// Sends a request; the layer below sends it again as its class allows and
    /// counts how often.
    async fn send_as(
        &self,
        about: &About,
        request: Made,
        class: RetryClass,
        attempts: &Attempts,
    ) -> Result<Value, ClusterError> {
        let mut request = request.map_err(|error| malformed(about, &error))?;
        if request.method() != http::Method::GET {
            request.extensions_mut().insert(class);
        }
        request.extensions_mut().insert(attempts.clone());
        let response: Value =
            self.client.request(request).await.map_err(|error| about.failed(error))?;
        self.object(about, response)
    }

    /// The answer if it is an object, with its text safe to print.
    fn object(&self, about: &About, mut response: Value) -> Result<Value, ClusterError> {
        let Some(fields) = response.as_object_mut() else {
            let reason = format!("the API server returned {}, not an object", kind_of(&response));
            return Err(about.malformed(reason));
        };
        for (name, field) in fields {
            let strict = matches!(name.as_str(), "metadata" | "status");
            make_safe(field, if strict { Breaks::Escape } else { self.breaks });
        }
        Ok(response)
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
        let mut list = Listing::new(&self.settings, identity);
        loop {
            let mut page = self.send(&about, self.requests().list(&params)).await?;
            let items = self.items(&about, page["items"].take())?;
            list.add(items).map_err(|fault| malformed(&about, &fault))?;
            match page["metadata"]["continue"].as_str() {
                Some(token) if !token.is_empty() => {
                    list.follow(token).map_err(|fault| malformed(&about, &fault))?;
                    params = params.continue_token(token);
                }
                _ => return Ok(list.finish()),
            }
        }
    }

    /// The objects of a page. A page of another shape must not pass for an empty one,
    /// because objects that a list lacks count as absent.
    fn items(&self, about: &About, items: Value) -> Result<Vec<Value>, ClusterError> {
        let Value::Array(items) = items else {
            let what = kind_of(&items);
            let reason = format!("`items` of the API server's response is {what}, not an array");
            return Err(about.malformed(reason));
        };
        let item = |item: Value| {
            let metadata = &item["metadata"];
            let has_place = !self.api.namespaced || metadata["namespace"].is_string();
            match metadata["name"].is_string() && has_place {
                true => self.object(about, item),
                false => Err(about
                    .malformed("an entry of the API server's list has no name or no namespace")),
            }
        };
        items.into_iter().map(item).collect()
    }

    /// Like [`Self::list`], and empty where the API itself is not there.
    pub(super) async fn list_if_served(&self) -> Result<Vec<Value>, ClusterError> {
        match self.list(None, None).await {
            Err(error) if error.is_not_found() => Ok(Vec::new()),
            response => response,
        }
    }

    /// The object, if there is one.
    pub(super) async fn get(&self, name: &str) -> Result<Option<Value>, ClusterError> {
        let about = self.about("read", name);
        match self.send(&about, self.requests().get(name, &GetParams::default())).await {
            Ok(object) => named(&about, object, name).map(Some),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn create(&self, name: &str, object: &Value) -> Result<Value, ClusterError> {
        let about = self.about("create", name);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), dry_run: false };
        let request = self.requests().create(&params, object.to_string().into_bytes());
        let attempts = Attempts::default();
        match self.send_as(&about, request, RetryClass::Idempotent, &attempts).await {
            // The first one arrived, and only its answer did not.
            Err(error) if attempts.repeated() && error.is_conflict() => {
                self.get(name).await?.ok_or(error)
            }
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
        self.delete_with(name, &DeleteParams::background()).await
    }

    /// Deletes the object in exactly this version; one that is not there is fine.
    pub(super) async fn delete_version(
        &self,
        name: &str,
        resource_version: &str,
    ) -> Result<(), ClusterError> {
        let resource_version = Some(resource_version.to_owned());
        let preconditions = Some(Preconditions { resource_version, uid: None });
        let params = DeleteParams { preconditions, ..DeleteParams::background() };
        self.delete_with(name, &params).await
    }

    /// Deletes the object with this uid; one that is not there is fine.
    pub(super) async fn delete_uid(&self, name: &str, uid: &str) -> Result<(), ClusterError> {
        let preconditions =
            Some(Preconditions { resource_version: None, uid: Some(uid.to_owned()) });
        let params = DeleteParams { preconditions, ..DeleteParams::background() };
        self.delete_with(name, &params).await
    }

    async fn delete_with(&self, name: &str, params: &DeleteParams) -> Result<(), ClusterError> {
        let about = self.about("delete", name);
        match self.send(&about, self.requests().delete(name, params)).await {
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
        activity: &'static str,
        object: &Value,
    ) -> Result<(), ClusterError> {
        let about = self.about(activity, name);
        let body = object.to_string().into_bytes();
        let params = PostParams::default();
        let request = self.requests().create_subresource(subresource, name, &params, body);
        let attempts = Attempts::default();
        self.send_as(&about, request, RetryClass::Never, &attempts).await.map(|_| ())
    }
}

/// The identity of an object of a list.
fn identity(item: &Value) -> Option<String> {
    let metadata = &item["metadata"];
    let namespace = metadata["namespace"].as_str().unwrap_or_default();
    Some(format!("{namespace}/{}", metadata["name"].as_str()?))
}

/// The object, if it has the requested name.
fn named(about: &About, object: Value, name: &str) -> Result<Value, ClusterError> {
    match &object["metadata"]["name"] {
        Value::String(answered) if answered == name => Ok(object),
        Value::String(answered) => {
            Err(about.malformed(format!("the API server returned the object `{answered}`")))
        }
        _ => Err(about.malformed("the API server returned an object without a name")),
    }
}

/// The error of a response that is not one of an API server.
pub(super) fn malformed(about: &About, reason: &dyn std::fmt::Display) -> ClusterError {
    about.malformed(String::from(ServiceText::message(&reason.to_string())))
}
