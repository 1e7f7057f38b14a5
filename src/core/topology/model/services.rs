//! Azure and the tailnet.

use super::AzureCloud;
use crate::topology::names::{Location, SubscriptionId, TailnetTag};

/// The Azure subscription and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Azure {
    /// The subscription; `None` if `AZURE_SUBSCRIPTION_ID` sets it.
    pub subscription: Option<SubscriptionId>,
    /// The region of all resources of the cluster site.
    pub location: Location,
    /// The cloud; `None` if `AZURE_AUTHORITY_HOST` says it, or nothing does.
    pub cloud: Option<AzureCloud>,
    /// Endpoints in place of those of the cloud.
    pub endpoints: EndpointOverrides,
}

/// Endpoints in place of those of a cloud.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointOverrides {
    /// The URL of Azure Resource Manager, without a trailing slash.
    pub resource_manager: Option<String>,
    /// The URL of Microsoft Entra ID, without a trailing slash.
    pub authority: Option<String>,
    /// The audience of tokens for Azure Resource Manager, as written.
    pub audience: Option<String>,
}

/// The tailnet and the tag of the routers in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tailnet {
    /// The name; `-` is the tailnet of the credential.
    pub name: String,
    /// The URL of the API, without `/api/v2` and a trailing slash, if it is not Tailscale's.
    pub api: Option<String>,
    /// The tag of devices that the topology owns.
    pub tag: TailnetTag,
}
