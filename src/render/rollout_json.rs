//! The waves of a plan, for machines.

use schemars::JsonSchema;
use serde::Serialize;

use crate::plan::{Change, Rollout};
use crate::resource::Address;

/// In which waves changes reach the workers. A wave begins when the one before
/// has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RolloutJson {
    /// How many workers the first wave has, which must all succeed; 0 for none.
    pub canary: u32,
    /// How many workers a later wave has at the most.
    pub width: u32,
    /// How many workers may fail before the rest is held back.
    pub max_failures: u32,
    /// The addresses of the workers of each wave.
    pub waves: Vec<Vec<String>>,
}

impl RolloutJson {
    pub(super) fn of(rollout: Rollout, changes: &[Change]) -> Self {
        let texts = |wave: Vec<&Address>| wave.into_iter().map(ToString::to_string).collect();
        Self {
            canary: rollout.canary,
            width: rollout.width,
            max_failures: rollout.max_failures,
            waves: rollout.waves(changes).into_iter().map(texts).collect(),
        }
    }
}
