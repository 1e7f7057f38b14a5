//! Is the object still as the plan saw it?

use crate::inventory::Observed;
use crate::plan::diff;
use crate::plan::{Action, Change};
use crate::resource::{Ownership, Resource};

/// What a step finds before it acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GuardVerdict {
    /// It may act.
    Act,
    /// Nothing is left to do.
    UpToDate,
    /// Somebody changed the object since.
    Stale(String),
}

/// Compares the object as it is with what the plan relied on. Only this
/// object counts: what else changed in the world makes no plan stale.
pub(super) fn check(change: &Change, current: Option<&Observed>) -> GuardVerdict {
    match (change.action, current) {
        (Action::Delete, None) => GuardVerdict::UpToDate,
        (Action::Create, None) => GuardVerdict::Act,
        (_, None) => GuardVerdict::Stale("it is gone".to_owned()),
        (Action::Create, Some(current)) => created_meanwhile(change, current),
        (Action::Delete | Action::Reboot, Some(current)) => unchanged(change, current),
        (Action::Adopt, Some(current)) if current.ownership == Ownership::Foreign => {
            unchanged(change, current)
        }
        (Action::Update | Action::Replace | Action::Adopt, Some(current)) => {
            if is_as_wanted(change, current) {
                GuardVerdict::UpToDate
            } else {
                unchanged(change, current)
            }
        }
    }
}

/// Whether the object already has the value that is wanted.
pub(super) fn is_as_wanted(change: &Change, current: &Observed) -> bool {
    change.after.as_ref().is_some_and(|wanted| {
        diff::between(&current.resource, wanted).is_empty()
            && current.ownership != Ownership::Foreign
            && sees_as_much(change.before.as_ref(), &current.resource)
    })
}

/// A worker's Node looks well whatever somebody broke on the host: where the
/// plan has seen the host, the Node alone does not tell that it was mended.
fn sees_as_much(before: Option<&Resource>, current: &Resource) -> bool {
    match (before, current) {
        (Some(Resource::Worker(before)), Resource::Worker(current)) => {
            before.host.seen().is_none() || current.host.seen().is_some()
        }
        _ => true,
    }
}

fn created_meanwhile(change: &Change, current: &Observed) -> GuardVerdict {
    if current.ownership == Ownership::Foreign {
        return GuardVerdict::Stale(
            "an object without our mark was put there meanwhile".to_owned(),
        );
    }
    if is_as_wanted(change, current) {
        return GuardVerdict::UpToDate;
    }
    // A host, a Node or a device that came up by itself is there before it is
    // configured: that is no interference.
    if current.resource.kind().facts().appears_by_itself {
        return GuardVerdict::Act;
    }
    GuardVerdict::Stale("it was made meanwhile, and differs".to_owned())
}

/// Whether a machine is connected at the moment, or how far its making is,
/// says nothing of what somebody did to it.
fn is_passing(field: &diff::FieldChange) -> bool {
    ["online", "ready", "provisioning"].iter().any(|passing| field.path.0 == [*passing])
}

fn unchanged(change: &Change, current: &Observed) -> GuardVerdict {
    let Some(before) = &change.before else { return GuardVerdict::Act };
    let moved = diff::between(before, &current.resource);
    let moved = moved.iter().find(|field| !is_passing(field));
    match moved {
        None => GuardVerdict::Act,
        Some(field) => GuardVerdict::Stale(format!("its field {} was changed since", field.path)),
    }
}
