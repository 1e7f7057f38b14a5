//! The limits on concurrent steps.

use crate::plan::{Change, MAX_DOWNLOADS, MAX_STEPS_PER_API, Phase};
use crate::resource::Api;

/// Steps of one limit are held back by the same thing, and run side by side up to its
/// width. Steps of one limit do not wait for those of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum StepLimit {
    /// Calls of an API.
    Api(Api),
    /// Downloads of packages. Each runs on its own host.
    Downloads,
}

impl StepLimit {
    /// The limit of a step of a change.
    pub(super) fn of(change: &Change, phase: Phase) -> Self {
        match phase {
            Phase::Prepare => Self::Downloads,
            Phase::Destroy | Phase::Create => Self::Api(change.api()),
        }
    }

    /// How many steps run side by side at the most.
    pub(super) fn width(self) -> u64 {
        match self {
            Self::Api(_) => MAX_STEPS_PER_API,
            Self::Downloads => MAX_DOWNLOADS,
        }
    }
}
