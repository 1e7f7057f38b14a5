//! Leads a request to its face, and to none that is down.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use jiff::Timestamp;
use serde_json::json;

use super::Answer;
use super::arm::ArmContext;
use super::controllers;
use super::controllers::cluster::seconds;
use super::identity::{self, ShownCertificates};
use super::kubernetes::{Reply, UserInfo};
use super::network;
use super::tokens;
use super::world::World;
use crate::provider::http::Api;

/// Answers a request, notes it and draws the consequences.
pub fn handle(world: &mut World, api: Api, request: &Request<Bytes>, now: Timestamp) -> Answer {
    let before = world.arm.version();
    let answer = if world.down.contains(&api) {
        Answer::Complete(unavailable(api))
    } else {
        match api {
            Api::Azure => azure(world, request, now),
            Api::Tailscale => {
                let World { tailnet, entropy, .. } = world;
                Answer::Complete(tailnet.handle(request, now, entropy))
            }
            Api::Kubernetes => kubernetes(world, request, now),
        }
    };
    let status = match &answer {
        Answer::Complete(response) => response.status().as_u16(),
        Answer::Watch(_) => 200,
    };
    world.log.record(api, request, status, now);
    // A read changes nothing, save that in Azure it may find an operation ended.
    if request.method() != http::Method::GET || world.arm.version() != before {
        controllers::reconcile(world, now);
    }
    answer
}

fn azure(world: &mut World, request: &Request<Bytes>, now: Timestamp) -> Answer {
    let World { arm, endpoints, entropy, pause, .. } = world;
    let served = Some(endpoints.azure.as_str()).filter(|url| !url.is_empty());
    let base_url = served.unwrap_or("https://azure.sandbox");
    let mut guid = || entropy.next_guid();
    let mut context = ArmContext { base_url, now, pause: *pause, guid: &mut guid };
    Answer::Complete(arm.handle(request, &mut context))
}

fn kubernetes(world: &mut World, request: &Request<Bytes>, now: Timestamp) -> Answer {
    if request.uri().path().contains("/endpointslices") {
        controllers::services::refresh(world, now);
    }
    let World { kubernetes, cluster_access, .. } = world;
    let (Some(store), Some(access)) = (kubernetes, cluster_access) else {
        let message = "there is no cluster in this world";
        return Answer::Complete(failure(
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
        Some(token) => tokens::user(store, token, now),
        None => {
            let shown = request.extensions().get::<ShownCertificates>();
            shown.and_then(|shown| identity::user(shown, &access.instance, now))
        }
    };
    let Some(user) = user else {
        return Answer::Complete(failure(StatusCode::UNAUTHORIZED, "Unauthorized", "Unauthorized"));
    };
    match store.handle(request, &user, &seconds(now)) {
        Reply::Complete(response) => Answer::Complete(response),
        Reply::Watch(watch) => Answer::Watch(*watch),
        Reply::Proxied(asked) => Answer::Complete(network::answer(world, &asked, now)),
    }
}

fn bearer(request: &Request<Bytes>) -> Option<&str> {
    let header = request.headers().get(header::AUTHORIZATION)?.to_str().ok()?;
    header.strip_prefix("Bearer ").map(str::trim)
}

fn unavailable(api: Api) -> Response<Bytes> {
    let message = "the service is temporarily unavailable";
    match api {
        Api::Kubernetes => failure(StatusCode::SERVICE_UNAVAILABLE, "ServiceUnavailable", message),
        Api::Azure => json_answer(
            StatusCode::SERVICE_UNAVAILABLE,
            &json!({ "error": { "code": "ServiceUnavailable", "message": message } }),
        ),
        Api::Tailscale => {
            json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "message": message }))
        }
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
    json_answer(status, &body)
}

pub(super) fn json_answer(status: StatusCode, body: &serde_json::Value) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = status;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}
