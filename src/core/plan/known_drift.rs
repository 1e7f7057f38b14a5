//! Drift that the topology ignores: `[[ignore]]`.
//!
//! The observed value of such a field becomes its desired value. So the field does not
//! differ, and is written as it is when another field of the object changes. Its effect on
//! packets is examined as before, and foreign objects stay blocked.

use std::collections::BTreeSet;

use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::diff::{self, FieldChange};
use super::ignore_fields;
use super::ignored_conflicts::{self, KeptResource};
use super::{Finding, FindingSeverity};
use crate::desired::{self, DesiredResource, DesiredSet, Facts};
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Inventory, Observed};
use crate::resource::protection::is_record;
use crate::resource::version::KubernetesVersion;
use crate::resource::{Address, Kind, Resource};
use crate::topology::ignore::IgnoreRule;
use crate::topology::model::Topology;

/// Fields of a resource that differ and are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IgnoredDrift {
    /// The resource.
    pub address: Address,
    /// The fields with their observed and their desired values.
    pub fields: Vec<FieldChange>,
    /// The reason in the topology.
    pub reason: String,
    /// The last day on which they are ignored.
    pub until: Option<Date>,
}

/// The effect of the rules on the desired resources.
#[derive(Debug, Default)]
pub(super) struct AppliedRules {
    pub(super) drift: Vec<IgnoredDrift>,
    /// Rules that could not be applied.
    pub(super) findings: Vec<Finding>,
}

impl AppliedRules {
    /// The version that the control plane runs once the plan is applied: the live one, if
    /// its drift is ignored.
    pub(super) fn control_plane(
        &self,
        topology: &Topology,
        facts: &Facts,
    ) -> Option<KubernetesVersion> {
        let is_version = |one: &IgnoredDrift| {
            one.address.kind == Kind::ManagedCluster
                && one.fields.iter().any(|field| field.path.0 == ["kubernetes_version"])
        };
        match &facts.cluster {
            Some(cluster) if self.drift.iter().any(is_version) => Some(cluster.version),
            _ => desired::control_plane_version(topology, facts),
        }
    }
}

/// Takes ignored fields of desired resources from the observed ones.
pub(super) fn ignore(
    rules: &[IgnoreRule],
    today: Date,
    inventory: &Inventory,
    desired: &mut DesiredSet,
) -> AppliedRules {
    let rules: Vec<&IgnoreRule> = rules.iter().filter(|rule| !rule.has_expired(today)).collect();
    let mut applied = AppliedRules::default();
    if rules.is_empty() {
        return applied;
    }
    applied.findings =
        ignored_conflicts::refuse(&kept_resources(&rules, inventory, desired), desired, inventory);
    let mut changed = Vec::new();
    for desired in desired.iter() {
        let Some(observed) = owned(inventory, desired) else { continue };
        let mut resource = desired.resource.clone();
        for rule in rules.iter().filter(|rule| rule.address.matches(&desired.address)) {
            match apply(rule, &desired.address, observed, &mut resource) {
                Ok(drift) => applied.drift.extend(drift),
                Err(failure) => {
                    applied.findings.push(Finding::new(FindingSeverity::Warning, failure));
                }
            }
        }
        if resource != desired.resource {
            changed.push(DesiredResource { resource, ..desired.clone() });
        }
    }
    changed.into_iter().for_each(|resource| desired.add(resource));
    applied
}

/// The resources that keep observed values at the end of the apply.
fn kept_resources<'a>(
    rules: &[&'a IgnoreRule],
    inventory: &Inventory,
    desired: &'a DesiredSet,
) -> Vec<KeptResource<'a>> {
    let mut found = Vec::new();
    for desired in desired.last_values() {
        let Some(observed) = owned(inventory, desired) else { continue };
        let mut kept = desired.resource.clone();
        for rule in rules.iter().filter(|rule| rule.address.matches(&desired.address)) {
            if let Ok(Some(_)) = apply(rule, &desired.address, observed, &mut kept) {
                found.push(KeptResource { desired, kept: kept.clone(), rule });
            }
        }
    }
    found
}

/// The observed object, unless it is another's: a refusal because of its owner stays.
fn owned<'a>(inventory: &'a Inventory, desired: &DesiredResource) -> Option<&'a Observed> {
    let observed = inventory.get(desired.key.as_ref()?)?;
    (!observed.ownership.is_foreign()).then_some(observed)
}

