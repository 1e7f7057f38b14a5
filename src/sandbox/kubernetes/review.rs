//! Reviews, which are answered and not stored: access of a user, and identity of the requester.

use serde_json::{Value, json};

use super::definition::{AUTHENTICATION, Definition};
use super::rbac::{Attributes, UserInfo};
use super::store::KubernetesStore;
use super::value::{at, fields, text, texts};

impl KubernetesStore {
    /// Answers a review.
    pub(super) fn review(&self, definition: &Definition, user: &UserInfo, body: &Value) -> Value {
        let status = if definition.group == AUTHENTICATION {
            json!({"userInfo": {"username": user.name, "groups": user.groups}})
        } else {
            let requested = if definition.plural == "selfsubjectaccessreviews" {
                user.clone()
            } else {
                UserInfo {
                    name: text(body, &["spec", "user"]).unwrap_or_default().to_owned(),
                    groups: texts(body, &["spec", "groups"])
                        .into_iter()
                        .map(str::to_owned)
                        .collect(),
                }
            };
            match self.authorize(&requested, &attributes(body)) {
                Some(reason) => json!({"allowed": true, "reason": reason}),
                None => json!({"allowed": false}),
            }
        };
        let mut response = body.clone();
        let map = fields(&mut response);
        map.insert("apiVersion".to_owned(), Value::from(definition.api_version()));
        map.insert("kind".to_owned(), Value::from(definition.kind.as_str()));
        map.entry("metadata").or_insert_with(|| json!({}));
        map.insert("status".to_owned(), status);
        response
    }
}

fn attributes(body: &Value) -> Attributes {
    let paths = at(body, &["spec", "nonResourceAttributes"]);
    let requested = paths.or_else(|| at(body, &["spec", "resourceAttributes"]));
    let word = |field: &str| {
        requested.and_then(|requested| text(requested, &[field])).unwrap_or_default().to_owned()
    };
    Attributes {
        verb: word("verb"),
        group: word("group"),
        resource: word("resource"),
        subresource: word("subresource"),
        namespace: word("namespace"),
        name: word("name"),
        path: word("path"),
    }
}
