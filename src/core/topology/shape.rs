//! Checks the parsed file against the schema: known keys, types, required keys.
//!
//! serde stops at the first error. This check reports all of them, and corrects
//! the document where it can (misspelt, unknown and missing keys), so that the values can
//! still be checked in the same run.

use serde_json::Value as Schema;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::schema::resolve;
use crate::diagnostics::Span;
use crate::diagnostics::{Code, Diagnostic, closest};

/// The deviations of a document from its schema.
#[derive(Debug, Default)]
pub(super) struct Deviations {
    /// One for each deviation.
    pub(super) found: Vec<Diagnostic>,
    /// Whether the document got values that the file does not have, in place of missing
    /// and unusable ones.
    pub(super) has_placeholders: bool,
}

/// Returns all deviations of a document from its schema.
pub(super) fn check(document: &mut Spanned<DeTable<'_>>, schema: &Schema) -> Deviations {
    let mut visit = Walk { root: schema, deviations: Deviations::default() };
    // Errors about the whole document point to its first line.
    visit.table(document.get_mut(), schema, 0..0, Place::ROOT);
    visit.deviations
}

/// Where a value is in the document.
#[derive(Clone, Copy)]
struct Place<'p> {
    /// The key, as messages name it.
    key: &'p str,
    /// The path of the keys from the document to the value; empty for the document.
    path: &'p str,
    /// Whether the value is an item of an array.
    is_item: bool,
}

impl Place<'_> {
    const ROOT: Self = Place { key: "", path: "", is_item: false };

    /// The path of a key of this table.
    fn child(self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// The header of this table in TOML; `None` for the document.
    fn header(self) -> Option<String> {
        match (self.path, self.is_item) {
            ("", _) => None,
            (path, true) => Some(format!("[[{path}]]")),
            (path, false) => Some(format!("[{path}]")),
        }
    }
}

struct Walk<'a> {
    root: &'a Schema,
    deviations: Deviations,
}

