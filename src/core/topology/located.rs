//! Values with their span in the file.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::ops::Deref;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Deserializer};

use crate::diagnostics::Span;

/// A value and its span. The schema has the bare value.
#[derive(Debug, Clone)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// The span of the value in the file.
    pub span: Span,
}

impl<T> Deref for Located<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

// Equality ignores the span, so that the value can be a key of a map.
impl<T: PartialEq> PartialEq for Located<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Located<T> {}

impl<T: PartialOrd> PartialOrd for Located<T> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.value.partial_cmp(&other.value)
    }
}

impl<T: Ord> Ord for Located<T> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.value.cmp(&other.value)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = toml::Spanned::<T>::deserialize(deserializer)?;
        let span = spanned.span();
        Ok(Self { value: spanned.into_inner(), span })
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn schema_id() -> Cow<'static, str> {
        T::schema_id()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

macro_rules! text_types {
    ($($(#[$doc:meta])* $name:ident = $title:expr, $pattern:expr, $example:expr;)*) => {$(
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl Deref for $name {
            type Target = str;

            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let mut schema = Schema::default();
                schema.insert("type".to_owned(), "string".into());
                schema.insert("title".to_owned(), $title.into());
                schema.insert("pattern".to_owned(), $pattern.into());
                schema.insert("examples".to_owned(), serde_json::json!([$example]));
                schema
            }
        }
    )*};
}

text_types! {
    /// An unchecked IPv4 prefix.
    CidrText = "IPv4 prefix", r"^([0-9]{1,3}\.){3}[0-9]{1,3}/[0-9]{1,2}$", "10.50.0.0/16";
    /// An unchecked IPv4 address.
    AddressText = "IPv4 address", r"^([0-9]{1,3}\.){3}[0-9]{1,3}$", "10.50.1.5";
    /// An unchecked MAC address.
    MacText = "MAC address", r"^([0-9A-Fa-f]{2}:){5}[0-9A-Fa-f]{2}$", "52:54:00:12:34:56";
    /// An unchecked Kubernetes version.
    VersionText = "Kubernetes version", r"^(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(\.(0|[1-9][0-9]*))?$", "1.33.5";
    /// An unchecked number or percentage of nodes.
    SurgeText = "number or percentage", r"^[1-9][0-9]{0,3}%?$", "33%";
    /// A pattern for names with a placeholder for a number.
    NamePattern = "name pattern", r"\{(:0[1-9])?\}", "dc2-worker-{:03}";
}

/// An unchecked width of a rollout: a count or a percentage.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum WidthText {
    /// A number of workers.
    Count(u32),
    /// A percentage, as in `25%`.
    Percentage(String),
}

impl JsonSchema for WidthText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "WidthText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut schema = Schema::default();
        schema.insert("type".to_owned(), serde_json::json!(["integer", "string"]));
        schema.insert("title".to_owned(), "number, 1 to 64, or percentage".into());
        schema.insert("minimum".to_owned(), 1.into());
        schema.insert("maximum".to_owned(), 64.into());
        schema.insert("pattern".to_owned(), "^(100|[1-9][0-9]?)%$".into());
        schema.insert("examples".to_owned(), serde_json::json!([8, "25%"]));
        schema
    }
}
