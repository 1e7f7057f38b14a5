//! Validation and defaults of AKS clusters.

use http::StatusCode;
use serde_json::{Value, json};

use super::aks_version::{self, DEFAULT_VERSION};
use super::draft::Draft;
use super::errors::ArmError;
use super::{ArmContext, TENANT, aks_entra, aks_pools, json};
use crate::resource::ArmId;

/// Properties that are immutable after creation.
const IMMUTABLE_PROPERTIES: [&str; 9] = [
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

/// Validates a cluster and adds the fields that the service fills in.
pub(super) fn complete(
    draft: &Draft<'_>,
    body: &mut Value,
    context: &mut ArmContext<'_>,
) -> Result<(), ArmError> {
    refuse_changes(draft, body)?;
    for member in ["identity", "sku"] {
        json::copy_from(body, draft.old, &[member]);
    }
    if let Some(old) = draft.old {
        keep_members(body, old);
    }
    add_names(draft, body, context);
    refuse_support_plan(body)?;
    aks_entra::complete(body)?;
    add_network_profile(body);
    let version =
        json::text(body, "/properties/kubernetesVersion").unwrap_or(DEFAULT_VERSION).to_owned();
    let running = draft.old.and_then(|old| json::text(old, "/properties/currentKubernetesVersion"));
    let plan = json::text(body, "/properties/supportPlan").unwrap_or_default();
    let offer = (&draft.store.account, plan);
    let current = aks_version::control_plane(offer, &version, running)?;
    json::set(body, &["properties", "currentKubernetesVersion"], json!(current));
    aks_pools::complete(draft, body, (&version, &current))
}

/// Long-term support is part of the tier Premium.
fn refuse_support_plan(body: &Value) -> Result<(), ArmError> {
    let is = |pointer: &str, expected: &str| {
        json::text(body, pointer).is_some_and(|text| text.eq_ignore_ascii_case(expected))
    };
    if is("/properties/supportPlan", "AKSLongTermSupport") && !is("/sku/tier", "Premium") {
        let message = "Long term support is only available with the Premium tier. Please set the \
                       tier to Premium, or the support plan to KubernetesOfficial.";
        return Err(ArmError::bad("BadRequest", message));
    }
    Ok(())
}

fn refuse_changes(draft: &Draft<'_>, body: &Value) -> Result<(), ArmError> {
    let Some(old) = draft.old else { return Ok(()) };
    let pointer = |property: &str| format!("/properties/{}", property.replace('.', "/"));
    let changed = |property: &str| match (
        old.pointer(&pointer(property)),
        body.pointer(&pointer(property)),
    ) {
        // A feature that was off by omission may be written as explicitly off.
        (None, Some(Value::Bool(false))) => false,
        (old, Some(new)) => !json::same_text(old, new),
        (_, None) => false,
    };
    match IMMUTABLE_PROPERTIES.into_iter().find(|property| changed(property)) {
        Some(property) => Err(ArmError::property_change(StatusCode::BAD_REQUEST, property)),
        None => Ok(()),
    }
}

/// Copies members that an update omits from the old body.
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
    let access = body.pointer("/properties/apiServerAccessProfile/enablePrivateCluster");
    if access == Some(&json!(true)) {
        let private = format!("{host}.privatelink.{location}.azmk8s.io");
        json::fill(body, &["properties", "privateFQDN"], json!(private));
    }
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
    add_kubelet_identity(draft, body, context);
    json::fill(body, &["sku"], json!({"name": "Base", "tier": "Free"}));
    if body.pointer("/identity/type").is_some() {
        json::fill(body, &["identity", "principalId"], json!((context.guid)()));
        json::fill(body, &["identity", "tenantId"], json!(TENANT));
    }
}

