//! Lines of JSON.

use std::io::Write;
use std::sync::Mutex;

use schemars::JsonSchema;
use serde::Serialize;

use crate::apply::events::{Event, Outcome, Reporter};
use crate::diagnostics::Failure;
use crate::resource::Kind;

use super::super::plan_json::ActionJson;
use super::lock;

/// The version of the format of `apply --format json`.
const FORMAT_VERSION: &str = "2.2";

/// Writes a line of JSON for each event. The first line has the version of the
/// format; each line has a `type`.
#[derive(Debug)]
pub struct JsonReporter<W> {
    out: Mutex<W>,
}

/// A line of the event stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename_all_fields = "snake_case", tag = "type")]
pub enum EventJson {
    /// The first line.
    Version {
        /// The version of this format, `major.minor`.
        format_version: &'static str,
        /// The version of stargate.
        stargate_version: &'static str,
    },
    /// An iteration starts to execute its plan.
    IterationStarted {
        /// Counted from 1.
        iteration: u32,
        /// The number of changes in its plan.
        changes: usize,
    },
    /// Another process holds the lease of the topology; the apply waits for it.
    WaitingForLease {
        /// The name of the Lease in `kube-system`.
        lease: String,
        /// The holder of the lease.
        holder: String,
        /// The time at which the holder took it, by the holder's clock.
        acquired: String,
        /// The time of the last renewal, by the holder's clock.
        renewed: String,
        /// The time after the last renewal at which it is taken over, in seconds.
        valid_seconds: u64,
    },
    /// A step starts.
    StepStarted {
        /// The address of the resource.
        address: String,
        /// The action.
        action: ActionJson,
    },
    /// A running step reports its progress.
    StepProgress {
        /// The address of the resource.
        address: String,
        /// The activity of the step.
        message: String,
    },
    /// A phase of a step starts, such as the drain of a worker.
    PhaseStarted {
        /// The address of the resource.
        address: String,
        /// The name of the phase.
        phase: String,
    },
    /// A phase of a step succeeded.
    PhaseFinished {
        /// The address of the resource.
        address: String,
        /// The name of the phase.
        phase: String,
        /// The duration in milliseconds.
        duration_ms: u64,
    },
    /// A step ended or was not started.
    StepFinished {
        /// The address of the resource.
        address: String,
        /// The action.
        action: ActionJson,
        /// The outcome.
        outcome: OutcomeJson,
        /// Why the step failed or was not started.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The stable code of a failed step.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<String>,
        /// The remedy for a failed step.
        #[serde(skip_serializing_if = "Option::is_none")]
        remedy: Option<String>,
        /// The address of the resource whose step failed before a skipped step.
        #[serde(skip_serializing_if = "Option::is_none")]
        failed_dependency: Option<String>,
        /// The duration in milliseconds.
        duration_ms: u64,
    },
    /// Something failed that the apply can go on without.
    Warning {
        /// The stable code of the cause.
        code: String,
        /// The failure and its consequence.
        message: String,
        /// The remedy.
        remedy: String,
    },
    /// The apply was interrupted; running steps finish.
    Stopping,
}

/// The outcome of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum OutcomeJson {
    /// The change was made and verified.
    Done,
    /// The resource already had the desired state.
    UpToDate,
    /// The resource changed after the plan was made.
    GuardFailed,
    /// The change failed.
    Failed,
    /// A dependency did not succeed.
    Skipped,
    /// The apply was interrupted before the step started.
    NotStarted,
    /// Too many workers failed before the step started.
    RolloutHalted,
    /// The old object of a replacement is deleted, and the new one was not started.
    HalfReplaced,
}

impl<W: Write> JsonReporter<W> {
    /// A reporter that writes to `out`. Writes the first line.
    pub fn new(out: W) -> Self {
        let reporter = Self { out: Mutex::new(out) };
        reporter.line(&EventJson::Version {
            format_version: FORMAT_VERSION,
            stargate_version: env!("CARGO_PKG_VERSION"),
        });
        reporter
    }

    fn line(&self, event: &EventJson) {
        let mut out = lock(&self.out);
        let written = serde_json::to_string(event)
            .map_err(std::io::Error::from)
            .and_then(|line| writeln!(out, "{line}"))
            .and_then(|()| out.flush());
        // A closed pipe or a full disk must not stop the apply.
        if let Err(error) = written
            && error.kind() != std::io::ErrorKind::BrokenPipe
        {
            tracing::error!(%error, "an event of the apply was not written");
        }
    }
}

impl<W: Write + Send> Reporter for JsonReporter<W> {
    fn event(&self, event: &Event) {
        self.line(&EventJson::from(event));
    }
}

impl From<&Event> for EventJson {
    fn from(event: &Event) -> Self {
        match event.clone() {
            Event::IterationStarted { iteration, changes } => {
                Self::IterationStarted { iteration, changes }
            }
            Event::WaitingForLease { lease, holder, acquired, renewed, valid_seconds, .. } => {
                Self::WaitingForLease { lease, holder, acquired, renewed, valid_seconds }
            }
            Event::StepStarted { address, action } => {
                Self::StepStarted { address: address.to_string(), action: action.into() }
            }
            Event::StepProgress { address, text } => {
                Self::StepProgress { address: address.to_string(), message: text }
            }
            Event::PhaseStarted { address, phase } => {
                Self::PhaseStarted { address: address.to_string(), phase }
            }
            Event::PhaseFinished { address, phase, milliseconds } => Self::PhaseFinished {
                address: address.to_string(),
                phase,
                duration_ms: milliseconds,
            },
            Event::StepFinished { address, action, outcome, milliseconds } => {
                let kind = address.kind;
                let code = match &outcome {
                    Outcome::Failed(failure) => Some(failure.code.to_string()),
                    _ => None,
                };
                let (outcome, reason, remedy, dependency) = outcome_fields(outcome, kind);
                Self::StepFinished {
                    address: address.to_string(),
                    action: action.into(),
                    outcome,
                    reason,
                    code,
                    remedy,
                    failed_dependency: dependency,
                    duration_ms: milliseconds,
                }
            }
            Event::Warning(Failure { code, message, remedy, .. }) => {
                Self::Warning { code: code.to_string(), message, remedy }
            }
            Event::Stopping => Self::Stopping,
        }
    }
}

/// The outcome, the reason, the remedy and the failed dependency.
type OutcomeFields = (OutcomeJson, Option<String>, Option<String>, Option<String>);

fn outcome_fields(outcome: Outcome, kind: Kind) -> OutcomeFields {
    match outcome {
        Outcome::Done => (OutcomeJson::Done, None, None, None),
        Outcome::UpToDate => (OutcomeJson::UpToDate, None, None, None),
        Outcome::GuardFailed { reason } => (OutcomeJson::GuardFailed, Some(reason), None, None),
        Outcome::Failed(Failure { message, remedy, .. }) => {
            (OutcomeJson::Failed, Some(message), Some(remedy), None)
        }
        Outcome::Skipped { because_of } => {
            (OutcomeJson::Skipped, None, None, Some(because_of.to_string()))
        }
        Outcome::NotStarted => (OutcomeJson::NotStarted, None, None, None),
        Outcome::RolloutHalted { reason } => (OutcomeJson::RolloutHalted, Some(reason), None, None),
        Outcome::HalfReplaced { done, reason } => {
            let reason = format!("{done} before: {reason}");
            let remedy = Outcome::half_replaced_remedy(kind).to_owned();
            (OutcomeJson::HalfReplaced, Some(reason), Some(remedy), None)
        }
    }
}
