//! Long-running operations and their status URLs.
//!
//! Operations end by being read, not by time: the sandbox has no clock of its own, and a test must
//! not wait. Every access to an object (a poll, a GET, a list, even a refused write) advances its
//! operation by one step, so nothing stays locked when a client goes away.

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::errors::{ArmError, OperationFailure};
use super::index::key;
use super::kind::{Kind, Provider};
use super::path::OperationUrl;
use super::{ArmContext, ArmStore, responses};
use crate::resource::ArmId;

/// The number of ended operations whose status remains available.
const MAX_ENDED_OPERATIONS: usize = 512;

/// The effect of an operation when it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum OperationEffect {
    Write,
    Delete,
    /// It returns a computed value.
    Value(Value),
}

/// A running or ended operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) provider: Provider,
    pub(super) subscription: String,
    pub(super) location: String,
    pub(super) api_version: String,
    /// The object that is locked while the operation runs.
    pub(super) owner: ArmId,
    /// The object or child that is written.
    pub(super) target: ArmId,
    pub(super) effect: OperationEffect,
    pub(super) steps_left: u32,
    pub(super) started: Timestamp,
    pub(super) ended: Option<Timestamp>,
    pub(super) failure: Option<OperationFailure>,
}

impl Operation {
    /// The query part of the operation's URL.
    ///
    /// URLs of the network provider carry a signature of more than three kilobytes, which the
    /// client must send back unchanged.
    fn query(&self) -> String {
        match self.provider {
            Provider::Network => format!(
                "api-version={}&t={}&c={}&s={}&h={}",
                self.api_version,
                self.started.as_microsecond(),
                fake_signature(&self.id, 'c', 3000),
                fake_signature(&self.id, 's', 342),
                fake_signature(&self.id, 'h', 43),
            ),
            // AKS returns its own API version, independent of the request's.
            Provider::ContainerService => "api-version=2017-08-31".to_owned(),
            Provider::Compute | Provider::Resources => format!("api-version={}", self.api_version),
        }
    }

    /// The status URL.
    pub(super) fn status_url(&self, base: &str) -> String {
        format!("{}/operations/{}?{}", self.base_url(base), self.id, self.query())
    }

    /// The result URL.
    pub(super) fn result_url(&self, base: &str) -> String {
        match self.provider {
            Provider::Resources => format!(
                "{base}/subscriptions/{}/operationresults/{}?{}",
                self.subscription,
                self.id,
                self.query()
            ),
            Provider::Compute => {
                format!(
                    "{}/operations/{}?monitor=true&{}",
                    self.base_url(base),
                    self.id,
                    self.query()
                )
            }
            Provider::Network => {
                format!("{}/operationResults/{}?{}", self.base_url(base), self.id, self.query())
            }
            Provider::ContainerService => {
                format!("{}/operationresults/{}?{}", self.base_url(base), self.id, self.query())
            }
        }
    }

    fn base_url(&self, base: &str) -> String {
        format!(
            "{base}/subscriptions/{}/providers/{}/locations/{}",
            self.subscription,
            self.provider.namespace(),
            self.location
        )
    }

    fn status_body(&self) -> Value {
        let status = match (&self.ended, &self.failure) {
            (None, _) => "InProgress",
            (Some(_), None) => "Succeeded",
            (Some(_), Some(_)) => "Failed",
        };
        let mut body = json!({"status": status});
        if self.provider != Provider::Network {
            body["startTime"] = json!(self.started.to_string());
            body["name"] = match self.provider {
                Provider::ContainerService => json!(swap_guid_bytes(&self.id)),
                _ => json!(self.id),
            };
            if let Some(ended) = self.ended {
                body["endTime"] = json!(ended.to_string());
            }
        }
        if let (Some(_), Some(failure)) = (self.ended, &self.failure) {
            body["error"] = failure.body();
        }
        body
    }

    /// The name of the operation in Azure's error for a write that must wait for it.
    pub(super) fn verb(&self) -> String {
        let resource_type = self.target.resource_type().unwrap_or_default();
        let last = resource_type.rsplit('/').next().unwrap_or_default();
        let singular = last.strip_suffix("es").filter(|_| last.ends_with("sses"));
        let singular = singular.or_else(|| last.strip_suffix('s')).unwrap_or(last);
        let mut letters = singular.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        let name: String = first.into_iter().chain(letters).collect();
        let action = if self.effect == OperationEffect::Delete { "Delete" } else { "Put" };
        format!("{action}{name}Operation")
    }
}

/// The parameters of a new operation.
pub(super) struct OperationStart<'a> {
    pub(super) kind: Kind,
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

fn operation_id(kind: Kind, location: &str, context: &mut ArmContext<'_>) -> String {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    let guid = (context.guid)();
    if kind != Kind::ResourceGroup {
        return guid;
    }
    let job = json!({
        "jobId": format!("RESOURCEGROUPDELETIONJOB-{}-{location}", guid.to_ascii_uppercase()),
        "jobLocation": location,
    });
    URL_SAFE_NO_PAD.encode(job.to_string())
}

/// A GUID whose first three groups are in the opposite byte order.
fn swap_guid_bytes(guid: &str) -> String {
    let groups = guid.split('-').enumerate().map(|(index, group)| {
        if index > 2 || !group.is_ascii() {
            return group.to_owned();
        }
        let pairs: Vec<&str> =
            (0..group.len() / 2).rev().map(|pair| &group[pair * 2..pair * 2 + 2]).collect();
        pairs.concat()
    });
    groups.collect::<Vec<_>>().join("-")
}

/// Characters that look like a signature. They are a function of seed and salt.
fn fake_signature(seed: &str, salt: char, length: usize) -> String {
    const SIGNATURE_ALPHABET: &[u8] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = seed.bytes().fold(salt as u64 | 1, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(SIGNATURE_ALPHABET[(state >> 58) as usize])
    };
    (0..length).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aks_swaps_the_byte_order_of_guids() {
        assert_eq!(
            swap_guid_bytes("31afdd8f-b6bb-4c9d-a359-0123456789ab"),
            "8fddaf31-bbb6-9d4c-a359-0123456789ab"
        );
    }

    #[test]
    fn polls_return_retry_after() {
        use crate::sandbox::arm::test_client::{TestClient, network};

        let mut client = TestClient::new();
        let path = network("routeTables/t");
        client.make(&path, json!({"location": "westeurope"}));
        client.pause = 7;
        let url = client.delete(&path).header("azure-asyncoperation").unwrap().to_owned();
        let polled = client.get(&url);
        assert_eq!(polled.body["status"], "InProgress");
        assert_eq!(polled.header("retry-after"), Some("7"));
    }

    #[test]
    fn a_fake_signature_is_stable() {
        assert_eq!(fake_signature("a", 'c', 40), fake_signature("a", 'c', 40));
        assert_ne!(fake_signature("a", 'c', 40), fake_signature("b", 'c', 40));
    }
}
