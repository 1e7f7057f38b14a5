//! Leases: the record of who may write.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::ClusterError;
use super::request::{Collection, PatchKind, apis};
use super::{ClusterClient, text_at};
use crate::resource::ownership::TOPOLOGY_LABEL;

/// The namespace of leases: it exists in every cluster.
const NAMESPACE: &str = "kube-system";

/// The prefix of stargate's annotations.
const ANNOTATION_PREFIX: &str = "stargate.io/";

/// The annotation with the command of the holder: [`DESTROY_COMMAND`], or another one.
pub const COMMAND_ANNOTATION: &str = "stargate.io/command";
/// The value of [`COMMAND_ANNOTATION`] while the holder deletes the whole topology.
pub const DESTROY_COMMAND: &str = "destroy";
/// The annotation with the time of the last reconcile that succeeded.
pub const LAST_SUCCESS_ANNOTATION: &str = "stargate.io/last-success";
/// The annotation with the time at which the next reconcile is due at the latest.
pub const NEXT_RECONCILE_ANNOTATION: &str = "stargate.io/next-reconcile";
/// The annotation with how many Leases its holder holds, if processes share them.
pub const HELD_ANNOTATION: &str = "stargate.io/held";
/// The annotation that says, as `true`, that the holder's work fails and another process may
/// request the Lease.
pub const FAILING_ANNOTATION: &str = "stargate.io/failing";
/// The annotation by which another process requests the Lease from its holder. Each renewal
/// removes it.
const REQUEST_ANNOTATION: &str = "stargate.io/requested";
/// Annotations of one renewal: the next one removes those that it does not set.
const OF_ONE_RENEWAL: [&str; 3] = [HELD_ANNOTATION, FAILING_ANNOTATION, REQUEST_ANNOTATION];

/// A Lease as read from the API server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LeaseRecord {
    /// The holder; empty if the Lease was released.
    pub holder: String,
    /// How long it is valid after a renewal.
    pub duration: Duration,
    /// When the holder took it, by the holder's clock; only for display.
    pub acquired: String,
    /// When it was last renewed, by the holder's clock; only for display.
    pub renewed: String,
    /// Annotations that the holder publishes.
    pub annotations: BTreeMap<String, String>,
    /// Changes with every renewal, independently of the holder's clock.
    pub(crate) resource_version: String,
}

/// The desired state of a Lease.
#[derive(Debug, Clone)]
pub struct LeaseClaim<'a> {
    /// The name of the Lease.
    pub name: &'a str,
    /// The new holder.
    pub holder: &'a str,
    /// How long it is valid without another renewal.
    pub duration: Duration,
    /// The time of the renewal.
    pub now: Timestamp,
    /// Annotations to set in the same request. What the holder says of itself is removed if it
    /// is not set again, and so are requests.
    pub annotations: &'a BTreeMap<String, String>,
    /// The Lease as it was read, or `None` if there was none.
    pub previous: Option<&'a LeaseRecord>,
}

/// Another process' request for a Lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRequest {
    /// The process that requests it.
    pub by: String,
    /// How many Leases that process holds.
    pub held: u32,
}

impl LeaseRequest {
    /// The value of the annotation.
    fn text(&self) -> String {
        format!("{} {}", self.held, self.by)
    }

    fn parse(text: &str) -> Option<Self> {
        let (held, by) = text.split_once(' ')?;
        let held = held.parse().ok()?;
        (!by.is_empty()).then(|| Self { by: by.to_owned(), held })
    }
}

impl LeaseRecord {
    /// How many Leases of the kind its holder holds, if the holder shares them.
    pub fn held(&self) -> Option<u32> {
        self.annotations.get(HELD_ANNOTATION)?.parse().ok()
    }

    /// Whether the work of its holder fails, which gives it to another process.
    pub fn is_failing(&self) -> bool {
        self.annotations.get(FAILING_ANNOTATION).is_some_and(|text| text == "true")
    }

    /// Another process' request for the Lease, unless the holder has renewed it since.
    pub fn request(&self) -> Option<LeaseRequest> {
        LeaseRequest::parse(self.annotations.get(REQUEST_ANNOTATION)?)
    }

    /// Whether its holder deletes the whole topology.
    pub fn is_of_destroy(&self) -> bool {
        self.annotations.get(COMMAND_ANNOTATION).is_some_and(|command| command == DESTROY_COMMAND)
    }
}

