//! What a plan does to who reaches whom, for machines.

use schemars::JsonSchema;
use serde::Serialize;

use crate::plan::impact::{Between, Disruption, Loss, Reachability, Unexamined};

/// What becomes of the pairs of nodes' pods.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ReachabilityJson {
    /// Reached before and after.
    pub kept: u64,
    /// Reached only after.
    pub gained: u64,
    /// Reached only before.
    pub lost: u64,
    /// Reached neither before nor after.
    pub broken: u64,
    /// A fact is missing, or is to come, before or after.
    pub unknown: u64,
    /// Why pairs are lost.
    pub losses: Vec<LossJson>,
    /// Who is not reached for a time while the plan is carried out.
    pub disruptions: Vec<DisruptionJson>,
    /// What of the states in between was not examined.
    pub unexamined: Vec<UnexaminedJson>,
}

/// Something that no state in between was examined for.
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

/// Pairs that are not reached for a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct DisruptionJson {
    /// How many at one time, at the most.
    pub pairs: u64,
    /// The node that asks in one of them.
    pub from: String,
    /// The node that is asked.
    pub to: String,
    /// From which side to which, and how many.
    pub between: Vec<BetweenJson>,
    /// The resources whose changes they come from.
    pub during: Vec<String>,
    /// How long, by the usual time of what is done meanwhile.
    pub seconds: u64,
}

/// Pairs of two sides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct BetweenJson {
    /// The side that asks.
    pub from: String,
    /// The side that is asked.
    pub to: String,
    /// How many pairs.
    pub pairs: u64,
}

impl DisruptionJson {
    fn of(found: &Disruption) -> Self {
        let between = |one: &Between| BetweenJson {
            from: one.from.to_string(),
            to: one.to.to_string(),
            pairs: one.pairs,
        };
        Self {
            pairs: found.pairs,
            from: found.example.0.clone(),
            to: found.example.1.clone(),
            between: found.between.iter().map(between).collect(),
            during: found.during.iter().map(ToString::to_string).collect(),
            seconds: found.seconds,
        }
    }
}

/// Pairs that are lost for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct LossJson {
    /// How many.
    pub pairs: u64,
    /// The node that asks in one of them.
    pub from: String,
    /// The node that is asked.
    pub to: String,
    /// The resource whose fact will drop their packets.
    pub resource: Option<String>,
}

impl ReachabilityJson {
    /// The same for machines.
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
            broken: found.broken,
            unknown: found.unknown,
            losses: found.losses.iter().map(loss).collect(),
            disruptions: found.disruptions.iter().map(DisruptionJson::of).collect(),
            unexamined: found.unexamined.iter().map(UnexaminedJson::of).collect(),
        }
    }
}
