//! The API version for each resource type, and the noun for its objects in messages.

use crate::resource::arm_type::RESOURCES;
use crate::resource::{ArmId, ArmType, Kind};

fn arm_types() -> impl Iterator<Item = &'static ArmType> {
    Kind::ALL.iter().filter_map(|kind| kind.arm())
}

/// The version for a type such as `Microsoft.Network/routeTables`. A type that
/// is no kind of resource has the version of its provider.
pub fn of_type(resource_type: &str) -> &'static str {
    let provider = resource_type.split('/').next().unwrap_or_default();
    arm_types()
        .find(|arm| arm.provider().eq_ignore_ascii_case(provider))
        .map_or(RESOURCES, |arm| arm.api_version)
}

/// The version for an object.
pub fn of(id: &ArmId) -> &'static str {
    id.resource_type().map_or(RESOURCES, |resource_type| of_type(&resource_type))
}

/// Between the name of an object and that of its resource group in messages.
const IN_GROUP: &str = " in resource group ";

/// The name of an object in messages, as in `route table stargate-workers-rt in resource
/// group net`: the names of subnets and tables repeat from group to group.
pub fn describe(id: &ArmId) -> String {
    let name = describe_name(id);
    match id.resource_group_name().filter(|_| id.resource_type().is_some()) {
        Some(group) => format!("{name}{IN_GROUP}{group}"),
        None => name,
    }
}

/// The resource group of the object in a text that ends with its description.
pub fn described_group(text: &str) -> Option<&str> {
    text.rsplit_once(IN_GROUP).map(|(_, group)| group)
}

fn describe_name(id: &ArmId) -> String {
    let Some(resource_type) = id.resource_type() else {
        let noun =
            if id.resource_group_name().is_some() { "resource group" } else { "subscription" };
        return format!("{noun} {}", id.name());
    };
    let of_kind = arm_types().find(|arm| arm.name.eq_ignore_ascii_case(&resource_type));
    let resource_type = resource_type.to_ascii_lowercase();
    let noun = match (of_kind, resource_type.rsplit('/').next()) {
        (Some(arm), _) => arm.noun,
        (None, Some("disks")) => "disk",
        (None, Some("agentpools")) => "node pool",
        // The id of a resource provider has a namespace and no type.
        (None, Some(namespace)) if !resource_type.contains('/') && !namespace.is_empty() => {
            "resource provider"
        }
        _ => &resource_type,
    };
    format!("{noun} {}", id.name())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::arm_type::{CONTAINER_SERVICE, NETWORK};

    #[test]
    fn each_provider_speaks_its_own_version() {
        let group = ArmId::resource_group("s", "g");
        assert_eq!(of(&group), RESOURCES);
        assert_eq!(describe(&group), "resource group g");
        let provider = ArmId::new("/subscriptions/s/providers/Microsoft.Network");
        assert_eq!(describe(&provider), "resource provider Microsoft.Network");
        let table = group.in_group("microsoft.network/routetables", "t");
        assert_eq!(of(&table), NETWORK);
        assert_eq!(describe(&table), "route table t in resource group g");
        assert_eq!(described_group(&format!("PUT {}", describe(&table))), Some("g"));
        assert_eq!(described_group(&describe(&group)), None);
        assert_eq!(of_type("Microsoft.ContainerService/managedClusters"), CONTAINER_SERVICE);
    }
}
