//! Objects that are applied whole.

use std::ops::ControlFlow;
use std::time::Duration;

use serde_json::{Value, json};

use super::error::{ClusterCause, ClusterError};
use super::fields::{owned_body, with_desired_fields};
use super::request::{Collection, PatchKind};
use super::{ClusterClient, text_at};
use crate::provider::poll::Polling;
use crate::resource::kubernetes::{Manifest, ManifestKind};
use crate::resource::names::TopologyName;
use crate::resource::ownership::{SITE_LABEL, SiteName, TOPOLOGY_LABEL};
use crate::resource::{Ownership, Site};

/// How long a deletion may take to be over: a namespace empties itself first.
const DELETE: Polling =
    Polling { interval: Duration::from_secs(1), timeout: Duration::from_secs(300) };
/// The time that the API server may take to serve a new definition.
const ESTABLISH: Polling =
    Polling { interval: Duration::from_millis(200), timeout: Duration::from_secs(30) };

/// The live object in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveManifest {
    /// The part of it that stargate's field manager owns.
    pub manifest: Manifest,
    /// All of it.
    pub object: Value,
    /// The owner of the object.
    pub ownership: Ownership,
    /// Its version, for a guard.
    pub resource_version: String,
}

impl LiveManifest {
    /// The object as compared with the desired one: the fields that stargate's field
    /// manager owns, and the current values of desired fields.
    pub fn with_desired_fields(&self, desired: &Manifest) -> Manifest {
        let body = with_desired_fields(&self.object, &desired.body).into();
        Manifest { body, ..self.manifest.clone() }
    }
}

impl ClusterClient {
    /// Every object of a kind, regardless of its owner; empty if the cluster
    /// does not know the kind yet.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn list_all(&self, kind: ManifestKind) -> Result<Vec<LiveManifest>, ClusterError> {
        let objects = self.collection(kind.api(), None).keeping_breaks().list_if_served().await?;
        Ok(objects.iter().map(|object| self.live(kind, object)).collect())
    }

    /// Every object of a kind that this topology owns, by one list;
    /// none where the cluster does not know the kind yet.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn list_ours(&self, kind: ManifestKind) -> Result<Vec<LiveManifest>, ClusterError> {
        let selector = self.of_topology();
        let objects = match self
            .collection(kind.api(), None)
            .keeping_breaks()
            .list(Some(&selector), None)
            .await
        {
            Err(error) if error.is_not_found() => Vec::new(),
            response => response?,
        };
        Ok(objects.iter().map(|object| self.live(kind, object)).collect())
    }

    /// One object, regardless of its owner.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn get(
        &self,
        kind: ManifestKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<Option<LiveManifest>, ClusterError> {
        let object = self.collection(kind.api(), namespace).keeping_breaks().get(name).await?;
        Ok(object.map(|object| self.live(kind, &object)))
    }

    /// Applies an object with the marks of ownership, and answers its new state.
    ///
    /// Without `force`, a field that another manager holds is a conflict.
    ///
    /// # Errors
    ///
    /// Another manager holds a field, the object is wrong, or the cluster did
    /// not answer.
    pub async fn apply(
        &self,
        manifest: &Manifest,
        site: &Site,
        force: bool,
    ) -> Result<LiveManifest, ClusterError> {
        let api = manifest.kind.api();
        let collection = self.collection(api, manifest.namespace.as_deref()).keeping_breaks();
        let mut object = Value::clone(&manifest.body);
        if !object.is_object() {
            return Err(collection
                .about("apply", &manifest.name)
                .malformed("its body is not a JSON object"));
        }
        object["apiVersion"] = json!(api.api_version());
        object["kind"] = json!(api.kind);
        object["metadata"]["name"] = json!(manifest.name);
        if let Some(namespace) = &manifest.namespace {
            object["metadata"]["namespace"] = json!(namespace);
        }
        object["metadata"]["labels"][TOPOLOGY_LABEL] = json!(self.owner.topology);
        object["metadata"]["labels"][SITE_LABEL] = json!(site.to_string());
        let mut live =
            collection.patch(&manifest.name, None, PatchKind::Apply { force }, &object).await?;
        if manifest.kind == ManifestKind::CustomResourceDefinition && !is_established(&live) {
            live = established(&collection, &manifest.name).await?;
        }
        Ok(self.live(manifest.kind, &live))
    }

    /// Deletes an object and waits until it is deleted. An absent one is no error.
    ///
    /// # Errors
    ///
    /// The cluster did not respond, refused, or did not finish in time.
    pub async fn delete(
        &self,
        kind: ManifestKind,
        namespace: Option<&str>,
        name: &str,
    ) -> Result<(), ClusterError> {
        delete_and_wait(&self.collection(kind.api(), namespace), name, None).await
    }

    /// Selects the objects that the topology owns, under its own or its former name.
    pub(super) fn of_topology(&self) -> String {
        let names: Vec<&str> = self.owner.names().map(TopologyName::as_str).collect();
        match names.as_slice() {
            [name] => format!("{TOPOLOGY_LABEL}={name}"),
            names => format!("{TOPOLOGY_LABEL} in ({})", names.join(",")),
        }
    }

    fn live(&self, kind: ManifestKind, object: &Value) -> LiveManifest {
        let metadata = &object["metadata"];
        let manifest = Manifest {
            kind,
            namespace: metadata["namespace"].as_str().map(|name| name.to_owned().into()),
            name: text_at(metadata, "name"),
            body: owned_body(object).into(),
        };
        LiveManifest {
            manifest,
            object: object.clone(),
            ownership: self.ownership_of(object),
            resource_version: text_at(metadata, "resourceVersion"),
        }
    }

    pub(super) fn ownership_of(&self, object: &Value) -> Ownership {
        let labels = &object["metadata"]["labels"];
        let site = labels[SITE_LABEL].as_str().unwrap_or("cluster").to_owned();
        self.owner.ownership(labels[TOPOLOGY_LABEL].as_str(), SiteName(site))
    }
}

