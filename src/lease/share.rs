//! Shares Leases equally among the processes that could hold each of them.
//!
//! Each renewal of a Lease says how many its holder holds. A process that holds at least two
//! fewer writes a request to the Lease, for one Lease at a time. The holder makes that process
//! the holder if the difference is still as large. So each move makes the shares more equal,
//! and moves end.
//!
//! A holder whose work fails says so in the Lease, which then moves to any process that requests
//! it. A process requests only Leases for which it could read everything that the work needs, and
//! for some time none that it gave away because it failed ([`super::LeaseFitness`]): so a process
//! that cannot work does not collect Leases, and two of them do not exchange one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::identity::LeaseIdentity;
use crate::provider::cluster::{LeaseRecord, LeaseRequest};

/// By how many Leases a holder exceeds a process that may request one: with fewer, a move
/// would only exchange the two.
const MIN_DIFFERENCE: u32 = 2;
/// How long a holder that does not renew keeps a process from requesting another Lease.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// The time until a Lease is requested again whose holder refused: it is at work.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// How many Leases a process holds, and the one that it requests. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct LeaseShare(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    held: u32,
    /// The name of the Lease that was requested, and when.
    requested: Option<(String, Instant)>,
    refused: BTreeMap<String, Instant>,
}

impl LeaseShare {
    /// How many Leases the process holds.
    pub fn count(&self) -> u32 {
        self.state().held
    }

    /// Counts a Lease that was taken.
    pub fn hold(&self, lease: &LeaseIdentity) -> CountedLease {
        let mut state = self.state();
        state.held += 1;
        state.requested.take_if(|(name, _)| name == lease.name());
        CountedLease { share: self.clone(), is_counted: true }
    }

    /// The request to write to the Lease of another process, which has just renewed it.
    pub(super) fn request(
        &self,
        lease: &LeaseIdentity,
        record: &LeaseRecord,
    ) -> Option<LeaseRequest> {
        let (mut state, now) = (self.state(), Instant::now());
        if record.request().is_some() {
            return None;
        }
        // The holder has renewed the Lease, and keeps it.
        if state.requested.take_if(|(name, _)| name == lease.name()).is_some() {
            state.refused.insert(lease.name().to_owned(), now);
        }
        let is_waiting = |(_, since): &(String, Instant)| now - *since < ANSWER_TIMEOUT;
        let was_refused = |since: &Instant| now - *since < REPEAT_AFTER;
        let is_offered = record.is_failing() || record.held()? >= state.held + MIN_DIFFERENCE;
        if !is_offered
            || state.requested.as_ref().is_some_and(is_waiting)
            || state.refused.get(lease.name()).is_some_and(was_refused)
        {
            return None;
        }
        state.requested = Some((lease.name().to_owned(), now));
        Some(LeaseRequest { by: lease.holder.clone(), held: state.held })
    }

    /// The request could not be written.
    pub(super) fn withdraw(&self, lease: &LeaseIdentity) {
        self.state().requested.take_if(|(name, _)| name == lease.name());
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a Lease until it is dropped or given away.
#[derive(Debug)]
pub struct CountedLease {
    share: LeaseShare,
    is_counted: bool,
}

impl CountedLease {
    /// No longer counts the Lease if the process holds enough more of them than the one that
    /// requests it. Returns whether it does.
    pub fn give_to(&mut self, request: &LeaseRequest) -> bool {
        let mut state = self.share.state();
        if !self.is_counted || state.held < request.held.saturating_add(MIN_DIFFERENCE) {
            return false;
        }
        state.held -= 1;
        self.is_counted = false;
        true
    }

    /// No longer counts the Lease, which the process gives away because it fails.
    pub fn give_away(&mut self) {
        if std::mem::take(&mut self.is_counted) {
            self.share.state().held -= 1;
        }
    }
}

impl Drop for CountedLease {
    fn drop(&mut self) {
        self.give_away();
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;
    use crate::provider::cluster::{FAILING_ANNOTATION, HELD_ANNOTATION};
    use crate::resource::names::TopologyName;

    fn lease(number: u32) -> LeaseIdentity {
        LeaseIdentity::of_leader(&TopologyName::new(format!("lab-{number}")), "second")
    }

    /// The Lease of a process that holds so many.
    fn held(count: u32) -> LeaseRecord {
        let annotations = [(HELD_ANNOTATION.to_owned(), count.to_string())].into();
        LeaseRecord { holder: "first".to_owned(), annotations, ..LeaseRecord::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn one_lease_at_a_time_is_requested_of_a_process_that_holds_two_more() {
        let share = LeaseShare::default();
        assert_eq!(share.request(&lease(1), &LeaseRecord::default()), None, "it shares none");
        assert_eq!(share.request(&lease(1), &held(1)), None);
        let request = LeaseRequest { by: "second".to_owned(), held: 0 };
        assert_eq!(share.request(&lease(1), &held(2)), Some(request));
        assert_eq!(share.request(&lease(2), &held(9)), None, "one is requested already");
        let first = share.hold(&lease(1));
        assert_eq!(share.request(&lease(2), &held(2)), None);
        let request = LeaseRequest { by: "second".to_owned(), held: 1 };
        assert_eq!(share.request(&lease(2), &held(3)), Some(request));
        drop(first);
        assert_eq!(share.count(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_lease_of_a_process_that_fails_is_requested_of_any() {
        let share = LeaseShare::default();
        let _led = [3, 4, 5].map(|number| share.hold(&lease(number)));
        let mut record = held(1);
        assert_eq!(share.request(&lease(1), &record), None);
        record.annotations.insert(FAILING_ANNOTATION.to_owned(), "true".to_owned());
        let request = LeaseRequest { by: "second".to_owned(), held: 3 };
        assert_eq!(share.request(&lease(1), &record), Some(request));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_refused_is_requested_again_later() {
        let share = LeaseShare::default();
        assert!(share.request(&lease(1), &held(4)).is_some());
        assert_eq!(share.request(&lease(1), &held(4)), None, "it was refused");
        assert!(share.request(&lease(2), &held(4)).is_some(), "another one is requested");
        share.withdraw(&lease(2));
        assert!(share.request(&lease(2), &held(4)).is_some(), "that one was not written");
        advance(ANSWER_TIMEOUT).await;
        assert_eq!(share.request(&lease(1), &held(4)), None, "it was refused a moment ago");
        assert!(share.request(&lease(3), &held(4)).is_some(), "the former is not answered");
        advance(REPEAT_AFTER).await;
        assert!(share.request(&lease(1), &held(4)).is_some());
    }

    #[test]
    fn a_holder_gives_a_lease_to_a_process_with_two_fewer() {
        let share = LeaseShare::default();
        let mut leases = [1, 2, 3].map(|number| share.hold(&lease(number)));
        let request = |held| LeaseRequest { by: "second".to_owned(), held };
        assert!(!leases[0].give_to(&request(2)));
        assert!(leases[0].give_to(&request(1)));
        assert_eq!(share.count(), 2);
        assert!(!leases[0].give_to(&request(0)), "it is given away");
        assert!(!leases[1].give_to(&request(u32::MAX)));
        drop(leases);
        assert_eq!(share.count(), 0);
    }
}
