//! What a world comes to, without what differs from one run to the next: ids,
//! times, versions, and the order in which random names were given.

use regex::Regex;
use serde_json::{Map, Value, json};
use stargate::sandbox::SandboxState;

/// Fields that tell when or how often, and not what.
const FLEETING: [&str; 19] = [
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

/// Kinds of Kubernetes objects that are records, or that come and go by themselves.
const RECORDS: [&str; 3] =
    ["certificatesigningrequests.certificates.k8s.io", "operations.stargate.io", "pods"];

/// The world as a value that is equal for equal worlds.
pub(crate) fn canonical_state(world: &SandboxState) -> Value {
    let whole = serde_json::to_value(world).unwrap();
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
            !RECORDS.contains(&kind.as_str())
                && objects.as_object().is_some_and(|all| !all.is_empty())
        })
        .map(|(kind, objects)| (kind.clone(), objects.clone()))
        .collect();
    let forms = Forms::of(world);
    objects.iter_mut().chain(&mut devices).for_each(|value| forms.simplify(value));
    let mut rest = json!({ "kubernetes": kubernetes, "hosts": whole["hosts"] });
    forms.simplify(&mut rest);
    json!({
        "azure": by(objects, "id"),
        "tailnet": by(devices, "hostname"),
        "rest": rest,
    })
}

/// Where two worlds differ, one line a place.
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
                let side = |map: &Map<String, Value>| map.get(name).cloned().unwrap_or_default();
                compare(&side(left), &side(right), format!("{at}/{name}"), found);
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

/// Things by name; two of one name stand side by side.
fn by(things: Vec<Value>, field: &str) -> Value {
    let mut named = Map::new();
    for thing in things {
        let list = named.entry(thing[field].to_string()).or_insert_with(|| json!([]));
        list.as_array_mut().unwrap().push(thing);
    }
    Value::Object(named)
}

fn fields(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// How names that were given at random are told from others.
struct Forms {
    shapes: Vec<(Regex, String)>,
}

impl Forms {
    fn of(world: &SandboxState) -> Self {
        let shape = |pattern: &str, name: &str| (Regex::new(pattern).unwrap(), name.to_owned());
        let mut shapes = vec![
            shape(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", "<guid>"),
            shape(r"\d{4}-\d\d-\d\dT[0-9:.]+Z", "<time>"),
            shape(r"_[0-9a-f]{32}", "_<random>"),
            shape(r"n[0-9a-z]+CNTRL", "<device>"),
            shape(r"aks-(\w+)-\d{8}", "aks-$1-<number>"),
            shape(r"\b20\.\d+\.\d+\.\d+\b", "<public address>"),
            shape(r"-[0-9a-f]{8}\.(portal\.)?hcp", "-<random>.${1}hcp"),
        ];
        for host in world.hosts.values() {
            let Some(tailscale) = &host.tailscale else { continue };
            let Some(address) = tailscale.address.map(|address| address.to_string()) else {
                continue;
            };
            let name = format!("<{} in the tailnet>", host.name);
            shapes.push(shape(&regex::escape(&address), &name));
        }
        Self { shapes }
    }

    fn simplify(&self, value: &mut Value) {
        match value {
            Value::Object(map) => {
                for field in FLEETING {
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
                // What came first is nobody's concern.
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
        for (shape, name) in &self.shapes {
            text = shape.replace_all(&text, name.as_str()).into_owned();
        }
        text
    }
}