impl ClusterClient {
    /// Reads a Lease.
    ///
    /// # Errors
    ///
    /// The API server did not answer or refused.
    pub async fn lease(&self, name: &str) -> Result<Option<LeaseRecord>, ClusterError> {
        Ok(self.leases().get(name).await?.as_ref().map(record))
    }

    /// Creates or renews a Lease, and returns it as it then is.
    ///
    /// # Errors
    ///
    /// The API server did not answer or refused; a conflict if the Lease changed
    /// after `previous` was read.
    pub async fn write_lease(&self, claim: LeaseClaim<'_>) -> Result<LeaseRecord, ClusterError> {
        let mut spec = json!({
            "holderIdentity": claim.holder,
            "leaseDurationSeconds": claim.duration.as_secs(),
            "renewTime": micro_time(claim.now),
        });
        if claim.previous.is_none_or(|previous| previous.holder != claim.holder) {
            spec["acquireTime"] = Value::from(micro_time(claim.now));
        }
        let leases = self.leases();
        let mut annotations = json!(claim.annotations);
        let written = match claim.previous {
            None => {
                let object = json!({
                    "apiVersion": "coordination.k8s.io/v1",
                    "kind": "Lease",
                    "metadata": {
                        "name": claim.name,
                        "namespace": NAMESPACE,
                        "labels": { TOPOLOGY_LABEL: self.owner.topology },
                        "annotations": annotations,
                    },
                    "spec": spec,
                });
                leases.create(claim.name, &object).await?
            }
            Some(previous) => {
                let version = &previous.resource_version;
                let is_outdated = |name: &&str| {
                    previous.annotations.contains_key(*name)
                        && !claim.annotations.contains_key(*name)
                };
                for name in OF_ONE_RENEWAL.into_iter().filter(is_outdated) {
                    annotations[name] = Value::Null;
                }
                let metadata = json!({ "resourceVersion": version, "annotations": annotations });
                let patch = json!({ "metadata": metadata, "spec": spec });
                leases.patch(claim.name, None, PatchKind::Merge, &patch).await?
            }
        };
        Ok(record(&written))
    }

    /// Requests a Lease from the process that holds it, and returns the Lease as it then is.
    ///
    /// # Errors
    ///
    /// The API server did not answer or refused; a conflict if the Lease changed
    /// after it was read.
    pub async fn request_lease(
        &self,
        name: &str,
        read: &LeaseRecord,
        request: &LeaseRequest,
    ) -> Result<LeaseRecord, ClusterError> {
        let annotations = json!({ REQUEST_ANNOTATION: request.text() });
        let metadata =
            json!({ "resourceVersion": read.resource_version, "annotations": annotations });
        let patch = json!({ "metadata": metadata });
        Ok(record(&self.leases().patch(name, None, PatchKind::Merge, &patch).await?))
    }

    /// Deletes a Lease; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// The API server did not answer or refused; a conflict if the Lease changed
    /// after it was read.
    pub async fn delete_lease(&self, name: &str, read: &LeaseRecord) -> Result<(), ClusterError> {
        self.leases().delete_version(name, &read.resource_version).await
    }

    fn leases(&self) -> Collection {
        self.collection(apis::LEASE, Some(NAMESPACE))
    }
}

fn record(object: &Value) -> LeaseRecord {
    let spec = &object["spec"];
    LeaseRecord {
        holder: text_at(spec, "holderIdentity"),
        duration: Duration::from_secs(spec["leaseDurationSeconds"].as_u64().unwrap_or_default()),
        acquired: text_at(spec, "acquireTime"),
        renewed: text_at(spec, "renewTime"),
        annotations: annotations(object),
        resource_version: text_at(&object["metadata"], "resourceVersion"),
    }
}

fn annotations(object: &Value) -> BTreeMap<String, String> {
    let found = object["metadata"]["annotations"].as_object().into_iter().flatten();
    let ours = found.filter(|(name, _)| name.starts_with(ANNOTATION_PREFIX));
    ours.filter_map(|(name, text)| Some((name.clone(), text.as_str()?.to_owned()))).collect()
}

/// `MicroTime` of the Kubernetes API: six digits after the point.
fn micro_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
