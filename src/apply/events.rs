//! Events of an apply, as data. All reporters receive them.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::diagnostics::Failure;
use crate::plan::Action;
use crate::resource::{Address, Kind};

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "event")]
pub enum Event {
    /// An iteration of refresh → plan → execute begins to execute.
    IterationStarted {
        /// 1 for the first.
        iteration: u32,
        /// How many changes it makes.
        changes: usize,
    },
    /// Another applier holds the Lease; the apply waits for it.
    WaitingForLease {
        /// The name of the Lease.
        lease: String,
        /// The holder of the Lease.
        holder: String,
        /// Whether the holder destroys the topology.
        destroys: bool,
        /// When the holder took it, by the holder's clock.
        acquired: String,
        /// When the holder renewed it last, by the holder's clock.
        renewed: String,
        /// How long after its last renewal it is taken over, in seconds.
        valid_seconds: u64,
    },
    /// A step begins.
    StepStarted {
        /// The resource.
        address: Address,
        /// The action of the change.
        action: Action,
    },
    /// A step reports its progress.
    StepProgress {
        /// The resource.
        address: Address,
        /// The current activity.
        text: String,
    },
    /// A phase of a step starts: operations on workers have several.
    PhaseStarted {
        /// The resource.
        address: Address,
        /// The name of the phase.
        phase: String,
    },
    /// A phase of a step succeeded.
    PhaseFinished {
        /// The resource.
        address: Address,
        /// The name of the phase.
        phase: String,
        /// How long it took.
        milliseconds: u64,
    },
    /// A step ended.
    StepFinished {
        /// The resource.
        address: Address,
        /// The action of the change.
        action: Action,
        /// How it ended.
        outcome: Outcome,
        /// How long it took.
        milliseconds: u64,
    },
    /// A failure that the apply does not depend on.
    Warning(Failure),
    /// The apply was asked to stop; running steps finish.
    Stopping,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "outcome")]
pub enum Outcome {
    /// It was done, and the read-back has the desired value.
    Done,
    /// It was so already: nothing was written.
    UpToDate,
    /// The object is not as it was when the plan was made.
    GuardFailed {
        /// The difference.
        reason: String,
    },
    /// It failed.
    Failed(Failure),
    /// It was not started, because a step that it depends on did not end well.
    Skipped {
        /// The failed or skipped step.
        because_of: Address,
    },
    /// It was not started, because the apply was asked to stop.
    NotStarted,
    /// It was not started, because too many of those before it failed.
    RolloutHalted {
        /// How many, or which one.
        reason: String,
    },
    /// A replacement ended between its two phases: the old object is deleted, and the new
    /// one was not started.
    HalfReplaced {
        /// The completed actions on the old object, as a participle such as `drained and
        /// reset`.
        done: String,
        /// Why the new one was not started.
        reason: String,
    },
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Outcome {
    /// The remedy for a replacement that ended half-way.
    pub fn half_replaced_remedy(kind: Kind) -> &'static str {
        match kind {
            Kind::Worker => "run the same command again: the worker then joins the cluster again",
            _ => "run the same command again: the resource is then created again",
        }
    }

    /// Whether the resource now has the desired value.
    pub fn is_success(&self) -> bool {
        matches!(self, Self::Done | Self::UpToDate)
    }
}

/// Takes events; the steps of an iteration report them from several tasks.
pub trait Reporter: Send + Sync {
    /// Takes one event.
    fn event(&self, event: &Event);

    /// Names the running steps. Called at intervals during an apply, for readers who see no
    /// progress otherwise.
    fn remind(&self) {}
}

/// Takes events and does nothing with them.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoReporter;

impl Reporter for NoReporter {
    fn event(&self, _event: &Event) {}
}

impl<T: Reporter + ?Sized> Reporter for Arc<T> {
    fn event(&self, event: &Event) {
        (**self).event(event);
    }

    fn remind(&self) {
        (**self).remind();
    }
}
