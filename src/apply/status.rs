//! How an apply ended.

use std::collections::BTreeMap;

use super::events::Outcome;
use crate::diagnostics::Failure;
use crate::plan::saved_plan::SavedPlanRefusal;
use crate::plan::{OmittedChange, Plan};
use crate::resource::Address;

/// The result of an apply.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The last outcome of each resource, over all iterations.
    pub outcomes: BTreeMap<Address, Outcome>,
    /// How many changes were made, over all iterations: a resource may be changed in several.
    pub changes_made: usize,
    /// How many iterations it took.
    pub iterations: u32,
    /// How it ended.
    pub status: ApplyStatus,
    /// The changes that remain, by the last plan.
    pub remaining: Option<Plan>,
    /// Changes that a saved plan does not contain and that live state and topology need, by the
    /// last plan.
    pub omitted: Vec<OmittedChange>,
    /// Whether the Nodes, which record the hosts of workers, could not be read when a destroy
    /// began.
    pub began_unread: bool,
}

/// How an apply ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplyStatus {
    /// Live state matches the topology.
    Converged,
    /// Steps failed, or a later plan holds changes that were not approved.
    Partial(Failure),
    /// Objects changed after the plan was made.
    Stale,
    /// Another apply changed the infrastructure while this one waited for the Lease, so that
    /// the approved plan is out of date. Nothing was changed.
    Overtaken(Failure),
    /// A saved plan contains changes that a plan made now does not.
    Refused(SavedPlanRefusal),
    /// All remaining changes are blocked.
    Blocked,
    /// It was asked to stop.
    Interrupted,
}
