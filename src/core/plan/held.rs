//! Resources that a plan does not change, although they differ.

use serde::{Deserialize, Serialize};

use super::Action;
use super::diff::FieldChange;
use crate::diagnostics::{Code, Failure};
use crate::resource::{Address, Kind};

/// A resource whose value is unknown until another change is applied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferred {
    /// The resource.
    pub address: Address,
    /// The expected action, as far as it is known.
    pub action: Action,
    /// Resources that must exist first.
    pub waits_for: Vec<Address>,
    /// Fields that are known already, and those that are pending.
    pub fields: Vec<FieldChange>,
    /// The rule of the topology that requires it.
    pub planned_because_of: String,
    /// Its interruption, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interrupts: Option<String>,
    /// Whether it is changed only if the changes before it have a certain result. It is
    /// approved with the plan, and not counted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_conditional: bool,
}

impl Deferred {
    /// A deferred change of a resource that waits for no other resource yet.
    pub(super) fn new(address: Address, action: Action, reason: impl Into<String>) -> Self {
        Self {
            address,
            action,
            waits_for: Vec::new(),
            fields: Vec::new(),
            planned_because_of: reason.into(),
            interrupts: None,
            is_conditional: false,
        }
    }

    /// Whether its values are known, and it only waits until workers have moved: the object stays
    /// as it is until then.
    pub(super) fn waits_for_workers(&self) -> bool {
        let mut awaited = self.waits_for.iter();
        !self.waits_for.is_empty() && awaited.all(|address| address.kind == Kind::Worker)
    }

    /// Whether the change only adds entries to an existing resource (routes, rules) once
    /// another change yields their values. Until then the resource stays as it is.
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
    /// The action that is blocked.
    pub action: Action,
    /// Field by field.
    pub fields: Vec<FieldChange>,
    /// The reason and the remedy.
    pub failure: Failure,
    /// The blocked resource that this one only waits for.
    pub caused_by: Option<Address>,
    /// The rule of the topology that requires it.
    pub planned_because_of: String,
}
