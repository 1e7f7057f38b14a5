//! Runs the steps of one iteration: ready ones side by side, each under its locks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::cluster_deletion::ClusterDeletion;
use super::effects::Creation;
use super::events::{Event, Outcome};
use super::guard::{self, GuardVerdict};
use super::held_leases::HeldLeases;
use super::iteration::Iteration;
use super::locks::Locks;
use super::step_limit::StepLimit;
use super::steps::{StepId, StepQueue};
use super::waves::{RolloutDecision, Waves};
use super::{effects, replaced};
use crate::diagnostics::{Code, Failure};
use crate::plan::Phase;
use crate::plan::{Action, Change, Plan};
use crate::provider::read_write::ClusterRead;
use crate::refresh::read_one;
use crate::resource::{Address, Kind, Resource};

/// The time that a service may take to return a written value.
const READ_BACK_TIMEOUT: Duration = Duration::from_secs(60);
const READ_BACK_POLL: Duration = Duration::from_secs(2);

/// Runs all changes and answers how each one ended.
pub(super) async fn execute(iteration: &Iteration<'_>, plan: &Plan) -> BTreeMap<Address, Outcome> {
    let execution = Execution {
        iteration,
        changes: plan.changes.iter().map(|change| (&change.address, change)).collect(),
        locks: Locks::default(),
    };
    let mut state = State {
        steps: StepQueue::of(&plan.changes, &plan.steps),
        waves: Waves::of(plan),
        outcomes: BTreeMap::new(),
        kept: BTreeSet::new(),
        destroyed: BTreeSet::new(),
    };
    let mut running = FuturesUnordered::new();
    let mut at_work: BTreeMap<StepLimit, u64> = BTreeMap::new();
    let mut is_stopping = false;
    loop {
        while !iteration.stop.is_set() {
            let has_room = |limit| count(&at_work, limit) < limit.width();
            let Some(step) = state.steps.take_next(has_room) else { break };
            let Some(change) = execution.changes.get(&step.0).copied() else { continue };
            *at_work.entry(StepLimit::of(change, step.1)).or_default() += 1;
            let is_kept = state.kept.contains(&step.0);
            running.push(execution.run_step(change, step, is_kept));
        }
        tokio::select! {
            biased;
            () = iteration.stop.requested(), if !is_stopping => {
                iteration.reporter.event(&Event::Stopping);
                is_stopping = true;
            }
            ended = running.next() => match ended {
                Some((step, outcome)) => {
                    let change = execution.changes.get(&step.0);
                    let limit = change.map(|change| StepLimit::of(change, step.1));
                    if let Some(running) = limit.and_then(|limit| at_work.get_mut(&limit)) {
                        *running -= 1;
                    }
                    state.ended(&execution, step, outcome);
                }
                None => break,
            },
        }
    }
    for (address, _) in state.steps.take_rest() {
        state.finish(&execution, &address, Outcome::NotStarted);
    }
    state.outcomes
}

fn count(at_work: &BTreeMap<StepLimit, u64>, limit: StepLimit) -> u64 {
    at_work.get(&limit).copied().unwrap_or_default()
}

/// How far an iteration is.
struct State {
    steps: StepQueue,
    waves: Waves,
    outcomes: BTreeMap<Address, Outcome>,
    /// Replacements that were done before.
    kept: BTreeSet<Address>,
    /// Replacements whose old object is deleted.
    destroyed: BTreeSet<Address>,
}

impl State {
    /// Notes how a step ended.
    fn ended(&mut self, execution: &Execution<'_>, step: StepId, outcome: Outcome) {
        if step.1 == Phase::Destroy && outcome == Outcome::UpToDate {
            self.kept.insert(step.0.clone());
        } else if step.1 == Phase::Destroy && outcome == Outcome::Done {
            // What goes with its container is there as long as that is.
            if !step.0.kind.facts().deleted_with_container {
                self.destroyed.insert(step.0.clone());
            }
        }
        match outcome {
            // The prepared step finds and reports the problem.
            _ if step.1 == Phase::Prepare => self.steps.done(&step),
            // Its dependents are not started either.
            Outcome::NotStarted => {
                self.finish(execution, &step.0, outcome.clone());
                self.advance_rollout(execution, &step.0, &outcome);
            }
            outcome if outcome.is_success() => {
                self.steps.done(&step);
                if step.1 == Phase::Create {
                    self.outcomes.insert(step.0.clone(), outcome.clone());
                    self.advance_rollout(execution, &step.0, &outcome);
                }
            }
            outcome => {
                self.outcomes.insert(step.0.clone(), outcome.clone());
                self.skip_dependents(execution, &step);
                self.advance_rollout(execution, &step.0, &outcome);
            }
        }
    }

    /// Reports how a change ended that was not made, or only its first half.
    fn finish(&mut self, execution: &Execution<'_>, address: &Address, outcome: Outcome) {
        let outcome = match self.destroyed.contains(address) {
            true => execution.half_replaced(address, outcome),
            false => outcome,
        };
        execution.finish(address, outcome, &mut self.outcomes);
    }

