//! The interruption that a change causes while it is made.

use super::impact::restart_of;
use super::orphans::interruption;
use super::rollout::restarts_worker;
use super::{Action, Change};
use crate::resource::Resource;
use crate::resource::azure::MachineRole;
use crate::resource::restarts::Restart;

/// The interruption by a replacement or a restart; `None` for any other change.
pub(super) fn of(change: &Change) -> Option<Option<String>> {
    if change.action == Action::Replace {
        return Some(change.before.as_ref().and_then(interruption));
    }
    if change.action != Action::Update {
        return None;
    }
    let restart = restart_of(change)?;
    let name = &change.address.name;
    Some(Some(if restarts_worker(change) {
        format!("the pods on {name} are evicted, then {name} restarts")
    } else if restarts_router(change) {
        format!("pods lose connectivity through {name} while it restarts")
    } else {
        restart.interruption(name)
    }))
}

/// Whether a change restarts the machine of a router.
pub(super) fn restarts_router(change: &Change) -> bool {
    matches!(
        &change.after,
        Some(Resource::VirtualMachine(machine)) if machine.role == MachineRole::Router
    ) && restart_of(change) == Some(Restart::Machine)
}
