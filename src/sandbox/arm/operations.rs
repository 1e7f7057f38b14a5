//! The running and the ended operations.
//!
//! Operations end by being read, not by time: the sandbox has no clock of its own, and a test must
//! not wait. Every access to an object (a poll, a GET, a list, even a refused write) advances its
//! operation by one step, so nothing stays locked when a client goes away.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::json;

use super::errors::ArmError;
use super::index::key;
use super::kind::{ArmKind, Provider};
use super::operation::{Operation, OperationEffect};
use super::path::OperationUrl;
use super::{ArmContext, ArmStore, responses};
use crate::resource::ArmId;

/// The number of ended operations whose status remains available.
const MAX_ENDED_OPERATIONS: usize = 512;

/// The parameters of a new operation.
pub(super) struct OperationStart<'a> {
    pub(super) kind: ArmKind,
    pub(super) subscription: &'a str,
    pub(super) location: &'a str,
    pub(super) api_version: &'a str,
    pub(super) owner: &'a ArmId,
    pub(super) target: &'a ArmId,
    pub(super) effect: OperationEffect,
}

impl ArmStore {
    /// Starts an operation and locks its object.
    pub(super) fn begin(
        &mut self,
        start: OperationStart<'_>,
        context: &mut ArmContext<'_>,
    ) -> Operation {
        let provider = start.kind.provider();
        let id = operation_id(start.kind, start.location, context);
        let steps_left = match (&start.effect, provider) {
            (OperationEffect::Write, Provider::Network) | (OperationEffect::Value(_), _) => 1,
            _ => 2,
        };
        let failure = match start.effect {
            OperationEffect::Value(_) => None,
            _ => self.planned_failures.remove(&key(start.target)),
        };
        let locks = !matches!(start.effect, OperationEffect::Value(_));
        let operation = Operation {
            id: id.clone(),
            provider,
            subscription: start.subscription.to_owned(),
            location: start.location.to_owned(),
            api_version: start.api_version.to_owned(),
            owner: start.owner.clone(),
            target: start.target.clone(),
            effect: start.effect,
            steps_left,
            started: context.now,
            ended: None,
            failure,
        };
        if locks {
            self.running.insert(key(start.owner), id.clone());
        }
        self.operations.insert(id, operation.clone());
        operation
    }

    /// The running operation of an object.
    pub(super) fn running(&self, owner: &ArmId) -> Option<&Operation> {
        self.operations.get(self.running.get(&key(owner))?)
    }

    /// Advances the operation of an object by one step.
    pub(super) fn step_object(&mut self, owner: &ArmId, context: &mut ArmContext<'_>) {
        if let Some(id) = self.running.get(&key(owner)).cloned() {
            self.step(&id, context);
        }
    }

    fn step(&mut self, id: &str, context: &mut ArmContext<'_>) {
        let Some(operation) = self.operations.get_mut(id) else { return };
        if operation.ended.is_some() {
            return;
        }
        operation.steps_left = operation.steps_left.saturating_sub(1);
        if operation.steps_left > 0 {
            return;
        }
        operation.ended = Some(context.now);
        let operation = operation.clone();
        let owner = key(&operation.owner);
        if self.running.get(&owner).is_some_and(|running| running == id) {
            self.running.remove(&owner);
        }
        self.remember(id);
        match operation.effect {
            OperationEffect::Write => self.end_write(&operation, context),
            OperationEffect::Delete => self.end_delete(&operation, context),
            OperationEffect::Power(change) => self.end_power(&operation, change, context),
            OperationEffect::Value(_) => {}
        }
    }

    fn remember(&mut self, id: &str) {
        self.ended.push_back(id.to_owned());
        if self.ended.len() > MAX_ENDED_OPERATIONS
            && let Some(oldest) = self.ended.pop_front()
        {
            self.operations.remove(&oldest);
        }
    }

    /// Handles a poll.
    pub(super) fn poll(
        &mut self,
        id: &str,
        url: OperationUrl,
        query: &str,
        context: &mut ArmContext<'_>,
    ) -> Result<Response<Bytes>, ArmError> {
        let known = self.operations.get(id).is_some_and(|operation| {
            operation.provider != Provider::Network || operation.query() == query
        });
        if !known {
            let message = format!("The operation '{id}' could not be found.");
            return Err(ArmError::new(StatusCode::NOT_FOUND, "OperationNotFound", message));
        }
        self.step(id, context);
        let Some(operation) = self.operations.get(id) else {
            return Ok(responses::empty(StatusCode::NO_CONTENT));
        };
        let url = if query.contains("monitor=true") { OperationUrl::Result } else { url };
        let mut response = match url {
            OperationUrl::Status => responses::json(StatusCode::OK, &operation.status_body()),
            OperationUrl::Result => result(operation, context.base_url),
        };
        responses::header(&mut response, "retry-after", &context.pause.to_string());
        Ok(response)
    }
}

fn result(operation: &Operation, base: &str) -> Response<Bytes> {
    let url = operation.result_url(base);
    if operation.ended.is_none() {
        let mut response = responses::empty(StatusCode::ACCEPTED);
        responses::header(&mut response, "location", &url);
        return response;
    }
    if let Some(failure) = &operation.failure {
        return responses::json(StatusCode::CONFLICT, &json!({"error": failure.body()}));
    }
    match (&operation.effect, operation.provider) {
        (OperationEffect::Value(value), _) => {
            // The result also has a Location header, which does not mean that the operation
            // continues.
            let mut response = responses::json(StatusCode::OK, value);
            responses::header(&mut response, "location", &url);
            response
        }
        (_, Provider::Resources) => responses::empty(StatusCode::OK),
        (_, Provider::Compute) => responses::empty(StatusCode::OK),
        _ => responses::empty(StatusCode::NO_CONTENT),
    }
}

fn operation_id(kind: ArmKind, location: &str, context: &mut ArmContext<'_>) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let guid = (context.guid)();
    if kind != ArmKind::ResourceGroup {
        return guid;
    }
    let job = json!({
        "jobId": format!("RESOURCEGROUPDELETIONJOB-{}-{location}", guid.to_ascii_uppercase()),
        "jobLocation": location,
    });
    URL_SAFE_NO_PAD.encode(job.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::arm::test_client::{TestClient, network};

    #[test]
    fn polls_return_retry_after() {
        let mut client = TestClient::new();
        let path = network("routeTables/t");
        client.make(&path, json!({"location": "westeurope"}));
        client.pause = 7;
        let url = client.delete(&path).header("azure-asyncoperation").unwrap().to_owned();
        let polled = client.get(&url);
        assert_eq!(polled.body["status"], "InProgress");
        assert_eq!(polled.header("retry-after"), Some("7"));
    }
}
