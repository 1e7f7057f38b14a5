//! Taking the pods off a Node.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use super::error::{ClusterCause, ClusterError};
use super::request::apis;
use super::{ClusterClient, text_at};
use crate::diagnostics::Code;

const POLL: Duration = Duration::from_secs(2);

/// The result of the drain of a Node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// The number of evicted pods.
    pub evicted: usize,
    /// Evicted pods that still exist, as `namespace/name`.
    pub remaining: Vec<String>,
    /// Remaining pods that a disruption budget protects.
    pub budgets: Vec<String>,
    /// Evicted pods that no controller recreates.
    pub unmanaged: Vec<String>,
}

/// The outcome of an eviction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eviction {
    /// The pod terminates or is deleted.
    Accepted,
    /// A disruption budget does not allow it now.
    RefusedByBudget,
    /// The API server did not answer: the pod may stay or terminate.
    NoResponse,
}

impl ClusterClient {
    /// Evicts all pods except static pods, completed ones and those of DaemonSets, and
    /// waits until they are deleted.
    ///
    /// An eviction that a disruption budget refuses is retried until the timeout; pods that
    /// remain are reported, not deleted.
    ///
    /// # Errors
    ///
    /// The cluster did not respond, or refused.
    pub async fn drain(&self, node: &str, within: Duration) -> Result<DrainReport, ClusterError> {
        let deadline = tokio::time::Instant::now() + within;
        let mut report = DrainReport::default();
        let mut requested = BTreeSet::new();
        loop {
            let pods = self.pods_to_evict(node).await?;
            report.remaining = pods.iter().map(PodToEvict::to_string).collect();
            if pods.is_empty() || tokio::time::Instant::now() >= deadline {
                report.evicted = requested.len();
                return Ok(report);
            }
            report.budgets.clear();
            for pod in pods {
                if requested.contains(&pod) {
                    continue;
                }
                match self.evict(&pod.namespace, &pod.name).await? {
                    Eviction::Accepted => {
                        report.unmanaged.extend((!pod.managed).then(|| pod.to_string()));
                        requested.insert(pod);
                    }
                    Eviction::RefusedByBudget => report.budgets.push(pod.to_string()),
                    Eviction::NoResponse => {}
                }
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Evicts a pod, once.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn evict(&self, namespace: &str, name: &str) -> Result<Eviction, ClusterError> {
        let eviction = json!({
            "apiVersion": "policy/v1",
            "kind": "Eviction",
            "metadata": { "name": name, "namespace": namespace },
        });
        let pods = self.collection(apis::POD, Some(namespace));
        match pods.post_subresource(name, "eviction", "evict", &eviction).await {
            Ok(()) => Ok(Eviction::Accepted),
            Err(error) if error.cause == ClusterCause::NotFound => Ok(Eviction::Accepted),
            // 429 is how a disruption budget answers.
            Err(error) if error.code == Code::Throttled => Ok(Eviction::RefusedByBudget),
            // The next round of the drain lists the pods and evicts it again.
            Err(error) if error.cause == ClusterCause::Unavailable => Ok(Eviction::NoResponse),
            Err(error) => Err(error),
        }
    }

    async fn pods_to_evict(&self, node: &str) -> Result<Vec<PodToEvict>, ClusterError> {
        let selector = format!("spec.nodeName={node}");
        let pods = self.collection(apis::POD, None).list(None, Some(&selector)).await?;
        let here = |pod: &&Value| pod["spec"]["nodeName"] == node && needs_eviction(pod);
        Ok(pods.iter().filter(here).map(PodToEvict::of).collect())
    }
}

/// A pod that must go; another one of its name is another pod.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct PodToEvict {
    namespace: String,
    name: String,
    uid: String,
    managed: bool,
}

impl PodToEvict {
    fn of(pod: &Value) -> Self {
        let metadata = &pod["metadata"];
        let owners = metadata["ownerReferences"].as_array().into_iter().flatten();
        Self {
            namespace: text_at(metadata, "namespace"),
            name: text_at(metadata, "name"),
            uid: text_at(metadata, "uid"),
            managed: owners.into_iter().any(|owner| owner["controller"] == true),
        }
    }
}

impl fmt::Display for PodToEvict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.namespace, self.name)
    }
}

fn needs_eviction(pod: &Value) -> bool {
    let owners = pod["metadata"]["ownerReferences"].as_array();
    let of_daemon_set = owners.into_iter().flatten().any(|owner| owner["kind"] == "DaemonSet");
    let static_pod = !pod["metadata"]["annotations"]["kubernetes.io/config.mirror"].is_null();
    let over = matches!(pod["status"]["phase"].as_str(), Some("Succeeded" | "Failed"));
    !of_daemon_set && !static_pod && !over
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_pods_with_a_controller_are_evicted() {
        for (pod, expected) in [
            (json!({ "metadata": { "name": "a" }, "status": { "phase": "Running" } }), true),
            (json!({ "metadata": { "ownerReferences": [{ "kind": "ReplicaSet" }] } }), true),
            (json!({ "metadata": { "ownerReferences": [{ "kind": "DaemonSet" }] } }), false),
            (
                json!({ "metadata": { "annotations": { "kubernetes.io/config.mirror": "x" } } }),
                false,
            ),
            (json!({ "status": { "phase": "Succeeded" } }), false),
        ] {
            assert_eq!(needs_eviction(&pod), expected, "{pod}");
        }
    }
}
