//! The measurements of Goldpinger, through the API server's proxy.
//!
//! A pod of the user's cluster answers: neither the length nor the text of its
//! answer is trusted, and none of its text is kept.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use futures::StreamExt as _;
use http_body_util::{BodyExt as _, Limited};
use jiff::Timestamp;
use kube::client::Body;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::{About, ClusterCause, ClusterError};
use super::request::apis;
use super::request_layer::Streamed;
use super::{ClusterClient, text_at};
use crate::inventory::{GoldpingerPod, Measurement, PingFailure, PingResult};
use crate::provider::response_body::check_decoded_size;
use crate::provider::settings::MAX_DECODED_BYTES;

/// The label that Goldpinger's manifests, ours and its own, put on its pods.
const SELECTOR: &str = "app=goldpinger";
/// The port that it listens at unless its pod says otherwise.
const PORT: u16 = 8_080;
/// How long an answer may take: Goldpinger itself waits for 20 s at most.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(45);
/// How long an answer may be: so much for its frame, and so much for a ping.
const FRAME: usize = 64 * 1024;
const PER_PING: usize = 1024;
/// The maximum number of pods in one query: the response has a ping for each pair, which is
/// at most 16 MiB for 128 pods. If there are more, each pod is queried for its own pings.
const MAX_AT_ONCE: usize = 128;
/// The number of concurrent queries.
const WIDTH: usize = 64;

/// Why a pod's measurement could not be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeasureError {
    /// The credential lacks a permission.
    #[error("{0}")]
    Refused(ClusterError),
    /// The pod gave no answer through the proxy.
    #[error("{pod} did not answer the API server ({status})")]
    NoResponse {
        /// The pod.
        pod: String,
        /// The status of the response, or the reason for its absence.
        status: String,
    },
    /// The pod's answer is longer than any of Goldpinger's would be.
    #[error("the response of {pod} is longer than {limit} bytes")]
    TooLarge {
        /// The pod.
        pod: String,
        /// How long it may be.
        limit: usize,
    },
    /// The pod's answer is not in Goldpinger's format.
    #[error("the response of {pod} is not in Goldpinger's format: {reason}")]
    Malformed {
        /// The pod.
        pod: String,
        /// The error in it, in our words.
        reason: String,
    },
    /// The query to the cluster's API failed.
    #[error("{0}")]
    Cluster(ClusterError),
}

impl From<ClusterError> for MeasureError {
    fn from(error: ClusterError) -> Self {
        if error.is_refused() { Self::Refused(error) } else { Self::Cluster(error) }
    }
}

impl ClusterClient {
    /// The pods of Goldpinger's, in one namespace or in all.
    ///
    /// # Errors
    ///
    /// The cluster did not answer, or refused.
    pub async fn pingers(
        &self,
        namespace: Option<&str>,
    ) -> Result<Vec<GoldpingerPod>, MeasureError> {
        let pods = self.collection(apis::POD, namespace).list(Some(SELECTOR), None).await?;
        Ok(pods.iter().map(pinger).collect())
    }

    /// Reads the measurements of all pods from one of them.
    ///
    /// # Errors
    ///
    /// The pod or the cluster did not respond, or refused, or the response is not one of
    /// Goldpinger.
    pub async fn check_all(
        &self,
        pinger: &GoldpingerPod,
        pods: &[GoldpingerPod],
    ) -> Result<Measurement, MeasureError> {
        if pods.len() > MAX_AT_ONCE {
            return self.check_each(pinger, pods).await;
        }
        let bytes = self.ask(pinger, "check_all", pods.len() * pods.len()).await?;
        let response: CheckAll = decode(pinger, &bytes)?;
        let mut reader = Reader::new(pinger, pods);
        for (key, stated) in &response.responses {
            let from = reader.address(key, &stated.address)?;
            reader.add(from, stated.response.as_ref().filter(|_| stated.ok))?;
        }
        Ok(reader.measurement)
    }

