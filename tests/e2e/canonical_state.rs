//! Reduces the state of a sandbox to the part that is equal in equivalent runs: without
//! IDs, times, versions, and the order in which random names were assigned.

use regex::Regex;
use serde_json::{Map, Value, json};
use stargate::sandbox::SandboxState;

/// Fields that contain times or counters.
const VOLATILE_FIELDS: [&str; 19] = [
    "resourceUID",
    "cluster_ca_digest",
    "internalDomainNameSuffix",
    "resourceVersion",
    "uid",
    "etag",
    "creationTimestamp",
    "time",
    "lastTransitionTime",
    "lastHeartbeatTime",
    "generation",
    "observedGeneration",
    "resourceGuid",
    "vmId",
    "timeCreated",
    "macAddress",
    "work_milliseconds",
    "certificate",
    "public_ip",
];

/// Kinds of Kubernetes objects that are records or short-lived. The Lease of a killed apply
/// expires by itself.
const VOLATILE_KINDS: [&str; 4] = [
    "certificatesigningrequests.certificates.k8s.io",
    "leases.coordination.k8s.io",
    "operations.stargate.io",
    "pods",
];

/// The state as a value that is equal for equivalent states.
pub(crate) fn canonical_state(sandbox: &SandboxState) -> Value {
    let whole = serde_json::to_value(sandbox).unwrap();
    let mut objects: Vec<Value> = fields(&whole["arm"]["objects"])
        .map(|(_, object)| json!({ "id": object["id"], "body": object["body"] }))
        .collect();
    let mut devices: Vec<Value> =
        fields(&whole["tailnet"]["devices"]).map(|(_, device)| device.clone()).collect();
    for device in &mut devices {
        for field in ["id", "node_id", "address", "expires", "created", "last_seen"] {
            device.as_object_mut().unwrap().remove(field);
        }
    }
    let kubernetes: Map<String, Value> = fields(&whole["kubernetes"]["objects"])
        .filter(|(kind, objects)| {
            !VOLATILE_KINDS.contains(&kind.as_str())
                && objects.as_object().is_some_and(|all| !all.is_empty())
        })
        .map(|(kind, objects)| (kind.clone(), objects.clone()))
        .collect();
    let forms = RandomNames::of(sandbox);
    objects.iter_mut().chain(&mut devices).for_each(|value| forms.simplify(value));
    let mut rest = json!({ "kubernetes": kubernetes, "hosts": hosts(&whole["hosts"]) });
    forms.simplify(&mut rest);
    json!({
        "azure": index_by(objects, "id"),
        "tailnet": index_by(devices, "hostname"),
        "rest": rest,
    })
}

/// The hosts by name. A machine that was made while another one had its name is stored by its
/// address too.
fn hosts(stored: &Value) -> Map<String, Value> {
    let mut hosts = Map::new();
    for (key, host) in fields(stored) {
        let name = key.split(" at ").next().unwrap_or(key);
        let key = if hosts.contains_key(name) { key } else { name };
        hosts.insert(key.to_owned(), host.clone());
    }
    hosts
}

/// The differences of two states, one line per path.
pub(crate) fn differences(one: &Value, other: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(one, other, String::new(), &mut found);
    found
}

fn compare(one: &Value, other: &Value, at: String, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(left), Value::Object(right)) => {
            let names: std::collections::BTreeSet<_> = left.keys().chain(right.keys()).collect();
            for name in names {
                let site = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or_default();
                compare(&site(left), &site(right), format!("{at}/{name}"), found);
            }
        }
        (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
            for (index, (left, right)) in left.iter().zip(right).enumerate() {
                compare(left, right, format!("{at}/{index}"), found);
            }
        }
        _ if one != other => found.push(format!("{at}: {one} | {other}")),
        _ => {}
    }
}

/// Indexes objects by name. Objects of the same name are collected in a list.
fn index_by(objects: Vec<Value>, field: &str) -> Value {
    let mut named = Map::new();
    for object in objects {
        let list = named.entry(object[field].to_string()).or_insert_with(|| json!([]));
        list.as_array_mut().unwrap().push(object);
    }
    Value::Object(named)
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// The patterns of randomly assigned names.
struct RandomNames {
    patterns: Vec<(Regex, String)>,
}

impl RandomNames {
    fn of(sandbox: &SandboxState) -> Self {
        let shape = |pattern: &str, name: &str| (Regex::new(pattern).unwrap(), name.to_owned());
        let mut patterns = vec![
            shape(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<guid>"),
            shape(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "<time>"),
            shape(r"_[0-9a-f]{32}", "_<random>"),
            shape(r"n[0-9a-z]+CNTRL", "<device>"),
            shape(r"aks-(\w+)-\d{8}", "aks-$1-<number>"),
            shape(r"\b20\.\d+\.\d+\.\d+\b", "<public address>"),
            shape(r"-[0-9a-f]{8}\.(portal\.)?hcp", "-<random>.${1}hcp"),
        ];
        for host in sandbox.hosts.values() {
            let Some(tailscale) = &host.tailscale else { continue };
            let Some(address) = tailscale.address.map(|address| address.to_string()) else {
                continue;
            };
            let name = format!("<{} in the tailnet>", host.name);
            patterns.push(shape(&regex::escape(&address), &name));
        }
        Self { patterns }
    }

    fn simplify(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for field in VOLATILE_FIELDS {
                    map.remove(field);
                }
                let old = std::mem::take(map);
                for (name, mut inner) in old {
                    self.simplify(&mut inner);
                    map.insert(self.name(&name), inner);
                }
            }
            Value::Array(items) => {
                items.iter_mut().for_each(|item| self.simplify(item));
                // The order of these items has no meaning.
                let unordered = |item: &Value| item.get("manager").or(item.get("id")).is_some();
                if items.iter().all(unordered) {
                    items.sort_by_key(Value::to_string);
                }
            }
            Value::String(text) => *text = self.name(text),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn name(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (shape, name) in &self.patterns {
            text = shape.replace_all(&text, name.as_str()).into_owned();
        }
        text
    }
}
