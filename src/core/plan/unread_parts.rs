//! Machines of which either the VM or the Node or device could not be read. A VM whose Node
//! is unread is neither deleted nor restarted, because its pods would not be drained. Nor
//! is a VM created while its Node or device is unread: it costs money and could not work.

use std::collections::{BTreeMap, BTreeSet};

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::protection::{Retained, blocked_for};
use super::rollout::restarts_worker;
use super::{Action, Change};
use crate::desired::names::{machine_of, owner_of_public_ip};
use crate::inventory::Gap;
use crate::resource::azure::MachineRole;
use crate::resource::{Kind, ObjectKey, Resource, Site};

/// Blocks the changes of such machines, and returns the retained objects.
pub(super) fn block(input: Comparison<'_>, decisions: &mut ResourceDecisions) -> Vec<Retained> {
    // A plan that destroys has rules of its own.
    if input.desired.is_empty() {
        return Vec::new();
    }
    hold_back_undrained(input, decisions);
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
                format!("{machine} could not be used: {} could not be read", gap.source)
            }
            _ => format!(
                "it is unknown whether {machine} is in use: {} could not be read",
                gap.source
            ),
        };
        let blocked = blocked_for(change, gap.failure.clone().within(message), None);
        if change.action != Action::Create {
            retained.push(Retained::of(&blocked, change.key.clone()));
        }
        *decision = blocked.into();
    }
    retained
}

/// Blocks disruptive changes that could not drain pods first: the restart of a machine
/// whose Node is unread, and the deletion of a node pool with unread nodes.
fn hold_back_undrained(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    if input.inventory.gap_among(Kind::Worker).is_none() {
        return;
    }
    for decision in decisions.values_mut() {
        let ResourceDecision::Change(change) = decision else { continue };
        let Some((nodes, gap)) = undrained(input, change) else { continue };
        let message = format!("{nodes} cannot be drained: {} could not be read", gap.source);
        *decision = blocked_for(change, gap.failure.clone().within(message), None).into();
    }
}

/// The nodes that a change drains and that are unread.
fn undrained<'a>(input: Comparison<'a>, change: &Change) -> Option<(String, &'a Gap)> {
    let name = change.key.name();
    if change.address.kind == Kind::NodePool && change.action == Action::Delete {
        let gap = input.inventory.gap_for(Kind::Worker, None)?;
        return Some((format!("the nodes of node pool {name}"), gap));
    }
    let node = ObjectKey::node(name);
    if !restarts_worker(change) || input.inventory.get(&node).is_some() {
        return None;
    }
    Some((format!("worker {name}"), input.inventory.gap_for(Kind::Worker, Some(&node))?))
}

/// Machines by name, with the source that could not be read.
#[derive(Default)]
struct UnreadParts {
    /// Machines that would be created.
    new: BTreeMap<String, Gap>,
    /// Machines that would be deleted.
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

    /// An existing machine costs nothing more, even if parts of it are unread.
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
