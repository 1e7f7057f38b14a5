//! The waves of a plan, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use crate::plan::{Change, Rollout};
use crate::resource::Address;

/// The waves in which workers change. A wave starts after the previous one ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RolloutJson {
    /// The size of the first wave, all of which must succeed; 0 for no such wave.
    pub canary: u32,
    /// The maximum size of later waves.
    pub width: u32,
    /// The number of failed workers above which the rollout halts.
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
