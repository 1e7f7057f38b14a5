//! The one policy for requests: budget, timeouts, retries and limits.
//!
//! There is one [`RequestPolicy`] an API. The clients of Azure and Tailscale
//! send through it by [`super::http_client`], the Kubernetes client by a tower
//! layer ([`super::cluster::RequestLayer`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};
use jiff::Timestamp;
use serde_json::Value;
use tokio::time::Instant;

use super::error::ServiceError;
use super::http::{Api, RequestCount, StatusClass, TransportError, TransportFault};
use super::limits::{CallClass, Limits};
use super::response_body;
use super::settings::ClientSettings;

/// How often a read is sent again.
const READ_RETRIES: u32 = 5;
/// How often a read is sent again if the host refuses each connection, and nothing shows that
/// it will accept one soon. A service behind a load balancer that restarts is back within
/// these three seconds; one that does not run delays a plan no longer than that.
const REFUSED_RETRIES: u32 = 2;
/// How often a write is sent again. Another operation on the same parent can
/// take minutes to end.
const WRITE_RETRIES: u32 = 8;
/// A service that asks for a longer wait is not throttling but closed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// The shortest wait: a service may say `Retry-After: 0`.
pub(crate) const MIN_DELAY: Duration = Duration::from_millis(10);
/// How an API server begins to refuse an apply of a field that its schema
/// lacks. It answers 500, and does so however often the request is sent.
pub(super) const NOT_IN_SCHEMA: &str = "failed to create typed patch object";

/// When a request may be sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// It changes nothing, regardless of its method.
    Read,
    /// Doing it twice has the effect of doing it once.
    Idempotent,
    /// It creates something each time: again only if the service refused to
    /// begin (429).
    Once,
    /// It is sent once, regardless of the answer: 429 has another meaning there.
    Never,
}

impl RetryClass {
    /// The class of a method, where nothing more is known of the request.
    pub fn of(method: &Method) -> Self {
        match *method {
            Method::GET | Method::HEAD => Self::Read,
            Method::PUT | Method::DELETE => Self::Idempotent,
            _ => Self::Once,
        }
    }

    fn retries(self) -> u32 {
        match self {
            Self::Read => READ_RETRIES,
            Self::Idempotent | Self::Once => WRITE_RETRIES,
            Self::Never => 0,
        }
    }
}

/// A request as the policy sees it.
#[derive(Debug, Clone, Copy)]
pub struct RequestKind<'a> {
    /// The method.
    pub method: &'a Method,
    /// When it may be sent again.
    pub retry: RetryClass,
    /// The host and port, for errors.
    pub host: &'a str,
    /// The activity, for the log.
    pub activity: &'a str,
}

/// Budget, timeouts, retries and limits for all requests to one API; clones
/// share them.
#[derive(Debug, Clone)]
pub struct RequestPolicy(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    api: Api,
    limits: Limits,
    count: RequestCount,
    settings: ClientSettings,
    /// Spreads delays without randomness, so that a run can be replayed.
    spread: AtomicU64,
}

/// The answer to an attempt, or why it is missing.
type Outcome = Result<http::Response<Bytes>, TransportError>;

/// How long to wait before the next attempt, and who chose it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Delay {
    /// The service requested it.
    Requested(Duration),
    /// stargate chose it; it counts towards the call's timeout.
    Chosen(Duration),
}

impl RequestPolicy {
    /// The policy for an API under a budget.
    pub fn new(api: Api, limits: Limits, count: RequestCount, settings: ClientSettings) -> Self {
        Self(Arc::new(Shared { api, limits, count, settings, spread: AtomicU64::new(0) }))
    }

    /// The API.
    pub fn api(&self) -> Api {
        self.0.api
    }

    /// Timeouts and limits.
    pub fn settings(&self) -> &ClientSettings {
        &self.0.settings
    }

    /// The same budget and count with other timeouts and limits.
    #[must_use]
    pub fn with_settings(&self, settings: ClientSettings) -> Self {
        Self::new(self.0.api, self.0.limits.clone(), self.0.count.clone(), settings)
    }

