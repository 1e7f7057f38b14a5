//! Reads a subscription: permissions, registrations, quotas, sizes, policies and locks.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::join_all;
use jiff::Timestamp;
use serde_json::Value;

use super::super::Scope;
use super::super::single::get_printable;
use super::decode;
use crate::diagnostics::Failure;
use crate::inventory::subscription::{
    Answer, PermissionSet, Region, RegionFacts, SubscriptionFacts, is_in_scope,
};
use crate::plan::Plan;
use crate::plan::readiness::{region_of, subscription_of};
use crate::provider::clients::ReadClients;
use crate::resource::arm_type::{NETWORK, RESOURCES};
use crate::resource::ownership::TOPOLOGY_TAG;
use crate::resource::route_name::table_of_route;
use crate::resource::{ArmId, Kind, ObjectKey};
use crate::topology::model::{DatacenterKind, Topology};

/// The version of `Microsoft.Compute/skus`, which has versions of its own.
const SKUS: &str = "2021-07-01";
/// The version of the usages of `Microsoft.Compute`.
const COMPUTE_USAGES: &str = "2024-07-01";
/// The version of `Microsoft.Authorization/permissions`.
const PERMISSIONS: &str = "2022-04-01";
/// The version of `Microsoft.Authorization/policyAssignments`.
const POLICY_ASSIGNMENTS: &str = "2022-06-01";
/// The version of `Microsoft.Authorization/policyExemptions`, which has had previews only.
const POLICY_EXEMPTIONS: &str = "2022-07-01-preview";
/// The version of `Microsoft.Authorization/locks`.
const LOCKS: &str = "2016-09-01";

/// Reads everything side by side. Exemptions that have expired at `now` are left out.
pub(super) async fn read(
    clients: &ReadClients,
    scope: &Scope<'_>,
    now: Timestamp,
) -> SubscriptionFacts {
    let subscription = format!("/subscriptions/{}", scope.subscription);
    let authorization = format!("{subscription}/providers/Microsoft.Authorization");
    let (assignments, locks) =
        (format!("{authorization}/policyAssignments"), format!("{authorization}/locks"));
    let exemptions = format!("{authorization}/policyExemptions");
    let (permissions, registrations, regions, policies, exemptions, locks) = tokio::join!(
        permissions(clients, &subscription),
        registrations(clients, &subscription),
        regions(clients, &subscription, scope.topology),
        list(clients, &assignments, POLICY_ASSIGNMENTS),
        list(clients, &exemptions, POLICY_EXEMPTIONS),
        list(clients, &locks, LOCKS),
    );
    SubscriptionFacts {
        permissions,
        group_permissions: BTreeMap::new(),
        registrations,
        regions,
        policies: policies.map(|list| list.iter().map(decode::policy).collect()),
        exemptions: exemptions.map(|list| {
            let decoded = list.iter().map(|value| decode::exemption(value, now));
            decoded.filter_map(Result::transpose).collect()
        }),
        locks: locks.map(|list| list.iter().map(decode::lock).collect()),
    }
}

async fn list(clients: &ReadClients, path: &str, version: &str) -> Answer<Vec<Value>> {
    clients.azure.list(path, version).await.map_err(Failure::from)
}

async fn values(clients: &ReadClients, path: &str, version: &str) -> Answer<Vec<Value>> {
    clients.azure.list_values(path, version).await.map_err(Failure::from)
}

async fn permissions(clients: &ReadClients, scope: &str) -> Answer<Vec<PermissionSet>> {
    let path = format!("{scope}/providers/Microsoft.Authorization/permissions");
    let sets = values(clients, &path, PERMISSIONS).await?;
    sets.iter().map(decode::permission_set).collect()
}

/// The permissions on the groups that exist: those of the topology, and those of all objects
/// that a plan reads or changes, such as those of the node resource group. For routes in a table
/// of another owner they are those on the table, which its owner may give alone.
pub(super) async fn group_permissions(
    clients: &ReadClients,
    scope: &Scope<'_>,
    plan: &Plan,
) -> BTreeMap<ArmId, Answer<Vec<PermissionSet>>> {
    let own = format!("/subscriptions/{}", scope.subscription);
    let own = own.as_str();
    let of_group = |id: ArmId| async move {
        let path = format!("{id}/providers/Microsoft.Authorization/permissions");
        match clients.azure.list_values(&path, PERMISSIONS).await {
            Ok(sets) => Some((id, sets.iter().map(decode::permission_set).collect())),
            // It is created, with the permissions on the subscription. A group in another one
            // is never created: it exists, and is hidden.
            Err(error) if error.is_not_found() && is_in_scope(id.as_str(), own) => None,
            Err(error) => Some((id, Err(Failure::from(error)))),
        }
    };
    let groups = resource_groups(scope, plan).into_iter().map(of_group);
    join_all(groups).await.into_iter().flatten().collect()
}

