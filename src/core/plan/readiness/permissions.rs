//! The actions of Azure that an apply uses, against the roles of the credential.

use std::collections::{BTreeMap, BTreeSet};

use super::types::{Check, CheckArea, ReadinessInput, id_of, named};
use crate::desired::DesiredResource;
use crate::diagnostics::{Code, counted};
use crate::inventory::subscription::PermissionSet;
use crate::plan::Action;
use crate::resource::azure::NodePool;
use crate::resource::route_name::table_of_route;
use crate::resource::{ArmId, Kind, ObjectKey, Resource};

const NAME: &str = "permissions";
/// How many actions a message names.
const MAX_NAMED: usize = 4;

/// The type of resource groups in the names of actions.
pub(super) const RESOURCE_GROUPS: &str = "Microsoft.Resources/subscriptions/resourceGroups";
const JOIN_SUBNET: &str = "Microsoft.Network/virtualNetworks/subnets/join/action";
/// Actions on objects that others refer to
/// (<https://learn.microsoft.com/azure/virtual-network/virtual-network-manage-subnet#permissions>).
const JOIN: [(Kind, &str); 6] = [
    (Kind::Subnet, JOIN_SUBNET),
    (Kind::RouteTable, "Microsoft.Network/routeTables/join/action"),
    (Kind::NetworkSecurityGroup, "Microsoft.Network/networkSecurityGroups/join/action"),
    (Kind::PublicIpAddress, "Microsoft.Network/publicIPAddresses/join/action"),
    (Kind::NatGateway, "Microsoft.Network/natGateways/join/action"),
    (Kind::NetworkInterface, "Microsoft.Network/networkInterfaces/join/action"),
];
const CREDENTIAL: &str =
    "Microsoft.ContainerService/managedClusters/listClusterUserCredential/action";

pub(super) fn check(input: ReadinessInput<'_>) -> Check {
    let facts = &input.readiness.subscription;
    let needed = needed(input);
    let count: usize = needed.values().map(BTreeSet::len).sum();
    let scopes = counted(needed.len(), "scope");
    let mut check =
        Check::passed(CheckArea::Azure, NAME, format!("{} on {scopes}", counted(count, "action")));
    for (scope, actions) in &needed {
        let of_group = facts.group_permissions.get(&ArmId::new(scope.as_str()));
        match of_group.unwrap_or(&facts.permissions) {
            Err(failure) => check.gaps.push(failure.clone()),
            Ok(sets) => report(&mut check, scope, actions, sets),
        }
    }
    let unlocated = input.desired().iter().filter(|it| !is_located(input, it));
    let gaps = unlocated.filter(|it| it.resource.kind().arm().is_some());
    check.gaps.extend(gaps.filter_map(|it| input.gap_of(it)).map(|gap| gap.failure.clone()));
    let mut seen = Vec::new();
    check.gaps.retain(|gap| {
        let is_new = !seen.contains(gap);
        seen.push(gap.clone());
        is_new
    });
    check
}

fn report(check: &mut Check, scope: &str, actions: &BTreeSet<String>, sets: &[PermissionSet]) {
    let is_missing = |action: &&String| !sets.iter().any(|set| set.grants(action));
    let missing: Vec<&String> = actions.iter().filter(is_missing).collect();
    let Some(first) = missing.first() else { return };
    let is_table = scope_kind(scope) == Some(Kind::RouteTable);
    let role = if is_table {
        "Network Contributor"
    } else if first.starts_with("Microsoft.ContainerService") && missing.len() == 1 {
        "Azure Kubernetes Service Contributor Role"
    } else {
        "Contributor"
    };
    check.error(
        Code::AzureRefused,
        format!("the credential lacks {} on {scope}", named(&missing, MAX_NAMED)),
        format!(
            "run `az role assignment create --assignee IDENTITY --role '{role}' --scope '{scope}'`, \
             or log in as another identity (`az login`)"
        ),
    );
}

/// Actions by scope.
type Needed = BTreeMap<String, BTreeSet<String>>;

