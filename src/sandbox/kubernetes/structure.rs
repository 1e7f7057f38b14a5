//! The structure of objects: which lists are merged by key, and which maps and lists are atomic. It
//! comes from a CRD's schema or from a table of well-known fields.

use serde_json::{Map, Value};

use super::definition::Definition;
use super::value::{at, texts};

/// How a list is merged from the configurations of several managers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ListKind {
    /// One value: the manager that sets it owns all of it.
    Atomic,
    /// A set of scalars.
    Set,
    /// Items identified by these fields.
    Keyed(Vec<String>),
}

/// The structure of a part of an object.
#[derive(Debug, Clone, Copy)]
pub(super) enum Structure<'a> {
    /// The root of an object. Its metadata is well known, and the rest may have a schema.
    Root(Option<&'a Value>),
    /// A part with a CRD's schema.
    Schema(&'a Value),
    /// A part identified by its field and the field above.
    Known { field: &'a str, above: &'a str },
}

/// Fields of built-in objects that hold an atomic map.
const ATOMIC_MAPS: &[&str] = &[
    "nodeSelector",
    "selector",
    "secretKeyRef",
    "configMapKeyRef",
    "fieldRef",
    "resourceFieldRef",
    "roleRef",
    "secretRef",
    "configMapRef",
    "claimRef",
    "involvedObject",
    "namespaceSelector",
    "labelSelector",
];

const KEYED_LISTS: &[(&str, &[&str])] = &[
    ("containers", &["name"]),
    ("initContainers", &["name"]),
    ("ephemeralContainers", &["name"]),
    ("env", &["name"]),
    ("volumes", &["name"]),
    ("volumeMounts", &["mountPath"]),
    ("volumeDevices", &["devicePath"]),
    ("imagePullSecrets", &["name"]),
    ("conditions", &["type"]),
    ("ownerReferences", &["uid"]),
    ("versions", &["name"]),
    ("hostAliases", &["ip"]),
    ("podIPs", &["ip"]),
    ("topologySpreadConstraints", &["topologyKey", "whenUnsatisfiable"]),
];

impl<'a> Structure<'a> {
    pub(super) fn of(definition: &'a Definition) -> Self {
        Self::Root(definition.schema())
    }

    /// The structure of a field of this map.
    pub(super) fn field(self, name: &'a str) -> Self {
        match self {
            Self::Root(Some(schema)) if name != "metadata" => Self::property(schema, name),
            Self::Root(_) => Self::Known { field: name, above: "" },
            Self::Schema(schema) => Self::property(schema, name),
            Self::Known { field, .. } => Self::Known { field: name, above: field },
        }
    }

    fn property(schema: &'a Value, name: &str) -> Self {
        static NOTHING: Value = Value::Null;
        let below =
            at(schema, &["properties", name]).or_else(|| schema.get("additionalProperties"));
        Self::Schema(below.unwrap_or(&NOTHING))
    }

    /// The structure of an item of this list.
    pub(super) fn item(self) -> Self {
        match self {
            Self::Schema(schema) => Self::Schema(schema.get("items").unwrap_or(schema)),
            other => other,
        }
    }

    pub(super) fn map_is_atomic(self) -> bool {
        match self {
            Self::Root(_) => false,
            Self::Schema(schema) => {
                schema.get("x-kubernetes-map-type").and_then(Value::as_str) == Some("atomic")
            }
            Self::Known { field, .. } => ATOMIC_MAPS.contains(&field),
        }
    }

    pub(super) fn list_kind(self) -> ListKind {
        match self {
            Self::Root(_) => ListKind::Atomic,
            Self::Schema(schema) => {
                match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
                    Some("set") => ListKind::Set,
                    Some("map") => ListKind::Keyed(
                        texts(schema, &["x-kubernetes-list-map-keys"])
                            .into_iter()
                            .map(str::to_owned)
                            .collect(),
                    ),
                    _ => ListKind::Atomic,
                }
            }
            Self::Known { field, above } => known_list(field, above),
        }
    }

    /// The kind of this list. A list whose items lack the keys is atomic.
    pub(super) fn list_kind_of(self, lists: &[&[Value]]) -> ListKind {
        let kind = self.list_kind();
        let fits = |item: &Value| match &kind {
            ListKind::Atomic => true,
            ListKind::Set => !item.is_object() && !item.is_array(),
            ListKind::Keyed(keys) => keys.iter().any(|key| item.get(key).is_some()),
        };
        if lists.iter().all(|list| list.iter().all(fits)) { kind } else { ListKind::Atomic }
    }
}

fn known_list(field: &str, above: &str) -> ListKind {
    let keyed = |keys: &[&str]| ListKind::Keyed(keys.iter().map(|&key| key.to_owned()).collect());
    match (field, above) {
        ("finalizers", _) | ("podCIDRs", _) => ListKind::Set,
        ("ports", "containers" | "initContainers") => keyed(&["containerPort", "protocol"]),
        ("ports", "spec") => keyed(&["port", "protocol"]),
        ("addresses", "status") => keyed(&["type"]),
        ("secrets", "") => keyed(&["name"]),
        _ => KEYED_LISTS
            .iter()
            .find(|(name, _)| *name == field)
            .map_or(ListKind::Atomic, |(_, keys)| keyed(keys)),
    }
}

/// The key of an item in a keyed list, in the format of `fieldsV1`.
pub(super) fn key_element(item: &Value, keys: &[String]) -> String {
    let pairs: Map<String, Value> = keys
        .iter()
        .filter_map(|key| match (item.get(key), key.as_str()) {
            (Some(value), _) => Some((key.clone(), value.clone())),
            // The one key that servers default before they compare.
            (None, "protocol") => Some((key.clone(), Value::from("TCP"))),
            (None, _) => None,
        })
        .collect();
    format!("k:{}", Value::Object(pairs))
}

/// The key of an item in a list of this kind.
pub(super) fn element(item: &Value, kind: &ListKind) -> String {
    match kind {
        ListKind::Keyed(keys) => key_element(item, keys),
        ListKind::Set | ListKind::Atomic => format!("v:{item}"),
    }
}
