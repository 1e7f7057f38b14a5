//! Updates of tags: the tags resource of an object, which leaves everything else of the
//! object as it is.

use std::collections::BTreeMap;

use http::Method;
use serde_json::json;

use super::api_version;
use super::client::ArmClient;
use super::operation::PollInterval;
use crate::provider::error::RequestError;
use crate::provider::http_client::{ApiCall, RetryClass};
use crate::resource::ArmId;

/// An update of some tags of an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TagUpdate {
    /// Sets these tags, and leaves all others (operation `Merge`).
    Set(BTreeMap<String, String>),
    /// Removes these tags (operation `Delete`): their names, and the values that they
    /// have.
    Remove(BTreeMap<String, String>),
}

impl ArmClient {
    /// Updates tags of an object by a PATCH of its tags resource (ARM, *Tags - Update At
    /// Scope*). It needs the permission `Microsoft.Resources/tags/write`, and none on the
    /// object.
    pub async fn update_tags(&self, id: &ArmId, update: &TagUpdate) -> Result<(), RequestError> {
        let activity = format!("PATCH tags of {}", api_version::describe(id));
        let (operation, tags) = match update {
            TagUpdate::Set(tags) => ("Merge", tags),
            TagUpdate::Remove(tags) => ("Delete", tags),
        };
        let body = json!({ "operation": operation, "properties": { "tags": tags } });
        let url = self.tags_url(id, &activity)?;
        // Twice the same update is the same as once.
        let call = ApiCall::new(Method::PATCH, url, &activity).json(&body);
        let call = call.repeat(RetryClass::Idempotent);
        let response = self.successful(self.call(call).await?, &activity)?;
        self.follow(&response, &activity, &mut PollInterval::new()).await.map(drop)
    }
}
