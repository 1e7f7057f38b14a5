//! The store as the rest of the sandbox's world sees it: objects, without HTTP.

use std::sync::Arc;

use serde_json::Value;

use super::collect::Deletion;
use super::definition::{Definition, Scope};
use super::managers::{self, Writer};
use super::path::Propagation;
use super::status::ApiError;
use super::store::KubernetesStore;
use super::value::{at, carry, default_to, items, metadata, name, namespace, text};

impl KubernetesStore {
    /// One object.
    #[must_use]
    pub fn get(
        &self,
        api_version: &str,
        kind: &str,
        namespace: Option<&str>,
        name: &str,
    ) -> Option<&Value> {
        let definition = self.definition_of_kind(api_version, kind)?;
        self.find(&definition, placed(&definition, namespace), name).map(|object| &**object)
    }

    /// The objects of a kind, of one namespace or of all, in the order of their names.
    #[must_use]
    pub fn list(&self, api_version: &str, kind: &str, namespace: Option<&str>) -> Vec<&Value> {
        let Some(definition) = self.definition_of_kind(api_version, kind) else {
            return Vec::new();
        };
        let place = placed(&definition, namespace);
        let objects = self.scan(&definition.qualified_resource(), place, None);
        objects.map(|(_, object)| &**object).collect()
    }

    /// Creates or replaces an object, all of it: status too. The world's own word is
    /// not checked, but the fields it changes are its manager's from then on.
    ///
    /// # Errors
    ///
    /// When the object's kind is not served or it has no name.
    pub fn put(&mut self, mut object: Value, manager: &str, now: &str) -> Result<&Value, ApiError> {
        let api_version = text(&object, &["apiVersion"]).unwrap_or_default();
        let kind = text(&object, &["kind"]).unwrap_or_default();
        let definition = self.definition_of_kind(api_version, kind).ok_or_else(|| {
            ApiError::bad_request(format!("no resource serves kind {kind:?} in {api_version:?}"))
        })?;
        let named = name(&object).to_owned();
        let place = placed(&definition, namespace(&object)).map(str::to_owned);
        if named.is_empty() || (definition.scope == Scope::Namespaced && place.is_none()) {
            return Err(ApiError::bad_request("an object needs a name and its namespace"));
        }
        let old = self.find(&definition, place.as_deref(), &named).map(Arc::clone);
        self.inherit(&definition, old.as_deref(), &mut object, now);
        let writer = Writer { manager, subresource: None, now };
        managers::track_update(&definition, old.as_deref(), &mut object, &writer);
        if old.as_deref() != Some(&object) {
            self.commit(&definition, object);
        }
        let stored = self.find(&definition, place.as_deref(), &named);
        stored.map(|object| &**object).ok_or_else(|| ApiError::not_found(&definition, &named))
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
                carry(&old["metadata"], metadata(object), field);
            }
            super::write::count_generation(definition, old, object);
            return;
        }
        let uid = self.fresh_uid(name(object));
        let map = metadata(object);
        map.remove("managedFields");
        map.insert("uid".to_owned(), Value::from(uid));
        default_to(map, "creationTimestamp", now);
        if definition.traits.generation {
            default_to(map, "generation", 1);
        }
    }

    /// Changes an object in place. Answers whether there is one.
    pub fn modify(
        &mut self,
        object: &ObjectName<'_>,
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

    /// Deletes an object and what it owns. Answers whether it is gone: finalizers may
    /// hold it back.
    pub fn delete(&mut self, object: &ObjectName<'_>, now: &str) -> bool {
        let Some(definition) = self.definition_of_kind(object.api_version, object.kind) else {
            return false;
        };
        let place = placed(&definition, object.namespace);
        let deletion = self.remove(&definition, place, object.name, Propagation::default(), now);
        matches!(deletion, Some(Deletion::Removed(_)))
    }

    /// Serves a custom resource whose objects may hold anything: for the CRDs that a
    /// managed cluster brings.
    ///
    /// # Errors
    ///
    /// Never for a store made by [`KubernetesStore::new`].
    pub fn register_custom_resource(
        &mut self,
        resource: &CustomResource<'_>,
        now: &str,
    ) -> Result<(), ApiError> {
        let mut crd = resource.definition();
        let definition = Self::crd_definition().ok_or_else(ApiError::unknown_path)?;
        super::prepare::prepare(&definition, &mut crd, super::path::FieldValidation::Ignore, now)?;
        self.put(crd, "kube-apiserver", now).map(|_| ())
    }
}

fn placed<'a>(definition: &Definition, namespace: Option<&'a str>) -> Option<&'a str> {
    namespace.filter(|_| definition.scope == Scope::Namespaced)
}

/// Which object is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ObjectName<'a> {
    /// `v1`, `stargate.io/v1alpha1`.
    pub api_version: &'a str,
    /// The kind, such as `Node`.
    pub kind: &'a str,
    /// Where it lives; none for what belongs to the whole cluster.
    pub namespace: Option<&'a str>,
    /// Its name.
    pub name: &'a str,
}

/// A custom resource without a schema of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CustomResource<'a> {
    /// The API group.
    pub group: &'a str,
    /// The one served version.
    pub version: &'a str,
    /// The kind.
    pub kind: &'a str,
    /// The name in paths.
    pub plural: &'a str,
    /// Whether objects live in namespaces.
    pub namespaced: bool,
    /// Whether status is a subresource.
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
