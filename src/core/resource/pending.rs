//! Values that are not known: not yet, or not from here.

use serde::{Deserialize, Serialize};

use super::Address;

/// A desired value that may have to wait for another resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Pending<T> {
    /// Known only once that resource exists.
    After(After),
    /// Known now.
    Known(T),
}

/// The resource and the fact that a pending value waits for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct After {
    /// The resource whose creation yields the value.
    #[serde(rename = "$after")]
    pub address: Address,
}

impl<T> Pending<T> {
    /// A value that waits for that resource.
    pub fn after(address: Address) -> Self {
        Self::After(After { address })
    }

    /// The value, where it is known.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::After(_) => None,
        }
    }

    /// The resource that the value waits for, where it is not known.
    pub fn awaited(&self) -> Option<Address> {
        match self {
            Self::Known(_) => None,
            Self::After(After { address }) => Some(address.clone()),
        }
    }

    /// Applies a function to a known value.
    pub fn map<U>(self, function: impl FnOnce(T) -> U) -> Pending<U> {
        match self {
            Self::Known(value) => Pending::Known(function(value)),
            Self::After(after) => Pending::After(after),
        }
    }
}

/// An observed value that takes a read of its own, over SSH to a host.
///
/// `Unobserved` is equal to nothing and differs from nothing: the diff leaves
/// the field out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Observable<T> {
    /// The field was not read.
    Unobserved(Unobserved),
    /// The observed or the desired value.
    Observed(T),
}

/// The marker of a field that was not read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unobserved {
    /// Always true; it makes the marker an object in JSON.
    #[serde(rename = "$unobserved")]
    pub unobserved: bool,
}

impl<T> Observable<T> {
    /// A field that was not read.
    pub fn unobserved() -> Self {
        Self::Unobserved(Unobserved { unobserved: true })
    }

    /// The observed value, if the field was read.
    pub fn observed(&self) -> Option<&T> {
        match self {
            Self::Observed(value) => Some(value),
            Self::Unobserved(_) => None,
        }
    }
}
