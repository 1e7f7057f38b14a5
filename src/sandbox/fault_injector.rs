//! Where tests get between stargate and the world.
//!
//! Every call of a door is one [`Call`]: one atomic change of the world or
//! none. An [`FaultInjector`] decides before and after each whether it happens
//! and whether its answer arrives, which is all that a network or a kill can do.

use crate::provider::host::HostError;
use crate::provider::http::Api;

/// One call of a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// A request to one of the faces.
    Request {
        /// Who was asked.
        api: Api,
        /// The method.
        method: http::Method,
        /// The path, without its query.
        path: String,
    },
    /// A call of the door to hosts.
    Host {
        /// The host.
        hostname: String,
        /// The probe, change or step, in one word.
        doing: &'static str,
        /// Whether it may change something.
        writes: bool,
    },
}

impl Call {
    /// Whether it may change the world.
    pub fn writes(&self) -> bool {
        match self {
            Self::Request { method, .. } => method != http::Method::GET,
            Self::Host { writes, .. } => *writes,
        }
    }
}

/// What becomes of a call before it reaches the world.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Disposition {
    /// It goes through.
    Pass,
    /// It never arrives.
    Lose,
    /// It never arrives; instead this status is answered (a host fails).
    Refuse {
        /// Such as 429 or 503.
        status: u16,
        /// Seconds for the header `Retry-After`.
        retry_after: Option<u64>,
    },
    /// It never arrives; instead this answer is returned, as JSON (a host fails
    /// with the status).
    Answer {
        /// The HTTP status.
        status: u16,
        /// The body.
        body: String,
    },
    /// It never arrives; instead the host's client returns this error (a request
    /// is lost).
    Fail(HostError),
}

/// What becomes of an answer on its way back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivery {
    /// It arrives.
    Deliver,
    /// It is lost, though the call took effect.
    Lose,
}

/// Decides about each call; the world is not locked while it does.
pub trait FaultInjector: Send + Sync + std::fmt::Debug {
    /// Before the call reaches the world.
    fn before(&self, effect: &Call) -> Disposition;
    /// After the call took effect.
    fn after(&self, effect: &Call) -> Delivery;
}
