//! Holds back the consequences of a blocked change on other sites: routes, rules and
//! advertisements of prefixes and addresses that stay where they are.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::decision::{Comparison, ResourceDecision, ResourceDecisions};
use super::diff::FieldChange;
use super::held_back::held_back_until;
use super::withdrawal::sends_packets;
use super::{Action, Blocked, Change};
use crate::diagnostics::Code;
use crate::resource::{Address, Kind, Resource, Site};

/// Fields that say where packets are to be sent.
const PLACES: [&str; 5] = ["address_prefix", "address_prefixes", "private_ip", "ip", "pod_cidr"];

/// Blocks the updates that would send packets to where a blocked change would have put
/// something, or away from where that stays.
pub(super) fn block(input: Comparison<'_>, decisions: &mut ResourceDecisions) {
    let held = RetainedPrefixes::of(input, decisions);
    if held.0.is_empty() {
        return;
    }
    for decision in decisions.values_mut() {
        let ResourceDecision::Change(change) = decision else { continue };
        let Some((cause, code)) = held.holding(change) else { continue };
        *decision = held_back_until(change, cause, *code).into();
    }
}

/// Prefixes and addresses that stay as they are, with the blocked resource.
struct RetainedPrefixes(BTreeMap<String, (Address, Code)>);

impl RetainedPrefixes {
    fn of(input: Comparison<'_>, decisions: &ResourceDecisions) -> Self {
        let mut held = BTreeMap::new();
        for decision in decisions.values() {
            let ResourceDecision::Blocked(blocked) = decision else { continue };
            let cause = blocked.caused_by.as_ref().unwrap_or(&blocked.address);
            let edited = blocked.fields.iter().filter(|field| is_edited_place(field));
            let moved = moved_places(input, blocked);
            let retained = retained_places(blocked);
            for place in edited.flat_map(differing_texts).chain(moved).chain(retained) {
                held.entry(place).or_insert((cause.clone(), blocked.failure.code));
            }
        }
        for (place, cause) in served_by_retained(input, decisions) {
            held.entry(place).or_insert(cause);
        }
        Self(held)
    }

    fn holding(&self, change: &Change) -> Option<&(Address, Code)> {
        let carries = change.action == Action::Update && sends_packets(change.address.kind);
        let fields = change.differences.iter().filter(|_| carries);
        fields.flat_map(texts_of).find_map(|text| self.0.get(&text))
    }
}

fn is_edited_place(field: &FieldChange) -> bool {
    let is_place = field.path.0.last().is_some_and(|last| PLACES.contains(&last.as_str()));
    is_place && field.before.is_some() && field.after.is_some()
}

/// The prefixes and addresses of an object that stays although the topology no longer lists
/// it.
fn retained_places(blocked: &Blocked) -> Vec<String> {
    let is_place =
        |field: &&FieldChange| field.path.0.iter().any(|part| PLACES.contains(&part.as_str()));
    let fields = blocked.fields.iter().filter(|_| blocked.action == Action::Delete);
    fields.filter(is_place).flat_map(differing_texts).collect()
}

/// The prefixes that the routers of sites serve on which something stays as it is: by the
/// site, or by the name of a router that the topology no longer lists.
fn served_by_retained(
    input: Comparison<'_>,
    decisions: &ResourceDecisions,
) -> Vec<(String, (Address, Code))> {
    let retained: Vec<&Blocked> = decisions.values().filter_map(retained).collect();
    let mut served = Vec::new();
    for (key, observed) in input.inventory.iter().filter(|_| !retained.is_empty()) {
        let (Resource::AdvertisedRoutes(routes) | Resource::ApprovedRoutes(routes)) =
            &observed.resource
        else {
            continue;
        };
        let site = observed.site().filter(|site| *site != Site::Cluster);
        let of_router = |blocked: &&&Blocked| {
            site.as_ref() == Some(&blocked.address.site) || blocked.address.name == key.name()
        };
        let Some(blocked) = retained.iter().find(of_router) else { continue };
        let cause = blocked.caused_by.as_ref().unwrap_or(&blocked.address);
        let prefixes = routes.prefixes.known().into_iter().flatten();
        let cause = (cause.clone(), blocked.failure.code);
        served.extend(prefixes.map(|prefix| (prefix.to_string(), cause.clone())));
    }
    served
}

/// The decision, if it retains an object that would be replaced or deleted. Objects of the
/// cluster site serve no prefixes that a block could keep.
fn retained(decision: &ResourceDecision) -> Option<&Blocked> {
    let ResourceDecision::Blocked(blocked) = decision else { return None };
    let is_kept = matches!(blocked.failure.code, Code::Protected | Code::ReplacementNotRequested)
        && matches!(blocked.action, Action::Replace | Action::Delete);
    let is_site_kept = is_kept && blocked.address.site != Site::Cluster;
    (is_site_kept || is_router(blocked) || is_misplaced(blocked)).then_some(blocked)
}

/// Whether it is the router of a site that the topology no longer lists.
fn is_router(blocked: &Blocked) -> bool {
    blocked.action == Action::Delete
        && matches!(blocked.address.kind, Kind::TailnetDevice | Kind::RouterHost)
}

/// Whether it is a router that stays where it is, in another place than the topology says.
fn is_misplaced(blocked: &Blocked) -> bool {
    blocked.failure.code == Code::RouterAddress && blocked.address.kind == Kind::RouterHost
}

/// The prefixes and addresses that a worker would take to another site.
fn moved_places(input: Comparison<'_>, blocked: &Blocked) -> Vec<String> {
    let desired = input.desired.get(&blocked.address);
    let observed = desired
        .and_then(|desired| desired.key.as_ref())
        .and_then(|key| input.inventory.get(key))
        .filter(|observed| observed.site().is_some_and(|site| site != blocked.address.site));
    match observed.map(|observed| &observed.resource) {
        Some(Resource::Worker(live)) => vec![live.ip.to_string(), live.pod_cidr.to_string()],
        _ => Vec::new(),
    }
}

/// The prefixes and addresses that an update affects: the key of a route, and the texts
/// that only one of the two values contains.
pub(super) fn texts_of(field: &FieldChange) -> BTreeSet<String> {
    let keys = field.path.0.iter().filter(|part| part.contains('/')).cloned();
    keys.chain(differing_texts(field)).collect()
}

fn differing_texts(field: &FieldChange) -> BTreeSet<String> {
    let of = |value: &Option<Value>| value.as_ref().map(texts).unwrap_or_default();
    of(&field.before).symmetric_difference(&of(&field.after)).cloned().collect()
}

/// The texts of a value.
pub(super) fn texts(value: &Value) -> BTreeSet<String> {
    match value {
        Value::String(text) => BTreeSet::from([text.clone()]),
        Value::Array(values) => values.iter().flat_map(texts).collect(),
        Value::Object(fields) => fields.values().flat_map(texts).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => BTreeSet::new(),
    }
}
