//! Machines of which the other half cannot be read. A VM whose Node is unread is not
//! deleted, because its pods would not be drained. A VM is not created either while what it
//! would serve as is unread: it costs money and could not work.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::protection::{Retained, blocked_for};
use super::{Action, Change};
use crate::desired::names::{machine_of, owner_of_public_ip};
use crate::inventory::Gap;
use crate::resource::azure::MachineRole;
use crate::resource::{Kind, ObjectKey, Resource, Site};

/// Blocks what is done to such machines, and returns those that are not deleted.
pub(super) fn block(input: Comparison<'_>, decisions: &mut ResourceDecisions) -> Vec<Retained> {
    // A plan that destroys has rules of its own.
    if input.desired.is_empty() {
        return Vec::new();
    }
    let unread = UnreadParts::of(input, decisions);
    if unread.is_empty() {
        return Vec::new();
    }
    let mut retained = Vec::new();
    for decision in decisions.values_mut() {
        let ResourceDecision::Change(change) = decision else { continue };
        let Some((machine, gap)) = unread.of_machine(change) else { continue };
        let message = match change.action {
            Action::Create => {
                format!("{machine} could not serve: {} could not be read", gap.source)
            }
            _ => format!("it is unknown what {machine} serves: {} could not be read", gap.source),
        };
        let blocked = blocked_for(change, gap.failure.clone().within(message), None);
        if change.action != Action::Create {
            retained.push(Retained::of(&blocked, change.key.clone()));
        }
        *decision = blocked.into();
    }
    retained
}

/// Machines by name, with the source that hides what each serves as.
#[derive(Default)]
struct UnreadParts {
    /// Those that would be created.
    new: BTreeMap<String, Gap>,
    /// Those that would be deleted.
    leaving: BTreeMap<String, Gap>,
}

impl UnreadParts {
    fn of(input: Comparison<'_>, decisions: &ResourceDecisions) -> Self {
        let mut unread = Self::default();
        let mut sites: BTreeMap<&Site, &Gap> = BTreeMap::new();
        for (address, decision) in decisions {
            let ResourceDecision::Unreadable(gap) = decision else { continue };
            if matches!(address.kind, Kind::Worker | Kind::RouterHost | Kind::TailnetDevice) {
                unread.new.insert(address.name.to_string(), Gap::clone(gap));
            }
            if matches!(address.kind, Kind::RouterHost | Kind::TailnetDevice) {
                sites.insert(&address.site, gap);
            }
        }
        for decision in decisions.values() {
            let ResourceDecision::Change(change) = decision else { continue };
            let Some((name, gap)) = unread_machine(input, &sites, change) else { continue };
            unread.leaving.insert(name.to_owned(), gap.clone());
        }
        unread.keep_existing(decisions);
        unread
    }

    /// A machine that exists already costs nothing more, whatever is unread of it.
    fn keep_existing(&mut self, decisions: &ResourceDecisions) {
        let created: BTreeSet<&str> = decisions
            .values()
            .filter_map(|decision| match decision {
                ResourceDecision::Change(change) => Some(change),
                _ => None,
            })
            .filter(|it| it.address.kind == Kind::VirtualMachine && it.action == Action::Create)
            .map(|change| change.key.name())
            .collect();
        self.new.retain(|name, _| created.contains(name.as_str()));
    }

    fn is_empty(&self) -> bool {
        self.new.is_empty() && self.leaving.is_empty()
    }

    /// The machine that an object is or belongs to, if its other half is unread.
    fn of_machine<'a>(&'a self, change: &'a Change) -> Option<(&'a str, &'a Gap)> {
        let name = change.key.name();
        let machine = match change.address.kind {
            Kind::VirtualMachine | Kind::TailnetDevice => name,
            Kind::NetworkInterface => machine_of(name)?,
            Kind::PublicIpAddress => owner_of_public_ip(name)?,
            _ => return None,
        };
        let machines = match change.action {
            Action::Create => &self.new,
            Action::Delete => &self.leaving,
            _ => return None,
        };
        machines.get(machine).map(|gap| (machine, gap))
    }
}

/// The name of a machine that a change deletes, if the Node on it or the pods behind it are
/// unread.
fn unread_machine<'a>(
    input: Comparison<'a>,
    sites: &BTreeMap<&Site, &'a Gap>,
    change: &'a Change,
) -> Option<(&'a str, &'a Gap)> {
    let Some(Resource::VirtualMachine(machine)) = &change.before else { return None };
    if change.action != Action::Delete {
        return None;
    }
    let name = change.key.name();
    let node = ObjectKey::node(name);
    let gap = match machine.role {
        MachineRole::Worker if input.inventory.get(&node).is_none() => {
            input.inventory.gap_for(Kind::Worker, Some(&node))
        }
        MachineRole::Worker => None,
        MachineRole::Router => {
            let of_site = sites.get(&change.address.site).copied();
            of_site.or_else(|| input.inventory.gap_for(Kind::Worker, None))
        }
    };
    gap.map(|gap| (name, gap))
}
