//! `[[ignore]]`: any field of any kind that differs is shown as ignored, and nothing is
//! planned because of it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::civil::Date;
use serde_json::{Value, json};

use super::laws::compare;
use crate::desired::tests::generate::all_facts;
use crate::desired::{DesiredResource, DesiredSet, build, unprotected_blocks};
use crate::diagnostics::Code;
use crate::inventory::Inventory;
use crate::plan::known_drift::{self, AppliedRules, body, body_mut};
use crate::plan::{Change, PlanContents, diff};
use crate::resource::protection::is_record;
use crate::resource::{Address, Kind, Ownership, Resource};
use crate::topology::ignore::{AddressPattern, FieldPattern, IgnoreRule};
use crate::topology::load::load_text;
use crate::topology::model::Topology;

const DAY: Date = Date::constant(2026, 1, 2);

fn topology() -> Topology {
    let text = include_str!("../../../../tests/e2e/two_datacenters.toml");
    let text = text.replace("[network]\n", "[network]\ngoldpinger = true\n");
    let text = text.replace("[datacenters.attic]\n", "[datacenters.attic]\nprotect = true\n");
    load_text("stargate.toml", &text).unwrap_or_else(|errors| panic!("{errors:#?}")).topology
}

fn rule(address: &str, field: &str) -> IgnoreRule {
    IgnoreRule {
        address: AddressPattern::parse(address).unwrap(),
        field: FieldPattern::parse(field).unwrap(),
        reason: "a policy sets it".to_owned(),
        until: None,
    }
}

/// Live state that matches, with other values of some objects.
fn inventory(desired: &DesiredSet, other: &BTreeMap<Address, Resource>) -> Inventory {
    let mut inventory = Inventory::default();
    for one in desired.iter() {
        let ownership = Ownership::Ours { site: (&one.address.site).into() };
        let value = other.get(&one.address).unwrap_or(&one.resource).clone();
        inventory.note(one.key.clone().unwrap(), value, ownership);
    }
    inventory
}

fn plan(
    rules: &[IgnoreRule],
    desired: &DesiredSet,
    inventory: &Inventory,
) -> (PlanContents, AppliedRules) {
    let mut desired = desired.clone();
    let applied = known_drift::ignore(rules, DAY, inventory, &mut desired);
    let contents = compare(&desired, inventory);
    (contents, applied)
}

/// The paths to all values of a resource, containers included.
fn paths(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
    let Some(fields) = value.as_object() else { return };
    for (key, value) in fields {
        path.push(key.clone());
        found.push(path.clone());
        paths(value, path, found);
        path.pop();
    }
}

/// Other values of the same type, as far as it is known.
fn others(value: &Value) -> Vec<Value> {
    let texts = ["other", "10.99.0.0/24", "10.99.0.9", "1.31.2", "user", "worker", "failed"];
    let ids = ["/subscriptions/s/resourceGroups/g/providers/Microsoft.Network/routeTables/x"];
    let texts = texts.into_iter().chain(ids).map(Value::from);
    match value {
        Value::Null => texts.chain([json!(7), json!(true)]).collect(),
        Value::Bool(value) => vec![json!(!value)],
        Value::Number(number) => vec![json!(number.as_u64().unwrap_or_default() + 1)],
        Value::String(_) => texts.collect(),
        Value::Array(values) => {
            let shorter: Vec<Value> = values.iter().skip(1).cloned().collect();
            let longer = texts.map(|text| values.iter().cloned().chain([text]).collect());
            let more: Vec<Value> = longer.collect();
            std::iter::once(Value::Array(shorter)).chain(more).collect()
        }
        Value::Object(fields) => {
            let mut fewer = fields.clone();
            let first = fewer.keys().next().cloned();
            first.map(|key| fewer.remove(&key));
            let with = |value: Value| {
                let mut more = fields.clone();
                more.insert("10.98.0.0/24".to_owned(), value);
                Value::Object(more)
            };
            let more = fields.values().next().cloned().into_iter().chain(texts).map(with);
            std::iter::once(Value::Object(fewer)).chain(more).collect()
        }
    }
}

/// The resource with another value at a path, if one fits.
fn changed(resource: &Resource, path: &[String]) -> Option<Resource> {
    let whole = serde_json::to_value(resource).unwrap();
    let value = path.iter().try_fold(body(&whole, resource)?, |value, key| value.get(key))?;
    others(value).into_iter().find_map(|other| {
        let mut whole = whole.clone();
        let mut slot = body_mut(&mut whole, resource)?;
        for key in path {
            slot = slot.get_mut(key)?;
        }
        *slot = other;
        let changed: Resource = serde_json::from_value(whole).ok()?;
        let differing = diff::between(&changed, resource);
        differing.iter().any(|field| !is_record(&field.path.0)).then_some(changed)
    })
}

fn changes(contents: &PlanContents) -> usize {
    contents.changes.len() + contents.blocked.len() + contents.deferred.len()
}