    /// Notes the date of a response, by the clock of the service.
    pub fn note_date(&self, headers: &http::HeaderMap) {
        let date = headers.get(http::header::DATE).and_then(|date| date.to_str().ok());
        let parsed = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        if let Some(date) = parsed {
            self.0.count.note_date(self.0.api, date.timestamp());
        }
    }

    /// Waits until the budget allows a request, and counts it.
    pub async fn acquire(&self, method: &Method) {
        self.0.limits.acquire(self.0.api, CallClass::of(method)).await;
        self.0.count.add(self.0.api);
    }

    /// Sends a request by `send`, retries it if that is safe and useful, and
    /// returns the last answer regardless of its status. `attempts` counts the
    /// requests sent.
    ///
    /// # Errors
    ///
    /// No attempt got an answer in time and within the limits.
    pub async fn run<Send, Sent>(
        &self,
        kind: RequestKind<'_>,
        attempts: &AtomicU32,
        mut send: Send,
    ) -> Outcome
    where
        Send: FnMut() -> Sent,
        Sent: Future<Output = Outcome>,
    {
        let running = self.0.count.begin(self.0.api, kind.activity);
        if kind.retry != RetryClass::Read {
            self.0.count.note_write();
        }
        let mut spent = Duration::ZERO;
        loop {
            self.acquire(kind.method).await;
            let attempt = attempts.fetch_add(1, Ordering::Relaxed);
            let started = Instant::now();
            let outcome = self.attempt(kind, spent, send()).await;
            let answered = outcome.as_ref().map(|response| StatusClass::of(response.status()));
            self.0.count.ended(self.0.api, answered.unwrap_or(StatusClass::NoAnswer));
            spent = spent.saturating_add(started.elapsed());
            let Some(delay) = self.delay(kind, &outcome, attempt) else { return outcome };
            let wait = match delay {
                Delay::Requested(wait) => {
                    let wait = wait.max(MIN_DELAY);
                    if was_throttled(&outcome) {
                        self.0.limits.pause(self.0.api, CallClass::of(kind.method), wait);
                    }
                    wait
                }
                Delay::Chosen(wait) => {
                    spent = spent.saturating_add(wait);
                    wait
                }
            };
            if spent >= self.0.settings.call_timeout {
                return outcome;
            }
            tracing::debug!(activity = kind.activity, attempt, ?wait, "sending again");
            running.sent_again(describe_failure(&outcome));
            tokio::time::sleep(wait).await;
        }
    }

    /// One attempt, within the remaining time of the call.
    async fn attempt(
        &self,
        kind: RequestKind<'_>,
        spent: Duration,
        sent: impl Future<Output = Outcome>,
    ) -> Outcome {
        let settings = &self.0.settings;
        let left = settings.call_timeout.saturating_sub(spent);
        let after = settings.attempt_timeout_of(kind.method).min(left);
        let response = tokio::time::timeout(after, sent).await.unwrap_or_else(|_| {
            let fault = TransportFault::TimedOut { what: "no complete answer", after };
            Err(TransportError { host: kind.host.to_owned(), fault })
        })?;
        response_body::check_decoded_size(response.body(), settings.max_decoded_bytes, kind.host)?;
        Ok(response)
    }

    /// How long to wait before the next attempt; none if there may not be one.
    fn delay(&self, kind: RequestKind<'_>, outcome: &Outcome, attempt: u32) -> Option<Delay> {
        if attempt >= kind.retry.retries() {
            return None;
        }
        let backoff = Delay::Chosen(self.backoff(attempt));
        let response = match outcome {
            Ok(response) => response,
            Err(error) if error.is_transient() && kind.retry != RetryClass::Once => {
                let is_final = kind.retry == RetryClass::Read
                    && attempt >= REFUSED_RETRIES
                    && matches!(error.fault, TransportFault::Refused { .. })
                    && self.0.count.is_refusal_final(self.0.api);
                return (!is_final).then_some(backoff);
            }
            Err(_) => return None,
        };
        let why = self.reason_to_repeat(kind.retry, response)?;
        match requested_delay(response) {
            Some(requested) if requested > MAX_RETRY_AFTER => None,
            Some(requested) => Some(Delay::Requested(requested)),
            // The service is well, and waits for another operation itself.
            None if why == Reason::Waits => Some(Delay::Requested(self.backoff(attempt))),
            None => Some(backoff),
        }
    }

