//! Authentication: bearer tokens, and what describes the services that issue them.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::directory::TokenRefusal;
use super::errors::ArmError;
use super::request::ArmRequest;
use super::subscriptions::TENANT;
use super::{ArmContext, ArmStore, responses};

/// A bearer token with this value is refused.
pub(super) const REFUSED_TOKEN: &str = "refused";
/// The token that the sandbox hands out; it is accepted whatever identities there are.
pub(super) const SERVED_TOKEN: &str = "sandbox";

/// The audiences of tokens for Azure Resource Manager in the three clouds.
const ARM_AUDIENCES: [&str; 5] = [
    "https://management.azure.com",
    "https://management.core.windows.net",
    "https://management.usgovcloudapi.net",
    "https://management.core.usgovcloudapi.net",
    "https://management.chinacloudapi.cn",
];
/// The audience of tokens for Microsoft Graph.
const GRAPH: &str = "https://graph.microsoft.com";
/// The audience of tokens for the API servers of AKS.
pub(super) const AKS_SERVER: &str = "6dae42f8-4368-4678-94ff-3960e28e3630";

/// The audiences of tokens for key vaults, in the three clouds.
const VAULTS: [&str; 3] =
    ["https://vault.azure.net", "https://vault.usgovcloudapi.net", "https://vault.azure.cn"];

/// Whether the tenant knows a service by an audience. `base` is the URL of this service.
pub(super) fn is_known(audience: &str, base: &str) -> bool {
    let name = audience.trim_end_matches('/');
    is_of_arm(audience, base) || [GRAPH, AKS_SERVER].contains(&name) || VAULTS.contains(&name)
}

/// The resource manager of a private cloud is an audience by its own URL, too.
fn is_of_arm(audience: &str, base: &str) -> bool {
    let audience = audience.trim_end_matches('/');
    ARM_AUDIENCES.contains(&audience) || audience == base
}

/// Checks the bearer token of a request.
pub(super) fn check(
    store: &ArmStore,
    call: &ArmRequest<'_>,
    context: &ArmContext<'_>,
) -> Result<(), ArmError> {
    let authorization = call.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|authorization| {
        let (scheme, token) = authorization.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let token = match token {
        None | Some("") => {
            return Err(refusal(
                "AuthenticationFailed",
                "Authentication failed. The 'Authorization' header is missing.",
            ));
        }
        Some(SERVED_TOKEN) => return Ok(()),
        Some(REFUSED_TOKEN) => {
            return Err(refusal("InvalidAuthenticationToken", "The access token is invalid."));
        }
        Some(token) => token,
    };
    let accepts = |audience: &str| is_of_arm(audience, context.base_url);
    store.directory.check(token, accepts, context.now).map_err(|why| match why {
        TokenRefusal::Invalid => {
            refusal("InvalidAuthenticationToken", "The access token is invalid.")
        }
        TokenRefusal::Expired(end) => refusal(
            "ExpiredAuthenticationToken",
            format!(
                "The access token expiry UTC time '{end}' is earlier than current UTC time '{}'.",
                context.now
            ),
        ),
        TokenRefusal::Audience(audience) => refusal(
            "InvalidAuthenticationTokenAudience",
            format!(
                "The access token has been obtained for wrong audience or resource '{audience}'. \
                 It should exactly match with one of the allowed audiences \
                 'https://management.core.windows.net/','https://management.azure.com/'."
            ),
        ),
    })
}

fn refusal(code: &'static str, message: impl Into<String>) -> ArmError {
    let challenge = "Bearer authorization_uri=\"https://login.microsoftonline.com/common\", \
                     error=\"invalid_token\"";
    ArmError::new(StatusCode::UNAUTHORIZED, code, message).header("www-authenticate", challenge)
}

/// The OpenID configuration, which names the token endpoint.
pub(super) fn configuration(base: &str, tenant: &str) -> Response<Bytes> {
    let body = json!({
        "issuer": format!("{base}/{tenant}/v2.0"),
        "authorization_endpoint": format!("{base}/{tenant}/oauth2/v2.0/authorize"),
        "token_endpoint": format!("{base}/{tenant}/oauth2/v2.0/token"),
        "jwks_uri": format!("{base}/{tenant}/discovery/v2.0/keys"),
        "response_types_supported": ["code", "id_token", "token"],
        "subject_types_supported": ["pairwise"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt"],
        "tenant_region_scope": "EU",
        "cloud_instance_name": "microsoftonline.com",
    });
    responses::json(StatusCode::OK, &body)
}

/// The endpoints of the cloud, which `az cloud register` and Terraform ask for. Versions
/// before 2018 have an object of their own, those before 2022 a list of clouds.
pub(super) fn cloud(base: &str, version: &str) -> Response<Bytes> {
    let authentication = json!({
        "loginEndpoint": base,
        "audiences": ["https://management.core.windows.net/", "https://management.azure.com/"],
        "tenant": TENANT,
        "identityProvider": "AAD",
    });
    let body = if version < "2018" {
        json!({
            "galleryEndpoint": base,
            "graphEndpoint": base,
            "portalEndpoint": base,
            "authentication": authentication,
        })
    } else {
        let cloud = json!({
            "name": "Sandbox",
            "portal": base,
            "authentication": authentication,
            "graph": base,
            "microsoftGraphResourceId": base,
            "resourceManager": base,
            "gallery": base,
            "suffixes": {},
        });
        if version < "2022" { Value::Array(vec![cloud]) } else { cloud }
    };
    responses::json(StatusCode::OK, &body)
}