/// Applies one rule to one resource.
///
/// # Errors
///
/// The observed value cannot replace the desired one, so the drift would be corrected.
fn apply(
    rule: &IgnoreRule,
    address: &Address,
    observed: &Observed,
    desired: &mut Resource,
) -> Result<Option<IgnoredDrift>, Failure> {
    // The record of protection is no drift: it holds until an apply removes it.
    let differing = diff::between(&observed.resource, desired);
    let differing = differing.into_iter().filter(|field| !is_record(&field.path.0));
    let matches = |field: FieldChange| {
        let prefix = rule.field.matching_prefix(&field.path.0)?.to_vec();
        Some((field, prefix))
    };
    let (fields, prefixes): (Vec<_>, BTreeSet<_>) = differing.filter_map(matches).unzip();
    if prefixes.is_empty() {
        return Ok(None);
    }
    let kept = with_observed(desired, &observed.resource, &prefixes);
    let Some(mut kept) = kept else { return Err(not_applicable(rule, address)) };
    kept.record_protection(desired.protected_by().map(str::to_owned));
    let left = diff::between(&observed.resource, &kept);
    if left.iter().any(|field| fields.iter().any(|ignored| ignored.path == field.path)) {
        return Err(not_applicable(rule, address));
    }
    *desired = kept;
    let (reason, until) = (rule.reason.clone(), rule.until);
    Ok(Some(IgnoredDrift { address: address.clone(), fields, reason, until }))
}

fn not_applicable(rule: &IgnoreRule, address: &Address) -> Failure {
    Failure::new(
        Code::IgnoreUnused,
        format!("{} cannot keep the live value of {address}: the drift is planned", title(rule)),
        "name the whole field, as in `rules` instead of `rules[x].access`",
    )
}

fn title(rule: &IgnoreRule) -> String {
    format!("`[[ignore]]` of {} in {}", rule.field, rule.address)
}

/// The desired value with these parts of the observed one; `None` if the result would not
/// be a value of the kind.
fn with_observed(
    desired: &Resource,
    observed: &Resource,
    paths: &BTreeSet<Vec<String>>,
) -> Option<Resource> {
    let mut value = serde_json::to_value(desired).ok()?;
    let source = serde_json::to_value(observed).ok()?;
    let source = body(&source, observed)?;
    for path in paths {
        let from = path.iter().try_fold(source, |value, key| value.get(key));
        set(body_mut(&mut value, desired)?, path, from)?;
    }
    serde_json::from_value(value).ok()
}

/// The part of a resource's JSON that paths of fields begin at.
pub(super) fn body<'v>(value: &'v Value, resource: &Resource) -> Option<&'v Value> {
    let value = value.get("value")?;
    match resource {
        Resource::Manifest(_) => value.get("body"),
        _ => Some(value),
    }
}

pub(super) fn body_mut<'v>(value: &'v mut Value, resource: &Resource) -> Option<&'v mut Value> {
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

/// Rules that have expired, or that match no resource or no field.
pub(super) fn findings(
    rules: &[IgnoreRule],
    today: Date,
    desired: &DesiredSet,
    inventory: &Inventory,
) -> Vec<Finding> {
    let failures = rules.iter().filter_map(|rule| without_effect(rule, today, desired, inventory));
    failures.map(|failure| Finding::new(FindingSeverity::Warning, failure)).collect()
}

fn without_effect(
    rule: &IgnoreRule,
    today: Date,
    desired: &DesiredSet,
    inventory: &Inventory,
) -> Option<Failure> {
    let title = title(rule);
    if let Some(until) = rule.until.filter(|_| rule.has_expired(today)) {
        return Some(Failure::new(
            Code::IgnoreExpired,
            format!("{title} expired on {until}: the drift is corrected again"),
            "remove the block, or extend `until`",
        ));
    }
    let mut matched = desired.iter().filter(|one| rule.address.matches(&one.address)).peekable();
    if matched.peek().is_none() {
        return Some(Failure::new(
            Code::IgnoreUnused,
            format!("{title} matches no resource of the topology"),
            "correct the address: `stargate plan` and `stargate graph` print addresses",
        ));
    }
    let has_field = |one: &DesiredResource| {
        let observed = one.key.as_ref().and_then(|key| inventory.get(key));
        let values = std::iter::once(&one.resource).chain(observed.map(|it| &it.resource));
        values.into_iter().any(|resource| ignore_fields::may_have(resource, &rule.field))
    };
    (!matched.any(has_field)).then(|| {
        Failure::new(
            Code::IgnoreUnused,
            format!("{title} matches no field of the resources with these addresses"),
            "correct the field: `stargate drift` prints the path of a field that differs",
        )
    })
}
