//! Types of Azure Resource Manager, and the version in which each is spoken.

/// `Microsoft.Network`, as the generated models have it.
pub const NETWORK: &str = "2024-03-01";
/// `Microsoft.Compute`, as the generated models have it.
pub const COMPUTE: &str = "2024-07-01";
/// `Microsoft.ContainerService`.
pub const CONTAINER_SERVICE: &str = "2025-05-01";
/// Resource groups and everything of ARM itself.
pub const RESOURCES: &str = "2021-04-01";

/// A type of Azure Resource Manager.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ArmType {
    /// Namespace and type, as in `Microsoft.Network/routeTables`.
    pub name: &'static str,
    /// The noun for an object of the type in messages.
    pub noun: &'static str,
    /// The `api-version` of requests.
    pub api_version: &'static str,
    /// Whether a list over the subscription returns its objects. Others are read with their
    /// containers.
    pub is_listed: bool,
}

impl ArmType {
    /// A type with a list of its own.
    pub const fn listed(name: &'static str, noun: &'static str, api_version: &'static str) -> Self {
        Self { name, noun, api_version, is_listed: true }
    }

    /// A type whose objects are read with their container.
    pub const fn part(name: &'static str, noun: &'static str, api_version: &'static str) -> Self {
        Self { name, noun, api_version, is_listed: false }
    }

    /// The resource provider, as in `Microsoft.Network`.
    pub fn provider(&self) -> &'static str {
        self.name.split('/').next().unwrap_or_default()
    }
}
