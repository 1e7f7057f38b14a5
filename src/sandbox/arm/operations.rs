//! Long-running operations and the URLs that tell of them.
//!
//! They end by being looked at, not by time: the sandbox has no clock of its
//! own, and a test must not wait. Every look at an object — a poll, a GET, a
//! list, even a refused write — brings its operation one step on, so nothing
//! stays locked behind a client that went away.

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::errors::{ArmError, Failure};
use super::index::key;
use super::kind::{Kind, Provider};
use super::path::Face;
use super::{ArmContext, ArmStore, answers};
use crate::resource::ArmId;

/// How many ended operations can still be asked for.
const REMEMBERED: usize = 512;

/// What an operation does when it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Work {
    Write,
    Delete,
    /// It only computes this.
    Answer(Value),
}

/// A running or ended operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Operation {
    pub(super) id: String,
    pub(super) provider: Provider,
    pub(super) subscription: String,
    pub(super) location: String,
    pub(super) api_version: String,
    /// The object that is locked meanwhile.
    pub(super) owner: ArmId,
    /// The object or the child that was written.
    pub(super) target: ArmId,
    pub(super) work: Work,
    pub(super) steps_left: u32,
    pub(super) started: Timestamp,
    pub(super) ended: Option<Timestamp>,
    pub(super) failure: Option<Failure>,
}

impl Operation {
    /// The part of the URL behind `?`.
    ///
    /// The network's carries a signature of more than three kilobytes, which
    /// must come back as it was given.
    fn query(&self) -> String {
        match self.provider {
            Provider::Network => format!(
                "api-version={}&t={}&c={}&s={}&h={}",
                self.api_version,
                self.started.as_microsecond(),
                filler(&self.id, 'c', 3000),
                filler(&self.id, 's', 342),
                filler(&self.id, 'h', 43),
            ),
            // AKS answers with a version of its own, whatever it was asked with.
            Provider::ContainerService => "api-version=2017-08-31".to_owned(),
            Provider::Compute | Provider::Resources => format!("api-version={}", self.api_version),
        }
    }

    /// Where its status is.
    pub(super) fn status_url(&self, base: &str) -> String {
        format!("{}/operations/{}?{}", self.place(base), self.id, self.query())
    }

    /// Where its result is.
    pub(super) fn result_url(&self, base: &str) -> String {
        match self.provider {
            Provider::Resources => format!(
                "{base}/subscriptions/{}/operationresults/{}?{}",
                self.subscription,
                self.id,
                self.query()
            ),
            Provider::Compute => {
                format!("{}/operations/{}?monitor=true&{}", self.place(base), self.id, self.query())
            }
            Provider::Network => {
                format!("{}/operationResults/{}?{}", self.place(base), self.id, self.query())
            }
            Provider::ContainerService => {
                format!("{}/operationresults/{}?{}", self.place(base), self.id, self.query())
            }
        }
    }

    fn place(&self, base: &str) -> String {
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
                Provider::ContainerService => json!(swapped(&self.id)),
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

    /// What Azure calls it when another write has to wait for it.
    pub(super) fn verb(&self) -> String {
        let resource_type = self.target.resource_type().unwrap_or_default();
        let last = resource_type.rsplit('/').next().unwrap_or_default();
        let singular = last.strip_suffix("es").filter(|_| last.ends_with("sses"));
        let singular = singular.or_else(|| last.strip_suffix('s')).unwrap_or(last);
        let mut letters = singular.chars();
        let first = letters.next().map(|letter| letter.to_ascii_uppercase());
        let name: String = first.into_iter().chain(letters).collect();
        let action = if self.work == Work::Delete { "Delete" } else { "Put" };
        format!("{action}{name}Operation")
    }
}

/// What starts an operation.
pub(super) struct Start<'a> {
    pub(super) kind: Kind,
    pub(super) subscription: &'a str,
    pub(super) location: &'a str,
    pub(super) api_version: &'a str,
    pub(super) owner: &'a ArmId,
    pub(super) target: &'a ArmId,
    pub(super) work: Work,
}

