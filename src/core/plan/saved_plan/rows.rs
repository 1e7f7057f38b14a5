//! Lists of a plan as rows, each with its differences from an earlier row.

use std::collections::HashMap;
use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::delta;
use crate::plan::diff;
use crate::plan::{Blocked, Change, Deferred};

/// An item of a plan's lists.
pub(super) trait Item: Serialize + DeserializeOwned {
    /// Removes the values from the item's JSON that [`Item::expand`] restores.
    fn reduce(&self, _value: &mut Value) {}

    /// Restores the values that [`Item::reduce`] removed; `None` for JSON that it did not
    /// make.
    fn expand(value: Value) -> Option<Self> {
        serde_json::from_value(value).ok()
    }
}

impl Item for Deferred {}

impl Item for Blocked {}

const BEFORE: &str = "before";
const AFTER: &str = "after";
const DIFFERENCES: &str = "differences";
/// Marks a value of which only the difference from the one before the change is
/// written.
const FROM_BEFORE: &str = "~";

impl Item for Change {
    /// Of the second value only the difference from the first is written. The
    /// fields that differ follow from both.
    fn reduce(&self, value: &mut Value) {
        let Value::Object(members) = value else { return };
        if differences(self) == self.differences {
            members.remove(DIFFERENCES);
        }
        if let (Some(before), Some(after)) = (members.get(BEFORE), members.get(AFTER))
            && self.before.is_some()
            && self.after.is_some()
        {
            let changed = delta::between(before, after).unwrap_or(Value::Object(Map::new()));
            let changed = Map::from_iter([(FROM_BEFORE.to_owned(), changed)]);
            members.insert(AFTER.to_owned(), Value::Object(changed));
        }
    }

    fn expand(mut value: Value) -> Option<Self> {
        let members = value.as_object_mut()?;
        let changed = members.get_mut(AFTER).and_then(|after| after.get_mut(FROM_BEFORE));
        if let Some(changed) = changed.map(Value::take) {
            let after = delta::apply(members.get(BEFORE)?.clone(), changed)?;
            members.insert(AFTER.to_owned(), after);
        }
        let found_again = !members.contains_key(DIFFERENCES);
        members.entry(DIFFERENCES).or_insert_with(|| Value::Array(Vec::new()));
        let mut change: Self = serde_json::from_value(value).ok()?;
        if found_again {
            change.differences = differences(&change);
        }
        Some(change)
    }
}

fn differences(change: &Change) -> Vec<diff::FieldChange> {
    match (&change.before, &change.after) {
        (Some(before), Some(after)) => diff::between(before, after),
        _ => Vec::new(),
    }
}

/// The rows before, of which the next differs least from one alike.
#[derive(Default)]
pub(super) struct Rows {
    /// The last item by kind and site, and by kind alone.
    last: HashMap<String, Rc<Value>>,
}

const ADDRESS: &str = "address";

impl Rows {
    /// The row of an item: its differences from the last similar item, and always its
    /// address.
    pub(super) fn write<T: Item>(&mut self, item: &T) -> Result<Value, serde_json::Error> {
        let mut value = serde_json::to_value(item)?;
        item.reduce(&mut value);
        let address = value.get(ADDRESS).cloned().unwrap_or_default();
        let text = address.as_str().unwrap_or_default();
        let mut row = delta::between(&self.alike(text), &value).unwrap_or_else(empty);
        self.note(text, value);
        if let Value::Object(members) = &mut row {
            members.insert(ADDRESS.to_owned(), address);
        }
        Ok(row)
    }

    /// The item of a row; `None` for a row that [`Rows::write`] did not make.
    pub(super) fn read<T: Item>(&mut self, row: Value) -> Option<T> {
        let address = row.get(ADDRESS)?.as_str()?.to_owned();
        let value = delta::apply(self.alike(&address).as_ref().clone(), row)?;
        let item = T::expand(value.clone())?;
        self.note(&address, value);
        Some(item)
    }

    /// The last item of the same kind and site, else the last of the same kind,
    /// else nothing.
    fn alike(&self, address: &str) -> Rc<Value> {
        let found = self.last.get(front(address, 2)).or_else(|| self.last.get(front(address, 1)));
        found.cloned().unwrap_or_else(|| Rc::new(empty()))
    }

    fn note(&mut self, address: &str, value: Value) {
        let value = Rc::new(value);
        self.last.insert(front(address, 1).to_owned(), Rc::clone(&value));
        self.last.insert(front(address, 2).to_owned(), value);
    }
}

fn empty() -> Value {
    Value::Object(Map::new())
}

/// The first segments of an address: its kind, or its kind and site.
fn front(address: &str, segments: usize) -> &str {
    let end = address.match_indices('/').nth(segments - 1).map(|(at, _)| at);
    end.map_or(address, |end| &address[..end])
}
