//! Sets of fields in the format of `managedFields` (`fieldsV1`).

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// A tree of fields. The keys are those of `fieldsV1`: `f:name` for a field, `k:{..}` for a list
/// item by its keys, `v:..` for an item of a set.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct FieldSet {
    /// Whether this node itself belongs to the set.
    pub(super) member: bool,
    pub(super) children: BTreeMap<String, FieldSet>,
}

impl FieldSet {
    pub(super) fn leaf() -> Self {
        Self { member: true, children: BTreeMap::new() }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.member && self.children.values().all(Self::is_empty)
    }

    /// Parses `fieldsV1`.
    pub(super) fn read(value: &Value) -> Self {
        let mut set = Self::default();
        let Some(map) = value.as_object() else { return set };
        for (element, below) in map {
            if element == "." {
                set.member = true;
            } else {
                let mut child = Self::read(below);
                // An empty object ends a path and is a member.
                child.member |= child.children.is_empty();
                set.children.insert(element.clone(), child);
            }
        }
        set
    }

    /// Writes `fieldsV1`.
    pub(super) fn write(&self) -> Value {
        let mut map = Map::new();
        if self.member && !self.children.is_empty() {
            map.insert(".".to_owned(), Value::Object(Map::new()));
        }
        for (element, child) in &self.children {
            map.insert(element.clone(), child.write());
        }
        Value::Object(map)
    }

    pub(super) fn insert(&mut self, element: String, child: Self) {
        if !child.is_empty() {
            self.children.insert(element, child);
        }
    }

    pub(super) fn union(&mut self, other: &Self) {
        self.member |= other.member;
        for (element, child) in &other.children {
            self.children.entry(element.clone()).or_default().union(child);
        }
    }

    pub(super) fn difference(&self, other: &Self) -> Self {
        let mut result = Self { member: self.member && !other.member, children: BTreeMap::new() };
        for (element, child) in &self.children {
            let rest = match other.children.get(element) {
                Some(taken) => child.difference(taken),
                None => child.clone(),
            };
            result.insert(element.clone(), rest);
        }
        result
    }

    pub(super) fn intersection(&self, other: &Self) -> Self {
        let mut result = Self { member: self.member && other.member, children: BTreeMap::new() };
        for (element, child) in &self.children {
            if let Some(both) = other.children.get(element) {
                result.insert(element.clone(), child.intersection(both));
            }
        }
        result
    }

    /// Removes a field and everything below it from the set.
    pub(super) fn remove(&mut self, path: &[&str]) {
        match path {
            [] => *self = Self::default(),
            [element] => {
                self.children.remove(*element);
            }
            [element, rest @ ..] => {
                if let Some(child) = self.children.get_mut(*element) {
                    child.remove(rest);
                    if child.is_empty() {
                        self.children.remove(*element);
                    }
                }
            }
        }
    }

    /// The paths of all members in the format of conflicts: `.spec.ports[port=1]`.
    pub(super) fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.collect(&mut String::new(), &mut paths);
        paths
    }

    fn collect(&self, here: &mut String, paths: &mut Vec<String>) {
        if self.member {
            paths.push(here.clone());
        }
        for (element, child) in &self.children {
            let length = here.len();
            here.push_str(&rendered(element));
            child.collect(here, paths);
            here.truncate(length);
        }
    }
}

fn rendered(element: &str) -> String {
    if let Some(field) = element.strip_prefix("f:") {
        return format!(".{field}");
    }
    let keys = element.strip_prefix("k:").and_then(|keys| serde_json::from_str(keys).ok());
    if let Some(Value::Object(keys)) = keys {
        let pairs: Vec<String> = keys.iter().map(|(key, value)| format!("{key}={value}")).collect();
        return format!("[{}]", pairs.join(","));
    }
    format!("[={}]", element.trim_start_matches("v:"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn field_sets_round_trip() {
        let written = json!({"f:metadata": {"f:labels": {".": {}, "f:a": {}}},
            "f:spec": {"f:containers": {"k:{\"name\":\"x\"}": {".": {}, "f:image": {}}}}});
        let set = FieldSet::read(&written);
        assert_eq!(set.write(), written);
        assert!(set.paths().contains(&".spec.containers[name=\"x\"].image".to_owned()));
        assert!(set.difference(&set).is_empty());
        assert_eq!(set.intersection(&set), set);
    }
}
