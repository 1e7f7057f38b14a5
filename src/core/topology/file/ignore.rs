//! Known drift that plans leave as it is.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::topology::located::Located;

/// A field that others set, such as a policy that adds a security rule. Plans show it as
/// ignored and keep its value. Dropped packets and foreign objects are still reported.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct IgnoreSection {
    /// The address of the resources; `*` stands for any characters of its kind, site or
    /// name.
    pub address: Located<String>,
    /// The field as plans print it, such as `rules[policy-*]`, and everything below it.
    pub field: Located<String>,
    /// The owner of the field, and why it sets it.
    pub reason: Located<String>,
    /// The last day on which the drift is ignored, such as `2026-12-31`. By default it is
    /// ignored forever.
    pub until: Option<Located<String>>,
}
