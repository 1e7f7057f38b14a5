//! The differences between two values of a resource, field by field.

use std::mem::discriminant;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::resource::host::JoinedWorker;
use crate::resource::version::KubernetesVersion;
use crate::resource::{Kind, Resource};

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FieldChange {
    /// The way to the field, as in `node_pools.nodepool1.vm_size`.
    pub path: FieldPath,
    /// The value now, if there is one.
    pub before: Option<Value>,
    /// The desired value; `None` if the field is removed.
    pub after: Option<Value>,
    /// Whether the value is known only after another resource exists.
    pub pending: bool,
    /// Whether the object must be replaced for it.
    pub forces_replacement: bool,
}

impl FieldChange {
    /// Whether the field is a transient state that changes by itself: the connection of a
    /// machine, or the progress of its provisioning.
    pub fn is_transient(&self) -> bool {
        ["online", "ready", "provisioning", "cordoned_for_work"]
            .iter()
            .any(|field| self.path.0 == [*field])
    }
}

/// The way to a field. Keys may hold dots (prefixes do), so it is a list.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FieldPath(pub Vec<String>);

impl std::fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, part) in self.0.iter().enumerate() {
            let bracket = part.contains(['.', '/', ':']);
            match (index, bracket) {
                (_, true) => write!(formatter, "[{part}]")?,
                (0, false) => formatter.write_str(part)?,
                (_, false) => write!(formatter, ".{part}")?,
            }
        }
        Ok(())
    }
}

/// The fields that differ between the observed and the desired value.
///
/// A field that was not read does not differ from any value.
pub fn between(before: &Resource, after: &Resource) -> Vec<FieldChange> {
    if before == after || is_equal_where_read(before, after) {
        return Vec::new();
    }
    let mut changes = Vec::new();
    let kind = after.kind();
    visit(kind, &mut Vec::new(), Some(&fields(before)), Some(&fields(after)), &mut changes);
    let creation_only = kind.facts().creation_only;
    changes.retain(|change| {
        let field = change.path.0.first();
        !field.is_some_and(|field| creation_only.contains(&field.as_str()))
    });
    changes
}

/// Fast path: whether all fields that were read are equal, as for nearly every worker of a
/// plan without `--deep`.
fn is_equal_where_read(before: &Resource, after: &Resource) -> bool {
    let (Resource::Worker(before), Resource::Worker(after)) = (before, after) else { return false };
    let JoinedWorker { name, ip, pod_cidr, provider_id, labels, taints, .. } = &**after;
    let JoinedWorker { kubelet_version, profile_digest, routes, .. } = &**after;
    let JoinedWorker { ready, cordoned_for_work, host, .. } = &**after;
    let JoinedWorker { protected_by, .. } = &**after;
    (before.host.observed().is_none() || host.observed().is_none())
        && (&before.name, &before.ip, &before.pod_cidr) == (name, ip, pod_cidr)
        && (&before.provider_id, &before.labels) == (provider_id, labels)
        && (&before.taints, &before.kubelet_version) == (taints, kubelet_version)
        && (&before.profile_digest, &before.ready) == (profile_digest, ready)
        && (&before.routes, before.cordoned_for_work) == (routes, *cordoned_for_work)
        && before.protected_by == *protected_by
}

/// All fields of an object that is created or deleted.
pub fn whole(resource: &Resource, diff: ObjectDiff) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let whole = Whole { kind: resource.kind(), diff };
    whole.add(&mut Vec::new(), fields(resource), &mut changes);
    // The provisioning state of created and deleted objects is not listed.
    changes.retain(|change| !is_provisioning(&change.path));
    changes
}

fn is_provisioning(path: &FieldPath) -> bool {
    path.0.last().is_some_and(|field| field == "provisioning")
}

/// An object that is created or deleted as a whole.
#[derive(Clone, Copy)]
struct Whole {
    kind: Kind,
    diff: ObjectDiff,
}

