//! AKS clusters and their node pools.

use http::StatusCode;
use serde_json::{Value, json};

use super::draft::Draft;
use super::errors::ArmError;
use super::kind::ChildKind;
use super::{ArmContext, ArmStore, aks_network, find_child, is_named, json};
use crate::resource::ArmId;

/// The patch release behind a version that names only a minor.
const PATCH: &str = "5";
/// The version of a cluster that asks for none.
const DEFAULT_VERSION: &str = "1.33";

/// What cannot be changed once a cluster is there.
const FIXED: [&str; 9] = [
    "dnsPrefix",
    "nodeResourceGroup",
    "networkProfile.networkPlugin",
    "networkProfile.networkPluginMode",
    "networkProfile.podCidr",
    "networkProfile.serviceCidr",
    "networkProfile.dnsServiceIP",
    "networkProfile.outboundType",
    "apiServerAccessProfile.enablePrivateCluster",
];

/// What cannot be changed once a pool is there.
const FIXED_IN_POOL: [&str; 5] = ["vmSize", "osType", "maxPods", "vnetSubnetID", "osDiskSizeGB"];

/// Checks a cluster and adds what the service adds.
pub(super) fn complete(
    draft: &Draft<'_>,
    body: &mut Value,
    context: &mut ArmContext<'_>,
) -> Result<(), ArmError> {
    refuse_changes(draft, body)?;
    for member in ["identity", "sku"] {
        json::carry(body, draft.old, &[member]);
    }
    if let Some(old) = draft.old {
        keep_members(body, old);
    }
    add_names(draft, body, context);
    add_network_profile(body);
    let version =
        json::text(body, "/properties/kubernetesVersion").unwrap_or(DEFAULT_VERSION).to_owned();
    let current = full_version(&version);
    json::set(body, &["properties", "currentKubernetesVersion"], json!(current));
    complete_pools(draft, body, &version)
}

fn refuse_changes(draft: &Draft<'_>, body: &Value) -> Result<(), ArmError> {
    let Some(old) = draft.old else { return Ok(()) };
    let pointer = |property: &str| format!("/properties/{}", property.replace('.', "/"));
    let changed = |property: &str| match (
        old.pointer(&pointer(property)),
        body.pointer(&pointer(property)),
    ) {
        // What was off by being left out may be written down as off.
        (None, Some(Value::Bool(false))) => false,
        (old, Some(new)) => !same_text(old, new),
        (_, None) => false,
    };
    match FIXED.into_iter().find(|property| changed(property)) {
        Some(property) => Err(ArmError::property_change(StatusCode::BAD_REQUEST, property)),
        None => Ok(()),
    }
}

fn same_text(old: Option<&Value>, new: &Value) -> bool {
    match (old.and_then(Value::as_str), new.as_str()) {
        (Some(old), Some(new)) => old.eq_ignore_ascii_case(new),
        _ => old == Some(new),
    }
}

/// What an update leaves out stays as it is.
fn keep_members(body: &mut Value, old: &Value) {
    for (name, value) in old.pointer("/properties").and_then(Value::as_object).into_iter().flatten()
    {
        if name != "agentPoolProfiles" && name != "networkProfile" {
            json::fill(body, &["properties", name], value.clone());
        }
    }
    let profile = old.pointer("/properties/networkProfile").and_then(Value::as_object);
    for (name, value) in profile.into_iter().flatten() {
        json::fill(body, &["properties", "networkProfile", name], value.clone());
    }
}

fn add_names(draft: &Draft<'_>, body: &mut Value, context: &mut ArmContext<'_>) {
    let group = draft.id.resource_group_name().unwrap_or_default();
    let location = json::text(body, "/location").unwrap_or_default().to_owned();
    let name = draft.id.name();
    json::fill(body, &["properties", "dnsPrefix"], json!(format!("{name}-dns")));
    let prefix = json::text(body, "/properties/dnsPrefix").unwrap_or_default().to_owned();
    let digits = (context.guid)().replace('-', "");
    let host = format!("{prefix}-{}", digits.get(..8).unwrap_or_default());
    let defaults = [
        ("nodeResourceGroup", json!(format!("MC_{group}_{name}_{location}"))),
        ("fqdn", json!(format!("{host}.hcp.{location}.azmk8s.io"))),
        ("azurePortalFQDN", json!(format!("{host}.portal.hcp.{location}.azmk8s.io"))),
        ("kubernetesVersion", json!(DEFAULT_VERSION)),
        ("powerState", json!({"code": "Running"})),
        ("enableRBAC", json!(true)),
        ("maxAgentPools", json!(100)),
        ("supportPlan", json!("KubernetesOfficial")),
        ("servicePrincipalProfile", json!({"clientId": "msi"})),
        ("disableLocalAccounts", json!(false)),
        ("securityProfile", json!({})),
        ("oidcIssuerProfile", json!({"enabled": false})),
        ("windowsProfile", json!({"adminUsername": "azureuser", "enableCSIProxy": true})),
        (
            "storageProfile",
            json!({
                "diskCSIDriver": {"enabled": true}, "fileCSIDriver": {"enabled": true},
                "snapshotController": {"enabled": true},
            }),
        ),
        ("resourceUID", json!(digits)),
    ];
    for (member, value) in defaults {
        json::fill(body, &["properties", member], value);
    }
    json::fill(body, &["sku"], json!({"name": "Base", "tier": "Free"}));
    if body.pointer("/identity/type").is_some() {
        json::fill(body, &["identity", "principalId"], json!((context.guid)()));
        json::fill(body, &["identity", "tenantId"], json!(super::TENANT));
    }
}