fn resource_groups(scope: &Scope<'_>, plan: &Plan) -> BTreeSet<ArmId> {
    let subscription = scope.subscription.as_str();
    let of_datacenters = scope.topology.datacenters.iter().filter_map(|it| match &it.kind {
        DatacenterKind::Azure(azure) => Some(azure.resource_group.as_str()),
        DatacenterKind::Existing(_) => None,
    });
    let of_topology = of_datacenters.chain([scope.topology.cluster.resource_group.as_str()]);
    let of_topology = of_topology.map(|name| ArmId::resource_group(subscription, name));
    let desired = plan.desired().iter().filter_map(|it| it.key.as_ref());
    let keys = desired.chain(plan.changes.iter().map(|it| &it.key));
    let of_keys = keys.filter_map(|key| match key {
        ObjectKey::Azure(id) => table_of_route(id).or_else(|| id.group()),
        ObjectKey::AzureAssociation(id) => id.group(),
        _ => None,
    });
    of_topology.chain(of_keys).collect()
}

async fn registrations(
    clients: &ReadClients,
    subscription: &str,
) -> BTreeMap<String, Answer<String>> {
    let providers: BTreeSet<&str> =
        Kind::ALL.iter().filter_map(|kind| Some(kind.arm()?.provider())).collect();
    let read = |namespace: &'static str| async move {
        let id = ArmId::new(format!("{subscription}/providers/{namespace}"));
        let answer = get_printable(clients, &id).await.map_err(Failure::from);
        (namespace.to_owned(), answer.and_then(|body| decode::registration(body.as_ref())))
    };
    join_all(providers.into_iter().map(read)).await.into_iter().collect()
}

async fn regions(
    clients: &ReadClients,
    subscription: &str,
    topology: &Topology,
) -> BTreeMap<Region, RegionFacts> {
    let of_datacenters = topology.datacenters.iter().filter_map(|it| match &it.kind {
        DatacenterKind::Azure(azure) => Some(azure.location.to_string()),
        DatacenterKind::Existing(_) => None,
    });
    let names = of_datacenters.chain([topology.azure.location.to_string()]);
    read_regions(clients, names.map(|name| Region::new(subscription, &name)).collect()).await
}

/// The regions of a plan's objects that are not known yet: that of the cluster's VNet may be
/// another one, or in another subscription.
pub(super) async fn other_regions(
    clients: &ReadClients,
    scope: &Scope<'_>,
    plan: &Plan,
    known: &BTreeMap<Region, RegionFacts>,
) -> BTreeMap<Region, RegionFacts> {
    let own = format!("/subscriptions/{}", scope.subscription);
    let of_plan = plan.desired().iter().filter_map(|desired| {
        let name = region_of(&desired.resource)?;
        Some(Region::new(&subscription_of(desired).unwrap_or_else(|| own.clone()), name))
    });
    read_regions(clients, of_plan.filter(|region| !known.contains_key(region)).collect()).await
}

async fn read_regions(
    clients: &ReadClients,
    regions: BTreeSet<Region>,
) -> BTreeMap<Region, RegionFacts> {
    let read = |region: Region| async move {
        let facts = self::region(clients, &region.subscription, &region.name).await;
        (region, facts)
    };
    join_all(regions.into_iter().map(read)).await.into_iter().collect()
}

async fn region(clients: &ReadClients, subscription: &str, region: &str) -> RegionFacts {
    let usages =
        |provider: &str| format!("{subscription}/providers/{provider}/locations/{region}/usages");
    let (compute, network) = (usages("Microsoft.Compute"), usages("Microsoft.Network"));
    let sizes = format!(
        "{subscription}/providers/Microsoft.Compute/skus?$filter=location%20eq%20%27{region}%27"
    );
    let (compute, network, sizes) = tokio::join!(
        values(clients, &compute, COMPUTE_USAGES),
        values(clients, &network, NETWORK),
        values(clients, &sizes, SKUS),
    );
    RegionFacts {
        compute: compute.and_then(|list| decode::quotas(&list)),
        network: network.and_then(|list| decode::quotas(&list)),
        sizes: sizes.and_then(|list| decode::sizes(&list, region)),
    }
}

/// Other topologies whose tag a resource group carries.
pub(super) async fn other_topologies(
    clients: &ReadClients,
    scope: &Scope<'_>,
) -> Answer<BTreeSet<String>> {
    let path = format!("/subscriptions/{}/resourcegroups", scope.subscription);
    let groups = list(clients, &path, RESOURCES).await?;
    let names = groups.iter().filter_map(|it| it["tags"][TOPOLOGY_TAG].as_str());
    let others = names.filter(|name| *name != scope.topology.name.as_str());
    Ok(others.map(str::to_owned).collect())
}
