//! Field by field: what differs between two values of a resource.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::resource::{Kind, Resource};

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The way to the field, as in `node_pools.nodepool1.vm_size`.
    pub path: FieldPath,
    /// The value now; absent where there is none.
    pub before: Option<Value>,
    /// The value wanted; absent where there is to be none.
    pub after: Option<Value>,
    /// Whether the value is known only after another resource exists.
    pub pending: bool,
    /// Whether the object must be replaced for it.
    pub forces_replacement: bool,
}

/// The way to a field. Keys may hold dots (prefixes do), so it is a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldPath(pub Vec<String>);

impl std::fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            let bracket = part.contains(['.', '/', ':']);
            match (index, bracket) {
                (_, true) => write!(formatter, "[{part}]")?,
                (0, false) => formatter.write_str(part)?,
                (_, false) => write!(formatter, ".{part}")?,
            }
        }
        Ok(())
    }
}

/// What differs between the observed and the desired value.
///
/// A field that nobody looked at differs from nothing.
pub fn between(before: &Resource, after: &Resource) -> Vec<FieldChange> {
    if before == after {
        return Vec::new();
    }
    let mut changes = Vec::new();
    let kind = after.kind();
    walk(kind, &mut Vec::new(), Some(&fields(before)), Some(&fields(after)), &mut changes);
    changes
}

/// All fields of a value that is to be made, or to be deleted.
pub fn whole(resource: &Resource, side: WholeSide) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let value = fields(resource);
    let (before, after) = match side {
        WholeSide::Made => (None, Some(&value)),
        WholeSide::Deleted => (Some(&value), None),
    };
    walk(resource.kind(), &mut Vec::new(), before, after, &mut changes);
    // That what is made shall be ready, or what goes was, is no news.
    changes.retain(|change| {
        let value = change.before.as_ref().or(change.after.as_ref());
        !value.is_some_and(is_empty) && change.path.0 != ["provisioning"]
    });
    changes
}

/// Whether [`whole`] shows a value that comes or one that goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WholeSide {
    /// It comes.
    Made,
    /// It goes.
    Deleted,
}

/// The addresses that the pending fields of a value wait for.
pub fn pending_on(resource: &Resource) -> Vec<crate::resource::Address> {
    let mut found = Vec::new();
    collect_pending(&fields(resource), &mut found);
    found.sort();
    found.dedup();
    found
}

fn collect_pending(value: &Value, found: &mut Vec<crate::resource::Address>) {
    match value {
        Value::Object(map) => {
            if let Some(address) = map.get("$after").and_then(Value::as_str) {
                found.extend(address.parse().ok());
            }
            map.values().for_each(|value| collect_pending(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| collect_pending(value, found)),
        _ => {}
    }
}

/// The fields of a resource as a JSON object.
fn fields(resource: &Resource) -> Value {
    // A resource serialises as `{"kind": …, "value": {…}}`; every value is
    // made of maps with text keys, so this cannot fail.
    let mut whole = serde_json::to_value(resource).unwrap_or_default();
    let value = whole.get_mut("value").map(Value::take).unwrap_or_default();
    match (resource, value) {
        (Resource::Manifest(_), Value::Object(mut map)) => {
            with_whole_numbers(map.remove("body").unwrap_or(Value::Object(Map::new())))
        }
        (_, value) => value,
    }
}

/// Writes `1000.0` as `1000`: a server may give a whole number back either way.
fn with_whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => {
            let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 1e15);
            match (number.is_f64(), whole) {
                (true, Some(float)) => {
                    serde_json::from_str(&format!("{float:.0}")).unwrap_or(Value::Number(number))
                }
                _ => Value::Number(number),
            }
        }
        Value::Array(values) => values.into_iter().map(with_whole_numbers).collect(),
        Value::Object(map) => {
            map.into_iter().map(|(key, value)| (key, with_whole_numbers(value))).collect()
        }
        other => other,
    }
}

fn walk(
    kind: Kind,
    path: &mut Vec<String>,
    before: Option<&Value>,
    after: Option<&Value>,
    changes: &mut Vec<FieldChange>,
) {
    if before == after || is_unobserved(before) || is_unobserved(after) {
        return;
    }
    let as_map = |value: Option<&Value>| match value {
        Some(Value::Object(map)) if !map.contains_key("$after") => Some(map.clone()),
        None => Some(Map::new()),
        _ => None,
    };
    let is_map = |value: Option<&Value>| matches!(value, Some(Value::Object(_)));
    if let (Some(old), Some(new), true) =
        (as_map(before), as_map(after), is_map(before) || is_map(after))
    {
        let mut keys: Vec<&String> = old.keys().chain(new.keys()).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            path.push(key.clone());
            walk(kind, path, old.get(key), new.get(key), changes);
            path.pop();
        }
        return;
    }
    let absent = |value: Option<&Value>| value.is_none_or(Value::is_null);
    if absent(before) && absent(after) {
        return;
    }
    changes.push(FieldChange {
        path: FieldPath(path.clone()),
        before: before.filter(|value| !value.is_null()).cloned(),
        after: after.filter(|value| !value.is_null()).cloned(),
        pending: is_pending(after),
        forces_replacement: before.is_some() && forces_replacement(kind, path),
    });
}

fn is_unobserved(value: Option<&Value>) -> bool {
    matches!(value, Some(Value::Object(map)) if map.contains_key("$unobserved"))
}

fn is_pending(value: Option<&Value>) -> bool {
    matches!(value, Some(Value::Object(map)) if map.contains_key("$after"))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// Fields that no service lets us change on a living object.
fn forces_replacement(kind: Kind, path: &[String]) -> bool {
    let Some(field) = path.first().map(String::as_str) else { return false };
    match kind {
        Kind::ResourceGroup
        | Kind::VirtualNetwork
        | Kind::NatGateway
        | Kind::NetworkSecurityGroup
        | Kind::PublicIpAddress
        | Kind::RouteTable => field == "location",
        Kind::ManagedCluster => {
            !matches!(field, "kubernetes_version" | "node_pools" | "provisioning")
        }
        Kind::Subnet => matches!(field, "address_prefix" | "virtual_network"),
        Kind::NetworkInterface => matches!(field, "location" | "subnet" | "private_ip"),
        Kind::VirtualMachine => {
            matches!(
                field,
                "location" | "admin_user" | "ssh_public_key" | "network_interface" | "role"
            )
        }
        // Both can be set once in the life of a Node.
        Kind::Worker => matches!(field, "pod_cidr" | "provider_id" | "ip"),
        Kind::ClusterRoleBinding => field == "roleRef",
        Kind::DaemonSet => field == "spec" && path.get(1).is_some_and(|part| part == "selector"),
        Kind::TailnetDevice
        | Kind::RouteTableAssociation
        | Kind::AdvertisedRoutes
        | Kind::ApprovedRoutes
        | Kind::CustomResourceDefinition
        | Kind::Namespace
        | Kind::ServiceAccount
        | Kind::ClusterRole
        | Kind::Service
        | Kind::Server
        | Kind::ProvisioningProfile
        | Kind::CiliumNode
        | Kind::RouterHost => false,
    }
}
