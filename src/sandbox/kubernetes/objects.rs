//! Access to the store's objects without HTTP, for the rest of the sandbox.

use std::sync::Arc;

use serde_json::Value;

use super::collect::Deletion;
use super::definition::{Definition, ResourceScope};
use super::managers::{self, Writer};
use super::path::Propagation;
use super::status::StatusError;
use super::store::KubernetesStore;
use super::value::{at, copy_field, default_to, items, metadata, name, namespace, text};

impl KubernetesStore {
    /// Returns one object.
    #[must_use]
    pub fn get(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Option<&Value> {
        let definition = self.definition_of_kind(api_version, kind)?;
        self.find(&definition, namespace_in_scope(&definition, namespace), name)
            .map(|object| &**object)
    }

    /// The objects of a kind, in one namespace or in all, ordered by name.
    #[must_use]
    pub fn list(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Vec<&Value> {
        let Some(definition) = self.definition_of_kind(api_version, kind) else {
            return Vec::new();
        };
        let place = namespace_in_scope(&definition, namespace);
        let objects = self.scan(&definition.qualified_resource(), place, None);
        objects.map(|(_, object)| &**object).collect()
    }

    /// Creates or replaces an object including its status. It bypasses validation, but the manager
    /// owns the fields that it changes.
    ///
    /// # Errors
    ///
    /// The kind of the object is not served, or the object has no name.
    pub fn put(
        &mut self,
        mut object: Value,
        manager: &str,
        now: &str,
    ) -> Result<&Value, StatusError> {
        let api_version = text(&object, &["apiVersion"]).unwrap_or_default();
        let kind = text(&object, &["kind"]).unwrap_or_default();
        let definition = self.definition_of_kind(api_version, kind).ok_or_else(|| {
            StatusError::bad_request(format!("no resource serves kind {kind:?} in {api_version:?}"))
        })?;
        let named = name(&object).to_owned();
        let place = namespace_in_scope(&definition, namespace(&object)).map(str::to_owned);
        if named.is_empty() || (definition.scope == ResourceScope::Namespaced && place.is_none()) {
            return Err(StatusError::bad_request("an object needs a name and its namespace"));
        }
        let old = self.find(&definition, place.as_deref(), &named).map(Arc::clone);
        self.inherit(&definition, old.as_deref(), &mut object, now);
        let writer = Writer { manager, subresource: None, now };
        managers::track_update(&definition, old.as_deref(), &mut object, &writer);
        if old.as_deref() != Some(&object) {
            self.commit(&definition, object);
        }
        let stored = self.find(&definition, place.as_deref(), &named);
        stored.map(|object| &**object).ok_or_else(|| StatusError::not_found(&definition, &named))
    }

    fn inherit(
        &mut self,
        definition: &Definition,
        old: Option<&Value>,
        object: &mut Value,
        now: &str,
    ) {
        if let Some(old) = old {
            for field in
                ["uid", "creationTimestamp", "resourceVersion", "generation", "managedFields"]
            {
                copy_field(&old["metadata"], metadata(object), field);
            }
            super::write::count_generation(definition, old, object);
            return;
        }
        let uid = self.new_uid(name(object));
        let map = metadata(object);
        map.remove("managedFields");
        map.insert("uid".to_owned(), Value::from(uid));
        default_to(map, "creationTimestamp", now);
        if definition.traits.generation {
            default_to(map, "generation", 1);
        }
    }

    /// Changes an object in place. Returns whether it exists.
    pub fn modify(
        &mut self,
        object: &ObjectIdentity<'_>,
        manager: &str,
        now: &str,
        change: impl FnOnce(&mut Value),
    ) -> bool {
        let found = self.get(object.api_version, object.kind, object.namespace, object.name);
        let Some(mut value) = found.cloned() else { return false };
        change(&mut value);
        let leaving = at(&value, &["metadata", "deletionTimestamp"]).is_some()
            && items(&value, &["metadata", "finalizers"]).is_empty();
        let kept = self.put(value, manager, now).is_ok();
        if leaving {
            self.delete(object, now);
        }
        kept
    }

    /// Deletes an object and its dependents. Returns whether it is gone: finalizers may delay the
    /// deletion.
    pub fn delete(&mut self, object: &ObjectIdentity<'_>, now: &str) -> bool {
        let Some(definition) = self.definition_of_kind(object.api_version, object.kind) else {
            return false;
        };
        let place = namespace_in_scope(&definition, object.namespace);
        let deletion = self.remove(&definition, place, object.name, Propagation::default(), now);
        matches!(deletion, Some(Deletion::Removed(_)))
    }

    /// Serves a custom resource without a schema, such as those that a managed cluster installs.
    ///
    /// # Errors
    ///
    /// Never for a store made by [`KubernetesStore::new`].
    pub fn register_custom_resource(
        &mut self,
        resource: &CustomResource<'_>,
        now: &str,
    ) -> Result<(), StatusError> {
        let mut crd = resource.definition();
        let definition = Self::crd_definition().ok_or_else(StatusError::unknown_path)?;
        super::prepare::prepare(&definition, &mut crd, super::path::FieldValidation::Ignore, now)?;
        self.put(crd, "kube-apiserver", now).map(|_| ())
    }
}

fn namespace_in_scope<'a>(definition: &Definition, namespace: Option<&'a str>) -> Option<&'a str> {
    namespace.filter(|_| definition.scope == ResourceScope::Namespaced)
}

/// The identity of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectIdentity<'a> {
    /// `v1`, `stargate.io/v1alpha1`.
    pub api_version: &'a str,
    /// The kind, such as `Node`.
    pub kind: &'a str,
    /// The namespace; `None` for cluster-scoped objects.
    pub namespace: Option<&'a str>,
    /// The name.
    pub name: &'a str,
}

/// A custom resource without a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CustomResource<'a> {
    /// The API group.
    pub group: &'a str,
    /// The only served version.
    pub version: &'a str,
    /// The kind.
    pub kind: &'a str,
    /// The plural name, used in paths.
    pub plural: &'a str,
    /// Whether objects are namespaced.
    pub namespaced: bool,
    /// Whether it has the status subresource.
    pub status: bool,
}

impl CustomResource<'_> {
    fn definition(&self) -> Value {
        let scope = if self.namespaced { "Namespaced" } else { "Cluster" };
        let mut version = serde_json::json!({
            "name": self.version, "served": true, "storage": true,
            "schema": {"openAPIV3Schema":
                {"type": "object", "x-kubernetes-preserve-unknown-fields": true}},
        });
        if self.status {
            let parts = serde_json::json!({"status": {}});
            super::value::fields(&mut version).insert("subresources".to_owned(), parts);
        }
        serde_json::json!({
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{}.{}", self.plural, self.group)},
            "spec": {
                "group": self.group,
                "scope": scope,
                "names": {"kind": self.kind, "plural": self.plural},
                "versions": [version],
            },
        })
    }
}
