//! AKS clusters. The generated models end at a preview of 2023, so these are
//! our own and hold what stargate governs.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::lay_over;
use super::fields::{location, missing, prefix, provisioning, read};
use super::{DecodeError, Marks};
use crate::resource::azure::{ManagedCluster, NodePool};
use crate::resource::settings::NodePoolScale;
use crate::resource::version::KubernetesVersion;

const WHAT: &str = "AKS cluster";

#[derive(Deserialize)]
struct Body {
    location: Option<String>,
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Properties {
    kubernetes_version: Option<String>,
    current_kubernetes_version: Option<String>,
    node_resource_group: Option<String>,
    agent_pool_profiles: Option<Vec<Pool>>,
    network_profile: Network,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Network {
    network_plugin: Option<String>,
    network_plugin_mode: Option<String>,
    network_dataplane: Option<String>,
    network_policy: Option<String>,
    pod_cidr: Option<String>,
    service_cidr: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pool {
    name: String,
    vm_size: Option<String>,
    count: Option<u32>,
    min_count: Option<u32>,
    max_count: Option<u32>,
    enable_auto_scaling: Option<bool>,
}

/// Reads what ARM answered. The version is the full one that runs, where AKS
/// tells it, else the one that was asked for.
pub fn decode(body: &Value) -> Result<ManagedCluster, DecodeError> {
    let Body { location: region, properties } = read(WHAT, body)?;
    let network = properties.network_profile;
    let range = |field: &str, text: Option<String>| -> Result<Ipv4Net, DecodeError> {
        prefix(WHAT, field, &text.ok_or_else(|| missing(WHAT, field))?)
    };
    let version = properties.current_kubernetes_version.or(properties.kubernetes_version);
    let pools = properties.agent_pool_profiles;
    let pools = pools.ok_or_else(|| missing(WHAT, "properties.agentPoolProfiles"))?;
    // A default in place of a missing field would differ from what is wanted in a
    // field that cannot be changed, and replace the cluster.
    let setting = |name: &str, text: Option<String>| {
        text.ok_or_else(|| missing(WHAT, &format!("properties.networkProfile.{name}")))
    };
    Ok(ManagedCluster {
        location: location(WHAT, region.as_deref())?,
        kubernetes_version: version_of(version)?,
        node_resource_group: properties
            .node_resource_group
            .ok_or_else(|| missing(WHAT, "properties.nodeResourceGroup"))?,
        network_plugin: setting("networkPlugin", network.network_plugin)?,
        // Clusters without an overlay or Cilium have neither: preflight refuses them.
        network_plugin_mode: network.network_plugin_mode.unwrap_or_default(),
        network_dataplane: network.network_dataplane.unwrap_or_default(),
        network_policy: setting("networkPolicy", network.network_policy)?,
        pod_cidr: range("properties.networkProfile.podCidr", network.pod_cidr)?,
        service_cidr: range("properties.networkProfile.serviceCidr", network.service_cidr)?,
        node_pools: pools.into_iter().map(decode_pool).collect::<Result<_, _>>()?,
        provisioning: provisioning(body),
    })
}

fn version_of(text: Option<String>) -> Result<KubernetesVersion, DecodeError> {
    const FIELD: &str = "properties.kubernetesVersion";
    let text = text.ok_or_else(|| missing(WHAT, FIELD))?;
    text.parse().map_err(|error: crate::resource::version::InvalidVersion| DecodeError {
        what: WHAT,
        field: FIELD.to_owned(),
        reason: error.to_string(),
    })
}

fn decode_pool(pool: Pool) -> Result<(String, NodePool), DecodeError> {
    let lacks = |field: &str| missing(WHAT, &format!("agentPoolProfiles.{}.{field}", pool.name));
    let scale = if pool.enable_auto_scaling == Some(true) {
        NodePoolScale::Autoscaled {
            min: pool.min_count.or(pool.count).ok_or_else(|| lacks("minCount"))?,
            max: pool.max_count.or(pool.count).ok_or_else(|| lacks("maxCount"))?,
        }
    } else {
        NodePoolScale::Fixed { count: pool.count.ok_or_else(|| lacks("count"))? }
    };
    let vm_size = pool.vm_size.clone().ok_or_else(|| lacks("vmSize"))?;
    Ok((pool.name, NodePool { vm_size, scale }))
}

/// Writes what ARM takes.
///
/// AKS takes no new pools and lets none go by way of an existing cluster: there
/// the pools that are on both sides are written, and [`pool_changes`] tells
/// what remains to be done pool by pool.
pub fn encode(cluster: &ManagedCluster, base: Option<&Value>, marks: &Marks<'_>) -> Value {
    let mut ours = json!({
        "location": cluster.location,
        "tags": marks.tags(),
        "properties": {
            "kubernetesVersion": cluster.kubernetes_version,
            "nodeResourceGroup": cluster.node_resource_group,
            "agentPoolProfiles": encode_pools(cluster, base),
            "networkProfile": {
                "networkPlugin": cluster.network_plugin,
                "networkPluginMode": cluster.network_plugin_mode,
                "networkDataplane": cluster.network_dataplane,
                "networkPolicy": cluster.network_policy,
                "podCidr": cluster.pod_cidr,
                "serviceCidr": cluster.service_cidr,
            },
        },
    });
    if base.is_none() {
        let properties = &mut ours["properties"];
        properties["dnsPrefix"] = json!(dns_prefix(marks.owner.topology.as_str()));
        properties["enableRBAC"] = json!(true);
        properties["networkProfile"]["dnsServiceIP"] = json!(dns_service(cluster.service_cidr));
        ours["identity"] = json!({ "type": "SystemAssigned" });
    }
    lay_over(base, ours)
}

fn encode_pools(cluster: &ManagedCluster, base: Option<&Value>) -> Vec<Value> {
    let pools = &cluster.node_pools;
    let Some(base) = base else {
        return pools
            .iter()
            .enumerate()
            .map(|(index, (name, pool))| {
                let mut body = encode_pool(pool, index == 0);
                body["name"] = json!(name);
                body
            })
            .collect();
    };
    let version = cluster.kubernetes_version.to_string();
    let upgrade = base.pointer("/properties/kubernetesVersion") != Some(&json!(version));
    existing_pools(base)
        .into_iter()
        .map(|(name, there)| {
            let Some(pool) = pools.get(name) else { return there.clone() };
            let mut body = encode_scale(pool, Some(there));
            if upgrade {
                // Without it the nodes would stay behind the control plane.
                body["orchestratorVersion"] = json!(version);
            }
            lay_over(Some(there), body)
        })
        .collect()
}

fn existing_pools(base: &Value) -> Vec<(&str, &Value)> {
    let pools = base.pointer("/properties/agentPoolProfiles").and_then(Value::as_array);
    pools
        .into_iter()
        .flatten()
        .filter_map(|pool| Some((pool.get("name")?.as_str()?, pool)))
        .collect()
}

fn encode_pool(pool: &NodePool, system: bool) -> Value {
    let mut body = encode_scale(pool, None);
    body["vmSize"] = json!(pool.vm_size);
    body["osType"] = json!("Linux");
    body["type"] = json!("VirtualMachineScaleSets");
    body["mode"] = json!(if system { "System" } else { "User" });
    body
}

/// The autoscaler's present count is left to it.
fn encode_scale(pool: &NodePool, there: Option<&Value>) -> Value {
    match pool.scale {
        NodePoolScale::Fixed { count } => {
            let mut body = json!({ "count": count, "enableAutoScaling": false });
            if there.is_some() {
                // Bounds without an autoscaler are refused.
                body["minCount"] = Value::Null;
                body["maxCount"] = Value::Null;
            }
            body
        }
        NodePoolScale::Autoscaled { min, max } => {
            let present = there.and_then(|there| there.get("count")).and_then(Value::as_u64);
            let count = present.unwrap_or_default().clamp(u64::from(min), u64::from(max.max(min)));
            json!({ "count": count, "enableAutoScaling": true, "minCount": min, "maxCount": max })
        }
    }
}

/// What the pools of an existing cluster need beyond [`encode`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PoolChanges {
    /// Bodies of pools to PUT at `<cluster>/agentPools/<name>`.
    pub create: BTreeMap<String, Value>,
    /// Pools to delete there.
    pub delete: Vec<String>,
}

/// Compares the pools that are wanted with those of a cluster that is there.
pub fn pool_changes(cluster: &ManagedCluster, base: &Value) -> PoolChanges {
    let there = existing_pools(base);
    let is_there = |name: &str| there.iter().any(|(candidate, _)| *candidate == name);
    let create = cluster
        .node_pools
        .iter()
        .filter(|(name, _)| !is_there(name))
        .map(|(name, pool)| (name.clone(), json!({ "properties": encode_pool(pool, false) })))
        .collect();
    let delete = there
        .iter()
        .filter(|(name, _)| !cluster.node_pools.contains_key(*name))
        .map(|(name, _)| (*name).to_owned())
        .collect();
    PoolChanges { create, delete }
}

/// At most 54 letters, digits and hyphens, with a letter or digit at each end.
fn dns_prefix(topology: &str) -> String {
    let sound = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let text: String = "stargate-".chars().chain(topology.chars()).map(sound).take(54).collect();
    text.trim_end_matches('-').to_owned()
}

/// The tenth address, where everybody looks for a cluster's DNS.
fn dns_service(services: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(services.network()).saturating_add(10))
}
