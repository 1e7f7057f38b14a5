//! The changes that `stargate watch` makes by itself.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::topology::located::Located;
use crate::topology::model::AutoApply;

/// The changes that `stargate watch` makes by itself, and how often.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WatchSection {
    /// The changes that are made without approval. The default is `routes`; the others
    /// wait for `stargate apply`.
    pub apply: Option<AutoApply>,
    /// The time between two reads of the live state without another trigger, in
    /// seconds. The default is 300; each interval varies by up to 10 %.
    #[schemars(range(min = 10, max = 86400))]
    pub interval_seconds: Option<Located<u32>>,
    /// The maximum number of objects and routes that are removed without approval within
    /// ten minutes. The default is 50; beyond that, changes wait for `stargate apply`.
    #[schemars(range(min = 1, max = 100000))]
    pub max_removals: Option<Located<u32>>,
}
