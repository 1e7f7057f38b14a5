//! Auth keys: create, list, revoke.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::super::response::{failure, json_response};
use super::super::{AuthKey, TailnetStore};
use super::devices::tag_refused;
use super::{ApiRequest, Caller, empty_response, invalid_body, not_found};

impl TailnetStore {
    pub(super) fn key_call(
        &mut self,
        call: &mut ApiRequest<'_>,
        method: &Method,
        rest: &[&str],
    ) -> Response<Bytes> {
        match (method, rest) {
            (&Method::POST, []) => self.create_key(call),
            (&Method::GET, []) => {
                let valid = self.keys.values().filter(|key| key.is_valid(call.now));
                let ids: Vec<Value> = valid.map(|key| json!({ "id": key.id })).collect();
                json_response(StatusCode::OK, &json!({ "keys": ids }))
            }
            (&Method::GET, [id]) => match self.keys.get(*id) {
                Some(key) => json_response(StatusCode::OK, &key.show(call.now)),
                None => not_found(),
            },
            (&Method::DELETE, [id]) => match self.keys.get_mut(*id) {
                Some(key) => {
                    key.revoked.get_or_insert(call.now);
                    empty_response()
                }
                None => not_found(),
            },
            _ => not_found(),
        }
    }

    fn create_key(&mut self, call: &mut ApiRequest<'_>) -> Response<Bytes> {
        let Some(body) = call.body() else { return invalid_body() };
        let id = format!("k{:011x}CNTRL", call.entropy.next_number() >> 20);
        let random = (call.entropy.next_number(), call.entropy.next_number());
        let secret = format!("tskey-auth-{id}-{:016x}{:016x}", random.0, random.1);
        let Some(key) = AuthKey::from_request(&body, id.clone(), &secret, call.now) else {
            return failure(StatusCode::BAD_REQUEST, "capabilities.devices is required");
        };
        if key.description.chars().count() > 50 {
            return failure(StatusCode::BAD_REQUEST, "description must be at most 50 characters");
        }
        if call.caller == Caller::OAuthClient && key.tags.is_empty() {
            let message = "keys made by an OAuth client must have tags";
            return failure(StatusCode::BAD_REQUEST, message);
        }
        if let Some(tag) = key.tags.iter().find(|tag| !self.policy().owns_tag(tag)) {
            return tag_refused(tag);
        }
        let mut rendered = key.show(call.now);
        rendered["key"] = json!(secret);
        self.keys.insert(id, key);
        json_response(StatusCode::OK, &rendered)
    }
}
