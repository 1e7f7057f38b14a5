//! Validation of names, of metadata, and of the few kinds whose rules matter here.

use serde_json::{Map, Value};

use super::definition::{CORE, Definition, EXTENSIONS, RBAC};
use super::schema;
use super::status::{StatusCause, StatusError, verdict};
use super::transitions;
use super::value::{at, items, name, text};

const SUBDOMAIN: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const TAINT_EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

fn is_label(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    !text.is_empty()
        && text.bytes().all(|byte| inner(byte) || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

fn is_subdomain(text: &str) -> bool {
    text.len() <= 253 && text.split('.').all(is_label)
}

fn check_name(definition: &Definition, name: &str) -> Vec<StatusCause> {
    let field = "metadata.name";
    if name.is_empty() {
        return vec![StatusCause::required(field, "name or generateName is required")];
    }
    let label = definition.is(CORE, "namespaces") || definition.is(CORE, "services");
    let (fits, rule) = if definition.group == RBAC {
        // Names of roles, such as `system:node`, need only be valid in a path.
        let fits = !name.contains(['/', '%']) && name != "." && name != "..";
        (fits, "may not contain '/' or '%'")
    } else if label {
        (name.len() <= 63 && is_label(name), LABEL)
    } else {
        (is_subdomain(name), SUBDOMAIN)
    };
    if fits { Vec::new() } else { vec![StatusCause::invalid(field, &Value::from(name), rule)] }
}

/// Whether a text is a valid label value or name part of a label key.
fn is_qualified(text: &str) -> bool {
    let edge = |letter: Option<char>| letter.is_some_and(|it| it.is_ascii_alphanumeric());
    text.len() <= 63
        && text.chars().all(|it| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.'))
        && edge(text.chars().next())
        && edge(text.chars().last())
}

fn check_labels(object: &Value) -> Vec<StatusCause> {
    let labels = at(object, &["metadata", "labels"]).and_then(Value::as_object);
    let mut causes = Vec::new();
    for (key, value) in labels.into_iter().flatten() {
        let (prefix, rest) = key.split_once('/').unwrap_or(("a", key));
        if !is_subdomain(prefix) || !is_qualified(rest) {
            causes.push(StatusCause::invalid(
                "metadata.labels",
                &Value::from(key.as_str()),
                "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            ));
        }
        if value.as_str().is_none_or(|value| !value.is_empty() && !is_qualified(value)) {
            causes.push(StatusCause::invalid("metadata.labels", value, LABEL_VALUE));
        }
    }
    causes
}

/// Validates an object before it is stored.
pub(super) fn object(
    definition: &Definition,
    old: Option<&Value>,
    new: &Value,
) -> Result<(), StatusError> {
    let mut causes = check_name(definition, name(new));
    causes.extend(check_labels(new));
    if let Some(schema) = definition.schema() {
        check_schema(schema, new, &mut causes);
        transitions::check(schema, old, new, &mut causes);
    }
    if definition.is(CORE, "nodes") {
        causes.extend(check_node(new));
    }
    if definition.is(EXTENSIONS, "customresourcedefinitions") {
        causes.extend(check_crd(new));
    }
    if let Some(old) = old {
        causes.extend(check_change(definition, old, new));
    }
    verdict(definition, name(new), &causes)
}

fn check_schema(schema: &Value, object: &Value, causes: &mut Vec<StatusCause>) {
    // Metadata has its own rules, so the schema is not applied to it.
    let mut body: Map<String, Value> = object.as_object().cloned().unwrap_or_default();
    body.remove("metadata");
    body.insert("metadata".to_owned(), Value::Object(Map::new()));
    let mut schema = schema.clone();
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        properties.remove("metadata");
    }
    schema::validate(&schema, &Value::Object(body), "", causes);
}

fn check_crd(crd: &Value) -> Vec<StatusCause> {
    let mut causes = Vec::new();
    for field in ["group", "scope"] {
        if text(crd, &["spec", field]).is_none_or(str::is_empty) {
            causes.push(StatusCause::required(&format!("spec.{field}"), ""));
        }
    }
    let plural = text(crd, &["spec", "names", "plural"]).unwrap_or_default();
    let group = text(crd, &["spec", "group"]).unwrap_or_default();
    if name(crd) != format!("{plural}.{group}") {
        let rule = "must be spec.names.plural+\".\"+spec.group";
        causes.push(StatusCause::invalid("metadata.name", &Value::from(name(crd)), rule));
    }
    let storage = items(crd, &["spec", "versions"])
        .iter()
        .filter(|version| version.get("storage") == Some(&Value::Bool(true)))
        .count();
    if storage != 1 {
        let versions = at(crd, &["spec", "versions"]).cloned().unwrap_or(Value::Null);
        let rule = "must have exactly one version marked as storage version";
        causes.push(StatusCause::invalid("spec.versions", &versions, rule));
    }
    causes
}

fn check_change(definition: &Definition, old: &Value, new: &Value) -> Vec<StatusCause> {
    match (definition.group.as_str(), definition.plural.as_str()) {
        (CORE, "nodes") => check_node_change(old, new),
        (RBAC, "rolebindings" | "clusterrolebindings") => {
            frozen(old, new, &["roleRef"], "cannot change roleRef")
        }
        ("apps", "deployments" | "daemonsets") => {
            frozen(old, new, &["spec", "selector"], "field is immutable")
        }
        (CORE, "secrets") => frozen(old, new, &["type"], "field is immutable"),
        _ => Vec::new(),
    }
}

fn frozen(old: &Value, new: &Value, path: &[&str], rule: &str) -> Vec<StatusCause> {
    let changed = at(old, path).is_some() && at(old, path) != at(new, path);
    let value = at(new, path).unwrap_or(&Value::Null);
    changed.then(|| StatusCause::invalid(&path.join("."), value, rule)).into_iter().collect()
}

fn check_node(node: &Value) -> Vec<StatusCause> {
    let mut causes = Vec::new();
    for (place, range) in items(node, &["spec", "podCIDRs"]).iter().enumerate() {
        if range.as_str().is_none_or(|range| range.parse::<ipnet::IpNet>().is_err()) {
            let rule = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
            causes.push(StatusCause::invalid(&format!("spec.podCIDRs[{place}]"), range, rule));
        }
    }
    for (place, taint) in items(node, &["spec", "taints"]).iter().enumerate() {
        let effect = text(taint, &["effect"]).unwrap_or_default();
        if !TAINT_EFFECTS.contains(&effect) {
            let words = TAINT_EFFECTS.map(|word| format!("{word:?}")).join(", ");
            let message = format!("Unsupported value: {effect:?}: supported values: {words}");
            // Real servers report taints under the path of a former field.
            let field = format!("metadata.taints[{place}].effect");
            causes.push(StatusCause::new("FieldValueNotSupported", &field, message));
        }
    }
    causes
}

/// The fields that identify a node in the network are immutable. The singular range follows the
/// plural one, which the error names.
fn check_node_change(old: &Value, new: &Value) -> Vec<StatusCause> {
    let mut causes = Vec::new();
    let ranges = |node| items(node, &["spec", "podCIDRs"]);
    let mut once = |field: &str, what: &str| {
        let rule = format!("node updates may not change {what} except from \"\" to valid");
        causes.push(StatusCause::forbidden(field, &rule));
    };
    if !ranges(old).is_empty() && ranges(old) != ranges(new) {
        once("spec.podCIDRs", "podCIDR");
    }
    let id = |node| text(node, &["spec", "providerID"]).unwrap_or_default();
    if !id(old).is_empty() && id(old) != id(new) {
        once("spec.providerID", "providerID");
    }
    causes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_their_rules() {
        assert!(is_subdomain("worker-1.example"));
        for wrong in ["Worker", "-a", "a-", "a..b", "a_b", ""] {
            assert!(!is_subdomain(wrong), "{wrong}");
        }
    }
}
