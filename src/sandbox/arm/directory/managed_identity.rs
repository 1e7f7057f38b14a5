//! Tokens of managed identities: the metadata service of VMs, and the endpoint of App Service.

use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Value, json};

use super::{Directory, DirectoryIdentity};
use crate::sandbox::arm::request::ArmRequest;
use crate::sandbox::arm::{ArmContext, credentials, responses};

/// The value of `IDENTITY_HEADER` in the sandbox.
pub(in crate::sandbox::arm) const IDENTITY_HEADER: &str = "sandbox";

/// The endpoint that was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::sandbox::arm) enum IdentityEndpoint {
    /// The instance metadata service of a VM.
    Imds,
    /// The endpoint of App Service.
    AppService,
}

/// Issues a token, or refuses it in the format of the endpoint.
pub(in crate::sandbox::arm) fn token(
    directory: &mut Directory,
    endpoint: IdentityEndpoint,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> Response<Bytes> {
    let header = |name: &str| call.headers.get(name).and_then(|value| value.to_str().ok());
    let refused = match endpoint {
        IdentityEndpoint::Imds if !header("metadata").is_some_and(is_true) => {
            Some((StatusCode::BAD_REQUEST, "Required metadata header not specified"))
        }
        IdentityEndpoint::AppService if header("x-identity-header") != Some(IDENTITY_HEADER) => {
            Some((StatusCode::UNAUTHORIZED, "The identity header is wrong"))
        }
        _ if call.api_version.is_empty() => {
            Some((StatusCode::BAD_REQUEST, "Required query variable 'api-version' is missing"))
        }
        _ => None,
    };
    if let Some((status, message)) = refused {
        return refusal(status, message);
    }
    let audience = call.parameter("resource").unwrap_or_default();
    let id = call.parameter("client_id").or_else(|| call.parameter("clientid"));
    let found = match chosen(directory, id.as_deref()) {
        Ok((name, client)) if credentials::is_known(&audience, context.base_url) => (name, client),
        Ok(_) => return refusal(StatusCode::BAD_REQUEST, "The resource is not known"),
        Err(message) => return refusal(StatusCode::BAD_REQUEST, message),
    };
    let (name, client) = found;
    let granted = directory.issue(&name, &audience, context.now, context.guid);
    // The metadata service writes numbers as strings.
    let mut body = json!({
        "access_token": granted.token,
        "client_id": client,
        "expires_on": granted.expires.as_second().to_string(),
        "resource": audience,
        "token_type": "Bearer",
    });
    if endpoint == IdentityEndpoint::Imds {
        let seconds = granted.seconds.to_string();
        body["expires_in"] = Value::from(seconds.clone());
        body["ext_expires_in"] = Value::from(seconds);
        body["not_before"] = Value::from(context.now.as_second().to_string());
    }
    responses::json(StatusCode::OK, &body)
}

fn is_true(text: &str) -> bool {
    text.eq_ignore_ascii_case("true")
}

/// The name and the client ID of the managed identity that is asked for.
fn chosen(directory: &Directory, id: Option<&str>) -> Result<(String, String), &'static str> {
    const NOT_FOUND: &str = "Identity not found";
    if directory.is_open() {
        return Ok((String::new(), id.unwrap_or_default().to_owned()));
    }
    let usable = |identity: &&DirectoryIdentity| identity.managed && !identity.disabled;
    if let Some(id) = id {
        let found = directory.find(id).filter(|(_, identity)| usable(identity));
        let (name, identity) = found.ok_or(NOT_FOUND)?;
        return Ok((name.to_owned(), identity.client_id.clone()));
    }
    let mut all = directory.identities.iter().filter(|(_, identity)| usable(identity));
    match (all.next(), all.next()) {
        (Some((name, identity)), None) => Ok((name.clone(), identity.client_id.clone())),
        (None, _) => Err(NOT_FOUND),
        (Some(_), Some(_)) => Err("Multiple user assigned identities exist, please specify the \
                                   clientId / resourceId of the identity in the token request"),
    }
}

fn refusal(status: StatusCode, message: &str) -> Response<Bytes> {
    let body = json!({ "error": "invalid_request", "error_description": message });
    responses::json(status, &body)
}
