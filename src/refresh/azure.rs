//! Azure, by one list a type over the whole subscription: the number of
//! requests does not grow with the number of datacenters.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use futures::future::try_join_all;
use ipnet::Ipv4Net;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use super::single::unreadable;
use super::{Observation, Scope, groups};
use crate::desired::facts::{ClusterFacts, NodeSubnet};
use crate::desired::names;
use crate::diagnostics::{Code, Failure};
use crate::inventory::Source;
use crate::plan::{Finding, Severity};
use crate::provider::azure::codec;
use crate::provider::clients::ReadClients;
use crate::provider::error::RequestError;
use crate::resource::arm_type::RESOURCES as GROUPS_VERSION;
use crate::resource::azure::RouteTableAssociation;
use crate::resource::ownership::SideName;
use crate::resource::{ArmId, ArmType, Kind, ObjectKey, Owner, Ownership, Pending, Resource, Side};
use crate::topology::names::Location;

/// The kinds that are listed, each with its collection below the subscription.
fn listed() -> impl Iterator<Item = (Kind, &'static ArmType)> {
    let kinds = Kind::ALL.iter().filter_map(|kind| Some((*kind, kind.arm()?)));
    kinds.filter(|(_, arm)| arm.is_listed)
}

/// How long a machine may take from its creation until it is in the tailnet:
/// cloud-init installs Tailscale first.
const BOOT_WITHIN: SignedDuration = SignedDuration::from_mins(10);

/// What Azure answered.
pub(super) struct Answers {
    groups: Vec<Value>,
    objects: BTreeMap<Kind, Vec<Value>>,
    contents: BTreeMap<ArmId, Vec<Value>>,
}

/// Reads all lists side by side.
pub(super) async fn read(
    clients: &ReadClients,
    scope: &Scope<'_>,
) -> Result<Answers, RequestError> {
    let subscription = format!("/subscriptions/{}", scope.subscription);
    let groups_path = format!("{subscription}/resourcegroups");
    let groups = clients.azure.list(&groups_path, GROUPS_VERSION);
    let lists =
        try_join_all(listed().map(|(kind, arm)| {
            let path = format!("{subscription}/providers/{}", arm.name);
            async move {
                Ok::<_, RequestError>((kind, clients.azure.list(&path, arm.api_version).await?))
            }
        }));
    let (groups, objects) = tokio::try_join!(groups, lists)?;
    let contents = groups::read_contents(clients, scope, &groups).await?;
    Ok(Answers { groups, objects: objects.into_iter().collect(), contents })
}

/// Notes what is ours or stands where something of ours should.
pub(super) fn note(
    answers: Result<Answers, RequestError>,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let answers = match answers {
        Ok(answers) => answers,
        Err(error) => {
            observation.gap(Source::Azure, error);
            return;
        }
    };
    let cluster = find_cluster(&answers, scope, observation);
    let owner = scope.owner();
    let groups = groups::wanted(scope);
    for group in &answers.groups {
        note_object(group, ownership(group, &owner, scope), observation);
    }
    for value in answers.objects.values().flatten() {
        let ownership = ownership(value, &owner, scope);
        if is_relevant(value, &ownership, &groups, cluster.as_ref()) {
            note_object(value, ownership, observation);
        }
    }
    note_subnets(&answers, scope, cluster.as_ref(), observation);
    note_held(&answers, scope, observation);
    groups::note_foreign_contents(&answers.contents, scope, observation);
    observation.facts.cluster = cluster;
}

/// The ownership of an object. A cluster with `existing = true` and its resource
/// group are foreign regardless of their tags, so that they are never deleted.
fn ownership(value: &Value, owner: &Owner, scope: &Scope<'_>) -> Ownership {
    let cluster = scope.cluster_id();
    let is_cluster_s = |id: ArmId| {
        id == cluster || cluster.parent().and_then(|it| it.parent()).is_some_and(|it| it == id)
    };
    if scope.topology.cluster.existing && codec::id(value).is_some_and(is_cluster_s) {
        return Ownership::Foreign;
    }
    codec::ownership(value, owner)
}

fn is_relevant(
    value: &Value,
    ownership: &Ownership,
    wanted_groups: &BTreeMap<String, &Location>,
    cluster: Option<&ClusterFacts>,
) -> bool {
    let Some(id) = codec::id(value) else { return false };
    let group = id.resource_group_name().unwrap_or_default().to_ascii_lowercase();
    let in_node_group =
        cluster.is_some_and(|facts| facts.node_resource_group.eq_ignore_ascii_case(&group));
    let on_nodes = cluster.is_some_and(|facts| {
        facts.node_subnets.iter().any(|subnet| subnet.security_group.as_ref() == Some(&id))
    });
    matches!(ownership, Ownership::Ours { .. })
        || in_node_group
        || on_nodes
        || wanted_groups.contains_key(&group)
}