impl Whole {
    fn add(self, path: &mut Vec<String>, value: Value, changes: &mut Vec<FieldChange>) {
        if is_unobserved(Some(&value)) || is_empty(&value) {
            return;
        }
        let pending = is_pending(Some(&value));
        match value {
            Value::Object(map) if !pending => {
                let mut sorted: Vec<(String, Value)> = map.into_iter().collect();
                sorted.sort_by(|(one, _), (other, _)| one.cmp(other));
                for (key, value) in sorted {
                    path.push(key);
                    self.add(path, value, changes);
                    path.pop();
                }
            }
            value => {
                let removed = self.diff == ObjectDiff::Deleted;
                let (before, after) =
                    if removed { (Some(value), None) } else { (None, Some(value)) };
                changes.push(FieldChange {
                    path: FieldPath(path.clone()),
                    before,
                    after,
                    pending: pending && !removed,
                    forces_replacement: removed && self.kind.facts().fixed.contains(path),
                });
            }
        }
    }
}

/// Whether [`whole`] shows the value of a created or of a deleted object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ObjectDiff {
    /// It comes.
    Created,
    /// The object is deleted.
    Deleted,
}

/// The fields of a resource as a JSON object.
fn fields(resource: &Resource) -> Value {
    if let Resource::Manifest(manifest) = resource {
        let mut body = Value::clone(&manifest.body);
        write_whole_numbers(&mut body);
        return body;
    }
    // A resource serialises as `{"kind": …, "value": {…}}`; every value is
    // made of maps with text keys, so this cannot fail.
    let mut whole = serde_json::to_value(resource).unwrap_or_default();
    whole.get_mut("value").map(Value::take).unwrap_or_default()
}

/// Writes `1000.0` as `1000`: a server may give a whole number back either way.
fn write_whole_numbers(value: &mut Value) {
    match value {
        Value::Number(number) if number.is_f64() => {
            let whole = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() < 1e15);
            let text = whole.map(|float| format!("{float:.0}"));
            if let Some(whole) = text.and_then(|text| serde_json::from_str(&text).ok()) {
                *value = whole;
            }
        }
        Value::Array(values) => values.iter_mut().for_each(write_whole_numbers),
        Value::Object(map) => map.values_mut().for_each(write_whole_numbers),
        _ => {}
    }
}

fn visit(
    kind: Kind,
    path: &mut Vec<String>,
    before: Option<&Value>,
    after: Option<&Value>,
    changes: &mut Vec<FieldChange>,
) {
    if before == after || is_unobserved(before) || is_unobserved(after) {
        return;
    }
    if let (Some(Value::String(before)), Some(Value::String(after))) = (before, after)
        && is_same_text(kind, path, before, after)
    {
        return;
    }
    let (old, new) = (known_map(before), known_map(after));
    let maps_or_absent = (old.is_some() || before.is_none()) && (new.is_some() || after.is_none());
    if maps_or_absent {
        let mut keys: Vec<&String> = old.into_iter().chain(new).flat_map(Map::keys).collect();
        keys.sort();
        keys.dedup();
        for key in keys {
            path.push(key.clone());
            let (old, new) = (old.and_then(|map| map.get(key)), new.and_then(|map| map.get(key)));
            visit(kind, path, old, new, changes);
            path.pop();
        }
        return;
    }
    let absent = |value: Option<&Value>| value.is_none_or(Value::is_null);
    if absent(before) && absent(after) {
        return;
    }
    changes.push(FieldChange {
        path: FieldPath(path.clone()),
        before: before.filter(|value| !value.is_null() && !is_no_pod_cidr(value)).cloned(),
        after: after.filter(|value| !value.is_null()).cloned(),
        pending: is_pending(after),
        forces_replacement: is_set(before, after)
            && !is_unknown_field(kind, after)
            && kind.facts().fixed.contains(path),
    });
}

/// Whether an object of the cluster has a field that this version does not set: another one,
/// or the API server, may. It is no reason to delete the object.
fn is_unknown_field(kind: Kind, after: Option<&Value>) -> bool {
    kind.is_kubernetes() && after.is_none()
}

/// Whether a field has a value that would have to give way to another one, and not
/// something of another type in its place, which no service answers that works.
fn is_set(before: Option<&Value>, after: Option<&Value>) -> bool {
    let known = before.zip(after.filter(|after| !is_pending(Some(after))));
    let is_malformed =
        known.is_some_and(|(before, after)| discriminant(before) != discriminant(after));
    !(is_malformed || is_unset(before))
}

