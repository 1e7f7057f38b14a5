//! Decodes protobuf bodies of the few kinds that `kubectl` sends in this format: `create`, `drain`,
//! `certificate approve` and `auth`. Responses are JSON, which those clients accept.

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde_json::{Map, Value};

/// The type of a field.
#[derive(Debug, Clone, Copy)]
enum WireType {
    Text,
    Bytes,
    Integer,
    Boolean,
    Time,
    /// A time with microseconds.
    MicroTime,
    Message(&'static [Field]),
    /// A map from strings to this type.
    Map(&'static WireType),
    /// A list of this type.
    List(&'static WireType),
}

/// A field's number, its JSON name and its type.
type Field = (u64, &'static str, WireType);

use WireType::{Boolean, Bytes, Integer, List, Message, MicroTime, Text, Time};

const TEXTS: WireType = WireType::Map(&Text);
const OWNER: &[Field] = &[
    (1, "kind", Text),
    (3, "name", Text),
    (4, "uid", Text),
    (5, "apiVersion", Text),
    (6, "controller", Boolean),
    (7, "blockOwnerDeletion", Boolean),
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
        (13, "ownerReferences", List(&Message(OWNER))),
        (14, "finalizers", List(&Text)),
    ]),
);
const RESOURCE: WireType = Message(&[
    (1, "namespace", Text),
    (2, "verb", Text),
    (3, "group", Text),
    (4, "version", Text),
    (5, "resource", Text),
    (6, "subresource", Text),
    (7, "name", Text),
]);
const PATH: WireType = Message(&[(1, "path", Text), (2, "verb", Text)]);
const REVIEW: &[Field] = &[(1, "resourceAttributes", RESOURCE), (2, "nonResourceAttributes", PATH)];
const SUBJECT_REVIEW: &[Field] = &[
    (1, "resourceAttributes", RESOURCE),
    (2, "nonResourceAttributes", PATH),
    (3, "user", Text),
    (4, "groups", List(&Text)),
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
    (4, "groups", List(&Text)),
    (5, "usages", List(&Text)),
    (7, "signerName", Text),
    (8, "expirationSeconds", Integer),
];
const REQUEST_STATUS: &[Field] =
    &[(1, "conditions", List(&Message(CONDITION))), (2, "certificate", Bytes)];
const PRECONDITIONS: &[Field] = &[(1, "uid", Text), (2, "resourceVersion", Text)];
const DELETION: &[Field] = &[
    (1, "gracePeriodSeconds", Integer),
    (2, "preconditions", Message(PRECONDITIONS)),
    (4, "propagationPolicy", Text),
    (5, "dryRun", List(&Text)),
];
const LEASE: &[Field] = &[
    (1, "holderIdentity", Text),
    (2, "leaseDurationSeconds", Integer),
    (3, "acquireTime", MicroTime),
    (4, "renewTime", MicroTime),
    (5, "leaseTransitions", Integer),
];

fn message(kind: &str) -> Option<&'static [Field]> {
    Some(match kind {
        "Namespace" | "ServiceAccount" | "SelfSubjectReview" => &[METADATA],
        "ConfigMap" => &[METADATA, (2, "data", TEXTS)],
        "Secret" => &[
            METADATA,
            (2, "data", WireType::Map(&Bytes)),
            (3, "type", Text),
            (4, "stringData", TEXTS),
        ],
        "Lease" => &[METADATA, (2, "spec", Message(LEASE))],
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

/// Decodes a body. Returns `None` if it is damaged or of an unsupported kind.
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

/// Decodes a number and returns the remaining bytes.
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

/// The payload of one field and the remaining bytes.
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
            List(item) => {
                let list = map.entry(*name).or_insert_with(|| Value::Array(Vec::new()));
                list.as_array_mut()?.push(value(number, inner, **item)?);
            }
            WireType::Map(item) => {
                let pair = object(inner, &[(1, "key", Text), (2, "value", **item)])?;
                let key = pair.get("key").and_then(Value::as_str).unwrap_or_default();
                let value = pair.get("value").cloned().unwrap_or_else(|| Value::from(""));
                let below = map.entry(*name).or_insert_with(|| Value::Object(Map::new()));
                below.as_object_mut()?.insert(key.to_owned(), value);
            }
            // In protobuf an empty string stands for an absent one.
            Text if inner.is_empty() => {}
            shape => {
                map.insert((*name).to_owned(), value(number, inner, *shape)?);
            }
        }
    }
    Some(map)
}

fn value(number: u64, inner: &[u8], shape: WireType) -> Option<Value> {
    Some(match shape {
        Text => Value::from(std::str::from_utf8(inner).ok()?),
        Bytes => Value::from(STANDARD.encode(inner)),
        Integer => Value::from(number),
        Boolean => Value::from(number != 0),
        Time => {
            let time = object(inner, &[(1, "seconds", Integer)])?;
            let seconds = time.get("seconds").and_then(Value::as_i64).unwrap_or_default();
            Value::from(Timestamp::from_second(seconds).ok()?.to_string())
        }
        MicroTime => {
            let time = object(inner, &[(1, "seconds", Integer), (2, "nanos", Integer)])?;
            let part = |name: &str| time.get(name).and_then(Value::as_i64).unwrap_or_default();
            let nanos = i32::try_from(part("nanos")).ok()?;
            Value::from(format!("{:.6}", Timestamp::new(part("seconds"), nanos).ok()?))
        }
        Message(fields) => Value::Object(object(inner, fields)?),
        List(_) | WireType::Map(_) => return None,
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
    fn a_lease_keeps_its_microseconds_and_a_deletion_its_preconditions() {
        let time = [vec![8, 1, 16], vec![0x80, 0x89, 0x7a]].concat();
        let spec = [field(1, b"one"), vec![16, 15], field(4, &time)].concat();
        let kind = [field(1, b"coordination.k8s.io/v1"), field(2, b"Lease")].concat();
        let raw = [field(1, &field(1, b"l")), field(2, &spec)].concat();
        let body = [b"k8s\0".to_vec(), field(1, &kind), field(2, &raw)].concat();
        let expected = json!({ "holderIdentity": "one", "leaseDurationSeconds": 15,
            "renewTime": "1970-01-01T00:00:01.002000Z" });
        assert_eq!(read(&body).unwrap()["spec"], expected);
        let kind = [field(1, b"v1"), field(2, b"DeleteOptions")].concat();
        let raw = field(2, &field(1, b"u"));
        let body = [b"k8s\0".to_vec(), field(1, &kind), field(2, &raw)].concat();
        assert_eq!(read(&body).unwrap()["preconditions"], json!({ "uid": "u" }));
    }

    #[test]
    fn an_object_in_a_protobuf_envelope_is_decoded() {
        let label = field(11, &[field(1, b"a"), field(2, b"b")].concat());
        let raw = field(1, &[field(1, b"shop"), label].concat());
        let kind = field(1, &[field(1, b"v1"), field(2, b"Namespace")].concat());
        let body = [b"k8s\0".to_vec(), kind, field(2, &raw), field(4, b"")].concat();
        let expected = json!({"apiVersion": "v1", "kind": "Namespace",
            "metadata": {"name": "shop", "labels": {"a": "b"}}});
        assert_eq!(read(&body), Some(expected));
        for length in 0..body.len() - 2 {
            // Truncation at any length must not panic.
            let _cut = read(&body[..length]);
        }
        assert_eq!(read(b"{}"), None);
    }
}
