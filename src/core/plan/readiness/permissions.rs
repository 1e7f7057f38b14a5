//! The actions of Azure that an apply uses, against the roles of the credential.

use std::collections::{BTreeMap, BTreeSet};

use super::types::{Check, CheckArea, ReadinessInput, id_of, named};
use crate::diagnostics::{Code, counted};
use crate::inventory::subscription::PermissionSet;
use crate::resource::{ArmId, Kind};

const NAME: &str = "permissions";
/// How many actions a message names.
const MAX_NAMED: usize = 4;

/// Actions on objects that others refer to
/// (<https://learn.microsoft.com/azure/virtual-network/virtual-network-manage-subnet#permissions>).
const JOIN: [(Kind, &str); 6] = [
    (Kind::Subnet, "Microsoft.Network/virtualNetworks/subnets/join/action"),
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
        let of_group = facts.group_permissions.iter().find(|(group, _)| {
            let id = format!("{}/resourceGroups/{group}", input.subscription);
            id.eq_ignore_ascii_case(scope)
        });
        match of_group.map_or(&facts.permissions, |(_, answer)| answer) {
            Err(failure) => check.gaps.push(failure.clone()),
            Ok(sets) => report(&mut check, scope, actions, sets),
        }
    }
    check.gaps.dedup();
    check
}

fn report(check: &mut Check, scope: &str, actions: &BTreeSet<String>, sets: &[PermissionSet]) {
    let is_missing = |action: &&String| !sets.iter().any(|set| set.grants(action));
    let missing: Vec<&String> = actions.iter().filter(is_missing).collect();
    let Some(first) = missing.first() else { return };
    let role = if first.starts_with("Microsoft.ContainerService") && missing.len() == 1 {
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

/// The actions by scope: a resource group that exists, else the subscription.
fn needed(input: ReadinessInput<'_>) -> BTreeMap<String, BTreeSet<String>> {
    let mut needed: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for desired in input.desired().iter() {
        let kind = desired.resource.kind();
        let Some(arm) = kind.arm() else { continue };
        let actions = needed.entry(scope(input, id_of(desired))).or_default();
        if kind == Kind::ResourceGroup {
            actions.insert("Microsoft.Resources/subscriptions/resourceGroups/write".to_owned());
            continue;
        }
        actions.extend(["read", "write"].map(|verb| format!("{}/{verb}", arm.name)));
        let join = JOIN.iter().find(|(of, _)| *of == kind);
        actions.extend(join.map(|(_, action)| (*action).to_owned()));
    }
    let cluster = cluster_id(input);
    needed.entry(scope(input, Some(&cluster))).or_default().insert(CREDENTIAL.to_owned());
    needed
}

fn cluster_id(input: ReadinessInput<'_>) -> ArmId {
    let cluster = &input.topology.cluster;
    let group = cluster.resource_group.as_str();
    ArmId::resource_group(input.facts.subscription.as_str(), group)
        .in_group(Kind::ManagedCluster.arm_type(), cluster.name.as_str())
}

fn scope(input: ReadinessInput<'_>, id: Option<&ArmId>) -> String {
    let groups = &input.readiness.subscription.group_permissions;
    let group = id.filter(|id| id.resource_type().is_some()).and_then(ArmId::resource_group_name);
    let known = group.and_then(|name| groups.keys().find(|it| it.eq_ignore_ascii_case(name)));
    match known {
        Some(group) => format!("{}/resourceGroups/{group}", input.subscription),
        None => input.subscription.to_owned(),
    }
}
