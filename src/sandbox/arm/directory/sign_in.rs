//! The token endpoint of Microsoft Entra ID.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::{Response, StatusCode};
use jiff::Timestamp;
use serde_json::json;

use super::assertion::Assertion;
use super::{Directory, DirectoryIdentity};
use crate::sandbox::arm::subscriptions::TENANT;
use crate::sandbox::arm::{ArmContext, credentials, responses};
use crate::sandbox::digest::digest;

/// The domain of the tenant.
const DOMAIN: &str = "sandbox.onmicrosoft.com";
/// The audiences of tokens of other issuers, in the three clouds.
const EXCHANGE_AUDIENCES: [&str; 3] = [
    "api://AzureADTokenExchange",
    "api://AzureADTokenExchangeUSGov",
    "api://AzureADTokenExchangeChina",
];

/// A refusal, as Microsoft Entra ID words it.
struct Refusal {
    status: StatusCode,
    error: &'static str,
    code: u32,
    message: String,
}

fn refuse(status: u16, error: &'static str, code: u32, message: impl Into<String>) -> Refusal {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    Refusal { status, error, code, message: message.into() }
}

/// Issues a token to an application of the tenant, or refuses it.
pub(in crate::sandbox::arm) fn token(
    directory: &mut Directory,
    tenant: &str,
    body: &Bytes,
    context: &mut ArmContext<'_>,
) -> Response<Bytes> {
    let form: BTreeMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let field = |name: &str| form.get(name).map(String::as_str).unwrap_or_default();
    let scope = field("scope").split(' ').next().unwrap_or_default();
    // The first version of the endpoint has `resource`, the second has `scope`.
    let audience = match field("resource") {
        "" => scope.strip_suffix("/.default").unwrap_or(scope),
        resource => resource,
    };
    let name = if directory.is_open() {
        Ok(String::new())
    } else {
        let endpoint = format!("{}/{tenant}/", context.base_url);
        let request = TokenRequest { tenant, endpoint: &endpoint, form: &form, now: context.now };
        request.identity(directory).and_then(|name| {
            match credentials::is_known(audience, context.base_url) {
                true => Ok(name),
                false => Err(unknown_audience(audience)),
            }
        })
    };
    match name {
        Ok(name) => {
            let granted = directory.issue(&name, audience, context.now, context.guid);
            let body = json!({
                "token_type": "Bearer",
                "expires_in": granted.seconds,
                "ext_expires_in": granted.seconds,
                "access_token": granted.token,
            });
            responses::json(StatusCode::OK, &body)
        }
        Err(refusal) => render(&refusal, context),
    }
}

fn unknown_audience(audience: &str) -> Refusal {
    let message = format!(
        "The resource principal named {audience} was not found in the tenant named Sandbox. This \
         can happen if the application has not been installed by the administrator of the tenant \
         or consented to by any user in the tenant."
    );
    refuse(400, "invalid_resource", 500_011, message)
}

struct TokenRequest<'a> {
    tenant: &'a str,
    /// The beginning of the URL that was asked.
    endpoint: &'a str,
    form: &'a BTreeMap<String, String>,
    now: Timestamp,
}

