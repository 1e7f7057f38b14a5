//! Paginated lists.

use std::ops::Bound;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::{Map, Value, json};

use super::errors::ArmError;
use super::index::key;
use super::kind::{ArmKind, ChildKind};
use super::path::{ListScope, ObjectPath};
use super::request::ArmRequest;
use super::store::StoredResource;
use super::{ArmContext, ArmStore, json, render, responses};
use crate::resource::ArmId;

/// The number of objects on a page.
const PAGE_SIZE: usize = 200;

type ArmResult = Result<Response<Bytes>, ArmError>;

/// All objects of a kind in a group or a subscription.
pub(super) fn collection(
    store: &mut ArmStore,
    scope: &ListScope,
    kind: ArmKind,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    let front = front(store, scope)?;
    let is_listed = |stored: &StoredResource| stored.kind == kind;
    // The keys of one type are far fewer than those of the whole subscription.
    let keys = store.index.of_type(kind.resource_type()).filter(|key| key.starts_with(&front));
    let page = page(store, keys, call, is_listed, |stored| render::object(store, stored))?;
    finish(store, page, call, context)
}

/// All resources in a group or a subscription, without properties.
pub(super) fn resources(
    store: &mut ArmStore,
    scope: &ListScope,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    let front = front(store, scope)?;
    let filter = Filter::parse(call.parameter("$filter").as_deref())?;
    let is_listed = |stored: &StoredResource| {
        stored.kind != ArmKind::ResourceGroup && filter.admits(&stored.body)
    };
    let keys = store
        .objects
        .range(front.clone()..)
        .map(|(key, _)| key)
        .take_while(|key| key.starts_with(&front));
    let page = page(store, keys, call, is_listed, |stored| summary(&stored.body))?;
    finish(store, page, call, context)
}

/// The groups of a subscription.
pub(super) fn groups(
    store: &mut ArmStore,
    subscription: &str,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    let scope = ListScope { subscription: subscription.to_owned(), group: None };
    let front = front(store, &scope)?;
    let filter = Filter::parse(call.parameter("$filter").as_deref())?;
    let keys = store
        .index
        .of_type(ArmKind::ResourceGroup.resource_type())
        .filter(|key| key.starts_with(&front));
    let is_listed = |stored: &StoredResource| filter.admits(&stored.body);
    let page = page(store, keys, call, is_listed, |stored| stored.body.clone())?;
    finish(store, page, call, context)
}

/// The children of an object, all on one page.
pub(super) fn children(
    store: &mut ArmStore,
    path: &ObjectPath,
    child: ChildKind,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    store.existing_group(&path.group)?;
    let Some(stored) = store.stored(&path.id) else {
        return Err(ArmError::resource_not_found(path.kind, &path.id));
    };
    let value: Vec<Value> = json::items(&stored.body, &child.pointer())
        .iter()
        .map(|value| render::child_body(store, &stored.id, child, value))
        .collect();
    store.step_object(&path.id, context);
    Ok(responses::json(StatusCode::OK, &json!({"value": value})))
}

struct Page {
    value: Vec<Value>,
    rendered: Vec<ArmId>,
    next: Option<String>,
}

fn front(store: &ArmStore, scope: &ListScope) -> Result<String, ArmError> {
    match &scope.group {
        Some(group) => {
            store.existing_group(group)?;
            Ok(format!("{}/", key(group)))
        }
        None => Ok(format!("/subscriptions/{}/", scope.subscription.to_ascii_lowercase())),
    }
}

fn page<'a>(
    store: &'a ArmStore,
    keys: impl Iterator<Item = &'a String>,
    call: &ArmRequest<'_>,
    is_listed: impl Fn(&StoredResource) -> bool,
    show: impl Fn(&StoredResource) -> Value,
) -> Result<Page, ArmError> {
    let after = match call.parameter("$skiptoken") {
        Some(token) => Bound::Excluded(read_token(&token)?),
        None => Bound::Unbounded,
    };
    let mut page = Page { value: Vec::new(), rendered: Vec::new(), next: None };
    let mut last = None;
    let rest = keys.filter(|key| match &after {
        Bound::Excluded(after) => *key > after,
        _ => true,
    });
    for key in rest {
        let Some(stored) = store.objects.get(key).filter(|stored| is_listed(stored)) else {
            continue;
        };
        if page.value.len() == PAGE_SIZE {
            page.next = last.map(|last: &String| URL_SAFE_NO_PAD.encode(last));
            break;
        }
        page.value.push(show(stored));
        page.rendered.push(stored.id.clone());
        last = Some(key);
    }
    Ok(page)
}

fn read_token(token: &str) -> Result<String, ArmError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| ArmError::bad("InvalidSkipToken", "The provided skip token is not valid."))
}

/// Builds the page. Listing an object advances its operation.
fn finish(
    store: &mut ArmStore,
    page: Page,
    call: &ArmRequest<'_>,
    context: &mut ArmContext<'_>,
) -> ArmResult {
    if !store.running.is_empty() {
        for id in &page.rendered {
            store.step_object(id, context);
        }
    }
    let mut body = json!({"value": page.value});
    if let Some(token) = page.next {
        let mut query = url::form_urlencoded::Serializer::new(String::new());
        for (name, value) in url::form_urlencoded::parse(call.query().as_bytes()) {
            if name != "$skiptoken" {
                query.append_pair(&name, &value);
            }
        }
        query.append_pair("$skiptoken", &token);
        let link = format!("{}{}?{}", context.base_url, call.path(), query.finish());
        json::set(&mut body, &["nextLink"], json!(link));
    }
    Ok(responses::json(StatusCode::OK, &body))
}

