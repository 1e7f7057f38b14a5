//! Why an object of Azure cannot be decoded or encoded.

use crate::resource::Address;

/// An object that a service answered cannot be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the {what} has an unexpected {field}: {reason}")]
pub struct DecodeError {
    /// The kind of object, in words.
    pub what: &'static str,
    /// Where in its JSON.
    pub field: String,
    /// The error there.
    pub reason: String,
}

/// A value was to be sent before it was known.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} is known only after {after} exists")]
pub struct EncodeError {
    /// The field.
    pub field: &'static str,
    /// The resource that brings the value.
    pub after: Address,
}
