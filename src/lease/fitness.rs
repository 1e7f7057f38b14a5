//! Whether a process can do the work under a Lease that it holds or could request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// So many failures one after the other let another process have the Lease.
const MAX_FAILURES: u32 = 3;
/// For how long a process does not request a Lease that it gave away because it failed: it
/// doubles each time, until the process succeeds.
const BACK_OFF: Duration = Duration::from_secs(600);
/// How often that doubles: up to 160 minutes.
const MAX_DOUBLINGS: u32 = 4;

/// The fitness of a process for the work under a Lease, by its attempts. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LeaseFitness(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Whether everything that the work needs could be read; `None` if it was not tried.
    is_read: Option<bool>,
    /// How many attempts failed since the last one that succeeded.
    failures: u32,
    /// How often the Lease was given away because the process failed.
    given_away: u32,
    not_before: Option<Instant>,
}

impl LeaseFitness {
    /// Notes whether the process could read everything that the work needs.
    pub fn note_read(&self, is_complete: bool) {
        self.state().is_read = Some(is_complete);
    }

    /// Whether another read is due before the process may request the Lease.
    pub fn is_read_due(&self) -> bool {
        self.state().is_read == Some(false)
    }

    /// Notes how the work ended under the Lease.
    pub fn note_work(&self, succeeded: bool) {
        let mut state = self.state();
        if succeeded {
            *state = State { is_read: state.is_read, ..State::default() };
        } else {
            state.failures = state.failures.saturating_add(1);
        }
    }

    /// Whether another process should hold the Lease: the work failed several times in a row.
    pub fn is_failing(&self) -> bool {
        self.state().failures >= MAX_FAILURES
    }

    /// The process holds the Lease from now on. What failed before does not count.
    pub fn begin(&self) {
        self.state().failures = 0;
    }

    /// The Lease is given to another process because this one fails.
    pub fn note_given_away(&self) {
        let mut state = self.state();
        let back_off = BACK_OFF * 2_u32.pow(state.given_away.min(MAX_DOUBLINGS));
        state.failures = 0;
        state.given_away = state.given_away.saturating_add(1);
        state.not_before = Some(Instant::now() + back_off);
    }

    /// Whether the process may request the Lease from its holder.
    pub(super) fn may_request(&self) -> bool {
        let state = self.state();
        state.is_read == Some(true) && state.not_before.is_none_or(|it| it <= Instant::now())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[test]
    fn a_lease_is_requested_after_a_complete_read_only() {
        let fitness = LeaseFitness::default();
        assert!(!fitness.may_request() && !fitness.is_read_due(), "nothing was tried");
        fitness.note_read(false);
        assert!(!fitness.may_request() && fitness.is_read_due());
        fitness.note_read(true);
        assert!(fitness.may_request() && !fitness.is_read_due());
    }

    #[test]
    fn failures_in_a_row_make_a_process_unfit() {
        let fitness = LeaseFitness::default();
        let fails = || {
            fitness.note_work(false);
            fitness.is_failing()
        };
        assert_eq!([fails(), fails()], [false, false]);
        fitness.note_work(true);
        assert_eq!([fails(), fails()], [false, false], "the row was interrupted");
        fitness.begin();
        assert_eq!([fails(), fails(), fails()], [false, false, true]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_process_that_failed_waits_longer_each_time_until_it_succeeds() {
        let fitness = LeaseFitness::default();
        fitness.note_read(true);
        for minutes in [10, 20, 40, 80, 160, 160] {
            fitness.note_given_away();
            fitness.note_read(true);
            advance(Duration::from_secs(60 * minutes - 1)).await;
            assert!(!fitness.may_request(), "{minutes}");
            advance(Duration::from_secs(1)).await;
            assert!(fitness.may_request(), "{minutes}");
        }
        fitness.note_work(true);
        fitness.note_given_away();
        advance(BACK_OFF).await;
        assert!(fitness.may_request());
    }
}
