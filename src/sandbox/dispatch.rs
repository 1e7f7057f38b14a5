//! Routes a request to the emulated API, or answers 503 if the API is down.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::arm::ArmContext;
use super::controllers;
use super::controllers::cluster::seconds;
use super::identity::{self, PresentedCertificates};
use super::kubernetes::{KubernetesResponse, UserInfo};
use super::network;
use super::response::{ApiResponse, json_response};
use super::state::SandboxState;
use super::tokens;
use crate::provider::http::Api;

impl SandboxState {
    /// Handles a request to one of the APIs, logs it and runs the controllers.
    ///
    /// The URI may be absolute, or a path with a query.
    pub fn handle(&mut self, api: Api, request: &Request<Bytes>, now: Timestamp) -> ApiResponse {
        let before = self.arm.version();
        let mut response = if self.down.contains(&api) {
            ApiResponse::Complete(unavailable(api))
        } else {
            match api {
                Api::Azure => azure(self, request, now),
                Api::Tailscale => {
                    let SandboxState { tailnet, entropy, .. } = self;
                    ApiResponse::Complete(tailnet.handle(request, now, entropy))
                }
                Api::Kubernetes => kubernetes(self, request, now),
            }
        };
        let status = match &response {
            ApiResponse::Complete(response) => response.status().as_u16(),
            ApiResponse::Watch(_) => 200,
        };
        if let ApiResponse::Complete(response) = &mut response {
            add_date(response, now, self.clock_ahead_seconds);
        }
        self.log.record(api, request, status, now);
        // A read changes nothing, except that a read of Azure may complete an operation.
        if request.method() != http::Method::GET || self.arm.version() != before {
            controllers::reconcile(self, now);
        }
        response
    }
}

/// The date of a response, by the clock of the service.
fn add_date(response: &mut Response<Bytes>, now: Timestamp, ahead_seconds: i64) {
    let ahead = SignedDuration::from_secs(ahead_seconds);
    let date = now.checked_add(ahead).unwrap_or(now).strftime("%a, %d %b %Y %H:%M:%S GMT");
    if let Ok(value) = header::HeaderValue::try_from(date.to_string()) {
        response.headers_mut().insert(header::DATE, value);
    }
}

fn azure(sandbox: &mut SandboxState, request: &Request<Bytes>, now: Timestamp) -> ApiResponse {
    let SandboxState { arm, endpoints, entropy, pause, .. } = sandbox;
    let served = Some(endpoints.azure.as_str()).filter(|url| !url.is_empty());
    let base_url = served.map(|url| base_url_of(url, request));
    let base_url = base_url.as_deref().unwrap_or("https://azure.sandbox");
    let mut guid = || entropy.next_guid();
    let mut context = ArmContext { base_url, now, pause: *pause, guid: &mut guid };
    ApiResponse::Complete(arm.handle(request, &mut context))
}

/// The URL by which the client reaches Azure: behind a proxy or a name of its own it is another
/// one than the listener's, and the links in responses must lead back there.
fn base_url_of(served: &str, request: &Request<Bytes>) -> String {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let scheme = served.split("://").next().unwrap_or_default();
    match host {
        Some(host) => format!("{scheme}://{host}"),
        None => served.to_owned(),
    }
}

fn kubernetes(sandbox: &mut SandboxState, request: &Request<Bytes>, now: Timestamp) -> ApiResponse {
    if request.uri().path().contains("/endpointslices") {
        controllers::services::refresh(sandbox, now);
    }
    let SandboxState { arm, kubernetes, cluster_access, .. } = sandbox;
    let (Some(store), Some(access)) = (kubernetes, cluster_access) else {
        let message = "the sandbox has no cluster";
        return ApiResponse::Complete(failure(
            StatusCode::SERVICE_UNAVAILABLE,
            "ServiceUnavailable",
            message,
        ));
    };
    let token = bearer(request);
    let user = match token {
        Some(token) if token == access.token => Some(UserInfo {
            name: "clusterUser".to_owned(),
            groups: vec!["system:masters".to_owned(), "system:authenticated".to_owned()],
        }),
        Some(token) => {
            tokens::user(store, token, now).or_else(|| arm.entra_user(&access.cluster, token, now))
        }
        None => {
            let presented = request.extensions().get::<PresentedCertificates>();
            presented.and_then(|presented| identity::user(presented, &access.instance, now))
        }
    };
    let Some(user) = user else {
        return ApiResponse::Complete(failure(
            StatusCode::UNAUTHORIZED,
            "Unauthorized",
            "Unauthorized",
        ));
    };
    match store.handle(request, &user, &seconds(now)) {
        KubernetesResponse::Complete(response) => ApiResponse::Complete(response),
        KubernetesResponse::Watch(watch) => ApiResponse::Watch(*watch),
        KubernetesResponse::Proxied(requested) => {
            ApiResponse::Complete(network::handle(sandbox, &requested, now))
        }
    }
}

fn bearer(request: &Request<Bytes>) -> Option<&str> {
    let header = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    header.strip_prefix("Bearer ").map(str::trim)
}

fn unavailable(api: Api) -> Response<Bytes> {
    let message = "the service is temporarily unavailable";
    refusal(api, StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message)
}

/// The response of every API once the state can no longer be shared with other processes.
/// The status is one that clients do not retry.
pub(super) fn folder_unavailable(api: Api, reason: &str) -> ApiResponse {
    let status = StatusCode::INSUFFICIENT_STORAGE;
    ApiResponse::Complete(refusal(api, status, "SandboxNotShared", reason))
}

fn refusal(api: Api, status: StatusCode, code: &str, message: &str) -> Response<Bytes> {
    match api {
        Api::Kubernetes => failure(status, code, message),
        Api::Azure => {
            json_response(status, &json!({ "error": { "code": code, "message": message } }))
        }
        Api::Tailscale => json_response(status, &json!({ "message": message })),
    }
}

fn failure(status: StatusCode, reason: &str, message: &str) -> Response<Bytes> {
    let body = json!({
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": reason,
        "code": status.as_u16(),
    });
    json_response(status, &body)
}
