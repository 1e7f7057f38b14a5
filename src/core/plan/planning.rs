//! Makes a complete plan from refreshed state.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::civil::Date;

use super::adoption;
use super::cluster_replacement::{
    lose_all_pairs, lose_deleted_nodes, loses_cluster, mark_replaced,
};
use super::cost::Cost;
use super::cyclic_waits;
use super::decision::Comparison;
use super::execution_details;
use super::foreign_tables;
use super::group_takeovers;
use super::impact::{
    Assessment, Departures, Projection, add_later_moves, add_pool_upgrades, assess,
};
use super::kept_ranges;
use super::known_drift;
use super::later_moves;
use super::new_datacenters;
use super::planner::plan_changes;
use super::pool_removal::LeavingPools;
use super::preflight::{TailnetFacts, live_lints};
use super::router_addresses;
use super::unattended::ApprovedChanges;
use super::unread_cluster;
use super::version_remedies::RequestedVersions;
use super::worker_request;
use super::{
    ApplySettings, Finding, FindingSeverity, Plan, PlanContents, WorkerRequest, surviving,
};
use crate::connectivity::Sources;
use crate::desired::{self, Allocation, AllocationError, DesiredSet, Facts, allocate};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Inventory;
use crate::resource::settings::AutoApply;
use crate::resource::{Address, Api};
use crate::topology::model::{Datacenter, Topology};
use crate::topology::names::TopologyName;

/// The options of a plan, beside the topology.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlanOptions {
    /// Read the workers' hosts too, over SSH.
    pub deep: bool,
    /// Delete everything that the topology owns.
    pub destroy: bool,
    /// A destroy deletes what is proven to be the topology's, although the cluster could not
    /// be read.
    pub allow_unread_cluster: bool,
    /// Objects that the topology does not own and that may be taken over.
    pub adopt: BTreeSet<Address>,
    /// The name that the topology had before: everything that it owned under that name
    /// is taken over.
    pub adopt_from: Option<TopologyName>,
    /// Resources that may be replaced although that destroys everything in them.
    pub replace: BTreeSet<Address>,
    /// Work on these workers only.
    pub worker_request: Option<WorkerRequest>,
    /// The plan may lose pairs of pods that reach each other now.
    pub allow_loss: bool,
    /// Upgrade node pools and workers to the patch of the control plane.
    pub upgrade_patches: bool,
    /// Leave out the changes that need approval by this rule; see [`super::unattended`].
    pub unattended: Option<AutoApply>,
    /// Leave out what `unattended` permits to create, too: the topology was destroyed.
    pub after_destroy: bool,
    /// Changes that were approved one by one, beside those that need no approval.
    pub approved: ApprovedChanges,
}

impl PlanOptions {
    /// Whether the cluster is deleted even if its facts could not be read.
    pub fn deletes_unread_cluster(&self) -> bool {
        self.destroy && self.allow_unread_cluster
    }
}

/// Everything that a plan is made from.
#[derive(Debug, Clone, Copy)]
pub struct PlanningInput<'a> {
    /// The desired configuration.
    pub topology: &'a Topology,
    /// Options beside the topology.
    pub options: &'a PlanOptions,
    /// Facts that desired resources are computed from.
    pub facts: &'a Facts,
    /// The live state.
    pub inventory: &'a Inventory,
    /// The tailnet facts that preflight checks.
    pub tailnet: &'a TailnetFacts,
    /// Findings of refresh.
    pub findings: &'a [Finding],
    /// The requests that it took to read live state.
    pub requests: &'a BTreeMap<Api, u64>,
    /// The day, in UTC: known drift is ignored until a date.
    pub today: Date,
}

/// Makes the plan that brings live state to the topology.
///
/// The result is complete: nothing is left for an executor to decide, and nothing is added
/// to it afterwards. A plan with an error among its findings has no changes, because
/// changes derived from a wrong fact would be wrong too; only a plan that destroys ignores
/// them.
pub fn plan(input: PlanningInput<'_>) -> Plan {
    let mut findings = input.findings.to_vec();
    let allocation = allocate(input.topology, input.facts).map(Arc::new);
    let allocated = allocation.as_deref().ok();
    // A plan that destroys ignores errors about resources that would be created.
    if !input.options.destroy {
        let (facts, inventory) = (input.facts, input.inventory);
        findings.extend(live_lints(input.topology, facts, input.tailnet, inventory, allocated));
    }
    let desired = desired_state(input.topology, input.facts, allocation, &mut findings);
    if !input.options.destroy {
        let (rules, today) = (&input.topology.ignores, input.today);
        findings.extend(known_drift::findings(rules, today, &desired, input.inventory));
        findings.extend(later_moves::unknown_iterations(&desired));
        findings.extend(group_takeovers::findings(&desired, input.inventory));
        findings.extend(foreign_tables::findings(&desired, input.inventory));
    }
    let other = adoption::other_topology(&desired, input.inventory);
    if let Some(other) = other {
        // Findings about the prefixes of that topology's routers follow from it.
        findings.retain(|finding| !is_about_served_prefixes(finding));
        findings.extend(input.options.destroy.then(|| adoption::refuse_destroy(other)));
    }
    // Without addresses the protected resources are not known either.
    let is_known = !(desired.is_empty() && protects_anything(input.topology));
    let may_destroy = input.options.destroy && is_known && other.is_none();
    // The desired state before the destroy contains the destroyed resources.
    let current = input.options.destroy.then(|| desired.clone());
    let mut plan = if has_errors(&findings) && !may_destroy {
        without_changes(input, findings, desired)
    } else {
        let whole = compare_states(input, findings.clone(), desired);
        new_datacenters::leave_out(input, &findings, whole)
    };
    assess_reachability(input, current.as_ref(), &mut plan);
    plan
}

