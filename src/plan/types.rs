//! The plan itself.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Deref;

use serde::{Deserialize, Deserializer, Serialize};

use super::cost::Cost;
use super::diff::{self, FieldChange, WholeSide};
use super::impact::{Reachability, Wait};
use super::step_graph::StepGraph;
use super::{ApplySettings, Execution, Finding, InWave, Rollout, Severity};
use crate::desired::DesiredSet;
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Gap, Observed};
use crate::resource::{Address, ObjectKey, Ownership, Resource};

/// A plan, as [`plan()`](super::plan()) returned it or a file holds it. It can be
/// read as its [`PlanContents`] and cannot be changed:
///
/// ```
/// fn call(plan: &mut stargate::plan::Plan) -> usize {
///     plan.changes.len()
/// }
/// ```
///
/// ```compile_fail,E0596
/// fn call(plan: &mut stargate::plan::Plan) {
///     plan.changes.clear()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
#[must_use = "a plan changes nothing unless it is applied"]
pub struct Plan {
    pub(super) contents: PlanContents,
    #[serde(skip)]
    pub(super) desired: DesiredSet,
}

impl Plan {
    /// What exists once the plan is applied. Empty for a plan that destroys, and
    /// for one that was read from a file, which holds only what differs.
    pub fn desired(&self) -> &DesiredSet {
        &self.desired
    }
}

impl<'de> Deserialize<'de> for Plan {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut contents = PlanContents::deserialize(deserializer)?;
        contents.steps = StepGraph::of(&contents.changes);
        Ok(Self { contents, desired: DesiredSet::default() })
    }
}

impl Deref for Plan {
    type Target = PlanContents;

    fn deref(&self) -> &PlanContents {
        &self.contents
    }
}

impl PartialEq for Plan {
    fn eq(&self, other: &Self) -> bool {
        self.contents == other.contents
    }
}

#[cfg(test)]
impl From<PlanContents> for Plan {
    fn from(contents: PlanContents) -> Self {
        Self { contents, desired: DesiredSet::default() }
    }
}

/// What would be done, in order, and what would not be and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanContents {
    /// The topology's name.
    pub topology: String,
    /// What all changes have in common for an executor.
    pub settings: ApplySettings,
    /// Changes in an order in which they can be made one after another.
    pub changes: Vec<Change>,
    /// The steps of these changes, and which ones wait for which. A saved plan
    /// does not hold them: they follow from its changes.
    #[serde(skip)]
    pub steps: StepGraph,
    /// Resources whose values cannot be known before something else exists.
    pub deferred: Vec<Deferred>,
    /// Changes that the topology asks for and that must not be made.
    pub blocked: Vec<Blocked>,
    /// What was found while live state was read and checked.
    pub findings: Vec<Finding>,
    /// Sources that could not be read.
    pub gaps: Vec<Gap>,
    /// How many resources match the topology.
    pub unchanged: usize,
    /// In which waves the changes reach the workers; absent where they change
    /// none.
    #[serde(default)]
    pub rollout: Option<Rollout>,
    /// What the plan costs.
    pub cost: Cost,
    /// What the plan does to who reaches whom.
    #[serde(default)]
    pub reachability: Reachability,
}

