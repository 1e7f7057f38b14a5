//! What mends a way: a change of the plan, somebody's decision, or an edit.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use crate::connectivity::{
    IntermediateState, PathModel, Provenance, Sources, addresses, path_model, provenance,
};
use crate::dataplane::{Cause, Protocol, RoundTrip, Verdict, trace_round_trip};
use crate::inventory::Source;
use crate::plan::{Blocked, Severity};
use crate::resource::{Address, Kind};

/// With more changes than this no smaller set is looked for that mends as well.
const MAX_TRIED: usize = 48;

/// What mends a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
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
    /// Hosts themselves have to be looked at.
    LookAtHosts,
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
    pub fn walk(&self, model: &PathModel) -> Option<RoundTrip> {
        let from = model.network.end(self.from)?;
        Some(trace_round_trip(&model.network, from, self.to, self.protocol))
    }
}

/// Finds what mends a way that does not work now.
pub fn find_remedy(sources: Sources<'_>, question: Question) -> Remedy {
    let errors = sources.plan.findings.iter().filter(|it| it.severity == Severity::Error);
    if let Some(error) = errors.into_iter().next() {
        let (message, remedy) = (error.failure.message.clone(), error.failure.remedy.clone());
        return Remedy::Correct { message, remedy };
    }
    if let Some(changes) = step_by_step(sources, question) {
        return Remedy::Apply(changes);
    }
    let planned = path_model(sources, &IntermediateState::Planned);
    match question.walk(&planned) {
        Some(round_trip) if round_trip.reached() => Remedy::Apply(fewest(sources, question)),
        Some(round_trip) => beyond_the_plan(sources, question, &planned, &round_trip),
        None => match first_deferred(sources) {
            Some(address) => Remedy::Wait(address),
            None => Remedy::Write(unknown_address(question.from)),
        },
    }
}

/// What is deferred may bring an address that nobody has yet: a worker first.
fn first_deferred(sources: Sources<'_>) -> Option<Address> {
    let deferred = sources.plan.deferred.iter().map(|deferred| &deferred.address);
    deferred.min_by_key(|address| address.kind != Kind::Worker).cloned()
}

/// Makes the change that the drop names, walks again, and so on.
fn step_by_step(sources: Sources<'_>, question: Question) -> Option<Vec<Address>> {
    let changed: BTreeSet<&Address> =
        sources.plan.changes.iter().map(|change| &change.address).collect();
    let mut made = Vec::new();
    loop {
        let model =
            path_model(sources, &IntermediateState::PlannedOnly(made.iter().cloned().collect()));
        let round_trip = question.walk(&model)?;
        let Some((_, verdict)) = round_trip.broken() else { return Some(made) };
        let named = addresses(&model, verdict);
        let next = named.into_iter().find(|it| changed.contains(it) && !made.contains(it))?;
        made.push(next);
    }
}

/// The changes without which the plan would not mend the way.
fn fewest(sources: Sources<'_>, question: Question) -> Vec<Address> {
    let mut needed: BTreeSet<Address> =
        sources.plan.changes.iter().map(|change| change.address.clone()).collect();
    if needed.len() > MAX_TRIED {
        return needed.into_iter().take(1).collect();
    }
    for candidate in needed.clone() {
        let mut fewer = needed.clone();
        fewer.remove(&candidate);
        let model = path_model(sources, &IntermediateState::PlannedOnly(fewer.clone()));
        if question.walk(&model).is_some_and(|round_trip| round_trip.reached()) {
            needed = fewer;
        }
    }
    needed.into_iter().collect()
}

/// Not even the plan mends it: why not.
fn beyond_the_plan(
    sources: Sources<'_>,
    question: Question,
    planned: &PathModel,
    round_trip: &RoundTrip,
) -> Remedy {
    let Some((_, verdict)) = round_trip.broken() else { return Remedy::Apply(Vec::new()) };
    let named = addresses(planned, verdict);
    let blocked = sources.plan.blocked.iter().find(|blocked| named.contains(&blocked.address));
    if let Some(blocked) = blocked {
        return Remedy::Decide(Box::new(blocked.clone()));
    }
    let deferred = sources.plan.deferred.iter().find(|one| named.contains(&one.address));
    if let Some(deferred) = deferred {
        return Remedy::Wait(deferred.address.clone());
    }
    if let Verdict::Unknown { .. } = verdict
        && let Some(provenance) = provenance(planned, verdict).into_iter().next()
    {
        return read(sources, provenance);
    }
    Remedy::Write(match verdict {
        Verdict::Dropped(drop) => edit(question, &drop.cause),
        Verdict::Arrived(_) | Verdict::Unknown { .. } | Verdict::Left(_) => {
            unknown_address(question.to)
        }
    })
}

/// A fact that is missing: the source that did not tell, or a host that nobody
/// looked at.
pub(super) fn read(sources: Sources<'_>, provenance: &Provenance) -> Remedy {
    let Provenance { address, source } = provenance;
    let inventory = sources.inventory;
    let key = sources.desired.get(address).and_then(|desired| desired.key.as_ref());
    let of_host = || inventory.gap_at(&Source::Host(address.name.clone()));
    let gap = inventory.gap_at(source).or_else(|| inventory.gap_for(address.kind, key));
    if let Some(gap) = gap.or_else(of_host) {
        let reason = format!("{} could not be read: {}", gap.source, gap.failure);
        return Remedy::Read { reason, remedy: gap.failure.remedy.clone() };
    }
    match (address.kind, source) {
        (Kind::Worker, _) => Remedy::LookAtHost(address.clone()),
        (Kind::RouterHost, _) => Remedy::Read {
            reason: format!("nobody looked at {address}: it has no address in the tailnet"),
            remedy: "see `stargate status`".to_owned(),
        },
        (Kind::ManagedCluster, Source::Kubernetes) => Remedy::Read {
            reason: "Azure has not told yet which pods a node of AKS has".to_owned(),
            remedy: "wait until it has, then run the same command again".to_owned(),
        },
        _ => Remedy::Read {
            reason: format!("{address} is nothing that stargate reads"),
            remedy: "look at it in the portal".to_owned(),
        },
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
