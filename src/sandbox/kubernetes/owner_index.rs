//! An index of objects by owner.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::store::StoredObject;
use super::value::{items, text};

/// The collection of an object and its key in the collection.
type StoredKey = (String, String);

/// Objects by the uid of their owner. The index is built at the first use, and is absent after a
/// load.
#[derive(Debug, Clone, Default)]
pub(super) struct OwnerIndex(Option<BTreeMap<String, BTreeSet<StoredKey>>>);

impl OwnerIndex {
    /// Updates the index for an object that was created, changed or deleted.
    pub(super) fn note(
        &mut self,
        (collection, key): (&str, &str),
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        let Some(index) = &mut self.0 else { return };
        let key = || (collection.to_owned(), key.to_owned());
        for owner in before.map(owners).unwrap_or_default() {
            if let Some(dependents) = index.get_mut(owner) {
                dependents.remove(&key());
                if dependents.is_empty() {
                    index.remove(owner);
                }
            }
        }
        for owner in after.map(owners).unwrap_or_default() {
            index.entry(owner.to_owned()).or_default().insert(key());
        }
    }

    /// The objects of an owner, ordered by collection.
    pub(super) fn dependents(
        &mut self,
        objects: &BTreeMap<String, BTreeMap<String, StoredObject>>,
        owner: &str,
    ) -> Vec<StoredKey> {
        if self.0.is_none() {
            self.0 = Some(BTreeMap::new());
            for (collection, objects) in objects {
                for (key, stored) in objects {
                    self.note((collection, key), None, Some(&stored.0));
                }
            }
        }
        let dependents = self.0.as_ref().and_then(|index| index.get(owner));
        dependents.into_iter().flatten().cloned().collect()
    }
}

/// The uids of an object's owners.
pub(super) fn owners(object: &Value) -> Vec<&str> {
    items(object, &["metadata", "ownerReferences"])
        .iter()
        .filter_map(|reference| text(reference, &["uid"]))
        .collect()
}