impl ArmStore {
    /// Starts an operation and locks its object.
    pub(super) fn begin(&mut self, start: Start<'_>, context: &mut ArmContext<'_>) -> Operation {
        let provider = start.kind.provider();
        let id = operation_id(start.kind, start.location, context);
        let steps_left = match (&start.work, provider) {
            (Work::Write, Provider::Network) | (Work::Answer(_), _) => 1,
            _ => 2,
        };
        let failure = match start.work {
            Work::Answer(_) => None,
            _ => self.planned_failures.remove(&key(start.target)),
        };
        let locks = !matches!(start.work, Work::Answer(_));
        let operation = Operation {
            id: id.clone(),
            provider,
            subscription: start.subscription.to_owned(),
            location: start.location.to_owned(),
            api_version: start.api_version.to_owned(),
            owner: start.owner.clone(),
            target: start.target.clone(),
            work: start.work,
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

    /// The operation that an object is in.
    pub(super) fn running(&self, owner: &ArmId) -> Option<&Operation> {
        self.operations.get(self.running.get(&key(owner))?)
    }

    /// Brings the operation of an object one step on.
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
        match operation.work {
            Work::Write => self.end_write(&operation, context),
            Work::Delete => self.end_delete(&operation, context),
            Work::Answer(_) => {}
        }
    }

    fn remember(&mut self, id: &str) {
        self.ended.push_back(id.to_owned());
        if self.ended.len() > REMEMBERED
            && let Some(oldest) = self.ended.pop_front()
        {
            self.operations.remove(&oldest);
        }
    }

    /// Answers a poll.
    pub(super) fn poll(
        &mut self,
        id: &str,
        face: Face,
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
            return Ok(answers::empty(StatusCode::NO_CONTENT));
        };
        let face = if query.contains("monitor=true") { Face::Result } else { face };
        let mut response = match face {
            Face::Status => answers::json(StatusCode::OK, &operation.status_body()),
            Face::Result => result(operation, context.base_url),
        };
        answers::header(&mut response, "retry-after", &context.pause.to_string());
        Ok(response)
    }
}

fn result(operation: &Operation, base: &str) -> Response<Bytes> {
    let url = operation.result_url(base);
    if operation.ended.is_none() {
        let mut response = answers::empty(StatusCode::ACCEPTED);
        answers::header(&mut response, "location", &url);
        return response;
    }
    if let Some(failure) = &operation.failure {
        return answers::json(StatusCode::CONFLICT, &json!({"error": failure.body()}));
    }
    match (&operation.work, operation.provider) {
        (Work::Answer(value), _) => {
            // The result still names a Location: having one does not mean to go on.
            let mut response = answers::json(StatusCode::OK, value);
            answers::header(&mut response, "location", &url);
            response
        }
        (_, Provider::Resources) => answers::empty(StatusCode::OK),
        (_, Provider::Compute) => answers::empty(StatusCode::OK),
        _ => answers::empty(StatusCode::NO_CONTENT),
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

/// A GUID whose first three groups are read in the other byte order.
fn swapped(guid: &str) -> String {
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

/// Letters that look like a signature and are the same for the same seed.
fn filler(seed: &str, salt: char, length: usize) -> String {
    const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = seed.bytes().fold(salt as u64 | 1, |state, byte| {
        (state ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        char::from(LETTERS[(state >> 58) as usize])
    };
    (0..length).map(|_| next()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aks_reads_the_first_groups_in_the_other_order() {
        assert_eq!(
            swapped("31afdd8f-b6bb-4c9d-a359-0123456789ab"),
            "8fddaf31-bbb6-9d4c-a359-0123456789ab"
        );
    }

    #[test]
    fn who_polls_is_told_how_long_to_wait() {
        use crate::sandbox::arm::testing::{Driver, network};

        let mut driver = Driver::new();
        let path = network("routeTables/t");
        driver.make(&path, json!({"location": "westeurope"}));
        driver.pause = 7;
        let url = driver.delete(&path).header("azure-asyncoperation").unwrap().to_owned();
        let polled = driver.get(&url);
        assert_eq!(polled.body["status"], "InProgress");
        assert_eq!(polled.header("retry-after"), Some("7"));
    }

    #[test]
    fn a_filler_is_stable() {
        assert_eq!(filler("a", 'c', 40), filler("a", 'c', 40));
        assert_ne!(filler("a", 'c', 40), filler("b", 'c', 40));
    }
}
