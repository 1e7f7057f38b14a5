//! One request and its answer, with the patience that services ask for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};

use super::error::{ApiError, ServiceError};
use super::http::{Api, RequestCount, Transport, TransportError};
use super::limits::{CallClass, Limits};

const READ_RETRIES: u32 = 5;
/// Another operation on the same parent can take minutes to end.
const WRITE_RETRIES: u32 = 8;
const FIRST_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(30);
/// Who asks for more than this is not throttling but closed.
const MAX_RETRY_AFTER: Duration = Duration::from_secs(300);
/// A service that says `Retry-After: 0` still gets a moment.
const MIN_DELAY: Duration = Duration::from_millis(10);

/// What may be done again when an answer leaves doubts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// It changes nothing, whatever its method.
    Read,
    /// Doing it twice is doing it once.
    Idempotent,
    /// It makes something new each time: again only if nothing was done.
    Once,
}

/// One call.
pub struct Call {
    /// The method.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// Headers, the authorisation among them.
    pub headers: HeaderMap,
    /// The body, empty for none.
    pub body: Bytes,
    /// What it is for, in words for the user.
    pub doing: String,
    /// When it may be sent again.
    pub repeat: RetryClass,
}

impl Call {
    /// A call without headers and body that may be repeated as its method allows.
    pub fn new(method: Method, url: impl Into<String>, doing: impl Into<String>) -> Self {
        let repeat = match method {
            Method::GET | Method::HEAD => RetryClass::Read,
            Method::PUT | Method::DELETE => RetryClass::Idempotent,
            _ => RetryClass::Once,
        };
        Self {
            method,
            url: url.into(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            doing: doing.into(),
            repeat,
        }
    }

    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }

    /// Adds a JSON body.
    pub fn json(mut self, body: &serde_json::Value) -> Self {
        self.body = Bytes::from(body.to_string());
        self.header(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))
    }

    /// Says when it may be sent again.
    pub fn repeat(mut self, repeat: RetryClass) -> Self {
        self.repeat = repeat;
        self
    }
}

/// Sends calls to one service under its budget.
#[derive(Debug)]
pub struct HttpClient {
    api: Api,
    transport: Arc<dyn Transport>,
    limits: Limits,
    count: RequestCount,
    /// Spreads delays without a source of chance, so that runs can be replayed.
    spread: AtomicU64,
}

impl HttpClient {
    /// Calls to that service go over this transport.
    pub fn new(
        api: Api,
        transport: Arc<dyn Transport>,
        limits: Limits,
        count: RequestCount,
    ) -> Self {
        Self { api, transport, limits, count, spread: AtomicU64::new(0) }
    }

    /// The service.
    pub fn api(&self) -> Api {
        self.api
    }

    /// Sends a call, again where that is safe and promising, and returns the
    /// last answer whatever its status.
    pub async fn send(&self, call: &Call) -> Result<http::Response<Bytes>, ApiError> {
        let class = CallClass::of(&call.method);
        let retries = if call.repeat == RetryClass::Read { READ_RETRIES } else { WRITE_RETRIES };
        let mut attempt = 0;
        loop {
            let outcome = self.send_once(call, class).await?;
            let delay = match self.delay(call, &outcome, attempt) {
                Some(delay) if attempt < retries => delay.max(MIN_DELAY),
                _ => return self.conclude(call, outcome),
            };
            if was_throttled(&outcome) {
                self.limits.pause(self.api, class, delay);
            }
            tracing::debug!(doing = call.doing, attempt, ?delay, "trying again");
            tokio::time::sleep(delay).await;
            attempt += 1;
        }
    }

    async fn send_once(&self, call: &Call, class: CallClass) -> Result<Outcome, ApiError> {
        self.limits.acquire(self.api, class).await;
        let mut request = http::Request::new(call.body.clone());
        *request.method_mut() = call.method.clone();
        *request.uri_mut() = call.url.parse().map_err(|error| ApiError::Malformed {
            api: self.api,
            doing: call.doing.clone(),
            reason: format!("the address of the request is none: {error}"),
        })?;
        *request.headers_mut() = call.headers.clone();
        self.count.add(self.api);
        Ok(self.transport.send(request).await)
    }

    fn conclude(&self, call: &Call, outcome: Outcome) -> Result<http::Response<Bytes>, ApiError> {
        outcome.map_err(|source| ApiError::Transport {
            api: self.api,
            doing: call.doing.clone(),
            source,
        })
    }

    /// How long to wait before the call may be sent again; nothing if it may not.
    fn delay(&self, call: &Call, outcome: &Outcome, attempt: u32) -> Option<Duration> {
        let answer = match outcome {
            Ok(answer) if may_retry(call.repeat, answer) => answer,
            Err(_) if call.repeat != RetryClass::Once => return Some(self.backoff(attempt)),
            _ => return None,
        };
        match asked_delay(answer) {
            Some(asked) if asked > MAX_RETRY_AFTER => None,
            Some(asked) => Some(asked),
            None => Some(self.backoff(attempt)),
        }
    }

