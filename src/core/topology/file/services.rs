//! The tables of Azure and the tailnet.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::topology::located::Located;
use crate::topology::model::AzureCloud;

/// The Azure subscription and region.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureSection {
    /// The subscription ID (a GUID). The default is `AZURE_SUBSCRIPTION_ID`.
    pub subscription: Option<Located<String>>,
    /// The region, such as `canadacentral`.
    pub location: Located<String>,
    /// The cloud. The default is the one whose sign-in service `AZURE_AUTHORITY_HOST`
    /// names, otherwise `public`.
    pub cloud: Option<AzureCloud>,
    /// Endpoints in place of those of the cloud, for a private cloud or a gateway.
    #[serde(default)]
    pub endpoints: AzureEndpointsSection,
}

/// Endpoints in place of those of the cloud, for a private cloud or a gateway.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureEndpointsSection {
    /// The URL of Azure Resource Manager. The default is that of the cloud, such as
    /// `https://management.azure.com`.
    pub resource_manager: Option<Located<String>>,
    /// The URL of the sign-in service, Microsoft Entra ID. The default is
    /// `AZURE_AUTHORITY_HOST`, otherwise that of the cloud, such as
    /// `https://login.microsoftonline.com`.
    pub authority: Option<Located<String>>,
    /// The audience of tokens for Azure Resource Manager. The default is that of the
    /// cloud, such as `https://management.azure.com`.
    pub audience: Option<Located<String>>,
}

/// The tailnet that connects the sites.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TailnetSection {
    /// The name of the tailnet. The default, `-`, is the tailnet of the credential.
    #[schemars(extend("default" = "-"))]
    pub name: Option<Located<String>>,
    /// The URL of the API, for another control server than Tailscale's. The default is
    /// `TAILSCALE_BASE_URL`, otherwise `https://api.tailscale.com`.
    pub api: Option<Located<String>>,
    /// The tag of the router devices, unique to this topology. The default is
    /// `tag:stargate-<name>`. The tailnet policy must define an owner for the tag.
    pub tag: Option<Located<String>>,
}
