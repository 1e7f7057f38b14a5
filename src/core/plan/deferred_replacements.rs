//! Replacements that wait for a later iteration: changes that must be made with them wait,
//! too, and are shown with them.

use ipnet::Ipv4Net;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions, change};
use super::propagation::Dependents;
use super::{Action, Change, Deferred};
use crate::resource::{Address, ArmId, Kind, ObjectKey, Resource};

/// Defers the changes that depend on a deferred replacement.
pub(super) fn defer(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    defer_networks(input, decisions);
    defer_contents(input, decisions);
}

/// Defers the replacement of the contents of a subnet or interface that is replaced later.
fn defer_contents(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let is_container = |deferred: &Deferred| {
        let kind = deferred.address.kind;
        deferred.action == Action::Replace
            && matches!(kind, Kind::Subnet | Kind::NetworkInterface | Kind::VirtualMachine)
    };
    let containers = decisions.values().filter_map(|decision| match decision {
        ResourceDecision::Deferred(deferred) if is_container(deferred) => {
            Some(deferred.address.clone())
        }
        _ => None,
    });
    let mut open: Vec<Address> = containers.collect();
    if open.is_empty() {
        return;
    }
    let dependents = Dependents::of(input);
    while let Some(container) = open.pop() {
        for dependent in dependents.contained(&container) {
            let stays = match decisions.get(&dependent.address) {
                Some(ResourceDecision::Unchanged) => true,
                Some(ResourceDecision::Change(change)) => {
                    matches!(change.action, Action::Update | Action::Replace)
                }
                _ => false,
            };
            let observed = dependent.key.as_ref().and_then(|key| input.inventory.get(key));
            let (true, Some(observed)) = (stays, observed) else { continue };
            let replaced = change(dependent, Some(observed), Action::Replace);
            decisions.insert(dependent.address.clone(), replaced);
            defer_change(&dependent.address, vec![container.clone()], decisions);
            open.push(dependent.address.clone());
        }
    }
}

/// Defers the update of a network that gives up a range in which a subnet stays for now, and
/// what needs its new range: Azure refuses to take the range from the network before.
fn defer_networks(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    for staying in staying_subnets(input, decisions) {
        let Some(network) = staying.network(decisions) else { continue };
        let before = prefixes(network.before.as_ref()).to_vec();
        let (network, id) = (network.address.clone(), staying.network);
        defer_change(&network, staying.waits_for, decisions);
        for subnet in new_subnets(&id, &before, decisions) {
            defer_change(&subnet, vec![network.clone()], decisions);
        }
    }
}

/// A subnet that is deferred.
struct StayingSubnet {
    /// Its network.
    network: ArmId,
    /// The range that it has now.
    range: Ipv4Net,
    waits_for: Vec<Address>,
}

impl StayingSubnet {
    /// The update that takes its range from the network.
    fn network<'a>(&self, decisions: &'a ResourceDecisions) -> Option<&'a Change> {
        decisions.values().find_map(|decision| match decision {
            ResourceDecision::Change(change)
                if change.action == Action::Update
                    && matches!(&change.key, ObjectKey::Azure(id) if *id == self.network) =>
            {
                let after = prefixes(change.after.as_ref());
                let is_taken = !after.iter().any(|prefix| prefix.contains(&self.range));
                is_taken.then_some(&**change)
            }
            _ => None,
        })
    }
}

fn staying_subnets(input: Comparison<'_>, decisions: &ResourceDecisions) -> Vec<StayingSubnet> {
    let staying = decisions.values().filter_map(|decision| {
        let ResourceDecision::Deferred(deferred) = decision else { return None };
        let key = input.desired.get(&deferred.address)?.key.as_ref()?;
        match (key, &input.inventory.get(key)?.resource) {
            (ObjectKey::Azure(id), Resource::Subnet(subnet)) => Some(StayingSubnet {
                network: id.parent()?,
                range: subnet.address_prefix,
                waits_for: deferred.waits_for.clone(),
            }),
            _ => None,
        }
    });
    staying.collect()
}

/// The subnets of a network that are to have a range which the network does not have yet.
fn new_subnets(network: &ArmId, before: &[Ipv4Net], decisions: &ResourceDecisions) -> Vec<Address> {
    let needs_range = |change: &Change| match (&change.after, &change.key) {
        (Some(Resource::Subnet(subnet)), ObjectKey::Azure(id)) => {
            id.parent().as_ref() == Some(network)
                && !before.iter().any(|prefix| prefix.contains(&subnet.address_prefix))
        }
        _ => false,
    };
    let changes = decisions.values().filter_map(|decision| match decision {
        ResourceDecision::Change(change) if needs_range(change) => Some(change.address.clone()),
        _ => None,
    });
    changes.collect()
}

fn prefixes(network: Option<&Resource>) -> &[Ipv4Net] {
    match network {
        Some(Resource::VirtualNetwork(network)) => &network.address_prefixes,
        _ => &[],
    }
}

fn defer_change(address: &Address, waits_for: Vec<Address>, decisions: &mut ResourceDecisions) {
    let Some(ResourceDecision::Change(change)) = decisions.get(address) else { return };
    let deferred = Deferred {
        waits_for,
        fields: change.fields().into_owned(),
        ..Deferred::new(address.clone(), change.action, change.planned_because_of.clone())
    };
    decisions.insert(address.clone(), deferred.into());
}