/// The identity of the kubelets is made in the node resource group. `az aks update` looks for it.
fn add_kubelet_identity(draft: &Draft<'_>, body: &mut Value, context: &mut ArmContext<'_>) {
    let group = json::text(body, "/properties/nodeResourceGroup").unwrap_or_default();
    let group = ArmId::resource_group(draft.id.subscription().unwrap_or_default(), group);
    let name = format!("{}-agentpool", draft.id.name());
    let id = group.in_group("Microsoft.ManagedIdentity/userAssignedIdentities", &name);
    let identity = ["properties", "identityProfile", "kubeletidentity"];
    let guids = ((context.guid)(), (context.guid)());
    let made = json!({ "resourceId": id.as_str(), "clientId": guids.0, "objectId": guids.1 });
    json::fill(body, &identity, made);
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

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::resource::ArmId;
    use crate::sandbox::arm::test_client::{GROUP, TestClient, cluster, id};

    fn body(pod_cidr: &str, pools: Value) -> Value {
        json!({"location": "westeurope", "identity": {"type": "SystemAssigned"}, "properties": {
            "kubernetesVersion": "1.33",
            "networkProfile": {"networkPlugin": "azure", "networkPluginMode": "overlay",
             "podCidr": pod_cidr},
            "agentPoolProfiles": pools,
        }})
    }

    fn pool(name: &str) -> Value {
        json!({"name": name, "count": 2, "vmSize": "Standard_D2s_v5", "mode": "System"})
    }

    #[test]
    fn creating_a_cluster_creates_its_node_resource_group() {
        let mut client = TestClient::new();
        let path = cluster("k");
        let node_group = "/subscriptions/s/resourceGroups/MC_g_k_westeurope";
        let made = client.put(&path, body("10.240.0.0/16", json!([pool("p")])));
        assert_eq!((made.status.as_u16(), made.state()), (201, "Creating"));
        assert_eq!(made.body["type"], "Microsoft.ContainerService/ManagedClusters");
        assert!(made.body["id"].as_str().unwrap().contains("/resourcegroups/"));
        assert_eq!(client.get(node_group).status, 404);
        let url = made.header("azure-asyncoperation").unwrap().to_owned();
        let polled = client.get(&url).body;
        assert_eq!(polled["status"], "InProgress");
        assert!(!url.contains(polled["name"].as_str().unwrap()));
        assert_eq!(client.follow(&made).body["status"], "Succeeded");
        let group = client.get(node_group).body;
        assert_eq!(ArmId::new(group["managedBy"].as_str().unwrap()), id(&path));
        let listed =
            client.get(&format!("{node_group}/providers/Microsoft.Network/virtualNetworks"));
        let subnet = &listed.body["value"][0]["properties"]["subnets"][0];
        assert_eq!(subnet["properties"]["addressPrefix"], "10.224.0.0/16");
        let rendered = client.get(&path).body;
        assert_eq!(rendered["properties"]["currentKubernetesVersion"], "1.33.5");
        assert_eq!(rendered["properties"]["agentPoolProfiles"][0]["maxPods"], 250);
        client.destroy(&path);
        assert_eq!(client.get(node_group).status, 404);
        assert_eq!(client.get(GROUP).status, 200);
    }

    #[test]
    fn pools_have_their_own_url() {
        let mut client = TestClient::new();
        let path = cluster("k");
        client.make(&path, body("10.240.0.0/16", json!([pool("p")])));
        let more = body("10.240.0.0/16", json!([pool("p"), pool("q")]));
        assert_eq!(client.put(&path, more).refusal(), (400, "BadRequest"));
        let own = json!({"properties": {"count": 3, "vmSize": "Standard_D2s_v5", "mode": "User"}});
        let made = client.put(&format!("{path}/agentPools/q"), own.clone());
        assert_eq!(made.status, 201);
        assert_eq!(made.body["properties"]["count"], 3);
        let busy = client.put(&format!("{path}/agentPools/r"), own);
        assert_eq!(busy.refusal(), (409, "OperationNotAllowed"));
        client.follow(&made);
        client.destroy(&format!("{path}/agentPools/q"));
        let last = client.delete(&format!("{path}/agentPools/p"));
        assert_eq!(last.refusal(), (400, "OperationNotAllowed"));
    }

    #[test]
    fn the_network_of_a_cluster_is_immutable() {
        let mut client = TestClient::new();
        let path = cluster("k");
        client.make(&path, body("10.240.0.0/16", json!([pool("p")])));
        let moved = client.put(&path, body("10.241.0.0/16", json!([pool("p")])));
        assert_eq!(moved.refusal(), (400, "PropertyChangeNotAllowed"));
        let same = client.put(&path, body("10.240.0.0/16", json!([pool("p")])));
        assert_eq!(same.status, 200);
    }

    #[test]
    fn the_configured_kubeconfig_is_returned() {
        let mut client = TestClient::new();
        let path = cluster("k");
        client.make(&path, body("10.240.0.0/16", json!([pool("p")])));
        let requested = format!("{path}/listClusterUserCredential");
        assert_eq!(client.call(Method::POST, &requested, &[], None).status, 409);
        client.store.set_kubeconfig(&id(&path), "config".to_owned());
        let reply = client.call(Method::POST, &requested, &[], None);
        let expected = json!({"kubeconfigs": [{"name": "clusterUser", "value": "Y29uZmln"}]});
        assert_eq!(reply.body, expected);
    }

    fn versioned(client: &mut TestClient, version: &str, pool_version: &str) -> (u16, String) {
        let mut expected = client.get(&cluster("k")).body;
        expected["properties"]["kubernetesVersion"] = json!(version);
        expected["properties"]["agentPoolProfiles"][0]["orchestratorVersion"] = json!(pool_version);
        let response = client.put(&cluster("k"), expected);
        if response.status.as_u16() == 200 {
            client.follow(&response);
            return (200, String::new());
        }
        let (status, code) = response.refusal();
        (status, code.to_owned())
    }

    #[test]
    fn versions_go_up_by_one_minor_version_and_pools_follow() {
        let mut client = TestClient::new();
        client.make(&cluster("k"), body("10.240.0.0/16", json!([pool("p")])));
        let refused = |code: &str| (400, code.to_owned());
        for (version, pool_version, expected) in [
            ("1.32.9", "1.33", refused("OperationNotAllowed")),
            ("1.33.4", "1.33", refused("OperationNotAllowed")),
            ("1.35", "1.33", refused("OperationNotAllowed")),
            ("nonsense", "1.33", refused("K8sVersionNotSupported")),
            ("1.99.0", "1.33", refused("K8sVersionNotSupported")),
            ("1.33", "1.34", refused("NodePoolMcVersionIncompatible")),
            ("1.34", "1.33", (200, String::new())),
            ("1.34", "1.34.7", refused("NodePoolMcVersionIncompatible")),
            ("1.34", "1.34", (200, String::new())),
            ("1.34", "1.33", refused("OperationNotAllowed")),
            ("1.34.7", "1.34.6", (200, String::new())),
        ] {
            let found = versioned(&mut client, version, pool_version);
            assert_eq!(found, expected, "{version} {pool_version}");
        }
        let properties = client.get(&cluster("k")).body["properties"].clone();
        assert_eq!(properties["currentKubernetesVersion"], "1.34.7");
        let pool = &properties["agentPoolProfiles"][0];
        assert_eq!(pool["currentOrchestratorVersion"], "1.34.6");
        let list = "/subscriptions/s/providers/Microsoft.ContainerService/locations/westeurope/\
                    kubernetesVersions";
        let versions = client.get(list).body;
        assert!(versions["values"][0]["patchVersions"].is_object(), "{versions}");
    }

    #[test]
    fn fixed_settings_of_a_pool_are_refused_and_others_change() {
        let mut client = TestClient::new();
        client.make(&cluster("k"), body("10.240.0.0/16", json!([pool("p")])));
        let path = format!("{}/agentPools/p", cluster("k"));
        let mut with = |member: &str, value: Value| {
            let mut expected = client.get(&path).body;
            expected["properties"][member] = value;
            let response = client.put(&path, expected);
            match response.status.as_u16() {
                200 => {
                    client.follow(&response);
                    "changed".to_owned()
                }
                _ => response.refusal().1.to_owned(),
            }
        };
        for (member, value) in [
            ("vmSize", json!("Standard_D8s_v5")),
            ("maxPods", json!(60)),
            ("osDiskSizeGB", json!(64)),
        ] {
            assert_eq!(with(member, value), "PropertyChangeNotAllowed", "{member}");
        }
        assert_eq!(with("mode", json!("User")), "InvalidParameter");
        assert_eq!(with("count", json!(0)), "InvalidParameter");
        for (member, value) in [
            ("count", json!(4)),
            ("nodeLabels", json!({ "a": "b" })),
            ("nodeTaints", json!(["a=b:NoSchedule"])),
            ("upgradeSettings", json!({ "maxSurge": "1" })),
            ("tags", json!({ "stargate-pool": "p" })),
        ] {
            assert_eq!(with(member, value), "changed", "{member}");
        }
        let twelve = client.put(&format!("{}/agentPools/Capital", cluster("k")), json!({}));
        assert_eq!(twelve.refusal(), (400, "InvalidParameter"));
    }
}