impl PlanContents {
    /// Whether live state matches the topology, as far as it could be read.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty() && self.deferred.is_empty() && self.blocked.is_empty()
    }

    /// How live state compares with the topology.
    pub fn standing(&self) -> PlanStatus {
        let is_error = |finding: &Finding| finding.severity == Severity::Error;
        // A router that is offline is for its owner to start: nothing to decide.
        let undecided = |blocked: &Blocked| blocked.failure.code != Code::RouterOffline;
        if self.unexplained_gaps().next().is_some() {
            PlanStatus::Unknown
        } else if self.findings.iter().any(is_error) {
            PlanStatus::Wrong
        } else if self.blocked.iter().any(undecided) || self.reachability.is_refused() {
            PlanStatus::Blocked
        } else if self.is_empty() {
            PlanStatus::Matches
        } else {
            PlanStatus::Differs
        }
    }

    /// Makes changes depend on others as well, and orders the plan again.
    pub(super) fn wait_for(&mut self, waits: Vec<Wait>) {
        if waits.is_empty() {
            return;
        }
        let positions: HashMap<Address, usize> =
            self.changes.iter().enumerate().map(|(at, it)| (it.address.clone(), at)).collect();
        for (address, others) in waits {
            let Some(place) = positions.get(&address) else { continue };
            for other in others.iter().filter_map(|other| positions.get(other)) {
                self.steps.add_wait(*place, *other);
            }
            let change = &mut self.changes[*place];
            change.depends_on.extend(others);
            change.depends_on.sort();
            change.depends_on.dedup();
        }
        let (changes, steps) = (std::mem::take(&mut self.changes), std::mem::take(&mut self.steps));
        (self.changes, self.steps) = steps.sort(changes);
        self.cost = Cost::of(&self.changes, &self.steps, &self.cost.requests);
    }

    /// The plan without its changes, and without what is deferred and blocked.
    pub(super) fn without_lists(&self) -> Self {
        Self {
            topology: self.topology.clone(),
            settings: self.settings.clone(),
            changes: Vec::new(),
            steps: StepGraph::default(),
            deferred: Vec::new(),
            blocked: Vec::new(),
            findings: self.findings.clone(),
            gaps: self.gaps.clone(),
            unchanged: self.unchanged,
            rollout: self.rollout,
            cost: self.cost.clone(),
            reachability: self.reachability.clone(),
        }
    }

    /// How many resources the plan does that to. Of deferred resources it counts those
    /// that it destroys: they exist, and are created again once their values are known.
    pub fn count(&self, action: Action) -> usize {
        let changes = self.changes.iter().filter(|change| change.action == action).count();
        let is_destroyed =
            |deferred: &&Deferred| action == Action::Replace && deferred.action == action;
        changes + self.deferred.iter().filter(is_destroyed).count()
    }

    /// Gaps that nothing else in the plan explains.
    pub fn unexplained_gaps(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.iter().filter(|gap| !gap.explained)
    }
}

/// How live state compares with the topology, as far as a plan can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanStatus {
    /// It matches.
    Matches,
    /// It differs.
    Differs,
    /// An error that no change fixes, or that forbids all changes.
    Wrong,
    /// A change is blocked until the user decides.
    Blocked,
    /// A source could not be read, so the difference is unknown.
    Unknown,
}

/// One change of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The resource.
    pub address: Address,
    /// Where it stands.
    pub key: ObjectKey,
    /// What is done.
    pub action: Action,
    /// Field by field, where there is a value on both sides; see [`Change::fields`].
    pub differences: Vec<FieldChange>,
    /// The value that was observed; the step checks that it still holds.
    pub before: Option<Resource>,
    /// The value that is wanted; absent for a deletion.
    pub after: Option<Resource>,
    /// Whose the object is now.
    pub ownership: Option<Ownership>,
    /// Changes of this plan that come first.
    pub depends_on: Vec<Address>,
    /// Changes of this plan whose deletion half waits for this one's.
    pub destroy_after: Vec<Address>,
    /// Changes of this plan whose deletion half comes before this one is made:
    /// it takes a place that they hold, or takes away what they stand in.
    #[serde(default)]
    pub create_after_destroy_of: Vec<Address>,
    /// The rule of the topology that asks for it.
    pub planned_because_of: String,
    /// The change that this one only follows from.
    pub caused_by: Option<Address>,
    /// What stops working while it is made.
    pub interrupts: Option<String>,
    /// Its place in the rollout; only workers have one.
    #[serde(default)]
    pub wave: Option<InWave>,
    /// Whether the user requested it by name, regardless of the topology.
    #[serde(default)]
    pub requested: bool,
    /// What applying it needs beside its values.
    pub execution: Execution,
}

