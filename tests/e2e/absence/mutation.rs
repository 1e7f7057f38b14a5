//! One object or one field of a service's answers: hidden, spelled otherwise, or garbled.

use serde_json::{Value, json};
use stargate::provider::http::Api;

/// What is done to an object wherever it is answered.
#[derive(Debug, Clone)]
pub(crate) struct Mutation {
    pub(crate) api: Api,
    /// Which object.
    pub(crate) identity: String,
    pub(crate) how: How,
}

#[derive(Debug, Clone)]
pub(crate) enum How {
    /// Lists leave it out, as Azure does with what the identity may not read.
    HideFromLists,
    /// Lists leave it out, and a read by its id is refused.
    Refuse,
    /// The field at this pointer is missing.
    HideField(String),
    /// The field is null.
    Null(String),
    /// The field is of another type, or no longer an address, prefix or version.
    Garble(String),
    /// The field has this value.
    Write(String, Value),
    /// The field is written in another way that the service allows.
    Respell(String),
}

/// What tells objects apart.
pub(crate) fn identity(api: Api, object: &Value) -> Option<String> {
    match api {
        Api::Azure => Some(object["id"].as_str()?.to_ascii_lowercase()),
        Api::Tailscale => Some(object["nodeId"].as_str()?.to_owned()),
        Api::Kubernetes => {
            let metadata = &object["metadata"];
            let (kind, name) = (object["kind"].as_str(), metadata["name"].as_str()?);
            Some(format!("{} {} {name}", kind.unwrap_or_default(), metadata["uid"]))
        }
    }
}

impl Mutation {
    /// Changes an answer; an error is the body of a refusal.
    pub(crate) fn rewrite(&self, api: Api, body: &mut Value) -> Result<(), Value> {
        if api != self.api {
            return Ok(());
        }
        let is_it = |object: &Value| identity(api, object).as_ref() == Some(&self.identity);
        if is_it(body) {
            if matches!(self.how, How::Refuse) {
                let message = "does not have authorization to perform action";
                return Err(json!({"error": {"code": "AuthorizationFailed", "message": message}}));
            }
            self.change(body);
            return Ok(());
        }
        for name in ["value", "items", "devices"] {
            let Some(list) = body[name].as_array_mut() else { continue };
            if matches!(self.how, How::HideFromLists | How::Refuse) {
                list.retain(|object| !is_it(object));
            }
            list.iter_mut().filter(|object| is_it(object)).for_each(|object| self.change(object));
        }
        Ok(())
    }

    fn change(&self, object: &mut Value) {
        match &self.how {
            How::HideFromLists | How::Refuse => {}
            How::HideField(pointer) => remove(object, pointer),
            How::Null(pointer) => set(object, pointer, |field| *field = Value::Null),
            How::Garble(pointer) => set(object, pointer, garble),
            How::Write(pointer, value) => set(object, pointer, |field| *field = value.clone()),
            How::Respell(pointer) => respell(object, pointer),
        }
    }
}

fn set(object: &mut Value, pointer: &str, change: impl FnOnce(&mut Value)) {
    if let Some(field) = object.pointer_mut(pointer) {
        change(field);
    }
}

fn remove(object: &mut Value, pointer: &str) {
    let Some((parent, name)) = pointer.rsplit_once('/') else { return };
    let name = name.replace("~1", "/").replace("~0", "~");
    match object.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.remove(&name);
        }
        Some(Value::Array(items)) => {
            let index = name.parse().ok().filter(|index: &usize| *index < items.len());
            index.into_iter().for_each(|index| drop(items.remove(index)));
        }
        _ => {}
    }
}

/// Whether a text has the form of an address, a prefix or a version.
fn has_form(text: &str) -> bool {
    let numbers = text.trim_start_matches('v').split(['.', '/', ':']);
    text.contains('.')
        && numbers.clone().count() > 1
        && numbers.clone().all(|it| it.parse::<u32>().is_ok())
}

fn garble(field: &mut Value) {
    *field = match &*field {
        Value::String(text) if has_form(text) => json!("garbled"),
        Value::String(_) => json!(7),
        Value::Number(_) | Value::Bool(_) => json!("garbled"),
        Value::Array(_) => json!({ "garbled": 1 }),
        Value::Object(_) => json!("garbled"),
        Value::Null => json!([7]),
    };
}

/// Whether [`respell`] changes a field.
pub(crate) fn has_another_spelling(object: &Value, pointer: &str) -> bool {
    let mut other = object.clone();
    respell(&mut other, pointer);
    other != *object
}

/// Writes a field of Azure in another way: ids, names, regions and sizes in another
/// letter case, one range as a list, an empty list as nothing.
fn respell(object: &mut Value, pointer: &str) {
    let (parent, name) = pointer.rsplit_once('/').unwrap_or_default();
    let (parent, name) = (parent.to_owned(), name.to_owned());
    let Some(field) = object.pointer(pointer).cloned() else { return };
    match (name.as_str(), &field) {
        ("addressPrefix", Value::String(text)) if pointer.contains("subnets") => {
            let range = json!([text]);
            set(object, &parent, |fields| {
                fields["addressPrefixes"] = range;
                fields["addressPrefix"] = Value::Null;
            });
        }
        ("location", Value::String(text)) => {
            let (front, back) = text.split_at(text.len() / 2);
            let spelled = json!(format!("{} {back}", front.to_uppercase()));
            set(object, pointer, |field| *field = spelled);
        }
        ("id" | "vmSize" | "vnetSubnetID", Value::String(text)) => {
            let spelled = json!(other_case(text));
            set(object, pointer, |field| *field = spelled);
        }
        (_, Value::Array(items)) if items.is_empty() => remove(object, pointer),
        (_, Value::Null) => remove(object, pointer),
        _ => {}
    }
}

fn other_case(text: &str) -> String {
    let upper = text.to_uppercase();
    if upper == text { text.to_lowercase() } else { upper }
}

/// A pointer to every field and item of an object, at any depth.
pub(crate) fn pointers(object: &Value) -> Vec<String> {
    fn visit(value: &Value, at: &str, found: &mut Vec<String>) {
        let names: Vec<(String, &Value)> = match value {
            Value::Object(fields) => fields
                .iter()
                .map(|(name, value)| (name.replace('~', "~0").replace('/', "~1"), value))
                .collect(),
            Value::Array(items) => {
                items.iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect()
            }
            _ => return,
        };
        for (name, value) in names {
            let pointer = format!("{at}/{name}");
            visit(value, &pointer, found);
            found.push(pointer);
        }
    }
    let mut found = Vec::new();
    visit(object, "", &mut found);
    found
}
