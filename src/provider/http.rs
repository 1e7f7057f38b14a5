//! The one seam between stargate and the wire.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;

pub use crate::resource::Api;

/// Sends a request and waits for the whole answer.
///
/// A status of 400 or more is an answer, not an error: only a request that got
/// no answer fails.
#[async_trait]
pub trait Transport: Send + Sync + fmt::Debug {
    /// Sends the request, whose URI is absolute.
    async fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> Result<http::Response<Bytes>, TransportError>;
}

/// A request got no answer.
#[derive(Debug, Clone, thiserror::Error)]
#[error("no answer from {host}: {reason}")]
pub struct TransportError {
    /// The host and port that were asked.
    pub host: String,
    /// What went wrong, in words of the library that noticed.
    pub reason: String,
}

/// Counts requests by API, shared by all clients of a run.
#[derive(Debug, Clone, Default)]
pub struct RequestCount(Arc<Mutex<BTreeMap<Api, u64>>>);

impl RequestCount {
    /// Notes one request.
    pub fn add(&self, api: Api) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(api).or_default() += 1;
    }

    /// How many requests were sent to each API so far.
    pub fn by_api(&self) -> BTreeMap<Api, u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