/// Whether a field has no value yet: a field that can be set once can still be set.
fn is_unset(value: Option<&Value>) -> bool {
    match value {
        None | Some(Value::Null) => true,
        Some(value) => value.as_str() == Some("") || is_no_pod_cidr(value),
    }
}

fn is_no_pod_cidr(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.parse() == Ok(JoinedWorker::NO_POD_CIDR))
}

/// Whether the service takes two texts for the same. Azure compares names, ids, sizes
/// and regions without regard to case, and answers them in another case than they
/// were written in.
fn is_same_text(kind: Kind, path: &[String], before: &str, after: &str) -> bool {
    const EXACT: [&str; 2] = ["ssh_public_key", "admin_user"];
    let is_exact = path.last().is_some_and(|field| EXACT.contains(&field.as_str()));
    if path == ["provisioning"] {
        // Azure changes objects by itself while they keep working.
        return [before, after].iter().all(|state| ["ready", "updating"].contains(state));
    }
    if matches!(kind, Kind::ManagedCluster | Kind::NodePool) && path == ["kubernetes_version"] {
        let version = |text: &str| text.parse::<KubernetesVersion>().ok();
        return version(before).zip(version(after)).is_some_and(|(one, two)| one.satisfies(two));
    }
    kind.arm().is_some() && !is_exact && before.eq_ignore_ascii_case(after)
}

/// The map in a value, unless it represents an unknown value.
fn known_map(value: Option<&Value>) -> Option<&Map<String, Value>> {
    match value {
        Some(Value::Object(map)) if !map.contains_key("$after") => Some(map),
        _ => None,
    }
}

fn is_unobserved(value: Option<&Value>) -> bool {
    matches!(value, Some(Value::Object(map)) if map.contains_key("$unobserved"))
}

fn is_pending(value: Option<&Value>) -> bool {
    matches!(value, Some(Value::Object(map)) if map.contains_key("$after"))
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(values) => values.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::build;
    use crate::desired::tests::generate::no_facts;
    use crate::resource::kubernetes::collect_awaited;
    use crate::topology::load::load_text;

    /// Everything that an example asks for, before any of it exists.
    fn desired() -> Vec<Resource> {
        let text = include_str!("../../../examples/ten-datacenters/stargate.toml");
        let topology = load_text("stargate.toml", text).unwrap().topology;
        build(&topology, &no_facts()).unwrap().iter().map(|one| one.resource.clone()).collect()
    }

    #[test]
    fn every_pending_field_is_found() {
        let mut pending = 0;
        for resource in desired() {
            let mut found = Vec::new();
            collect_awaited(&fields(&resource), &mut found);
            found.sort();
            found.dedup();
            assert_eq!(resource.awaits(), found, "{resource:?}");
            pending += found.len();
        }
        assert!(pending > 1_000, "{pending}");
    }

    #[test]
    fn a_created_object_lists_all_fields() {
        for resource in desired() {
            let mut differences = Vec::new();
            visit(
                resource.kind(),
                &mut Vec::new(),
                None,
                Some(&fields(&resource)),
                &mut differences,
            );
            differences.retain(|change| {
                !change.after.as_ref().is_some_and(is_empty) && !is_provisioning(&change.path)
            });
            assert_eq!(whole(&resource, ObjectDiff::Created), differences);
        }
    }

    #[test]
    fn a_host_that_was_not_probed_does_not_differ() {
        let mut workers = desired().into_iter().filter(|it| matches!(it, Resource::Worker(_)));
        let desired = workers.next().unwrap();
        let mut observed = desired.clone();
        let Resource::Worker(worker) = &mut observed else { panic!() };
        worker.host = crate::resource::Observable::unobserved();
        assert!(between(&observed, &desired).is_empty());
        let Resource::Worker(worker) = &mut observed else { panic!() };
        worker.ready = false;
        let fields: Vec<String> =
            between(&observed, &desired).iter().map(|field| field.path.to_string()).collect();
        assert_eq!(fields, ["ready"]);
    }
}
