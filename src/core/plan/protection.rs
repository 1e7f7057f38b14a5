//! Resources that must not be replaced or deleted, and the resources that they need.

use std::collections::BTreeMap;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::dependencies::references;
use super::protection_records::ProtectionRecords;
use super::{Action, Blocked, Change};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Inventory, Observed};
use crate::resource::{Address, ArmId, Kind, ObjectKey, Resource, Site};

const LIFT_PROTECTION: &str = "undo the change of the topology that causes it, or set `protect = false` and run `stargate \
     apply` before the change";

/// A resource that stays although it, or one that it refers to, should go.
#[derive(Debug, Clone)]
pub(super) struct Retained {
    key: ObjectKey,
    /// `None` if the topology does not own it.
    address: Option<Address>,
    code: Code,
}

impl Retained {
    /// The object that a blocked change retains.
    pub(super) fn of(blocked: &Blocked, key: ObjectKey) -> Self {
        Self { key, address: Some(blocked.address.clone()), code: blocked.failure.code }
    }
}

/// Blocks the replacement or deletion of a protected resource, of a container of
/// one, and of a resource group with objects that the topology does not own. Where the
/// topology lifts a protection that is recorded, the change says so.
pub(super) fn protect(input: Comparison<'_>, decisions: &mut ResourceDecisions) -> Vec<Retained> {
    let records = ProtectionRecords::of(input);
    let mut retained = Vec::new();
    let cluster_goes = deletes_cluster(decisions);
    for decision in decisions.values_mut() {
        let ResourceDecision::Change(change) = decision else { continue };
        if !matches!(change.action, Action::Replace | Action::Delete) || change.only_rejoins() {
            continue;
        }
        let goes_with_cluster = cluster_goes && change.address.kind.is_kubernetes();
        let foreign = if goes_with_cluster { None } else { holds_foreign(input, change) };
        let kept = foreign.or_else(|| is_protected(input, change));
        let Some(kept) = kept.or_else(|| records.refuse(change)) else {
            records.note_lift(change);
            continue;
        };
        retained.push(Retained::of(&kept, change.key.clone()));
        *decision = kept.into();
    }
    retained
}

/// Omits the deletion of each namespace and definition with foreign objects if the cluster
/// is deleted: it is deleted with the cluster, or stays with it. Blocks it if the plan
/// retains the cluster.
pub(super) fn retain_shared_containers(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let Inventory { foreign_contents, unlisted_contents, .. } = input.inventory;
    if foreign_contents.is_empty() && unlisted_contents.is_empty() {
        return;
    }
    let cluster_goes = deletes_cluster(decisions);
    decisions.retain(|_, decision| {
        let ResourceDecision::Change(change) = decision else { return true };
        if change.action != Action::Delete || !change.address.kind.is_kubernetes() {
            return true;
        }
        let Some(blocked) = holds_foreign(input, change) else { return true };
        *decision = blocked.into();
        !cluster_goes
    });
}

fn deletes_cluster(decisions: &ResourceDecisions) -> bool {
    let mut clusters = decisions.iter().filter(|(address, _)| address.kind == Kind::ManagedCluster);
    clusters.any(|(_, decision)| match decision {
        ResourceDecision::Change(change) => change.action == Action::Delete,
        _ => false,
    })
}

/// Deleting a resource group, a network, a namespace or a definition deletes everything in
/// it.
fn holds_foreign(input: Comparison<'_>, change: &Change) -> Option<Blocked> {
    let Some(contents) = input.inventory.foreign_contents.get(&change.key) else {
        return may_hold_foreign(input, change);
    };
    let what = match change.action {
        Action::Delete => "it holds",
        _ => "it would be replaced, but it holds",
    };
    let reason = format!("{what} objects that the topology does not own: {}", contents.join(", "));
    let remedy = "move or delete those objects, then run the same command again";
    Some(blocked(change, Failure::new(Code::GroupHasForeignObjects, reason, remedy)))
}

/// Objects that cannot be listed may be foreign.
fn may_hold_foreign(input: Comparison<'_>, change: &Change) -> Option<Blocked> {
    let refused = input.inventory.unlisted_contents.get(&change.key)?;
    let deletes = match change.action {
        Action::Delete => "its deletion would delete",
        _ => "its replacement would delete",
    };
    let reason =
        format!("{deletes} what it holds, and that could not be listed: {}", refused.message);
    let remedy = "run the same command with credentials that may list everything in it";
    let failure = Failure::new(refused.code, reason, remedy);
    Some(blocked(change, refused.source.iter().fold(failure, Failure::caused_by)))
}

fn is_protected(input: Comparison<'_>, change: &Change) -> Option<Blocked> {
    let deletion = match change.action {
        Action::Delete => "its deletion",
        _ => "its replacement",
    };
    let Some(protected) = input.protected.reason(&change.address, &change.key) else {
        return is_part_of_protected(input, change, deletion);
    };
    let itself = *protected == change.address;
    let reason = if itself {
        format!("{deletion} is blocked by `protect = true`")
    } else {
        format!("{deletion} is blocked: it holds {protected}, which has `protect = true`")
    };
    let failure = Failure::new(Code::Protected, reason, LIFT_PROTECTION);
    Some(blocked_for(change, failure, (!itself).then(|| protected.clone())))
}

