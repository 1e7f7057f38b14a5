//! The OpenAPI description that clients read before they write.
//!
//! It lists the resources, says that the server validates fields, and contains the schemas of CRDs.
//! Built-in kinds are described as objects with arbitrary content, because clients have their own
//! types for those.

use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::definition::{CORE, Definition, ResourceScope};
use super::status::StatusError;
use super::store::KubernetesStore;

/// The media types of patches. Strategic merge patches are accepted too, but a client that finds
/// them here looks for merge keys in the schema.
const PATCHES: [&str; 3] =
    ["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];

impl KubernetesStore {
    /// The URLs of the descriptions of each group and version.
    pub(super) fn described_groups(&self) -> Value {
        let mut definitions = self.definitions();
        definitions.sort_by(|a, b| (&a.group, &a.version).cmp(&(&b.group, &b.version)));
        definitions.dedup_by(|a, b| (&a.group, &a.version) == (&b.group, &b.version));
        let paths: Map<String, Value> = definitions
            .iter()
            .map(|definition| {
                let (group, version) = (&definition.group, &definition.version);
                let described = self.described_group(group, version).unwrap_or_default();
                let root = root(group, version);
                // A client keeps its copy while the digest is unchanged.
                let url = format!("/openapi/v3/{root}?hash={}", digest(&described));
                (root, json!({"serverRelativeURL": url}))
            })
            .collect();
        json!({"paths": paths})
    }

    /// The description of a group in one version.
    pub(super) fn described_group(&self, group: &str, version: &str) -> Result<Value, StatusError> {
        let mut paths = Map::new();
        let mut schemas = Map::new();
        let definitions = self.definitions().into_iter();
        for definition in definitions.filter(|it| it.group == group && it.version == version) {
            add_paths(&definition, &mut paths);
            schemas.insert(schema_name(&definition), schema(&definition));
        }
        if paths.is_empty() {
            return Err(StatusError::unknown_path());
        }
        Ok(json!({
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "unversioned"},
            "paths": paths,
            "components": {"schemas": schemas},
        }))
    }
}

fn digest(described: &Value) -> String {
    let digest = Sha256::digest(described.to_string());
    digest.iter().take(16).map(|byte| format!("{byte:02X}")).collect()
}

fn root(group: &str, version: &str) -> String {
    match group {
        CORE => format!("api/{version}"),
        group => format!("apis/{group}/{version}"),
    }
}

fn schema_name(definition: &Definition) -> String {
    let group = if definition.group.is_empty() { "core" } else { definition.group.as_str() };
    let front: Vec<&str> = group.split('.').rev().collect();
    format!("{}.{}.{}", front.join("."), definition.version, definition.kind)
}

fn kind_of(definition: &Definition) -> Value {
    json!({"group": definition.group, "version": definition.version, "kind": definition.kind})
}

fn add_paths(definition: &Definition, paths: &mut Map<String, Value>) {
    let root = root(&definition.group, &definition.version);
    let place = match definition.scope {
        ResourceScope::Cluster => "",
        ResourceScope::Namespaced => "namespaces/{namespace}/",
    };
    let all = format!("/{root}/{place}{}", definition.plural);
    if !definition.traits.stored {
        paths.insert(all, json!({"post": operation(definition, "post")}));
        return;
    }
    let one = format!("{all}/{{name}}");
    paths.insert(
        all,
        json!({"get": operation(definition, "list"), "post": operation(definition, "post")}),
    );
    let patches: Map<String, Value> =
        PATCHES.iter().map(|media| ((*media).to_owned(), json!({"schema": {}}))).collect();
    let mut patch = operation(definition, "patch");
    patch["requestBody"] = json!({"content": patches, "required": true});
    paths.insert(
        one,
        json!({
            "get": operation(definition, "get"),
            "put": operation(definition, "put"),
            "patch": patch,
            "delete": operation(definition, "delete"),
        }),
    );
}

fn operation(definition: &Definition, action: &str) -> Value {
    let reference = format!("#/components/schemas/{}", schema_name(definition));
    let body = json!({"application/json": {"schema": {"$ref": reference}}});
    let mut described = json!({
        "x-kubernetes-action": action,
        "x-kubernetes-group-version-kind": kind_of(definition),
        "responses": {"200": {"description": "OK", "content": body}},
    });
    let parameters: &[&str] = match action {
        "patch" => &["dryRun", "fieldManager", "fieldValidation", "force"],
        "post" | "put" => &["dryRun", "fieldManager", "fieldValidation"],
        _ => &[],
    };
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|name| {
            let kind = if *name == "force" { "boolean" } else { "string" };
            json!({"name": name, "in": "query", "schema": {"type": kind, "uniqueItems": true}})
        })
        .collect();
    described["parameters"] = Value::Array(parameters);
    described
}

fn schema(definition: &Definition) -> Value {
    let open = || json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let mut schema = definition.schema().cloned().unwrap_or_else(open);
    for (field, kind) in [("apiVersion", "string"), ("kind", "string"), ("metadata", "object")] {
        let known = &mut schema["properties"][field];
        if known.is_null() {
            *known = json!({"type": kind});
        }
    }
    schema["x-kubernetes-group-version-kind"] = json!([kind_of(definition)]);
    schema
}
