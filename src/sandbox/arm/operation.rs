//! A long-running operation: its URLs and its status.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::errors::OperationFailure;
use super::kind::Provider;
use super::power_state::PowerChange;
use crate::resource::ArmId;

/// The effect of an operation when it ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum OperationEffect {
    Write,
    Delete,
    /// It changes the power state.
    Power(PowerChange),
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
    pub(super) fn query(&self) -> String {
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

    pub(super) fn status_body(&self) -> Value {
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
    fn a_fake_signature_is_stable() {
        assert_eq!(fake_signature("a", 'c', 40), fake_signature("a", 'c', 40));
        assert_ne!(fake_signature("a", 'c', 40), fake_signature("b", 'c', 40));
    }
}
