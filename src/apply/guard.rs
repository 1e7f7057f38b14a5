//! Whether an object still is as the plan saw it.

use std::collections::BTreeSet;

use crate::inventory::Observed;
use crate::plan::diff;
use crate::plan::{Action, Change};
use crate::resource::azure::Provisioning;
use crate::resource::{ArmId, Ownership, Resource};

/// The result of comparing the object with the plan's facts before a step acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GuardVerdict {
    /// It may act.
    Act,
    /// Nothing is left to do.
    UpToDate,
    /// The object changed after the plan was made.
    Stale(String),
}

/// Compares the current object with the observation that the plan relied on. Changes of
/// other objects do not make the step stale.
pub(super) fn check(change: &Change, current: Option<&Observed>) -> GuardVerdict {
    if let Some(current) = current
        && change.action != Action::Adopt
        && change.action != Action::Create
        && current.ownership.is_foreign()
    {
        return GuardVerdict::Stale("it is no longer owned by the topology".to_owned());
    }
    if let Some(reason) = is_protected(change, current) {
        return GuardVerdict::Stale(reason);
    }
    match (change.action, current) {
        (Action::Delete, None) => GuardVerdict::UpToDate,
        (Action::Create, None) => GuardVerdict::Act,
        // Another client was deleting it when the plan was made, and is done.
        (Action::Update, None) if was_being_deleted(change) => GuardVerdict::Act,
        (_, None) => GuardVerdict::Stale("it no longer exists".to_owned()),
        (Action::Create, Some(current)) => created_since(change, current),
        (Action::Delete | Action::Reboot, Some(current)) => unchanged(change, current),
        (Action::Adopt, Some(current)) if current.ownership.is_foreign() => {
            match &current.ownership {
                Ownership::OtherTopology { topology } => {
                    GuardVerdict::Stale(format!("it is owned by topology `{topology}`"))
                }
                _ => unchanged(change, current),
            }
        }
        (Action::Update | Action::Replace | Action::Adopt, Some(current)) => {
            if has_desired_value(change, current) {
                GuardVerdict::UpToDate
            } else {
                unchanged(change, current)
            }
        }
    }
}

/// Why an object is not deleted, unless the topology lifts it: its protection is recorded.
fn is_protected(change: &Change, current: Option<&Observed>) -> Option<String> {
    let block = current?.resource.protected_by()?;
    let is_lifted = change.lifts_protection
        && change.before.as_ref().and_then(Resource::protected_by) == Some(block);
    let ends = matches!(change.action, Action::Delete | Action::Replace) && !change.only_rejoins();
    (!is_lifted && ends).then(|| format!("the protection by [{block}] is recorded on it"))
}

/// Why a route stays in a table of another owner: the table names a subnet that must not have it.
pub(super) fn is_attached(
    table: &ArmId,
    named: &[ArmId],
    node_subnets: &BTreeSet<ArmId>,
) -> Option<String> {
    let subnet = named.iter().find(|subnet| node_subnets.contains(*subnet))?;
    Some(format!(
        "its route table {} is on the subnet {} of AKS nodes again",
        table.name(),
        subnet.name()
    ))
}

fn was_being_deleted(change: &Change) -> bool {
    match &change.before {
        Some(Resource::NodePool(pool)) => pool.provisioning == Provisioning::Deleting,
        Some(Resource::VirtualMachine(machine)) => machine.provisioning == Provisioning::Deleting,
        _ => false,
    }
}

/// Whether the object already has the desired value.
pub(super) fn has_desired_value(change: &Change, current: &Observed) -> bool {
    change.after.as_ref().is_some_and(|desired| {
        diff::between(&current.resource, desired).is_empty()
            && !matches!(current.ownership, Ownership::Former { .. })
            && !current.ownership.is_foreign()
            && reads_as_much(change.before.as_ref(), &current.resource)
    })
}

/// A worker's Node can be Ready although its host is misconfigured: if the plan
/// has read the host, the Node alone does not prove that it was fixed.
fn reads_as_much(before: Option<&Resource>, current: &Resource) -> bool {
    match (before, current) {
        (Some(Resource::Worker(before)), Resource::Worker(current)) => {
            before.host.observed().is_none() || current.host.observed().is_some()
        }
        _ => true,
    }
}

