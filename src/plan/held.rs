//! Resources that a plan does not change, although they differ.

use serde::{Deserialize, Serialize};

use super::Action;
use super::diff::FieldChange;
use crate::diagnostics::{Code, Failure};
use crate::resource::Address;

/// A resource whose value cannot be known yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferred {
    /// The resource.
    pub address: Address,
    /// What will be done to it, as far as it is known.
    pub action: Action,
    /// Resources that must exist first.
    pub waits_for: Vec<Address>,
    /// Fields that are known already, and those that are pending.
    pub fields: Vec<FieldChange>,
    /// The rule of the topology that requires it.
    pub planned_because_of: String,
}

impl Deferred {
    /// Whether it only adds to what the resource has, once another change shows what:
    /// until then it stays as it is.
    pub(super) fn is_follow_up(&self) -> bool {
        self.action == Action::Update && self.fields.is_empty()
    }
}

impl Blocked {
    /// Whether it would take the place of an object of another name or kind, which stays
    /// because its end was not permitted.
    pub(super) fn keeps_predecessor(&self) -> bool {
        self.action == Action::Create
            && matches!(self.failure.code, Code::ReplacementNotRequested | Code::Protected)
    }
}

/// A change that the topology asks for and that must not be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// The resource.
    pub address: Address,
    /// What would be done.
    pub action: Action,
    /// Field by field.
    pub fields: Vec<FieldChange>,
    /// Why, and what to do.
    pub failure: Failure,
    /// The blocked resource that this one only waits for.
    pub caused_by: Option<Address>,
    /// The rule of the topology that requires it.
    pub planned_because_of: String,
}
