//! The places of keys in a list.

use std::cell::Cell;
use std::hash::Hash;

use foldhash::{HashMap, HashMapExt};

use super::Kind;

/// Finds the places of keys in a list; of equal keys, the last one's.
///
/// Resources of one kind that are side by side refer to the same resource of another kind,
/// or to resources that are side by side, too. So a search first looks where the last one of
/// its kind ended: in a large plan nearly all end there, and read memory that is in the
/// processor's cache instead of an entry anywhere in a hash table.
#[derive(Debug)]
pub(crate) struct PlaceIndex<'a, K> {
    /// Without those that equal a later one.
    keys: Vec<Option<&'a K>>,
    positions: HashMap<&'a K, usize>,
    /// The place that was found last, by kind.
    last: Vec<Cell<usize>>,
}

impl<'a, K: Eq + Hash> PlaceIndex<'a, K> {
    /// Indexes a list.
    pub(crate) fn of(list: impl ExactSizeIterator<Item = &'a K>) -> Self {
        let mut keys: Vec<Option<&K>> = Vec::with_capacity(list.len());
        let mut positions = HashMap::with_capacity(list.len());
        for (place, key) in list.enumerate() {
            keys.push(Some(key));
            if let Some(earlier) = positions.insert(key, place) {
                keys[earlier] = None;
            }
        }
        Self { keys, positions, last: vec![Cell::new(0); Kind::ALL.len()] }
    }

    /// The place of a key, which belongs to a resource of that kind.
    pub(crate) fn place(&self, kind: Kind, key: &K) -> Option<usize> {
        let last = self.last.get(kind as usize)?;
        let is_at = |place: &usize| matches!(self.keys.get(*place), Some(Some(it)) if *it == key);
        let near = [last.get(), last.get() + 1].into_iter().find(is_at);
        let place = near.or_else(|| self.positions.get(key).copied())?;
        last.set(place);
        Some(place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_found_in_any_order_of_searches() {
        let keys: Vec<String> = (0..23).map(|number| format!("n{number}")).collect();
        for step in 1..keys.len() {
            let index = PlaceIndex::of(keys.iter());
            for search in 0..3 * keys.len() {
                let place = search * step % keys.len();
                let kind = if place < 9 { Kind::Server } else { Kind::Worker };
                assert_eq!(index.place(kind, &keys[place]), Some(place));
                assert_eq!(index.place(kind, &format!("m{place}")), None);
            }
        }
    }

    #[test]
    fn of_equal_keys_the_last_one_is_found() {
        let keys = ["a", "b", "b", "a", "c"];
        let index = PlaceIndex::of(keys.iter());
        for (key, place) in [("b", 2), ("a", 3), ("c", 4), ("b", 2), ("b", 2), ("a", 3)] {
            assert_eq!(index.place(Kind::Server, &key), Some(place));
        }
    }
}
