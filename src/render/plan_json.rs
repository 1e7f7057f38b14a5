//! A plan for machines, in a format with a version and a schema.
//!
//! Within one major version fields are only added; readers ignore what they do
//! not know and refuse a greater major version.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use crate::inventory::Gap;
use crate::plan::cost::Cost;
use crate::plan::diff::FieldChange;
use crate::plan::{Action, Blocked, Change, Deferred, Finding, Plan, Severity};
use crate::resource::{Address, Api};

use super::Purpose;
use super::connectivity::reachability::ReachabilityJson;
use super::connectivity::reachability_report::ReachabilityReportJson;
use super::rollout_json::RolloutJson;

/// The version of the format.
pub const FORMAT_VERSION: &str = "1.0";

/// A plan as a machine reads it.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = "A stargate plan")]
pub struct PlanJson {
    /// The version of this format, `major.minor`.
    pub format_version: String,
    /// What the plan is for.
    pub purpose: Purpose,
    /// The topology's name.
    pub topology: String,
    /// How many of what.
    pub summary: SummaryJson,
    /// The changes, in an order in which they can be made one after another.
    pub changes: Vec<ChangeJson>,
    /// What cannot be spelt out before something else exists.
    pub deferred: Vec<DeferredJson>,
    /// What is wanted and must not be done.
    pub blocked: Vec<BlockedJson>,
    /// What was found out about the world on the way.
    pub findings: Vec<FindingJson>,
    /// Sources that could not be read.
    pub gaps: Vec<GapJson>,
    /// In which waves the changes reach the workers, or null where they change none.
    pub rollout: Option<RolloutJson>,
    /// What the plan costs.
    pub cost: CostJson,
    /// What becomes of the pairs of nodes' pods.
    pub reachability: ReachabilityJson,
    /// Who reaches whom before anything is mended; drift alone tells it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reached_now: Option<ReachabilityReportJson>,
}

/// How many of what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SummaryJson {
    /// Resources to create.
    pub add: usize,
    /// Resources to change in place.
    pub change: usize,
    /// Resources to delete and make anew.
    pub replace: usize,
    /// Resources to delete.
    pub destroy: usize,
    /// Resources to take over.
    pub adopt: usize,
    /// Workers to restart.
    pub reboot: usize,
    /// Resources that wait for others.
    pub deferred: usize,
    /// Changes that must not be made.
    pub blocked: usize,
    /// Resources that are as they should be.
    pub unchanged: usize,
}

/// What is done to a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActionJson {
    /// It is made.
    Create,
    /// Some of its fields are changed.
    Update,
    /// It is deleted and made anew.
    Replace,
    /// It is deleted.
    Delete,
    /// It is marked as ours, and its fields set.
    Adopt,
    /// It is restarted, and as it was before.
    Reboot,
}

/// One change of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChangeJson {
    /// The address, `kind/side/name`.
    pub address: String,
    /// What it is.
    pub kind: String,
    /// `cluster`, or a datacenter's name.
    pub side: String,
    /// Its name within the side.
    pub name: String,
    /// What is done.
    pub action: ActionJson,
    /// Field by field.
    pub fields: Vec<FieldJson>,
    /// Addresses whose changes come first.
    pub depends_on: Vec<String>,
    /// The rule of the topology that asks for it.
    pub planned_because_of: String,
    /// The change that this one only follows from.
    pub caused_by: Option<String>,
    /// What stops working meanwhile.
    pub interrupts: Option<String>,
    /// The wave that a worker is in, from 1 on, or null.
    pub wave: Option<u32>,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FieldJson {
    /// The keys that lead to the field.
    pub path: Vec<String>,
    /// The value now, or null.
    pub before: Option<Value>,
    /// The value wanted, or null; null too while it is pending.
    pub after: Option<Value>,
    /// Whether the value is known only after another resource exists.
    pub pending: bool,
    /// Whether the object must be replaced for it.
    pub forces_replacement: bool,
}

