//! The resources that AKS creates for a cluster: the node resource group and its virtual network.

use serde_json::{Value, json};

use super::kind::ArmKind;
use super::{ArmStore, aks_pools, etags, json, resource_body};
use crate::resource::ArmId;

const ADDRESS_SPACE: &str = "10.224.0.0/12";
/// Subnets by name and range. The nodes are in the first one.
const SUBNETS: [(&str, &str); 3] = [
    ("aks-subnet", "10.224.0.0/16"),
    ("aks-appgateway", "10.238.0.0/24"),
    ("aks-virtualnodes", "10.239.0.0/16"),
];

/// Completes the creation of a cluster by adding its node resource group and network.
pub(super) fn create_node_group(
    store: &mut ArmStore,
    cluster: &ArmId,
    guid: &mut dyn FnMut() -> String,
) {
    let Some(stored) = store.stored(cluster) else { return };
    let (id, body) = (stored.id.clone(), stored.body.clone());
    let Some(subscription) = id.subscription() else { return };
    let group = json::text(&body, "/properties/nodeResourceGroup").unwrap_or_default();
    let group = ArmId::resource_group(subscription, group);
    if store.stored(&group).is_none() {
        create(store, &id, &body, &group, guid);
    }
    copy_tags(store, &id, &group, guid);
}

/// Copies the tags of the cluster to the objects that AKS created for it, in addition to
/// their tags (*Use Azure tags in AKS*).
fn copy_tags(
    store: &mut ArmStore,
    cluster: &ArmId,
    group: &ArmId,
    guid: &mut dyn FnMut() -> String,
) {
    let tags = store.stored(cluster).and_then(|stored| stored.body["tags"].as_object().cloned());
    let tags = tags.unwrap_or_default();
    let copies = [group.clone(), network(group, cluster), security_group(group, cluster)];
    for id in copies {
        let lacks_tag =
            |body: &Value| tags.iter().any(|(name, value)| body["tags"].get(name) != Some(value));
        if store.stored(&id).is_some_and(|stored| lacks_tag(&stored.body)) {
            let add = |body: &mut Value| {
                for (name, value) in &tags {
                    json::set(body, &["tags", name], value.clone());
                }
            };
            store.modify(&id, add, guid);
        }
    }
}

/// Creates the node resource group, and the virtual network unless the pools name their own.
fn create(
    store: &mut ArmStore,
    cluster: &ArmId,
    body: &Value,
    group: &ArmId,
    guid: &mut dyn FnMut() -> String,
) {
    let location = store.location(cluster);
    let mut made = resource_body::new(&location, json!({"provisioningState": "Succeeded"}));
    json::set(&mut made, &["managedBy"], json!(cluster));
    json::set(
        &mut made,
        &["tags"],
        json!({
            "aks-managed-cluster-name": cluster.name(),
            "aks-managed-cluster-rg": cluster.resource_group_name(),
        }),
    );
    let mut insert_object = |id: ArmId, kind: ArmKind, body: Value| {
        let mut body = resource_body::set_identity(kind, &id, body);
        etags::stamp(kind, &mut body, guid);
        store.insert_object(id, kind, body);
    };
    insert_object(group.clone(), ArmKind::ResourceGroup, made);
    if aks_pools::uses_custom_network(body) {
        return;
    }
    let security = security_group(group, cluster);
    let rules = json!({"securityRules": [], "defaultSecurityRules": []});
    insert_object(
        security.clone(),
        ArmKind::NetworkSecurityGroup,
        resource_body::new(&location, rules),
    );
    insert_object(
        network(group, cluster),
        ArmKind::VirtualNetwork,
        resource_body::new(&location, network_properties(&security)),
    );
}

fn security_group(group: &ArmId, cluster: &ArmId) -> ArmId {
    let name = format!("aks-agentpool-{}-nsg", digits(cluster));
    group.in_group(ArmKind::NetworkSecurityGroup.resource_type(), &name)
}

fn network(group: &ArmId, cluster: &ArmId) -> ArmId {
    let name = format!("aks-vnet-{}", digits(cluster));
    group.in_group(ArmKind::VirtualNetwork.resource_type(), &name)
}

fn network_properties(security: &ArmId) -> Value {
    let subnets: Vec<Value> = SUBNETS
        .iter()
        .enumerate()
        .map(|(index, (name, prefix))| {
            let mut properties = json!({
                "addressPrefix": prefix,
                "delegations": [],
                "privateEndpointNetworkPolicies": "Disabled",
                "privateLinkServiceNetworkPolicies": "Enabled",
            });
            if index == 0 {
                json::set(&mut properties, &["networkSecurityGroup"], json!({"id": security}));
            }
            json!({"name": name, "properties": properties})
        })
        .collect();
    json!({
        "addressSpace": {"addressPrefixes": [ADDRESS_SPACE]},
        "subnets": subnets,
        "virtualNetworkPeerings": [],
        "enableDdosProtection": false,
    })
}

/// The eight digits in the names of resources that AKS creates. They are a function of the
/// cluster's id.
fn digits(cluster: &ArmId) -> String {
    let hash = cluster
        .as_str()
        .to_ascii_lowercase()
        .bytes()
        .fold(5381_u64, |hash, byte| hash.wrapping_mul(33).wrapping_add(u64::from(byte)));
    format!("{:08}", hash % 100_000_000)
}