/// The desired state. Empty, with an error among the findings, if the addresses that the
/// topology leaves open cannot be allocated.
pub(super) fn desired_state(
    topology: &Topology,
    facts: &Facts,
    allocation: Result<Arc<Allocation>, AllocationError>,
    findings: &mut Vec<Finding>,
) -> DesiredSet {
    match allocation {
        Ok(allocation) => desired::build_with(topology, facts, allocation),
        Err(error) => {
            findings.push(allocation_failed(&error));
            DesiredSet::default()
        }
    }
}

fn allocation_failed(error: &AllocationError) -> Finding {
    let remedy = "enlarge the pool or the network, or remove workers";
    Finding::new(FindingSeverity::Error, Failure::of(Code::LivePodOverlap, error, remedy))
}

fn has_errors(findings: &[Finding]) -> bool {
    findings.iter().any(|finding| finding.severity == FindingSeverity::Error)
}

/// The changes between live and desired state. If a change invalidates facts (a replaced
/// cluster gets another VNet), the desired state is computed again from the surviving
/// facts.
pub(super) fn compare_states(
    input: PlanningInput<'_>,
    mut findings: Vec<Finding>,
    desired: DesiredSet,
) -> Plan {
    let settings = settings(input);
    let protected = desired.protected();
    let progress = input.facts.request.as_ref();
    let worker_request = input.options.worker_request.as_ref().map(|it| it.remaining(progress));
    findings.extend(worker_request::already_done(input.options.worker_request.as_ref(), progress));
    let requested_versions = RequestedVersions::of(input.topology);
    let compare = |findings: &[Finding],
                   desired: &mut DesiredSet,
                   (facts, inventory): (&Facts, &Inventory)| {
        let rules = &input.topology.ignores;
        let applied = known_drift::ignore(rules, input.today, inventory, desired);
        let kept_ranges = kept_ranges::findings(input.topology, &applied.drift);
        let of_rules = applied.findings.iter().cloned().chain(kept_ranges);
        let findings: Vec<Finding> = findings.iter().cloned().chain(of_rules).collect();
        let refused_upgrade = desired::refusal_of_upgrade(input.topology, facts);
        let comparison = Comparison {
            settings: &settings,
            desired,
            inventory,
            findings: &findings,
            adopt: &input.options.adopt,
            replace: &input.options.replace,
            protected: &protected,
            rollout: &input.topology.rollout,
            worker_request: worker_request.as_ref(),
            departed: &facts.departed,
            present_routers: &facts.present_routers,
            nodes: &facts.nodes,
            requested_versions: &requested_versions,
            control_plane: applied.control_plane(input.topology, facts),
            refused_upgrade: refused_upgrade.as_ref(),
            misplaced_routers: &router_addresses::misplaced(input.topology, inventory),
            requests: input.requests,
        };
        let mut contents = plan_changes(comparison);
        let changes = &mut contents.changes;
        execution_details::attach(input.topology, comparison.desired, facts, inventory, changes);
        contents.ignored = applied.drift;
        cyclic_waits::block(comparison, &mut contents);
        contents
    };
    let mut kept = if input.options.destroy { DesiredSet::default() } else { desired };
    let mut contents = compare(&findings, &mut kept, (input.facts, input.inventory));
    if input.options.destroy {
        unread_cluster::withhold(input, &mut contents);
    }
    if has_errors(&contents.findings) && !input.options.destroy {
        return without_changes(input, contents.findings, kept);
    }
    let Some((facts, inventory)) = surviving(input.facts, input.inventory, &contents) else {
        return Plan { contents, desired: kept };
    };
    let allocation = allocate(input.topology, &facts).map(Arc::new);
    let mut desired = desired_state(input.topology, &facts, allocation, &mut findings);
    if has_errors(&findings) && !input.options.destroy {
        return without_changes(input, findings, desired);
    }
    let mut later = compare(&findings, &mut desired, (&facts, &inventory));
    if has_errors(&later.findings) && !input.options.destroy {
        return without_changes(input, later.findings, desired);
    }
    mark_replaced(&contents, &mut later);
    Plan { contents: later, desired }
}

