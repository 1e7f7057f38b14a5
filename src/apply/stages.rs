//! Records the completed actions on workers in an iteration: a step that ends early must
//! report the state in which it leaves its worker.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::events::Outcome;
use crate::bootstrap::Stage;
use crate::plan::{Action, Change, Phase};
use crate::resource::{Address, Kind};

/// The completed stages by worker, in their order.
#[derive(Debug, Default)]
pub(super) struct CompletedStages(Mutex<BTreeMap<Address, Vec<Stage>>>);

impl CompletedStages {
    /// Notes a completed stage. A worker that is uncordoned serves pods as before.
    pub(super) fn add(&self, address: &Address, stage: Stage) {
        let mut stages = self.stages();
        match stage {
            Stage::Uncordon => drop(stages.remove(address)),
            stage => stages.entry(address.clone()).or_default().push(stage),
        }
    }

    /// The completed actions on a worker that does not serve pods as before, as a
    /// participle; `None` if there were none.
    pub(super) fn done_to(&self, address: &Address) -> Option<String> {
        let stages = self.stages();
        let mut words: Vec<&str> = stages.get(address)?.iter().filter_map(participle).collect();
        // `drained` implies that no pods are scheduled on the worker.
        if words.contains(&"drained") {
            words.retain(|word| *word != "cordoned");
        }
        words.dedup();
        let last = words.pop()?;
        Some(if words.is_empty() {
            last.to_owned()
        } else {
            format!("{} and {last}", words.join(", "))
        })
    }

    /// A failure that says in which state it leaves the object, where that is not the
    /// state before the apply.
    pub(super) fn explain(&self, change: &Change, phase: Phase, outcome: Outcome) -> Outcome {
        let Outcome::Failed(failure) = outcome else { return outcome };
        let is_recreated = phase == Phase::Create && change.action == Action::Replace;
        let worker = match change.address.kind {
            Kind::Worker => "it",
            _ => "its worker",
        };
        let state = match self.done_to(&change.address) {
            Some(done) if is_recreated => format!("{worker} was {done}, and has not joined again"),
            Some(done) if done == "cordoned" => format!("{worker} stays cordoned"),
            Some(done) => {
                format!("{worker} was {done}, and stays cordoned until the change succeeds")
            }
            None if is_recreated => "the old object was deleted before".to_owned(),
            None => return Outcome::Failed(failure),
        };
        let message = format!("{}; {state}", failure.message.trim_end_matches('.'));
        Outcome::Failed(failure.with_message(message))
    }

    fn stages(&self) -> MutexGuard<'_, BTreeMap<Address, Vec<Stage>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn participle(stage: &Stage) -> Option<&'static str> {
    match stage {
        Stage::Cordon => Some("cordoned"),
        Stage::Drain => Some("drained"),
        Stage::Reset => Some("reset"),
        Stage::Removal => Some("removed from the cluster"),
        Stage::Restart => Some("restarted"),
        Stage::Ready | Stage::Uncordon => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_state_of_a_worker_names_its_completed_stages() {
        let address: Address = "worker/dc1/lab-worker-1".parse().unwrap();
        let stages = CompletedStages::default();
        assert_eq!(stages.done_to(&address), None);
        stages.add(&address, Stage::Cordon);
        assert_eq!(stages.done_to(&address).as_deref(), Some("cordoned"));
        stages.add(&address, Stage::Drain);
        assert_eq!(stages.done_to(&address).as_deref(), Some("drained"));
        stages.add(&address, Stage::Reset);
        stages.add(&address, Stage::Removal);
        let done = "drained, reset and removed from the cluster";
        assert_eq!(stages.done_to(&address).as_deref(), Some(done));
        stages.add(&address, Stage::Uncordon);
        assert_eq!(stages.done_to(&address), None);
    }
}
