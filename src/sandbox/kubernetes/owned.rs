//! Which objects each owner has.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::store::Stored;
use super::value::{items, text};

/// The collection of an object and its key in it.
type Place = (String, String);

/// The objects by the identity of their owners, from the first time that
/// somebody asks: a store that was just loaded has not looked yet.
#[derive(Debug, Clone, Default)]
pub(super) struct Owned(Option<BTreeMap<String, BTreeSet<Place>>>);

impl Owned {
    /// Notes that an object came, changed or went.
    pub(super) fn note(
        &mut self,
        (collection, key): (&str, &str),
        before: Option<&Value>,
        after: Option<&Value>,
    ) {
        let Some(index) = &mut self.0 else { return };
        let place = || (collection.to_owned(), key.to_owned());
        for owner in before.map(owners).unwrap_or_default() {
            if let Some(places) = index.get_mut(owner) {
                places.remove(&place());
                if places.is_empty() {
                    index.remove(owner);
                }
            }
        }
        for owner in after.map(owners).unwrap_or_default() {
            index.entry(owner.to_owned()).or_default().insert(place());
        }
    }

    /// Where the objects of an owner are, in the order of their collections.
    pub(super) fn places(
        &mut self,
        objects: &BTreeMap<String, BTreeMap<String, Stored>>,
        owner: &str,
    ) -> Vec<Place> {
        if self.0.is_none() {
            self.0 = Some(BTreeMap::new());
            for (collection, objects) in objects {
                for (key, stored) in objects {
                    self.note((collection, key), None, Some(&stored.0));
                }
            }
        }
        let places = self.0.as_ref().and_then(|index| index.get(owner));
        places.into_iter().flatten().cloned().collect()
    }
}

/// The identities of an object's owners.
pub(super) fn owners(object: &Value) -> Vec<&str> {
    items(object, &["metadata", "ownerReferences"])
        .iter()
        .filter_map(|reference| text(reference, &["uid"]))
        .collect()
}
