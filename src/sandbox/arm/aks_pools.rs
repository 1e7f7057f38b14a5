//! The node pools of an AKS cluster.

use http::StatusCode;
use serde_json::{Value, json};

use super::account::ArmAccount;
use super::aks_version;
use super::children::{find_child, is_named};
use super::draft::Draft;
use super::errors::ArmError;
use super::json;
use super::kind::ChildKind;

/// Properties that are immutable after a pool is created.
const IMMUTABLE_POOL_PROPERTIES: [&str; 9] = [
    "vmSize",
    "osType",
    "maxPods",
    "vnetSubnetID",
    "osDiskSizeGB",
    "osDiskType",
    "kubeletDiskType",
    "availabilityZones",
    "type",
];
/// The maximum length of the name of a Linux pool.
const MAX_POOL_NAME: usize = 12;

/// Validates the pools of a cluster and adds the fields that the service fills in.
///
/// `version` is the requested version of the control plane, and the current one.
pub(super) fn complete(
    draft: &Draft<'_>,
    body: &mut Value,
    version: (&str, &str),
) -> Result<(), ArmError> {
    let pointer = "/properties/agentPoolProfiles";
    let old = draft.old.map_or(&[][..], |old| json::items(old, pointer));
    // An update without pools leaves the pools unchanged.
    if body.pointer(pointer).is_none() {
        json::set(body, &["properties", "agentPoolProfiles"], Value::Array(old.to_vec()));
    }
    let overlay = json::text(body, "/properties/networkProfile/networkPluginMode").is_some();
    let plan = json::text(body, "/properties/supportPlan").unwrap_or_default().to_owned();
    let pools = json::items_mut(body, pointer);
    if !pools.iter().any(|pool| json::text(pool, "/mode").is_none_or(|mode| mode == "System")) {
        let message = "There must be at least one system agent pool.";
        return Err(ArmError::bad("InvalidParameter", message));
    }
    for missing in old.iter().filter_map(|pool| json::text(pool, "/name")) {
        if !pools.iter().any(|pool| is_named(pool, missing)) {
            let message = format!(
                "The agent pool '{missing}' is missing. Removing agent pools from an existing \
                 cluster is not allowed through managed cluster operations."
            );
            return Err(ArmError::bad("BadRequest", message));
        }
    }
    for pool in pools {
        let name = json::text(pool, "/name").unwrap_or_default().to_owned();
        let before = old.iter().find(|old| is_named(old, &name));
        let at_own_url = draft.child.is_some();
        if before.is_none() && draft.old.is_some() && !at_own_url {
            let message = "A new agent pool was introduced. Adding agent pools to an existing \
                           cluster is not allowed through managed cluster operations. For agent \
                           pool specific change, please use per agent pool operations: \
                           https://aka.ms/agent-pool-rest-api";
            return Err(ArmError::bad("BadRequest", message));
        }
        complete_pool(pool, before, (&draft.store.account, &plan), version, overlay)?;
    }
    Ok(())
}

fn complete_pool(
    pool: &mut Value,
    before: Option<&Value>,
    offer: (&ArmAccount, &str),
    version: (&str, &str),
    overlay: bool,
) -> Result<(), ArmError> {
    check_name(pool, before)?;
    let changed = |member: &str| {
        let (old, new) = (before.and_then(|old| old.get(member)), pool.get(member));
        new.is_some_and(|new| old.is_some_and(|old| !json::same_text(Some(old), new)))
    };
    if let Some(member) = IMMUTABLE_POOL_PROPERTIES.into_iter().find(|member| changed(member)) {
        let property = format!("properties.{member}");
        return Err(ArmError::property_change(StatusCode::BAD_REQUEST, &property));
    }
    for (name, value) in before.and_then(Value::as_object).into_iter().flatten() {
        json::fill(pool, &[name], value.clone());
    }
    let scaled = pool.get("enableAutoScaling").and_then(Value::as_bool).unwrap_or_default();
    check_scale(pool, scaled)?;
    let count = pool.get("minCount").filter(|_| scaled).cloned().unwrap_or(json!(1));
    let most = if overlay { 250 } else { 30 };
    let defaults = [
        ("count", count),
        ("vmSize", json!("Standard_D4ds_v5")),
        ("mode", json!("System")),
        ("osType", json!("Linux")),
        ("osSKU", json!("Ubuntu")),
        ("osDiskSizeGB", json!(128)),
        ("osDiskType", json!("Managed")),
        ("kubeletDiskType", json!("OS")),
        ("maxPods", json!(most)),
        ("type", json!("VirtualMachineScaleSets")),
        ("enableAutoScaling", json!(false)),
        ("scaleDownMode", json!("Delete")),
        ("powerState", json!({"code": "Running"})),
        ("orchestratorVersion", json!(version.0)),
        ("nodeImageVersion", json!("AKSUbuntu-2204gen2containerd-202511.07.0")),
        ("upgradeSettings", json!({"maxSurge": "10%"})),
        ("enableNodePublicIP", json!(false)),
        ("enableFIPS", json!(false)),
    ];
    for (member, value) in defaults {
        json::fill(pool, &[member], value);
    }
    check_system_pool(pool)?;
    let expected = json::text(pool, "/orchestratorVersion").unwrap_or(version.0);
    let running = before.and_then(|it| json::text(it, "/currentOrchestratorVersion"));
    let current = aks_version::pool(offer, expected, running, version.1)?;
    json::set(pool, &["currentOrchestratorVersion"], json!(current));
    Ok(())
}

