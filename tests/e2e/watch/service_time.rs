//! The time in which services have requests to answer, and in which the machine does not run
//! a thread.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use http::{Request, Response};
use stargate::provider::http::{Transport, TransportError};
use stargate::provider::reqwest_transport::ReqwestTransport;

/// The time in which at least one request waits for its answer. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct ServiceTime(Arc<Mutex<Answers>>);

#[derive(Debug, Default)]
struct Answers {
    /// How many requests wait.
    waiting: usize,
    /// Since when at least one does.
    since: Option<Instant>,
    total: Duration,
}

impl ServiceTime {
    /// The time so far.
    pub(super) fn total(&self) -> Duration {
        let answers = self.answers();
        answers.total + answers.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    fn begin(&self) -> WaitingRequest<'_> {
        let mut answers = self.answers();
        answers.waiting += 1;
        answers.since.get_or_insert_with(Instant::now);
        WaitingRequest(self)
    }

    fn answers(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits until it is dropped.
struct WaitingRequest<'a>(&'a ServiceTime);

impl Drop for WaitingRequest<'_> {
    fn drop(&mut self) {
        let mut answers = self.0.answers();
        answers.waiting -= 1;
        if answers.waiting == 0 {
            let since = answers.since.take();
            answers.total += since.map_or(Duration::ZERO, |since| since.elapsed());
        }
    }
}

/// The transport of the program, with the time of the services.
#[derive(Debug)]
pub(super) struct TimedTransport {
    transport: ReqwestTransport,
    time: ServiceTime,
}

impl TimedTransport {
    pub(super) fn new(time: ServiceTime) -> Self {
        Self { transport: ReqwestTransport::new(None).unwrap(), time }
    }
}

#[async_trait]
impl Transport for TimedTransport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, TransportError> {
        let _waiting = self.time.begin();
        self.transport.send(request).await
    }
}

/// How long the machine has run other work while this thread could have run; zero where the
/// system does not say.
pub(super) fn thread_delay() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let delay = text.split_whitespace().nth(1).and_then(|text| text.parse().ok());
    Duration::from_nanos(delay.unwrap_or(0))
}
