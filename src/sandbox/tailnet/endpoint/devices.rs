//! Devices: list, get, routes, tags, authorisation, deletion.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use ipnet::IpNet;
use serde_json::{Value, json};

use super::super::response::{failure, json_response};
use super::super::{EmulatedDevice, TailnetStore};
use super::{ApiRequest, empty_response, invalid_body, not_found, strings};

impl TailnetStore {
    pub(super) fn list_devices(&self, call: &ApiRequest<'_>) -> Response<Bytes> {
        let query = call.query();
        let all = query.iter().any(|(key, value)| key == "fields" && value == "all");
        let filters: Vec<&(String, String)> =
            query.iter().filter(|(key, _)| key != "fields").collect();
        let rendered: Vec<Value> = self
            .devices()
            .map(|device| device.show(all))
            .filter(|device| filters.iter().all(|(key, value)| matches(device, key, value)))
            .collect();
        json_response(StatusCode::OK, &json!({ "devices": rendered }))
    }

    pub(super) fn device_call(
        &mut self,
        call: &mut ApiRequest<'_>,
        method: &Method,
        id: &str,
        rest: &[&str],
    ) -> Response<Bytes> {
        let allowed = |tag: &String| self.policy().owns_tag(tag);
        let body = call.body();
        let tags = strings(body.as_ref().and_then(|body| body.get("tags")));
        let unknown = tags.iter().flatten().find(|tag| !allowed(tag)).cloned();
        if (method, rest) == (&Method::DELETE, &[]) {
            return if self.remove_device(id) { empty_response() } else { not_found() };
        }
        if (method, rest) == (&Method::POST, &["name"]) {
            return self.rename_device(id, body.as_ref());
        }
        let Some(device) = self.device_mut(id) else { return not_found() };
        match (method, rest) {
            (&Method::GET, []) => {
                let all = call.query().iter().any(|(key, value)| key == "fields" && value == "all");
                json_response(StatusCode::OK, &device.show(all))
            }
            (&Method::GET, ["routes"]) => json_response(StatusCode::OK, &device.routes()),
            (&Method::POST, ["routes"]) => enable_routes(device, body.as_ref()),
            (&Method::POST, ["tags"]) => match (tags, unknown) {
                (_, Some(tag)) => tag_refused(&tag),
                (Some(tags), None) => {
                    device.key_expiry_disabled |= !tags.is_empty();
                    device.tags = tags;
                    empty_response()
                }
                (None, None) => invalid_body(),
            },
            (&Method::POST, ["key"]) => {
                set_flag(&mut device.key_expiry_disabled, body.as_ref(), "keyExpiryDisabled")
            }
            (&Method::POST, ["authorized"]) => {
                set_flag(&mut device.authorized, body.as_ref(), "authorized")
            }
            (&Method::POST, ["expire"]) => {
                device.expires = call.now;
                device.key_expiry_disabled = false;
                empty_response()
            }
            _ => not_found(),
        }
    }
}

impl TailnetStore {
    fn rename_device(&mut self, id: &str, body: Option<&Value>) -> Response<Bytes> {
        let Some(name) = body.and_then(|body| body["name"].as_str()) else { return invalid_body() };
        if self.device(id).is_none() {
            return not_found();
        }
        match self.set_name(id, name) {
            true => empty_response(),
            false => failure(StatusCode::BAD_REQUEST, "name already in use"),
        }
    }
}

pub(super) fn tag_refused(tag: &str) -> Response<Bytes> {
    let message = format!("requested tags [{tag}] are invalid or not permitted");
    failure(StatusCode::BAD_REQUEST, message)
}

fn enable_routes(device: &mut EmulatedDevice, body: Option<&Value>) -> Response<Bytes> {
    let Some(routes) = strings(body.and_then(|body| body.get("routes"))) else {
        return invalid_body();
    };
    let parsed: Result<_, String> = routes
        .iter()
        .map(|route| match route.parse::<IpNet>() {
            Ok(prefix) if prefix == prefix.trunc() => Ok(prefix),
            _ => Err(format!("invalid route {route:?}")),
        })
        .collect();
    match parsed {
        Ok(prefixes) => {
            device.enabled_routes = prefixes;
            json_response(StatusCode::OK, &device.routes())
        }
        Err(message) => failure(StatusCode::BAD_REQUEST, message),
    }
}

fn set_flag(flag: &mut bool, body: Option<&Value>, name: &str) -> Response<Bytes> {
    let Some(expected) = body.and_then(|body| body[name].as_bool()) else { return invalid_body() };
    *flag = expected;
    empty_response()
}

fn matches(device: &Value, key: &str, expected: &str) -> bool {
    match device.get(key) {
        Some(Value::String(text)) => text == expected,
        Some(Value::Bool(flag)) => flag.to_string() == expected,
        Some(Value::Array(items)) => items.iter().any(|item| item == expected),
        _ => false,
    }
}
