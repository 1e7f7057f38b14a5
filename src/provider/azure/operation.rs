//! Operations that continue after the response, and the wait for their end.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use serde_json::Value;
use tokio::time::Instant;

use crate::diagnostics::ServiceText;
use crate::provider::error::{RequestError, ServiceError};
use crate::provider::http::Api;
use crate::provider::http_client::{MIN_DELAY, retry_after};

const FIRST_DELAY: Duration = Duration::from_secs(2);
/// The maximum number of polls of an operation whose service asks for no delay.
const MAX_IMMEDIATE_POLLS: u32 = 20;
const MAX_DELAY: Duration = Duration::from_secs(15);
/// Longer than any operation that stargate starts; AKS takes up to half of it.
const MAX_OPERATION_DURATION: Duration = Duration::from_secs(3600);

/// Where the end of an operation can be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct OperationTracking {
    /// `Azure-AsyncOperation`: a status document.
    pub(super) status_url: Option<String>,
    /// `Location`: 202 until the end, then the result.
    pub(super) result_url: Option<String>,
}

impl OperationTracking {
    /// The operation that an accepted request started.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let text = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
        Self {
            status_url: text("azure-asyncoperation"),
            result_url: text(header::LOCATION.as_str()),
        }
    }
}

/// The state of an operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum OperationProgress {
    /// It is still running.
    Running,
    /// It ended well.
    Done,
    /// It ended otherwise.
    Ended {
        /// `Failed` or `Canceled`.
        status: String,
        /// Why.
        error: ServiceError,
    },
}

impl OperationProgress {
    fn of_status(status: &str, error: impl FnOnce() -> ServiceError) -> Self {
        match status.to_ascii_lowercase().as_str() {
            "succeeded" => Self::Done,
            "failed" | "canceled" | "cancelled" => {
                Self::Ended { status: status.to_owned(), error: error() }
            }
            _ => Self::Running,
        }
    }

    /// Reads the document behind `Azure-AsyncOperation`. A failure comes with
    /// the HTTP status 200.
    pub(super) fn of_operation(body: &Value) -> Self {
        match body.get("status").and_then(Value::as_str) {
            Some(status) => Self::of_status(status, || ServiceError::from_value(body)),
            // Old providers answer the resource itself once they are done.
            None => Self::of_resource(body),
        }
    }

    /// Reads a resource's `provisioningState`; a resource without one is done.
    pub(super) fn of_resource(body: &Value) -> Self {
        let state = body.pointer("/properties/provisioningState").and_then(Value::as_str);
        state.map_or(Self::Done, |state| {
            Self::of_status(state, || ServiceError {
                code: format!("Provisioning{}", ServiceText::line(state)),
                message: format!("the resource is in the state {}", ServiceText::line(state)),
                ..ServiceError::default()
            })
        })
    }

    /// Reads an answer behind `Location`.
    pub(super) fn of_location(response: &http::Response<Bytes>) -> Self {
        if response.status() == StatusCode::ACCEPTED { Self::Running } else { Self::Done }
    }

    /// Says whether the end is reached; a bad end is an error.
    pub(super) fn finished(self, activity: &str) -> Result<bool, RequestError> {
        match self {
            Self::Running => Ok(false),
            Self::Done => Ok(true),
            Self::Ended { status, error } => Err(RequestError::Operation {
                api: Api::Azure,
                activity: activity.to_owned(),
                status: ServiceText::line(&status).into(),
                code: error.code,
                message: error.message,
                details: error.details,
            }),
        }
    }
}

/// The delays between two polls of an operation.
#[derive(Debug)]
pub(super) struct PollInterval {
    started: Instant,
    /// When the operation usually ends: nothing is looked at before.
    usual: Option<Duration>,
    next: Duration,
    /// How many times more it is looked at without a wait where the service asks for none.
    immediate: u32,
}

impl PollInterval {
    /// The clock starts now.
    pub(super) fn new() -> Self {
        let immediate = MAX_IMMEDIATE_POLLS;
        Self { started: Instant::now(), usual: None, next: FIRST_DELAY, immediate }
    }

