//! What mends a way: a change of the plan, somebody's decision, or an edit.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::{Moment, PathModel, Sources, path_model};
use crate::plan::{Blocked, Severity};
use crate::reach::{Cause, Origin, Protocol, Trip, Verdict, trip};
use crate::resource::Address;

/// With more changes than this no smaller set is looked for that mends as well.
const MOST_TRIED: usize = 48;

/// What mends a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mend {
    /// Applying these changes of the plan.
    Apply(Vec<Address>),
    /// Somebody has to decide first.
    Decide(Box<Blocked>),
    /// The plan cannot spell it out before something else exists.
    Wait(Address),
    /// A source has to be read.
    Read {
        /// Why it could not be.
        reason: String,
        /// What to do.
        remedy: String,
    },
    /// The host itself has to be looked at.
    LookAtHost(Address),
    /// Something is wrong that forbids all changes.
    Correct {
        /// What.
        message: String,
        /// What to do.
        remedy: String,
    },
    /// The topology does not ask for it: what to write.
    Write(String),
}

/// A way that is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Question {
    /// Who asks.
    pub from: Ipv4Addr,
    /// Who is asked.
    pub to: Ipv4Addr,
    /// What is asked.
    pub protocol: Protocol,
}

impl Question {
    /// Walks it; nothing where nobody has the asking address.
    pub fn walk(&self, model: &PathModel) -> Option<Trip> {
        let from = model.network.end(self.from)?;
        Some(trip(&model.network, from, self.to, self.protocol))
    }
}

/// Finds what mends a way that does not work now.
pub fn mend(sources: Sources<'_>, question: Question) -> Mend {
    let errors = sources.plan.findings.iter().filter(|it| it.severity == Severity::Error);
    if let Some(error) = errors.into_iter().next() {
        let (message, remedy) = (error.message.clone(), error.remedy.clone());
        return Mend::Correct { message, remedy };
    }
    if let Some(changes) = step_by_step(sources, question) {
        return Mend::Apply(changes);
    }
    let planned = path_model(sources, &Moment::Planned);
    match question.walk(&planned) {
        Some(trip) if trip.reached() => Mend::Apply(fewest(sources, question)),
        Some(trip) => beyond_the_plan(sources, question, &planned, &trip),
        None => Mend::Write(unknown_address(question.from)),
    }
}

/// Makes the change that the drop names, walks again, and so on.
fn step_by_step(sources: Sources<'_>, question: Question) -> Option<Vec<Address>> {
    let changed: BTreeSet<&Address> =
        sources.plan.changes.iter().map(|change| &change.address).collect();
    let mut made = Vec::new();
    loop {
        let model = path_model(sources, &Moment::PlannedOnly(made.iter().cloned().collect()));
        let trip = question.walk(&model)?;
        let Some((_, verdict)) = trip.broken() else { return Some(made) };
        let named = addresses(&model, verdict);
        let next = named.into_iter().find(|it| changed.contains(it) && !made.contains(it))?;
        made.push(next);
    }
}

/// The changes without which the plan would not mend the way.
fn fewest(sources: Sources<'_>, question: Question) -> Vec<Address> {
    let mut needed: BTreeSet<Address> =
        sources.plan.changes.iter().map(|change| change.address.clone()).collect();
    if needed.len() > MOST_TRIED {
        return needed.into_iter().take(1).collect();
    }
    for candidate in needed.clone() {
        let mut fewer = needed.clone();
        fewer.remove(&candidate);
        let model = path_model(sources, &Moment::PlannedOnly(fewer.clone()));
        if question.walk(&model).is_some_and(|trip| trip.reached()) {
            needed = fewer;
        }
    }
    needed.into_iter().collect()
}

/// The resources that a verdict rests on.
pub fn addresses(model: &PathModel, verdict: &Verdict) -> Vec<Address> {
    let origins: &[Origin] = match verdict {
        Verdict::Dropped(drop) => &drop.origins,
        Verdict::Unknown { origin, .. } => std::slice::from_ref(origin),
        Verdict::Arrived(_) | Verdict::Left(_) => &[],
    };
    let address = |origin: &Origin| Some(model.origins.get(*origin)?.address.clone());
    origins.iter().filter_map(address).collect()
}

/// Not even the plan mends it: why not.
fn beyond_the_plan(
    sources: Sources<'_>,
    question: Question,
    planned: &PathModel,
    trip: &Trip,
) -> Mend {
    let Some((_, verdict)) = trip.broken() else { return Mend::Apply(Vec::new()) };
    let named = addresses(planned, verdict);
    let blocked = sources.plan.blocked.iter().find(|blocked| named.contains(&blocked.address));
    if let Some(blocked) = blocked {
        return Mend::Decide(Box::new(blocked.clone()));
    }
    let deferred = sources.plan.deferred.iter().find(|one| named.contains(&one.address));
    if let Some(deferred) = deferred {
        return Mend::Wait(deferred.address.clone());
    }
    if let Verdict::Unknown { .. } = verdict
        && let Some(address) = named.into_iter().next()
    {
        return read(sources, address);
    }
    Mend::Write(match verdict {
        Verdict::Dropped(drop) => edit(question, &drop.cause),
        Verdict::Arrived(_) | Verdict::Unknown { .. } | Verdict::Left(_) => {
            unknown_address(question.to)
        }
    })
}

/// A fact that is missing: the source that did not tell, or a host that nobody
/// looked at.
fn read(sources: Sources<'_>, address: Address) -> Mend {
    let key = sources.desired.get(&address).and_then(|desired| desired.key.as_ref());
    match sources.inventory.gap_for(address.kind, key) {
        Some(gap) => Mend::Read { reason: gap.reason.clone(), remedy: gap.remedy.clone() },
        None => Mend::LookAtHost(address),
    }
}

fn edit(question: Question, cause: &Cause) -> String {
    match cause {
        Cause::PodsNotPlumbed => "give the worker a profile, so that it joins".to_owned(),
        _ => unknown_address(question.to),
    }
}

fn unknown_address(address: Ipv4Addr) -> String {
    format!(
        "nothing that the topology asks for leads to {address}: name its network under \
         `[datacenters.NAME]`, or its machine under `[[datacenters.NAME.workers]]`"
    )
}