    /// Queries each pod for its own pings, the given one first: if that one does not
    /// respond, the others are not queried.
    async fn check_each(
        &self,
        pinger: &GoldpingerPod,
        pods: &[GoldpingerPod],
    ) -> Result<Measurement, MeasureError> {
        let first = self.check(pinger, pods.len()).await?;
        let mut reader = Reader::new(pinger, pods);
        if let Some(address) = pinger.address {
            reader.add(address, Some(&first))?;
        }
        // Collected first: a closure in a stream does not hold for every lifetime.
        let mut asking = Vec::new();
        for pod in pods.iter().filter(|pod| pod.name != pinger.name) {
            if let Some(address) = pod.address {
                asking.push(self.check_at(address, pod, pods.len()));
            }
        }
        let mut responses = futures::stream::iter(asking).buffer_unordered(WIDTH);
        while let Some((address, response)) = responses.next().await {
            match response {
                Ok(check) => reader.add(address, check.as_ref())?,
                Err(MeasureError::NoResponse { .. }) => reader.add(address, None)?,
                Err(error) => return Err(error),
            }
        }
        Ok(reader.measurement)
    }

    /// The same, with the pod's address; nothing from a pod that is not ready.
    async fn check_at(
        &self,
        address: Ipv4Addr,
        pod: &GoldpingerPod,
        pings: usize,
    ) -> (Ipv4Addr, Result<Option<Check>, MeasureError>) {
        let response = match pod.ready {
            true => self.check(pod, pings).await.map(Some),
            false => Ok(None),
        };
        (address, response)
    }

    /// The pings of one pod.
    async fn check(&self, pod: &GoldpingerPod, pings: usize) -> Result<Check, MeasureError> {
        let bytes = self.ask(pod, "check", pings).await?;
        decode(pod, &bytes)
    }

    /// Requests the results of a pod with so many pings.
    async fn ask(
        &self,
        pod: &GoldpingerPod,
        path: &str,
        pings: usize,
    ) -> Result<Vec<u8>, MeasureError> {
        let asking = self.proxied(pod, path, limit(pings));
        let response = tokio::time::timeout(RESPONSE_TIMEOUT, asking).await;
        response.unwrap_or_else(|_| Err(no_response(pod, "it took too long")))
    }

    async fn proxied(
        &self,
        pinger: &GoldpingerPod,
        path: &str,
        limit: usize,
    ) -> Result<Vec<u8>, MeasureError> {
        let GoldpingerPod { namespace, name, port, .. } = pinger;
        let about = About::new("query through the proxy", "Pod", &format!("{namespace}/{name}"));
        let uri = format!("/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy/{path}");
        // Its length and its time are limited here, by the number of pods.
        let request = http::Request::get(uri).extension(Streamed).body(Body::empty());
        let request = request.map_err(|error| about.malformed(error.to_string()))?;
        let sent = self.client.send(request).await;
        let response = sent.map_err(|error| MeasureError::from(about.failed(error)))?;
        let status = response.status();
        if status.as_u16() == 401 || status.as_u16() == 403 {
            let reason = format!("the API server answered {}", status.as_u16());
            return Err(about.error(ClusterCause::Refused, reason).into());
        }
        if !status.is_success() {
            return Err(no_response(pinger, &format!("status {}", status.as_u16())));
        }
        match Limited::new(response.into_body(), limit).collect().await {
            Ok(body) => Ok(body.to_bytes().to_vec()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                Err(MeasureError::TooLarge { pod: pinger.name.clone(), limit })
            }
            Err(_) => Err(no_response(pinger, "the connection broke")),
        }
    }
}

fn limit(pings: usize) -> usize {
    pings.saturating_mul(PER_PING).saturating_add(FRAME)
}

fn no_response(pinger: &GoldpingerPod, status: &str) -> MeasureError {
    MeasureError::NoResponse { pod: pinger.name.clone(), status: status.to_owned() }
}

fn pinger(pod: &Value) -> GoldpingerPod {
    let conditions = pod.pointer("/status/conditions").and_then(Value::as_array);
    let mut conditions = conditions.into_iter().flatten();
    let ports = pod.pointer("/spec/containers/0/ports/0/containerPort").and_then(Value::as_u64);
    GoldpingerPod {
        namespace: legal(&text_at(&pod["metadata"], "namespace")),
        name: legal(&text_at(&pod["metadata"], "name")),
        node: legal(&text_at(&pod["spec"], "nodeName")),
        address: pod["status"]["podIP"].as_str().and_then(|text| text.parse().ok()),
        port: ports.and_then(|port| u16::try_from(port).ok()).unwrap_or(PORT),
        ready: conditions.any(|it| it["type"] == "Ready" && it["status"] == "True"),
    }
}

/// The characters of a text that are legal in the name of an object and in a path.
fn legal(name: &str) -> String {
    name.chars().filter(|it| it.is_ascii_alphanumeric() || matches!(it, '-' | '.')).collect()
}

