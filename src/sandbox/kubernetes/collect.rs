//! Deletion: finalizers, garbage collection and contents of namespaces.

use std::sync::Arc;

use serde_json::Value;

use super::definition::{CORE, Definition, EXTENSIONS, ResourceScope};
use super::owner_index::owners;
use super::path::Propagation;
use super::store::KubernetesStore;
use super::value::{at, items, metadata, name, namespace, nested, text};

/// The result of a deletion.
#[derive(Debug, Clone)]
pub(super) enum Deletion {
    Removed(Arc<Value>),
    /// Finalizers or contents delay the deletion.
    Pending(Arc<Value>),
}

impl KubernetesStore {
    /// Deletes an object, unless finalizers or contents delay that.
    pub(super) fn remove(
        &mut self,
        definition: &Definition,
        place: Option<&str>,
        named: &str,
        propagation: Propagation,
        now: &str,
    ) -> Option<Deletion> {
        let object = Arc::clone(self.find(definition, place, named)?);
        let uid = text(&object, &["metadata", "uid"]).unwrap_or_default();
        match propagation {
            Propagation::Orphan => self.orphan(uid),
            Propagation::Foreground => self.collect(uid, now),
            Propagation::Background => {}
        }
        self.empty(definition, &object, now);
        // The object may have been deleted together with its last content.
        let Some(object) = self.find(definition, place, named).map(Arc::clone) else {
            return Some(Deletion::Removed(object));
        };
        let held = !items(&object, &["metadata", "finalizers"]).is_empty();
        if held || self.has_contents(definition, &object) {
            return Some(Deletion::Pending(self.mark(definition, &object, now)));
        }
        let removed = self.finish(definition, place, named, now);
        Some(Deletion::Removed(removed.unwrap_or(object)))
    }

    /// Sets the deletion timestamp of an object.
    fn mark(&mut self, definition: &Definition, object: &Arc<Value>, now: &str) -> Arc<Value> {
        if at(object, &["metadata", "deletionTimestamp"]).is_some() {
            return Arc::clone(object);
        }
        let mut marked = (**object).clone();
        let map = metadata(&mut marked);
        map.insert("deletionTimestamp".to_owned(), Value::from(now));
        map.insert("deletionGracePeriodSeconds".to_owned(), Value::from(0));
        if definition.is(CORE, "namespaces") {
            nested(&mut marked, "status").insert("phase".to_owned(), Value::from("Terminating"));
        }
        self.commit(definition, marked)
    }

    /// Removes the object from the store and then deletes its dependents.
    pub(super) fn finish(
        &mut self,
        definition: &Definition,
        place: Option<&str>,
        named: &str,
        now: &str,
    ) -> Option<Arc<Value>> {
        let place = place.filter(|_| definition.scope == ResourceScope::Namespaced);
        let removed = self.erase(&definition.qualified_resource(), place, named)?;
        let uid = text(&removed, &["metadata", "uid"]).unwrap_or_default();
        self.collect(uid, now);
        self.reconcile(definition, place, now);
        Some(removed)
    }

    /// Deletes a terminating namespace or CRD whose last content is deleted.
    fn reconcile(&mut self, definition: &Definition, place: Option<&str>, now: &str) {
        let above = [
            (self.definition(CORE, "v1", "namespaces"), place.map(str::to_owned)),
            (
                Self::crd_definition().filter(|_| definition.is_custom()),
                Some(definition.qualified_resource()),
            ),
        ];
        for (above, named) in above {
            let (Some(above), Some(named)) = (above, named) else { continue };
            let Some(object) = self.find(&above, None, &named).map(Arc::clone) else { continue };
            let leaving = at(&object, &["metadata", "deletionTimestamp"]).is_some();
            let held = !items(&object, &["metadata", "finalizers"]).is_empty();
            if leaving && !held && !self.has_contents(&above, &object) {
                self.finish(&above, None, &named, now);
            }
        }
    }

    /// The contents of a namespace or CRD: definition, namespace and name.
    fn contents(
        &self,
        definition: &Definition,
        object: &Value,
    ) -> Vec<(Definition, Option<String>, String)> {
        let inside = if definition.is(CORE, "namespaces") {
            let definitions = self.definitions();
            let namespaced =
                definitions.into_iter().filter(|it| it.scope == ResourceScope::Namespaced);
            namespaced.map(|it| (it, Some(name(object)))).collect()
        } else if definition.is(EXTENSIONS, "customresourcedefinitions") {
            let custom = self.custom_definitions();
            custom
                .filter(|it| it.qualified_resource() == name(object))
                .map(|it| (it, None))
                .collect()
        } else {
            Vec::new()
        };
        let mut contents = Vec::new();
        for (definition, place) in inside {
            for (_, object) in self.scan(&definition.qualified_resource(), place, None) {
                let place = namespace(object).map(str::to_owned);
                contents.push((definition.clone(), place, name(object).to_owned()));
            }
        }
        contents
    }

    fn has_contents(&self, definition: &Definition, object: &Value) -> bool {
        !self.contents(definition, object).is_empty()
    }

    fn empty(&mut self, definition: &Definition, object: &Value, now: &str) {
        for (definition, place, named) in self.contents(definition, object) {
            self.remove(&definition, place.as_deref(), &named, Propagation::Background, now);
        }
    }

    /// The objects that have this owner.
    fn owned_by(&mut self, uid: &str) -> Vec<(Definition, Arc<Value>)> {
        let dependents = self.by_owner.dependents(&self.objects, uid);
        let stored = dependents
            .iter()
            .filter_map(|(collection, key)| self.objects.get(collection)?.get(key));
        stored
            .filter_map(|stored| {
                let api_version = text(&stored.0, &["apiVersion"]).unwrap_or_default();
                let kind = text(&stored.0, &["kind"]).unwrap_or_default();
                let definition = self.definition_of_kind(api_version, kind)?;
                Some((definition, Arc::clone(&stored.0)))
            })
            .collect()
    }

    /// Deletes the objects whose last owner is gone. Objects with another owner lose the owner
    /// reference.
    fn collect(&mut self, uid: &str, now: &str) {
        if uid.is_empty() {
            return;
        }
        for (definition, object) in self.owned_by(uid) {
            let shared =
                owners(&object).into_iter().any(|owner| owner != uid && self.has_uid(owner));
            if shared {
                self.disown(&definition, &object, uid);
            } else {
                let place = namespace(&object);
                self.remove(&definition, place, name(&object), Propagation::Background, now);
            }
        }
    }

    fn orphan(&mut self, uid: &str) {
        for (definition, object) in self.owned_by(uid) {
            self.disown(&definition, &object, uid);
        }
    }

    fn disown(&mut self, definition: &Definition, object: &Value, uid: &str) {
        let mut object = object.clone();
        let map = metadata(&mut object);
        if let Some(Value::Array(references)) = map.get_mut("ownerReferences") {
            references.retain(|reference| text(reference, &["uid"]) != Some(uid));
            if references.is_empty() {
                map.remove("ownerReferences");
            }
        }
        self.commit(definition, object);
    }

    fn has_uid(&self, uid: &str) -> bool {
        let mut objects = self.objects.values().flat_map(|collection| collection.values());
        objects.any(|stored| text(&stored.0, &["metadata", "uid"]) == Some(uid))
    }
}
