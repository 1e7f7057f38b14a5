//! What a plan does to who reaches whom.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::disruption::{Disruption, disruptions};
use crate::connectivity::snapshot::{PairStatus, Snapshot};
use crate::connectivity::{IntermediateState, Sources, path_model};
use crate::resource::Address;

/// How many interruptions are told of in words.
const MAX_SHOWN: usize = 6;

/// How many pairs of nodes' pods fare how before and after a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reachability {
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
    pub losses: Vec<Loss>,
    /// Who is not reached for a time while the plan is carried out.
    #[serde(default)]
    pub disruptions: Vec<Disruption>,
    /// Whether somebody said that pairs may be lost.
    pub loss_allowed: bool,
}

/// Pairs that are lost for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// How many.
    pub pairs: u64,
    /// The nodes of one of them.
    pub example: (String, String),
    /// The resource whose fact will drop their packets.
    pub resource: Option<Address>,
}

impl Reachability {
    /// How many pairs there are.
    pub fn pairs(&self) -> u64 {
        self.kept + self.gained + self.lost + self.broken + self.unknown
    }

    /// What is lost and why, as text: `loses 4 pairs, for example …`.
    pub fn told_losses(&self) -> Vec<String> {
        let told = |loss: &Loss| {
            let (from, to) = &loss.example;
            let resource = loss.resource.as_ref().map(|it| format!(", because of {it}"));
            let noun = if loss.pairs == 1 { "pair" } else { "pairs" };
            let resource = resource.unwrap_or_default();
            format!("loses {} {noun}, for example {from} to {to}{resource}", loss.pairs)
        };
        self.losses.iter().map(told).collect()
    }

    /// Who is cut off for a time, the most pairs first, and because of what.
    pub fn told_interruptions(&self) -> Vec<String> {
        let shown = self.disruptions.iter().take(MAX_SHOWN);
        let mut told: Vec<String> = shown.map(Disruption::told).collect();
        let more = self.disruptions.len().saturating_sub(MAX_SHOWN);
        if more > 0 {
            told.push(format!("and {more} more disruptions"));
        }
        told
    }

    /// Whether pairs are lost that nobody said may be.
    pub fn is_refused(&self) -> bool {
        self.lost > 0 && !self.loss_allowed
    }
}

/// Walks between the pods of all nodes, before and after the plan. Nodes that
/// come or go with it, and those whose pods nobody could read of before it, are
/// left out.
pub fn reachability(sources: Sources<'_>) -> Reachability {
    let before = path_model(sources, &IntermediateState::Observed);
    let after = path_model(sources, &IntermediateState::Planned);
    let nodes = Snapshot::nodes_of_both(&before, &after);
    let before = Snapshot::of(before, &nodes);
    let after = Snapshot::of(after, &nodes);
    let mut found = compare(&before, &after);
    found.disruptions = disruptions(sources, &nodes, &before, &after);
    found
}

/// Nodes that are alike before and alike after are counted, not walked.
fn compare(before: &Snapshot, after: &Snapshot) -> Reachability {
    let mut found = Reachability::default();
    let mut losses: BTreeMap<Option<Address>, Loss> = BTreeMap::new();
    Snapshot::pairs_alike([before, after], |[from, to], pairs| {
        match (before.fares(from[0], to[0]), after.fares(from[1], to[1])) {
            (PairStatus::Unknown, _) | (_, PairStatus::Unknown) => found.unknown += pairs,
            (PairStatus::Reached, PairStatus::Reached) => found.kept += pairs,
            (PairStatus::Dropped, PairStatus::Reached) => found.gained += pairs,
            (PairStatus::Dropped, PairStatus::Dropped) => found.broken += pairs,
            (PairStatus::Reached, PairStatus::Dropped) => {
                found.lost += pairs;
                if let Some((example, resource)) = after.obstacle(from[1], to[1]) {
                    let loss = Loss { pairs, example, resource };
                    let known = losses.entry(loss.resource.clone());
                    known.and_modify(|known| known.pairs += pairs).or_insert(loss);
                }
            }
        }
    });
    found.losses = losses.into_values().collect();
    found
}