impl Change {
    /// A change without values and without dependencies. Every change is made
    /// by this function, so a new field gets its default here.
    pub fn new(
        address: Address,
        key: ObjectKey,
        action: Action,
        planned_because_of: impl Into<String>,
    ) -> Self {
        Self {
            address,
            key,
            action,
            differences: Vec::new(),
            before: None,
            after: None,
            ownership: None,
            depends_on: Vec::new(),
            destroy_after: Vec::new(),
            create_after_destroy_of: Vec::new(),
            planned_because_of: planned_because_of.into(),
            caused_by: None,
            interrupts: None,
            wave: None,
            requested: false,
            execution: Execution::default(),
        }
    }

    /// Sets the observed value and its owner.
    pub(super) fn with_before(mut self, observed: &Observed) -> Self {
        self.before = Some(observed.resource.clone());
        self.ownership = Some(observed.ownership.clone());
        self
    }

    /// Sets the desired value and the fields in which the observed one differs
    /// from it. Call [`Change::with_before`] first.
    pub(super) fn with_after(mut self, desired: &Resource) -> Self {
        self.differences =
            self.before.as_ref().map(|before| diff::between(before, desired)).unwrap_or_default();
        self.after = Some(desired.clone());
        self
    }

    /// Field by field. The fields of an object that is created or deleted are
    /// computed from its value: a plan that held both would be twice as large and
    /// take twice as long to make.
    pub fn fields(&self) -> Cow<'_, [FieldChange]> {
        match (&self.before, &self.after) {
            (None, Some(made)) => Cow::Owned(diff::whole(made, WholeSide::Made)),
            (Some(removed), None) => Cow::Owned(diff::whole(removed, WholeSide::Deleted)),
            _ => Cow::Borrowed(&self.differences),
        }
    }
}

/// What is done to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It is created.
    Create,
    /// Some of its fields are changed.
    Update,
    /// It is deleted and created again.
    Replace,
    /// It is deleted.
    Delete,
    /// It is marked as ours, and its fields set.
    Adopt,
    /// It is restarted, and does not change.
    Reboot,
}

impl Action {
    /// Every action, in the order of a plan's last line.
    pub const ALL: [Self; 6] =
        [Self::Create, Self::Update, Self::Replace, Self::Delete, Self::Adopt, Self::Reboot];

    /// The sign in front of a change.
    pub fn glyph(self) -> &'static str {
        match self {
            Self::Create => "+",
            Self::Update | Self::Reboot => "~",
            Self::Replace => "-/+",
            Self::Delete => "-",
            Self::Adopt => ">",
        }
    }

    /// The word for a sentence, as in "will be created".
    pub fn participle(self) -> &'static str {
        match self {
            Self::Create => "created",
            Self::Update => "updated",
            Self::Replace => "replaced",
            Self::Delete => "deleted",
            Self::Adopt => "adopted",
            Self::Reboot => "rebooted",
        }
    }
}

/// A resource whose value cannot be known yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deferred {
    /// The resource.
    pub address: Address,
    /// What will be done to it, as far as it is known.
    pub action: Action,
    /// Resources that must exist first.
    pub waits_for: Vec<Address>,
    /// Fields that are known already, and those that are pending.
    pub fields: Vec<FieldChange>,
    /// The rule of the topology that asks for it.
    pub planned_because_of: String,
}

/// A change that the topology asks for and that must not be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// The resource.
    pub address: Address,
    /// What would be done.
    pub action: Action,
    /// Field by field.
    pub fields: Vec<FieldChange>,
    /// Why, and what to do.
    pub failure: Failure,
    /// The blocked resource that this one only waits for.
    pub caused_by: Option<Address>,
    /// The rule of the topology that asks for it.
    pub planned_because_of: String,
}
