//! The running steps of an apply, as a reminder for logs.

use std::collections::BTreeMap;

use tokio::time::Instant;

use crate::apply::events::Event;
use crate::resource::Address;

use super::super::text::{counted, elapsed, wrap};

/// Running steps that a reminder names.
const MAX_NAMED: usize = 5;

/// The steps that are running, and the steps that they wait for.
#[derive(Debug, Default)]
pub(super) struct RunningSteps {
    steps: BTreeMap<Address, RunningStep>,
    /// The Lease that is waited for, and its holder.
    lease: Option<String>,
}

#[derive(Debug)]
struct RunningStep {
    since: Instant,
    /// Its activity, in words of its last progress.
    progress: String,
}

impl RunningSteps {
    /// Updates the steps that an event starts or ends.
    pub(super) fn note(&mut self, event: &Event) {
        match event {
            Event::IterationStarted { .. } => self.lease = None,
            Event::WaitingForLease { lease, holder, .. } => {
                self.lease = Some(format!("the lease {lease}, held by {holder}"));
            }
            Event::StepStarted { address, .. } => {
                let step = RunningStep { since: Instant::now(), progress: String::new() };
                self.steps.insert(address.clone(), step);
            }
            Event::StepProgress { address, text: progress }
            | Event::PhaseStarted { address, phase: progress } => {
                if let Some(step) = self.steps.get_mut(address) {
                    step.progress.clone_from(progress);
                }
            }
            Event::StepFinished { address, .. } => drop(self.steps.remove(address)),
            Event::PhaseFinished { .. } | Event::Warning(_) | Event::Stopping => {}
        }
    }

    /// The lines that name the running steps, the oldest first.
    pub(super) fn lines(&self) -> Vec<String> {
        let mut steps: Vec<_> = self.steps.iter().collect();
        steps.sort_by_key(|(_, step)| step.since);
        let mut texts: Vec<String> =
            steps.iter().take(MAX_NAMED).map(|(address, step)| step.text(address)).collect();
        let more = steps.len().saturating_sub(MAX_NAMED);
        if more > 0 {
            texts.push(format!("still running: {}", counted(more, "more step")));
        }
        if texts.is_empty() {
            let awaited = self.lease.as_deref().unwrap_or("the next plan: reading the live state");
            texts.push(format!("still waiting for {awaited}"));
        }
        texts.iter().flat_map(|text| wrap(text, "    ", "      ")).collect()
    }
}

impl RunningStep {
    fn text(&self, address: &Address) -> String {
        let took = elapsed(self.since.elapsed());
        match self.progress.as_str() {
            "" => format!("still running: {address} ({took})"),
            progress => format!("still running: {address}: {progress} ({took})"),
        }
    }
}
