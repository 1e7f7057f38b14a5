//! A machine stays while the one that would take its place is not created.

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::protection::{Retained, blocked_for};
use super::{Action, Blocked, Change};
use crate::diagnostics::Failure;
use crate::resource::azure::MachineRole;
use crate::resource::{Address, Kind, Resource};

/// Blocks the deletion of each VM whose successor is blocked (the new router of its site,
/// or the worker of its name) and adds the VM to the retained objects.
pub(super) fn retain(
    input: Comparison<'_>,
    retained: &mut Vec<Retained>,
    decisions: &mut ResourceDecisions,
) {
    let missing: Vec<Successor> = decisions
        .values()
        .filter_map(|decision| match decision {
            ResourceDecision::Blocked(blocked) => Successor::of(input, blocked),
            _ => None,
        })
        .collect();
    for decision in decisions.values_mut().filter(|_| !missing.is_empty()) {
        let ResourceDecision::Change(change) = decision else { continue };
        let Some(successor) = missing.iter().find(|it| it.replaces(change)) else { continue };
        let message = format!("its successor {} is blocked", successor.address);
        let failure = successor.failure.clone().within(message);
        let cause = successor.cause.clone().unwrap_or_else(|| successor.address.clone());
        let blocked = blocked_for(change, failure, Some(cause));
        retained.push(Retained::of(&blocked, change.key.clone()));
        *decision = blocked.into();
    }
}

/// A VM that is not created.
struct Successor {
    address: Address,
    role: MachineRole,
    failure: Failure,
    cause: Option<Address>,
}

impl Successor {
    fn of(input: Comparison<'_>, blocked: &Blocked) -> Option<Self> {
        if blocked.address.kind != Kind::VirtualMachine || blocked.action != Action::Create {
            return None;
        }
        let Resource::VirtualMachine(machine) = &input.desired.get(&blocked.address)?.resource
        else {
            return None;
        };
        Some(Self {
            address: blocked.address.clone(),
            role: machine.role,
            failure: blocked.failure.clone(),
            cause: blocked.caused_by.clone(),
        })
    }

    fn replaces(&self, change: &Change) -> bool {
        let Some(Resource::VirtualMachine(machine)) = &change.before else { return false };
        let is_other = match self.role {
            MachineRole::Router => change.address.site == self.address.site,
            MachineRole::Worker => self.address.name == change.key.name(),
        };
        change.action == Action::Delete && machine.role == self.role && is_other
    }
}
