//! How many pairs of nodes' pods a plan keeps, gains, loses and disrupts.

use serde::{Deserialize, Serialize};

use super::disruption::Disruption;
use crate::diagnostics::counted;
use crate::resource::Address;

/// How many disruptions are listed as text.
const MAX_SHOWN: usize = 6;

/// How many pairs of nodes' pods are reachable before and after a plan.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reachability {
    /// Reached before and after.
    pub kept: u64,
    /// Reached only after.
    pub gained: u64,
    /// Reached only before, or cut for as long as a whole datacenter or cluster is
    /// created again.
    pub lost: u64,
    /// Pairs of nodes that the plan removes, while their datacenter or pool stays.
    #[serde(default)]
    pub removed: u64,
    /// Reached neither before nor after.
    pub broken: u64,
    /// Pairs of nodes by their own addresses that are dropped; counted where a plan
    /// changes nothing.
    #[serde(default)]
    pub nodes_dropped: u64,
    /// A fact is missing before or after the plan, or is known only after apply.
    pub unknown: u64,
    /// Why pairs are lost.
    pub losses: Vec<Loss>,
    /// Changes that remove nodes and with them pairs.
    #[serde(default)]
    pub removals: Vec<Loss>,
    /// Pairs that are temporarily unreachable while the plan is applied.
    #[serde(default)]
    pub disruptions: Vec<Disruption>,
    /// Parts of the plan for which the intermediate states were not examined.
    #[serde(default)]
    pub unexamined: Vec<Unexamined>,
    /// Whether the user allowed the loss of pairs.
    pub loss_allowed: bool,
}

/// Something that the intermediate states were not examined for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Unexamined {
    /// Deferred resources: the next plan reports the pairs that their changes disrupt.
    Deferred {
        /// How many.
        count: u64,
        /// One of them.
        example: Address,
    },
    /// Nodes whose pod addresses are unknown before the plan.
    UnknownPods {
        /// How many.
        count: u64,
        /// One of them.
        example: String,
    },
}

impl Unexamined {
    /// The sentence that the plan prints.
    pub fn sentence(&self) -> String {
        match self {
            Self::Deferred { count, example } => format!(
                "not examined: the disruption by {} that {} known only after apply, such as \
                 {example}",
                counted(*count, "resource"),
                if *count == 1 { "is" } else { "are" },
            ),
            Self::UnknownPods { count, example } => format!(
                "not examined: the pairs of {} whose pod CIDR is unknown, such as {example}",
                counted(*count, "node"),
            ),
        }
    }
}

/// Pairs that are lost for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// How many.
    pub pairs: u64,
    /// The nodes of one of them.
    pub example: (String, String),
    /// The resource that will drop the packets.
    pub resource: Option<Address>,
}

impl Reachability {
    /// How many pairs there are.
    pub fn pairs(&self) -> u64 {
        self.kept + self.gained + self.lost + self.removed + self.broken + self.unknown
    }

    /// The same pairs where none of the changes is made.
    pub(crate) fn of_nothing_changed(&self) -> Self {
        Self {
            kept: self.kept + self.lost + self.removed,
            broken: self.broken + self.gained,
            unknown: self.unknown,
            nodes_dropped: self.nodes_dropped,
            loss_allowed: self.loss_allowed,
            ..Self::default()
        }
    }

    /// Whether packets are dropped that no change of the plan affects. Pairs of nodes
    /// count if no pair of pods is dropped.
    pub fn leaves_pairs_broken(&self) -> bool {
        self.broken + self.nodes_dropped > 0
    }

    /// The pairs that stay broken as a clause, such as `2 of 12 pairs are dropped`.
    pub fn broken_summary(&self) -> String {
        let be = |count| if count == 1 { "is" } else { "are" };
        match (self.broken, self.nodes_dropped) {
            (0, nodes) => format!("{} of nodes {} dropped", counted(nodes, "pair"), be(nodes)),
            (pods, _) => {
                format!("{pods} of {} {} dropped", counted(self.pairs(), "pair"), be(pods))
            }
        }
    }

    /// The losses and their causes as text: `loses 4 pairs, for example …`.
    pub fn loss_summaries(&self) -> Vec<String> {
        self.losses.iter().map(|loss| loss.summary("loses", "")).collect()
    }

    /// The pairs that go with their nodes as text: `removes 4 pairs with their node, …`.
    pub fn removal_summaries(&self) -> Vec<String> {
        let summary = |loss: &Loss| loss.summary("removes", " together with a node");
        self.removals.iter().map(summary).collect()
    }

    /// The disruptions and their causes as text, those of the most pairs first.
    pub fn disruption_summaries(&self) -> Vec<String> {
        let displayed = self.disruptions.iter().take(MAX_SHOWN);
        let mut summaries: Vec<String> = displayed.map(Disruption::summary).collect();
        let more = self.disruptions.len().saturating_sub(MAX_SHOWN);
        if more > 0 {
            summaries.push(format!("and {}", counted(more, "more disruption")));
        }
        summaries
    }

    /// Whether pairs are lost although the user did not allow it.
    pub fn is_refused(&self) -> bool {
        self.lost > 0 && !self.loss_allowed
    }
}

impl Loss {
    fn summary(&self, verb: &str, manner: &str) -> String {
        let (from, to) = &self.example;
        let resource = self.resource.as_ref().map(|it| format!(", because of {it}"));
        let resource = resource.unwrap_or_default();
        let pairs = counted(self.pairs, "pair");
        format!("{verb} {pairs}{manner}, for example {from} to {to}{resource}")
    }
}

/// A change, and those that it should wait for.
pub type Wait = (Address, Vec<Address>);
