//! The endpoints of Azure's clouds.

use crate::net::service_url;
use crate::provider::credentials::Lookup;
use crate::provider::error::RequestError;
use crate::provider::http::Api;
use crate::resource::settings::AzureCloud;

/// Names the sign-in service; set by AKS workload identity and read by Azure's own clients.
const AUTHORITY_VARIABLE: &str = "AZURE_AUTHORITY_HOST";

/// Where requests of Azure Resource Manager go, and where their tokens come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureEndpoints {
    /// The URL of Azure Resource Manager, without a trailing slash.
    pub resource_manager: String,
    /// The URL of Microsoft Entra ID, without a trailing slash.
    pub authority: String,
    /// The audience of tokens: that of Azure Resource Manager, or of another service.
    pub audience: String,
    /// The audience that Microsoft Entra ID expects of a token of another issuer.
    pub exchange_audience: &'static str,
}

/// Endpoints that replace those of the cloud.
#[derive(Debug, Clone, Copy, Default)]
pub struct CustomEndpoints<'a> {
    /// The URL of Azure Resource Manager.
    pub resource_manager: Option<&'a str>,
    /// The URL of Microsoft Entra ID.
    pub authority: Option<&'a str>,
    /// The audience of tokens for Azure Resource Manager.
    pub audience: Option<&'a str>,
}

impl AzureEndpoints {
    /// The endpoints of a cloud.
    ///
    /// They are those of `sdk/azcore/cloud/cloud.go` and `sdk/azcore/arm/runtime` of Azure's
    /// SDK for Go, and of `GET /metadata/endpoints` of each cloud. The audiences of tokens of
    /// other issuers are those of *Workload identity federation* in the documentation of
    /// Microsoft Entra. The names of API servers (`azmk8s.io`,
    /// `cx.aks.containerservice.azure.us`, `cx.prod.service.azk8s.cn`) are never composed:
    /// each cluster says its own.
    pub fn of_cloud(cloud: AzureCloud) -> Self {
        let (resource_manager, authority, exchange_audience) = match cloud {
            AzureCloud::Public => (
                "https://management.azure.com",
                "https://login.microsoftonline.com",
                "api://AzureADTokenExchange",
            ),
            AzureCloud::UsGovernment => (
                "https://management.usgovcloudapi.net",
                "https://login.microsoftonline.us",
                "api://AzureADTokenExchangeUSGov",
            ),
            AzureCloud::China => (
                "https://management.chinacloudapi.cn",
                "https://login.chinacloudapi.cn",
                "api://AzureADTokenExchangeChina",
            ),
        };
        Self {
            resource_manager: resource_manager.to_owned(),
            authority: authority.to_owned(),
            audience: resource_manager.to_owned(),
            exchange_audience,
        }
    }

    /// The endpoints of the cloud that is given, else of the one whose sign-in service the
    /// environment names, else of the public one; each replaced where another is given.
    ///
    /// # Errors
    ///
    /// The variable of the environment is not the URL of a service.
    pub fn resolve(
        cloud: Option<AzureCloud>,
        custom: CustomEndpoints<'_>,
        lookup: Lookup<'_>,
    ) -> Result<Self, RequestError> {
        let named = lookup(AUTHORITY_VARIABLE).filter(|value| !value.is_empty());
        let named = match named.filter(|_| custom.authority.is_none()) {
            Some(text) => Some(service_url::parse(&text).map_err(|error| invalid(&text, error))?),
            None => None,
        };
        let cloud = cloud.or_else(|| cloud_of_authority(named.as_deref()?));
        let mut endpoints = Self::of_cloud(cloud.unwrap_or(AzureCloud::Public));
        let replace = |value: &mut String, by: Option<&str>| {
            if let Some(by) = by {
                by.clone_into(value);
            }
        };
        replace(&mut endpoints.resource_manager, custom.resource_manager);
        replace(&mut endpoints.authority, custom.authority.or(named.as_deref()));
        replace(&mut endpoints.audience, custom.audience);
        Ok(endpoints)
    }

    /// The scope that stands for all permissions of an identity on the service of the audience.
    pub fn scope(&self) -> String {
        format!("{}/.default", self.audience)
    }
}

fn cloud_of_authority(authority: &str) -> Option<AzureCloud> {
    let all = [AzureCloud::Public, AzureCloud::UsGovernment, AzureCloud::China];
    all.into_iter().find(|cloud| AzureEndpoints::of_cloud(*cloud).authority == authority)
}

fn invalid(text: &str, error: service_url::ServiceUrlError) -> RequestError {
    RequestError::Credentials {
        api: Api::Azure,
        reason: format!("{AUTHORITY_VARIABLE} is `{text}`: {error}"),
        refused: false,
        remedy: format!(
            "set {AUTHORITY_VARIABLE} to a URL such as `https://login.microsoftonline.com`, or \
             unset it"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(
        cloud: Option<AzureCloud>,
        custom: CustomEndpoints<'_>,
        authority: &str,
    ) -> Result<AzureEndpoints, RequestError> {
        let lookup = |name: &str| (name == AUTHORITY_VARIABLE).then(|| authority.to_owned());
        AzureEndpoints::resolve(cloud, custom, &lookup)
    }

    #[test]
    fn the_cloud_of_the_topology_comes_before_that_of_the_environment() {
        let none = CustomEndpoints::default();
        let found = resolve(None, none, "").unwrap();
        assert_eq!(found, AzureEndpoints::of_cloud(AzureCloud::Public));
        assert_eq!(found.scope(), "https://management.azure.com/.default");
        let found = resolve(None, none, "https://login.microsoftonline.us/").unwrap();
        assert_eq!(found, AzureEndpoints::of_cloud(AzureCloud::UsGovernment));
        let found = resolve(Some(AzureCloud::China), none, "https://login.example").unwrap();
        assert_eq!(found.resource_manager, "https://management.chinacloudapi.cn");
        assert_eq!(found.authority, "https://login.example");
    }

    #[test]
    fn custom_endpoints_come_first() {
        let custom = CustomEndpoints {
            resource_manager: Some("https://management.example"),
            authority: Some("https://login.example"),
            audience: Some("https://audience.example/"),
        };
        let found = resolve(Some(AzureCloud::UsGovernment), custom, "no URL").unwrap();
        assert_eq!(found.resource_manager, "https://management.example");
        assert_eq!(found.authority, "https://login.example");
        // The sign-in service compares audiences as text, so the slash stays.
        assert_eq!(found.scope(), "https://audience.example//.default");
        assert_eq!(found.exchange_audience, "api://AzureADTokenExchangeUSGov");
    }

    #[test]
    fn credentials_are_not_sent_in_clear_text() {
        let error = resolve(None, CustomEndpoints::default(), "http://login.example").unwrap_err();
        assert!(error.to_string().contains("AZURE_AUTHORITY_HOST"), "{error}");
    }
}