/// A name is at most 12 lower-case letters and digits, and begins with a letter.
fn check_name(pool: &Value, before: Option<&Value>) -> Result<(), ArmError> {
    let name = json::text(pool, "/name").unwrap_or_default();
    let is_legal = (1..=MAX_POOL_NAME).contains(&name.len())
        && name.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit())
        && name.starts_with(|one: char| one.is_ascii_lowercase());
    if is_legal || before.is_some() {
        return Ok(());
    }
    let message = format!(
        "The value of parameter agentPoolProfile.name is invalid. Error details: Agent pool name \
         '{name}' is invalid. Please see https://aka.ms/aks-naming-rules for more details."
    );
    Err(ArmError::bad("InvalidParameter", message))
}

/// A system pool has at least one node.
fn check_system_pool(pool: &Value) -> Result<(), ArmError> {
    let number = |member: &str| pool.get(member).and_then(Value::as_u64);
    let least = number("minCount").or_else(|| number("count"));
    if json::text(pool, "/mode") != Some("System") || least != Some(0) {
        return Ok(());
    }
    let message = "The value of parameter agentPoolProfile.count is invalid. Error details: System \
                   node pool count must be at least 1.";
    Err(ArmError::bad("InvalidParameter", message))
}

fn check_scale(pool: &mut Value, scaled: bool) -> Result<(), ArmError> {
    if !scaled {
        json::take(pool, &["minCount"]);
        json::take(pool, &["maxCount"]);
        return Ok(());
    }
    let bound = |member: &str| pool.get(member).and_then(Value::as_u64);
    match (bound("minCount"), bound("maxCount")) {
        (Some(least), Some(most)) if least <= most => {}
        _ => {
            let message = "The value of parameter agentPoolProfile.minCount and maxCount is \
                           invalid: with enableAutoScaling both are needed, and minCount is at \
                           most maxCount.";
            return Err(ArmError::bad("InvalidParameter", message));
        }
    }
    let (least, most) = (bound("minCount"), bound("maxCount"));
    let outside = bound("count").filter(|count| Some(*count) < least || Some(*count) > most);
    if outside.is_some() {
        json::set(pool, &["count"], json!(least));
    }
    Ok(())
}

/// Refuses to delete the last system pool: a cluster needs one.
pub(super) fn refuse_last_pool(body: &Value, name: &str) -> Result<(), ArmError> {
    let is_system = |pool: &Value| json::text(pool, "/mode") == Some("System");
    let Some(pool) = find_child(body, ChildKind::AgentPool, name) else { return Ok(()) };
    let pools = json::items(body, &ChildKind::AgentPool.pointer());
    if is_system(pool) && pools.iter().filter(|pool| is_system(pool)).count() == 1 {
        let message =
            format!("There has to be at least one system agent pool; '{name}' is the last.");
        return Err(ArmError::bad("OperationNotAllowed", message));
    }
    Ok(())
}

/// Whether the node pools use a virtual network that AKS did not create.
pub(super) fn uses_custom_network(body: &Value) -> bool {
    json::items(body, &ChildKind::AgentPool.pointer())
        .iter()
        .any(|pool| json::text(pool, "/vnetSubnetID").is_some())
}