fn add_network_profile(body: &mut Value) {
    let member = |name: &'static str| ["properties", "networkProfile", name];
    let defaults = [
        ("networkPlugin", json!("azure")),
        ("networkPolicy", json!("none")),
        ("networkDataplane", json!("azure")),
        ("loadBalancerSku", json!("standard")),
        (
            "loadBalancerProfile",
            json!({"managedOutboundIPs": {"count": 1}, "backendPoolType": "nodeIPConfiguration"}),
        ),
        ("serviceCidr", json!("10.0.0.0/16")),
        ("dnsServiceIP", json!("10.0.0.10")),
        ("outboundType", json!("loadBalancer")),
        ("ipFamilies", json!(["IPv4"])),
    ];
    for (name, value) in defaults {
        json::fill(body, &member(name), value);
    }
    let overlay = json::text(body, "/properties/networkProfile/networkPluginMode").is_some();
    if overlay {
        json::fill(body, &member("podCidr"), json!("10.244.0.0/16"));
    }
    for (one, many) in [("podCidr", "podCidrs"), ("serviceCidr", "serviceCidrs")] {
        if let Some(range) = json::text(body, &format!("/properties/networkProfile/{one}")) {
            let ranges = json!([range]);
            json::set(body, &member(many), ranges);
        }
    }
}

