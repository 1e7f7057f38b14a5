//! The one place that says which version of each API is spoken.

use crate::resource::ArmId;

/// `Microsoft.Network`, as the generated models have it.
pub const NETWORK: &str = "2024-03-01";
/// `Microsoft.Compute`, as the generated models have it.
pub const COMPUTE: &str = "2024-07-01";
/// `Microsoft.ContainerService`.
pub const CONTAINER_SERVICE: &str = "2025-05-01";
/// Resource groups and everything of ARM itself.
pub const RESOURCES: &str = "2021-04-01";

const BY_PROVIDER: [(&str, &str); 3] = [
    ("microsoft.network/", NETWORK),
    ("microsoft.compute/", COMPUTE),
    ("microsoft.containerservice/", CONTAINER_SERVICE),
];

/// The version for a type such as `Microsoft.Network/routeTables`.
pub fn of_type(resource_type: &str) -> &'static str {
    let folded = resource_type.to_ascii_lowercase();
    BY_PROVIDER
        .iter()
        .find(|(provider, _)| folded.starts_with(provider))
        .map_or(RESOURCES, |(_, version)| version)
}

/// The version for an object.
pub fn of(id: &ArmId) -> &'static str {
    id.resource_type().map_or(RESOURCES, |resource_type| of_type(&resource_type))
}

/// What to call an object in messages, as in `route table stargate-workers-rt`.
pub fn describe(id: &ArmId) -> String {
    let resource_type = id.resource_type().unwrap_or_default().to_ascii_lowercase();
    let noun = match resource_type.rsplit('/').next().unwrap_or_default() {
        "routetables" => "route table",
        "networksecuritygroups" => "network security group",
        "networkinterfaces" => "network interface",
        "publicipaddresses" => "public IP address",
        "natgateways" => "NAT gateway",
        "virtualnetworks" => "virtual network",
        "subnets" => "subnet",
        "virtualmachines" => "virtual machine",
        "disks" => "disk",
        "managedclusters" => "AKS cluster",
        "agentpools" => "node pool",
        "" if id.resource_group_name().is_some() => "resource group",
        "" => "subscription",
        _ => return format!("{resource_type} {}", id.name()),
    };
    format!("{noun} {}", id.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_provider_speaks_its_own_version() {
        let group = ArmId::resource_group("s", "g");
        assert_eq!(of(&group), RESOURCES);
        assert_eq!(describe(&group), "resource group g");
        let table = group.in_group("microsoft.network/routetables", "t");
        assert_eq!(of(&table), NETWORK);
        assert_eq!(describe(&table), "route table t");
        assert_eq!(of_type("Microsoft.ContainerService/managedClusters"), CONTAINER_SERVICE);
    }
}
