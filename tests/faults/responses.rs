//! The responses that a fault produces.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use serde_json::{Value, json};
use stargate::provider::http::Api;

use crate::fault::Fault;

/// The request for the first page instead of a made-up one.
pub(crate) fn ask_for_first_page(fault: Fault, request: &mut Request<Bytes>) {
    let made_up =
        matches!(fault, Fault::PagesInACircle | Fault::EndlessPagesOfTheSame | Fault::EndlessPages);
    let uri = request.uri().to_string();
    let Some((path, query)) = uri.split_once('?').filter(|_| made_up) else { return };
    let is_token = |part: &&str| part.starts_with("page=") || part.starts_with("continue=");
    let kept: Vec<&str> = query.split('&').filter(|part| !is_token(part)).collect();
    *request.uri_mut() = format!("{path}?{}", kept.join("&")).parse().unwrap();
}

/// An answer with a fault. `number` tells requests apart.
pub(crate) fn distort(
    fault: Fault,
    api: Api,
    request: &Request<Bytes>,
    response: Response<Bytes>,
    number: u64,
) -> Response<Bytes> {
    if let Some(refusal) = refusal(fault, api) {
        return refusal;
    }
    let text = |text: &str| Bytes::from(text.to_owned());
    let body = match fault {
        Fault::NoBody => Bytes::new(),
        Fault::Null => text("null"),
        Fault::Array => text("[]"),
        Fault::EmptyObject => text("{}"),
        Fault::Text => text("\"fine\""),
        Fault::Html => text("<!doctype html><title>Sign in to the network</title>"),
        Fault::Truncated => response.body().slice(..response.body().len() / 2),
        Fault::NotUtf8 => Bytes::from_static(b"{\"value\": [\"\xff\xfe\"]}"),
        Fault::DeeplyNested => text(&"[".repeat(100_000)),
        Fault::ErrorWithStatus200 => {
            text(r#"{"error": {"code": "AuthorizationFailed", "message": "no"}}"#)
        }
        _ => return reshaped(fault, api, request, response, number),
    };
    response.map(|_| body)
}

fn refusal(fault: Fault, api: Api) -> Option<Response<Bytes>> {
    let (status, retry_after) = match fault {
        Fault::ServerError => (500, None),
        Fault::BadGatewayInHtml => {
            let body = Bytes::from_static(b"<html>bad gateway</html>");
            return Response::builder().status(502).body(body).ok();
        }
        Fault::Unavailable => (503, None),
        Fault::UnavailableForTwoSeconds => (503, Some(2)),
        Fault::GatewayTimeout => (504, None),
        Fault::Throttled => (429, None),
        Fault::ThrottledForTwoSeconds => (429, Some(2)),
        Fault::ThrottledForADay => (429, Some(86_400)),
        Fault::Unauthenticated => (401, None),
        Fault::Forbidden => (403, None),
        Fault::Conflict => (409, None),
        Fault::Redirected => (302, None),
        _ => return None,
    };
    let body = match api {
        Api::Azure => json!({ "error": { "code": "Broken", "message": "it is broken" } }),
        Api::Tailscale => json!({ "message": "it is broken" }),
        Api::Kubernetes => json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": "it is broken", "reason": "Broken", "code": status,
        }),
    };
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if status == 302 {
        let elsewhere = HeaderValue::from_static("https://elsewhere.test/");
        response.headers_mut().insert(header::LOCATION, elsewhere);
    }
    Some(response)
}

/// The field that holds a list's objects.
fn container(api: Api) -> &'static str {
    match api {
        Api::Azure => "value",
        Api::Tailscale => "devices",
        Api::Kubernetes => "items",
    }
}

/// Changes the JSON of a list; other answers stay, but for texts.
fn reshaped(
    fault: Fault,
    api: Api,
    request: &Request<Bytes>,
    response: Response<Bytes>,
    number: u64,
) -> Response<Bytes> {
    let Ok(mut body) = serde_json::from_slice::<Value>(response.body()) else { return response };
    let field = container(api);
    let is_list = request.method() == http::Method::GET && body[field].is_array();
    match fault {
        Fault::NumbersForTexts => numbers_for_texts(&mut body),
        _ if !is_list => return response,
        Fault::ListIsObject => body[field] = json!({}),
        Fault::ListIsNull => body[field] = Value::Null,
        Fault::ListIsText => body[field] = json!("none"),
        Fault::EntriesAreNull => body[field] = json!([null]),
        Fault::EntriesAreNumbers => body[field] = json!([1, 2]),
        Fault::EntriesAreArrays => body[field] = json!([[]]),
        Fault::EntriesAreEmpty => body[field] = json!([{}]),
        Fault::PagesInACircle => link(&mut body, api, request, &format!("{}", number % 2)),
        Fault::EndlessPagesOfTheSame => link(&mut body, api, request, &number.to_string()),
        Fault::EndlessPages => {
            renew(&mut body[field], number);
            link(&mut body, api, request, &number.to_string());
        }
        Fault::NextPageElsewhere => body["nextLink"] = json!("https://elsewhere.test/page"),
        _ => return response,
    }
    response.map(|_| Bytes::from(body.to_string()))
}

fn numbers_for_texts(value: &mut Value) {
    match value {
        Value::String(_) => *value = json!(7),
        Value::Array(items) => items.iter_mut().for_each(numbers_for_texts),
        Value::Object(fields) => fields.values_mut().for_each(numbers_for_texts),
        _ => {}
    }
}

/// Says that there is another page.
fn link(body: &mut Value, api: Api, request: &Request<Bytes>, token: &str) {
    if api == Api::Kubernetes {
        body["metadata"]["continue"] = json!(token);
        return;
    }
    let mut uri = request.uri().to_string();
    if let (None, Some(host)) = (request.uri().authority(), request.headers().get("host")) {
        uri = format!("http://{}{uri}", host.to_str().unwrap());
    }
    let first = uri.split("&page=").next().unwrap_or_default();
    body["nextLink"] = json!(format!("{first}&page={token}"));
}

/// Other objects on each page, and never an empty one.
fn renew(items: &mut Value, number: u64) {
    let items = items.as_array_mut().unwrap();
    if items.is_empty() {
        items.push(json!({ "id": "/made/up", "metadata": { "name": "made-up" } }));
    }
    for item in items {
        for pointer in ["/id", "/name", "/metadata/name"] {
            if let Some(Value::String(text)) = item.pointer_mut(pointer) {
                text.push_str(&format!("-{number}"));
            }
        }
    }
}
