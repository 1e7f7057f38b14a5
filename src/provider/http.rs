//! The interface between the clients of Azure and Tailscale and the network.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::diagnostics::ServiceText;
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

/// A request got no answer that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no answer from {host}: {fault}")]
pub struct TransportError {
    /// The host and port of the request.
    pub host: String,
    /// The fault.
    pub fault: TransportFault,
}

impl TransportError {
    /// The connection was not established or broke, for a reason as text.
    pub fn lost(host: impl Into<String>, reason: impl AsRef<str>) -> Self {
        let reason = ServiceText::message(reason.as_ref());
        Self { host: host.into(), fault: TransportFault::Lost { reason } }
    }

    /// Whether another attempt may succeed.
    pub fn is_transient(&self) -> bool {
        !matches!(self.fault, TransportFault::TooLarge { .. } | TransportFault::BadRequest { .. })
    }
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransportFault {
    /// The host refused the connection: no service listens there.
    #[error("{reason}")]
    Refused {
        /// The fault, in words of the library that noticed it.
        reason: ServiceText,
    },
    /// The connection was not established or broke.
    #[error("{reason}")]
    Lost {
        /// The fault, in words of the library that noticed it.
        reason: ServiceText,
    },
    /// The answer did not come in time.
    #[error("{what} within {} s", after.as_secs_f32())]
    TimedOut {
        /// The missing event, as in `no byte`.
        what: &'static str,
        /// How long it was waited for.
        after: Duration,
    },
    /// The answer is larger than any that the service should give.
    #[error("the response is larger than {} MiB", limit >> 20)]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The request cannot be sent as it is.
    #[error("the request cannot be sent: {reason}")]
    BadRequest {
        /// The error in it.
        reason: ServiceText,
    },
}

impl TransportFault {
    /// Nothing came for so long.
    pub fn idle(after: Duration) -> Self {
        Self::TimedOut { what: "no byte", after }
    }

    /// A library's error with its causes: the outermost one alone says next to nothing.
    pub fn lost(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut text = error.to_string();
        let mut is_refused = is_refused(error);
        let mut cause = error.source();
        while let Some(inner) = cause {
            text.push_str(": ");
            text.push_str(&inner.to_string());
            is_refused |= self::is_refused(inner);
            cause = inner.source();
        }
        let reason = ServiceText::message(&text);
        if is_refused { Self::Refused { reason } } else { Self::Lost { reason } }
    }
}

fn is_refused(error: &(dyn std::error::Error + 'static)) -> bool {
    let error = error.downcast_ref::<std::io::Error>();
    error.is_some_and(|error| error.kind() == std::io::ErrorKind::ConnectionRefused)
}

/// Counts requests by API and knows the calls that are running, shared by all clients
/// of a run.
#[derive(Debug, Clone, Default)]
pub struct RequestCount(Arc<Mutex<Requests>>);

#[derive(Debug, Default)]
struct Requests {
    by_api: BTreeMap<Api, u64>,
    /// How many requests were answered, or not, by class.
    by_class: BTreeMap<(Api, StatusClass), u64>,
    /// Each running call, by its number.
    running: BTreeMap<u64, Running>,
    /// How many calls were begun.
    begun: u64,
    /// Whether a request was sent that changes something.
    has_written: bool,
    /// The date of the last response of each API, by the API's clock, and when it came.
    dates: BTreeMap<Api, (Timestamp, Instant)>,
}

/// A running call.
#[derive(Debug)]
struct Running {
    /// The service and the activity.
    activity: String,
    /// When it began.
    since: Instant,
    /// Why its last attempt failed, if it is sent again.
    last_failure: Option<String>,
}

/// How a request ended: the class of its status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusClass {
    /// From 100 to 199.
    Informational,
    /// From 200 to 299.
    Success,
    /// From 300 to 399.
    Redirection,
    /// From 400 to 499.
    ClientError,
    /// From 500.
    ServerError,
    /// No answer in time and within the limits.
    NoAnswer,
}

impl StatusClass {
    /// The class of a status.
    pub fn of(status: http::StatusCode) -> Self {
        match status.as_u16() {
            0..=199 => Self::Informational,
            200..=299 => Self::Success,
            300..=399 => Self::Redirection,
            400..=499 => Self::ClientError,
            500.. => Self::ServerError,
        }
    }