#[test]
fn no_ignored_field_of_any_kind_is_planned() {
    let topology = topology();
    let desired = build(&topology, &all_facts(&topology)).unwrap();
    assert_eq!(changes(&plan(&[], &desired, &inventory(&desired, &BTreeMap::new())).0), 0);
    let mut tried: BTreeMap<Kind, BTreeSet<String>> = BTreeMap::new();
    for one in desired.iter() {
        let whole = serde_json::to_value(&one.resource).unwrap();
        let mut all = Vec::new();
        paths(body(&whole, &one.resource).unwrap(), &mut Vec::new(), &mut all);
        for path in all.iter().filter(|path| !is_record(path)) {
            let Some(other) = changed(&one.resource, path) else { continue };
            check(&desired, one, &other, path);
            tried.entry(one.address.kind).or_default().insert(path[0].clone());
        }
    }
    // A namespace and a service account have nothing that could differ.
    let bare = [Kind::Namespace, Kind::ServiceAccount];
    for kind in desired.iter().map(|one| one.address.kind).filter(|kind| !bare.contains(kind)) {
        assert!(tried.contains_key(&kind), "{kind} in {tried:?}");
    }
    let fields: usize = tried.values().map(BTreeSet::len).sum();
    assert!(fields > 70, "{fields} in {tried:?}");
}

fn check(desired: &DesiredSet, one: &DesiredResource, other: &Resource, path: &[String]) {
    let address = &one.address;
    let inventory = inventory(desired, &BTreeMap::from([(address.clone(), other.clone())]));
    assert_ne!(changes(&plan(&[], desired, &inventory).0), 0, "{address} {path:?}");
    let pattern = address.to_string();
    let rules = [rule(&pattern, &format!("[{}]", path[0]))];
    let (contents, applied) = plan(&rules, desired, &inventory);
    let planned: Vec<_> = contents.changes.iter().map(|it| it.address.to_string()).collect();
    assert_eq!(changes(&contents), 0, "{address} {path:?}: {planned:?}");
    assert!(applied.findings.is_empty(), "{address} {path:?}: {:?}", applied.findings);
    let ignored = applied.drift.iter().find(|it| it.address == *address);
    assert!(ignored.is_some_and(|it| !it.fields.is_empty()), "{address} {path:?}");
    let unused = known_drift::findings(&rules, DAY, desired, &inventory);
    assert!(unused.is_empty(), "{address} {path:?}: {unused:?}");
}

/// The record of a protection is no drift: an ignored one could never be lifted.
#[test]
fn the_record_of_protection_is_not_ignored() {
    let topology = topology();
    let desired = build(&topology, &all_facts(&topology)).unwrap();
    let recorded = desired.iter().filter(|one| one.resource.protected_by().is_some());
    let without = recorded.map(|one| {
        let mut resource = one.resource.clone();
        resource.record_protection(None);
        (one.address.clone(), resource)
    });
    let without: BTreeMap<Address, Resource> = without.collect();
    assert!(!without.is_empty());
    // Every object of Azure with tags of its own can carry it.
    for one in desired.iter().filter(|one| one.address.kind != Kind::NodePool) {
        let has_tags = one.address.kind.arm().is_some() && one.address.kind.facts().marked;
        let mut resource = one.resource.clone();
        resource.record_protection(Some("cluster".to_owned()));
        assert!(!has_tags || resource.protected_by() == Some("cluster"), "{}", one.address);
    }
    let rules = [rule("*/*/*", "*")];
    let (contents, applied) = plan(&rules, &desired, &inventory(&desired, &without));
    assert_eq!(contents.changes.len(), without.len());
    assert!(contents.changes.iter().all(Change::records_protection_only));
    assert!(applied.drift.is_empty(), "{:?}", applied.drift);
    let blocks = unprotected_blocks(&topology);
    assert!(!blocks.contains("datacenters.attic") && blocks.contains("datacenters.cloud"));
}

#[test]
fn a_rule_without_effect_is_a_finding() {
    let topology = topology();
    let desired = build(&topology, &all_facts(&topology)).unwrap();
    let inventory = inventory(&desired, &BTreeMap::new());
    let expired = IgnoreRule { until: Some(Date::constant(2026, 1, 1)), ..rule("*/*/*", "*") };
    for (rule, code) in [
        (expired, Some(Code::IgnoreExpired)),
        (rule("worker/nowhere/*", "labels"), Some(Code::IgnoreUnused)),
        (rule("virtual-machine/*/*", "vm-size"), Some(Code::IgnoreUnused)),
        (rule("virtual-machine/*/*", "vm_size.x"), Some(Code::IgnoreUnused)),
        (rule("virtual-machine/*/*", "protected_by"), Some(Code::IgnoreUnused)),
        (rule("node-pool/*/*", "scale.counts"), Some(Code::IgnoreUnused)),
        (rule("virtual-machine/*/*", "vm_size"), None),
        (rule("*/*/*", "vm_*"), None),
        // A policy may add such a rule later.
        (rule("network-security-group/*/*", "rules[policy-*].access"), None),
        (rule("worker/*/*", "labels[example.com/a]"), None),
    ] {
        let found = known_drift::findings(std::slice::from_ref(&rule), DAY, &desired, &inventory);
        let codes: Vec<Code> = found.iter().map(|finding| finding.failure.code).collect();
        assert_eq!(codes, Vec::from_iter(code), "{rule:?}");
    }
}
