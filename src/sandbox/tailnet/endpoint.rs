//! The Tailscale API v2.

mod acl;
mod devices;
mod keys;
mod login;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::TailnetStore;
use super::response::{failure, json_response};
use crate::sandbox::entropy::Entropy;

/// The user who owns every API access token.
const USER: &str = "u1CNTRL";
const ADMIN: &str = "admin";
/// Roles that change nothing in the tailnet.
const READING_ROLES: [&str; 3] = ["auditor", "billing-admin", "member"];

/// The requester.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    /// A user with an API access token.
    User,
    /// An OAuth client. Keys that it creates must be tagged.
    OAuthClient,
}

/// A request that is being handled.
struct ApiRequest<'a> {
    request: &'a Request<Bytes>,
    caller: Caller,
    now: Timestamp,
    entropy: &'a mut Entropy,
}

impl ApiRequest<'_> {
    fn body(&self) -> Option<Value> {
        serde_json::from_slice(self.request.body()).ok()
    }

    fn header(&self, name: http::HeaderName) -> Option<&str> {
        self.request.headers().get(name)?.to_str().ok()
    }

    fn query(&self) -> Vec<(String, String)> {
        let query = self.request.uri().query().unwrap_or_default();
        url::form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    }
}

impl TailnetStore {
    /// Handles a request to the Tailscale API.
    pub fn handle(
        &mut self,
        request: &Request<Bytes>,
        now: Timestamp,
        entropy: &mut Entropy,
    ) -> Response<Bytes> {
        let path = request.uri().path().trim_end_matches('/').to_owned();
        let Some(path) = path.strip_prefix("/api/v2/") else { return not_found() };
        match path {
            "oauth/token" => return self.issue_token(request, now, entropy),
            "oauth/token-exchange" => return self.exchange_token(request, now, entropy),
            _ => {}
        }
        let Some(caller) = self.caller(request, now) else {
            return failure(StatusCode::UNAUTHORIZED, "API token invalid");
        };
        let segments: Vec<String> = path.split('/').map(decoded).collect();
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        if caller == Caller::User && request.method() != Method::GET && !self.owner_may_write() {
            return forbidden();
        }
        let required = required_scope(request.method(), &segments);
        if required.is_some_and(|scope| self.missing_scopes.contains(scope)) {
            return forbidden();
        }
        let mut call = ApiRequest { request, caller, now, entropy };
        match (request.method(), &segments[..]) {
            (method, ["device", id, rest @ ..]) => self.device_call(&mut call, method, id, rest),
            (&Method::GET, ["tailnet", _, "devices"]) => self.list_devices(&call),
            (&Method::GET, ["users", USER]) => {
                let role = self.owner_role.as_deref().unwrap_or(ADMIN);
                json_response(StatusCode::OK, &json!({ "id": USER, "role": role }))
            }
            (&Method::GET, ["tailnet", _, "keys", id]) if self.is_own_key(&call, id) => {
                let body = json!({ "id": id, "keyType": "api", "userId": USER });
                json_response(StatusCode::OK, &body)
            }
            (method, ["tailnet", _, "keys", rest @ ..]) => self.key_call(&mut call, method, rest),
            (method, ["tailnet", _, "acl", rest @ ..]) => self.acl_call(&call, method, rest),
            _ => not_found(),
        }
    }
}

impl TailnetStore {
    fn owner_may_write(&self) -> bool {
        !self.owner_role.as_deref().is_some_and(|role| READING_ROLES.contains(&role))
    }

    /// Whether the ID is that of the API access token that a call has.
    fn is_own_key(&self, call: &ApiRequest<'_>, id: &str) -> bool {
        let token = login::credential(call.request);
        let rest = token.as_deref().and_then(|token| token.strip_prefix("tskey-api-"));
        let own = rest.and_then(|rest| rest.split_once('-')).map(|(own, _)| own);
        call.caller == Caller::User && own == Some(id)
    }
}

/// The scope that a call needs, for reading or for writing.
fn required_scope(method: &Method, segments: &[&str]) -> Option<&'static str> {
    match segments {
        ["device", _, "routes"] => Some("devices:routes"),
        ["device", ..] | ["tailnet", _, "devices"] => Some("devices:core"),
        ["tailnet", _, "keys", ..] => Some("auth_keys"),
        ["tailnet", _, "acl", ..] if *method == Method::GET => Some("policy_file"),
        _ => None,
    }
}

fn decoded(segment: &str) -> String {
    // Ids and tailnet names need no other percent-encoding.
    segment.replace("%40", "@").replace("%2D", "-").replace("%2d", "-")
}

fn forbidden() -> Response<Bytes> {
    let message = "calling actor does not have enough permissions to perform this function";
    failure(StatusCode::FORBIDDEN, message)
}

fn not_found() -> Response<Bytes> {
    failure(StatusCode::NOT_FOUND, "not found")
}

fn empty_response() -> Response<Bytes> {
    json_response(StatusCode::OK, &json!({}))
}

fn invalid_body() -> Response<Bytes> {
    failure(StatusCode::BAD_REQUEST, "invalid request body")
}

fn strings(value: Option<&Value>) -> Option<Vec<String>> {
    value?.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}