/// The response to `/check_all`: the result of each pod's own pings, by the pods' names,
/// and by their addresses before version 3.
#[derive(Debug, Deserialize)]
struct CheckAll {
    responses: BTreeMap<String, QueriedPod>,
}

/// Whether a pod reported its pings, regardless of their results.
#[derive(Debug, Deserialize)]
struct QueriedPod {
    #[serde(rename = "OK", default)]
    ok: bool,
    #[serde(rename = "PodIP", default)]
    address: String,
    response: Option<Check>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Check {
    #[serde(default)]
    pod_results: BTreeMap<String, PodResult>,
}

/// One ping.
#[derive(Debug, Deserialize)]
struct PodResult {
    #[serde(rename = "OK", default)]
    ok: bool,
    #[serde(rename = "PodIP", default)]
    address: String,
    #[serde(rename = "PingTime")]
    time: Option<String>,
    #[serde(default)]
    error: String,
}

/// Decodes an answer, unless it would take more memory than any of Goldpinger's.
fn decode<T: DeserializeOwned>(pod: &GoldpingerPod, bytes: &[u8]) -> Result<T, MeasureError> {
    if check_decoded_size(bytes, MAX_DECODED_BYTES, &pod.name).is_err() {
        return Err(MeasureError::TooLarge { pod: pod.name.clone(), limit: MAX_DECODED_BYTES });
    }
    serde_json::from_slice(bytes).map_err(|error| {
        let what = match error.classify() {
            serde_json::error::Category::Data => "other JSON",
            serde_json::error::Category::Eof => "truncated JSON",
            _ => "no JSON",
        };
        nonsense(pod, format!("{what}, at line {} column {}", error.line(), error.column()))
    })
}

fn nonsense(pod: &GoldpingerPod, reason: String) -> MeasureError {
    MeasureError::Malformed { pod: pod.name.clone(), reason }
}

/// Collects the answers of pods.
struct Reader<'a> {
    pinger: &'a GoldpingerPod,
    names: BTreeMap<&'a str, Ipv4Addr>,
    measurement: Measurement,
}

impl<'a> Reader<'a> {
    fn new(pinger: &'a GoldpingerPod, pods: &'a [GoldpingerPod]) -> Self {
        let measurement = Measurement {
            requested: pinger.name.clone(),
            port: pinger.port,
            pods: pods.to_vec(),
            ..Measurement::default()
        };
        let names = pods.iter().filter_map(|pod| Some((pod.name.as_str(), pod.address?)));
        Self { pinger, names: names.collect(), measurement }
    }

    /// The address that was pinged, else the key, which was it once, else the address that
    /// the pod of that name has now.
    fn address(&self, key: &str, written: &str) -> Result<Ipv4Addr, MeasureError> {
        let found = written.parse().or_else(|_| key.parse()).ok();
        let found = found.or_else(|| self.names.get(key).copied());
        let reason = || nonsense(self.pinger, "a pod in it has no IPv4 address".to_owned());
        found.ok_or_else(reason)
    }

    /// Adds the measurements of a pod; none if it did not respond.
    fn add(&mut self, from: Ipv4Addr, check: Option<&Check>) -> Result<(), MeasureError> {
        let Some(check) = check else {
            self.measurement.silent.insert(from);
            return Ok(());
        };
        for (key, result) in &check.pod_results {
            let to = self.address(key, &result.address)?;
            self.measurement.pings.insert((from, to), result.pinged());
            let time = result.time.as_deref().and_then(|time| time.parse::<Timestamp>().ok());
            let oldest = &mut self.measurement.oldest;
            *oldest = match (*oldest, time) {
                (Some(known), Some(time)) => Some(known.min(time)),
                (known, time) => known.or(time),
            };
        }
        Ok(())
    }
}

impl PodResult {
    /// Goldpinger hands on the words of Go's network library.
    fn pinged(&self) -> PingResult {
        if self.ok {
            return PingResult::Reached;
        }
        let says = |words: &[&str]| words.iter().any(|word| self.error.contains(word));
        PingResult::Failed(if says(&["deadline exceeded", "timeout", "timed out"]) {
            PingFailure::TimedOut
        } else if says(&["refused", "reset by peer", "EOF"]) {
            PingFailure::Refused
        } else if says(&["no route to host", "unreachable"]) {
            PingFailure::NoRoute
        } else {
            PingFailure::Other
        })
    }
}

#[cfg(test)]
#[path = "goldpinger_tests.rs"]
mod tests;
