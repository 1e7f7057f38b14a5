//! Changes that something undoes end the apply.

use std::sync::Mutex;

use stargate::apply::ApplyStatus;
use stargate::apply::events::{Event, Outcome, Reporter};
use stargate::diagnostics::Code;
use stargate::sandbox::faults::Fault;

use crate::harness::{Deployment, RefreshOptions};

/// Undoes a change as soon as it is made.
struct Undo<'a> {
    deployment: &'a Deployment,
    fault: Fault,
    undone: Mutex<usize>,
}

impl Reporter for Undo<'_> {
    fn event(&self, event: &Event) {
        if matches!(event, Event::StepFinished { outcome: Outcome::Done, .. }) {
            *self.undone.lock().unwrap() += 1;
            self.deployment.inject(self.fault, None);
        }
    }
}

/// Without an end, an apply would make the same change in each of its iterations.
#[tokio::test(start_paused = true)]
async fn a_change_that_is_undone_at_once_is_made_once() {
    for fault in [Fault::RouteMissing, Fault::TailnetRouteUnapproved, Fault::NicForwardingOff] {
        let deployment = Deployment::example_applied().await;
        deployment.inject(fault, None);
        let options = RefreshOptions::default();
        let planned = deployment.refresh_and_plan(&options).await;
        let changes = planned.plan.changes.len();
        let reporter = Undo { deployment: &deployment, fault, undone: Mutex::default() };
        let applied = deployment.apply_planned(&options, planned, &reporter).await;
        let ApplyStatus::Partial(failure) = &applied.status else {
            panic!("{fault:?}: {:?}", applied.status)
        };
        assert_eq!(failure.code, Code::NoProgress, "{fault:?}");
        assert!(failure.message.contains("again"), "{fault:?}: {}", failure.message);
        assert!(failure.remedy.contains("find the tool"), "{fault:?}: {}", failure.remedy);
        assert!(*reporter.undone.lock().unwrap() <= 2 * changes, "{fault:?}");
    }
}
