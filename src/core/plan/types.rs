//! The plan itself.

use std::ops::Deref;

use foldhash::HashMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::change::{Action, Change};
use super::cost::Cost;
use super::held::{Blocked, Deferred};
use super::impact::{Loss, Reachability, Wait};
use super::step_graph::StepGraph;
use super::{ApplySettings, AwaitingApproval, Finding, FindingSeverity, IgnoredDrift, Rollout};
use crate::desired::DesiredSet;
use crate::inventory::Gap;
use crate::resource::{Address, Resource};

/// A plan, as [`plan()`](super::plan()) returned it or a file holds it. It can be
/// read as its [`PlanContents`] and cannot be changed:
///
/// ```
/// fn call(plan: &mut stargate_core::plan::Plan) -> usize {
///     plan.changes.len()
/// }
/// ```
///
/// ```compile_fail,E0596
/// fn call(plan: &mut stargate_core::plan::Plan) {
///     plan.changes.clear()
/// }
/// ```
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
#[must_use = "a plan changes nothing until it is applied"]
pub struct Plan {
    pub(super) contents: PlanContents,
    #[serde(skip)]
    pub(super) desired: DesiredSet,
}

impl Plan {
    /// The same with the pairs of another plan, none of whose changes is made.
    pub fn with_reachability_of(mut self, other: &Self) -> Self {
        self.contents.reachability = other.reachability.of_nothing_changed();
        self
    }

    /// The resources that exist after an apply. Empty for a plan that destroys, and for a
    /// plan read from a file, which holds only the differences.
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

/// The changes of a plan in order, and its blocked and deferred resources with the reasons.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlanContents {
    /// The topology's name.
    pub topology: String,
    /// Settings that all changes share.
    pub settings: ApplySettings,
    /// Changes in an order in which they can be made one after another.
    pub changes: Vec<Change>,
    /// The steps of these changes, and which ones wait for which. A saved plan
    /// does not hold them: they follow from its changes.
    #[serde(skip)]
    pub steps: StepGraph,
    /// Resources whose values are unknown until other changes are applied.
    pub deferred: Vec<Deferred>,
    /// Changes that the topology asks for and that must not be made.
    pub blocked: Vec<Blocked>,
    /// Changes that are left out because they need approval. Only plans for
    /// `stargate watch` have any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub awaiting_approval: Vec<AwaitingApproval>,
    /// The pairs of nodes that become unreachable once all of these changes are made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub approval_losses: Vec<Loss>,
    /// Drift that the topology ignores; it counts as a match.
    #[serde(default)]
    pub ignored: Vec<IgnoredDrift>,
    /// Findings of refresh and preflight.
    pub findings: Vec<Finding>,
    /// Sources that could not be read.
    pub gaps: Vec<Gap>,
    /// How many resources match the topology.
    pub unchanged: usize,
    /// In which waves the changes reach the workers; absent where they change
    /// none.
    #[serde(default)]
    pub rollout: Option<Rollout>,
    /// The cost: requests, time and disruption.
    pub cost: Cost,
    /// The effect of the plan on the reachability of pairs.
    #[serde(default)]
    pub reachability: Reachability,
}

impl PlanContents {
    /// Whether live state matches the topology, as far as it could be read.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.deferred.is_empty()
            && self.blocked.is_empty()
            && self.awaiting_approval.is_empty()
    }

    /// How many fields differ from the topology and are ignored, as it says.
    pub fn ignored_differences(&self) -> usize {
        self.ignored.iter().map(|ignored| ignored.fields.len()).sum()
    }

    /// How live state compares with the topology.
    pub fn status(&self) -> PlanStatus {
        let is_error = |finding: &Finding| finding.severity == FindingSeverity::Error;
        if self.unexplained_gaps().next().is_some() {
            PlanStatus::Unknown
        } else if self.findings.iter().any(is_error) {
            PlanStatus::Wrong
        } else if !self.blocked.is_empty() || self.reachability.is_refused() {
            PlanStatus::Blocked
        } else if !self.is_empty() {
            PlanStatus::Differs
        } else if self.reachability.leaves_pairs_broken() {
            PlanStatus::Unreachable
        } else {
            PlanStatus::Matches
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
        self.steps = std::mem::take(&mut self.steps).sort(&mut self.changes);
        let joins = self.cost.deferred_join_seconds;
        self.cost = self.cost.of_same_refresh(&self.changes, &self.steps, &self.deferred, joins);
    }

    /// The plan without changes, deferred and blocked resources.
    pub(super) fn without_lists(&self) -> Self {
        Self {
            topology: self.topology.clone(),
            settings: self.settings.clone(),
            changes: Vec::new(),
            steps: StepGraph::default(),
            deferred: Vec::new(),
            blocked: Vec::new(),
            awaiting_approval: Vec::new(),
            approval_losses: Vec::new(),
            ignored: self.ignored.clone(),
            findings: self.findings.clone(),
            gaps: self.gaps.clone(),
            unchanged: self.unchanged,
            rollout: self.rollout,
            cost: self.cost.clone(),
            reachability: self.reachability.clone(),
        }
    }

    /// How many changes of a kind the plan makes, now or once their values are known.
    pub fn count(&self, action: Action) -> usize {
        let changes = self.changes.iter().filter(|change| change.action == action).count();
        changes + self.expected().filter(|deferred| deferred.action == action).count()
    }

    /// The deferred resources that are changed whatever the changes before them result in.
    pub fn expected(&self) -> impl Iterator<Item = &Deferred> {
        self.deferred.iter().filter(|deferred| !deferred.is_conditional)
    }

    /// Whether a change relies on facts read from a worker's host.
    pub fn reads_worker_hosts(&self) -> bool {
        self.changes.iter().any(|change| match &change.before {
            Some(Resource::Worker(worker)) => worker.host.observed().is_some(),
            _ => false,
        })
    }

    /// Gaps that no finding of the plan explains.
    pub fn unexplained_gaps(&self) -> impl Iterator<Item = &Gap> {
        self.gaps.iter().filter(|gap| !gap.explained)
    }
}

/// The comparison of live state with the topology, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlanStatus {
    /// It matches.
    Matches,
    /// It differs.
    Differs,
    /// An error that no change fixes, or that forbids all changes.
    Wrong,
    /// A change is blocked until the user, or the owner of an object, acts.
    Blocked,
    /// It matches, but packets between pods are dropped: by an object that the topology
    /// does not own, or by a failure outside of it.
    Unreachable,
    /// A source could not be read, so the difference is unknown.
    Unknown,
}
