//! Replacements that destroy more than the resource itself. They are refused unless
//! the user names the resource.

use std::collections::BTreeSet;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::propagation::{Dependents, containers};
use super::{Action, Blocked, Change, FieldChange, FieldPath};
use crate::desired::DesiredResource;
use crate::diagnostics::{Code, Failure};
use crate::resource::{Address, Kind, ObjectKey, Site};

/// How many of the contents a message names.
const MAX_NAMED: usize = 3;

/// Whether the replacement of an object of this kind destroys resources of others: those
/// that it contains, and those that refer to it and must be recreated with it. A virtual
/// machine or a network interface belongs to one machine only, which the plan names.
fn holds_others(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::ResourceGroup
            | Kind::ManagedCluster
            | Kind::VirtualNetwork
            | Kind::Subnet
            | Kind::NatGateway
            | Kind::NetworkSecurityGroup
            | Kind::PublicIpAddress
            | Kind::RouteTable
    )
}

/// Blocks each replacement that an edit of the topology causes and that destroys more
/// than the resource itself, unless the user named the resource or something that
/// contains it. A new name of a cluster or resource group is such an edit, too.
pub(super) fn refuse(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let candidates: Vec<Refused<'_>> = input
        .desired
        .iter()
        .filter(|desired| holds_others(desired.address.kind))
        .filter_map(|desired| match decisions.get(&desired.address) {
            Some(ResourceDecision::Change(change)) => Refused::of(input, desired, change),
            _ => None,
        })
        .collect();
    if candidates.is_empty() {
        return;
    }
    let dependents = Dependents::of(input);
    let refused: BTreeSet<&Address> = candidates.iter().map(|it| &it.desired.address).collect();
    for candidate in &candidates {
        let address = &candidate.desired.address;
        // A resource in a refused container waits for the container and needs no reason of
        // its own.
        if containers(input, address).iter().any(|container| refused.contains(container)) {
            continue;
        }
        let mut contents = dependents.contents(input, &candidate.destroyed);
        contents.extend(candidate.left_behind.iter().cloned());
        if contents.is_empty() && address.kind != Kind::ManagedCluster {
            continue;
        }
        decisions.insert(address.clone(), candidate.blocked(&contents).into());
    }
}

/// A replacement that the user did not ask for.
struct Refused<'a> {
    desired: &'a DesiredResource,
    /// The object that would be destroyed: of another name, where that was edited.
    destroyed: Address,
    /// Resources in an object that has another name.
    left_behind: Vec<Address>,
    fields: Vec<FieldChange>,
    /// The fields that cannot be changed in place.
    fixed: Vec<FieldChange>,
}

impl<'a> Refused<'a> {
    fn of(input: Comparison<'_>, desired: &'a DesiredResource, change: &Change) -> Option<Self> {
        if is_permitted(input, &desired.address) {
            return None;
        }
        match change.action {
            Action::Replace => Self::edited(desired, change),
            Action::Create => Self::renamed(input, desired),
            _ => None,
        }
    }

    fn edited(desired: &'a DesiredResource, change: &Change) -> Option<Self> {
        let fixed = change.differences.iter().filter(|field| field.forces_replacement);
        let fixed: Vec<FieldChange> = fixed.cloned().collect();
        (!fixed.is_empty()).then(|| Self {
            desired,
            destroyed: desired.address.clone(),
            left_behind: Vec::new(),
            fields: change.differences.clone(),
            fixed,
        })
    }

    fn renamed(input: Comparison<'_>, desired: &'a DesiredResource) -> Option<Self> {
        let (key, old) = renamed_from(input, desired)?;
        if is_permitted(input, &old) || is_in_permitted(input, key) {
            return None;
        }
        let field = renamed(key, &old, desired);
        Some(Self {
            desired,
            left_behind: objects_in(input, key),
            destroyed: old,
            fields: vec![field.clone()],
            fixed: vec![field],
        })
    }