/// Blocks the deletion of an object, or its move away from a site, if everything on the
/// site is protected. The cluster's Kubernetes objects can be recreated and may be deleted.
fn is_part_of_protected(input: Comparison<'_>, change: &Change, deletion: &str) -> Option<Blocked> {
    let Address { kind, site, .. } = change.address.clone();
    let is_part = |site: &Site| {
        (*site != Site::Cluster || !kind.is_kubernetes()) && input.protected.covers_site(site)
    };
    let site = [Some(site), change.moves_from()].into_iter().flatten().find(is_part)?;
    let whole = match site {
        Site::Cluster => "the cluster".to_owned(),
        Site::Datacenter(name) => format!("datacenter {name}"),
    };
    let reason =
        format!("{deletion} is blocked: it is part of {whole}, which has `protect = true`");
    Some(blocked_for(change, Failure::new(Code::Protected, reason, LIFT_PROTECTION), None))
}

pub(super) fn blocked(change: &Change, failure: Failure) -> Blocked {
    blocked_for(change, failure, None)
}

/// A change that is not made, and the blocked resource that it waits for.
pub(super) fn blocked_for(
    change: &Change,
    failure: Failure,
    caused_by: Option<Address>,
) -> Blocked {
    Blocked {
        address: change.address.clone(),
        action: change.action,
        fields: change.fields().into_owned(),
        failure,
        caused_by,
        planned_because_of: change.planned_because_of.clone(),
    }
}

/// Blocks the replacement or deletion of resources that a retained resource refers to or
/// that contain it: Azure would refuse it, or delete the retained resource too.
pub(super) fn retain_references(
    input: Comparison<'_>,
    retained: &[Retained],
    decisions: &mut ResourceDecisions,
) {
    let mut ending: BTreeMap<ArmId, Address> = BTreeMap::new();
    for (address, decision) in decisions.iter() {
        let ResourceDecision::Change(change) = decision else { continue };
        let ends = matches!(change.action, Action::Delete | Action::Replace);
        if let (true, ObjectKey::Azure(id)) = (ends, &change.key) {
            ending.insert(id.clone(), address.clone());
        }
    }
    if ending.is_empty() {
        return;
    }
    let mut holders: Vec<Retained> =
        retained.iter().cloned().chain(held_back(input, decisions)).chain(foreign(input)).collect();
    while let Some(holder) = holders.pop() {
        let Some(observed) = input.inventory.get(&holder.key) else { continue };
        for id in referenced_ids(&holder.key, &observed.resource) {
            let Some(address) = ending.remove(&id) else { continue };
            block_change(&address, &holder, decisions);
            let key = ObjectKey::Azure(id);
            holders.push(Retained { key, address: Some(address), code: holder.code });
        }
    }
}

fn held_back(input: Comparison<'_>, decisions: &ResourceDecisions) -> Vec<Retained> {
    let blocked = decisions.values().filter_map(|decision| match decision {
        ResourceDecision::Blocked(blocked) => Some(blocked),
        _ => None,
    });
    blocked
        .filter_map(|blocked| {
            let key = input.desired.get(&blocked.address)?.key.clone()?;
            Some(Retained::of(blocked, key))
        })
        .collect()
}

fn foreign(input: Comparison<'_>) -> impl Iterator<Item = Retained> {
    let foreign = |observed: &Observed| observed.ownership.is_foreign();
    input.inventory.iter().filter(move |(_, observed)| foreign(observed)).map(|(key, _)| Retained {
        key: key.clone(),
        address: None,
        code: Code::NotOwned,
    })
}

/// The IDs that an object refers to, and those of its containers.
fn referenced_ids(key: &ObjectKey, resource: &Resource) -> Vec<ArmId> {
    let mut found: Vec<ArmId> = references(resource).into_iter().cloned().collect();
    if let ObjectKey::Azure(id) = key {
        found.extend(std::iter::successors(id.parent(), ArmId::parent));
    }
    found
}

fn block_change(address: &Address, holder: &Retained, decisions: &mut ResourceDecisions) {
    let Some(decision) = decisions.get_mut(address) else { return };
    let ResourceDecision::Change(change) = decision else { return };
    let (name, remedy) = match (&holder.address, &holder.key) {
        (Some(holder), _) => (holder.to_string(), format!("follow the help for {holder} first")),
        (None, ObjectKey::Azure(id)) => (
            format!("{}, which the topology does not own,", id.name()),
            "move or delete that object, then run the same command again".to_owned(),
        ),
        (None, _) => return,
    };
    let participle = change.action.participle();
    let reason = format!("it would be {participle}, but {name} depends on it and is kept");
    let retained = Blocked {
        caused_by: holder.address.clone(),
        ..blocked(change, Failure::new(holder.code, reason, remedy))
    };
    *decision = retained.into();
}
