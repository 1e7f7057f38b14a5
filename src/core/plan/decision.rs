//! The input of a comparison, and the decision about each resource.

use std::collections::{BTreeMap, BTreeSet};

use super::diff::{self, ObjectDiff};
use super::version_remedies::RequestedVersions;
use super::worker_request::WorkerRequest;
use super::{Action, ApplySettings, Blocked, Change, Deferred, Finding};
use crate::desired::facts::{AksNode, DepartedSite};
use crate::desired::{DesiredResource, DesiredSet, Protected};
use crate::diagnostics::Failure;
use crate::inventory::{Gap, Inventory, Observed};
use crate::resource::version::KubernetesVersion;
use crate::resource::{Address, Api, Kind, Site};
use crate::topology::model;

/// Desired state, live state and options that the planner compares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Comparison<'a> {
    /// Settings that all changes share.
    pub(super) settings: &'a ApplySettings,
    /// The desired state; empty in a plan that destroys.
    pub(super) desired: &'a DesiredSet,
    /// The live state.
    pub(super) inventory: &'a Inventory,
    /// Findings of refresh and preflight.
    pub(super) findings: &'a [Finding],
    /// Objects that the topology does not own and that may be taken over.
    pub(super) adopt: &'a BTreeSet<Address>,
    /// Resources that may be replaced with everything in them.
    pub(super) replace: &'a BTreeSet<Address>,
    /// Resources that must stay.
    pub(super) protected: &'a Protected,
    /// How changes reach the workers.
    pub(super) rollout: &'a model::RolloutSettings,
    /// The request for work on these workers only.
    pub(super) worker_request: Option<&'a WorkerRequest>,
    /// Datacenters that the topology no longer has.
    pub(super) departed: &'a BTreeMap<Site, DepartedSite>,
    /// The router that each datacenter has now.
    pub(super) present_routers: &'a BTreeMap<Site, String>,
    /// The nodes of AKS.
    pub(super) nodes: &'a [AksNode],
    /// The versions that the topology names.
    pub(super) requested_versions: &'a RequestedVersions,
    /// The version that the control plane runs once the plan is applied; `None` while
    /// there is no cluster.
    pub(super) control_plane: Option<KubernetesVersion>,
    /// Why AKS would refuse the version that the cluster is to be upgraded to, if it would.
    pub(super) refused_upgrade: Option<&'a Failure>,
    /// Routers that do not have the address of the topology, with the reason.
    pub(super) misplaced_routers: &'a BTreeMap<Address, Failure>,
    /// The requests that it took to read live state.
    pub(super) requests: &'a BTreeMap<Api, u64>,
}

/// The decision about one resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ResourceDecision {
    /// It matches.
    Unchanged,
    /// Its source could not be read.
    Unreadable(Box<Gap>),
    /// It changes.
    Change(Box<Change>),
    /// Its value cannot be known yet.
    Deferred(Box<Deferred>),
    /// It must not change.
    Blocked(Box<Blocked>),
}

impl From<&Gap> for ResourceDecision {
    fn from(gap: &Gap) -> Self {
        Self::Unreadable(Box::new(gap.clone()))
    }
}

impl From<Deferred> for ResourceDecision {
    fn from(deferred: Deferred) -> Self {
        Self::Deferred(Box::new(deferred))
    }
}

impl From<Blocked> for ResourceDecision {
    fn from(blocked: Blocked) -> Self {
        Self::Blocked(Box::new(blocked))
    }
}

/// A decision for each resource.
pub(super) type ResourceDecisions = BTreeMap<Address, ResourceDecision>;

/// A resource whose values are not known yet.
pub(super) fn deferred(
    desired: &DesiredResource,
    observed: Option<&Observed>,
    mut waits_for: Vec<Address>,
) -> Deferred {
    if waits_for.is_empty() {
        waits_for.clone_from(&desired.depends_on);
    }
    let (action, fields) = match observed {
        Some(observed) => (Action::Update, diff::between(&observed.resource, &desired.resource)),
        None => (Action::Create, diff::whole(&desired.resource, ObjectDiff::Created)),
    };
    let reason = &desired.planned_because_of;
    // A cluster that is created again may have the networks that it had.
    let is_conditional = action == Action::Update
        && desired.address.site != Site::Cluster
        && waits_for.iter().all(|it| it.kind == Kind::ManagedCluster)
        && fields.iter().all(|field| field.pending);
    let deferred = Deferred::new(desired.address.clone(), action, reason);
    Deferred { waits_for, fields, is_conditional, ..deferred }
}

/// A change of a resource, without its dependencies yet.
pub(super) fn change(
    desired: &DesiredResource,
    observed: Option<&Observed>,
    action: Action,
) -> ResourceDecision {
    let Some(key) = desired.key.clone() else {
        return deferred(desired, observed, Vec::new()).into();
    };
    let address = desired.address.clone();
    let mut change = Change::new(address, key, action, &desired.planned_because_of);
    if let Some(observed) = observed {
        change = change.with_before(observed);
    }
    ResourceDecision::Change(Box::new(change.with_after(&desired.resource)))
}
