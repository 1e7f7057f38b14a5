//! A plan as JSON, in a format with a version and a schema.
//!
//! Within one major version fields are only added. Readers ignore unknown fields
//! and refuse a greater major version.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::Value;

use crate::inventory::Gap;
use crate::plan::diff::FieldChange;
use crate::plan::{Action, Blocked, Change, Deferred, Finding, FindingSeverity, Plan};
use crate::resource::Address;

use super::connectivity::reachability::ReachabilityJson;
use super::connectivity::reachability_report::ReachabilityReportJson;
use super::cost_json::CostJson;
use super::ignored_json::IgnoredJson;
use super::rollout_json::RolloutJson;
use super::{PlanTarget, Purpose};

/// The version of the format of `plan --format json` and `drift --format json`.
pub const FORMAT_VERSION: &str = "2.1";

/// A plan.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[schemars(title = "A stargate plan")]
pub struct PlanJson {
    /// The version of this format, `major.minor`.
    pub format_version: String,
    /// The command that the plan was made for.
    pub purpose: Purpose,
    /// The name of the topology.
    pub topology: String,
    /// Where the changes are made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<PlanTarget>,
    /// Counts of changes and resources.
    pub summary: SummaryJson,
    /// The changes, ordered so that dependencies come first.
    pub changes: Vec<ChangeJson>,
    /// Resources that can be planned only after others exist.
    pub deferred: Vec<DeferredJson>,
    /// Changes that must not be made.
    pub blocked: Vec<BlockedJson>,
    /// Drift that the topology ignores; it counts as a match.
    pub ignored: Vec<IgnoredJson>,
    /// Warnings and errors about the live state.
    pub findings: Vec<FindingJson>,
    /// Sources that could not be read.
    pub gaps: Vec<GapJson>,
    /// The waves in which workers change; null if no worker changes.
    pub rollout: Option<RolloutJson>,
    /// Requests and the estimated duration.
    pub cost: CostJson,
    /// The effect on reachability between the pods of nodes.
    pub reachability: ReachabilityJson,
    /// The current reachability; only in the output of `drift`, and of a `plan` that
    /// changes nothing although packets are dropped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub current_reachability: Option<ReachabilityReportJson>,
}

/// Counts of changes and resources.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct SummaryJson {
    /// Resources to create; here and below, deferred ones are included.
    pub add: usize,
    /// Resources to change in place.
    pub change: usize,
    /// Resources to replace.
    pub replace: usize,
    /// Resources to delete.
    pub destroy: usize,
    /// Resources to adopt.
    pub adopt: usize,
    /// Workers to restart.
    pub reboot: usize,
    /// Deferred resources among those above.
    pub deferred: usize,
    /// Blocked changes.
    pub blocked: usize,
    /// Fields that differ and that the topology ignores.
    pub ignored: usize,
    /// Resources without a change.
    pub unchanged: usize,
}

/// The action of a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ActionJson {
    /// The resource is created.
    Create,
    /// The resource is updated in place.
    Update,
    /// The resource is deleted and created again.
    Replace,
    /// The resource is deleted.
    Delete,
    /// The topology takes ownership of the resource and sets its fields.
    Adopt,
    /// The worker is restarted.
    Reboot,
}

/// One change of one resource.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct ChangeJson {
    /// The address, `kind/site/name`.
    pub address: String,
    /// The kind of the resource.
    pub kind: String,
    /// `cluster`, or the name of a datacenter.
    pub site: String,
    /// The name, unique within kind and site.
    pub name: String,
    /// The action.
    pub action: ActionJson,
    /// The fields that differ.
    pub fields: Vec<FieldJson>,
    /// The addresses of resources whose changes precede this one.
    pub depends_on: Vec<String>,
    /// The rule of the topology that the change is planned for.
    pub planned_because_of: String,
    /// The address of the resource whose change causes this one.
    pub caused_by: Option<String>,
    /// The disruption during the change.
    pub disruption: Option<String>,
    /// The wave of a worker, counted from 1; null for other resources.
    pub wave: Option<u32>,
}

/// One field that differs.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct FieldJson {
    /// The keys of the path to the field.
    pub path: Vec<String>,
    /// The current value, or null.
    pub before: Option<Value>,
    /// The desired value, or null; also null while it is pending.
    pub after: Option<Value>,
    /// Whether the value is known only after the apply.
    pub pending: bool,
    /// Whether the change forces a replacement of the resource.
    pub forces_replacement: bool,
}