/// The actions by scope: a resource group that exists, else the subscription. Every object of
/// the topology is read. A role needs the other actions only on what an apply creates, changes
/// or deletes.
fn needed(input: ReadinessInput<'_>) -> Needed {
    let mut needed = Needed::new();
    for desired in input.desired().iter().filter(|it| is_located(input, it)) {
        add(&mut needed, input, id_of(desired), desired.resource.kind(), "read");
    }
    for desired in input.created().filter(|it| is_located(input, it)) {
        write(&mut needed, input, id_of(desired), &desired.resource);
    }
    for change in &input.plan.changes {
        let (ObjectKey::Azure(id) | ObjectKey::AzureAssociation(id)) = &change.key else {
            continue;
        };
        let kind = change.address.kind;
        let is_deleted = matches!(change.action, Action::Delete | Action::Replace);
        if is_deleted {
            // A property is deleted by a write of the object that has it.
            let is_property = matches!(change.key, ObjectKey::AzureAssociation(_));
            let verb = if is_property { "write" } else { "delete" };
            add(&mut needed, input, Some(id), kind, verb);
        }
        // A restart is a command on the machine.
        if let Some(after) = change.after.as_ref().filter(|_| change.action != Action::Reboot) {
            write(&mut needed, input, Some(id), after);
        }
    }
    let cluster = cluster_id(input);
    needed.entry(scope(input, Some(&cluster))).or_default().insert(CREDENTIAL.to_owned());
    needed
}

/// Whether it is known which resource group an object is in: an object that a gap hides may be
/// in one that exists.
fn is_located(input: ReadinessInput<'_>, desired: &DesiredResource) -> bool {
    desired.key.is_some() || input.gap_of(desired).is_none()
}

fn add(needed: &mut Needed, input: ReadinessInput<'_>, id: Option<&ArmId>, kind: Kind, verb: &str) {
    let Some(arm) = kind.arm() else { return };
    let name = if kind == Kind::ResourceGroup { RESOURCE_GROUPS } else { arm.name };
    needed.entry(scope(input, id)).or_default().insert(format!("{name}/{verb}"));
}

/// A write of an object, with the actions on those that it refers to.
fn write(needed: &mut Needed, input: ReadinessInput<'_>, id: Option<&ArmId>, resource: &Resource) {
    add(needed, input, id, resource.kind(), "write");
    let pools: Vec<&NodePool> = match resource {
        Resource::ManagedCluster(cluster) => cluster.node_pools.values().collect(),
        Resource::NodePool(pool) => vec![&**pool],
        _ => Vec::new(),
    };
    let references = resource.references();
    let of_pools = pools.into_iter().filter_map(|pool| pool.subnet.as_ref());
    for id in references.iter().map(|reference| reference.id).chain(of_pools) {
        join(needed, input, id);
    }
    // The subnet of a cluster that does not exist yet has no id.
    if let Resource::NetworkInterface(interface) = resource
        && interface.subnet.known().is_none()
    {
        needed.entry(scope(input, None)).or_default().insert(JOIN_SUBNET.to_owned());
    }
}

fn join(needed: &mut Needed, input: ReadinessInput<'_>, id: &ArmId) {
    let kind = id.resource_type().and_then(|name| Kind::of_arm_type(&name));
    let action = JOIN.iter().find(|(of, _)| Some(*of) == kind);
    if let Some((_, action)) = action {
        needed.entry(scope(input, Some(id))).or_default().insert((*action).to_owned());
    }
}

fn cluster_id(input: ReadinessInput<'_>) -> ArmId {
    let cluster = &input.topology.cluster;
    let group = cluster.resource_group.as_str();
    ArmId::resource_group(input.facts.subscription.as_str(), group)
        .in_group(Kind::ManagedCluster.arm_type(), cluster.name.as_str())
}

/// The kind of the object that a scope is, if it is one.
fn scope_kind(scope: &str) -> Option<Kind> {
    ArmId::new(scope).resource_type().and_then(|name| Kind::of_arm_type(&name))
}

/// The route table of a single route, the resource group of another object, if it exists, and
/// otherwise the subscription.
fn scope(input: ReadinessInput<'_>, id: Option<&ArmId>) -> String {
    let groups = &input.readiness.subscription.group_permissions;
    let table = id.and_then(table_of_route).filter(|table| groups.contains_key(table));
    let group = table.or_else(|| id.and_then(ArmId::group));
    let known = group.and_then(|group| groups.get_key_value(&group));
    known.map_or_else(|| input.subscription.to_owned(), |(group, _)| group.to_string())
}
