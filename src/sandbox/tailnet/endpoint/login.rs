//! Credentials: API access tokens, and OAuth clients that request a token.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::super::{TAILNET_SCOPES, TailnetStore, response::json_response};
use super::Caller;
use crate::sandbox::digest::digest;
use crate::sandbox::entropy::Entropy;

/// The one credential that the sandbox refuses, to demonstrate the error.
const REFUSED_TOKEN: &str = "refused";
/// The credential of `--sandbox`.
const SERVED_TOKEN: &str = "sandbox";
/// The prefix of OAuth clients' tokens.
const TOKEN_PREFIX: &str = "tskey-sandbox-token-";

/// The fields of a form, decoded.
fn form(request: &Request<Bytes>) -> Vec<(String, String)> {
    url::form_urlencoded::parse(request.body()).into_owned().collect()
}

impl TailnetStore {
    pub(super) fn issue_token(
        &mut self,
        request: &Request<Bytes>,
        now: Timestamp,
        entropy: &mut Entropy,
    ) -> Response<Bytes> {
        let form = form(request);
        let field = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let basic = credential(request);
        let secret = field("client_secret").cloned().or(basic);
        // The user of Basic authentication is the client, whose ID the secret holds, too.
        let client = field("client_id").map(String::as_str);
        let refused = |secret: &String| {
            let known = self.credentials.accepts(client, secret, true);
            secret.is_empty() || secret == REFUSED_TOKEN || !known
        };
        if request.method() != http::Method::POST || secret.as_ref().is_none_or(refused) {
            let body = json!({
                "error": "invalid_client",
                "error_description": "the client id or secret is not known",
            });
            return json_response(StatusCode::UNAUTHORIZED, &body);
        }
        self.grant_token(now, entropy)
    }

    /// Exchanges a token of another issuer for an access token of a federated identity.
    pub(super) fn exchange_token(
        &mut self,
        request: &Request<Bytes>,
        now: Timestamp,
        entropy: &mut Entropy,
    ) -> Response<Bytes> {
        let form = form(request);
        let field = |name: &str| {
            let found = form.iter().find(|(key, _)| key == name);
            found.map(|(_, value)| value.trim()).unwrap_or_default()
        };
        let refusal = match *request.method() == http::Method::POST {
            true => self.credentials.exchange_refusal(field("client_id"), field("jwt"), now),
            false => Some("only POST is supported"),
        };
        match refusal {
            Some(reason) => {
                let body = json!({ "error": "invalid_client", "error_description": reason });
                json_response(StatusCode::UNAUTHORIZED, &body)
            }
            None => self.grant_token(now, entropy),
        }
    }

    fn grant_token(&mut self, now: Timestamp, entropy: &mut Entropy) -> Response<Bytes> {
        let token = format!("{TOKEN_PREFIX}{:016x}", entropy.next_number());
        self.tokens.retain(|_, end| *end > now);
        let seconds = self.credentials.token_seconds();
        let end = now.checked_add(SignedDuration::from_secs(seconds.into())).unwrap_or(now);
        self.tokens.insert(digest(&token), end);
        let body = json!({
            "access_token": token,
            "token_type": "Bearer",
            "expires_in": seconds,
            "scope": self.granted_scopes(),
        });
        json_response(StatusCode::OK, &body)
    }

    fn granted_scopes(&self) -> String {
        if self.missing_scopes.is_empty() {
            return "all".to_owned();
        }
        let granted = TAILNET_SCOPES.into_iter().filter(|it| !self.missing_scopes.contains(*it));
        granted.collect::<Vec<_>>().join(" ")
    }

    pub(super) fn caller(&self, request: &Request<Bytes>, now: Timestamp) -> Option<Caller> {
        let token = credential(request)?;
        if token.is_empty() || token == REFUSED_TOKEN {
            return None;
        }
        if !token.starts_with(TOKEN_PREFIX) {
            // The sandbox hands out a token of its own.
            let known = token == SERVED_TOKEN || self.credentials.accepts(None, &token, false);
            return known.then_some(Caller::User);
        }
        self.tokens.get(&digest(&token)).filter(|end| **end > now).map(|_| Caller::OAuthClient)
    }
}

/// The token of a request: a bearer token, or the user name of Basic authentication if the password
/// is empty. At the token endpoint, the password of Basic authentication is the client secret.
pub(super) fn credential(request: &Request<Bytes>) -> Option<String> {
    let header = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, value) = header.split_once(' ')?;
    if scheme.eq_ignore_ascii_case("bearer") {
        return Some(value.trim().to_owned());
    }
    let pair = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (user, password) = pair.split_once(':')?;
    let chosen = if password.is_empty() { user } else { password };
    scheme.eq_ignore_ascii_case("basic").then(|| chosen.to_owned())
}