    /// The same for an operation that usually takes that long.
    pub(super) fn of_operation(usual: Duration) -> Self {
        Self { usual: Some(usual).filter(|usual| *usual > FIRST_DELAY), ..Self::new() }
    }

    /// Waits until the operation usually ends, and then as long as the last answer asks for,
    /// or a little longer each time, but not for less than an answer asks for. `Retry-After: 0`
    /// asks for no wait, which is obeyed a few times: a service that repeats it is not polled
    /// without end.
    pub(super) async fn wait(
        &mut self,
        headers: &HeaderMap,
        activity: &str,
    ) -> Result<(), RequestError> {
        if self.started.elapsed() >= MAX_OPERATION_DURATION {
            return Err(RequestError::Operation {
                api: Api::Azure,
                activity: activity.to_owned(),
                status: "TimedOut".to_owned(),
                code: "OperationTimedOut".to_owned(),
                message: format!(
                    "it is still running after {} minutes",
                    MAX_OPERATION_DURATION.as_secs() / 60
                ),
                details: Vec::new(),
            });
        }
        let requested = retry_after(headers);
        if let Some(delay) = requested.filter(|delay| *delay <= MIN_DELAY && self.immediate > 0) {
            self.immediate -= 1;
            tokio::time::sleep(delay).await;
            return Ok(());
        }
        let requested = requested.filter(|delay| *delay > MIN_DELAY);
        let usual = self.usual.take();
        let rest = usual.and_then(|usual| usual.checked_sub(self.started.elapsed()));
        let delay = match (rest, requested) {
            (Some(rest), requested) => rest.max(requested.unwrap_or_default()),
            (None, Some(requested)) => requested,
            (None, None) => {
                let delay = self.next;
                self.next = (delay * 3 / 2).min(MAX_DELAY);
                delay
            }
        };
        tokio::time::sleep(delay.min(MAX_OPERATION_DURATION)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn distinguishes_states_regardless_of_case() {
        assert_eq!(
            OperationProgress::of_operation(&json!({"status": "InProgress"})),
            OperationProgress::Running
        );
        assert_eq!(
            OperationProgress::of_operation(&json!({"status": "succeeded"})),
            OperationProgress::Done
        );
        assert_eq!(OperationProgress::of_resource(&json!({"id": "x"})), OperationProgress::Done);
        let updating = json!({"properties": {"provisioningState": "Updating"}});
        assert_eq!(OperationProgress::of_resource(&updating), OperationProgress::Running);
        let failed = json!({"status": "Failed", "error": {"code": "C", "message": "m"}});
        let error = OperationProgress::of_operation(&failed).finished("PUT x").unwrap_err();
        assert_eq!(error.code(), Some("C"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_look_is_when_an_operation_usually_ends() {
        let started = Instant::now();
        let with_delay = |seconds: u64| {
            let value = seconds.to_string().parse().unwrap();
            HeaderMap::from_iter([(header::RETRY_AFTER, value)])
        };
        let mut pace = PollInterval::of_operation(Duration::from_secs(60));
        for (headers, seconds) in
            [(with_delay(10), 60), (with_delay(10), 70), (HeaderMap::new(), 72)]
        {
            pace.wait(&headers, "PUT x").await.unwrap();
            assert_eq!(started.elapsed().as_secs(), seconds);
        }
        // A longer delay that the service asks for takes precedence.
        let mut pace = PollInterval::of_operation(Duration::from_secs(60));
        pace.wait(&with_delay(90), "PUT x").await.unwrap();
        assert_eq!(started.elapsed().as_secs(), 72 + 90);
        let mut pace = PollInterval::of_operation(Duration::from_secs(60));
        pace.wait(&with_delay(0), "PUT x").await.unwrap();
        assert_eq!(started.elapsed().as_secs(), 72 + 90);
    }

    #[tokio::test(start_paused = true)]
    async fn waiting_ends_after_an_hour() {
        let mut pace = PollInterval::new();
        let started = Instant::now();
        while pace.wait(&HeaderMap::new(), "PUT x").await.is_ok() {}
        assert!(started.elapsed() >= MAX_OPERATION_DURATION);
        assert!(started.elapsed() < MAX_OPERATION_DURATION + MAX_DELAY * 2);
    }
}
