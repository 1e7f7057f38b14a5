//! The loss of a held Lease: it stops the apply, unless the cluster that holds the Lease is
//! being deleted by the apply itself.

use std::sync::{Mutex, MutexGuard, PoisonError};

use super::stop::StopSignal;
use crate::lease::LeaseLoss;

/// Why a Lease was lost, if it was.
#[derive(Debug, Default)]
pub(super) struct Loss(Mutex<LossState>);

#[derive(Debug, Default)]
struct LossState {
    reason: Option<LeaseLoss>,
    is_expected: bool,
}

impl Loss {
    /// The Lease was lost.
    pub(super) fn happened(&self, reason: LeaseLoss, stop: &StopSignal) {
        let mut state = self.state();
        // The new holder makes changes too, even if the cluster is being deleted.
        let is_taken = matches!(reason, LeaseLoss::TakenOver { .. });
        state.is_expected &= !is_taken;
        state.reason = Some(reason);
        if !state.is_expected {
            stop.stop();
        }
    }

    /// The cluster is about to be deleted: the API server ends at any time.
    pub(super) fn expect(&self) {
        self.state().is_expected = true;
    }

    /// The cluster stays.
    pub(super) fn expect_no_longer(&self, stop: &StopSignal) {
        let mut state = self.state();
        state.is_expected = false;
        if state.reason.is_some() {
            stop.stop();
        }
    }

    /// Whether the Lease may be lost.
    pub(super) fn is_expected(&self) -> bool {
        self.state().is_expected
    }

    /// The reason, if it is one to stop for.
    pub(super) fn reason(&self) -> Option<LeaseLoss> {
        let state = self.state();
        state.reason.clone().filter(|_| !state.is_expected)
    }

    fn state(&self) -> MutexGuard<'_, LossState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_renewed() -> LeaseLoss {
        LeaseLoss::NotRenewed { seconds: 61, reason: "no answer".to_owned() }
    }

    #[test]
    fn a_loss_stops_the_apply_unless_the_cluster_goes() {
        let (loss, stop) = (Loss::default(), StopSignal::default());
        loss.happened(not_renewed(), &stop);
        assert!(stop.is_set());
        assert_eq!(loss.reason(), Some(not_renewed()));

        let (loss, stop) = (Loss::default(), StopSignal::default());
        loss.expect();
        loss.happened(not_renewed(), &stop);
        assert!(!stop.is_set());
        assert_eq!(loss.reason(), None);
        // Azure did not delete the cluster, and nothing was renewed in the meantime.
        loss.expect_no_longer(&stop);
        assert!(stop.is_set());
        assert_eq!(loss.reason(), Some(not_renewed()));
    }

    #[test]
    fn another_process_that_has_the_lease_stops_the_apply_always() {
        let (loss, stop) = (Loss::default(), StopSignal::default());
        loss.expect();
        loss.happened(LeaseLoss::TakenOver { by: "another apply".to_owned() }, &stop);
        assert!(stop.is_set() && !loss.is_expected());
    }
}
