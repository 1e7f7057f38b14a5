//! Our mark on Azure objects.

use serde_json::{Map, Value};

use super::DecodeError;
use super::fields::id;
use crate::resource::ownership::{
    MANAGED_BY, MANAGED_BY_TAG, POOL_TAG, RESOURCE_TAG, SITE_TAG, SiteName, TOPOLOGY_TAG,
};
use crate::resource::protection::{PROTECT_TAG, record};
use crate::resource::{ArmId, Kind, Owner, Ownership, Site};

/// The marks of an object.
#[derive(Debug, Clone, Copy)]
pub struct Marks<'a> {
    /// The topology.
    pub owner: &'a Owner,
    /// The site of the network.
    pub site: &'a Site,
    /// The object itself.
    pub object: &'a ArmId,
}

impl Marks<'_> {
    /// The mark as tags.
    pub fn tags(&self) -> Value {
        let mut tags = self.tags_of_pool();
        if let Some(resource) = resource_named(self.object) {
            tags[RESOURCE_TAG] = resource.into();
        }
        tags
    }

    /// The mark of a node pool, without its key.
    pub(super) fn tags_of_pool(&self) -> Value {
        let tags = [
            (MANAGED_BY_TAG, MANAGED_BY.to_owned()),
            (TOPOLOGY_TAG, self.owner.topology.to_string()),
            (SITE_TAG, self.site.to_string()),
        ];
        let tags = tags.map(|(name, value)| (name.to_owned(), Value::from(value)));
        Value::Object(Map::from_iter(tags))
    }
}

/// The owner of an object, by its tags. An object without a site belongs to the cluster.
///
/// Tags are copied: AKS copies those of a cluster to the virtual network, the public IP and
/// the other objects that it creates for it, and to their resource group (*Use Azure tags
/// in AKS*), and a policy may copy those of a group to all its contents. So an object of
/// ours also names itself, and a node pool of ours its key.
pub fn ownership(body: &Value, owner: &Owner) -> Ownership {
    if tag(body, MANAGED_BY_TAG) != Some(MANAGED_BY) {
        return Ownership::Foreign;
    }
    let site = tag(body, SITE_TAG).map_or(Site::Cluster, Site::from);
    match owner.ownership(tag(body, TOPOLOGY_TAG), SiteName::from(&site)) {
        ownership if ownership.is_ours() && !is_tag_of_object(body) => Ownership::Foreign,
        ownership => ownership,
    }
}

/// The ownership of an object that an earlier version created, before objects named
/// themselves; `None` for every other object. The tags may be a copy, so this holds only at
/// an address that the topology gives to one of its objects.
pub fn ownership_without_name(body: &Value, owner: &Owner) -> Option<Ownership> {
    let is_marked = tag(body, MANAGED_BY_TAG) == Some(MANAGED_BY);
    if !is_marked || tag_value(body, RESOURCE_TAG).is_some() {
        return None;
    }
    // A cluster's node pools name their key instead, and always did.
    if id(body).and_then(|id| kind_of(&id)) == Some(Kind::NodePool) {
        return None;
    }
    let site = SiteName::from(&tag(body, SITE_TAG).map_or(Site::Cluster, Site::from));
    let ownership = owner.ownership(tag(body, TOPOLOGY_TAG), site.clone());
    ownership.is_ours().then_some(Ownership::Former { site })
}

/// Whether the tags were written for this object.
fn is_tag_of_object(body: &Value) -> bool {
    let Some(id) = id(body) else { return false };
    if kind_of(&id) == Some(Kind::NodePool) {
        return tag(body, POOL_TAG).is_some_and(|key| !key.is_empty());
    }
    let named = tag(body, RESOURCE_TAG);
    named.zip(resource_named(&id)).is_some_and(|(named, it)| named.eq_ignore_ascii_case(&it))
}

/// An object as its tag names it, as in `route-table/stargate-workers-rt`.
fn resource_named(id: &ArmId) -> Option<String> {
    Some(format!("{}/{}", kind_of(id)?, id.name()))
}

fn kind_of(id: &ArmId) -> Option<Kind> {
    match id.resource_type() {
        Some(resource_type) => Kind::of_arm_type(&resource_type),
        None => Some(Kind::ResourceGroup),
    }
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

/// A tag's value. The letter case of tag names does not matter in Azure. A node pool has
/// its tags among its properties.
pub(super) fn tag<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    tag_value(body, name)?.as_str()
}

fn tag_value<'a>(body: &'a Value, name: &str) -> Option<&'a Value> {
    let tags = body.get("tags").or_else(|| body.pointer("/properties/tags"))?.as_object()?;
    let (_, value) = tags.iter().find(|(key, _)| key.eq_ignore_ascii_case(name))?;
    Some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::{object, owner};
    use super::*;
    use crate::resource::names::TopologyName;

    #[test]
    fn ownership_is_read_off_the_tags() {
        let owner = owner();
        let ours = |site: &str| Ownership::Ours { site: (&Site::from(site)).into() };
        let mut body = json!({"id": object(), "tags": {"Managed-By": "stargate",
            "stargate-topology": "lab", "stargate-resource": "virtual-network/Stargate-VNet"}});
        assert_eq!(ownership(&body, &owner), ours("cluster"));
        body["tags"]["stargate-site"] = json!("dc1");
        assert_eq!(ownership(&body, &owner), ours("dc1"));
        body["tags"]["stargate-topology"] = json!("other");
        let other = Ownership::OtherTopology { topology: "other".to_owned() };
        assert_eq!(ownership(&body, &owner), other);
        let renamed = Owner { former: Some(TopologyName::new("other")), ..owner.clone() };
        let site = (&Site::from("dc1")).into();
        assert_eq!(ownership(&body, &renamed), Ownership::Former { site });
        assert_eq!(ownership(&json!({}), &owner), Ownership::Foreign);
    }

    /// AKS copies the tags of a cluster to the objects that it creates for it, a policy
    /// those of a group.
    #[test]
    fn copied_tags_make_no_object_ours() {
        let owner = owner();
        let marks = Marks { owner: &owner, site: &Site::Cluster, object: &object() };
        let group = ArmId::resource_group("s", "MC_g");
        for id in [
            group.in_group("Microsoft.Network/virtualNetworks", "aks-vnet-1"),
            group.in_group("Microsoft.Network/routeTables", "stargate-vnet"),
            group.in_group("Microsoft.Compute/virtualMachineScaleSets", "stargate-vnet"),
            group,
        ] {
            let body = json!({"id": id, "tags": marks.tags()});
            assert_eq!(ownership(&body, &owner), Ownership::Foreign, "{id}");
        }
        let body = json!({"id": object(), "tags": marks.tags()});
        assert!(ownership(&body, &owner).is_ours());
    }
}