/// A resource that can be planned only after others exist.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct DeferredJson {
    /// The address.
    pub address: String,
    /// The action, as far as it is known.
    pub action: ActionJson,
    /// The addresses of resources that must exist first.
    pub waits_for: Vec<String>,
    /// Known and pending fields.
    pub fields: Vec<FieldJson>,
    /// The rule of the topology that the change is planned for.
    pub planned_because_of: String,
    /// The interruption that the change causes, if that is known.
    pub disruption: Option<String>,
    /// Whether it is changed only if the changes before it have a certain result; such a
    /// change is not counted.
    pub conditional: bool,
}

/// A change that must not be made.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct BlockedJson {
    /// The address.
    pub address: String,
    /// The action that is blocked.
    pub action: ActionJson,
    /// The fields that differ.
    pub fields: Vec<FieldJson>,
    /// The stable code of the reason.
    pub code: String,
    /// The reason.
    pub reason: String,
    /// The remedy.
    pub remedy: String,
    /// The address of the blocked resource that this change depends on.
    pub caused_by: Option<String>,
    /// The rule of the topology that the change is planned for.
    pub planned_because_of: String,
}

/// A warning or an error about the live state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct FindingJson {
    /// The stable code.
    pub code: String,
    /// `warning` or `error`.
    pub severity: String,
    /// The address of the resource, if there is one.
    pub address: Option<String>,
    /// The message.
    pub message: String,
    /// The remedy.
    pub remedy: String,
}

/// A source that could not be read. Resources that only this source shows are
/// not planned for deletion.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct GapJson {
    /// The source.
    pub source: String,
    /// Why it could not be read.
    pub reason: String,
    /// The stable code of the reason.
    pub code: String,
    /// The remedy.
    pub remedy: String,
    /// Whether another finding of the plan explains the gap.
    pub expected: bool,
}

/// Converts a plan.
pub fn to_json(plan: &Plan, purpose: Purpose) -> PlanJson {
    PlanJson {
        format_version: FORMAT_VERSION.to_owned(),
        purpose,
        topology: plan.topology.clone(),
        target: None,
        summary: summary(plan),
        changes: plan.changes.iter().map(change).collect(),
        deferred: plan.deferred.iter().map(deferred).collect(),
        blocked: plan.blocked.iter().map(blocked).collect(),
        ignored: plan.ignored.iter().map(IgnoredJson::of).collect(),
        findings: plan.findings.iter().map(finding).collect(),
        gaps: plan.gaps.iter().map(gap).collect(),
        rollout: plan.rollout.map(|it| RolloutJson::of(it, &plan.changes)),
        cost: CostJson::of(&plan.cost),
        reachability: ReachabilityJson::of(&plan.reachability),
        current_reachability: None,
    }
}

/// The plan as JSON text.
pub fn render(plan: &Plan, purpose: Purpose) -> String {
    to_text(&to_json(plan, purpose))
}

/// The JSON as text.
pub fn to_text(json: &PlanJson) -> String {
    // The struct is made of texts, numbers and JSON values, so it serialises.
    let value = serde_json::to_value(json).unwrap_or_default();
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
        deferred: plan.expected().count(),
        blocked: plan.blocked.len(),
        ignored: plan.ignored_differences(),
        unchanged: plan.unchanged,
    }
}

fn change(change: &Change) -> ChangeJson {
    ChangeJson {
        address: change.address.to_string(),
        kind: change.address.kind.to_string(),
        site: change.address.site.to_string(),
        name: change.address.name.to_string(),
        action: change.action.into(),
        fields: change.fields().iter().map(field).collect(),
        depends_on: texts(&change.depends_on),
        planned_because_of: change.planned_because_of.clone(),
        caused_by: change.caused_by.as_ref().map(ToString::to_string),
        disruption: change.interrupts.clone(),
        wave: change.wave.map(|wave| wave.number),
    }
}

pub(super) fn field(field: &FieldChange) -> FieldJson {
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
        disruption: deferred.interrupts.clone(),
        conditional: deferred.is_conditional,
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
        FindingSeverity::Warning => "warning",
        FindingSeverity::Error => "error",
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
        expected: gap.explained,
    }
}

pub(super) fn texts(addresses: &[Address]) -> Vec<String> {
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
