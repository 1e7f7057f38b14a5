//! Azure containers whose contents could not be read, and the siblings of a machine that
//! could not be read.

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::protection::{Retained, blocked_for};
use super::{Action, Change};
use crate::inventory::{Gap, Inventory, Source};
use crate::resource::{ArmId, Kind, ObjectKey};

/// Blocks the deletion and the replacement of each container that may hold unread objects,
/// and of the siblings of an unread machine: the objects may be protected, or others may
/// need them. Returns the retained objects: what they stand on and what contains them stays.
pub(super) fn block(input: Comparison<'_>, decisions: &mut ResourceDecisions) -> Vec<Retained> {
    let mut retained = Vec::new();
    for (address, decision) in decisions.iter_mut() {
        let ResourceDecision::Change(change) = decision else { continue };
        if !matches!(change.action, Action::Delete | Action::Replace) {
            continue;
        }
        let unread = unread_contents(input.inventory, address.kind, &change.key).map(|gap| {
            (gap, format!("{address} may contain unread objects, which would be deleted with it"))
        });
        let unread = unread.or_else(|| unread_machine(input.inventory, change));
        let Some((gap, reason)) = unread else { continue };
        let blocked = blocked_for(change, gap.failure.clone().within(reason), None);
        retained.push(Retained::of(&blocked, change.key.clone()));
        *decision = blocked.into();
    }
    retained
}

fn unread_contents<'a>(
    inventory: &'a Inventory,
    container: Kind,
    key: &ObjectKey,
) -> Option<&'a Gap> {
    let ObjectKey::Azure(container_id) = key else { return None };
    let may_be_inside = |key: &ObjectKey| match key {
        ObjectKey::Azure(id) => container != Kind::ResourceGroup || id.is_inside(container_id),
        _ => false,
    };
    let contained = Kind::ALL.iter().copied().filter(|kind| is_inside(*kind, container));
    contained.into_iter().find_map(|kind| {
        let unread = || inventory.unread_objects(kind).find(|(key, _)| may_be_inside(key));
        inventory.kind_gap(kind).or_else(|| unread().map(|(_, gap)| gap))
    })
}

/// A machine in the same resource group that could not be read: it may be protected, and with
/// it the gateways, rules, tables and routers that it stands on.
fn unread_machine<'a>(inventory: &'a Inventory, change: &Change) -> Option<(&'a Gap, String)> {
    let ObjectKey::Azure(id) = &change.key else { return None };
    let (subscription, group) = (id.subscription()?, id.resource_group_name()?);
    let group = ArmId::resource_group(subscription, group);
    let is_beside = |key: &ObjectKey| matches!(key, ObjectKey::Azure(id) if id.is_inside(&group));
    let mut unread = inventory.unread_objects(Kind::VirtualMachine);
    let (key, gap) = unread.find(|(key, gap)| gap.source == Source::Azure && is_beside(key))?;
    let reason = format!(
        "{} stays: the machine {} of the same resource group could not be read",
        change.address,
        key.name()
    );
    Some((gap, reason))
}

/// Whether objects of a kind of Azure can be inside of a container, at any depth.
fn is_inside(kind: Kind, container: Kind) -> bool {
    let containers = kind.facts().containers;
    kind.arm().is_some()
        && containers.iter().any(|it| *it == container || is_inside(*it, container))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contents_at_any_depth_are_inside() {
        for (kind, container, expected) in [
            (Kind::NatGateway, Kind::ResourceGroup, true),
            (Kind::VirtualMachine, Kind::NetworkInterface, true),
            (Kind::VirtualMachine, Kind::VirtualNetwork, true),
            (Kind::VirtualMachine, Kind::ManagedCluster, true),
            (Kind::NatGateway, Kind::VirtualNetwork, false),
            (Kind::ResourceGroup, Kind::VirtualNetwork, false),
            (Kind::Worker, Kind::ManagedCluster, false),
        ] {
            assert_eq!(is_inside(kind, container), expected, "{kind} in {container}");
        }
    }
}
