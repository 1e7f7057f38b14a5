//! The request rate of each service.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::http::Api;

/// The class of a request: budgets distinguish these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallClass {
    /// It changes nothing.
    Read,
    /// It creates or changes.
    Write,
    /// It deletes.
    Delete,
}

impl CallClass {
    /// Every class.
    pub const ALL: [Self; 3] = [Self::Read, Self::Write, Self::Delete];

    /// The class of a method. A POST is counted as a write even where it only
    /// reads, as services do.
    pub fn of(method: &http::Method) -> Self {
        match *method {
            http::Method::GET | http::Method::HEAD => Self::Read,
            http::Method::DELETE => Self::Delete,
            _ => Self::Write,
        }
    }
}

/// The size of a token bucket and how fast it fills.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Calls that can go out at once from a full bucket.
    pub burst: f64,
    /// Calls that are refilled every second.
    pub per_second: f64,
}

/// Budgets for all services, shared by all clients of a run.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    buckets: BTreeMap<(Api, CallClass), Arc<Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    rate: Rate,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Negative while callers wait: each has already taken its token.
    tokens: f64,
    filled_at: Option<Instant>,
    paused_until: Option<Instant>,
}

impl Limits {
    /// The limits that services publish, or our own if they publish none.
    ///
    /// ARM allows a subscription 250 reads and 25 more a second, and 200 writes and 200
    /// deletes with 10 more a second each. Tailscale publishes none: 2 a second after a
    /// burst of 10 is stargate's own choice. The limit for the cluster is that of a
    /// controller with generous client limits: 50 a second after a burst of 100.
    pub fn published() -> Self {
        let mut limits = Self::unlimited();
        let azure_changes = Rate { burst: 200.0, per_second: 10.0 };
        limits.set(Api::Azure, &[CallClass::Read], Rate { burst: 250.0, per_second: 25.0 });
        limits.set(Api::Azure, &[CallClass::Write], azure_changes);
        limits.set(Api::Azure, &[CallClass::Delete], azure_changes);
        limits.set(Api::Tailscale, &CallClass::ALL, Rate { burst: 10.0, per_second: 2.0 });
        limits.set(Api::Kubernetes, &CallClass::ALL, Rate { burst: 100.0, per_second: 50.0 });
        limits
    }

    /// No budgets at all, for the sandbox and for tests.
    pub fn unlimited() -> Self {
        Self::default()
    }

    /// Puts classes of calls under one common bucket.
    pub fn set(&mut self, api: Api, classes: &[CallClass], rate: Rate) {
        let bucket = Arc::new(Bucket::new(rate));
        for class in classes {
            self.buckets.insert((api, *class), Arc::clone(&bucket));
        }
    }

    /// Waits until the budget allows a call.
    pub async fn acquire(&self, api: Api, class: CallClass) {
        if let Some(bucket) = self.buckets.get(&(api, class)) {
            bucket.acquire().await;
        }
    }

    /// Delays all calls of a class, because the service requested a pause.
    pub fn pause(&self, api: Api, class: CallClass, time: Duration) {
        if let Some(bucket) = self.buckets.get(&(api, class)) {
            bucket.pause(time);
        }
    }

    /// The rate of a class, where there is one.
    pub fn rate(&self, api: Api, class: CallClass) -> Option<Rate> {
        self.buckets.get(&(api, class)).map(|bucket| bucket.rate)
    }
}

fn seconds(value: f64) -> Duration {
    Duration::try_from_secs_f64(value.max(0.0)).unwrap_or(Duration::MAX)
}

impl Bucket {
    fn new(rate: Rate) -> Self {
        let state = State { tokens: rate.burst, filled_at: None, paused_until: None };
        Self { rate, state: Mutex::new(state) }
    }

    async fn acquire(&self) {
        let wait = self.take(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        // The service may have requested a pause while this call waited for its turn.
        while let Some(wait) = self.pause_left(Instant::now()) {
            tokio::time::sleep(wait).await;
        }
    }

    /// Takes a token, be it one that is still to come, and says how long until then.
    fn take(&self, now: Instant) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(filled_at) = state.filled_at {
            let gained = now.duration_since(filled_at).as_secs_f64() * self.rate.per_second;
            state.tokens = (state.tokens + gained).min(self.rate.burst);
        }
        state.filled_at = Some(now);
        state.tokens -= 1.0;
        seconds(-state.tokens / self.rate.per_second)
    }

    fn pause(&self, time: Duration) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let until = Instant::now() + time;
        state.paused_until = state.paused_until.max(Some(until));
    }

    fn pause_left(&self, now: Instant) -> Option<Duration> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.paused_until.map(|until| until.duration_since(now)).filter(|left| !left.is_zero())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_out_at_once_and_the_rest_at_the_rate() {
        let limits = Limits::published();
        let start = Instant::now();
        for _ in 0..10 {
            limits.acquire(Api::Tailscale, CallClass::Read).await;
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
        for _ in 0..4 {
            limits.acquire(Api::Tailscale, CallClass::Write).await;
        }
        assert_eq!(start.elapsed().as_secs(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_holds_back_only_its_own_bucket() {
        let limits = Limits::published();
        limits.pause(Api::Azure, CallClass::Write, Duration::from_secs(23));
        let start = Instant::now();
        limits.acquire(Api::Azure, CallClass::Read).await;
        assert_eq!(start.elapsed(), Duration::ZERO);
        limits.acquire(Api::Azure, CallClass::Write).await;
        assert_eq!(start.elapsed().as_secs(), 23);
    }
}
