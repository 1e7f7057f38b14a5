//! Until when a held Lease is certain to be held.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// A held Lease, as its holder may rely on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hold {
    /// No other process takes it before this time of this process' monotonic clock.
    Until(Instant),
    /// It was released on purpose.
    Released,
    /// Another process holds it, or may hold it.
    Lost,
}

/// Follows the renewals of a Lease. Work begins only while the Lease is valid for a margin
/// longer: a process that was paused finds at once that its time is over.
#[derive(Debug, Clone)]
pub struct Validity {
    hold: watch::Receiver<Hold>,
    margin: Duration,
}

impl Validity {
    pub(super) fn new(hold: watch::Receiver<Hold>, margin: Duration) -> Self {
        Self { hold, margin }
    }

    /// Whether work may begin now; `None` if a renewal has to be awaited.
    pub fn now(&self) -> Option<bool> {
        match *self.hold.borrow() {
            Hold::Until(until) => (Instant::now() + self.margin < until).then_some(true),
            Hold::Released => Some(true),
            Hold::Lost => Some(false),
        }
    }

    /// Waits until work may begin. Returns whether it may: not if the Lease is lost.
    pub async fn confirmed(&mut self) -> bool {
        loop {
            self.hold.mark_unchanged();
            if let Some(answer) = self.now() {
                return answer;
            }
            if self.hold.changed().await.is_err() {
                return self.now().unwrap_or(false);
            }
        }
    }

    /// Waits until the Lease is lost or released.
    pub async fn ended(&mut self) {
        // The sender is dropped with the Lease.
        let _ = self.hold.wait_for(|hold| !matches!(hold, Hold::Until(_))).await;
    }
}
