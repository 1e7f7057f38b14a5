//! A body on its way from a request into the store.

use serde_json::Value;

use super::ArmStore;
use super::kind::ArmKind;
use crate::resource::ArmId;

/// A body that is being prepared for the store.
pub(super) struct Draft<'a> {
    pub(super) store: &'a ArmStore,
    pub(super) kind: ArmKind,
    pub(super) id: &'a ArmId,
    /// The stored body, if the object exists.
    pub(super) old: Option<&'a Value>,
    pub(super) api_version: &'a str,
    /// The child that the request writes, if it does not write the whole object.
    pub(super) child: Option<&'a ArmId>,
}