    fn skip_dependents(&mut self, execution: &Execution<'_>, step: &StepId) {
        for (address, _) in self.steps.take_dependents(step) {
            let skipped = Outcome::Skipped { because_of: step.0.clone() };
            self.finish(execution, &address, skipped.clone());
            self.advance_rollout(execution, &address, &skipped);
        }
    }

    /// Begins the next wave of workers, or ends the rollout.
    fn advance_rollout(&mut self, execution: &Execution<'_>, address: &Address, outcome: &Outcome) {
        match self.waves.ended(address, outcome) {
            RolloutDecision::Nothing => {}
            RolloutDecision::Begin(wave) => self.steps.begin_wave(wave),
            RolloutDecision::Stop(reason) => {
                for step in self.steps.take_where(|address| self.waves.contains(address)) {
                    let held_back = Outcome::RolloutHalted { reason: reason.clone() };
                    self.finish(execution, &step.0, held_back);
                    self.skip_dependents(execution, &step);
                }
            }
        }
    }
}

/// The state that the steps of an iteration share.
struct Execution<'a> {
    iteration: &'a Iteration<'a>,
    changes: BTreeMap<&'a Address, &'a Change>,
    locks: Locks,
}

impl Execution<'_> {
    /// Reports how a change ended that was not made.
    fn finish(
        &self,
        address: &Address,
        outcome: Outcome,
        outcomes: &mut BTreeMap<Address, Outcome>,
    ) {
        if outcomes.contains_key(address) {
            return;
        }
        let Some(change) = self.changes.get(address) else { return };
        self.iteration.reporter.event(&Event::StepFinished {
            address: address.clone(),
            action: change.action,
            outcome: outcome.clone(),
            milliseconds: 0,
        });
        outcomes.insert(address.clone(), outcome);
    }

    /// The outcome of a replacement whose old object is deleted and whose creation was not
    /// started, because of another outcome.
    fn half_replaced(&self, address: &Address, outcome: Outcome) -> Outcome {
        let reason = match outcome {
            Outcome::NotStarted => "the apply stopped first".to_owned(),
            Outcome::Skipped { because_of } => format!("{because_of} did not succeed"),
            Outcome::RolloutHalted { reason } => format!("rollout halted: {reason}"),
            other => return other,
        };
        let done = self.iteration.stages.done_to(address).unwrap_or_else(|| "deleted".to_owned());
        Outcome::HalfReplaced { done, reason }
    }

    async fn run_step(&self, change: &Change, step: StepId, is_kept: bool) -> (StepId, Outcome) {
        let iteration = self.iteration;
        if step.1 == Phase::Prepare {
            effects::prepare(iteration, change).await;
            return (step, Outcome::Done);
        }
        let started = Instant::now();
        let _guards = self.locks.take(change).await;
        // It waited for its locks; a stop or a pause may have happened since.
        if !iteration.lease.confirmed().await {
            return (step, Outcome::NotStarted);
        }
        let (address, action) = (change.address.clone(), change.action);
        if step.1 == Phase::Destroy || change.action != Action::Replace {
            let event = Event::StepStarted { address: address.clone(), action };
            iteration.reporter.event(&event);
        }
        let cluster_deletion = ClusterDeletion::begin(iteration.lease, change, step.1);
        let work = Box::pin(self.effects_of(change, step.1, is_kept));
        let outcome = match HeldLeases::are_needed_throughout(change) {
            true => iteration.lease.leases().await.run_step(work).await,
            false => work.await,
        };
        if let Some(deletion) = cluster_deletion {
            deletion.end(&outcome).await;
        }
        let outcome = iteration.stages.explain(change, step.1, outcome);
        if step.1 == Phase::Create || !outcome.is_success() {
            let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
            let outcome = outcome.clone();
            let event = Event::StepFinished { address, action, outcome, milliseconds };
            iteration.reporter.event(&event);
        }
        (step, outcome)
    }

    async fn effects_of(&self, change: &Change, phase: Phase, is_kept: bool) -> Outcome {
        let iteration = self.iteration;
        let outcome = match phase {
            Phase::Destroy => destroy(iteration, &self.changes, change).await,
            Phase::Prepare => Ok(Outcome::Done),
            Phase::Create if is_kept => Ok(Outcome::UpToDate),
            Phase::Create if change.action == Action::Replace => recreate(iteration, change).await,
            Phase::Create => make(iteration, change).await,
        };
        outcome.unwrap_or_else(std::convert::identity)
    }
}

