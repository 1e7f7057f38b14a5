//! The Operations of the cluster: requests of people, and records of stargate.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::error::ClusterError;
use super::operation_status::RequestStatus;
use super::records::{ORIGIN_LABEL, ORIGIN_RECORD, ORIGIN_REQUEST, OperationPhase, SERVER_LABEL};
use super::request::{Collection, MAX_WRITES, apis};
use super::{ClusterClient, text_at};
use crate::diagnostics::Code;
use crate::resource::Ownership;
use crate::resource::custom_resources::NAMESPACE;
use crate::resource::names::WorkerName;
use crate::resource::ownership::{FIELD_MANAGER, TOPOLOGY_LABEL};
use crate::resource::work_request::{EarlierAttempt, RequestedOperation};

/// The finalizer of an Operation that was started: its worker must not be left drained.
const FINALIZER: &str = "stargate.io/operation";

/// The creator of an Operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationOrigin {
    /// A person, as a request.
    Request,
    /// stargate, as the record of work that a command line requested.
    Record,
    /// A person, with the labels of a record: a copy of one.
    CopiedRecord,
}

impl OperationOrigin {
    /// The origin of an object. A record of an earlier version has no label for it: then
    /// the label that names the worker counts, which only records had, or that stargate
    /// wrote the spec.
    pub fn of(object: &Value) -> Self {
        let metadata = &object["metadata"];
        let labels = &metadata["labels"];
        let is_record = match labels[ORIGIN_LABEL].as_str() {
            Some(ORIGIN_RECORD) => true,
            Some(_) => false,
            None => !labels[SERVER_LABEL].is_null(),
        };
        let managers = spec_managers(metadata);
        match managers.contains(FIELD_MANAGER) {
            true => Self::Record,
            false if !is_record => Self::Request,
            false if !managers.is_empty() && object["status"]["phase"].is_null() => {
                Self::CopiedRecord
            }
            false => Self::Record,
        }
    }
}

/// The field managers that wrote the spec; none if the object does not say.
fn spec_managers(metadata: &Value) -> BTreeSet<&str> {
    let entries = metadata["managedFields"].as_array().into_iter().flatten();
    entries
        .filter(|entry| entry["fieldsV1"]["f:spec"].is_object())
        .filter_map(|entry| entry["manager"].as_str())
        .collect()
}

/// An Operation as it is in the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperationObject {
    /// The name of its object.
    pub name: String,
    /// The identity of its object.
    pub uid: String,
    /// The creator.
    pub origin: OperationOrigin,
    /// The topology that its labels name.
    pub ownership: Ownership,
    /// Whether its labels name the topology and the origin.
    pub is_claimed: bool,
    /// The Server that it names.
    pub server: String,
    /// The ProvisioningProfile that it names.
    pub profile: String,
    /// The operation, as in `repave`.
    pub operation: String,
    /// The generation of its spec.
    pub generation: i64,
    /// When it was created.
    pub created: Timestamp,
    /// Whether it is being deleted.
    pub is_deleting: bool,
    /// Whether the finalizer of a started Operation holds it.
    pub is_held: bool,
    /// Its phase; `None` before the first status.
    pub phase: Option<OperationPhase>,
    /// The reason of its phase.
    pub reason: String,
    /// The message of its status.
    pub message: String,
    /// The generation that its status is about.
    pub observed_generation: Option<i64>,
    /// The start of the first attempt.
    pub started: Option<Timestamp>,
    /// When it ended.
    pub completed: Option<Timestamp>,
    /// How many attempts were started.
    pub attempts: u32,
    /// The uid of the Node before the work.
    pub node_uid: Option<String>,
    /// The boot of the machine before its restart.
    pub boot_id: Option<String>,
}

impl OperationObject {
    /// Whether its labels name another topology.
    pub fn is_of_other_topology(&self) -> bool {
        matches!(self.ownership, Ownership::OtherTopology { .. })
    }

    /// Whether nothing follows.
    pub fn is_finished(&self) -> bool {
        self.phase.is_some_and(OperationPhase::is_final)
    }

    /// Whether work was started and has not ended.
    pub fn is_started(&self) -> bool {
        !self.is_finished() && (self.is_held || self.phase == Some(OperationPhase::Running))
    }

    /// The fields of its status that only a request has, as they were read.
    pub fn request_status(&self) -> RequestStatus {
        RequestStatus {
            uid: self.uid.clone(),
            requested: self.created,
            generation: self.generation,
            attempts: self.attempts,
        }
    }

