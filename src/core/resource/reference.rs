//! References from one object to another.

use super::ArmId;

/// An object that a value points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference<'a> {
    /// Its id.
    pub id: &'a ArmId,
    /// Whether writing the value also writes that object: Azure keeps a back
    /// reference in it, and refuses two such writes at once.
    pub writes_back: bool,
}

impl<'a> Reference<'a> {
    /// A reference of which Azure keeps a back reference.
    pub fn mutual(id: &'a ArmId) -> Self {
        Self { id, writes_back: true }
    }

    /// A reference that Azure can write side by side with others.
    pub fn one_way(id: &'a ArmId) -> Self {
        Self { id, writes_back: false }
    }
}