/// Guard → act → verify. Where the service is the guard of a creation, no read is needed
/// before, unless it refuses.
async fn make(iteration: &Iteration<'_>, change: &Change) -> Result<Outcome, Outcome> {
    let mut refusal = None;
    // The plan may create an object that exists by now.
    let is_there = iteration.inventory.get(&change.key).is_some();
    if effects::is_refused_if_present(change) && !is_there {
        match effects::create(iteration, change).await? {
            Creation::Made(written) => return verify(iteration, change, written).await,
            Creation::Refused(outcome) => refusal = Some(outcome),
        }
    }
    let mut current = read(iteration, change).await?;
    let unfinished = effects::is_provisioning(&current);
    if unfinished {
        effects::wait_until_created(iteration, change).await?;
        current = read(iteration, change).await?;
    }
    match guard::check(change, current.observed.as_ref()) {
        // This apply made an object that it waited for, or that came with its machine.
        GuardVerdict::UpToDate if unfinished || is_created_externally(change) => {
            return Ok(Outcome::Done);
        }
        GuardVerdict::UpToDate => return Ok(Outcome::UpToDate),
        GuardVerdict::Stale(reason) => return Err(Outcome::GuardFailed { reason }),
        // The object does not exist: the service had another reason.
        GuardVerdict::Act => refusal.map_or(Ok(()), Err)?,
    }
    if change.action == Action::Delete {
        effects::check_table(iteration, change).await?;
        effects::remove(iteration, change, &current).await?;
        return Ok(Outcome::Done);
    }
    let written = effects::make(iteration, change, &current).await?;
    verify(iteration, change, written).await
}

/// A device joins the tailnet when its machine boots, and brings the routes that its host
/// advertised before and those that the tailnet's policy approves.
fn is_created_externally(change: &Change) -> bool {
    let kind = change.address.kind;
    change.action == Action::Create
        && matches!(kind, Kind::TailnetDevice | Kind::AdvertisedRoutes | Kind::ApprovedRoutes)
}

/// Deletes the old object of a replacement. `UpToDate` means that it was replaced before,
/// and stays.
async fn destroy(
    iteration: &Iteration<'_>,
    changes: &BTreeMap<&Address, &Change>,
    change: &Change,
) -> Result<Outcome, Outcome> {
    let current = read(iteration, change).await?;
    let Some(observed) = &current.observed else {
        // A worker without a Node may have files of another cluster.
        if change.requested {
            effects::remove(iteration, change, &current).await?;
        }
        return Ok(Outcome::Done);
    };
    if replaced::already(iteration, changes, change).await? {
        return Ok(Outcome::UpToDate);
    }
    if let GuardVerdict::Stale(reason) = guard::check(change, Some(observed)) {
        return Err(Outcome::GuardFailed { reason });
    }
    effects::remove(iteration, change, &current).await?;
    Ok(Outcome::Done)
}

async fn recreate(iteration: &Iteration<'_>, change: &Change) -> Result<Outcome, Outcome> {
    let current = read(iteration, change).await?;
    let written = effects::make(iteration, change, &current).await?;
    verify(iteration, change, written).await
}

pub(super) async fn read(
    iteration: &Iteration<'_>,
    change: &Change,
) -> Result<crate::refresh::Current, Outcome> {
    let target = effects::router_target(iteration, change).await?;
    let cluster: Result<&dyn ClusterRead, &Failure> = match &iteration.cluster {
        Ok(cluster) => Ok(cluster.client.as_ref()),
        Err(failure) => Err(failure),
    };
    read_one(iteration.readers, cluster, target.as_ref(), iteration.settings, change)
        .await
        .map_err(Outcome::Failed)
}

/// Reads back until the written value is visible, because lists and devices lag. A body
/// that the service returned at the end of the write is not read again.
async fn verify(
    iteration: &Iteration<'_>,
    change: &Change,
    mut written: effects::Written,
) -> Result<Outcome, Outcome> {
    let deadline = Instant::now() + READ_BACK_TIMEOUT;
    loop {
        let current = match written.take() {
            Some(current) => *current,
            None => read(iteration, change).await?,
        };
        let differs = match &current.observed {
            None => "it does not exist".to_owned(),
            Some(observed) => {
                let desired = change.after.as_ref();
                match desired.and_then(|desired| first_difference(&observed.resource, desired)) {
                    None => return Ok(Outcome::Done),
                    Some(field) => format!("its field {field} does not have the written value"),
                }
            }
        };
        if Instant::now() >= deadline {
            return Err(Outcome::Failed(Failure::new(
                Code::StepNotVerified,
                format!("{} was written, but {differs}", change.address),
                "run the same command again; if the result is the same, another program writes \
                 the object too",
            )));
        }
        tokio::time::sleep(read_back_poll(change)).await;
    }
}

fn first_difference(observed: &Resource, desired: &Resource) -> Option<String> {
    crate::plan::diff::between(observed, desired).first().map(|field| field.path.to_string())
}

fn read_back_poll(change: &Change) -> Duration {
    match change.address.kind {
        Kind::AdvertisedRoutes | Kind::CiliumNode => READ_BACK_POLL / 4,
        _ => READ_BACK_POLL,
    }
}