    fn reason_to_repeat(
        &self,
        retry: RetryClass,
        response: &http::Response<Bytes>,
    ) -> Option<Reason> {
        match (response.status().as_u16(), retry) {
            (_, RetryClass::Never) => None,
            (429, _) => Some(Reason::Broken),
            (_, RetryClass::Once) => None,
            (500, _) if self.0.api == Api::Kubernetes && refused_by_schema(response.body()) => None,
            (408 | 500 | 502 | 503 | 504, _) => Some(Reason::Broken),
            (409, RetryClass::Idempotent) => {
                let code = ServiceError::parse(response.body()).code;
                (code == "AnotherOperationInProgress").then_some(Reason::Waits)
            }
            _ => None,
        }
    }

    /// Doubles each time, with jitter over the upper half so that callers that failed
    /// together do not retry together.
    fn backoff(&self, attempt: u32) -> Duration {
        let settings = &self.0.settings;
        let full =
            settings.first_delay.saturating_mul(1 << attempt.min(10)).min(settings.max_delay);
        let turn = self.0.spread.fetch_add(1, Ordering::Relaxed);
        // Multiples of the golden ratio fill an interval evenly.
        let part = (turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u32;
        full / 2 + full * part / 512
    }
}

/// Why a request is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    /// The service works on something that has to end first.
    Waits,
    /// The service, or a proxy before it, is overloaded or fails.
    Broken,
}

/// Why an attempt is repeated, for the user who waits.
fn describe_failure(outcome: &Outcome) -> String {
    match outcome {
        Ok(response) => format!("answered {}", response.status().as_u16()),
        Err(error) => match &error.fault {
            TransportFault::Refused { .. } => "connection refused".to_owned(),
            TransportFault::TimedOut { .. } => "no answer in time".to_owned(),
            _ => "no answer".to_owned(),
        },
    }
}

fn was_throttled(outcome: &Outcome) -> bool {
    outcome.as_ref().is_ok_and(|response| response.status() == StatusCode::TOO_MANY_REQUESTS)
}

fn refused_by_schema(body: &[u8]) -> bool {
    let status: Option<Value> = serde_json::from_slice(body).ok();
    status.is_some_and(|status| {
        status["message"].as_str().is_some_and(|text| text.starts_with(NOT_IN_SCHEMA))
    })
}

/// How long the service asks to wait: by header, in its `Status`, or in words.
fn requested_delay(response: &http::Response<Bytes>) -> Option<Duration> {
    retry_after(response.headers()).or_else(|| delay_in_body(response.body()))
}

/// The header `Retry-After`: seconds, or the time from which the request may be sent again
/// (RFC 9110, section 10.2.3). That time is by the service's clock, which `Date` shows.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    let delay = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => {
            let now = headers.get(header::DATE).and_then(|date| http_date(date.to_str().ok()?));
            let wait = http_date(text)?.duration_since(now.unwrap_or_else(Timestamp::now));
            // A time that has passed asks for no wait.
            Duration::try_from(wait).unwrap_or_default()
        }
    };
    Some(delay.max(MIN_DELAY))
}

/// A time as HTTP writes it, as in `Sun, 06 Nov 1994 08:49:37 GMT`.
fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text.trim()).ok().map(|time| time.timestamp())
}

/// Azure's network provider answers `The call can be retried in 14 seconds.`
/// and sets no header; an API server's `Status` has `retryAfterSeconds`.
fn delay_in_body(body: &[u8]) -> Option<Duration> {
    let text = String::from_utf8_lossy(body);
    let in_words = text.split_once("can be retried in ").and_then(|(_, rest)| {
        let (number, _) = rest.split_once(" second")?;
        number.parse().ok()
    });
    let in_status = || {
        let status: Value = serde_json::from_str(&text).ok()?;
        status.pointer("/details/retryAfterSeconds")?.as_u64()
    };
    in_words.or_else(in_status).map(Duration::from_secs)
}

#[cfg(test)]
#[path = "request_policy_tests.rs"]
mod tests;
