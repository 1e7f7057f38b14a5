//! AKS clusters. The generated models end at a preview of 2023, so these models are our own
//! and contain only the fields that stargate manages.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::{Value, json};

use super::body::merge_onto;
use super::fields::{location, missing, prefix, provisioning, read};
use super::{DecodeError, Marks, node_pool};
use crate::resource::Observable;
use crate::resource::azure::{ManagedCluster, NodePool};
use crate::resource::settings::{ClusterTier, SupportPlan};
use crate::resource::version::KubernetesVersion;

const WHAT: &str = "AKS cluster";

#[derive(Deserialize)]
struct Body {
    location: Option<String>,
    #[serde(default)]
    sku: Sku,
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Sku {
    tier: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Properties {
    support_plan: Option<String>,
    kubernetes_version: Option<String>,
    current_kubernetes_version: Option<String>,
    node_resource_group: Option<String>,
    agent_pool_profiles: Option<Vec<Value>>,
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

/// Decodes a response of ARM. The version is the full current version if AKS reports it,
/// else the requested one.
///
/// A pool that cannot be decoded is omitted: pools are resources of their own, and a pool
/// of others must not hide the cluster.
pub fn decode(body: &Value) -> Result<ManagedCluster, DecodeError> {
    let Body { location: region, sku, properties } = read(WHAT, body)?;
    let network = properties.network_profile;
    let range = |field: &str, text: Option<String>| -> Result<Ipv4Net, DecodeError> {
        prefix(WHAT, field, &text.ok_or_else(|| missing(WHAT, field))?)
    };
    let version = properties.current_kubernetes_version.or(properties.kubernetes_version);
    let pools = properties.agent_pool_profiles;
    let pools = pools.ok_or_else(|| missing(WHAT, "properties.agentPoolProfiles"))?;
    // A default in place of a missing field would differ from the desired value of a field
    // that cannot be changed, and replace the cluster.
    let setting = |name: &str, text: Option<String>| {
        text.ok_or_else(|| missing(WHAT, &format!("properties.networkProfile.{name}")))
    };
    Ok(ManagedCluster {
        location: location(WHAT, region.as_deref())?,
        kubernetes_version: version_of(version)?,
        tier: observed(sku.tier.as_deref().and_then(ClusterTier::parse)),
        support_plan: observed(properties.support_plan.as_deref().and_then(SupportPlan::parse)),
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
        node_pools: pools.iter().filter_map(decode_pool).collect(),
        provisioning: provisioning(body),
        protected_by: None,
    })
}

/// A value that AKS did not send, or that is not known here, differs from nothing.
fn observed<T>(value: Option<T>) -> Observable<T> {
    value.map_or_else(Observable::unobserved, Observable::Observed)
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

fn decode_pool(profile: &Value) -> Option<(String, NodePool)> {
    let name = profile.get("name")?.as_str()?.to_owned();
    Some((name, node_pool::decode(&json!({ "properties": profile })).ok()?))
}

/// Encodes the body of a PUT.
///
/// The pools of an existing cluster are written back unchanged: this request neither
/// creates nor deletes pools, and each is a resource of its own. Their versions stay as
/// well, so that the control plane is upgraded first.
pub fn encode(cluster: &ManagedCluster, base: Option<&Value>, marks: &Marks<'_>) -> Value {
    let mut ours = json!({
        "location": cluster.location,
        "tags": marks.tags(),
        "properties": {
            "kubernetesVersion": requested_version(cluster, base),
            "nodeResourceGroup": cluster.node_resource_group,
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
    if let Some(tier) = cluster.tier.observed() {
        ours["sku"] = json!({ "name": "Base", "tier": tier.as_str() });
    }
    if let Some(plan) = cluster.support_plan.observed() {
        ours["properties"]["supportPlan"] = json!(plan.as_str());
    }
    if base.is_none() {
        let properties = &mut ours["properties"];
        properties["dnsPrefix"] = json!(dns_prefix(marks.owner.topology.as_str()));
        properties["enableRBAC"] = json!(true);
        properties["networkProfile"]["dnsServiceIP"] = json!(dns_service(cluster.service_cidr));
        properties["agentPoolProfiles"] = Value::Array(encode_pools(cluster, marks));
        ours["identity"] = json!({ "type": "SystemAssigned" });
    }
    merge_onto(base, ours)
}

/// The requested version is written back if the cluster runs a patch of it: AKS reads
/// a minor version as its newest patch.
fn requested_version(cluster: &ManagedCluster, base: Option<&Value>) -> Value {
    let text = |field: &str| base?.get("properties")?.get(field)?.as_str();
    let running = text("currentKubernetesVersion").and_then(|text| text.parse().ok());
    let is_running =
        running.is_some_and(|it: KubernetesVersion| it.satisfies(cluster.kubernetes_version));
    match text("kubernetesVersion").filter(|_| is_running) {
        Some(requested) => json!(requested),
        None => json!(cluster.kubernetes_version),
    }
}

fn encode_pools(cluster: &ManagedCluster, marks: &Marks<'_>) -> Vec<Value> {
    let encode = |(name, pool): (&String, &NodePool)| {
        let mut body = node_pool::encode_profile(pool, None, marks);
        body["name"] = json!(name);
        body
    };
    cluster.node_pools.iter().map(encode).collect()
}

/// At most 54 letters, digits and hyphens, with a letter or digit at each end.
fn dns_prefix(topology: &str) -> String {
    let sound = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let text: String = "stargate-".chars().chain(topology.chars()).map(sound).take(54).collect();
    text.trim_end_matches('-').to_owned()
}

/// The tenth address, the conventional one for a cluster's DNS.
fn dns_service(services: Ipv4Net) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(services.network()).saturating_add(10))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::tests::{cluster, object, owner};
    use super::*;
    use crate::resource::Site;
    use crate::resource::settings::NodePoolScale;

    #[test]
    fn the_body_of_an_existing_cluster_keeps_all_pools_as_they_are() {
        let (owner, site) = (owner(), Site::Cluster);
        let object = object();
        let marks = Marks { owner: &owner, site: &site, object: &object };
        let pool = node_pool::tests::pool(NodePoolScale::Fixed { count: 3 });
        let desired = cluster(BTreeMap::from([("kept".into(), pool)]), "x".into());
        let pools = json!([
            {"name": "kept", "count": 1, "vmSize": "V", "orchestratorVersion": "1.32"},
            {"name": "theirs", "count": 9}]);
        let base = json!({"properties": {"kubernetesVersion": "1.32", "agentPoolProfiles": pools}});
        let body = encode(&desired, Some(&base), &marks);
        assert_eq!(body["properties"]["agentPoolProfiles"], pools);
        assert_eq!(body["properties"]["kubernetesVersion"], "1.33.5");
        assert!(body.get("identity").is_none());
        let created = encode(&desired, None, &marks);
        assert_eq!(created["properties"]["networkProfile"]["dnsServiceIP"], "10.2.0.10");
        assert_eq!(created["properties"]["dnsPrefix"], "stargate-lab");
        let created = &created["properties"]["agentPoolProfiles"][0];
        assert_eq!((&created["mode"], &created["count"]), (&json!("System"), &json!(3)));
        assert_eq!(created["tags"]["stargate-pool"], "system");
    }

    /// AKS reads a minor version as its newest patch: written again, it is an upgrade.
    #[test]
    fn a_requested_minor_version_is_written_back_while_a_patch_of_it_runs() {
        let (owner, site) = (owner(), Site::Cluster);
        let object = object();
        let marks = Marks { owner: &owner, site: &site, object: &object };
        let desired = cluster(BTreeMap::new(), "x".into());
        let requested = |current: &str| {
            let base = json!({"properties": {
                "kubernetesVersion": "1.33", "currentKubernetesVersion": current}});
            let body = encode(&desired, Some(&base), &marks);
            body["properties"]["kubernetesVersion"].clone()
        };
        assert_eq!(requested("1.33.5"), "1.33");
        assert_eq!(requested("1.33.4"), "1.33.5");
    }
}
