//! The status of the Topology object.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::reconciled::{ReconcileResult, Reconciled};
use super::remaining::{Remaining, WorkerCounts};
use crate::diagnostics::{Failure, counted};
use crate::plan::ApprovalReason;
use crate::resource::custom_resources::{APPROVE_ANNOTATION, NAMESPACE};
use crate::resource::names::TopologyName;
use crate::topology::model::WatchSettings;

/// How many changes that await approval or are blocked are named; the total says how many
/// there are.
const MAX_NAMED: usize = 20;
/// The fields that are times. They alone are no reason to write.
const TIMES: [&str; 3] = ["lastTransitionTime", "lastSuccessTime", "lastUpdateTime"];

/// The input of the status.
pub(super) struct StatusFacts<'a> {
    /// The status as it is now; null if nothing was written yet.
    pub(super) previous: &'a Value,
    /// The generation of the object's spec.
    pub(super) generation: i64,
    /// The time.
    pub(super) now: Timestamp,
    /// The version of stargate.
    pub(super) version: &'a str,
    /// The topology that is reconciled.
    pub(super) topology: &'a ReconciledTopology,
    /// Why the topology file is invalid now, if it is.
    pub(super) invalid: Option<&'a Failure>,
    /// The result of the last approval.
    pub(super) approval: Option<&'a ApprovalRecord>,
    /// The time of the last success.
    pub(super) last_success: Option<Timestamp>,
}

/// The topology that is reconciled.
#[derive(Debug, Clone)]
pub(super) struct ReconciledTopology {
    pub(super) name: TopologyName,
    /// The SHA-256 of its file, in hexadecimal.
    pub(super) digest: String,
    pub(super) settings: WatchSettings,
}

/// How far a reconcile is.
#[derive(Debug, Clone)]
pub(super) enum Progress {
    /// It makes these many changes.
    Changing(usize),
    /// It ended.
    Ended(Box<Reconciled>),
}

/// The result of an approval.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ApprovalRecord {
    pub(super) digest: String,
    pub(super) state: ApprovalState,
    pub(super) message: String,
}

/// The state of an approval, as a word of the status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ApprovalState {
    /// The approved changes are being made.
    InProgress,
    /// They are made.
    Done,
    /// Other changes await approval, or none.
    Refused,
    /// They can no longer be made.
    Abandoned,
}

impl ApprovalState {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::InProgress => "InProgress",
            Self::Done => "Done",
            Self::Refused => "Refused",
            Self::Abandoned => "Abandoned",
        }
    }
}

/// A condition without its times.
struct Condition {
    kind: &'static str,
    status: &'static str,
    reason: &'static str,
    message: String,
}

/// The fields of the status that are to be written; `None` if nothing but times changed.
/// A field that is not among them stays as it is.
pub(super) fn changed_status(facts: &StatusFacts<'_>, progress: &Progress) -> Option<Value> {
    let mut status = fields(facts, progress);
    let is_same = |(name, value): (&String, &Value)| {
        without_times(value) == without_times(&facts.previous[name])
    };
    if status.iter().all(is_same) {
        return None;
    }
    if let Some(time) = facts.last_success {
        status.insert("lastSuccessTime".to_owned(), json!(seconds(time)));
    }
    status.insert("lastUpdateTime".to_owned(), json!(seconds(facts.now)));
    Some(Value::Object(status))
}

