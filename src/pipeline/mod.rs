//! The pipeline from a topology to a plan, for every command.
//!
//! Two stages read live state: lists of everything first, then the objects of the desired
//! state by ID. [`crate::plan::plan()`] does the rest and reads nothing. The clients are
//! [`ReadClients`]: nothing here can write.

mod present_cluster;
mod readiness;

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::connectivity::{PresentTopology, Sources};
use crate::desired::{self, AllocationError, DesiredSet};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Gap, Source};
use crate::plan::impact::Projection;
use crate::plan::saved_plan::{SavedPlanRefusal, approved_part, confirm};
use crate::plan::{Change, OmittedChange, Plan, PlanningInput, plan, unattended};
use crate::provider::clients::ReadClients;
use crate::refresh::{Clock, Observation, Scope, observe};
use crate::resource::Api;
use crate::topology::model::Topology;

pub use present_cluster::PresentCluster;
pub use readiness::Examined;

/// The inputs of a pipeline that makes plans.
#[derive(Clone, Copy)]
pub struct Pipeline<'a> {
    /// Reads live state.
    pub clients: &'a ReadClients,
    /// The topology and the options of the plan.
    pub scope: &'a Scope<'a>,
    /// The current time.
    pub now: &'a Clock,
}

/// Live state, read for one plan.
#[derive(Debug, Clone)]
pub struct Reading {
    /// The live state that was read.
    pub observation: Observation,
    /// The requests that it took, by API.
    pub requests: BTreeMap<Api, u64>,
    /// The day on which it was read, in UTC.
    pub today: Date,
}

/// A plan and its inputs.
#[derive(Debug, Clone)]
pub struct Planned {
    /// The plan.
    pub plan: Plan,
    /// The live state that was read.
    pub observation: Observation,
    /// Changes that live state and topology need beyond the plan. Only a saved plan leaves
    /// some out.
    pub omitted: Vec<OmittedChange>,
}

impl Pipeline<'_> {
    /// Reads live state and plans, without the changes that need approval where the scope
    /// asks for that.
    pub async fn run(&self) -> Planned {
        let reading = self.read().await;
        let input = reading.input(self.scope);
        let plan = match self.scope.options.unattended {
            Some(permitted) => unattended::limit(input, permitted, plan(input)),
            None => plan(input),
        };
        let planned = Planned { plan, observation: reading.observation, omitted: Vec::new() };
        self.with_present_reachability(planned).await
    }

    /// Continues with a saved plan: reads live state, plans, and keeps the changes that were
    /// approved with it.
    pub async fn run_approved(
        &self,
        saved: &Plan,
        is_approved: &(dyn Fn(&Change) -> bool + Sync),
    ) -> Planned {
        let reading = self.read().await;
        let input = reading.input(self.scope);
        let fresh = plan(input);
        let needed = OmittedChange::all(&fresh);
        let plan = approved_part(input, saved, fresh, is_approved);
        let omitted = OmittedChange::not_in(needed, &plan);
        Planned { plan, observation: reading.observation, omitted }
    }

    /// Reads live state, plans, and keeps the changes that the saved plan contains
    /// too.
    ///
    /// # Errors
    ///
    /// The saved plan contains something that the new plan does not.
    pub async fn confirm(&self, saved: &Plan) -> Result<Planned, SavedPlanRefusal> {
        let reading = self.read().await;
        let input = reading.input(self.scope);
        let fresh = plan(input);
        let needed = OmittedChange::all(&fresh);
        let plan = confirm(input, saved, fresh)?;
        let omitted = OmittedChange::not_in(needed, &plan);
        Ok(Planned { plan, observation: reading.observation, omitted })
    }

    /// Reads live state: everything that can be listed, then the objects that the
    /// desired state names. A source that cannot be read becomes a gap.
    pub async fn read(&self) -> Reading {
        let before = self.clients.requests.by_api();
        let mut observation = observe(self.clients, self.scope, self.now).await;
        let desired = desired::build(self.scope.topology, &observation.facts);
        // An exhausted pool is an error of the plan; there is no ID to read.
        let desired = desired.unwrap_or_else(|error| {
            if self.scope.options.destroy {
                observation.inventory.note_fact_gap(unnamed(&error));
            }
            DesiredSet::default()
        });
        observation.refresh_by_id(self.clients, self.scope, &desired).await;
        observation.find_spent_machines(self.clients, self.scope, &desired).await;
        observation.note_joined_places(self.scope.topology);
        let requests = since(&before, &self.clients.requests.by_api());
        let today = (self.now)().to_zoned(TimeZone::UTC).date();
        Reading { observation, requests, today }
    }
}

/// Without its addresses the objects of the topology cannot be read by ID: objects that
/// lists omit may exist.
fn unnamed(error: &AllocationError) -> Gap {
    let message = "objects that the lists of Azure leave out were not looked for by their ids";
    let remedy = "give the datacenter a larger network or pod pool, or remove the worker from the \
                  topology; then run the same command again";
    let failure = Failure::new(Code::SourceGap, message, remedy).caused_by(error.to_string());
    Gap { source: Source::Azure, failure, explained: false, in_part: true }
}

impl Reading {
    /// The input of a plan.
    pub fn input<'a>(&'a self, scope: &'a Scope<'a>) -> PlanningInput<'a> {
        PlanningInput {
            topology: scope.topology,
            options: &scope.options,
            facts: &self.observation.facts,
            inventory: &self.observation.inventory,
            tailnet: &self.observation.tailnet,
            findings: &self.observation.findings,
            requests: &self.requests,
            today: self.today,
        }
    }
}

impl Planned {
    /// The edits of the topology that are not applied yet, if there are any.
    pub fn present_topology(&self, topology: &Topology) -> Option<PresentTopology> {
        PresentTopology::of(self.paths(topology).observed)
    }

    /// The plan and its inputs, for questions about the present state: with the topology as
    /// far as it is applied.
    pub fn present_paths<'a>(
        &'a self,
        topology: &'a Topology,
        present_topology: Option<&'a PresentTopology>,
    ) -> Projection<'a> {
        let projection = self.paths(topology);
        let observed = projection.observed;
        match present_topology {
            Some(present_topology) => {
                let observed = present_topology.sources(observed);
                Projection { observed, is_present: true, ..projection }
            }
            None => projection,
        }
    }

    /// The plan and its inputs.
    pub fn paths<'a>(&'a self, topology: &'a Topology) -> Projection<'a> {
        let observed = Sources {
            topology,
            facts: &self.observation.facts,
            desired: self.plan.desired(),
            inventory: &self.observation.inventory,
        };
        Projection { observed, plan: &self.plan, is_present: false }
    }
}

fn since(before: &BTreeMap<Api, u64>, now: &BTreeMap<Api, u64>) -> BTreeMap<Api, u64> {
    Api::ALL
        .into_iter()
        .map(|api| {
            let count = |counts: &BTreeMap<Api, u64>| counts.get(&api).copied().unwrap_or(0);
            (api, count(now) - count(before))
        })
        .collect()
}
