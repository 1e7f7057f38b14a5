//! The fields of the topology file, listed from its schema: a new field cannot be missing.

use serde_json::Value;

use super::schema::{resolve, schema};

/// A field of the topology file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopologyField {
    /// The keys to it: `*` stands for a name that the user chooses, `[]` for each item of
    /// an array of tables. As in `datacenters.*.workers[].ip`.
    pub path: String,
    /// Its type and bounds, as in `integer, 1 to 64`.
    pub value_type: String,
    /// The unit of a number, as in `seconds`.
    pub unit: Option<String>,
    /// The default in TOML; `None` without one, or if it is computed.
    pub default: Option<String>,
    /// Whether the table that holds it needs it.
    pub required: bool,
    /// The description of the schema, in one paragraph.
    pub description: String,
}

/// Every field, in the order of the paths.
pub fn fields() -> Vec<TopologyField> {
    let mut visit = Visit { root: schema(), found: Vec::new() };
    visit.table(schema(), "");
    visit.found
}

/// The field with a path as users write it: names in the place of `*`, and numbers or
/// nothing in the brackets of an array.
pub fn named(path: &str) -> Option<TopologyField> {
    let matches = |field: &TopologyField| {
        let (known, written) = (field.path.split('.'), path.split('.'));
        known.clone().count() == written.clone().count()
            && known.zip(written).all(|(known, written)| is_step(known, written))
    };
    fields().into_iter().find(matches)
}

fn is_step(known: &str, written: &str) -> bool {
    let (key, is_item) = match known.strip_suffix("[]") {
        Some(key) => (key, true),
        None => (known, false),
    };
    let bare = if is_item { written.split('[').next().unwrap_or_default() } else { written };
    key == "*" || key == bare
}

struct Visit<'a> {
    root: &'a Value,
    found: Vec<TopologyField>,
}

impl<'a> Visit<'a> {
    fn table(&mut self, schema: &'a Value, path: &str) {
        let required = schema["required"].as_array();
        for (key, property) in schema["properties"].as_object().into_iter().flatten() {
            let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            let is_required = required.is_some_and(|keys| keys.iter().any(|one| one == key));
            self.property(property, path, is_required);
        }
    }

    fn property(&mut self, property: &'a Value, path: String, required: bool) {
        let schema = resolve(self.root, property);
        let (named, items) = (&schema["additionalProperties"], &schema["items"]);
        if has_fields(schema) {
            self.table(schema, &path);
        } else if named.is_object() && has_fields(resolve(self.root, named)) {
            self.table(resolve(self.root, named), &format!("{path}.*"));
        } else if items.is_object() && has_fields(resolve(self.root, items)) {
            self.table(resolve(self.root, items), &format!("{path}[]"));
        } else {
            self.found.push(TopologyField {
                path,
                value_type: self.value_type(schema),
                unit: text(&property["x-unit"]),
                default: default_of(&property["default"]),
                required,
                description: description(property)
                    .or_else(|| description(schema))
                    .unwrap_or_default(),
            });
        }
    }

    fn value_type(&self, schema: &'a Value) -> String {
        if let Some(title) = text(&schema["title"]) {
            return title;
        }
        let constants = schema["oneOf"].as_array().into_iter().flatten();
        let constants: Vec<String> = constants.map(|one| one["const"].to_string()).collect();
        if !constants.is_empty() {
            return constants.join(" or ");
        }
        match base_type(schema) {
            "array" => format!("array: {}", self.value_type(resolve(self.root, &schema["items"]))),
            "object" if schema["additionalProperties"].is_object() => {
                let value = resolve(self.root, &schema["additionalProperties"]);
                format!("table: {}", self.value_type(value))
            }
            "object" => "table".to_owned(),
            "integer" => bounded(schema),
            other => other.to_owned(),
        }
    }
}

/// Whether a schema is of a table with keys that it names.
fn has_fields(schema: &Value) -> bool {
    schema["properties"].as_object().is_some_and(|fields| !fields.is_empty())
}

fn base_type(schema: &Value) -> &str {
    match &schema["type"] {
        Value::Array(names) => {
            let mut names = names.iter().filter_map(Value::as_str);
            names.find(|name| *name != "null").unwrap_or("string")
        }
        name => name.as_str().unwrap_or("string"),
    }
}

fn bounded(schema: &Value) -> String {
    match (schema["minimum"].as_u64(), schema["maximum"].as_u64()) {
        (Some(minimum), Some(maximum)) => format!("integer, {minimum} to {maximum}"),
        _ => "integer".to_owned(),
    }
}

/// The values of the schema's defaults are written the same way in TOML.
fn default_of(value: &Value) -> Option<String> {
    let is_empty = value.as_array().is_some_and(Vec::is_empty)
        || value.as_object().is_some_and(serde_json::Map::is_empty);
    (!value.is_null() && !is_empty).then(|| value.to_string())
}

fn text(value: &Value) -> Option<String> {
    value.as_str().map(str::to_owned)
}

fn description(schema: &Value) -> Option<String> {
    schema["description"].as_str().map(|text| text.replace('\n', " "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_have_paths_types_units_and_defaults() {
        let field = named("datacenters.dc1.workers[0].ip").unwrap();
        assert_eq!(field.path, "datacenters.*.workers[].ip");
        assert_eq!((field.value_type.as_str(), field.required), ("IPv4 address", false));
        let field = named("rollout.drain_seconds").unwrap();
        assert_eq!(field.value_type, "integer, 1 to 86400");
        assert_eq!(
            (field.unit.as_deref(), field.default.as_deref()),
            (Some("seconds"), Some("300"))
        );
        let field = named("cluster.node_pools.system.labels").unwrap();
        assert_eq!((field.value_type.as_str(), field.default), ("table: string", None));
        assert_eq!(named("ssh.host_keys").unwrap().default.as_deref(), Some("\"accept-new\""));
        assert!(named("cluster.node_pools").is_none() && named("cluster.x").is_none());
        assert!(named("cluster.name").unwrap().required);
    }

    #[test]
    fn every_field_is_described_and_listed_once() {
        let all = fields();
        let paths: std::collections::BTreeSet<&str> =
            all.iter().map(|field| field.path.as_str()).collect();
        assert_eq!(paths.len(), all.len());
        assert!(all.len() > 80, "{}", all.len());
        for field in &all {
            assert!(field.description.ends_with('.'), "{}: {}", field.path, field.description);
        }
    }
}