    /// Twice as long each time, spread over the upper half so that callers
    /// that failed together do not come back together.
    fn backoff(&self, attempt: u32) -> Duration {
        let full = FIRST_DELAY.saturating_mul(1 << attempt.min(10)).min(MAX_DELAY);
        let turn = self.spread.fetch_add(1, Ordering::Relaxed);
        // Multiples of the golden ratio fill an interval evenly.
        let part = (turn.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u32;
        full / 2 + full * part / 512
    }
}

type Outcome = Result<http::Response<Bytes>, TransportError>;

fn was_throttled(outcome: &Outcome) -> bool {
    outcome.as_ref().is_ok_and(|answer| answer.status() == StatusCode::TOO_MANY_REQUESTS)
}

fn may_retry(repeat: RetryClass, answer: &http::Response<Bytes>) -> bool {
    match (answer.status().as_u16(), repeat) {
        (429 | 503, _) => true,
        (500 | 502 | 504, RetryClass::Read) => true,
        (409, RetryClass::Idempotent) => {
            ServiceError::parse(answer.body()).code == "AnotherOperationInProgress"
        }
        _ => false,
    }
}

/// How long the service asks to wait: by header, or in words.
fn asked_delay(answer: &http::Response<Bytes>) -> Option<Duration> {
    retry_after(answer.headers())
        .or_else(|| delay_in_words(&String::from_utf8_lossy(answer.body())))
}

/// The header `Retry-After` in seconds.
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).max(MIN_DELAY))
}

/// Network answers `The call can be retried in 14 seconds.` and sets no header.
fn delay_in_words(body: &str) -> Option<Duration> {
    let (_, rest) = body.split_once("can be retried in ")?;
    let (number, _) = rest.split_once(" second")?;
    number.parse().ok().map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::provider::scripted::{Scripted, Step};

    fn exchange(steps: Vec<Step>) -> (HttpClient, Arc<Scripted>) {
        let transport = Arc::new(Scripted::new(steps));
        let limits = Limits::published();
        let seam: Arc<dyn Transport> = Arc::<Scripted>::clone(&transport);
        (HttpClient::new(Api::Azure, seam, limits, RequestCount::default()), transport)
    }

    fn call(method: Method) -> Call {
        Call::new(method, "http://arm.test/x", "touch x")
    }

    #[tokio::test(start_paused = true)]
    async fn retry_after_is_obeyed_to_the_second() {
        let (exchange, script) = exchange(vec![
            Step::new("PUT", "/x").answer(429, json!({})).header("retry-after", "23"),
            Step::new("PUT", "/x").answer(200, json!({})),
        ]);
        let start = Instant::now();
        let answer = exchange.send(&call(Method::PUT)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(start.elapsed().as_secs(), 23);
        assert_eq!(exchange.count.by_api()[&Api::Azure], 2);
        script.assert_finished();
    }

    #[tokio::test(start_paused = true)]
    async fn a_delay_in_words_is_obeyed() {
        let body = json!({"error": {"code": "RetryableError", "message": "…", "details": [
            {"code": "x", "message": "The call can be retried in 14 seconds."}]}});
        let (exchange, _) = exchange(vec![
            Step::new("PUT", "/x").answer(429, body),
            Step::new("PUT", "/x").answer(200, json!({})),
        ]);
        let start = Instant::now();
        exchange.send(&call(Method::PUT)).await.unwrap();
        assert_eq!(start.elapsed().as_secs(), 14);
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_connection_is_tried_again_where_that_is_safe() {
        let dropped = || Step::new("*", "/x").dropped();
        let (exchange, _) =
            exchange(vec![dropped(), Step::new("PUT", "/x").answer(200, json!({})), dropped()]);
        assert!(exchange.send(&call(Method::PUT)).await.is_ok());
        let error = exchange.send(&call(Method::POST)).await.unwrap_err();
        assert!(error.is_unavailable());
    }

    #[tokio::test(start_paused = true)]
    async fn only_another_operation_makes_a_conflict_worth_a_retry() {
        let code = |code: &str| json!({"error": {"code": code, "message": "…"}});
        let (exchange, script) = exchange(vec![
            Step::new("PUT", "/x").answer(409, code("AnotherOperationInProgress")),
            Step::new("PUT", "/x").answer(409, code("ResourceGroupBeingDeleted")),
        ]);
        let answer = exchange.send(&call(Method::PUT)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::CONFLICT);
        script.assert_finished();
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends() {
        let down = || Step::new("GET", "/x").answer(503, json!({}));
        let (exchange, script) = exchange((0..6).map(|_| down()).collect());
        let answer = exchange.send(&call(Method::GET)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        script.assert_finished();
    }
}
