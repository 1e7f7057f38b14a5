//! Our mark on Azure objects.

use serde_json::{Map, Value};

use super::DecodeError;
use super::fields::id;
use crate::resource::ownership::{
    MANAGED_BY, MANAGED_BY_TAG, POOL_TAG, SITE_TAG, SiteName, TOPOLOGY_TAG,
};
use crate::resource::protection::{PROTECT_TAG, record};
use crate::resource::{Kind, Owner, Ownership, Site};

/// What an object is marked with.
#[derive(Debug, Clone, Copy)]
pub struct Marks<'a> {
    /// The topology.
    pub owner: &'a Owner,
    /// The site of the network.
    pub site: &'a Site,
}

impl Marks<'_> {
    /// The mark as tags.
    pub fn tags(&self) -> Value {
        let tags = [
            (MANAGED_BY_TAG, MANAGED_BY.to_owned()),
            (TOPOLOGY_TAG, self.owner.topology.to_string()),
            (SITE_TAG, self.site.to_string()),
        ];
        let tags = tags.map(|(name, value)| (name.to_owned(), Value::from(value)));
        Value::Object(Map::from_iter(tags))
    }
}

/// Whose an object is, by its tags. One without a site is the cluster's. A node pool
/// of ours also names its key: others may copy the tags of the cluster to their pools.
pub fn ownership(body: &Value, owner: &Owner) -> Ownership {
    let is_managed = tag(body, MANAGED_BY_TAG) == Some(MANAGED_BY);
    let resource_type = id(body).and_then(|id| id.resource_type());
    let is_pool = resource_type.and_then(|name| Kind::of_arm_type(&name)) == Some(Kind::NodePool);
    let lacks_key = is_pool && tag(body, POOL_TAG).is_none_or(str::is_empty);
    if !is_managed || lacks_key {
        return Ownership::Foreign;
    }
    let site = tag(body, SITE_TAG).map_or(Site::Cluster, Site::from);
    owner.ownership(tag(body, TOPOLOGY_TAG), SiteName::from(&site))
}

/// The record of protection on an object.
///
/// # Errors
///
/// The tag is not a text: whether the object is protected is unknown.
pub fn protected_by(body: &Value) -> Result<Option<String>, DecodeError> {
    match tag_value(body, PROTECT_TAG) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(record(text)),
        Some(_) => Err(DecodeError {
            what: "object",
            field: format!("tags.{PROTECT_TAG}"),
            reason: "it is not a text".to_owned(),
        }),
    }
}

/// A tag's value. Azure does not tell names of tags apart by their case. A node pool
/// has its tags among its properties.
pub(super) fn tag<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    tag_value(body, name)?.as_str()
}

fn tag_value<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    let tags = body.get("tags").or_else(|| body.pointer("/properties/tags"))?.as_object()?;
    let (_, value) = tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value)
}
