//! The waves of a plan, as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use crate::plan::{Change, Rollout};

/// The waves in which workers change. A wave starts after the previous one ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RolloutJson {
    /// The size of a canary wave, all of which must succeed; 0 for no such wave.
    pub canary: u32,
    /// The maximum number of workers that are disturbed at the same time in one
    /// datacenter. Workers that join for the first time are not counted.
    pub width: u32,
    /// The number of failed workers above which the rollout halts.
    pub max_failures: u32,
    /// The addresses of the workers of each wave, whether they or their machines change.
    pub waves: Vec<Vec<String>>,
}

impl RolloutJson {
    pub(super) fn of(rollout: Rollout, changes: &[Change]) -> Self {
        Self {
            canary: rollout.canary,
            width: rollout.width,
            max_failures: rollout.max_failures,
            waves: rollout
                .waves(changes)
                .iter()
                .map(|wave| wave.iter().map(ToString::to_string).collect())
                .collect(),
        }
    }
}
