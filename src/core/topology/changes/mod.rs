//! The effects of a change of each field of the topology after it was applied.
//!
//! The table is written by hand from the documentation of the services. The tests compare
//! it with the schema, so that no field is missing, and with what plans and applies do;
//! `stargate explain FIELD` and the reference documentation print it.

mod blocks;
mod cluster;
mod datacenters;
mod settings;
mod sources;
mod workers;

use crate::diagnostics::Code;

/// The outcome of a change of the topology.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeOutcome {
    /// No object of a service or host changes: the field is a setting of stargate, or
    /// applies only to resources created later.
    NoChange,
    /// Live objects are updated. No worker is drained.
    InPlace,
    /// Workers, or the nodes of a pool, are drained and changed one wave after another.
    Rollout,
    /// Objects are deleted and created again under the plan's normal approval. Their
    /// workers are drained before.
    Recreation,
    /// Objects are deleted. Workers are drained before, and lost pairs need
    /// `--allow-loss`.
    Removal,
    /// Refused unless `--replace ADDRESS` names the object, because objects in it are
    /// deleted with it.
    Replacement,
    /// Refused with this code, and nothing is changed.
    Refused(Code),
}

impl ChangeOutcome {
    /// Every outcome in words, as the reference explains them.
    pub const LEGEND: [(&'static str, &'static str); 7] = [
        (
            "no change",
            "no object of a service or host changes: the field is a setting of stargate, or \
             applies only to resources that are created later",
        ),
        ("in place", "live objects are updated, and no worker is drained"),
        (
            "rollout with drain",
            "workers, or the nodes of a pool, are drained and changed one wave after another",
        ),
        (
            "recreated",
            "objects are deleted and created again under the plan's normal approval; their \
             workers are drained first",
        ),
        (
            "removed",
            "objects are deleted; workers are drained first, and lost pairs need `--allow-loss`",
        ),
        (
            "replacement with approval",
            "refused unless `--replace ADDRESS` names the object, because objects in it are \
             deleted with it",
        ),
        ("refused", "refused with a code that `stargate explain` explains; nothing is changed"),
    ];

    /// The outcome in words, as in `refused (SG0502)`.
    pub fn words(self) -> String {
        let place = match self {
            Self::NoChange => 0,
            Self::InPlace => 1,
            Self::Rollout => 2,
            Self::Recreation => 3,
            Self::Removal => 4,
            Self::Replacement => 5,
            Self::Refused(code) => return format!("{} ({})", Self::LEGEND[6].0, code.as_str()),
        };
        Self::LEGEND[place].0.to_owned()
    }
}

/// The kind of a datacenter, by the table that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DatacenterKindName {
    /// `[datacenters.<name>.azure]`.
    Azure,
    /// `[datacenters.<name>.existing]`.
    Existing,
}

impl DatacenterKindName {
    /// Every kind that is supported.
    pub const ALL: [Self; 2] = [Self::Azure, Self::Existing];

    /// The key of its table.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Azure => "azure",
            Self::Existing => "existing",
        }
    }
}

/// A row of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangeRule {
    /// The path of the field, as in `datacenters.*.workers[].ip`; or a block with the kind
    /// of its change.
    pub field: &'static str,
    /// The kinds of datacenters that it holds for; empty for a field of no datacenter.
    pub kinds: &'static [DatacenterKindName],
    /// How the value changes, as in `a higher number`.
    pub change: &'static str,
    /// The outcome.
    pub outcome: ChangeOutcome,
    /// The effect, in a sentence.
    pub effect: &'static str,
    /// The documentation of the service about such a change.
    pub source: &'static str,
    /// Whether pairs of pods are lost for good, so that the change needs `--allow-loss`.
    pub loses: bool,
}

impl ChangeRule {
    /// The row of a change that loses pairs of pods for good.
    const fn losing(self) -> Self {
        Self { loses: true, ..self }
    }
}

/// Any other value.
const OTHER: &str = "another value";
/// Both kinds of datacenters.
const BOTH: &[DatacenterKindName] = &DatacenterKindName::ALL;
const AZURE: &[DatacenterKindName] = &[DatacenterKindName::Azure];
const EXISTING: &[DatacenterKindName] = &[DatacenterKindName::Existing];
/// The key that the schema has for one kind only.
const NOT_FOR_KIND: ChangeOutcome = ChangeOutcome::Refused(Code::KeyNotForKind);
const NOT_FOR_KIND_EFFECT: &str = "the key is not valid for datacenters of this kind";

/// A row for a field outside of datacenters.
const fn rule(
    field: &'static str,
    change: &'static str,
    outcome: ChangeOutcome,
    (effect, source): (&'static str, &'static str),
) -> ChangeRule {
    ChangeRule { field, kinds: &[], change, outcome, effect, source, loses: false }
}

/// A row for a field of datacenters of some kinds.
const fn of(
    kinds: &'static [DatacenterKindName],
    (field, change): (&'static str, &'static str),
    outcome: ChangeOutcome,
    (effect, source): (&'static str, &'static str),
) -> ChangeRule {
    ChangeRule { field, kinds, change, outcome, effect, source, loses: false }
}

/// The rows of all fields.
pub fn field_rules() -> impl Iterator<Item = &'static ChangeRule> {
    let tables = [settings::RULES, cluster::RULES, datacenters::RULES, workers::RULES];
    tables.into_iter().flatten()
}

/// The rows for the removal, the move and the renaming of whole tables.
pub fn block_rules() -> impl Iterator<Item = &'static ChangeRule> {
    blocks::RULES.iter()
}
