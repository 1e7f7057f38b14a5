//! Ignored drift as JSON.

use schemars::JsonSchema;
use serde::Serialize;

use super::plan_json::{FieldJson, field};
use crate::plan::IgnoredDrift;

/// Fields of a resource that differ and that the topology ignores.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct IgnoredJson {
    /// The address.
    pub address: String,
    /// The fields: their current values, and those of the topology.
    pub fields: Vec<FieldJson>,
    /// The reason in the topology.
    pub reason: String,
    /// The last day on which they are ignored, or null.
    pub until: Option<String>,
}

impl IgnoredJson {
    /// Converts ignored drift.
    pub(super) fn of(ignored: &IgnoredDrift) -> Self {
        Self {
            address: ignored.address.to_string(),
            fields: ignored.fields.iter().map(field).collect(),
            reason: ignored.reason.clone(),
            until: ignored.until.map(|until| until.to_string()),
        }
    }
}