    fn blocked(&self, contents: &BTreeSet<Address>) -> Blocked {
        let describe = |field: &FieldChange| {
            let value = |value: &Option<serde_json::Value>| match value {
                Some(serde_json::Value::String(text)) => text.clone(),
                Some(value) => value.to_string(),
                None => "nothing".to_owned(),
            };
            format!("`{}` from {} to {}", field.path, value(&field.before), value(&field.after))
        };
        let fields: Vec<String> = self.fixed.iter().map(describe).collect();
        let reason = format!(
            "Azure cannot change {} in place: {} would be deleted and created again{}",
            fields.join(" and "),
            self.destroyed,
            with_contents(contents)
        );
        let remedy = format!(
            "undo the edit of the topology; or, if all of it may be destroyed, run the same \
             command with `--replace {}`",
            self.destroyed
        );
        Blocked {
            address: self.desired.address.clone(),
            action: Action::Replace,
            fields: self.fields.clone(),
            failure: Failure::new(Code::ReplacementNotRequested, reason, remedy),
            caused_by: None,
            planned_because_of: self.desired.planned_because_of.clone(),
        }
    }
}

fn with_contents(contents: &BTreeSet<Address>) -> String {
    let names: Vec<String> = contents.iter().take(MAX_NAMED).map(Address::to_string).collect();
    let more = contents.len().saturating_sub(names.len());
    match (names.is_empty(), more) {
        (true, _) => ", with everything that runs on it".to_owned(),
        (false, 0) => format!(", with {}", names.join(", ")),
        (false, more) => format!(", with {} and {more} more", names.join(", ")),
    }
}

/// Whether the user named a resource, or something that contains it.
fn is_permitted(input: Comparison<'_>, address: &Address) -> bool {
    input.replace.contains(address)
        || containers(input, address).iter().any(|container| input.replace.contains(container))
}

/// Whether the user named the resource group that a live object is in. A group with
/// another name in the topology is no container of anything there.
fn is_in_permitted(input: Comparison<'_>, key: &ObjectKey) -> bool {
    let ObjectKey::Azure(id) = key else { return false };
    input.inventory.iter().any(|(container, observed)| {
        let (ObjectKey::Azure(group), Some(site)) = (container, observed.ownership.site()) else {
            return false;
        };
        let address = || Address::new(observed.resource.kind(), Site::from(site), container.name());
        id != group && id.is_inside(group) && input.replace.contains(&address())
    })
}

/// The cluster or resource group of ours that has the place of a missing one under
/// another name.
fn renamed_from<'a>(
    input: Comparison<'a>,
    desired: &DesiredResource,
) -> Option<(&'a ObjectKey, Address)> {
    let kind = desired.address.kind;
    if !matches!(kind, Kind::ManagedCluster | Kind::ResourceGroup) {
        return None;
    }
    let is_claimed = |key: &ObjectKey| input.desired.iter().any(|it| it.key.as_ref() == Some(key));
    input.inventory.iter().find_map(|(key, observed)| {
        if observed.resource.kind() != kind {
            return None;
        }
        let site = observed.ownership.site()?;
        let site = Site::from(site);
        let is_old = site == desired.address.site && !is_claimed(key);
        is_old.then(|| (key, Address::new(kind, site, key.name())))
    })
}

fn group_of(key: Option<&ObjectKey>) -> String {
    let group = match key {
        Some(ObjectKey::Azure(id)) => id.resource_group_name(),
        _ => None,
    };
    group.unwrap_or_default().to_owned()
}

/// The objects of ours in a resource group.
fn objects_in(input: Comparison<'_>, group: &ObjectKey) -> Vec<Address> {
    let objects = input.inventory.iter().filter_map(|(key, observed)| {
        let (ObjectKey::Azure(group), ObjectKey::Azure(id)) = (group, key) else { return None };
        let site = observed.ownership.site()?;
        let address = || Address::new(observed.resource.kind(), Site::from(site), key.name());
        (id != group && id.is_inside(group)).then(address)
    });
    objects.collect()
}

