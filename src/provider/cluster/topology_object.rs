//! The Topology object, on which `stargate watch` reports.

use serde_json::{Value, json};

use super::error::ClusterError;
use super::request::{Collection, PatchKind, apis};
use super::{ClusterClient, text_at};
use crate::resource::custom_resources::{APPROVE_ANNOTATION, GROUP, NAMESPACE, VERSION};
use crate::resource::ownership::{SITE_LABEL, TOPOLOGY_LABEL};

/// A Topology object as read from the API server.
#[derive(Debug, Clone, PartialEq)]
pub struct TopologyObject {
    /// The generation of its spec.
    pub generation: i64,
    /// Its status; null if nothing was written yet.
    pub status: Value,
    /// The approved digest, if there is an annotation.
    pub approval: Option<String>,
    /// Changes with every write.
    resource_version: String,
}

impl ClusterClient {
    /// The object of the topology, if there is one.
    ///
    /// # Errors
    ///
    /// The API server did not answer or refused.
    pub async fn topology_object(&self) -> Result<Option<TopologyObject>, ClusterError> {
        Ok(self.topologies().get(self.name()).await?.as_ref().map(topology_object))
    }

    /// Creates the object of the topology.
    ///
    /// # Errors
    ///
    /// The cluster does not know Topologies, has no namespace for them, did not answer, or
    /// refused; a conflict if the object exists.
    pub async fn create_topology_object(&self) -> Result<TopologyObject, ClusterError> {
        let name = self.name();
        let object = json!({
            "apiVersion": format!("{GROUP}/{VERSION}"),
            "kind": apis::TOPOLOGY.kind,
            "metadata": {
                "name": name,
                "namespace": NAMESPACE,
                "labels": { TOPOLOGY_LABEL: name, SITE_LABEL: "cluster" },
            },
            "spec": { "topology": name },
        });
        Ok(topology_object(&self.topologies().create(name, &object).await?))
    }

    /// Writes the status of the object; a field that is null is removed.
    ///
    /// # Errors
    ///
    /// There is no such object, or the API server did not answer or refused.
    pub async fn update_topology_status(&self, status: &Value) -> Result<(), ClusterError> {
        let (name, patch) = (self.name(), json!({ "status": status }));
        let topologies = self.topologies();
        topologies.patch(name, Some("status"), PatchKind::Merge, &patch).await.map(|_| ())
    }

    /// Removes the annotation that approves changes, so that it approves nothing later.
    ///
    /// # Errors
    ///
    /// The API server did not answer or refused; a conflict if the object changed after
    /// it was read.
    pub async fn take_approval(&self, read: &TopologyObject) -> Result<(), ClusterError> {
        let patch = json!({ "metadata": {
            "resourceVersion": read.resource_version,
            "annotations": { APPROVE_ANNOTATION: null },
        }});
        self.topologies().merge(self.name(), &patch).await.map(|_| ())
    }

    fn name(&self) -> &str {
        self.owner.topology.as_str()
    }

    fn topologies(&self) -> Collection {
        self.collection(apis::TOPOLOGY, Some(NAMESPACE))
    }
}

fn topology_object(object: &Value) -> TopologyObject {
    let metadata = &object["metadata"];
    TopologyObject {
        generation: metadata["generation"].as_i64().unwrap_or_default(),
        status: object["status"].clone(),
        approval: metadata["annotations"][APPROVE_ANNOTATION].as_str().map(str::to_owned),
        resource_version: text_at(metadata, "resourceVersion"),
    }
}