/// A resource that cannot be spelt out yet.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DeferredJson {
    /// The address.
    pub address: String,
    /// What will be done, as far as it is known.
    pub action: ActionJson,
    /// Addresses that must exist first.
    pub waits_for: Vec<String>,
    /// Fields that are known already, and those that are pending.
    pub fields: Vec<FieldJson>,
    /// The rule of the topology that asks for it.
    pub planned_because_of: String,
}

/// A change that is wanted and must not be made.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BlockedJson {
    /// The address.
    pub address: String,
    /// What would be done.
    pub action: ActionJson,
    /// Field by field.
    pub fields: Vec<FieldJson>,
    /// The stable code of the reason.
    pub code: String,
    /// The reason.
    pub reason: String,
    /// What to do.
    pub remedy: String,
    /// The blocked resource that this one only waits for.
    pub caused_by: Option<String>,
    /// The rule of the topology that asks for it.
    pub planned_because_of: String,
}

/// Something that the user should know, or must settle first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FindingJson {
    /// The stable code.
    pub code: String,
    /// `warning` or `error`.
    pub severity: String,
    /// The resource that it is about.
    pub address: Option<String>,
    /// What was found.
    pub message: String,
    /// What to do.
    pub remedy: String,
}

/// A source that could not be read. Nothing that it would have shown is
/// planned for deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GapJson {
    /// Which one.
    pub source: String,
    /// What went wrong.
    pub reason: String,
    /// The stable code of the reason.
    pub code: String,
    /// What to do.
    pub remedy: String,
    /// Whether something else in the plan explains it.
    pub explained: bool,
}

/// Requests and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct CostJson {
    /// Requests that reading the world took.
    pub requests: RequestsJson,
    /// Requests that applying will take at the least.
    pub apply_requests: RequestsJson,
    /// Writes among them.
    pub apply_writes: RequestsJson,
    /// The chain of changes that takes longest.
    pub critical_path: Vec<String>,
    /// How long that chain is estimated to take.
    pub estimated_seconds: u64,
}

/// Requests by API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct RequestsJson {
    /// To Azure Resource Manager.
    pub azure: u64,
    /// To the Tailscale API.
    pub tailscale: u64,
    /// To the cluster's API server.
    pub kubernetes: u64,
}

/// The plan as a machine reads it.
pub fn to_json(plan: &Plan, purpose: Purpose) -> PlanJson {
    PlanJson {
        format_version: FORMAT_VERSION.to_owned(),
        purpose,
        topology: plan.topology.clone(),
        summary: summary(plan),
        changes: plan.changes.iter().map(change).collect(),
        deferred: plan.deferred.iter().map(deferred).collect(),
        blocked: plan.blocked.iter().map(blocked).collect(),
        findings: plan.findings.iter().map(finding).collect(),
        gaps: plan.gaps.iter().map(gap).collect(),
        rollout: plan.rollout.map(|it| RolloutJson::of(it, &plan.changes)),
        cost: cost(&plan.cost),
        reachability: ReachabilityJson::of(&plan.reachability),
        reached_now: None,
    }
}

/// The plan as JSON text.
pub fn render(plan: &Plan, purpose: Purpose) -> String {
    // The struct is made of texts, numbers and JSON values, so it serialises.
    let value = serde_json::to_value(to_json(plan, purpose)).unwrap_or_default();
    format!("{value:#}\n")
}

/// The JSON schema of the format.
pub fn plan_schema() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    generator.into_root_schema_for::<PlanJson>().to_value()
}

/// The text of `schema/plan.schema.json`.
pub fn plan_schema_text() -> String {
    format!("{:#}\n", plan_schema())
}