fn note_object(value: &Value, ownership: Ownership, observation: &mut Observation) {
    let Some(id) = codec::id(value) else { return };
    let made = text(value, "/properties/timeCreated").and_then(|time| time.parse().ok());
    if made.is_some_and(|made: Timestamp| observation.time.duration_since(made) < BOOT_WITHIN) {
        observation.inventory.recently_created.insert(ObjectKey::Azure(id.clone()));
    }
    let resource_type =
        id.resource_type().unwrap_or_else(|| Kind::ResourceGroup.arm_type().to_owned());
    match codec::decode_any(&resource_type, value) {
        Some(Ok(resource)) => observation.inventory.note(ObjectKey::Azure(id), resource, ownership),
        // An object that cannot be read must not look absent.
        Some(Err(error)) => observation.gap(Source::Azure, unreadable(&id, &error)),
        None => {}
    }
}

fn text<'a>(value: &'a Value, pointer: &str) -> Option<&'a str> {
    value.pointer(pointer).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    value.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

fn prefix(value: &Value) -> Option<Ipv4Net> {
    value.as_str()?.parse().ok()
}

fn find_cluster(
    answers: &Answers,
    scope: &Scope<'_>,
    observation: &mut Observation,
) -> Option<ClusterFacts> {
    let wanted = scope.cluster_id();
    let cluster = answers
        .objects
        .get(&Kind::ManagedCluster)
        .into_iter()
        .flatten()
        .find(|value| codec::id(value).is_some_and(|id| id == wanted));
    let Some(cluster) = cluster else {
        if scope.topology.cluster.existing {
            let failure = Failure::new(
                Code::ExistingClusterMissing,
                format!("the AKS cluster {wanted} does not exist"),
                "correct [cluster] name, resource_group or the subscription (`az aks list -o \
                 table` shows the clusters), or remove `existing = true` to create the cluster",
            );
            observation.findings.push(Finding::new(Severity::Error, failure));
        }
        return None;
    };
    cluster_facts(cluster, answers)
}

/// The facts of a cluster whose creation has come far enough to have a network.
fn cluster_facts(cluster: &Value, answers: &Answers) -> Option<ClusterFacts> {
    if text(cluster, "/properties/provisioningState") == Some("Creating") {
        return None;
    }
    let node_resource_group = text(cluster, "/properties/nodeResourceGroup")?.to_owned();
    let pool_subnets: Vec<ArmId> = list(cluster, "/properties/agentPoolProfiles")
        .filter_map(|pool| text(pool, "/vnetSubnetID").map(ArmId::new))
        .collect();
    let networks = answers.objects.get(&Kind::VirtualNetwork)?;
    let network = networks.iter().find(|network| {
        let Some(id) = codec::id(network) else { return false };
        match pool_subnets.first().and_then(ArmId::parent) {
            Some(own) => id == own,
            None => id
                .resource_group_name()
                .is_some_and(|group| group.eq_ignore_ascii_case(&node_resource_group)),
        }
    })?;
    let subnets: Vec<NodeSubnet> = list(network, "/properties/subnets")
        .filter_map(|subnet| {
            Some(NodeSubnet {
                id: codec::id(subnet)?,
                prefix: prefix(subnet.pointer("/properties/addressPrefix")?)?,
                security_group: text(subnet, "/properties/networkSecurityGroup/id").map(ArmId::new),
            })
        })
        .collect();
    let is_node_subnet = |id: &ArmId| {
        if pool_subnets.is_empty() { id.name() == "aks-subnet" } else { pool_subnets.contains(id) }
    };
    let profile = "/properties/networkProfile";
    let setting = |name: &str| text(cluster, &format!("{profile}/{name}"));
    Some(ClusterFacts {
        virtual_network: codec::id(network)?,
        address_prefixes: list(network, "/properties/addressSpace/addressPrefixes")
            .filter_map(prefix)
            .collect(),
        subnets: subnets.iter().map(|it| (it.id.name().to_owned(), it.prefix)).collect(),
        node_subnets: subnets.into_iter().filter(|it| is_node_subnet(&it.id)).collect(),
        pod_cidr: setting("podCidr")?.parse().ok()?,
        service_cidr: setting("serviceCidr")?.parse().ok()?,
        dns_service_ip: setting("dnsServiceIP")
            .and_then(|address| address.parse().ok())
            .unwrap_or(Ipv4Addr::new(10, 0, 0, 10)),
        version: text(cluster, "/properties/currentKubernetesVersion")
            .or_else(|| text(cluster, "/properties/kubernetesVersion"))?
            .parse()
            .ok()?,
        fqdn: text(cluster, "/properties/fqdn").unwrap_or_default().to_owned(),
        private: cluster
            .pointer("/properties/apiServerAccessProfile/enablePrivateCluster")
            .and_then(Value::as_bool)
            .unwrap_or(false),
        node_group_locked: text(cluster, "/properties/nodeResourceGroupProfile/restrictionLevel")
            == Some("ReadOnly"),
        overlay_with_cilium: setting("networkPluginMode") == Some("overlay")
            && setting("networkDataplane") == Some("cilium"),
        node_resource_group,
    })
}

