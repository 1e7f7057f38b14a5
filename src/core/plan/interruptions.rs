//! The interruption that a change causes while it is made.

use super::impact::restart_of;
use super::orphans::interruption;
use super::rollout::restarts_worker;
use super::{Action, Change};
use crate::resource::azure::MachineRole;
use crate::resource::restarts::Restart;
use crate::resource::{ArmId, Resource};

/// The interruption by a replacement or a restart; `None` for any other change.
pub(super) fn of(change: &Change) -> Option<Option<String>> {
    if change.action == Action::Replace {
        return Some(change.before.as_ref().and_then(interruption));
    }
    if change.action != Action::Update {
        return None;
    }
    if let Some(group) = detached_group(change) {
        let (group, interface) = (group.name(), &change.address.name);
        return Some(Some(format!("security group {group} no longer filters {interface}")));
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

/// The security group that a change takes off a network interface. No such group is the
/// topology's: its owner may have put it there on purpose.
pub(super) fn detached_group(change: &Change) -> Option<&ArmId> {
    match (&change.before, &change.after) {
        (Some(Resource::NetworkInterface(before)), Some(Resource::NetworkInterface(after)))
            if change.action == Action::Update =>
        {
            let removed = before.network_security_group.as_ref();
            removed.filter(|_| after.network_security_group.is_none())
        }
        _ => None,
    }
}

/// Whether a change restarts the machine of a router.
pub(super) fn restarts_router(change: &Change) -> bool {
    matches!(
        &change.after,
        Some(Resource::VirtualMachine(machine)) if machine.role == MachineRole::Router
    ) && restart_of(change) == Some(Restart::Machine)
}
