//! Virtual networks that give up a range in which a subnet stays for now: Azure refuses the
//! change while the subnet is there, so the network waits as the subnet does.

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::{Action, Change, Deferred};
use crate::resource::{Address, Kind, ObjectKey, Resource};

/// Defers the change of each network that cannot give up a range yet.
pub(super) fn defer(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let waiting: Vec<Deferred> = decisions
        .values()
        .filter_map(|decision| match decision {
            ResourceDecision::Change(change) => waiting(input, change, decisions),
            _ => None,
        })
        .collect();
    for deferred in waiting {
        decisions.insert(deferred.address.clone(), deferred.into());
    }
}

fn waiting(
    input: Comparison<'_>,
    change: &Change,
    decisions: &ResourceDecisions,
) -> Option<Deferred> {
    let (Some(Resource::VirtualNetwork(network)), ObjectKey::Azure(id), Action::Update) =
        (&change.after, &change.key, change.action)
    else {
        return None;
    };
    let subnets = input.desired.iter().filter(|desired| {
        desired.address.kind == Kind::Subnet
            && matches!(&desired.key, Some(ObjectKey::Azure(subnet)) if subnet.is_inside(id))
    });
    let is_in_the_way = |address: &Address, key: Option<&ObjectKey>| {
        let live = key.and_then(|key| input.inventory.get(key));
        let Some(Resource::Subnet(subnet)) = live.map(|it| &it.resource) else { return false };
        let is_deferred = matches!(decisions.get(address), Some(ResourceDecision::Deferred(_)));
        let range = subnet.address_prefix;
        is_deferred && !network.address_prefixes.iter().any(|it| it.contains(&range))
    };
    let waits_for: Vec<Address> = subnets
        .filter(|desired| is_in_the_way(&desired.address, desired.key.as_ref()))
        .map(|desired| desired.address.clone())
        .collect();
    (!waits_for.is_empty()).then(|| Deferred {
        address: change.address.clone(),
        action: Action::Update,
        waits_for,
        fields: change.fields().into_owned(),
        planned_because_of: change.planned_because_of.clone(),
    })
}