    /// The class in one word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Informational => "1xx",
            Self::Success => "2xx",
            Self::Redirection => "3xx",
            Self::ClientError => "4xx",
            Self::ServerError => "5xx",
            Self::NoAnswer => "none",
        }
    }
}

/// A call that is running until this is dropped.
#[derive(Debug)]
pub struct RunningCall {
    count: RequestCount,
    number: u64,
}

impl RequestCount {
    fn lock(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes one request.
    pub fn add(&self, api: Api) {
        *self.lock().by_api.entry(api).or_default() += 1;
    }

    /// How many requests were sent to each API so far.
    pub fn by_api(&self) -> BTreeMap<Api, u64> {
        self.lock().by_api.clone()
    }

    /// Notes how a request ended.
    pub fn ended(&self, api: Api, class: StatusClass) {
        *self.lock().by_class.entry((api, class)).or_default() += 1;
    }

    /// How many requests to each API ended, by class.
    pub fn by_class(&self) -> BTreeMap<(Api, StatusClass), u64> {
        self.lock().by_class.clone()
    }

    /// Notes a call, with its retries, as running.
    pub fn begin(&self, api: Api, activity: &str) -> RunningCall {
        self.begin_activity(format!("{api}: {activity}"))
    }

    /// Notes work on a host as running.
    pub fn begin_on_host(&self, host: &str) -> RunningCall {
        self.begin_activity(format!("ssh: {host}"))
    }

    fn begin_activity(&self, activity: String) -> RunningCall {
        let mut requests = self.lock();
        let number = requests.begun;
        requests.begun += 1;
        let running = Running { activity, since: Instant::now(), last_failure: None };
        requests.running.insert(number, running);
        RunningCall { count: self.clone(), number }
    }

    /// The activities of the calls that run for at least so long, the oldest first, each with
    /// the failure of its last attempt.
    pub fn running_for(&self, at_least: Duration) -> Vec<String> {
        let requests = self.lock();
        let long = requests.running.values().filter(|call| call.since.elapsed() >= at_least);
        long.map(|Running { activity, last_failure, .. }| match last_failure {
            Some(last_failure) => format!("{activity} ({last_failure}; sent again)"),
            None => activity.clone(),
        })
        .collect()
    }

    /// Notes the date of a response, by the clock of the API.
    pub fn note_date(&self, api: Api, date: Timestamp) {
        self.lock().dates.insert(api, (date, Instant::now()));
    }

    /// The current time by the clock of each API that sent a date.
    pub fn clocks(&self) -> BTreeMap<Api, Timestamp> {
        let requests = self.lock();
        let now = |(date, since): &(Timestamp, Instant)| {
            let passed = SignedDuration::try_from(since.elapsed()).unwrap_or_default();
            date.checked_add(passed).unwrap_or(*date)
        };
        requests.dates.iter().map(|(api, noted)| (*api, now(noted))).collect()
    }

    /// Notes that a request which changes something is sent.
    pub fn note_write(&self) {
        self.lock().has_written = true;
    }

    /// Whether a connection that an API refuses is refused for good, as far as this process
    /// knows: the API never answered it, and it changed nothing that could make the API
    /// start.
    pub fn is_refusal_final(&self, api: Api) -> bool {
        let requests = self.lock();
        let mut ended = requests.by_class.iter();
        !requests.has_written
            && ended.all(|((of, class), _)| *of != api || *class == StatusClass::NoAnswer)
    }
}

impl RunningCall {
    /// Notes why the last attempt failed: the call is sent again.
    pub fn sent_again(&self, last_failure: String) {
        if let Some(call) = self.count.lock().running.get_mut(&self.number) {
            call.last_failure = Some(last_failure);
        }
    }
}

impl Drop for RunningCall {
    fn drop(&mut self) {
        self.count.lock().running.remove(&self.number);
    }
}
