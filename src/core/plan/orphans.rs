//! Objects that the topology owns and no longer lists.

use std::borrow::Cow;
use std::cell::LazyCell;

use foldhash::{HashSet, HashSetExt};

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::{Action, Change};
use crate::inventory::Observed;
use crate::resource::route_name::address_name;
use crate::resource::{Address, Kind, ObjectKey, Resource, Site};

/// Deletes each object that the topology owns and that no desired resource claims.
pub(super) fn delete(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    // A destroy needs no ids of what stays.
    let is_cluster_unknown = input.inventory.cluster_gap().is_some() && !input.desired.is_empty();
    // Before anything exists, nothing is looked up in it.
    let claimed = LazyCell::new(|| {
        // What exists of a worker that waits for the place of another one stays.
        let desired = input.desired.iter().chain(input.desired.waiting());
        let mut claimed: HashSet<&ObjectKey> = HashSet::with_capacity(input.desired.len());
        claimed.extend(desired.filter_map(|it| it.key.as_ref()));
        claimed
    });
    for (key, observed) in input.inventory.iter() {
        let Some(site) = observed.ownership.site() else { continue };
        let kind = observed.resource.kind();
        if claimed.contains(key) || kind.facts().deleted_with_container {
            continue;
        }
        // A partly read source may have hidden why the object exists.
        if input.inventory.gap_for(kind, Some(key)).is_some() {
            continue;
        }
        // Without the cluster's facts the ids of what it needs are unknown.
        if is_cluster_unknown && observed.site() == Some(Site::Cluster) {
            continue;
        }
        if kind == Kind::TailnetDevice && (may_have_departed_workers(input) || hides_record(input))
        {
            continue;
        }
        if goes_with_cluster(input, key, &claimed) {
            continue;
        }
        let name = match &observed.resource {
            Resource::NodePool(pool) => Cow::from(&pool.key),
            Resource::Route(_) => name_of_route(key),
            _ => Cow::from(key.name()),
        };
        let mut address = Address::new(kind, Site::from(site), &*name);
        // Two of one name in two places would share an address.
        if decisions.contains_key(&address) {
            address.name = match &observed.resource {
                Resource::NodePool(pool) => format!("{}/{}", pool.key, key.name()).into(),
                _ => place_and_name(key).into(),
            };
        }
        let decision = deletion(&address, key, observed);
        decisions.insert(address, decision);
    }
    if !input.desired.is_empty() {
        omit_objects_deleted_with_cluster(decisions);
    }
}

/// Whether an object is a node pool of a cluster that is not desired either: AKS deletes
/// the pools of a cluster with it, and refuses to delete the last system pool before. While
/// the cluster is unknown, its pools are unknown too.
fn goes_with_cluster(
    input: Comparison<'_>,
    key: &ObjectKey,
    claimed: &HashSet<&ObjectKey>,
) -> bool {
    let ObjectKey::Azure(id) = key else { return false };
    let is_pool = id.resource_type().and_then(|name| Kind::of_arm_type(&name));
    if is_pool != Some(Kind::NodePool) {
        return false;
    }
    let is_desired = |cluster| claimed.contains(&ObjectKey::Azure(cluster));
    let has_pools = input.desired.iter().any(|desired| desired.address.kind == Kind::NodePool);
    !has_pools || !id.parent().is_some_and(is_desired)
}

/// Whether there may be unread workers behind a router that the topology no longer lists:
/// they must leave before its device is deleted.
fn may_have_departed_workers(input: Comparison<'_>) -> bool {
    !input.desired.is_empty() && input.inventory.gap_for(Kind::Server, None).is_some()
}

/// Whether the record of a router's protection may be hidden: a device carries none, the
/// VM that it belongs to does.
fn hides_record(input: Comparison<'_>) -> bool {
    input.inventory.gap_among(Kind::VirtualMachine).is_some()
}

/// Omits the objects that AKS deletes with the cluster: everything in its node resource
/// group. Without the facts of that cluster, the order among them is unknown.
fn omit_objects_deleted_with_cluster(decisions: &mut ResourceDecisions) {
    let deleted = |decision: &ResourceDecision| match decision {
        ResourceDecision::Change(change) if change.action == Action::Delete => {
            match &change.before {
                Some(Resource::ManagedCluster(cluster)) => {
                    Some(cluster.node_resource_group.clone())
                }
                _ => None,
            }
        }
        _ => None,
    };
    let groups: Vec<String> = decisions.values().filter_map(deleted).collect();
    decisions.retain(|_, decision| {
        let ResourceDecision::Change(change) = decision else { return true };
        let (Action::Delete, ObjectKey::Azure(id)) = (change.action, &change.key) else {
            return true;
        };
        let is_in = |group: &String| {
            id.resource_group_name().is_some_and(|name| name.eq_ignore_ascii_case(group))
        };
        !groups.iter().any(is_in)
    });
}

/// The name of a single route, with that of its table.
fn name_of_route(key: &ObjectKey) -> Cow<'_, str> {
    match key {
        ObjectKey::Azure(id) => Cow::from(address_name(id)),
        key => Cow::from(key.name()),
    }
}

/// A name that no other object of the kind has.
fn place_and_name(key: &ObjectKey) -> String {
    let name = key.name();
    match key {
        ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id) => {
            let group = id.resource_group_name().unwrap_or_default();
            let is_child = id.resource_type().is_some_and(|it| it.matches('/').count() > 1);
            match id.parent().filter(|_| is_child) {
                Some(parent) => format!("{group}/{}/{name}", parent.name()),
                None => format!("{group}/{name}"),
            }
        }
        ObjectKey::Kubernetes(object) => {
            format!("{}/{name}", object.namespace.as_deref().unwrap_or_default())
        }
        _ => name.to_owned(),
    }
}

fn deletion(address: &Address, key: &ObjectKey, observed: &Observed) -> ResourceDecision {
    let reason = "not in the topology";
    let mut change =
        Change::new(address.clone(), key.clone(), Action::Delete, reason).with_before(observed);
    change.interrupts = match &observed.resource {
        // It is not recreated.
        Resource::TailnetDevice(device) => {
            Some(format!("pods lose connectivity through {}", device.hostname))
        }
        resource => interruption(resource),
    };
    ResourceDecision::Change(Box::new(change))
}

/// The interruption that the deletion of an object causes.
pub(super) fn interruption(resource: &Resource) -> Option<String> {
    match resource {
        Resource::ManagedCluster(_) => {
            Some("the whole cluster and everything that runs on it".to_owned())
        }
        Resource::NodePool(pool) if pool.scale.max_nodes() == 0 => None,
        Resource::NodePool(pool) => Some(format!(
            "the nodes of pool {} are drained and deleted; their pods are evicted",
            pool.key
        )),
        Resource::Worker(worker) => Some(format!("the pods on {} are evicted", worker.name)),
        Resource::TailnetDevice(device) => {
            Some(format!("pods lose connectivity through {} until it is back", device.hostname))
        }
        _ => None,
    }
}
