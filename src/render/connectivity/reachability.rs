//! The effect of a plan on reachability, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use crate::plan::impact::{Between, Disruption, Loss, Reachability, Unexamined};

/// The effect of a plan on pairs of nodes, by the pods on them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReachabilityJson {
    /// Pairs reachable before and after.
    pub kept: u64,
    /// Pairs reachable only after the plan.
    pub gained: u64,
    /// Pairs reachable only before the plan, or cut while their whole datacenter or
    /// cluster is created again.
    pub lost: u64,
    /// Pairs of nodes that the plan removes, while their datacenter or pool stays.
    pub removed: u64,
    /// Pairs reachable neither before nor after.
    pub unreachable: u64,
    /// Pairs for which a fact is unknown before or after.
    pub unknown: u64,
    /// The causes of lost pairs.
    pub losses: Vec<LossJson>,
    /// The causes of removed pairs.
    pub removals: Vec<LossJson>,
    /// Pairs that are unreachable for a time during the apply.
    pub disruptions: Vec<DisruptionJson>,
    /// The intermediate states that were not examined.
    pub unexamined: Vec<UnexaminedJson>,
}

/// Resources or nodes without examined intermediate states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct UnexaminedJson {
    /// `deferred` for resources that are known only after apply, `unknown-pods`
    /// for nodes whose pod CIDR is unknown.
    pub reason: String,
    /// How many.
    pub count: u64,
    /// One of them.
    pub example: String,
}

impl UnexaminedJson {
    fn of(found: &Unexamined) -> Self {
        let (reason, count, example) = match found {
            Unexamined::Deferred { count, example } => ("deferred", *count, example.to_string()),
            Unexamined::UnknownPods { count, example } => ("unknown-pods", *count, example.clone()),
        };
        Self { reason: reason.to_owned(), count, example }
    }
}

/// Pairs that are unreachable for a time during the apply.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DisruptionJson {
    /// The maximum number of pairs at one time.
    pub pairs: u64,
    /// The source node of an example pair.
    pub from: String,
    /// The destination node of the example pair.
    pub to: String,
    /// The number of pairs by source and destination site.
    pub sites: Vec<SitePairsJson>,
    /// The addresses of the resources whose changes cause the disruption.
    pub caused_by: Vec<String>,
    /// The estimated duration, in seconds; of a rollout, that of one wave.
    pub estimated_seconds: u64,
    /// The first wave of the rollout in which pairs are disrupted, counted from 1; null
    /// for a disruption outside of the rollout.
    pub first_wave: Option<u32>,
    /// The last such wave.
    pub last_wave: Option<u32>,
}

/// The number of pairs between two sites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SitePairsJson {
    /// The source site.
    pub from: String,
    /// The destination site.
    pub to: String,
    /// The number of pairs.
    pub pairs: u64,
}

impl DisruptionJson {
    fn of(found: &Disruption) -> Self {
        let sites = |one: &Between| SitePairsJson {
            from: one.from.to_string(),
            to: one.to.to_string(),
            pairs: one.pairs,
        };
        Self {
            pairs: found.pairs,
            from: found.example.0.clone(),
            to: found.example.1.clone(),
            sites: found.between.iter().map(sites).collect(),
            caused_by: found.during.iter().map(ToString::to_string).collect(),
            estimated_seconds: found.seconds,
            first_wave: found.waves.map(|waves| waves.first),
            last_wave: found.waves.map(|waves| waves.last),
        }
    }
}

/// Pairs that are lost for one cause.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LossJson {
    /// The number of pairs.
    pub pairs: u64,
    /// The source node of an example pair.
    pub from: String,
    /// The destination node of the example pair.
    pub to: String,
    /// The address of the resource that will drop the packets, or whose removal ends them.
    pub resource: Option<String>,
}

impl ReachabilityJson {
    /// Converts the effect of a plan.
    pub(in crate::render) fn of(found: &Reachability) -> Self {
        let loss = |loss: &Loss| LossJson {
            pairs: loss.pairs,
            from: loss.example.0.clone(),
            to: loss.example.1.clone(),
            resource: loss.resource.as_ref().map(ToString::to_string),
        };
        Self {
            kept: found.kept,
            gained: found.gained,
            lost: found.lost,
            removed: found.removed,
            unreachable: found.broken,
            unknown: found.unknown,
            losses: found.losses.iter().map(loss).collect(),
            removals: found.removals.iter().map(loss).collect(),
            disruptions: found.disruptions.iter().map(DisruptionJson::of).collect(),
            unexamined: found.unexamined.iter().map(UnexaminedJson::of).collect(),
        }
    }
}