/// Whether a finding is about prefixes that foreign devices serve.
fn is_about_served_prefixes(finding: &Finding) -> bool {
    matches!(finding.failure.code, Code::PrefixConflict | Code::NotOwned)
}

fn protects_anything(topology: &Topology) -> bool {
    let of_datacenter = |datacenter: &Datacenter| {
        datacenter.protect
            || datacenter.router.protect
            || datacenter.workers.iter().any(|worker| worker.protect)
    };
    topology.cluster.protect
        || topology.cluster.router.protect
        || topology.datacenters.iter().any(of_datacenter)
}

/// Orders changes so that a new path exists before the old one is removed, and computes the
/// effect of the plan on reachability. A plan that destroys loses every pair of a deleted
/// node by intention: `current` is the state that it destroys.
pub(super) fn assess_reachability(
    input: PlanningInput<'_>,
    current: Option<&DesiredSet>,
    plan: &mut Plan,
) {
    // Without changes, a plan still counts the pairs of the topology, except with errors,
    // which leave them unknown, and for a request for workers or a destroy, which ignore
    // them.
    let is_silent = input.options.destroy
        || input.options.worker_request.is_some()
        || has_errors(&plan.findings);
    if !(plan.changes.is_empty() && is_silent) {
        let observed = Sources {
            topology: input.topology,
            facts: input.facts,
            desired: current.unwrap_or(&plan.desired),
            inventory: input.inventory,
        };
        let reachability = |reachability| Assessment { waits: Vec::new(), reachability };
        let Assessment { waits, reachability } = match (loses_cluster(plan), current) {
            (Some(cluster), _) => reachability(lose_all_pairs(observed, cluster)),
            (None, Some(_)) => reachability(lose_deleted_nodes(observed, plan)),
            (None, None) => assess_without_departures(observed, plan),
        };
        plan.contents.wait_for(waits);
        plan.contents.reachability = reachability;
    }
    plan.contents.reachability.loss_allowed = input.options.allow_loss || input.options.destroy;
}

/// Nodes that the plan removes are left out, and the pairs of their pods are added.
fn assess_without_departures(observed: Sources<'_>, plan: &Plan) -> Assessment {
    let departures = Departures::of(observed, plan);
    let mut assessment = match departures.without_nodes(observed.facts) {
        Some(facts) => assess_without_pools(Sources { facts: &facts, ..observed }, plan),
        None => assess_without_pools(observed, plan),
    };
    departures.add_to(&mut assessment.reachability);
    add_pool_upgrades(&mut assessment.reachability, observed, plan);
    add_later_moves(&mut assessment.reachability, observed, plan);
    assessment
}

/// The nodes of pools that the plan removes are left out, and the pairs of their pods
/// are added to the losses.
fn assess_without_pools(observed: Sources<'_>, plan: &Plan) -> Assessment {
    let leaving = LeavingPools::of(observed.facts, plan);
    if leaving.is_empty() {
        return assess(Projection { observed, plan, is_present: false });
    }
    let facts = leaving.without_nodes(observed.facts);
    let sources = Sources { facts: &facts, ..observed };
    let rest = assess(Projection { observed: sources, plan, is_present: false });
    let reachability = leaving.add_losses(observed, plan, rest.reachability);
    Assessment { reachability, ..rest }
}

fn settings(input: PlanningInput<'_>) -> ApplySettings {
    let upgrade_patches = input.options.upgrade_patches;
    let mut settings = ApplySettings::of(input.topology);
    settings.owner.former.clone_from(&input.options.adopt_from);
    ApplySettings { upgrade_patches, ..settings }
}

fn without_changes(input: PlanningInput<'_>, findings: Vec<Finding>, desired: DesiredSet) -> Plan {
    let contents = PlanContents {
        topology: input.topology.name.to_string(),
        settings: settings(input),
        changes: Vec::new(),
        steps: Default::default(),
        deferred: Vec::new(),
        blocked: Vec::new(),
        awaiting_approval: Vec::new(),
        approval_losses: Vec::new(),
        ignored: Vec::new(),
        findings,
        gaps: input.inventory.gaps().cloned().collect(),
        unchanged: 0,
        rollout: None,
        cost: Cost { requests: input.requests.clone(), ..Default::default() },
        reachability: Default::default(),
    };
    Plan { contents, desired }
}
