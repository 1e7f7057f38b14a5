//! The tags resource of a group or an object: its tags, without everything else of it.

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Map, Value, json};

use super::errors::ArmError;
use super::path::ObjectPath;
use super::request::ArmRequest;
use super::{ArmContext, ArmStore, json as body, responses};
use crate::resource::ArmId;

type ArmResult = Result<Response<Bytes>, ArmError>;

/// ARM takes no more tags on one resource.
const MAX_TAGS: usize = 50;

/// Handles a request for the tags of a group or of an object in it.
pub(super) fn handle(
    store: &mut ArmStore,
    group: &ArmId,
    object: Option<&ObjectPath>,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    let id = object.map_or(group, |object| &object.id);
    store.existing_group(group)?;
    let Some(stored) = store.stored(id) else {
        return Err(match object {
            Some(object) => ArmError::resource_not_found(object.kind, id),
            None => ArmError::group_not_found(id.name()),
        });
    };
    let present = stored.body["tags"].as_object().cloned().unwrap_or_default();
    let tags = match *call.method {
        Method::GET => return Ok(responses::json(StatusCode::OK, &rendered(id, &present))),
        Method::PUT => requested(&call.json()?)?,
        Method::PATCH => patched(present, &call.json()?)?,
        Method::DELETE => Map::new(),
        _ => return Err(ArmError::method_not_allowed()),
    };
    if tags.len() > MAX_TAGS {
        let message = format!("The resource has {} tags; {MAX_TAGS} are allowed.", tags.len());
        return Err(ArmError::bad("InvalidTags", message));
    }
    store.writable_group(group)?;
    if let Some(object) = object {
        store.refuse_while_busy(object.kind, id, context)?;
    }
    let value = Value::Object(tags.clone());
    store.modify(id, |stored| body::set(stored, &["tags"], value), context.guid);
    Ok(responses::json(StatusCode::OK, &rendered(id, &tags)))
}

fn requested(request: &Value) -> Result<Map<String, Value>, ArmError> {
    let tags = request.pointer("/properties/tags").and_then(Value::as_object);
    let tags = tags.filter(|tags| tags.values().all(Value::is_string));
    tags.cloned().ok_or_else(|| {
        let message = "The request content was invalid: properties.tags is not a map of strings.";
        ArmError::bad("InvalidRequestContent", message)
    })
}

/// The tags after an operation. Names of tags are compared without regard to case.
fn patched(
    mut present: Map<String, Value>,
    request: &Value,
) -> Result<Map<String, Value>, ArmError> {
    let tags = requested(request)?;
    match request["operation"].as_str() {
        Some("Replace") => Ok(tags),
        Some("Merge") => {
            for (name, value) in tags {
                present.retain(|other, _| !other.eq_ignore_ascii_case(&name));
                present.insert(name, value);
            }
            Ok(present)
        }
        Some("Delete") => {
            for (name, value) in tags {
                let is_it = |other: &String, held: &Value| {
                    other.eq_ignore_ascii_case(&name) && (value == "" || *held == value)
                };
                present.retain(|other, held| !is_it(other, held));
            }
            Ok(present)
        }
        _ => {
            let message = "The operation must be one of 'Replace,Merge,Delete'.";
            Err(ArmError::bad("InvalidTagPatchOperation", message))
        }
    }
}

fn rendered(id: &ArmId, tags: &Map<String, Value>) -> Value {
    json!({
        "id": format!("{id}/providers/Microsoft.Resources/tags/default"),
        "name": "default",
        "type": "Microsoft.Resources/tags",
        "properties": { "tags": tags },
    })
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::sandbox::arm::test_client::{GROUP, TestClient, network};

    fn tags_of(path: &str) -> String {
        format!("{path}/providers/Microsoft.Resources/tags/default")
    }

    fn patch(client: &mut TestClient, path: &str, operation: &str, tags: &Value) -> Value {
        let body = json!({ "operation": operation, "properties": { "tags": tags } });
        let reply = client.call(Method::PATCH, &tags_of(path), &[], Some(body));
        assert_eq!(reply.status, 200, "{:?}", reply.body);
        client.get(path).body["tags"].clone()
    }

    #[test]
    fn an_update_of_tags_leaves_the_rest_of_an_object() {
        let mut client = TestClient::new();
        let table = network("routeTables/t");
        let before = client.make(&table, json!({"location": "x", "tags": {"a": "1"}}));
        for path in [table.as_str(), GROUP] {
            patch(&mut client, path, "Replace", &json!({"a": "1"}));
            let merged = patch(&mut client, path, "Merge", &json!({"B": "2"}));
            assert_eq!(merged, json!({"a": "1", "B": "2"}));
            let merged = patch(&mut client, path, "Merge", &json!({"b": "3"}));
            assert_eq!(merged, json!({"a": "1", "b": "3"}));
            let kept = patch(&mut client, path, "Delete", &json!({"b": "2"}));
            assert_eq!(kept, json!({"a": "1", "b": "3"}));
            let rest = patch(&mut client, path, "Delete", &json!({"b": "3"}));
            assert_eq!(rest, json!({"a": "1"}));
        }
        let after = client.get(&table).body;
        assert_eq!(after["properties"], before["properties"]);
        assert_ne!(after["etag"], before["etag"]);
        let read = client.get(&tags_of(&table)).body;
        assert_eq!(read["properties"]["tags"], json!({"a": "1"}));
    }

    #[test]
    fn tags_of_nothing_and_other_operations_are_refused() {
        let mut client = TestClient::new();
        let missing = client.get(&tags_of(&network("routeTables/t")));
        assert_eq!(missing.refusal(), (404, "ResourceNotFound"));
        let body = json!({ "operation": "Add", "properties": { "tags": {} } });
        let refused = client.call(Method::PATCH, &tags_of(GROUP), &[], Some(body));
        assert_eq!(refused.refusal().0, 400);
    }
}