fn created_since(change: &Change, current: &Observed) -> GuardVerdict {
    if current.ownership.is_foreign() {
        return GuardVerdict::Stale(
            "an object that the topology does not own was created there".to_owned(),
        );
    }
    if has_desired_value(change, current) {
        return GuardVerdict::UpToDate;
    }
    // A host, a Node or a device that appeared by itself exists before it is configured:
    // that is no interference.
    if current.resource.kind().facts().appears_by_itself {
        return GuardVerdict::Act;
    }
    GuardVerdict::Stale("it was created after the plan was made and differs from it".to_owned())
}

fn unchanged(change: &Change, current: &Observed) -> GuardVerdict {
    let Some(before) = &change.before else { return GuardVerdict::Act };
    let moved = diff::between(before, &current.resource);
    let moved = moved.iter().find(|field| !field.is_transient());
    match moved {
        None => GuardVerdict::Act,
        Some(field) => {
            GuardVerdict::Stale(format!("its field {} changed after the plan was made", field.path))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::azure::PublicIpAddress;
    use crate::resource::ownership::SiteName;
    use crate::resource::{Address, Kind, ObjectKey, Site};

    fn observed(ownership: Ownership) -> Observed {
        let value = PublicIpAddress { location: "x".to_owned(), protected_by: None };
        Observed { resource: Resource::PublicIpAddress(value), ownership }
    }

    /// Its tags were removed, or name another topology, after the plan was made.
    #[test]
    fn objects_with_a_new_owner_are_neither_changed_nor_deleted() {
        let ours = observed(Ownership::Ours { site: SiteName::from(&Site::Cluster) });
        let theirs = observed(Ownership::Foreign);
        let id = ArmId::resource_group("s", "g").in_group("N/p", "ip");
        let address = Address::new(Kind::PublicIpAddress, Site::Cluster, "ip");
        for action in [Action::Delete, Action::Replace, Action::Update, Action::Reboot] {
            let key = ObjectKey::Azure(id.clone());
            let mut change = Change::new(address.clone(), key, action, "");
            change.before = Some(ours.resource.clone());
            change.ownership = Some(ours.ownership.clone());
            if action != Action::Delete {
                let after = PublicIpAddress { location: "y".to_owned(), protected_by: None };
                change.after = Some(Resource::PublicIpAddress(after));
            }
            assert_eq!(check(&change, Some(&ours)), GuardVerdict::Act, "{action:?}");
            let verdict = check(&change, Some(&theirs));
            assert!(matches!(verdict, GuardVerdict::Stale(_)), "{action:?}: {verdict:?}");
        }
    }

    /// The protection was recorded after the plan was made, or the plan was edited.
    #[test]
    fn objects_with_a_protection_record_are_not_deleted() {
        let mut current = observed(Ownership::Ours { site: SiteName::from(&Site::Cluster) });
        current.resource.record_protection(Some("cluster".to_owned()));
        let id = ArmId::resource_group("s", "g").in_group("N/p", "ip");
        let address = Address::new(Kind::PublicIpAddress, Site::Cluster, "ip");
        for action in [Action::Delete, Action::Replace] {
            let key = ObjectKey::Azure(id.clone());
            let mut change = Change::new(address.clone(), key, action, "");
            change.before = Some(current.resource.clone());
            change.ownership = Some(current.ownership.clone());
            change.lifts_protection = true;
            assert!(
                !matches!(check(&change, Some(&current)), GuardVerdict::Stale(_)),
                "{action:?}"
            );
            // Another block protects it since the plan was made.
            change.before.as_mut().unwrap().record_protection(Some("datacenters.x".to_owned()));
            assert!(matches!(check(&change, Some(&current)), GuardVerdict::Stale(_)), "{action:?}");
            change.before = Some(current.resource.clone());
            change.lifts_protection = false;
            let verdict = check(&change, Some(&current));
            let is_refused =
                matches!(&verdict, GuardVerdict::Stale(reason) if reason.contains("[cluster]"));
            assert!(is_refused, "{action:?}: {verdict:?}");
        }
    }
}
