//! Containers of Azure whose contents could not be read.

use super::Action;
use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::protection::blocked_for;
use crate::inventory::{Gap, Inventory};
use crate::resource::{Address, Kind, ObjectKey};

/// Blocks the deletion and the replacement of each container that may hold objects that
/// could not be read: they may be protected, or others may need them.
pub(super) fn block(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let held: Vec<(Address, ResourceDecision)> = decisions
        .iter()
        .filter_map(|(address, decision)| {
            let ResourceDecision::Change(change) = decision else { return None };
            if !matches!(change.action, Action::Delete | Action::Replace) {
                return None;
            }
            let gap = hidden_contents(input.inventory, address.kind, &change.key)?;
            let reason =
                format!("{address} may hold objects that could not be read and would go with it");
            let failure = gap.failure.clone().within(reason);
            Some((address.clone(), ResourceDecision::from(blocked_for(change, failure, None))))
        })
        .collect();
    decisions.extend(held);
}

fn hidden_contents<'a>(
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
    fn what_a_container_holds_at_any_depth_is_inside() {
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
