//! The client of the cluster's API server.
//!
//! It is built on a [`kube::Client`] that the caller provides, so that tests and
//! the sandbox can replace the transport.

mod approval;
mod certificate_request;
mod client;
mod contents;
mod drain;
mod entra;
mod entra_refusal;
mod error;
mod events;
mod exec_plugin;
mod fields;
mod goldpinger;
mod history;
mod kubeconfig;
mod lease;
mod login;
mod manifests;
mod networks;
mod nodes;
mod operation_status;
mod operations;
mod permissions;
mod records;
mod request;
mod request_layer;
mod services;
mod shared_list;
mod token_layer;
mod tokens;
mod topology_object;
mod watch;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::version::Info;
use serde_json::Value;

use crate::diagnostics::service_text::{Breaks, make_safe};
use crate::provider::http::RequestCount;
use crate::provider::settings::ClientSettings;
use crate::resource::Owner;
use crate::resource::kubernetes::KubernetesApi;

pub use approval::{Approval, Refusal};
pub use certificate_request::CertificateRefusal;
pub use client::{KubeconfigServer, server_of_kubeconfig};
pub use drain::{DrainReport, Eviction};
pub use entra::with_entra_user;
pub use error::{ClusterCause, ClusterError, SignInFailure};
pub use events::OperationEvent;
pub use goldpinger::MeasureError;
pub use history::{MAX_OPERATIONS, PastOperation, REQUEST_KEPT_FOR};
pub use lease::{
    COMMAND_ANNOTATION, DESTROY_COMMAND, FAILING_ANNOTATION, HELD_ANNOTATION,
    LAST_SUCCESS_ANNOTATION, LeaseClaim, LeaseRecord, LeaseRequest, NEXT_RECONCILE_ANNOTATION,
};
pub use login::{ClusterLogin, client_from_kubeconfig};
pub use manifests::LiveManifest;
pub use nodes::{
    CORDONED_ANNOTATION, KERNEL_ROUTES_ANNOTATION, LABELS_ANNOTATION, NodeFacts,
    PROFILE_DIGEST_ANNOTATION, TAINTS_ANNOTATION,
};
pub use operation_status::{OperationUpdate, RequestStatus};
pub use operations::{OperationObject, OperationOrigin, OperationStart};
pub use permissions::{PERMISSIONS, Permission};
pub use records::{OperationKind, OperationPhase, OperationRecord, ServerState, ServerStatus};
pub use request_layer::{RequestLayer, RequestService};
pub use tokens::BootstrapToken;
pub use topology_object::TopologyObject;
pub use watch::{WatchStream, WatchedChange, WatchedKind};

use error::About;
pub(super) use error::CLUSTER_ROLES;
use request::Collection;
use shared_list::SharedList;

/// A client of the cluster's API server.
#[derive(Clone)]
pub struct ClusterClient {
    client: kube::Client,
    owner: Owner,
    count: RequestCount,
    settings: ClientSettings,
    certificate_requests: Arc<SharedList>,
}

impl std::fmt::Debug for ClusterClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ClusterClient").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl ClusterClient {
    /// A client of the cluster. The requests of `client` are counted into
    /// `count` by its own policy (see [`ClusterLogin::client`] and
    /// [`RequestLayer`]).
    pub fn new(client: kube::Client, owner: Owner, count: RequestCount) -> Self {
        let settings = ClientSettings::default();
        Self { client, owner, count, settings, certificate_requests: Arc::default() }
    }

    /// The client with other limits for lists.
    #[must_use]
    pub fn with_settings(mut self, settings: ClientSettings) -> Self {
        self.settings = settings;
        self
    }

    /// The owner whose mark is read and written.
    pub fn owner(&self) -> &Owner {
        &self.owner
    }

    /// How many requests were sent so far.
    pub fn count(&self) -> &RequestCount {
        &self.count
    }

    /// The API server's version.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn server_version(&self) -> Result<Info, ClusterError> {
        let about = About::new("read", "version", "of the API server");
        let request = http::Request::get("/version").body(Vec::new());
        let request = request.map_err(|error| about.malformed(error.to_string()))?;
        let mut version: Value =
            self.client.request(request).await.map_err(|error| about.failed(error))?;
        make_safe(&mut version, Breaks::Escape);
        serde_json::from_value(version).map_err(|error| request::malformed(&about, &error))
    }

    fn collection(&self, api: KubernetesApi, namespace: Option<&str>) -> Collection {
        Collection::new(&self.client, &self.settings, api, namespace)
    }
}

/// Where Azure keeps its objects.
const KUBE_SYSTEM: &str = "kube-system";

/// A text field, empty where it is missing.
fn text_at(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
