//! Ids of Azure Resource Manager.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// An ID such as `/subscriptions/…/resourceGroups/…/providers/…/name`.
///
/// Azure may return IDs in another letter case than in the request, so two IDs are compared
/// without regard to case. The text is shared: a plan holds an ID in the key of its object
/// and in everything that refers to it.
#[derive(Clone)]
pub struct ArmId {
    /// The ID as it was written and, of the same length behind it, in small letters: IDs
    /// are looked up far more often than they are made.
    texts: Arc<str>,
}

impl fmt::Debug for ArmId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("ArmId").field(&self.as_str()).finish()
    }
}

impl Serialize for ArmId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ArmId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

impl ArmId {
    /// Wraps an id as a service wrote it.
    pub fn new(id: impl Into<String>) -> Self {
        let mut texts = id.into();
        let small = texts.to_ascii_lowercase();
        texts.push_str(&small);
        Self { texts: texts.into() }
    }

    /// The id of a resource group.
    pub fn resource_group(subscription: &str, group: &str) -> Self {
        Self::new(format!("/subscriptions/{subscription}/resourceGroups/{group}"))
    }

    /// The id of an object of a provider below this resource group.
    pub fn in_group(&self, provider_type: &str, name: &str) -> Self {
        Self::new(format!("{}/providers/{provider_type}/{name}", self.as_str()))
    }

    /// The id of a child, such as a VNet's subnet.
    pub fn child(&self, child_type: &str, name: &str) -> Self {
        Self::new(format!("{}/{child_type}/{name}", self.as_str()))
    }

    /// The id as it was written.
    pub fn as_str(&self) -> &str {
        &self.texts[..self.texts.len() / 2]
    }

    fn in_small_letters(&self) -> &str {
        &self.texts[self.texts.len() / 2..]
    }

    /// The last segment: the object's name.
    pub fn name(&self) -> &str {
        self.as_str().rsplit('/').next().unwrap_or_default()
    }

    /// The segment behind the given one, in any letter case.
    pub fn segment(&self, key: &str) -> Option<&str> {
        let mut segments = self.as_str().split('/');
        segments.find(|segment| segment.eq_ignore_ascii_case(key))?;
        segments.next()
    }

    /// The resource group that the object is in.
    pub fn resource_group_name(&self) -> Option<&str> {
        self.segment("resourceGroups")
    }

    /// The subscription that the object is in.
    pub fn subscription(&self) -> Option<&str> {
        self.segment("subscriptions")
    }

    /// The id of the resource group that the object is in, or of the group itself.
    pub fn group(&self) -> Option<Self> {
        Some(Self::resource_group(self.subscription()?, self.resource_group_name()?))
    }

    /// The id of the object that holds this one, for a child such as a subnet.
    pub fn parent(&self) -> Option<Self> {
        let (front, _name) = self.as_str().rsplit_once('/')?;
        let (front, _type) = front.rsplit_once('/')?;
        Some(Self::new(front))
    }

    /// The type, as in `Microsoft.Network/virtualNetworks/subnets`.
    pub fn resource_type(&self) -> Option<String> {
        let at = self.in_small_letters().rfind("/providers/")?;
        let mut segments = self.as_str()[at + "/providers/".len()..].split('/');
        let mut resource_type = segments.next()?.to_owned();
        for (index, segment) in segments.enumerate() {
            if index % 2 == 0 {
                resource_type.push('/');
                resource_type.push_str(segment);
            }
        }
        Some(resource_type)
    }

    /// Whether the object stands below the other one, at any depth.
    pub fn is_inside(&self, other: &Self) -> bool {
        let behind = self.in_small_letters().strip_prefix(other.in_small_letters());
        behind.is_some_and(|behind| behind.starts_with('/'))
    }
}

impl fmt::Display for ArmId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl PartialEq for ArmId {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.texts, &other.texts)
            || self.in_small_letters() == other.in_small_letters()
    }
}

impl Eq for ArmId {}

impl PartialOrd for ArmId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ArmId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.in_small_letters().cmp(other.in_small_letters())
    }
}

impl Hash for ArmId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.in_small_letters().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_compared_without_regard_to_case() {
        let requested =
            ArmId::resource_group("s", "Group").in_group("Microsoft.Network/routeTables", "t");
        let answered = ArmId::new(
            "/subscriptions/s/resourcegroups/group/providers/microsoft.network/routetables/T",
        );
        assert_eq!(requested, answered);
        assert_eq!(requested.cmp(&answered), Ordering::Equal);
    }

    #[test]
    fn ids_are_ordered_and_hashed_as_in_small_letters() {
        use std::hash::DefaultHasher;
        let hash = |id: &ArmId| {
            let mut hasher = DefaultHasher::new();
            id.hash(&mut hasher);
            hasher.finish()
        };
        let long = "/subscriptions/s/resourceGroups/a-group-with-a-long-name/providers";
        let texts = ["", "/", "/A", "/a", "/B", "/b/c", "/B/C", "/b/c/d", long];
        let texts = texts.iter().flat_map(|text| {
            [(*text).to_owned(), text.to_uppercase(), format!("{text}/x"), format!("{text}/Y")]
        });
        let ids: Vec<ArmId> = texts.map(ArmId::new).collect();
        for one in &ids {
            for other in &ids {
                let small = |id: &ArmId| id.as_str().to_ascii_lowercase();
                assert_eq!(one.cmp(other), small(one).cmp(&small(other)), "{one} and {other}");
                assert_eq!(one == other, hash(one) == hash(other), "{one} and {other}");
                let inside = small(one).starts_with(&format!("{}/", small(other)));
                assert_eq!(one.is_inside(other), inside, "{one} in {other}");
            }
        }
    }

    #[test]
    fn the_parts_of_an_id_are_parsed() {
        let subnet = ArmId::resource_group("s", "g")
            .in_group("Microsoft.Network/virtualNetworks", "v")
            .child("subnets", "n");
        assert_eq!(subnet.name(), "n");
        assert_eq!(subnet.resource_group_name(), Some("g"));
        assert_eq!(subnet.parent().map(|id| id.name().to_owned()), Some("v".to_owned()));
        assert_eq!(
            subnet.resource_type().as_deref(),
            Some("Microsoft.Network/virtualNetworks/subnets")
        );
    }
}
