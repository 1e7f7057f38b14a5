//! How far the watch is: of hours of events only what is compared.

use std::sync::Mutex;

use stargate::watch::{ReconcileResult, Reconciled, WatchEvent, WatchReporter};

/// Counts reconciles, and keeps the last one.
#[derive(Debug, Default)]
pub(super) struct Progress(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    started: u64,
    failed: u64,
    is_running: bool,
    last: Option<(u64, Reconciled)>,
}

impl Progress {
    /// How many reconciles were started.
    pub(super) fn started(&self) -> u64 {
        self.0.lock().unwrap().started
    }

    /// How many reconciles failed.
    pub(super) fn failed(&self) -> u64 {
        self.0.lock().unwrap().failed
    }

    pub(super) fn is_running(&self) -> bool {
        self.0.lock().unwrap().is_running
    }

    /// The number of the last reconcile that ended, and its end.
    pub(super) fn last(&self) -> Option<(u64, Reconciled)> {
        self.0.lock().unwrap().last.clone()
    }
}

impl WatchReporter for Progress {
    fn event(&self, event: &WatchEvent) {
        let mut state = self.0.lock().unwrap();
        match event {
            WatchEvent::ReconcileStarted { number, .. } => {
                (state.started, state.is_running) = (*number, true);
            }
            WatchEvent::ReconcileFinished { number, reconciled, .. } => {
                state.is_running = false;
                state.failed += u64::from(reconciled.result == ReconcileResult::Failed);
                state.last = Some((*number, reconciled.as_ref().clone()));
            }
            _ => {}
        }
    }
}
