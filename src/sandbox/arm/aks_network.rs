//! What AKS makes beside a cluster: the node resource group and its network.

use serde_json::{Value, json};

use super::draft;
use super::kind::Kind;
use super::{ArmStore, aks, etags, json, write};
use crate::resource::ArmId;

const SPACE: &str = "10.224.0.0/12";
/// The subnets by name and range; the nodes stand in the first.
const SUBNETS: [(&str, &str); 3] = [
    ("aks-subnet", "10.224.0.0/16"),
    ("aks-appgateway", "10.238.0.0/24"),
    ("aks-virtualnodes", "10.239.0.0/16"),
];

/// Makes the group, and in it the network unless the pools bring one.
pub(super) fn make(
    store: &mut ArmStore,
    cluster: &ArmId,
    body: &Value,
    group: &ArmId,
    guid: &mut dyn FnMut() -> String,
) {
    let location = write::location(store, cluster);
    let mut made = write::made(&location, json!({"provisioningState": "Succeeded"}));
    json::set(&mut made, &["managedBy"], json!(cluster));
    json::set(
        &mut made,
        &["tags"],
        json!({
            "aks-managed-cluster-name": cluster.name(),
            "aks-managed-cluster-rg": cluster.resource_group_name(),
        }),
    );
    let mut place = |id: ArmId, kind: Kind, body: Value| {
        let mut body = draft::name(kind, &id, body);
        etags::stamp(kind, &mut body, guid);
        store.place(id, kind, body);
    };
    place(group.clone(), Kind::ResourceGroup, made);
    if aks::brings_network(body) {
        return;
    }
    let digits = digits(cluster);
    let security = group.in_group(
        Kind::NetworkSecurityGroup.resource_type(),
        &format!("aks-agentpool-{digits}-nsg"),
    );
    let rules = json!({"securityRules": [], "defaultSecurityRules": []});
    place(security.clone(), Kind::NetworkSecurityGroup, write::made(&location, rules));
    let network =
        group.in_group(Kind::VirtualNetwork.resource_type(), &format!("aks-vnet-{digits}"));
    place(network, Kind::VirtualNetwork, write::made(&location, network_properties(&security)));
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
        "addressSpace": {"addressPrefixes": [SPACE]},
        "subnets": subnets,
        "virtualNetworkPeerings": [],
        "enableDdosProtection": false,
    })
}

/// The eight digits in the names of what AKS makes, the same for the same cluster.
fn digits(cluster: &ArmId) -> String {
    let hash = cluster
        .as_str()
        .to_ascii_lowercase()
        .bytes()
        .fold(5381_u64, |hash, byte| hash.wrapping_mul(33).wrapping_add(u64::from(byte)));
    format!("{:08}", hash % 100_000_000)
}
