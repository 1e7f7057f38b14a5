//! One object or one field of a service's answers: hidden, spelled otherwise, or garbled.

use http::StatusCode;
use serde_json::{Value, json};
use stargate::provider::http::Api;

use super::spelling::respell;

/// A modification of an object in all responses that contain it.
#[derive(Debug, Clone)]
pub(crate) struct Mutation {
    pub(crate) api: Api,
    /// The identity of the object.
    pub(crate) identity: String,
    pub(crate) how: How,
}

#[derive(Debug, Clone)]
pub(crate) enum How {
    /// Lists omit it, as Azure omits objects that the identity may not read.
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
    /// The value at this pointer, an object, has a field that this version does not know.
    AddField(String),
    /// The list of this kind has another form.
    List(ListForm),
    /// Lists of this type of Azure are empty, and reads of its objects are refused.
    HideType,
}

/// The replacement of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListForm {
    /// It is refused. Neither Kubernetes nor Tailscale leaves out single objects of a list:
    /// who may not read all of them gets none.
    Refused,
    /// There is no array.
    Missing,
    /// The array is null.
    Null,
    /// There is an object in the place of the array.
    Object,
    /// The array has an item that is null.
    NullItem,
    /// The array has an empty object.
    EmptyItem,
    /// The array has an object of which nothing but the name is known.
    StrangeItem,
    /// The connection ended in the middle of the body.
    Truncated,
    /// A proxy answers that there is nothing at this path.
    NotFoundByProxy,
}

impl ListForm {
    pub(crate) const ALL: [Self; 9] = [
        Self::Refused,
        Self::Missing,
        Self::Null,
        Self::Object,
        Self::NullItem,
        Self::EmptyItem,
        Self::StrangeItem,
        Self::Truncated,
        Self::NotFoundByProxy,
    ];

    fn write(self, api: Api, body: &mut Value, array: &str) -> Result<(), Instead> {
        let strange = match api {
            Api::Kubernetes => json!({ "metadata": { "name": "strange" } }),
            _ => json!({ "hostname": "strange", "nodeId": "nStrange" }),
        };
        match self {
            Self::Refused => return Err(Instead::refusal()),
            Self::Truncated => {
                let text = body.to_string();
                let half = text.chars().take(text.len() / 2).collect();
                return Err(Instead { status: StatusCode::OK, body: half });
            }
            Self::NotFoundByProxy => {
                let body = "<html>404 Not Found</html>".to_owned();
                return Err(Instead { status: StatusCode::NOT_FOUND, body });
            }
            Self::Missing => remove(body, &format!("/{array}")),
            Self::Null => body[array] = Value::Null,
            Self::Object => body[array] = json!({}),
            Self::NullItem => push(&mut body[array], Value::Null),
            Self::EmptyItem => push(&mut body[array], json!({})),
            Self::StrangeItem => push(&mut body[array], strange),
        }
        Ok(())
    }
}

/// The response that replaces another one.
#[derive(Debug)]
pub(crate) struct Instead {
    pub(crate) status: StatusCode,
    pub(crate) body: String,
}

impl Instead {
    fn refusal() -> Self {
        let message = "does not have authorization to perform action";
        let body = json!({
            "kind": "Status", "status": "Failure", "reason": "Forbidden", "message": message,
            "code": 403, "error": { "code": "AuthorizationFailed", "message": message },
        });
        Self { status: StatusCode::FORBIDDEN, body: body.to_string() }
    }
}

fn push(array: &mut Value, item: Value) {
    array.as_array_mut().into_iter().for_each(|items| items.insert(0, item.clone()));
}

/// The identity of a list, and the name of its array.
pub(crate) fn list_identity(api: Api, path: &str, body: &Value) -> Option<(String, &'static str)> {
    let array = match api {
        Api::Azure => "value",
        Api::Tailscale => "devices",
        Api::Kubernetes => "items",
    };
    body[array].as_array()?;
    let name = match api {
        Api::Azure => path.to_ascii_lowercase(),
        _ => body["kind"].as_str().unwrap_or(array).to_owned(),
    };
    Some((format!("list {name}"), array))
}

/// The identity of an object.
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
    /// Modifies a response; the error is the response that replaces it.
    pub(crate) fn rewrite(&self, api: Api, path: &str, body: &mut Value) -> Result<(), Instead> {
        if api != self.api {
            return Ok(());
        }
        if matches!(self.how, How::HideType) {
            return self.hide_type(path, body);
        }
        if let How::List(form) = self.how {
            return match list_identity(api, path, body) {
                Some((identity, array)) if identity == self.identity => {
                    form.write(api, body, array)
                }
                _ => Ok(()),
            };
        }
        let is_it = |object: &Value| identity(api, object).as_ref() == Some(&self.identity);
        if is_it(body) {
            if matches!(self.how, How::Refuse) {
                return Err(Instead::refusal());
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

    fn hide_type(&self, path: &str, body: &mut Value) -> Result<(), Instead> {
        let path = path.to_ascii_lowercase();
        if path.contains(&format!("{}/", self.identity)) {
            return Err(Instead::refusal());
        }
        if path.ends_with(&self.identity) {
            body["value"] = json!([]);
        }
        Ok(())
    }

    fn change(&self, object: &mut Value) {
        match &self.how {
            How::HideFromLists | How::Refuse | How::List(_) | How::HideType => {}
            How::HideField(pointer) => remove(object, pointer),
            How::Null(pointer) => set(object, pointer, |field| *field = Value::Null),
            How::Garble(pointer) => set(object, pointer, garble),
            How::Write(pointer, value) => set(object, pointer, |field| *field = value.clone()),
            How::Respell(pointer) => respell(self.api, object, pointer),
            How::AddField(pointer) => set(object, pointer, |field| {
                if let Some(fields) = field.as_object_mut() {
                    fields.insert("ofALaterVersion".to_owned(), json!({ "enabled": true }));
                }
            }),
        }
    }
}

pub(super) fn set(object: &mut Value, pointer: &str, change: impl FnOnce(&mut Value)) {
    if let Some(field) = object.pointer_mut(pointer) {
        change(field);
    }
}

pub(super) fn remove(object: &mut Value, pointer: &str) {
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