    /// The request, with the progress of an interrupted attempt from its status.
    pub fn requested(&self) -> RequestedOperation {
        let earlier = self.is_started().then(|| EarlierAttempt {
            started: self.started.unwrap_or(self.created),
            attempts: self.attempts,
            node_uid: self.node_uid.clone(),
            boot_id: self.boot_id.clone(),
        });
        RequestedOperation {
            name: self.name.clone(),
            uid: self.uid.clone(),
            generation: self.generation,
            requested: self.created,
            earlier,
        }
    }
}

/// Whether an Operation may be carried through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OperationStart {
    /// It is held by the finalizer from now on.
    Started,
    /// It was deleted before it was started.
    Cancelled,
}

impl ClusterClient {
    /// Every Operation, regardless of its owner and origin; empty if the cluster does not
    /// know the kind yet.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn operations(&self) -> Result<Vec<OperationObject>, ClusterError> {
        let objects = self.all_operations().list_if_served().await?;
        Ok(objects.iter().map(|object| self.operation(object)).collect())
    }

    pub(super) fn operation(&self, object: &Value) -> OperationObject {
        let (metadata, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
        let time = |value: &Value| value.as_str().and_then(|text| text.parse().ok());
        let text = |value: &Value| value.as_str().filter(|it| !it.is_empty()).map(str::to_owned);
        let conditions = status["conditions"].as_array().into_iter().flatten();
        let mut complete = conditions.filter(|condition| condition["type"] == "Complete");
        let labels = &metadata["labels"];
        let topology = labels[TOPOLOGY_LABEL].as_str();
        OperationObject {
            name: text_at(metadata, "name"),
            uid: text_at(metadata, "uid"),
            origin: OperationOrigin::of(object),
            ownership: self.ownership_of(object),
            is_claimed: topology == Some(self.owner.topology.as_str())
                && labels[ORIGIN_LABEL] == ORIGIN_REQUEST,
            server: text_at(&spec["serverRef"], "name"),
            profile: text_at(&spec["provisioningProfileRef"], "name"),
            operation: text_at(spec, "operation"),
            generation: metadata["generation"].as_i64().unwrap_or(1),
            created: time(&metadata["creationTimestamp"]).unwrap_or_default(),
            is_deleting: !metadata["deletionTimestamp"].is_null(),
            is_held: finalizers(metadata).contains(&FINALIZER),
            phase: status["phase"].as_str().and_then(OperationPhase::of),
            reason: complete.next().map(|it| text_at(it, "reason")).unwrap_or_default(),
            message: text_at(status, "message"),
            observed_generation: status["observedGeneration"].as_i64(),
            started: time(&status["startTime"]),
            completed: time(&status["completionTime"]),
            attempts: status["attempts"].as_u64().and_then(|it| it.try_into().ok()).unwrap_or(0),
            node_uid: text(&status["nodeUID"]),
            boot_id: text(&status["bootID"]),
        }
    }

    /// Marks a request as one of the topology. One that is absent, or that another object of
    /// its name has replaced, is no error.
    ///
    /// # Errors
    ///
    /// The cluster did not respond, or refused.
    pub async fn claim_operation(
        &self,
        operation: &OperationObject,
        worker: Option<&WorkerName>,
    ) -> Result<(), ClusterError> {
        let mut labels = json!({
            TOPOLOGY_LABEL: self.owner.topology, ORIGIN_LABEL: ORIGIN_REQUEST,
        });
        if let Some(worker) = worker {
            labels[SERVER_LABEL] = json!(worker);
        }
        let patch = json!({ "metadata": { "uid": operation.uid, "labels": labels } });
        let operations = self.all_operations();
        match operations.merge(&operation.name, &patch).await {
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            // The API server answers 422 and not 409 to a patch with the uid of another object.
            Err(error) if error.code == Code::InvalidRequest => {
                let present = operations.get(&operation.name).await?;
                let is_same = |it: &Value| it["metadata"]["uid"] == operation.uid.as_str();
                if present.as_ref().is_some_and(is_same) { Err(error) } else { Ok(()) }
            }
            claimed => claimed.map(|_| ()),
        }
    }

    /// Holds an Operation by the finalizer before its work begins.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn start_operation(
        &self,
        requested: &RequestedOperation,
    ) -> Result<OperationStart, ClusterError> {
        let operations = self.all_operations();
        let mut conflict = None;
        for _ in 0..MAX_WRITES {
            let Some(object) = operations.get(&requested.name).await? else {
                return Ok(OperationStart::Cancelled);
            };
            let metadata = &object["metadata"];
            if metadata["uid"] != requested.uid.as_str() {
                return Ok(OperationStart::Cancelled);
            }
            let mut finalizers = finalizers(metadata);
            if finalizers.contains(&FINALIZER) {
                return Ok(OperationStart::Started);
            }
            if !metadata["deletionTimestamp"].is_null() {
                return Ok(OperationStart::Cancelled);
            }
            finalizers.push(FINALIZER);
            match operations.merge(&requested.name, &with_finalizers(metadata, &finalizers)).await {
                Ok(_) => return Ok(OperationStart::Started),
                Err(error) if error.is_not_found() => return Ok(OperationStart::Cancelled),
                Err(error) if error.is_conflict() => conflict = Some(error),
                Err(error) => return Err(error),
            }
        }
        conflict.map_or(Ok(OperationStart::Cancelled), Err)
    }

    /// Releases the Operation of this uid from the finalizer once its work has ended.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn release_operation(&self, name: &str, uid: &str) -> Result<(), ClusterError> {
        let operations = self.all_operations();
        let mut conflict = None;
        for _ in 0..MAX_WRITES {
            let Some(object) = operations.get(name).await? else { return Ok(()) };
            let metadata = &object["metadata"];
            let mut finalizers = finalizers(metadata);
            if metadata["uid"] != uid || !finalizers.contains(&FINALIZER) {
                return Ok(());
            }
            finalizers.retain(|finalizer| *finalizer != FINALIZER);
            match operations.merge(name, &with_finalizers(metadata, &finalizers)).await {
                Err(error) if error.is_conflict() => conflict = Some(error),
                Err(error) if !error.is_not_found() => return Err(error),
                _ => return Ok(()),
            }
        }
        conflict.map_or(Ok(()), Err)
    }

    /// Deletes the Operation of this uid, held or not; one that is not there is fine, and a
    /// later one of the same name stays.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn delete_operation(&self, name: &str, uid: &str) -> Result<(), ClusterError> {
        self.release_operation(name, uid).await?;
        match self.all_operations().delete_uid(name, uid).await {
            Err(error) if !error.is_conflict() => Err(error),
            _ => Ok(()),
        }
    }

    pub(super) fn all_operations(&self) -> Collection {
        self.collection(apis::OPERATION, Some(NAMESPACE))
    }
}

