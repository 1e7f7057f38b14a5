//! Stops a watch that runs away: one that removes too much or fails too often.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::plan::ApprovalReason;

/// The time in which removals and failures are counted.
const WINDOW: Duration = Duration::from_secs(600);
/// More failed reconciles than this in the window pause writing. Retries are not counted.
const MAX_FAILURES: usize = 7;

/// Removals and failures of the last ten minutes.
#[derive(Debug, Default)]
pub struct BurstGuard {
    removals: VecDeque<(Instant, usize)>,
    failures: VecDeque<Instant>,
}

impl BurstGuard {
    /// Why changes that remove so many objects must not be made now; `None` if they may.
    pub fn refusal(
        &mut self,
        removed: usize,
        limit: usize,
        now: Instant,
    ) -> Option<ApprovalReason> {
        self.forget(now);
        if self.failures.len() > MAX_FAILURES {
            return Some(ApprovalReason::TooManyFailures);
        }
        let lately: usize = self.removals.iter().map(|(_, count)| count).sum();
        // A reconcile without removals is never limited.
        let exceeds = removed > 0 && lately.saturating_add(removed) > limit;
        exceeds.then_some(ApprovalReason::TooManyRemovals)
    }

    /// Counts removals.
    pub fn record_removals(&mut self, removed: usize, now: Instant) {
        self.forget(now);
        if removed > 0 {
            self.removals.push_back((now, removed));
        }
    }

    /// Counts a failed reconcile.
    pub fn record_failure(&mut self, now: Instant) {
        self.forget(now);
        self.failures.push_back(now);
    }

    /// Whether its counts limit what may be done: removals were made, or changes are paused. A
    /// few failures limit nothing.
    pub fn limits(&mut self, now: Instant) -> bool {
        self.forget(now);
        !self.removals.is_empty() || self.failures.len() > MAX_FAILURES
    }

    /// Resets all counts, after a person approved or edited the topology. A plan that
    /// exceeds the limit by itself is refused all the same.
    pub fn reset(&mut self) {
        *self = Self::default();
    }

    fn forget(&mut self, now: Instant) {
        let is_old = |at: Instant| now.duration_since(at) >= WINDOW;
        while self.removals.front().is_some_and(|(at, _)| is_old(*at)) {
            self.removals.pop_front();
        }
        while self.failures.front().is_some_and(|at| is_old(*at)) {
            self.failures.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn removals_beyond_the_limit_wait_until_the_window_has_passed() {
        let (mut guard, start) = (BurstGuard::default(), Instant::now());
        assert_eq!(guard.refusal(50, 50, start), None);
        guard.record_removals(50, start);
        assert!(guard.limits(start) && !BurstGuard::default().limits(start));
        assert_eq!(guard.refusal(1, 50, start), Some(ApprovalReason::TooManyRemovals));
        assert_eq!(guard.refusal(0, 50, start), None, "what removes nothing goes on");
        let almost = start + WINDOW - Duration::from_secs(1);
        assert_eq!(guard.refusal(1, 50, almost), Some(ApprovalReason::TooManyRemovals));
        assert_eq!(guard.refusal(1, 50, start + WINDOW), None);
        assert_eq!(guard.refusal(51, 50, start + WINDOW), Some(ApprovalReason::TooManyRemovals));
    }

    /// A service that is down for days fails reconciles that have nothing to ask about.
    #[test]
    fn only_the_window_is_remembered() {
        let (mut guard, start) = (BurstGuard::default(), Instant::now());
        for minute in 0..10_000 {
            guard.record_failure(start + Duration::from_secs(60 * minute));
            guard.record_removals(1, start + Duration::from_secs(60 * minute));
        }
        assert_eq!((guard.failures.len(), guard.removals.len()), (10, 10));
    }

    #[test]
    fn failures_beyond_the_limit_pause_all_changes_until_a_person_asks_to_go_on() {
        let (mut guard, start) = (BurstGuard::default(), Instant::now());
        for _ in 0..MAX_FAILURES {
            guard.record_failure(start);
            assert_eq!(guard.refusal(0, 50, start), None);
        }
        assert!(!guard.limits(start));
        guard.record_failure(start);
        assert!(guard.limits(start));
        assert_eq!(guard.refusal(0, 50, start), Some(ApprovalReason::TooManyFailures));
        assert!(!guard.limits(start + WINDOW));
        assert_eq!(guard.refusal(0, 50, start + WINDOW), None);
        guard.record_failure(start);
        guard.reset();
        assert_eq!(guard.refusal(0, 50, start), None);
    }
}