fn fields(facts: &StatusFacts<'_>, progress: &Progress) -> Map<String, Value> {
    let settings = &facts.topology.settings;
    let conditions = conditions(progress, facts.invalid);
    let conditions: Vec<Value> = conditions.iter().map(|it| condition(facts, it)).collect();
    let mut fields = Map::new();
    let mut set = |name: &str, value: Value| _ = fields.insert(name.to_owned(), value);
    set("observedGeneration", json!(facts.generation));
    set("conditions", json!(conditions));
    set("version", json!(facts.version));
    set("topologyDigest", json!(facts.topology.digest));
    set("apply", json!(settings.apply));
    set("intervalSeconds", json!(settings.interval.as_secs()));
    if let Some(approval) = facts.approval {
        let ApprovalRecord { digest, state, message } = approval;
        set("approval", json!({ "digest": digest, "state": state.as_str(), "message": message }));
    }
    if let Progress::Ended(reconciled) = progress
        && let Some(remaining) = &reconciled.remaining
    {
        set("drift", drift(remaining));
        set("pairs", json!(reconciled.pairs));
        set("pendingApproval", pending_approval(&facts.topology.name, reconciled, remaining));
        set("blocked", blocked(reconciled));
        set("workers", reconciled.workers.map_or(Value::Null, workers));
    }
    fields
}

fn drift(remaining: &Remaining) -> Value {
    let kinds = remaining.kinds.iter();
    let kinds: Vec<_> =
        kinds.map(|(kind, count)| json!({ "kind": kind, "count": count })).collect();
    let actions = remaining.actions.iter();
    let actions: Vec<_> =
        actions.map(|(action, count)| json!({ "action": action, "count": count })).collect();
    json!({ "total": remaining.total(), "kinds": kinds, "actions": actions })
}

fn workers(counts: WorkerCounts) -> Value {
    let WorkerCounts { ready, not_ready, missing, unknown } = counts;
    json!({ "ready": ready, "notReady": not_ready, "missing": missing, "unknown": unknown })
}

fn pending_approval(name: &TopologyName, reconciled: &Reconciled, remaining: &Remaining) -> Value {
    let named = reconciled.awaiting_approval.iter().take(MAX_NAMED);
    let named: Vec<_> = named
        .map(|it| {
            json!({
                "address": it.address.to_string(),
                "action": it.action,
                "reason": it.reason.to_string(),
            })
        })
        .collect();
    let digest = remaining.approval_digest.as_ref();
    json!({
        "total": reconciled.awaiting_approval.len(),
        "digest": digest,
        "losesPairs": digest.map(|_| remaining.approval_lost_pairs > 0),
        "lostPairs": digest.map(|_| remaining.approval_lost_pairs),
        "command": digest.map(|digest| approve_command(name, digest)),
        "changes": named,
    })
}

/// The command that approves the changes with a digest.
pub fn approve_command(topology: &TopologyName, digest: &str) -> String {
    format!(
        "kubectl annotate topologies.stargate.io {topology} --namespace {NAMESPACE} --overwrite \
         {APPROVE_ANNOTATION}={digest}"
    )
}

fn blocked(reconciled: &Reconciled) -> Value {
    let named = reconciled.blocked.iter().take(MAX_NAMED);
    let named: Vec<_> = named
        .map(|it| {
            json!({
                "address": it.address.as_ref().map(ToString::to_string),
                "action": it.action,
                "message": it.failure.message,
            })
        })
        .collect();
    json!({ "total": reconciled.blocked.len(), "changes": without_nulls(json!(named)) })
}

/// Elements of lists are written whole, and an API server refuses a null in them.
fn without_nulls(mut list: Value) -> Value {
    for element in list.as_array_mut().into_iter().flatten() {
        if let Some(fields) = element.as_object_mut() {
            fields.retain(|_, value| !value.is_null());
        }
    }
    list
}

/// The conditions in the sense of kstatus: Reconciling and Stalled are true while the state
/// is not normal.
fn conditions(progress: &Progress, invalid: Option<&Failure>) -> [Condition; 3] {
    if let Some(failure) = invalid {
        let message = format!("the topology file is invalid: {}", failure.message);
        return with_reason("False", "TopologyInvalid", &message, Abnormal::Stalled);
    }
    match progress {
        Progress::Changing(count) => {
            let message = format!("making {}", counted(*count, "change"));
            with_reason("Unknown", "Changing", &message, Abnormal::Reconciling)
        }
        Progress::Ended(reconciled) => of_result(reconciled),
    }
}

