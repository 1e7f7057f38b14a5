//! Bootstrap tokens: one a worker and a join, an hour at most.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;

use super::error::{About, ClusterError};
use super::request::{Collection, apis};
use super::{ClusterClient, text_at};
use crate::provider::secret::Secret;
use crate::resource::kubernetes::BOOTSTRAP_GROUP;
use crate::resource::names::WorkerName;
use crate::resource::ownership::TOPOLOGY_LABEL;

/// The label that names the worker that a token is for.
const WORKER_LABEL: &str = "stargate.io/bootstrap-token-for";
/// When a token ends, readable without reading the token.
const EXPIRY_ANNOTATION: &str = "stargate.io/expires";
/// The longest that a token lives.
const LIFETIME: Duration = Duration::from_secs(3600);
const KUBE_SYSTEM: &str = "kube-system";
const ALPHABET: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";

/// A bootstrap token that was just made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapToken {
    /// The public part; its user is `system:bootstrap:<id>`.
    pub id: String,
    /// The whole token, as a kubelet presents it: `<id>.<secret>`.
    pub secret: Secret,
}

impl ClusterClient {
    /// Makes a token for a worker, which lives for an hour and can only be
    /// authenticated with.
    ///
    /// # Errors
    ///
    /// The cluster did not answer or refused, or the system has no randomness.
    pub async fn create_bootstrap_token(
        &self,
        worker: &WorkerName,
        now: Timestamp,
    ) -> Result<BootstrapToken, ClusterError> {
        let about = About::new("create", "bootstrap token", worker.as_str());
        let (id, secret) = (random_text(6, &about)?, random_text(16, &about)?);
        let expires = expiry(now, &about)?;
        let name = secret_name(&id);
        let object = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "bootstrap.kubernetes.io/token",
            "metadata": {
                "name": name,
                "namespace": KUBE_SYSTEM,
                "labels": { TOPOLOGY_LABEL: self.owner.topology, WORKER_LABEL: worker },
                "annotations": { EXPIRY_ANNOTATION: expires },
            },
            "stringData": {
                "token-id": id,
                "token-secret": secret,
                "description": format!("stargate: worker {worker} joins"),
                "expiration": expires,
                "usage-bootstrap-authentication": "true",
                "auth-extra-groups": BOOTSTRAP_GROUP,
            },
        });
        self.tokens().create(&name, &object).await?;
        let secret = Secret::new(format!("{id}.{secret}"));
        Ok(BootstrapToken { id, secret })
    }

    /// Deletes a token; one that is not there is fine.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn delete_bootstrap_token(&self, id: &str) -> Result<(), ClusterError> {
        self.tokens().delete(&secret_name(id)).await
    }

    /// Deletes this topology's expired tokens and all tokens of one worker;
    /// returns their number.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn delete_stale_bootstrap_tokens(
        &self,
        worker: Option<&WorkerName>,
        now: Timestamp,
    ) -> Result<usize, ClusterError> {
        let selector = format!("{TOPOLOGY_LABEL}={},{WORKER_LABEL}", self.owner.topology);
        let tokens = self.tokens();
        let mut deleted = 0;
        for token in tokens.list(Some(&selector), None).await? {
            let metadata = &token["metadata"];
            let of_worker =
                worker.is_some_and(|worker| metadata["labels"][WORKER_LABEL] == worker.as_str());
            let expires = metadata["annotations"][EXPIRY_ANNOTATION].as_str();
            let expired = expires
                .and_then(|text| text.parse::<Timestamp>().ok())
                .is_none_or(|expires| expires <= now);
            if of_worker || expired {
                tokens.delete(&text_at(metadata, "name")).await?;
                deleted += 1;
            }
        }
        Ok(deleted)
    }

    fn tokens(&self) -> Collection {
        self.collection(apis::SECRET, Some(KUBE_SYSTEM))
    }
}

fn secret_name(id: &str) -> String {
    format!("bootstrap-token-{id}")
}

fn expiry(now: Timestamp, about: &About) -> Result<String, ClusterError> {
    let out_of_range = |error| about.local(format!("the clock is out of range: {error}"));
    now.checked_add(LIFETIME).map(whole_seconds).map_err(out_of_range)
}

/// Kubernetes writes times without fractions.
fn whole_seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A random text of lower-case letters and digits, each as likely as the other:
/// bytes that would favour some are thrown away.
pub(super) fn random_text(length: usize, about: &About) -> Result<String, ClusterError> {
    let mut text = String::with_capacity(length);
    while text.len() < length {
        let mut bytes = [0_u8; 32];
        getrandom::fill(&mut bytes)
            .map_err(|error| about.local(format!("no random numbers: {error}")))?;
        for byte in bytes.into_iter().filter(|byte| *byte < 252).take(length - text.len()) {
            text.push(char::from(ALPHABET[usize::from(byte) % ALPHABET.len()]));
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::{Code, Failure};

    #[test]
    fn a_token_has_the_form_that_kubernetes_wants() {
        let about = About::new("create", "bootstrap token", "w");
        let texts: std::collections::BTreeSet<String> =
            (0..50).map(|_| random_text(16, &about).unwrap()).collect();
        assert_eq!(texts.len(), 50);
        for text in texts {
            assert_eq!(text.len(), 16);
            assert!(text.bytes().all(|byte| ALPHABET.contains(&byte)), "{text}");
        }
    }

    /// No service is to blame for the clock of this machine.
    #[test]
    fn a_clock_out_of_range_is_a_local_fault() {
        let about = About::new("create", "bootstrap token", "w");
        let failure = Failure::from(expiry(Timestamp::MAX, &about).unwrap_err());
        assert_eq!(failure.code, Code::StepFailed, "{failure}");
        assert!(failure.message.contains("the clock is out of range"), "{failure}");
        assert!(failure.remedy.contains("machine that stargate runs on"), "{}", failure.remedy);
        assert!(expiry("2026-01-02T03:04:05Z".parse().unwrap(), &about).is_ok());
    }

    #[test]
    fn a_time_has_no_fractions() {
        let time: Timestamp = "2026-01-02T03:04:05.678Z".parse().unwrap();
        assert_eq!(whole_seconds(time), "2026-01-02T03:04:05Z");
    }
}
