//! Errors, warnings and notes of a plan.

use serde::{Deserialize, Serialize};

use crate::diagnostics::Failure;
use crate::resource::Address;

/// Something that the user should know, or must resolve first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad it is.
    pub severity: FindingSeverity,
    /// The resource that it is about, if it is about one.
    pub address: Option<Address>,
    /// The problem and its remedy.
    pub failure: Failure,
}

impl Finding {
    /// A finding about no single resource.
    pub fn new(severity: FindingSeverity, failure: Failure) -> Self {
        Self { severity, address: None, failure }
    }
}

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingSeverity {
    /// The plan can go on.
    Warning,
    /// Nothing can be applied.
    Error,
}