impl<'a> Walk<'a> {
    /// Returns whether the value is valid; reports errors.
    fn value(
        &mut self,
        value: &mut Spanned<DeValue<'_>>,
        schema: &'a Schema,
        place: Place<'_>,
    ) -> bool {
        let key = place.key;
        let schema = resolve(self.root, schema);
        let span = value.span();
        match (type_for(schema, value.get_ref()), value.get_mut()) {
            ("object", DeValue::Table(table)) => {
                self.table(table, schema, span, place);
                true
            }
            ("array", DeValue::Array(array)) => {
                let mut index = 0;
                for item in array.iter_mut() {
                    index += 1;
                    let key = format!("{key} {index}");
                    let item_place = Place { key: &key, is_item: true, ..place };
                    self.value(item, &schema["items"], item_place);
                }
                true
            }
            ("integer", DeValue::Integer(number)) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix()).ok();
                self.bounds(parsed, schema, span, key)
            }
            ("string", DeValue::String(text)) => self.choice(text, schema, span, key),
            ("boolean", DeValue::Boolean(_)) => true,
            (expected, found) => {
                let found = found.type_str();
                self.deviations.found.push(wrong_type(key, expected, found, span));
                false
            }
        }
    }

    fn table(&mut self, table: &mut DeTable<'_>, schema: &'a Schema, span: Span, place: Place<'_>) {
        let known = &schema["properties"];
        if schema["additionalProperties"] == false {
            self.correct_unknown_keys(table, known);
        }
        let others = &schema["additionalProperties"];
        let others = if others.is_object() {
            Some(others)
        } else {
            schema["patternProperties"].as_object().and_then(|map| map.values().next())
        };
        let mut refused = Vec::new();
        for (name, value) in table.iter_mut() {
            let name = name.get_ref();
            let Some(schema) = known.get(name.as_ref()).or(others) else { continue };
            let path = place.child(name);
            if !self.value(value, schema, Place { key: name, path: &path, is_item: false }) {
                refused.push(name.to_string());
            }
        }
        self.missing_keys(table, schema, span, place);
        for name in refused {
            table.remove(name.as_str());
        }
        self.fill(table, schema);
    }

    /// Adds a placeholder for each required key that is missing, so that serde reads the
    /// rest of the document.
    fn fill(&mut self, table: &mut DeTable<'_>, schema: &Schema) {
        for name in required(schema) {
            if !table.contains_key(name) {
                self.deviations.has_placeholders = true;
                let value = placeholder(self.root, &schema["properties"][name]);
                let key = Spanned::new(0..0, name.to_owned().into());
                table.insert(key, Spanned::new(0..0, value));
            }
        }
    }

    /// Reports unknown keys. A key similar to a known one is renamed to it or merged
    /// with it, so that its value is still checked and the known key does not count as
    /// missing.
    fn correct_unknown_keys(&mut self, table: &mut DeTable<'_>, known: &'a Schema) {
        let Some(properties) = known.as_object() else { return };
        let unknown: Vec<_> = table
            .keys()
            .filter(|key| !properties.contains_key(key.get_ref().as_ref()))
            .cloned()
            .collect();
        for key in unknown {
            let name = key.get_ref().to_string();
            let proposal = closest(&name, properties.keys().map(String::as_str));
            self.deviations.found.push(unknown_key(&name, proposal, properties.keys(), key.span()));
            let Some(value) = table.remove(name.as_str()) else { continue };
            let Some(proposal) = proposal else { continue };
            match table.get_mut(proposal) {
                Some(present) => merge(present.get_mut(), value.into_inner()),
                None => {
                    table.insert(Spanned::new(key.span(), proposal.to_owned().into()), value);
                }
            }
        }
    }

    fn missing_keys(&mut self, table: &DeTable<'_>, schema: &Schema, span: Span, place: Place<'_>) {
        for name in required(schema) {
            if !table.contains_key(name) {
                let missing = &schema["properties"][name];
                let about = missing["description"].as_str().unwrap_or_default();
                let is_table = expected_type(resolve(self.root, missing)) == "object";
                self.deviations.found.push(missing_key(name, is_table, place, about, span.clone()));
            }
        }
    }

    fn bounds(&mut self, number: Option<i64>, schema: &Schema, span: Span, key: &str) -> bool {
        let minimum = schema["minimum"].as_i64().unwrap_or(0);
        let maximum = schema["maximum"].as_i64().unwrap_or(i64::from(u32::MAX));
        if number.is_some_and(|number| (minimum..=maximum).contains(&number)) {
            return true;
        }
        self.deviations.found.push(
            Diagnostic::error(Code::OutOfBounds, format!("`{key}` is out of range"))
                .at(span, format!("not between {minimum} and {maximum}"))
                .remedy(format!("set an integer from {minimum} to {maximum}")),
        );
        false
    }

    fn choice(&mut self, text: &str, schema: &Schema, span: Span, key: &str) -> bool {
        let choices = choices(schema);
        if choices.is_empty() || choices.contains(&text) {
            return true;
        }
        let list = choices.iter().map(|one| format!("\"{one}\"")).collect::<Vec<_>>().join(" or ");
        let remedy = match closest(text, choices) {
            Some(proposal) => format!("did you mean \"{proposal}\"? Valid values are {list}"),
            None => format!("set {list}"),
        };
        self.deviations.found.push(
            Diagnostic::error(Code::UnknownValue, format!("invalid value \"{text}\" for `{key}`"))
                .at(span, format!("expected {list}"))
                .remedy(remedy),
        );
        false
    }
}

/// The keys that a table must have.
fn required(schema: &Schema) -> impl Iterator<Item = &str> {
    schema["required"].as_array().into_iter().flatten().filter_map(Schema::as_str)
}

/// A value that fits a schema: its example, or the simplest one.
fn placeholder(root: &Schema, schema: &Schema) -> DeValue<'static> {
    let schema = resolve(root, schema);
    match expected_type(schema) {
        "object" => {
            let mut table = DeTable::new();
            for name in required(schema) {
                let value = placeholder(root, &schema["properties"][name]);
                let key = Spanned::new(0..0, name.to_owned().into());
                table.insert(key, Spanned::new(0..0, value));
            }
            DeValue::Table(table)
        }
        "array" => DeValue::Array(toml::de::DeArray::new()),
        "boolean" => DeValue::Boolean(false),
        "integer" => DeValue::Integer(toml::de::DeInteger::default()),
        _ => {
            let example = schema["examples"][0].as_str().unwrap_or("placeholder");
            DeValue::String(example.to_owned().into())
        }
    }
}