impl TokenRequest<'_> {
    fn field(&self, name: &str) -> &str {
        self.form.get(name).map(String::as_str).unwrap_or_default()
    }

    /// The name of the identity that has proved itself.
    fn identity(&self, directory: &Directory) -> Result<String, Refusal> {
        if !self.tenant.eq_ignore_ascii_case(TENANT) && !self.tenant.eq_ignore_ascii_case(DOMAIN) {
            let message = format!(
                "Tenant '{}' not found. Check to make sure you have the correct tenant ID and are \
                 signing into the correct cloud. Check with your subscription administrator, this \
                 may happen if there are no active subscriptions for the tenant.",
                self.tenant
            );
            return Err(refuse(400, "invalid_request", 90_002, message));
        }
        if self.field("grant_type") != "client_credentials" {
            let message = "The app requested an unsupported grant type.";
            return Err(refuse(400, "unsupported_grant_type", 70_003, message));
        }
        let client = self.field("client_id");
        let known = directory.find(client).filter(|(_, identity)| !identity.managed);
        let Some((name, identity)) = known else {
            let message = format!(
                "Application with identifier '{client}' was not found in the directory 'Sandbox'. \
                 This can happen if the application has not been installed by the administrator \
                 of the tenant or consented to by any user in the tenant. You may have sent your \
                 authentication request to the wrong tenant."
            );
            return Err(refuse(400, "unauthorized_client", 700_016, message));
        };
        self.prove(identity)?;
        if identity.disabled {
            let message = format!("Application '{client}'({name}) is disabled.");
            return Err(refuse(400, "unauthorized_client", 7_000_112, message));
        }
        Ok(name.to_owned())
    }

    fn prove(&self, identity: &DirectoryIdentity) -> Result<(), Refusal> {
        match (self.field("client_secret"), self.field("client_assertion")) {
            ("", "") => Err(refuse(
                401,
                "invalid_client",
                7_000_218,
                "The request body must contain the following parameter: 'client_assertion' or \
                 'client_secret'.",
            )),
            ("", assertion) => self.prove_by_assertion(identity, assertion),
            (secret, _) => self.prove_by_secret(identity, secret),
        }
    }

    fn prove_by_secret(&self, identity: &DirectoryIdentity, secret: &str) -> Result<(), Refusal> {
        match identity.secrets.get(&digest(secret)) {
            None => {
                let message = format!(
                    "Invalid client secret provided. Ensure the secret being sent in the request \
                     is the client secret value, not the client secret ID, for a secret added to \
                     app '{}'.",
                    identity.client_id
                );
                Err(refuse(401, "invalid_client", 7_000_215, message))
            }
            Some(Some(end)) if *end <= self.now => {
                let message = format!(
                    "The provided client secret keys for app '{}' are expired. Visit the Azure \
                     portal to create new keys for your app: \
                     https://aka.ms/NewClientSecret, or consider using certificate credentials \
                     for added security: https://aka.ms/certCreds.",
                    identity.client_id
                );
                Err(refuse(401, "invalid_client", 7_000_222, message))
            }
            Some(_) => Ok(()),
        }
    }

    fn prove_by_assertion(&self, identity: &DirectoryIdentity, text: &str) -> Result<(), Refusal> {
        let Some(assertion) = Assertion::parse(text) else {
            let message = "The client assertion is malformed: it is not a JSON web token.";
            return Err(refuse(401, "invalid_client", 50_027, message));
        };
        // An application signs for itself; another issuer names itself.
        match assertion.claim("iss").eq_ignore_ascii_case(&identity.client_id) {
            true => self.prove_by_certificate(identity, &assertion),
            false => self.prove_by_issuer(identity, &assertion),
        }
    }

    fn prove_by_certificate(
        &self,
        identity: &DirectoryIdentity,
        assertion: &Assertion,
    ) -> Result<(), Refusal> {
        let registered = identity.certificates.iter().find(|it| assertion.names(it));
        let Some(registered) = registered else {
            let message = "The certificate with identifier used to sign the client assertion is \
                           not registered on application. [Reason - The key was not found.]";
            return Err(refuse(401, "invalid_client", 700_027, message));
        };
        if !assertion.is_signed_by(registered) {
            let message = "Client assertion failed signature validation. [Reason - The provided \
                           signature value did not match the expected signature value.]";
            return Err(refuse(401, "invalid_client", 700_027, message));
        }
        if !assertion.is_for(|audience| audience.starts_with(self.endpoint)) {
            let message = "Client assertion audience claim does not match Realm issuer.";
            return Err(refuse(401, "invalid_client", 50_027, message));
        }
        self.check_time(assertion)
    }

    fn prove_by_issuer(
        &self,
        identity: &DirectoryIdentity,
        assertion: &Assertion,
    ) -> Result<(), Refusal> {
        let mismatch = |code, part: &str, value: &str| {
            let message = format!(
                "No matching federated identity record found for presented assertion {part} \
                 '{value}'. Check your federated identity credential Subject, Audience and Issuer \
                 against the presented assertion. \
                 https://learn.microsoft.com/entra/workload-id/workload-identity-federation"
            );
            refuse(401, "invalid_client", code, message)
        };
        let (issuer, subject) = (assertion.claim("iss"), assertion.claim("sub"));
        let of_issuer: Vec<_> =
            identity.federated.iter().filter(|it| it.issuer == issuer).collect();
        if of_issuer.is_empty() {
            return Err(mismatch(700_211, "issuer", issuer));
        }
        if !assertion.is_for(|audience| EXCHANGE_AUDIENCES.contains(&audience)) {
            return Err(mismatch(700_212, "audience", assertion.claim("aud")));
        }
        let Some(trusted) = of_issuer.iter().find(|it| it.subject == subject) else {
            return Err(mismatch(700_213, "subject", subject));
        };
        let signed = trusted.certificate.as_deref().is_none_or(|it| assertion.is_signed_by(it));
        if !signed {
            let message = "Client assertion failed signature validation.";
            return Err(refuse(401, "invalid_client", 700_027, message));
        }
        self.check_time(assertion)
    }

    fn check_time(&self, assertion: &Assertion) -> Result<(), Refusal> {
        if assertion.is_valid_at(self.now) {
            return Ok(());
        }
        let message = format!(
            "Client assertion is not within its valid time range. Current time: {}.",
            self.now
        );
        Err(refuse(401, "invalid_client", 700_024, message))
    }
}

fn render(refusal: &Refusal, context: &mut ArmContext<'_>) -> Response<Bytes> {
    let Refusal { status, error, code, message } = refusal;
    let (trace, correlation) = ((context.guid)(), (context.guid)());
    let time = context.now.strftime("%F %TZ").to_string();
    let description = format!(
        "AADSTS{code}: {message}\r\nTrace ID: {trace}\r\nCorrelation ID: \
         {correlation}\r\nTimestamp: {time}"
    );
    let body = json!({
        "error": error,
        "error_description": description,
        "error_codes": [code],
        "timestamp": time,
        "trace_id": trace,
        "correlation_id": correlation,
        "error_uri": format!("https://login.microsoftonline.com/error?code={code}"),
    });
    responses::json(*status, &body)
}
