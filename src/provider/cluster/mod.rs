//! The door to the cluster's API server.
//!
//! It stands on a [`kube::Client`] that is given from outside, so that the
//! wire can be another one: the sandbox's, a test's, or one under a budget.

mod approval;
mod certificate_request;
mod client;
mod drain;
mod error;
mod fields;
mod goldpinger;
mod history;
mod manifests;
mod networks;
mod nodes;
mod records;
mod request;
mod services;
mod shared_list;
mod tokens;

use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::version::Info;
use serde_json::Value;

use crate::provider::http::RequestCount;
use crate::resource::Owner;
use crate::resource::kubernetes::Api;

pub use approval::{Approval, Refusal};
pub use certificate_request::CertificateRefusal;
pub use client::{
    CountLayer, CountService, KubeconfigServer, client_from_kubeconfig, server_of_kubeconfig,
};
pub use drain::DrainReport;
pub use error::{ClusterCause, ClusterError};
pub use goldpinger::MeasureError;
pub use history::{OPERATIONS_KEPT, PastOperation};
pub use manifests::LiveManifest;
pub use nodes::{
    CORDONED_ANNOTATION, LABELS_ANNOTATION, NodeFacts, PROFILE_DIGEST_ANNOTATION, TAINTS_ANNOTATION,
};
pub use records::{OperationKind, OperationPhase, OperationRecord, ServerState, ServerStatus};
pub use tokens::BootstrapToken;

use error::About;
use request::Collection;
use shared_list::SharedList;

/// The door to the cluster.
#[derive(Clone)]
pub struct ClusterClient {
    client: kube::Client,
    owner: Owner,
    count: RequestCount,
    certificate_requests: Arc<SharedList>,
}

impl std::fmt::Debug for ClusterClient {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("ClusterDoor").field("owner", &self.owner).finish_non_exhaustive()
    }
}

impl ClusterClient {
    /// Opens the door. The client counts its requests itself, into the same
    /// count (see [`client_from_kubeconfig`] and [`CountLayer`]).
    pub fn new(client: kube::Client, owner: Owner, count: RequestCount) -> Self {
        Self { client, owner, count, certificate_requests: Arc::default() }
    }

    /// Whose mark is written and looked for.
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
        self.client.apiserver_version().await.map_err(|error| about.failed(&error))
    }

    fn collection(&self, api: Api, namespace: Option<&str>) -> Collection {
        Collection::new(&self.client, api, namespace)
    }
}

/// A text field, empty where it is missing.
fn text_at(object: &Value, field: &str) -> String {
    object[field].as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;
