//! Kubernetes Events about Operations.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::ClusterError;
use super::request::apis;
use super::{ClusterClient, text_at};
use crate::resource::custom_resources::{GROUP, NAMESPACE, VERSION};
use crate::resource::kubernetes::KubernetesApi;
use crate::resource::names::WorkerName;

/// The longest note that the API takes, in bytes.
const MAX_NOTE: usize = 1024;
/// The longest part of an Operation's name in the name of an Event, in bytes.
const MAX_NAME: usize = 150;
/// The namespace of Events about objects that are in none.
const DEFAULT_NAMESPACE: &str = "default";

/// Something that happened to an Operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationEvent {
    /// The name of the Operation.
    pub operation: String,
    /// The identity of its object.
    pub uid: String,
    /// The worker; `None` for one that the topology does not have.
    pub worker: Option<WorkerName>,
    /// The reason, in CamelCase. There is one Event of each reason.
    pub reason: &'static str,
    /// The event as a sentence; never a secret.
    pub note: String,
    /// Whether a person should investigate it.
    pub is_warning: bool,
    /// When it happened.
    pub at: Timestamp,
}

impl ClusterClient {
    /// Records an Event about an Operation, its Server and its Node, as far as they exist.
    /// One of the same reason is recorded once.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn record_operation_event(&self, event: &OperationEvent) -> Result<(), ClusterError> {
        let mut regarding_objects =
            vec![(apis::OPERATION, event.operation.clone(), event.uid.clone())];
        if let Some(worker) = &event.worker {
            for api in [apis::SERVER, apis::NODE] {
                let namespace = api.namespaced.then_some(NAMESPACE);
                let object = self.collection(api, namespace).get(worker.as_str()).await?;
                regarding_objects.extend(
                    object.map(|object| {
                        (api, worker.to_string(), text_at(&object["metadata"], "uid"))
                    }),
                );
            }
        }
        for (api, name, uid) in regarding_objects {
            let namespace = if api.namespaced { NAMESPACE } else { DEFAULT_NAMESPACE };
            let object = event.about(&api, &name, &uid, namespace);
            let events = self.collection(apis::EVENT, Some(namespace));
            match events.create(&event.name(&api), &object).await {
                Err(error) if !error.is_conflict() => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

impl OperationEvent {
    fn name(&self, about: &KubernetesApi) -> String {
        let name = prefix(&self.operation, MAX_NAME).trim_end_matches(['-', '.']);
        let identity: String = self.uid.chars().take(8).collect();
        format!("{name}.{identity}.{}.{}", about.kind, self.reason).to_lowercase()
    }

    fn about(&self, api: &KubernetesApi, name: &str, uid: &str, namespace: &str) -> Value {
        let mut regarding =
            json!({ "apiVersion": api.api_version(), "kind": api.kind, "name": name, "uid": uid });
        if api.namespaced {
            regarding["namespace"] = json!(namespace);
        }
        json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": { "name": self.name(api), "namespace": namespace },
            "eventTime": self.at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string(),
            "regarding": regarding,
            "related": {
                "apiVersion": format!("{GROUP}/{VERSION}"), "kind": apis::OPERATION.kind,
                "namespace": NAMESPACE, "name": self.operation, "uid": self.uid,
            },
            "reason": self.reason,
            "action": "Operation",
            "note": prefix(&self.note, MAX_NOTE),
            "type": if self.is_warning { "Warning" } else { "Normal" },
            "reportingController": format!("{GROUP}/watch"),
            "reportingInstance": "stargate",
        })
    }
}

/// The beginning of a text, at most so many bytes.
fn prefix(text: &str, max: usize) -> &str {
    let end = (0..=max.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text.get(..end.unwrap_or_default()).unwrap_or_default()
}