fn summary(body: &Value) -> Value {
    let rendered =
        ["id", "name", "type", "location", "tags", "sku", "zones", "managedBy", "identity"];
    let members =
        rendered.into_iter().filter_map(|name| Some((name.to_owned(), body.get(name)?.clone())));
    Value::Object(members.collect::<Map<_, _>>())
}

/// The `$filter` conditions that clients use.
#[derive(Debug, Default)]
struct Filter {
    tag_name: Option<String>,
    tag_value: Option<String>,
    resource_type: Option<String>,
    group: Option<String>,
    name: Option<String>,
    location: Option<String>,
}

impl Filter {
    fn parse(text: Option<&str>) -> Result<Self, ArmError> {
        let mut filter = Self::default();
        // azure-cli sends an empty filter for no filter.
        let text = text.filter(|text| !text.trim().is_empty());
        for condition in text.into_iter().flat_map(|text| text.split(" and ")) {
            let mut parts = condition.trim().splitn(3, ' ');
            let (name, operator, value) = (parts.next(), parts.next(), parts.next());
            let value = value.map(|value| value.trim().trim_matches('\'').to_owned());
            let name = name.map(str::to_ascii_lowercase);
            match (name.as_deref(), operator) {
                (Some("tagname"), Some("eq")) => filter.tag_name = value,
                (Some("tagvalue"), Some("eq")) => filter.tag_value = value,
                (Some("resourcetype"), Some("eq")) => filter.resource_type = value,
                (Some("resourcegroup"), Some("eq")) => filter.group = value,
                (Some("name"), Some("eq")) => filter.name = value,
                (Some("location"), Some("eq")) => filter.location = value,
                _ => {
                    let message = format!("The filter '{condition}' is not supported.");
                    return Err(ArmError::bad("InvalidFilterInQueryString", message));
                }
            }
        }
        Ok(filter)
    }

    fn admits(&self, body: &Value) -> bool {
        let tagged = self.tag_name.as_ref().is_none_or(|name| {
            let tag = body.get("tags").and_then(Value::as_object).and_then(|tags| {
                tags.iter().find(|(present, _)| present.eq_ignore_ascii_case(name))
            });
            tag.is_some_and(|(_, value)| {
                self.tag_value.as_ref().is_none_or(|expected| value.as_str() == Some(expected))
            })
        });
        let group = json::text(body, "/id").map(ArmId::new);
        let group = group.as_ref().and_then(ArmId::resource_group_name);
        let conditions = [
            (&self.resource_type, json::text(body, "/type")),
            (&self.group, group),
            (&self.name, json::text(body, "/name")),
            (&self.location, json::text(body, "/location")),
        ];
        tagged
            && conditions.into_iter().all(|(expected, found)| {
                let is_it = |it: &String| it.eq_ignore_ascii_case(found.unwrap_or_default());
                expected.as_ref().is_none_or(is_it)
            })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::arm::test_client::{BASE, GROUP, TestClient, network};

    #[test]
    fn long_lists_are_paginated() {
        let mut client = TestClient::new();
        for number in 0..450 {
            let tags = if number < 3 { json!({"side": "a"}) } else { json!({}) };
            let path = network(&format!("routeTables/t{number}"));
            assert_eq!(client.put(&path, json!({"location": "x", "tags": tags})).status, 201);
        }
        let mut url =
            format!("{BASE}/subscriptions/s/providers/Microsoft.Network/routeTables?api-version=1");
        let mut seen = 0;
        loop {
            let page = client.get(&url).body;
            seen += page["value"].as_array().unwrap().len();
            match page["nextLink"].as_str() {
                Some(next) => url = next.to_owned(),
                None => break,
            }
        }
        assert_eq!(seen, 450);
        let filter = "resources?$filter=tagName%20eq%20'side'%20and%20tagValue%20eq%20'a'";
        let found = client.get(&format!("{GROUP}/{filter}")).body;
        assert_eq!(found["value"].as_array().unwrap().len(), 3);
        assert!(found["value"][0].get("properties").is_none());
        // Names in any letter case, other conditions, and an empty filter, as azure-cli sends them.
        for (filter, count) in [
            ("tagname%20eq%20'side'", 3),
            ("resourceGroup%20eq%20'G'%20and%20name%20eq%20't7'", 1),
            ("resourceGroup%20eq%20'other'", 0),
            ("", 200),
        ] {
            let found = client.get(&format!("/subscriptions/s/resources?$filter={filter}")).body;
            assert_eq!(found["value"].as_array().unwrap().len(), count, "{filter}");
        }
        let unknown = client.get("/subscriptions/s/resources?$filter=color%20eq%20'red'");
        assert_eq!(unknown.refusal(), (400, "InvalidFilterInQueryString"));
    }
}
