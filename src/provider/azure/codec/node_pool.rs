//! AKS node pools. The cluster's body lists them flat; at their own URL they have
//! `properties`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value, json};

use super::body::{merge_onto, set_property};
use super::fields::{missing, provisioning, read};
use super::marks::tag;
use super::{DecodeError, Marks};
use crate::resource::azure::NodePool;
use crate::resource::ownership::POOL_TAG;
use crate::resource::settings::{NodePoolMode, NodePoolScale};
use crate::resource::version::{InvalidVersion, KubernetesVersion};
use crate::resource::{ArmId, Observable};

const WHAT: &str = "node pool";

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    properties: Properties,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Properties {
    mode: Option<String>,
    vm_size: Option<String>,
    count: Option<u32>,
    min_count: Option<u32>,
    max_count: Option<u32>,
    enable_auto_scaling: Option<bool>,
    current_orchestrator_version: Option<String>,
    orchestrator_version: Option<String>,
    node_labels: Option<BTreeMap<String, String>>,
    node_taints: Option<BTreeSet<String>>,
    upgrade_settings: Option<UpgradeSettings>,
    max_pods: Option<u32>,
    #[serde(rename = "osDiskSizeGB")]
    os_disk_gb: Option<u32>,
    availability_zones: Option<BTreeSet<String>>,
    #[serde(rename = "vnetSubnetID")]
    subnet: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct UpgradeSettings {
    max_surge: Option<String>,
}

/// A pool as its own URL answers it, made from the one that the cluster's body lists.
pub fn from_profile(cluster: &ArmId, profile: &Value) -> Option<Value> {
    let name = profile.get("name")?.as_str()?;
    let id = cluster.child("agentPools", name);
    Some(json!({ "id": id.as_str(), "name": name, "properties": profile }))
}

/// Decodes a response of ARM. The version is the one that the nodes run, if AKS reports it,
/// else the requested one.
///
/// # Errors
///
/// A field is missing or malformed. No default takes its place: it would differ from the
/// desired value, and the pool would be changed.
pub fn decode(body: &Value) -> Result<NodePool, DecodeError> {
    let Body { properties } = read(WHAT, body)?;
    let lacks = |field: &str| missing(WHAT, &format!("properties.{field}"));
    let surge = properties.upgrade_settings.as_ref().and_then(|it| it.max_surge.clone());
    Ok(NodePool {
        key: tag(body, POOL_TAG).unwrap_or_default().to_owned(),
        mode: mode(properties.mode.as_deref())?,
        scale: scale(&properties)?,
        kubernetes_version: version(&properties)?,
        vm_size: properties.vm_size.ok_or_else(|| lacks("vmSize"))?,
        labels: properties.node_labels.unwrap_or_default(),
        taints: properties.node_taints.unwrap_or_default(),
        max_surge: observable(surge),
        max_pods: observable(properties.max_pods),
        os_disk_gb: observable(properties.os_disk_gb),
        // AKS leaves the field out for a pool without zones.
        zones: Observable::Observed(properties.availability_zones.unwrap_or_default()),
        subnet: properties.subnet.filter(|id| !id.is_empty()).map(ArmId::new),
        provisioning: provisioning(body),
    })
}

fn observable<T>(value: Option<T>) -> Observable<T> {
    value.map_or_else(Observable::unobserved, Observable::Observed)
}

fn mode(text: Option<&str>) -> Result<NodePoolMode, DecodeError> {
    match text.ok_or_else(|| missing(WHAT, "properties.mode"))? {
        text if text.eq_ignore_ascii_case("System") => Ok(NodePoolMode::System),
        // Of a mode that is not known only one thing counts: it is no system pool.
        _ => Ok(NodePoolMode::User),
    }
}

fn version(properties: &Properties) -> Result<KubernetesVersion, DecodeError> {
    const FIELD: &str = "properties.orchestratorVersion";
    let current = properties.current_orchestrator_version.as_ref();
    let text = current.or(properties.orchestrator_version.as_ref());
    let text = text.ok_or_else(|| missing(WHAT, FIELD))?;
    text.parse().map_err(|error: InvalidVersion| DecodeError {
        what: WHAT,
        field: FIELD.to_owned(),
        reason: error.to_string(),
    })
}

fn scale(pool: &Properties) -> Result<NodePoolScale, DecodeError> {
    let lacks = |field: &str| missing(WHAT, &format!("properties.{field}"));
    if pool.enable_auto_scaling == Some(true) {
        return Ok(NodePoolScale::Autoscaled {
            min: pool.min_count.or(pool.count).ok_or_else(|| lacks("minCount"))?,
            max: pool.max_count.or(pool.count).ok_or_else(|| lacks("maxCount"))?,
        });
    }
    Ok(NodePoolScale::Fixed { count: pool.count.ok_or_else(|| lacks("count"))? })
}

/// Encodes the body of a PUT to the pool's own URL.
pub fn encode(pool: &NodePool, base: Option<&Value>, marks: &Marks<'_>) -> Value {
    let there = base.and_then(|base| base.get("properties"));
    let properties = encode_profile(pool, there, marks);
    let mut body = merge_onto(base, json!({ "properties": properties }));
    // Laid over, labels and taints that are to go would stay.
    set_property(&mut body, "nodeLabels", Some(json!(pool.labels)));
    set_property(&mut body, "nodeTaints", Some(json!(pool.taints)));
    body
}

/// The pool as the body of a cluster lists it, over the one that exists.
pub(super) fn encode_profile(pool: &NodePool, there: Option<&Value>, marks: &Marks<'_>) -> Value {
    let mut body = encode_scale(pool, there);
    body["mode"] = json!(match pool.mode {
        NodePoolMode::System => "System",
        NodePoolMode::User => "User",
    });
    body["nodeLabels"] = json!(pool.labels);
    body["nodeTaints"] = json!(pool.taints);
    let mut tags = marks.tags_of_pool();
    tags[POOL_TAG] = json!(pool.key);
    body["tags"] = tags;
    if !runs(there, pool.kubernetes_version) {
        body["orchestratorVersion"] = json!(pool.kubernetes_version);
    }
    if let Some(surge) = pool.max_surge.observed() {
        body["upgradeSettings"] = json!({ "maxSurge": surge });
    }
    if there.is_none() {
        encode_fixed(pool, &mut body);
    }
    body
}

/// Encodes the fields that only a creation may set.
fn encode_fixed(pool: &NodePool, body: &mut Value) {
    body["vmSize"] = json!(pool.vm_size);
    body["osType"] = json!("Linux");
    body["type"] = json!("VirtualMachineScaleSets");
    let settings = [
        ("maxPods", pool.max_pods.observed().map(|it| json!(it))),
        ("osDiskSizeGB", pool.os_disk_gb.observed().map(|it| json!(it))),
        (
            "availabilityZones",
            pool.zones.observed().filter(|it| !it.is_empty()).map(|it| json!(it)),
        ),
        ("vnetSubnetID", pool.subnet.as_ref().map(|it| json!(it.as_str()))),
    ];
    for (name, value) in settings {
        if let Some(value) = value {
            body[name] = value;
        }
    }
}

/// Whether the nodes run a version that satisfies the desired one. If so, the requested
/// version is written back unchanged, because AKS takes a minor version for its newest
/// patch.
fn runs(there: Option<&Value>, desired: KubernetesVersion) -> bool {
    let text = |field: &str| there?.get(field)?.as_str()?.parse::<KubernetesVersion>().ok();
    let running = text("currentOrchestratorVersion").or_else(|| text("orchestratorVersion"));
    running.is_some_and(|running| running.satisfies(desired))
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

#[cfg(test)]
pub(super) mod tests {
    use super::super::tests::object;
    use super::*;
    use crate::resource::azure::Provisioning;
    use crate::resource::{Owner, Site};
    use crate::topology::names::{TailnetTag, TopologyName};

    fn owner() -> Owner {
        Owner::new(TopologyName::new("lab"), TailnetTag::new("tag:stargate-lab"))
    }

    pub(in super::super) fn pool(scale: NodePoolScale) -> NodePool {
        NodePool {
            key: "system".to_owned(),
            mode: NodePoolMode::System,
            vm_size: "Standard_D4s_v5".to_owned(),
            scale,
            kubernetes_version: "1.33.5".parse().unwrap(),
            labels: BTreeMap::from([("a".to_owned(), "b".to_owned())]),
            taints: BTreeSet::from(["c=d:NoSchedule".to_owned()]),
            max_surge: Observable::unobserved(),
            max_pods: Observable::Observed(110),
            os_disk_gb: Observable::unobserved(),
            zones: Observable::Observed(BTreeSet::from(["1".to_owned()])),
            subnet: None,
            provisioning: Provisioning::Ready,
        }
    }

    #[test]
    fn a_pool_reads_back() {
        let (owner, site) = (owner(), Site::Cluster);
        let object = object();
        let marks = Marks { owner: &owner, site: &site, object: &object };
        let scales = [
            NodePoolScale::Fixed { count: 3 },
            NodePoolScale::Autoscaled { min: 1, max: 5 },
            NodePoolScale::Fixed { count: 0 },
        ];
        let mut base = None;
        for scale in scales {
            let pool = pool(scale);
            let body = encode(&pool, base.as_ref(), &marks);
            assert_eq!(decode(&body), Ok(pool));
            base = Some(body);
        }
    }

    #[test]
    fn labels_that_are_no_longer_desired_go_and_foreign_fields_stay() {
        let (owner, site) = (owner(), Site::Cluster);
        let object = object();
        let marks = Marks { owner: &owner, site: &site, object: &object };
        let base = json!({ "properties": {
            "vmSize": "V", "count": 1, "nodeLabels": { "old": "x" }, "nodeTaints": ["old:NoExecute"],
            "orchestratorVersion": "1.33", "currentOrchestratorVersion": "1.33.5",
            "osSKU": "AzureLinux", "tags": { "cost": "7" },
        }});
        let body = encode(&pool(NodePoolScale::Fixed { count: 3 }), Some(&base), &marks);
        let properties = &body["properties"];
        assert_eq!(properties["nodeLabels"], json!({ "a": "b" }));
        assert_eq!(properties["nodeTaints"], json!(["c=d:NoSchedule"]));
        assert_eq!(properties["osSKU"], "AzureLinux");
        assert_eq!(properties["tags"]["cost"], "7");
        assert_eq!(properties["tags"][POOL_TAG], "system");
        assert_eq!(properties["vmSize"], "V", "the size of a live pool is not written");
        assert_eq!(properties["orchestratorVersion"], "1.33", "it runs what is desired");
    }

    /// A default in its place would differ from the desired value.
    #[test]
    fn a_missing_field_is_an_error() {
        let (owner, site) = (owner(), Site::Cluster);
        let object = object();
        let marks = Marks { owner: &owner, site: &site, object: &object };
        let whole = encode(&pool(NodePoolScale::Fixed { count: 3 }), None, &marks);
        assert!(decode(&whole).is_ok());
        for field in ["vmSize", "count", "mode", "orchestratorVersion"] {
            let mut body = whole.clone();
            body["properties"][field] = Value::Null;
            assert!(decode(&body).is_err(), "{field}");
        }
    }
}
