//! What carries our mark and is no longer asked for.

use std::collections::HashSet;

use super::diff::{self, WholeSide};
use super::planner::{PlanInput, Verdict, Verdicts};
use super::{Action, Blocked, Change, Observed};
use crate::resource::{Address, Kind, ObjectKey, Ownership, Resource, Side};
use crate::topology::diagnostic::Code;

/// Adds a deletion for each object of ours that no desired resource claims.
pub(super) fn delete_what_nothing_asks_for(input: PlanInput<'_>, verdicts: &mut Verdicts) {
    let claimed: HashSet<&ObjectKey> =
        input.desired.iter().filter_map(|desired| desired.key.as_ref()).collect();
    for (key, observed) in input.inventory.iter() {
        let Ownership::Ours { side } = &observed.ownership else { continue };
        if claimed.contains(key) || goes_with_another(observed.resource.kind()) {
            continue;
        }
        let address =
            Address::new(observed.resource.kind(), Side::from(side), object_name(key, observed));
        // Two subnets of one name in two VNets would share an address.
        if verdicts.contains_key(&address) {
            continue;
        }
        let verdict = deletion(input, &address, key, observed);
        verdicts.insert(address, verdict);
    }
}

/// Routes go with their device.
fn goes_with_another(kind: Kind) -> bool {
    matches!(kind, Kind::AdvertisedRoutes | Kind::ApprovedRoutes)
}

fn object_name(key: &ObjectKey, observed: &Observed) -> String {
    match (&observed.resource, key) {
        (_, ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id)) => id.name().to_owned(),
        (_, ObjectKey::Kubernetes(name)) => name.name.clone(),
        (
            _,
            ObjectKey::Device(name)
            | ObjectKey::DeviceAdvertised(name)
            | ObjectKey::DeviceApproved(name)
            | ObjectKey::Host(name),
        ) => name.clone(),
    }
}

fn deletion(
    input: PlanInput<'_>,
    address: &Address,
    key: &ObjectKey,
    observed: &Observed,
) -> Verdict {
    let fields = diff::whole(&observed.resource, WholeSide::Deleted);
    let because = "nothing in the topology asks for it".to_owned();
    if let Some(contents) = input.inventory.foreign_contents.get(key) {
        return Verdict::Blocked(Blocked {
            address: address.clone(),
            action: Action::Delete,
            fields,
            code: Code::GroupHoldsForeign,
            reason: format!(
                "it holds objects that are not this topology's: {}",
                contents.join(", ")
            ),
            remedy: "move or delete those objects, then run the same command again".to_owned(),
            follows_from: None,
            because,
        });
    }
    Verdict::Change(Box::new(Change {
        address: address.clone(),
        key: key.clone(),
        action: Action::Delete,
        fields,
        before: Some(observed.resource.clone()),
        after: None,
        ownership: Some(observed.ownership.clone()),
        depends_on: Vec::new(),
        torn_down_after: Vec::new(),
        because,
        follows_from: None,
        interrupts: interruption(&observed.resource),
    }))
}

/// What stops working when an object goes.
pub(super) fn interruption(resource: &Resource) -> Option<String> {
    match resource {
        Resource::ManagedCluster(_) => {
            Some("the whole cluster and everything that runs on it".to_owned())
        }
        Resource::Worker(worker) => Some(format!("the pods on {} are evicted", worker.name)),
        Resource::TailnetDevice(device) => {
            Some(format!("no pod reaches another one through {} until it is back", device.hostname))
        }
        _ => None,
    }
}
