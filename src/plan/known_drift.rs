//! Drift that the topology ignores: `[[ignore]]`.
//!
//! The value that is wanted of such a field is the observed one. So the field does not
//! differ, and is written as it is when another field of the object changes. What the
//! field does to packets is examined as before, and objects of others stay blocked.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::diff::{self, FieldChange};
use super::{Finding, FindingSeverity};
use crate::desired::{DesiredResource, DesiredSet};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Inventory, Observed};
use crate::resource::{Address, Resource};
use crate::topology::ignore::IgnoreRule;

/// Fields of a resource that differ and are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoredDrift {
    /// The resource.
    pub address: Address,
    /// The fields: what they are, and what they would be.
    pub fields: Vec<FieldChange>,
    /// The reason in the topology.
    pub reason: String,
    /// The last day on which they are ignored.
    pub until: Option<Date>,
}

/// Takes ignored fields of desired resources from the observed ones.
pub(super) fn ignore(
    rules: &[IgnoreRule],
    today: Date,
    inventory: &Inventory,
    desired: &mut DesiredSet,
) -> Vec<IgnoredDrift> {
    let rules: Vec<&IgnoreRule> = rules.iter().filter(|rule| !rule.has_expired(today)).collect();
    if rules.is_empty() {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut changed = Vec::new();
    for wanted in desired.iter() {
        let Some(observed) = owned(inventory, wanted) else { continue };
        let mut resource = wanted.resource.clone();
        for rule in rules.iter().filter(|rule| rule.address.matches(&wanted.address)) {
            found.extend(apply(rule, &wanted.address, observed, &mut resource));
        }
        if resource != wanted.resource {
            changed.push(DesiredResource { resource, ..wanted.clone() });
        }
    }
    changed.into_iter().for_each(|resource| desired.add(resource));
    found
}

/// The observed object, unless it is another's: a refusal because of its owner stays.
fn owned<'a>(inventory: &'a Inventory, wanted: &DesiredResource) -> Option<&'a Observed> {
    let observed = inventory.get(wanted.key.as_ref()?)?;
    (!observed.ownership.is_foreign()).then_some(observed)
}

/// Applies one rule to one resource.
fn apply(
    rule: &IgnoreRule,
    address: &Address,
    observed: &Observed,
    wanted: &mut Resource,
) -> Option<IgnoredDrift> {
    let matches = |field: &FieldChange| {
        rule.field.matching_prefix(&field.path.0).map(|prefix| (field.clone(), prefix.to_vec()))
    };
    let fields = diff::between(&observed.resource, wanted);
    let (fields, prefixes): (Vec<_>, BTreeSet<_>) = fields.iter().filter_map(matches).unzip();
    let kept = with_observed(wanted, &observed.resource, &prefixes)?;
    *wanted = kept;
    let (reason, until) = (rule.reason.clone(), rule.until);
    Some(IgnoredDrift { address: address.clone(), fields, reason, until })
}

/// The wanted value with these parts of the observed one; `None` without parts, and
/// where the result would not be a value of the kind.
fn with_observed(
    wanted: &Resource,
    observed: &Resource,
    paths: &BTreeSet<Vec<String>>,
) -> Option<Resource> {
    if paths.is_empty() {
        return None;
    }
    let mut value = serde_json::to_value(wanted).ok()?;
    let source = serde_json::to_value(observed).ok()?;
    let source = body(&source, observed)?;
    for path in paths {
        let from = path.iter().try_fold(source, |value, key| value.get(key));
        set(body_mut(&mut value, wanted)?, path, from)?;
    }
    serde_json::from_value(value).ok()
}

/// The part of a resource's JSON that paths of fields begin at.
fn body<'v>(value: &'v Value, resource: &Resource) -> Option<&'v Value> {
    let value = value.get("value")?;
    match resource {
        Resource::Manifest(_) => value.get("body"),
        _ => Some(value),
    }
}

fn body_mut<'v>(value: &'v mut Value, resource: &Resource) -> Option<&'v mut Value> {
    let value = value.get_mut("value")?;
    match resource {
        Resource::Manifest(_) => value.get_mut("body"),
        _ => Some(value),
    }
}

/// Sets a member at a path, or removes it.
fn set(value: &mut Value, path: &[String], to: Option<&Value>) -> Option<()> {
    let (key, rest) = path.split_first()?;
    let members = value.as_object_mut()?;
    if !rest.is_empty() {
        let empty = || Value::Object(Default::default());
        return set(members.entry(key.clone()).or_insert_with(empty), rest, to);
    }
    match to {
        Some(to) => drop(members.insert(key.clone(), to.clone())),
        None => drop(members.remove(key)),
    }
    Some(())
}

/// Rules that are no longer in force, or that match no resource.
pub(super) fn findings(rules: &[IgnoreRule], today: Date, desired: &DesiredSet) -> Vec<Finding> {
    let finding = |rule: &IgnoreRule| {
        let name = format!("`[[ignore]]` of {} in {}", rule.field, rule.address);
        if let Some(until) = rule.until.filter(|_| rule.has_expired(today)) {
            return Some(Failure::new(
                Code::IgnoreExpired,
                format!("{name} expired on {until}: the drift is corrected again"),
                "remove the block, or extend `until`",
            ));
        }
        let is_used = desired.iter().any(|one| rule.address.matches(&one.address));
        (!is_used).then(|| {
            Failure::new(
                Code::IgnoreUnused,
                format!("{name} matches no resource of the topology"),
                "correct the address: `stargate plan` and `stargate graph` print addresses",
            )
        })
    };
    let failures = rules.iter().filter_map(finding);
    failures.map(|failure| Finding::new(FindingSeverity::Warning, failure)).collect()
}
