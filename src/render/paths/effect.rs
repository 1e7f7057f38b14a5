//! What a plan does to who reaches whom, for machines.

use schemars::JsonSchema;
use serde::Serialize;

use crate::plan::paths::{Loss, Reachability};

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
        }
    }
}
