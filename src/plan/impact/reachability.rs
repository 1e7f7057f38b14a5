//! How many pairs of nodes' pods a plan keeps, gains, loses and disrupts.

use serde::{Deserialize, Serialize};

use super::disruption::Disruption;
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
    /// Reached only before.
    pub lost: u64,
    /// Reached neither before nor after.
    pub broken: u64,
    /// A fact is missing before or after the plan, or is known only after apply.
    pub unknown: u64,
    /// Why pairs are lost.
    pub losses: Vec<Loss>,
    /// Pairs that are temporarily unreachable while the plan is applied.
    #[serde(default)]
    pub disruptions: Vec<Disruption>,
    /// What was left out when the intermediate states were examined.
    #[serde(default)]
    pub unexamined: Vec<Unexamined>,
    /// Whether the user allowed the loss of pairs.
    pub loss_allowed: bool,
}

/// Something that the intermediate states were not examined for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "reason")]
pub enum Unexamined {
    /// Resources whose values are known only after apply: the next plan reports
    /// which pairs their changes disrupt.
    Deferred {
        /// How many.
        count: u64,
        /// One of them.
        example: Address,
    },
    /// Nodes whose pods' addresses are not known before the plan.
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

fn counted(count: u64, noun: &str) -> String {
    format!("{count} {noun}{}", if count == 1 { "" } else { "s" })
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

    /// The losses and their causes as text: `loses 4 pairs, for example …`.
    pub fn loss_summaries(&self) -> Vec<String> {
        let summary = |loss: &Loss| {
            let (from, to) = &loss.example;
            let resource = loss.resource.as_ref().map(|it| format!(", because of {it}"));
            let noun = if loss.pairs == 1 { "pair" } else { "pairs" };
            let resource = resource.unwrap_or_default();
            format!("loses {} {noun}, for example {from} to {to}{resource}", loss.pairs)
        };
        self.losses.iter().map(summary).collect()
    }

    /// The disruptions and their causes as text, those of the most pairs first.
    pub fn disruption_summaries(&self) -> Vec<String> {
        let displayed = self.disruptions.iter().take(MAX_SHOWN);
        let mut summaries: Vec<String> = displayed.map(Disruption::summary).collect();
        let more = self.disruptions.len().saturating_sub(MAX_SHOWN);
        if more > 0 {
            summaries.push(format!("and {more} more disruptions"));
        }
        summaries
    }

    /// Whether pairs are lost although the user did not allow it.
    pub fn is_refused(&self) -> bool {
        self.lost > 0 && !self.loss_allowed
    }
}

/// A change, and those that it should wait for.
pub type Wait = (Address, Vec<Address>);