/// Subnets have no tags: they have the owner of their VNet or, in the AKS VNet, of
/// the route table or security group that they refer to.
fn note_subnets(
    answers: &Answers,
    scope: &Scope<'_>,
    cluster: Option<&ClusterFacts>,
    observation: &mut Observation,
) {
    let owner = scope.owner();
    for network in answers.objects.get(&Kind::VirtualNetwork).into_iter().flatten() {
        let Some(network_id) = codec::id(network) else { continue };
        let ownership = codec::ownership(network, &owner);
        let of_cluster = cluster.filter(|facts| facts.virtual_network == network_id);
        for subnet in list(network, "/properties/subnets") {
            let Some(id) = codec::id(subnet) else { continue };
            if let Some(facts) = of_cluster {
                note_cluster_subnet(&id, subnet, facts, observation);
            } else if matches!(ownership, Ownership::Ours { .. }) {
                note_object(subnet, ownership.clone(), observation);
            }
        }
    }
}

fn note_cluster_subnet(
    id: &ArmId,
    subnet: &Value,
    facts: &ClusterFacts,
    observation: &mut Observation,
) {
    let table = text(subnet, "/properties/routeTable/id").map(ArmId::new);
    let group = text(subnet, "/properties/networkSecurityGroup/id").map(ArmId::new);
    let owner_of = |id: &Option<ArmId>, observation: &Observation| {
        let key = ObjectKey::Azure(id.clone()?);
        observation.inventory.get(&key).map(|object| object.ownership.clone())
    };
    let ours = Ownership::Ours { side: SideName::from(&Side::Cluster) };
    let of_table = owner_of(&table, observation);
    if facts.node_subnets.iter().any(|node_subnet| node_subnet.id == *id) {
        let ownership = match (&table, of_table) {
            (None, _) => Ownership::Inherited,
            (Some(_), Some(Ownership::Ours { .. })) => ours,
            (Some(table), _) if table.name() == names::WORKERS_ROUTE_TABLE => Ownership::Inherited,
            (Some(_), _) => Ownership::Foreign,
        };
        let association =
            RouteTableAssociation { subnet: Pending::Known(id.clone()), route_table: table };
        observation.inventory.note(
            ObjectKey::AzureAssociation(id.clone()),
            Resource::RouteTableAssociation(association),
            ownership,
        );
        return;
    }
    if id.name() != names::CLUSTER_ROUTER_SUBNET {
        return;
    }
    let of_group = owner_of(&group, observation);
    let is_ours = |ownership: &Option<Ownership>| matches!(ownership, Some(Ownership::Ours { .. }));
    let ownership =
        if is_ours(&of_table) || is_ours(&of_group) { ours } else { Ownership::Inherited };
    note_object(subnet, ownership, observation);
}

/// A worker keeps the address that its interface holds.
fn note_held(answers: &Answers, scope: &Scope<'_>, observation: &mut Observation) {
    let owner = scope.owner();
    let workers: BTreeMap<String, &str> = scope
        .topology
        .datacenters
        .iter()
        .flat_map(|datacenter| &datacenter.workers)
        .map(|worker| (names::interface(worker.name.as_str()), worker.name.as_str()))
        .collect();
    for interface in answers.objects.get(&Kind::NetworkInterface).into_iter().flatten() {
        let Some(id) = codec::id(interface) else { continue };
        let Some(worker) = workers.get(id.name()) else { continue };
        let address = list(interface, "/properties/ipConfigurations")
            .find_map(|configuration| text(configuration, "/properties/privateIPAddress"))
            .and_then(|address| address.parse().ok());
        if matches!(codec::ownership(interface, &owner), Ownership::Ours { .. }) {
            observation.held(worker).ip = address;
        }
    }
}
