//! Pairs that are temporarily unreachable while a plan is applied.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::diagnostics::counted;
use crate::resource::{Address, Site};

/// The maximum number of names in one sentence.
const MAX_NAMED: usize = 3;

/// Pairs that are reached before the plan, are not lost with it, and are temporarily
/// unreachable in between.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disruption {
    /// The maximum number of pairs disrupted at one time.
    pub pairs: u64,
    /// The nodes of one of them.
    pub example: (String, String),
    /// From which site to which, and how many.
    pub between: Vec<Between>,
    /// The changes that it comes from.
    pub during: Vec<Address>,
    /// The expected duration in seconds: the usual time of the changes in `during`; of
    /// a rollout, the time of one wave.
    pub seconds: u64,
    /// The waves of the rollout in which pairs are disrupted.
    #[serde(default)]
    pub waves: Option<WaveRange>,
    /// Whether other pairs of the same nodes' pool follow.
    #[serde(default)]
    pub is_rolling: bool,
}

/// Waves of a rollout, counted from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaveRange {
    /// The first one.
    pub first: u32,
    /// The last one.
    pub last: u32,
}

impl WaveRange {
    fn summary(self) -> String {
        match (self.first, self.last) {
            (first, last) if first == last => format!(" in wave {first}"),
            (first, last) => format!(" in each of the waves {first} to {last}"),
        }
    }
}

impl Disruption {
    /// The sentence that the plan prints.
    pub(super) fn summary(&self) -> String {
        let time = match self.seconds {
            0..=90 => format!("about {} s", self.seconds),
            seconds => format!("about {} min", seconds.div_ceil(60)),
        };
        let sites: BTreeSet<String> = self.between.iter().map(Between::sites).collect();
        let during: Vec<String> = self.during.iter().map(ToString::to_string).collect();
        let (from, to) = &self.example;
        format!(
            "disrupts {} for {time}{} ({}), for example {from} to {to}, because of {}",
            self.counted_pairs(),
            self.waves.map(WaveRange::summary).unwrap_or_default(),
            listed(sites.into_iter().collect()),
            listed(during),
        )
    }
}

impl Disruption {
    fn counted_pairs(&self) -> String {
        let pairs = counted(self.pairs, "pair");
        let is_spread = self.waves.is_some_and(|waves| waves.first < waves.last);
        let is_spread = is_spread || self.is_rolling;
        if is_spread { format!("at most {pairs} at a time") } else { pairs }
    }
}

impl Between {
    /// Both sites, regardless of the direction.
    fn sites(&self) -> String {
        let (one, other) = (self.from.to_string(), self.to.to_string());
        if one == other {
            return format!("within {one}");
        }
        format!("{} - {}", (&one).min(&other), (&one).max(&other))
    }
}

/// The first few of a list, and how many more.
fn listed(mut names: Vec<String>) -> String {
    let more = names.len().saturating_sub(MAX_NAMED);
    names.truncate(MAX_NAMED);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    names.join(", ")
}

/// How many pairs of two sites.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Between {
    /// The source's site.
    pub from: Site,
    /// The destination's site.
    pub to: Site,
    /// How many pairs.
    pub pairs: u64,
}
