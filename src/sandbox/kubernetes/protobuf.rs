//! Bodies in protobuf, for the few kinds that `kubectl` sends so without being asked:
//! `create`, `drain`, `certificate approve` and `auth`. Answers are JSON all the same,
//! which those clients accept.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// What a field holds.
#[derive(Debug, Clone, Copy)]
enum Shape {
    Text,
    Bytes,
    Integer,
    Truth,
    Time,
    Message(&'static [Field]),
    /// A map from texts to this.
    Map(&'static Shape),
    /// A list of these.
    Many(&'static Shape),
}

/// A field's number, its name in JSON and what it holds.
type Field = (u64, &'static str, Shape);

use Shape::{Bytes, Integer, Many, Message, Text, Time, Truth};

const TEXTS: Shape = Shape::Map(&Text);
const OWNER: &[Field] = &[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", Truth),
    (7, "blockOwnerDeletion", Truth),
];
const METADATA: Field = (
    1,
    "metadata",
    Message(&[
        (1, "name", Text),
        (2, "generateName", Text),
        (3, "namespace", Text),
        (5, "uid", Text),
        (6, "resourceVersion", Text),
        (7, "generation", Integer),
        (11, "labels", TEXTS),
        (12, "annotations", TEXTS),
        (13, "ownerReferences", Many(&Message(OWNER))),
        (14, "finalizers", Many(&Text)),
    ]),
);
const RESOURCE: Shape = Message(&[
    (1, "namespace", Text),
    (2, "verb", Text),
    (3, "group", Text),
    (4, "version", Text),
    (5, "resource", Text),
    (6, "subresource", Text),
    (7, "name", Text),
]);
const PATH: Shape = Message(&[(1, "path", Text), (2, "verb", Text)]);
const REVIEW: &[Field] = &[(1, "resourceAttributes", RESOURCE), (2, "nonResourceAttributes", PATH)];
const SUBJECT_REVIEW: &[Field] = &[
    (1, "resourceAttributes", RESOURCE),
    (2, "nonResourceAttributes", PATH),
    (3, "user", Text),
    (4, "groups", Many(&Text)),
];
const CONDITION: &[Field] = &[
    (1, "type", Text),
    (2, "reason", Text),
    (3, "message", Text),
    (4, "lastUpdateTime", Time),
    (5, "lastTransitionTime", Time),
    (6, "status", Text),
];
const REQUEST: &[Field] = &[
    (1, "request", Bytes),
    (2, "username", Text),
    (4, "groups", Many(&Text)),
    (5, "usages", Many(&Text)),
    (7, "signerName", Text),
    (8, "expirationSeconds", Integer),
];
const REQUEST_STATUS: &[Field] =
    &[(1, "conditions", Many(&Message(CONDITION))), (2, "certificate", Bytes)];
const DELETION: &[Field] = &[(4, "propagationPolicy", Text), (5, "dryRun", Many(&Text))];

fn message(kind: &str) -> Option<&'static [Field]> {
    Some(match kind {
        "Namespace" | "ServiceAccount" | "SelfSubjectReview" => &[METADATA],
        "ConfigMap" => &[METADATA, (2, "data", TEXTS)],
        "Secret" => &[
            METADATA,
            (2, "data", Shape::Map(&Bytes)),
            (3, "type", Text),
            (4, "stringData", TEXTS),
        ],
        "Eviction" => &[METADATA, (2, "deleteOptions", Message(DELETION))],
        "DeleteOptions" => DELETION,
        "SelfSubjectAccessReview" => &[METADATA, (2, "spec", Message(REVIEW))],
        "SubjectAccessReview" => &[METADATA, (2, "spec", Message(SUBJECT_REVIEW))],
        "CertificateSigningRequest" => {
            &[METADATA, (2, "spec", Message(REQUEST)), (3, "status", Message(REQUEST_STATUS))]
        }
        _ => return None,
    })
}

/// Reads a body; none when it is damaged or of a kind not known here.
pub(super) fn read(body: &[u8]) -> Option<Value> {
    let envelope: &[Field] =
        &[(1, "type", Message(&[(1, "apiVersion", Text), (2, "kind", Text)])), (2, "raw", Bytes)];
    let outer = object(body.strip_prefix(b"k8s\0")?, envelope)?;
    let kind = outer.get("type")?;
    let raw = outer.get("raw").and_then(Value::as_str).unwrap_or_default();
    let mut fields = object(&STANDARD.decode(raw).ok()?, message(kind.get("kind")?.as_str()?)?)?;
    fields.insert("apiVersion".to_owned(), kind.get("apiVersion")?.clone());
    fields.insert("kind".to_owned(), kind.get("kind")?.clone());
    Some(Value::Object(fields))
}

/// A number and what follows it.
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f).checked_shl(7 * u32::try_from(place).ok()?)?;
        if byte & 0x80 == 0 {
            return Some((number, bytes.get(place + 1..)?));
        }
    }
    None
}

