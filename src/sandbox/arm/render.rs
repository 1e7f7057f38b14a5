//! The fields that a GET computes: the objects that refer to the shown object.

use serde_json::{Value, json};

use super::children::find_child;
use super::kind::{ArmKind, ChildKind};
use super::store::StoredResource;
use super::{ArmStore, json};
use crate::resource::ArmId;

/// An object as shown to clients.
pub(super) fn object(store: &ArmStore, stored: &StoredResource) -> Value {
    let mut body = stored.body.clone();
    match stored.kind {
        ArmKind::VirtualNetwork => {
            for subnet in json::items_mut(&mut body, "/properties/subnets") {
                show_configurations(store, subnet);
            }
        }
        ArmKind::RouteTable | ArmKind::NatGateway => {
            show_users(store, &stored.id, &mut body, "subnets", is_subnet);
        }
        ArmKind::NetworkSecurityGroup => {
            show_users(store, &stored.id, &mut body, "subnets", is_subnet);
            show_users(store, &stored.id, &mut body, "networkInterfaces", |id| !is_subnet(id));
        }
        ArmKind::PublicIpAddress => show_holder(store, &stored.id, &mut body),
        _ => {}
    }
    body
}

/// A child as shown at its own URL.
pub(super) fn child(store: &ArmStore, id: &ArmId) -> Option<Value> {
    let (parent, child) = store.child_of(id)?;
    let value = find_child(&parent.body, child, id.name())?;
    Some(child_body(store, &parent.id, child, value))
}

/// The body of a child, built from its form in the parent.
pub(super) fn child_body(
    store: &ArmStore,
    parent: &ArmId,
    child: ChildKind,
    value: &Value,
) -> Value {
    let mut body = value.clone();
    match child {
        ChildKind::Subnet => show_configurations(store, &mut body),
        ChildKind::AgentPool => return pool(parent, body),
        _ => {}
    }
    body
}

/// Converts a pool from its flat form in the cluster to its own form with `properties`.
fn pool(cluster: &ArmId, mut properties: Value) -> Value {
    let name = json::take(&mut properties, &["name"]).unwrap_or_default();
    let id = cluster.child("agentPools", name.as_str().unwrap_or_default());
    let id = id.as_str().replacen("/resourceGroups/", "/resourcegroups/", 1);
    json!({
        "id": id,
        "name": name,
        "type": "Microsoft.ContainerService/managedClusters/agentPools",
        "properties": properties,
    })
}

fn show_configurations(store: &ArmStore, subnet: &mut Value) {
    let Some(id) = json::text(subnet, "/id").map(ArmId::new) else { return };
    let users: Vec<Value> = store.index.users(&id).map(|user| json!({"id": user})).collect();
    if !users.is_empty() {
        json::set(subnet, &["properties", "ipConfigurations"], Value::Array(users));
    }
}

fn show_users(
    store: &ArmStore,
    id: &ArmId,
    body: &mut Value,
    member: &str,
    is_user: impl Fn(&ArmId) -> bool,
) {
    let users: Vec<Value> = store
        .index
        .users(id)
        .filter(|user| is_user(user))
        .map(|user| json!({"id": user}))
        .collect();
    if !users.is_empty() {
        json::set(body, &["properties", member], Value::Array(users));
    }
}

fn show_holder(store: &ArmStore, id: &ArmId, body: &mut Value) {
    let Some(user) = store.index.users(id).next() else { return };
    let is_gateway = user.segment("natGateways").is_some();
    let member = if is_gateway { "natGateway" } else { "ipConfiguration" };
    json::set(body, &["properties", member], json!({"id": user}));
}

fn is_subnet(id: &ArmId) -> bool {
    id.segment("subnets").is_some()
}