/// The condition of an abnormal state that is true.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Abnormal {
    None,
    Reconciling,
    Stalled,
}

fn with_reason(
    ready: &'static str,
    reason: &'static str,
    message: &str,
    abnormal: Abnormal,
) -> [Condition; 3] {
    let condition = |kind, status, is_explained: bool| Condition {
        kind,
        status,
        reason: if is_explained { reason } else { "Normal" },
        message: if is_explained { message.to_owned() } else { String::new() },
    };
    let of_abnormal = |kind, it| match abnormal == it {
        true => condition(kind, "True", true),
        false => condition(kind, "False", false),
    };
    [
        condition("Ready", ready, true),
        of_abnormal("Reconciling", Abnormal::Reconciling),
        of_abnormal("Stalled", Abnormal::Stalled),
    ]
}

fn of_result(reconciled: &Reconciled) -> [Condition; 3] {
    let failure = |failures: Option<&Failure>, otherwise: &str| {
        failures.map_or_else(|| otherwise.to_owned(), |it| format!("{}: {}", it.code, it.message))
    };
    match reconciled.result {
        ReconcileResult::Matches if reconciled.pairs.broken > 0 => {
            let pairs = counted(reconciled.pairs.broken, "pair");
            let message = format!("unreachable: {pairs} of nodes");
            with_reason("False", "PairsUnreachable", &message, Abnormal::None)
        }
        ReconcileResult::Matches => {
            let message = "the infrastructure matches the topology";
            with_reason("True", "Matches", message, Abnormal::None)
        }
        ReconcileResult::AwaitsApproval => {
            let count = counted(reconciled.awaiting_approval.len(), "change");
            let pause = reconciled.awaiting_approval.iter().find(|it| is_pause(&it.reason));
            let (reason, message) = match pause {
                Some(it) => ("Paused", format!("awaiting approval: {count}; {}", it.reason)),
                None => ("AwaitsApproval", format!("awaiting approval: {count}")),
            };
            with_reason("False", reason, &message, Abnormal::None)
        }
        ReconcileResult::Blocked => {
            let first = reconciled.blocked.first().map(|it| &it.failure);
            let count = counted(reconciled.blocked.len(), "change");
            let message = format!("blocked: {count}; {}", failure(first, "see the status"));
            with_reason("False", "Blocked", &message, Abnormal::Stalled)
        }
        ReconcileResult::Failed => {
            let message = failure(reconciled.failure.as_ref(), "the reconcile did not complete");
            with_reason("False", "Failed", &message, Abnormal::Reconciling)
        }
        ReconcileResult::Interrupted | ReconcileResult::StandingBy => {
            with_reason("Unknown", "Interrupted", "the next start continues", Abnormal::Reconciling)
        }
    }
}

/// Whether earlier events pause all changes.
pub(super) fn is_pause(reason: &ApprovalReason) -> bool {
    matches!(reason, ApprovalReason::TooManyRemovals | ApprovalReason::TooManyFailures)
}

fn condition(facts: &StatusFacts<'_>, condition: &Condition) -> Value {
    let Condition { kind, status, reason, message } = condition;
    let previous = facts.previous["conditions"].as_array().into_iter().flatten();
    let since = previous
        .filter(|it| it["type"] == *kind && it["status"] == *status)
        .find_map(|it| it["lastTransitionTime"].as_str());
    json!({
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": since.map_or_else(|| seconds(facts.now), str::to_owned),
        "observedGeneration": facts.generation,
    })
}

/// A value without its times, and without fields that are null.
fn without_times(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields
                .iter()
                .filter(|(name, value)| !TIMES.contains(&name.as_str()) && !value.is_null());
            Value::Object(kept.map(|(name, it)| (name.clone(), without_times(it))).collect())
        }
        Value::Array(list) => Value::Array(list.iter().map(without_times).collect()),
        other => other.clone(),
    }
}

fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

#[cfg(test)]
#[path = "topology_status_tests.rs"]
mod tests;