/// The payload of one field, and what follows it.
fn payload(wire: u64, bytes: &[u8]) -> Option<(u64, &[u8], &[u8])> {
    match wire {
        0 => varint(bytes).map(|(number, rest)| (number, &bytes[..0], rest)),
        1 => bytes.split_at_checked(8).map(|(_, rest)| (0, &bytes[..0], rest)),
        5 => bytes.split_at_checked(4).map(|(_, rest)| (0, &bytes[..0], rest)),
        2 => {
            let (length, rest) = varint(bytes)?;
            let (inner, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            Some((0, inner, rest))
        }
        _ => None,
    }
}

fn object(mut bytes: &[u8], fields: &[Field]) -> Option<Map<String, Value>> {
    let mut map = Map::new();
    while !bytes.is_empty() {
        let (tag, rest) = varint(bytes)?;
        let (number, inner, rest) = payload(tag & 7, rest)?;
        bytes = rest;
        let Some((_, name, shape)) = fields.iter().find(|(field, ..)| *field == tag >> 3) else {
            continue;
        };
        match shape {
            Many(item) => {
                let list = map.entry(*name).or_insert_with(|| Value::Array(Vec::new()));
                list.as_array_mut()?.push(value(number, inner, **item)?);
            }
            Shape::Map(item) => {
                let pair = object(inner, &[(1, "key", Text), (2, "value", **item)])?;
                let key = pair.get("key").and_then(Value::as_str).unwrap_or_default();
                let value = pair.get("value").cloned().unwrap_or_else(|| Value::from(""));
                let below = map.entry(*name).or_insert_with(|| Value::Object(Map::new()));
                below.as_object_mut()?.insert(key.to_owned(), value);
            }
            // Empty texts stand for absent ones here.
            Text if inner.is_empty() => {}
            shape => {
                map.insert((*name).to_owned(), value(number, inner, *shape)?);
            }
        }
    }
    Some(map)
}

fn value(number: u64, inner: &[u8], shape: Shape) -> Option<Value> {
    Some(match shape {
        Text => Value::from(std::str::from_utf8(inner).ok()?),
        Bytes => Value::from(STANDARD.encode(inner)),
        Integer => Value::from(number),
        Truth => Value::from(number != 0),
        Time => {
            let time = object(inner, &[(1, "seconds", Integer)])?;
            let seconds = time.get("seconds").and_then(Value::as_i64).unwrap_or_default();
            Value::from(Timestamp::from_second(seconds).ok()?.to_string())
        }
        Message(fields) => Value::Object(object(inner, fields)?),
        Many(_) | Shape::Map(_) => return None,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn field(number: u8, inner: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(inner.len()).unwrap()];
        bytes.extend(inner);
        bytes
    }

    #[test]
    fn an_enveloped_object_is_read() {
        let label = field(11, &[field(1, b"a"), field(2, b"b")].concat());
        let raw = field(1, &[field(1, b"shop"), label].concat());
        let kind = field(1, &[field(1, b"v1"), field(2, b"Namespace")].concat());
        let body = [b"k8s\0".to_vec(), kind, field(2, &raw), field(4, b"")].concat();
        let wanted = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "shop", "labels": {"a": "b"}}});
        assert_eq!(read(&body), Some(wanted));
        for length in 0..body.len() - 2 {
            // Whatever is cut off, nothing breaks.
            let _cut = read(&body[..length]);
        }
        assert_eq!(read(b"{}"), None);
    }
}