fn finalizers(metadata: &Value) -> Vec<&str> {
    let list = metadata["finalizers"].as_array().into_iter().flatten();
    list.filter_map(Value::as_str).collect()
}

/// Sets the finalizers of exactly the version that was read.
fn with_finalizers(metadata: &Value, finalizers: &[&str]) -> Value {
    json!({ "metadata": {
        "uid": metadata["uid"],
        "resourceVersion": metadata["resourceVersion"],
        "finalizers": finalizers,
    }})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written_by(manager: &str, labels: &Value, status: &Value) -> OperationOrigin {
        let fields = json!([
            { "manager": manager, "operation": "Update", "fieldsV1": { "f:spec": {} } },
            { "manager": "stargate", "subresource": "status",
              "fieldsV1": { "f:status": {} } },
        ]);
        let metadata = json!({ "labels": labels, "managedFields": fields });
        OperationOrigin::of(&json!({ "metadata": metadata, "status": status }))
    }

    #[test]
    fn a_record_of_any_version_is_no_request() {
        let (earlier, record) =
            (json!({ SERVER_LABEL: "w" }), json!({ SERVER_LABEL: "w", ORIGIN_LABEL: "record" }));
        let (none, running) = (json!({}), json!({ "phase": "Running" }));
        for labels in [&earlier, &record, &none] {
            for status in [&none, &running] {
                assert_eq!(written_by("stargate", labels, status), OperationOrigin::Record);
                let without_managers =
                    json!({ "metadata": { "labels": labels }, "status": status });
                let expected = match labels == &none {
                    true => OperationOrigin::Request,
                    false => OperationOrigin::Record,
                };
                assert_eq!(OperationOrigin::of(&without_managers), expected);
            }
        }
        // Created by stargate, and its status not yet written.
        assert_eq!(written_by("stargate", &record, &Value::Null), OperationOrigin::Record);
    }

    #[test]
    fn an_object_of_a_person_is_a_request_unless_it_copies_a_record() {
        let claimed = json!({ SERVER_LABEL: "w", ORIGIN_LABEL: "request" });
        for labels in [json!({}), json!({ "team": "a" }), claimed] {
            let origin = written_by("kubectl-client-side-apply", &labels, &json!({}));
            assert_eq!(origin, OperationOrigin::Request, "{labels}");
        }
        for labels in [json!({ SERVER_LABEL: "w" }), json!({ ORIGIN_LABEL: "record" })] {
            let origin = written_by("kubectl", &labels, &json!({}));
            assert_eq!(origin, OperationOrigin::CopiedRecord, "{labels}");
            // As restored from a backup.
            let origin = written_by("velero-server", &labels, &json!({ "phase": "Succeeded" }));
            assert_eq!(origin, OperationOrigin::Record, "{labels}");
        }
    }
}
