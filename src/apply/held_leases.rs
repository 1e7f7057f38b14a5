//! The Leases under which a step runs.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::events::Outcome;
use crate::diagnostics::{Code, Failure};
use crate::lease::Validity;
use crate::plan::{Change, Execution};

/// The Leases that an apply holds: its own, and that of the leader.
#[derive(Debug, Clone)]
pub(super) struct HeldLeases(Vec<Validity>);

impl HeldLeases {
    pub(super) fn new(leases: impl IntoIterator<Item = Validity>) -> Self {
        Self(leases.into_iter().collect())
    }

    /// Waits until each of them is valid for a margin longer. Returns whether it is: not if
    /// one of them is lost.
    pub(super) async fn confirmed(&self) -> bool {
        let mut leases = self.0.clone();
        // While one is awaited, the time of another may end.
        while !self.are_valid() {
            for lease in &mut leases {
                if !lease.confirmed().await {
                    return false;
                }
            }
        }
        true
    }

    /// Whether a change has several effects that interrupt workers, as drain and reset.
    pub(super) fn are_needed_throughout(change: &Change) -> bool {
        !matches!(
            change.execution,
            Execution::Api | Execution::Router(_) | Execution::RouteDeletion(_)
        )
    }

    /// Runs a step of several effects under the Leases.
    pub(super) async fn run_step(&self, step: impl Future<Output = Outcome>) -> Outcome {
        self.run(step).await.unwrap_or_else(|| {
            Outcome::Failed(Failure::new(
                Code::LeaseLost,
                "the work was abandoned because a lease was not renewed in time",
                "no action is needed if `stargate watch` runs: the replica that leads continues; \
                 otherwise run the same command again",
            ))
        })
    }

    fn are_valid(&self) -> bool {
        self.0.iter().all(|lease| lease.now() == Some(true))
    }

    /// Runs work of several effects, each of which begins only while the Leases are valid: a
    /// process that was paused in the middle of the work must not continue what another one
    /// has completed by then. `None` if a Lease was lost; then the work is abandoned where it
    /// is, as if the process had been killed.
    async fn run<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let polled = poll_fn(|context| match self.are_valid() {
                true => work.as_mut().poll(context).map(Some),
                false => Poll::Ready(None),
            });
            if let Some(output) = polled.await {
                return Some(output);
            }
            if !self.confirmed().await {
                return None;
            }
        }
    }
}
