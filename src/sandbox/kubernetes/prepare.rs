//! Prepares an object for the store: drops unknown fields and sets the defaults that controllers
//! and clients rely on.

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::definition::{APPS, CORE, Definition, DefinitionOrigin, EXTENSIONS, RBAC};
use super::path::FieldValidation;
use super::schema;
use super::status::StatusError;
use super::value::{at, default_to, fields, items, metadata, name, nested, text};

/// Prepares an object and returns warnings. The error says why the object cannot be decoded.
pub(super) fn prepare(
    definition: &Definition,
    object: &mut Value,
    validation: FieldValidation,
    now: &str,
) -> Result<Vec<String>, StatusError> {
    match &definition.origin {
        DefinitionOrigin::BuiltIn(source) => {
            let read = (source.normalise)(std::mem::take(object));
            *object = read.map_err(|error| {
                let (kind, version) = (&definition.kind, &definition.version);
                StatusError::bad_request(format!(
                    "{kind} in version \"{version}\" cannot be handled as a {kind}: {error}"
                ))
            })?;
            default_built_in(definition, object, now);
            Ok(Vec::new())
        }
        DefinitionOrigin::Custom(..) => prepare_custom(definition, object, validation),
    }
}

fn prepare_custom(
    definition: &Definition,
    object: &mut Value,
    validation: FieldValidation,
) -> Result<Vec<String>, StatusError> {
    let Some(schema) = definition.schema() else { return Ok(Vec::new()) };
    let unknown: Vec<String> = schema::prune(schema, object)
        .iter()
        .map(|field| format!("unknown field \"{field}\""))
        .collect();
    schema::default(schema, object);
    match validation {
        FieldValidation::Strict if !unknown.is_empty() => Err(StatusError::bad_request(format!(
            "{} in version \"{}\" cannot be handled as a {}: strict decoding error: {}",
            definition.kind,
            definition.version,
            definition.kind,
            unknown.join(", ")
        ))),
        FieldValidation::Ignore => Ok(Vec::new()),
        _ => Ok(unknown),
    }
}

fn default_built_in(definition: &Definition, object: &mut Value, now: &str) {
    match (definition.group.as_str(), definition.plural.as_str()) {
        (CORE, "namespaces") => default_namespace(object),
        (CORE, "secrets") => default_secret(object),
        (CORE, "services") => default_service(object),
        (CORE, "pods") => {
            default_to(nested(object, "status"), "phase", "Pending");
            default_to(nested(object, "spec"), "restartPolicy", "Always");
        }
        (CORE, "nodes") => {
            // The list starts with the value of the single field.
            let spec = nested(object, "spec");
            let first = spec.get("podCIDRs").and_then(|list| list.get(0)).cloned();
            match (spec.get("podCIDR").filter(|it| **it != "").cloned(), first) {
                (Some(single), first) if first.as_ref() != Some(&single) => {
                    spec.insert("podCIDRs".to_owned(), json!([single]));
                }
                (None, Some(first)) => {
                    spec.insert("podCIDR".to_owned(), first);
                }
                _ => {}
            }
        }
        (APPS, "deployments") => default_to(nested(object, "spec"), "replicas", 1),
        (RBAC, "rolebindings" | "clusterrolebindings") => default_binding(object),
        (EXTENSIONS, _) => establish(object, now),
        _ => {}
    }
}

fn default_namespace(object: &mut Value) {
    let label = Value::from(name(object));
    let labels = metadata(object).entry("labels").or_insert(Value::Null);
    fields(labels).insert("kubernetes.io/metadata.name".to_owned(), label);
    default_to(nested(object, "spec"), "finalizers", json!(["kubernetes"]));
    default_to(nested(object, "status"), "phase", "Active");
}

/// `stringData` is write-only and is merged into `data`.
fn default_secret(object: &mut Value) {
    let map = fields(object);
    default_to(map, "type", "Opaque");
    if let Some(Value::Object(plain)) = map.remove("stringData") {
        let data = nested(object, "data");
        for (field, value) in plain {
            let encoded = STANDARD.encode(value.as_str().unwrap_or_default());
            data.insert(field, Value::from(encoded));
        }
    }
}

fn default_service(object: &mut Value) {
    let spec = nested(object, "spec");
    default_to(spec, "type", "ClusterIP");
    default_to(spec, "sessionAffinity", "None");
    if let Some(Value::Array(ports)) = spec.get_mut("ports") {
        for port in ports.iter_mut().filter_map(Value::as_object_mut) {
            default_to(port, "protocol", "TCP");
            if let Some(number) = port.get("port").cloned() {
                default_to(port, "targetPort", number);
            }
        }
    }
}

fn default_binding(object: &mut Value) {
    default_to(nested(object, "roleRef"), "apiGroup", RBAC);
    let Some(Value::Array(rbac_subjects)) = fields(object).get_mut("subjects") else { return };
    for subject in rbac_subjects.iter_mut() {
        if text(subject, &["kind"]) != Some("ServiceAccount") {
            default_to(fields(subject), "apiGroup", RBAC);
        }
    }
}

/// A CRD is established as soon as it is stored: no other CRD can claim its names.
fn establish(crd: &mut Value, now: &str) {
    let kind = text(crd, &["spec", "names", "kind"]).unwrap_or_default().to_owned();
    if let Some(Value::Object(names)) = nested(crd, "spec").get_mut("names") {
        default_to(names, "singular", kind.to_lowercase());
        default_to(names, "listKind", format!("{kind}List"));
    }
    default_to(nested(crd, "spec"), "conversion", json!({"strategy": "None"}));
    let names = at(crd, &["spec", "names"]).cloned().unwrap_or(Value::Null);
    let stored: Vec<Value> = items(crd, &["spec", "versions"])
        .iter()
        .filter(|version| version.get("storage") == Some(&Value::Bool(true)))
        .filter_map(|version| version.get("name").cloned())
        .collect();
    let since = items(crd, &["status", "conditions"])
        .iter()
        .find_map(|condition| text(condition, &["lastTransitionTime"]))
        .unwrap_or(now)
        .to_owned();
    let condition = |kind: &str, reason: &str, message: &str| {
        json!({"type": kind, "status": "True", "reason": reason, "message": message,
            "lastTransitionTime": since})
    };
    let mut status = Map::new();
    status.insert("acceptedNames".to_owned(), names);
    status.insert("storedVersions".to_owned(), Value::Array(stored));
    let conditions = json!([
        condition("NamesAccepted", "NoConflicts", "no conflicts found"),
        condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    ]);
    status.insert("conditions".to_owned(), conditions);
    fields(crd).insert("status".to_owned(), Value::Object(status));
}
