//! Fault injection for tests, between stargate's clients and the sandbox.
//!
//! Every call of a client is one [`Call`] and has one atomic effect or none. A [`FaultInjector`]
//! decides before and after each call whether it takes effect and whether its response arrives.
//! These are all the failures that a network or a killed process can cause.

use crate::provider::host::HostError;
use crate::provider::http::Api;

/// One call of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A request to one of the APIs.
    Request {
        /// The API.
        api: Api,
        /// The HTTP method.
        method: http::Method,
        /// The path, without its query.
        path: String,
    },
    /// A call of the host client.
    Host {
        /// The host.
        hostname: String,
        /// The name of the probe, change or step.
        activity: &'static str,
        /// Whether it may change the host.
        writes: bool,
    },
}

impl Call {
    /// Whether the call may change the state of the sandbox.
    pub fn writes(&self) -> bool {
        match self {
            Self::Request { method, .. } => method != http::Method::GET,
            Self::Host { writes, .. } => *writes,
        }
    }
}

/// The decision about a call before it takes effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// The call takes effect.
    Pass,
    /// The call is lost before it takes effect.
    Lose,
    /// The call has no effect and this status is returned. A call to a host fails.
    Refuse {
        /// The HTTP status, such as 429 or 503.
        status: u16,
        /// The value of the `Retry-After` header, in seconds.
        retry_after: Option<u64>,
    },
    /// It never arrives; instead this answer is returned, as JSON (a host fails
    /// with the status).
    Respond {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
    /// It never arrives; instead the host's client returns this error (a request
    /// is lost).
    Fail(HostError),
}

/// The decision about a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// The response arrives.
    Deliver,
    /// The response is lost, although the call took effect.
    Lose,
    /// This HTTP status is returned, as a gateway does that loses the response, although the
    /// call took effect. A call to a host is lost.
    Refuse(u16),
}

/// Decides about each call. The sandbox is not locked while it decides.
pub trait FaultInjector: Send + Sync + std::fmt::Debug {
    /// Called before the call takes effect.
    fn before(&self, effect: &Call) -> Disposition;
    /// Called after the call took effect.
    fn after(&self, effect: &Call) -> Delivery;
}