/// Merges a misspelt table into the intended one, which `[a.b]` may have created
/// before. Existing values take precedence.
fn merge<'a>(into: &mut DeValue<'a>, from: DeValue<'a>) {
    match (into, from) {
        (DeValue::Table(into), DeValue::Table(from)) => {
            for (key, value) in from {
                match into.get_mut(key.get_ref().as_ref()) {
                    Some(present) => merge(present.get_mut(), value.into_inner()),
                    None => {
                        into.insert(key, value);
                    }
                }
            }
        }
        (DeValue::Array(into), DeValue::Array(from)) => {
            from.into_iter().for_each(|item| into.push(item));
        }
        _ => {}
    }
}

fn unknown_key<'a>(
    name: &str,
    proposal: Option<&str>,
    known: impl Iterator<Item = &'a String>,
    span: Span,
) -> Diagnostic {
    let remedy = match proposal {
        Some(proposal) => format!("did you mean `{proposal}`?"),
        None => {
            let list = known.map(|key| format!("`{key}`")).collect::<Vec<_>>().join(", ");
            format!("remove the key; valid keys of this table are {list}")
        }
    };
    Diagnostic::error(Code::UnknownKey, format!("unknown key `{name}`"))
        .at(span, "unknown key")
        .remedy(remedy)
}

fn missing_key(
    name: &str,
    is_table: bool,
    place: Place<'_>,
    about: &str,
    span: Span,
) -> Diagnostic {
    let about = about.split(['.', ':']).next().unwrap_or_default().replace('\n', " ");
    let written = match is_table {
        true => format!("`[{}]`", place.child(name)),
        false => format!("`{name}`"),
    };
    let message = match (is_table, place.header()) {
        (true, _) => format!("missing table {written}"),
        (false, Some(header)) => format!("missing key {written} in `{header}`"),
        (false, None) => format!("missing key {written}"),
    };
    let remedy = match about.as_str() {
        "" => format!("add {written}"),
        about => format!("add {written}: {}", lower_first(about)),
    };
    Diagnostic::error(Code::MissingKey, message)
        .at(span, format!("{written} is required here"))
        .remedy(remedy)
}

/// The text with a lowercase first letter, unless the first word is an abbreviation.
fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if second.is_lowercase() || second == ' ' => {
            first.to_lowercase().chain(letters).collect()
        }
        _ => text.to_owned(),
    }
}

fn wrong_type(key: &str, expected: &str, found: &str, span: Span) -> Diagnostic {
    let (noun, example) = match expected {
        "string" => ("a string", "put the value in quotes"),
        "integer" => ("an integer", "write an integer without quotes"),
        "boolean" => ("a boolean", "write `true` or `false` without quotes"),
        "array" => ("an array", "write a list in brackets, or one `[[…]]` table for each item"),
        _ => ("a table", "write a table with a `[…]` header"),
    };
    Diagnostic::error(
        Code::WrongType,
        format!("`{key}` must be {noun}, not {}", with_article(found)),
    )
    .at(span, format!("expected {noun}"))
    .remedy(example)
}

fn with_article(noun: &str) -> String {
    let article = if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" };
    format!("{article} {noun}")
}

fn expected_type(schema: &Schema) -> &str {
    match &schema["type"] {
        Schema::String(name) => name,
        Schema::Array(names) => {
            names.iter().filter_map(Schema::as_str).find(|name| *name != "null").unwrap_or("string")
        }
        // An enumeration of constants has no type.
        _ => "string",
    }
}

/// The type of a schema that a value is checked against: the value's own if the schema
/// allows several.
fn type_for<'a>(schema: &'a Schema, value: &DeValue<'_>) -> &'a str {
    let own = value.type_str();
    let listed = schema["type"].as_array().into_iter().flatten().filter_map(Schema::as_str);
    listed.into_iter().find(|name| *name == own).unwrap_or_else(|| expected_type(schema))
}

fn choices(schema: &Schema) -> Vec<&str> {
    let constants = schema["oneOf"].as_array().into_iter().flatten();
    let listed = schema["enum"].as_array().into_iter().flatten();
    constants
        .flat_map(|one| {
            one.get("const").into_iter().chain(one["enum"].as_array().into_iter().flatten())
        })
        .chain(listed)
        .filter_map(Schema::as_str)
        .collect()
}