/// The edit of a name. A cluster of the same name is in another resource group.
fn renamed(key: &ObjectKey, old: &Address, desired: &DesiredResource) -> FieldChange {
    let (field, before, after) = if old.name == desired.address.name {
        ("resource_group", group_of(Some(key)), group_of(desired.key.as_ref()))
    } else {
        ("name", old.name.to_string(), desired.address.name.to_string())
    };
    FieldChange {
        path: FieldPath(vec![field.to_owned()]),
        before: Some(before.into()),
        after: Some(after.into()),
        pending: false,
        forces_replacement: true,
    }
}

/// Blocks the deletion of resources that a refused rename would leave behind, and of a
/// cluster that the topology no longer describes, unless the user requested it.
pub(super) fn refuse_deletions(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    if input.desired.is_empty() {
        return;
    }
    let refused: Vec<(Kind, Site, Address)> = decisions
        .iter()
        .filter(|(_, decision)| is_refused(decision))
        .map(|(address, _)| (address.kind, address.site.clone(), address.clone()))
        .collect();
    let mut retained: Vec<(ObjectKey, Address)> = Vec::new();
    for (address, decision) in decisions.iter_mut() {
        let cause = refused
            .iter()
            .find(|(kind, site, _)| *kind == address.kind && *site == address.site)
            .map(|(.., cause)| cause.clone());
        if cause.is_none() && address.kind != Kind::ManagedCluster {
            continue;
        }
        let ResourceDecision::Change(change) = decision else { continue };
        if change.action != Action::Delete {
            continue;
        }
        let is_cluster = address.kind == Kind::ManagedCluster
            && !is_named(input, address)
            && !is_in_permitted(input, &change.key);
        if cause.is_none() && !is_cluster {
            continue;
        }
        retained.push((change.key.clone(), address.clone()));
        let blocked = retain(change, cause);
        *decision = blocked.into();
    }
    retain_contents(&retained, decisions);
}

/// Whether the user named a cluster that is deleted, or its successor.
fn is_named(input: Comparison<'_>, address: &Address) -> bool {
    let successor = |desired: &DesiredResource| {
        desired.address.kind == address.kind && is_permitted(input, &desired.address)
    };
    input.replace.contains(address) || input.desired.iter().any(successor)
}

fn is_refused(decision: &ResourceDecision) -> bool {
    matches!(
        decision,
        ResourceDecision::Blocked(blocked)
            if blocked.failure.code == Code::ReplacementNotRequested && blocked.caused_by.is_none()
    )
}

fn retain(change: &Change, cause: Option<Address>) -> Blocked {
    let failure = match &cause {
        Some(cause) => Failure::new(
            Code::ReplacementNotRequested,
            format!("its successor {cause} is refused"),
            format!("follow the help for {cause} first"),
        ),
        None => Failure::new(
            Code::ReplacementNotRequested,
            "the topology no longer describes this cluster, and it would be deleted with \
             everything that runs on it",
            format!(
                "undo the edit of the topology; or, if the cluster may be destroyed, run the same \
                 command with `--replace {}`",
                change.address
            ),
        ),
    };
    super::protection::blocked_for(change, failure, cause)
}

/// Blocks the deletion of everything in a resource group that stays.
fn retain_contents(retained: &[(ObjectKey, Address)], decisions: &mut ResourceDecisions) {
    for decision in decisions.values_mut() {
        let ResourceDecision::Change(change) = decision else { continue };
        let (Action::Delete, ObjectKey::Azure(id)) = (change.action, &change.key) else { continue };
        let container = retained.iter().find(|(key, _)| match key {
            ObjectKey::Azure(container) => id.is_inside(container),
            _ => false,
        });
        let Some((_, container)) = container else { continue };
        *decision = retain(change, Some(container.clone())).into();
    }
}