fn is_established(definition: &Value) -> bool {
    let mut conditions = definition["status"]["conditions"].as_array().into_iter().flatten();
    conditions.any(|it| it["type"] == "Established" && it["status"] == "True")
}

/// Waits until a definition is served: until then its objects are not found.
async fn established(collection: &Collection, name: &str) -> Result<Value, ClusterError> {
    let polled = ESTABLISH.poll_until(|| async {
        collection.get(name).await.map(|found| match found {
            Some(definition) if is_established(&definition) => ControlFlow::Break(definition),
            _ => ControlFlow::Continue(()),
        })
    });
    match polled.await? {
        ControlFlow::Break(definition) => Ok(definition),
        ControlFlow::Continue(()) => {
            let reason = "the cluster does not serve it after 30 seconds";
            Err(collection.about("apply", name).error(ClusterCause::Unavailable, reason))
        }
    }
}

/// Deletes the object of a uid, by default that of the one that is there, and waits until it
/// is deleted. A request that arrives late does not delete a later object of the same name.
pub(super) async fn delete_and_wait(
    collection: &Collection,
    name: &str,
    uid: Option<&str>,
) -> Result<(), ClusterError> {
    let uid_of = |object: &Value| text_at(&object["metadata"], "uid");
    let uid = match uid {
        Some(uid) => uid.to_owned(),
        None => match collection.get(name).await? {
            Some(object) => uid_of(&object),
            None => return Ok(()),
        },
    };
    collection.delete_uid(name, &uid).await?;
    let polled = DELETE.poll_until(|| async {
        let found = collection.get(name).await?.filter(|object| uid_of(object) == uid);
        Ok(found.map_or(ControlFlow::Break(()), ControlFlow::Continue))
    });
    let ControlFlow::Continue(object) = polled.await? else { return Ok(()) };
    let finalizers = &object["metadata"]["finalizers"];
    let reason = if finalizers.is_null() {
        "it still exists after five minutes".to_owned()
    } else {
        format!("it still exists after five minutes, held by {finalizers}")
    };
    Err(collection.about("delete", name).error(ClusterCause::Unavailable, reason))
}
