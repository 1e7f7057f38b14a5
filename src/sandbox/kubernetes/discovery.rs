//! Discovery: versions, groups and resources.

use serde_json::{Value, json};

use super::definition::{
    APPS, CERTIFICATES, CORE, Definition, DefinitionOrigin, POLICY, ResourceScope,
};
use super::status::StatusError;
use super::store::KubernetesStore;
use super::value::texts;

impl KubernetesStore {
    pub(super) fn version(&self) -> Value {
        let version = self.server_version.trim_start_matches('v');
        let mut parts = version.split('.');
        json!({
            "major": parts.next().unwrap_or_default(),
            "minor": parts.next().unwrap_or_default(),
            "gitVersion": format!("v{version}"),
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": "rustc",
            "platform": "linux/amd64",
        })
    }

    pub(super) fn core_versions() -> Value {
        json!({"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []})
    }

    pub(super) fn groups(&self) -> Value {
        let mut names: Vec<String> = Vec::new();
        for definition in self.definitions() {
            if definition.group != CORE && !names.contains(&definition.group) {
                names.push(definition.group);
            }
        }
        let groups: Vec<Value> = names.iter().filter_map(|name| self.group(name).ok()).collect();
        json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
    }

    pub(super) fn group(&self, group: &str) -> Result<Value, StatusError> {
        let mut versions: Vec<String> = Vec::new();
        for definition in self.definitions().into_iter().filter(|it| it.group == group) {
            if !versions.contains(&definition.version) {
                versions.push(definition.version);
            }
        }
        let versions: Vec<Value> = versions
            .iter()
            .map(
                |version| json!({"groupVersion": format!("{group}/{version}"), "version": version}),
            )
            .collect();
        let preferred = versions.first().cloned().ok_or_else(StatusError::unknown_path)?;
        Ok(json!({"kind": "APIGroup", "apiVersion": "v1", "name": group,
            "versions": versions, "preferredVersion": preferred}))
    }

    pub(super) fn resources(&self, group: &str, version: &str) -> Result<Value, StatusError> {
        let found: Vec<Definition> = self
            .definitions()
            .into_iter()
            .filter(|it| it.group == group && it.version == version)
            .collect();
        if found.is_empty() {
            return Err(StatusError::unknown_path());
        }
        let named =
            if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        let resources: Vec<Value> = found.iter().flat_map(described).collect();
        Ok(json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": named,
            "resources": resources}))
    }
}

/// The categories of a resource, such as `all`.
fn categories(definition: &Definition) -> Vec<&str> {
    let named = match &definition.origin {
        DefinitionOrigin::Custom(crd, _) => return texts(crd, &["spec", "names", "categories"]),
        DefinitionOrigin::BuiltIn(source) => (source.group, source.plural),
    };
    match named {
        (CORE, "pods" | "services") | (APPS, _) => vec!["all"],
        _ => Vec::new(),
    }
}

fn described(definition: &Definition) -> Vec<Value> {
    let namespaced = definition.scope == ResourceScope::Namespaced;
    let verbs: &[&str] = if definition.traits.stored {
        &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
    } else {
        &["create"]
    };
    let mut resources = vec![json!({
        "name": definition.plural,
        "singularName": definition.singular,
        "namespaced": namespaced,
        "kind": definition.kind,
        "verbs": verbs,
        "shortNames": definition.short,
        "categories": categories(definition),
    })];
    let mut part = |word: &str| {
        resources.push(json!({
            "name": format!("{}/{word}", definition.plural),
            "singularName": "",
            "namespaced": namespaced,
            "kind": definition.kind,
            "verbs": ["get", "patch", "update"],
        }));
    };
    if definition.traits.status {
        part("status");
    }
    if definition.group == CERTIFICATES {
        part("approval");
    }
    if definition.is(CORE, "pods") {
        resources.push(json!({"name": "pods/eviction", "singularName": "", "namespaced": true,
            "group": POLICY, "version": "v1", "kind": "Eviction", "verbs": ["create"]}));
    }
    resources
}