fn summary(plan: &Plan) -> SummaryJson {
    SummaryJson {
        add: plan.count(Action::Create),
        change: plan.count(Action::Update),
        replace: plan.count(Action::Replace),
        destroy: plan.count(Action::Delete),
        adopt: plan.count(Action::Adopt),
        reboot: plan.count(Action::Reboot),
        deferred: plan.deferred.len(),
        blocked: plan.blocked.len(),
        unchanged: plan.unchanged,
    }
}

fn change(change: &Change) -> ChangeJson {
    ChangeJson {
        address: change.address.to_string(),
        kind: change.address.kind.to_string(),
        side: change.address.side.to_string(),
        name: change.address.name.clone(),
        action: change.action.into(),
        fields: change.fields().iter().map(field).collect(),
        depends_on: texts(&change.depends_on),
        planned_because_of: change.planned_because_of.clone(),
        caused_by: change.caused_by.as_ref().map(ToString::to_string),
        interrupts: change.interrupts.clone(),
        wave: change.wave.map(|wave| wave.number),
    }
}

fn field(field: &FieldChange) -> FieldJson {
    FieldJson {
        path: field.path.0.clone(),
        before: field.before.clone(),
        after: field.after.clone().filter(|_| !field.pending),
        pending: field.pending,
        forces_replacement: field.forces_replacement,
    }
}

fn deferred(deferred: &Deferred) -> DeferredJson {
    DeferredJson {
        address: deferred.address.to_string(),
        action: deferred.action.into(),
        waits_for: texts(&deferred.waits_for),
        fields: deferred.fields.iter().map(field).collect(),
        planned_because_of: deferred.planned_because_of.clone(),
    }
}

fn blocked(blocked: &Blocked) -> BlockedJson {
    BlockedJson {
        address: blocked.address.to_string(),
        action: blocked.action.into(),
        fields: blocked.fields.iter().map(field).collect(),
        code: blocked.failure.code.to_string(),
        reason: blocked.failure.message.clone(),
        remedy: blocked.failure.remedy.clone(),
        caused_by: blocked.caused_by.as_ref().map(ToString::to_string),
        planned_because_of: blocked.planned_because_of.clone(),
    }
}

fn finding(finding: &Finding) -> FindingJson {
    let severity = match finding.severity {
        Severity::Warning => "warning",
        Severity::Error => "error",
    };
    FindingJson {
        code: finding.failure.code.to_string(),
        severity: severity.to_owned(),
        address: finding.address.as_ref().map(ToString::to_string),
        message: finding.failure.message.clone(),
        remedy: finding.failure.remedy.clone(),
    }
}

fn gap(gap: &Gap) -> GapJson {
    GapJson {
        source: gap.source.to_string(),
        reason: gap.failure.message.clone(),
        code: gap.failure.code.to_string(),
        remedy: gap.failure.remedy.clone(),
        explained: gap.explained,
    }
}

fn cost(cost: &Cost) -> CostJson {
    CostJson {
        requests: requests(&cost.requests),
        apply_requests: requests(&cost.apply_requests),
        apply_writes: requests(&cost.apply_writes),
        critical_path: texts(&cost.critical_path),
        estimated_seconds: cost.seconds,
    }
}

fn requests(requests: &BTreeMap<Api, u64>) -> RequestsJson {
    let of = |api| requests.get(&api).copied().unwrap_or_default();
    RequestsJson {
        azure: of(Api::Azure),
        tailscale: of(Api::Tailscale),
        kubernetes: of(Api::Kubernetes),
    }
}

fn texts(addresses: &[Address]) -> Vec<String> {
    addresses.iter().map(ToString::to_string).collect()
}

impl From<Action> for ActionJson {
    fn from(action: Action) -> Self {
        match action {
            Action::Create => Self::Create,
            Action::Update => Self::Update,
            Action::Replace => Self::Replace,
            Action::Delete => Self::Delete,
            Action::Adopt => Self::Adopt,
            Action::Reboot => Self::Reboot,
        }
    }
}

#[cfg(test)]
mod tests;
