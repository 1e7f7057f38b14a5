//! Runs the steps of one round: ready ones side by side, each under its locks.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::time::Instant;

use super::events::{Event, Outcome};
use super::guard::{self, Verdict};
use super::locks::Locks;
use super::steps::{Half, StepId, Steps};
use super::{Round, effects};
use crate::observe::read_one;
use crate::plan::{Action, Change};
use crate::resource::{Address, Kind, Resource};

/// How many steps run side by side at the most; the budgets of the APIs are
/// what really holds them back.
const WIDTH: usize = 64;
/// How long a service may take to show what was written.
const READ_BACK_WITHIN: Duration = Duration::from_secs(60);
const READ_BACK_POLL: Duration = Duration::from_secs(2);

/// Runs all changes and answers how each one ended.
pub(super) async fn execute(round: &Round<'_>, changes: &[Change]) -> BTreeMap<Address, Outcome> {
    let by_address: BTreeMap<&Address, &Change> =
        changes.iter().map(|change| (&change.address, change)).collect();
    let mut steps = Steps::of(changes);
    let locks = Locks::default();
    let mut outcomes = BTreeMap::new();
    let mut ready: Vec<StepId> = Vec::new();
    let mut running = FuturesUnordered::new();
    loop {
        ready.extend(steps.take_ready());
        while running.len() < WIDTH && !round.run.stop.is_set() {
            let Some(step) = ready.pop() else { break };
            let Some(change) = by_address.get(&step.0) else { continue };
            running.push(run_step(round, &locks, change, step));
        }
        let Some((step, outcome)) = running.next().await else { break };
        if outcome.is_success() {
            steps.done(&step);
        } else {
            for (address, _) in steps.take_dependants(&step) {
                let skipped = Outcome::Skipped { because_of: step.0.clone() };
                finish(round, &by_address, &address, skipped, &mut outcomes);
            }
        }
        if step.1 == Half::Make || !outcome.is_success() {
            outcomes.insert(step.0, outcome);
        }
    }
    for (address, _) in ready.into_iter().chain(steps.take_rest()) {
        finish(round, &by_address, &address, Outcome::NotBegun, &mut outcomes);
    }
    outcomes
}

fn finish(
    round: &Round<'_>,
    changes: &BTreeMap<&Address, &Change>,
    address: &Address,
    outcome: Outcome,
    outcomes: &mut BTreeMap<Address, Outcome>,
) {
    if outcomes.contains_key(address) {
        return;
    }
    let Some(change) = changes.get(address) else { return };
    round.run.reporter.event(&Event::StepFinished {
        address: address.clone(),
        action: change.action,
        outcome: outcome.clone(),
        milliseconds: 0,
    });
    outcomes.insert(address.clone(), outcome);
}

async fn run_step(
    round: &Round<'_>,
    locks: &Locks,
    change: &Change,
    step: StepId,
) -> (StepId, Outcome) {
    let started = Instant::now();
    let value = change.after.as_ref().or(change.before.as_ref());
    let _guards = locks.take(&change.key, value).await;
    let (address, action) = (change.address.clone(), change.action);
    if step.1 == Half::TearDown || change.action != Action::Replace {
        let event = Event::StepStarted { address: address.clone(), action };
        round.run.reporter.event(&event);
    }
    let outcome = match step.1 {
        Half::TearDown => tear_down(round, change).await,
        Half::Make if change.action == Action::Replace => make_anew(round, change).await,
        Half::Make => make(round, change).await,
    };
    let outcome = outcome.unwrap_or_else(std::convert::identity);
    if step.1 == Half::Make || !outcome.is_success() {
        let milliseconds = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let event = Event::StepFinished { address, action, outcome: outcome.clone(), milliseconds };
        round.run.reporter.event(&event);
    }
    (step, outcome)
}

/// Guard → act → verify.
async fn make(round: &Round<'_>, change: &Change) -> Result<Outcome, Outcome> {
    let mut current = read(round, change).await?;
    let unfinished = effects::is_being_made(&current);
    if unfinished {
        effects::wait_until_made(round, change).await?;
        current = read(round, change).await?;
    }
    match guard::check(change, current.observed.as_ref()) {
        // What was waited for, or came with its machine, was made by this apply.
        Verdict::AlreadySo if unfinished || came_by_itself(change) => return Ok(Outcome::Done),
        Verdict::AlreadySo => return Ok(Outcome::AlreadySo),
        Verdict::Stale(reason) => return Err(Outcome::GuardFailed { reason }),
        Verdict::Act => {}
    }
    if change.action == Action::Delete {
        effects::remove(round, change, &current).await?;
        return Ok(Outcome::Done);
    }
    effects::make(round, change, &current).await?;
    verify(round, change).await
}

/// A device joins the tailnet when its machine boots.
fn came_by_itself(change: &Change) -> bool {
    change.action == Action::Create && change.address.kind == Kind::TailnetDevice
}

async fn tear_down(round: &Round<'_>, change: &Change) -> Result<Outcome, Outcome> {
    let current = read(round, change).await?;
    let Some(observed) = &current.observed else { return Ok(Outcome::AlreadySo) };
    if let Verdict::Stale(reason) = guard::check(change, Some(observed)) {
        return Err(Outcome::GuardFailed { reason });
    }
    effects::remove(round, change, &current).await?;
    Ok(Outcome::Done)
}

async fn make_anew(round: &Round<'_>, change: &Change) -> Result<Outcome, Outcome> {
    let current = read(round, change).await?;
    effects::make(round, change, &current).await?;
    verify(round, change).await
}

async fn read(round: &Round<'_>, change: &Change) -> Result<crate::observe::Current, Outcome> {
    let target = effects::router_target(round, change).await?;
    read_one(round.run.doors, round.access.as_ref(), target.as_ref(), round.run.scope, change)
        .await
        .map_err(|error| Outcome::Failed { reason: error.reason, remedy: error.remedy })
}

/// Reads back until what was written is to be seen: lists and devices lag.
async fn verify(round: &Round<'_>, change: &Change) -> Result<Outcome, Outcome> {
    let deadline = Instant::now() + READ_BACK_WITHIN;
    loop {
        let current = read(round, change).await?;
        let differs = match &current.observed {
            None => "it is not there".to_owned(),
            Some(observed) => {
                let wanted = change.after.as_ref();
                match wanted.and_then(|wanted| first_difference(&observed.resource, wanted)) {
                    None => return Ok(Outcome::Done),
                    Some(field) => format!("its field {field} is not as written"),
                }
            }
        };
        if Instant::now() >= deadline {
            return Err(Outcome::Failed {
                reason: format!("{} was written, but {differs}", change.address),
                remedy: "run the same command again; if it stays so, another program writes the \
                         object too"
                    .to_owned(),
            });
        }
        tokio::time::sleep(read_back_poll(change)).await;
    }
}

fn first_difference(observed: &Resource, wanted: &Resource) -> Option<String> {
    crate::plan::diff::between(observed, wanted).first().map(|field| field.path.to_string())
}

fn read_back_poll(change: &Change) -> Duration {
    match change.address.kind {
        Kind::AdvertisedRoutes | Kind::CiliumNode => READ_BACK_POLL / 4,
        _ => READ_BACK_POLL,
    }
}
