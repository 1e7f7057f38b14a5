//! The JSON schema of the topology file, generated from its types.

use std::sync::OnceLock;

use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::file::TopologyFile;

/// The schema, generated on first use.
pub fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(|| {
        let generator = SchemaSettings::draft2020_12().for_deserialize().into_generator();
        generator.into_root_schema_for::<TopologyFile>().to_value()
    })
}

/// The text of `schema/stargate.schema.json`.
pub fn schema_text() -> String {
    // The alternate form of a `Value` is indented JSON.
    format!("{:#}\n", schema())
}

/// A part of a schema without references, and without the `null` of optional values.
pub(super) fn resolve<'a>(root: &'a Value, part: &'a Value) -> &'a Value {
    if let Some(reference) = part["$ref"].as_str() {
        let target = reference.strip_prefix('#').and_then(|path| root.pointer(path));
        return target.map_or(part, |target| resolve(root, target));
    }
    let choices = part["anyOf"].as_array();
    let value = choices.and_then(|list| list.iter().find(|one| one["type"] != "null"));
    value.map_or(part, |value| resolve(root, value))
}