fn complete_pools(draft: &Draft<'_>, body: &mut Value, version: &str) -> Result<(), ArmError> {
    let pointer = "/properties/agentPoolProfiles";
    let old = draft.old.map_or(&[][..], |old| json::items(old, pointer));
    // An update that names no pools leaves them alone.
    if body.pointer(pointer).is_none() {
        json::set(body, &["properties", "agentPoolProfiles"], Value::Array(old.to_vec()));
    }
    let overlay = json::text(body, "/properties/networkProfile/networkPluginMode").is_some();
    let pools = json::items_mut(body, pointer);
    if !pools.iter().any(|pool| json::text(pool, "/mode").is_none_or(|mode| mode == "System")) {
        let message = "There must be at least one system agent pool.";
        return Err(ArmError::bad("InvalidParameter", message));
    }
    for gone in old.iter().filter_map(|pool| json::text(pool, "/name")) {
        if !pools.iter().any(|pool| is_named(pool, gone)) {
            let message = format!(
                "The agent pool '{gone}' is missing. Removing agent pools from an existing \
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
        complete_pool(pool, before, version, overlay)?;
    }
    Ok(())
}

fn complete_pool(
    pool: &mut Value,
    before: Option<&Value>,
    version: &str,
    overlay: bool,
) -> Result<(), ArmError> {
    let changed = |member: &str| {
        let (old, new) = (before.and_then(|old| old.get(member)), pool.get(member));
        new.is_some_and(|new| old.is_some_and(|old| !same_text(Some(old), new)))
    };
    if let Some(member) = FIXED_IN_POOL.into_iter().find(|member| changed(member)) {
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
        ("orchestratorVersion", json!(version)),
        ("nodeImageVersion", json!("AKSUbuntu-2204gen2containerd-202511.07.0")),
        ("upgradeSettings", json!({"maxSurge": "10%"})),
        ("enableNodePublicIP", json!(false)),
        ("enableFIPS", json!(false)),
    ];
    for (member, value) in defaults {
        json::fill(pool, &[member], value);
    }
    let wanted = json::text(pool, "/orchestratorVersion").unwrap_or(version);
    let current = full_version(wanted);
    json::set(pool, &["currentOrchestratorVersion"], json!(current));
    Ok(())
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

fn full_version(version: &str) -> String {
    match version.split('.').count() {
        2 => format!("{version}.{PATCH}"),
        _ => version.to_owned(),
    }
}

/// Ends the making of a cluster: its node group and network are there now.
pub(super) fn created(store: &mut ArmStore, cluster: &ArmId, guid: &mut dyn FnMut() -> String) {
    let Some(stored) = store.stored(cluster) else { return };
    let (id, body) = (stored.id.clone(), stored.body.clone());
    let Some(subscription) = id.subscription() else { return };
    let group = json::text(&body, "/properties/nodeResourceGroup").unwrap_or_default();
    let group = ArmId::resource_group(subscription, group);
    if store.stored(&group).is_some() {
        return;
    }
    aks_network::make(store, &id, &body, &group, guid);
}

/// Whether the nodes of a cluster stand in a network that AKS did not make.
pub(super) fn brings_network(body: &Value) -> bool {
    json::items(body, &ChildKind::AgentPool.pointer())
        .iter()
        .any(|pool| json::text(pool, "/vnetSubnetID").is_some())
}

/// Keeps the last system pool: a cluster cannot be without one.
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

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::resource::ArmId;
    use crate::sandbox::arm::testing::{Driver, GROUP, cluster, id};

    fn body(pod_cidr: &str, pools: Value) -> Value {
        json!({"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": {
            "kubernetesVersion": "1.33",
            "networkProfile": {"networkPlugin": "azure", "networkPluginMode": "overlay", "podCidr": pod_cidr},
            "agentPoolProfiles": pools,
        }})
    }

    fn pool(name: &str) -> Value {
        json!({"name": name, "count": 2, "vmSize": "Standard_D2s_v5", "mode": "System"})
    }

    #[test]
    fn a_cluster_brings_its_group_when_it_is_made() {
        let mut driver = Driver::new();
        let path = cluster("k");
        let node_group = "/subscriptions/s/resourceGroups/MC_g_k_westeurope";
        let made = driver.put(&path, body("10.240.0.0/16", json!([pool("p")])));
        assert_eq!((made.status.as_u16(), made.state()), (201, "Creating"));
        assert_eq!(made.body["type"], "Microsoft.ContainerService/ManagedClusters");
        assert!(made.body["id"].as_str().unwrap().contains("/resourcegroups/"));
        assert_eq!(driver.get(node_group).status, 404);
        let url = made.header("azure-asyncoperation").unwrap().to_owned();
        let polled = driver.get(&url).body;
        assert_eq!(polled["status"], "InProgress");
        assert!(!url.contains(polled["name"].as_str().unwrap()));
        assert_eq!(driver.follow(&made).body["status"], "Succeeded");
        let group = driver.get(node_group).body;
        assert_eq!(ArmId::new(group["managedBy"].as_str().unwrap()), id(&path));
        let listed =
            driver.get(&format!("{node_group}/providers/Microsoft.Network/virtualNetworks"));
        let subnet = &listed.body["value"][0]["properties"]["subnets"][0];
        assert_eq!(subnet["properties"]["addressPrefix"], "10.224.0.0/16");
        let shown = driver.get(&path).body;
        assert_eq!(shown["properties"]["currentKubernetesVersion"], "1.33.5");
        assert_eq!(shown["properties"]["agentPoolProfiles"][0]["maxPods"], 250);
        driver.destroy(&path);
        assert_eq!(driver.get(node_group).status, 404);
        assert_eq!(driver.get(GROUP).status, 200);
    }

    #[test]
    fn pools_have_their_own_url() {
        let mut driver = Driver::new();
        let path = cluster("k");
        driver.make(&path, body("10.240.0.0/16", json!([pool("p")])));
        let more = body("10.240.0.0/16", json!([pool("p"), pool("q")]));
        assert_eq!(driver.put(&path, more).refusal(), (400, "BadRequest"));
        let own = json!({"properties": {"count": 3, "vmSize": "Standard_D2s_v5", "mode": "User"}});
        let made = driver.put(&format!("{path}/agentPools/q"), own.clone());
        assert_eq!(made.status, 201);
        assert_eq!(made.body["properties"]["count"], 3);
        let busy = driver.put(&format!("{path}/agentPools/r"), own);
        assert_eq!(busy.refusal(), (409, "OperationNotAllowed"));
        driver.follow(&made);
        driver.destroy(&format!("{path}/agentPools/q"));
        let last = driver.delete(&format!("{path}/agentPools/p"));
        assert_eq!(last.refusal(), (400, "OperationNotAllowed"));
    }

    #[test]
    fn the_network_of_a_cluster_stays() {
        let mut driver = Driver::new();
        let path = cluster("k");
        driver.make(&path, body("10.240.0.0/16", json!([pool("p")])));
        let moved = driver.put(&path, body("10.241.0.0/16", json!([pool("p")])));
        assert_eq!(moved.refusal(), (400, "PropertyChangeNotAllowed"));
        let same = driver.put(&path, body("10.240.0.0/16", json!([pool("p")])));
        assert_eq!(same.status, 200);
    }

    #[test]
    fn credentials_are_what_the_world_set() {
        let mut driver = Driver::new();
        let path = cluster("k");
        driver.make(&path, body("10.240.0.0/16", json!([pool("p")])));
        let asked = format!("{path}/listClusterUserCredential");
        assert_eq!(driver.call(Method::POST, &asked, &[], None).status, 409);
        driver.store.set_kubeconfig(&id(&path), "config".to_owned());
        let reply = driver.call(Method::POST, &asked, &[], None);
        let expected = json!({"kubeconfigs": [{"name": "clusterUser", "value": "Y29uZmln"}]});
        assert_eq!(reply.body, expected);
    }
}
