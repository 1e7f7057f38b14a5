//! Builds the stored body from the body of a request.

use serde_json::{Value, json};

use super::errors::ArmError;
use super::kind::{ChildKind, Kind};
use super::{ArmContext, ArmStore, aks, compute, is_named, json, network};
use crate::resource::ArmId;

/// A body that is being prepared for the store.
pub(super) struct Draft<'a> {
    pub(super) store: &'a ArmStore,
    pub(super) kind: Kind,
    pub(super) id: &'a ArmId,
    /// The stored body, if the object exists.
    pub(super) old: Option<&'a Value>,
    pub(super) api_version: &'a str,
    /// The child that the request writes, if it does not write the whole object.
    pub(super) child: Option<&'a ArmId>,
}

/// Validates a body and adds the fields that the service fills in.
pub(super) fn complete(
    draft: &Draft<'_>,
    body: Value,
    context: &mut ArmContext<'_>,
) -> Result<Value, ArmError> {
    let mut body = name(draft.kind, draft.id, body);
    match draft.kind {
        Kind::VirtualNetwork => network::virtual_network::complete(draft, &mut body, context)?,
        Kind::RouteTable => network::route_table::complete(draft, &mut body, context)?,
        Kind::NetworkInterface => network::interface::complete(draft, &mut body, context)?,
        Kind::NetworkSecurityGroup => network::security_group::complete(draft, &mut body, context)?,
        Kind::PublicIpAddress => network::public_ip::complete(draft, &mut body, context)?,
        Kind::NatGateway => network::nat_gateway::complete(draft, &mut body, context)?,
        Kind::VirtualMachine => compute::complete(draft, &mut body, context)?,
        Kind::Disk => compute::complete_disk(draft, &mut body, context),
        Kind::ManagedCluster => aks::complete(draft, &mut body, context)?,
        Kind::ResourceGroup | Kind::Foreign => {}
    }
    Ok(body)
}

/// Sets id, name and type of an object and of its children.
pub(super) fn name(kind: Kind, id: &ArmId, mut body: Value) -> Value {
    json::set(&mut body, &["id"], json!(shown_id(kind, id)));
    json::set(&mut body, &["name"], json!(id.name()));
    let resource_type = match kind {
        Kind::Foreign => id.resource_type().unwrap_or_default(),
        known => known.shown_type().to_owned(),
    };
    json::set(&mut body, &["type"], json!(resource_type));
    if let Some(location) = json::text(&body, "/location").map(location_name) {
        json::set(&mut body, &["location"], json!(location));
    }
    json::fill(&mut body, &["properties", "provisioningState"], json!("Succeeded"));
    for child in kind.children() {
        for value in json::items_mut(&mut body, &child.pointer()) {
            name_child(kind, id, *child, value);
        }
    }
    body
}

fn name_child(kind: Kind, parent: &ArmId, child: ChildKind, value: &mut Value) {
    if child == ChildKind::AgentPool {
        json::fill(value, &["provisioningState"], json!("Succeeded"));
        return;
    }
    let name = json::text(value, "/name").unwrap_or_default().to_owned();
    json::set(value, &["id"], json!(parent.child(child.segment(), &name)));
    json::set(value, &["type"], json!(child.shown_type(kind)));
    json::fill(value, &["properties", "provisioningState"], json!("Succeeded"));
}

/// The id as bodies show it: AKS writes `resourcegroups`.
fn shown_id(kind: Kind, id: &ArmId) -> String {
    match kind {
        Kind::ManagedCluster => id.as_str().replacen("/resourceGroups/", "/resourcegroups/", 1),
        _ => id.as_str().to_owned(),
    }
}

/// The canonical form of a region, which clients may write with spaces and capitals.
pub(super) fn location_name(location: &str) -> String {
    location
        .chars()
        .filter(|letter| *letter != ' ')
        .map(|letter| letter.to_ascii_lowercase())
        .collect()
}

/// Inserts a child into the body of its parent, replacing a child of the same name.
pub(super) fn put_child(
    parent: &mut Value,
    parent_id: &ArmId,
    child: ChildKind,
    name: &str,
    body: Value,
) {
    let mut value = match (child, body) {
        // AKS shows a pool flat inside the cluster, and with `properties` at its own URL.
        (ChildKind::AgentPool, mut body) => json::take(&mut body, &["properties"]).unwrap_or(body),
        (_, body) => body,
    };
    let pointer = child.pointer();
    let old = json::items(parent, &pointer).iter().position(|value| is_named(value, name));
    let cased = match old.and_then(|at| json::items(parent, &pointer).get(at)) {
        Some(old) => json::text(old, "/name").unwrap_or(name).to_owned(),
        None => name.to_owned(),
    };
    json::set(&mut value, &["name"], json!(cased));
    if let Some(kind) = parent_kind(child) {
        name_child(kind, parent_id, child, &mut value);
    }
    json::fill(parent, &["properties", child.member()], json!([]));
    let Some(values) = parent.pointer_mut(&pointer).and_then(Value::as_array_mut) else { return };
    match old.and_then(|at| values.get_mut(at)) {
        Some(slot) => *slot = value,
        None => values.push(value),
    }
}

fn parent_kind(child: ChildKind) -> Option<Kind> {
    match child {
        ChildKind::Subnet => Some(Kind::VirtualNetwork),
        ChildKind::Route => Some(Kind::RouteTable),
        ChildKind::SecurityRule | ChildKind::DefaultRule => Some(Kind::NetworkSecurityGroup),
        ChildKind::IpConfiguration => Some(Kind::NetworkInterface),
        ChildKind::AgentPool => Some(Kind::ManagedCluster),
    }
}
