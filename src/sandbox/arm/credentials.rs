//! Authentication: bearer tokens, and a stub of the service that issues them.

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Response, StatusCode};
use serde_json::json;

use super::errors::ArmError;
use super::responses;

/// A bearer token with this value is refused.
pub(super) const REFUSED_TOKEN: &str = "refused";

/// The lifetime reported for a token, in seconds.
const LIFETIME_SECONDS: u32 = 3599;

/// Accepts any request with a bearer token other than the refused one.
pub(super) fn check(headers: &HeaderMap) -> Result<(), ArmError> {
    let authorization = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = authorization.and_then(|authorization| {
        let (scheme, token) = authorization.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let challenge = "Bearer authorization_uri=\"https://login.microsoftonline.com/common\", \
                     error=\"invalid_token\"";
    match token {
        None | Some("") => Err(ArmError::new(
            StatusCode::UNAUTHORIZED,
            "AuthenticationFailed",
            "Authentication failed. The 'Authorization' header is missing.",
        )
        .header("www-authenticate", challenge)),
        Some(REFUSED_TOKEN) => Err(ArmError::new(
            StatusCode::UNAUTHORIZED,
            "InvalidAuthenticationToken",
            "The access token is invalid.",
        )
        .header("www-authenticate", challenge)),
        Some(_) => Ok(()),
    }
}

/// Issues a token without checking credentials.
pub(super) fn token(guid: &mut dyn FnMut() -> String) -> Response<Bytes> {
    let body = json!({
        "token_type": "Bearer",
        "expires_in": LIFETIME_SECONDS,
        "ext_expires_in": LIFETIME_SECONDS,
        "access_token": format!("sandbox-{}", guid()),
    });
    responses::json(StatusCode::OK, &body)
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
