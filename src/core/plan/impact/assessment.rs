//! The impact of a plan on the reachability between nodes' pods.

use super::disruption_search::disruptions;
use super::examiner::Examiner;
use super::intermediate_states::affects_data_plane;
use super::known_state::{Known, classes};
use super::make_before_break::make_before_break;
use super::pair_counts::PairComparison;
use super::passed_elements::Traced;
use super::projection::{IntermediateState, Projection, loses_cluster, numbers, value_after};
use super::reachability::{Reachability, Unexamined, Wait};
use super::relocation::Relocations;
use super::retained_pairs::{RetainedPairs, is_kept};
use crate::connectivity::snapshot::{Nodes, Snapshot, ends};
use crate::connectivity::{
    self, IncrementalModel, Matrix, PROTOCOL, Pairs, PathModel, PresentTopology, ProjectedState,
    Sources,
};
use crate::dataplane::difference::NetworkDifference;
use crate::dataplane::{End, trace_round_trip};
use crate::plan::{Change, Deferred, StepGraph};
use crate::resource::{Address, ObjectKey};

/// The impact of a plan on the network, and which of its changes should wait for
/// others so that no pair is cut in an intermediate state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Assessment {
    /// The waits that make-before-break needs; see
    /// [`Plan::wait_for`](crate::plan::Plan::wait_for).
    pub waits: Vec<Wait>,
    /// The reachability of the pairs, with those waits.
    pub reachability: Reachability,
}

/// Traces between the pods of all nodes before, after and during the plan. Nodes
/// that the plan adds or removes, and those whose pods are unknown before it, are
/// left out.
pub fn assess(projection: Projection<'_>) -> Assessment {
    assess_with(projection, make_before_break)
}

/// The same in the order that the changes have already.
#[cfg(test)]
pub(crate) fn assess_in_order(projection: Projection<'_>) -> Reachability {
    assess_with(projection, |_, _| Vec::new()).reachability
}

/// Asserts that every state in between is the same, whether it is examined by its
/// differences or as a whole.
#[cfg(test)]
pub(crate) fn check_every_state(projection: Projection<'_>) {
    let _assessment = assess_with(projection, |examiner, graph| {
        let changes = examiner.changes;
        let states = super::intermediate_states::States { changes, graph };
        for change in 0..changes.len() {
            states.of(change).iter().for_each(|state| examiner.check(state));
        }
        examiner.check(&super::intermediate_states::States::applied());
        Vec::new()
    });
}

/// How waits are found and added to the graph.
type FindWaits = fn(&mut Examiner<'_, '_>, &mut StepGraph) -> Vec<Wait>;

fn assess_with(projection: Projection<'_>, find_waits: FindWaits) -> Assessment {
    let changes = &projection.plan.changes;
    let mut paths = OnPaths::of(changes);
    let observed = IncrementalModel::new(ProjectedState::observed(
        projection.observed,
        &std::mem::take(&mut paths.keys),
    ));
    if has_no_pods(observed.model()) {
        return Assessment::default();
    }
    // A blocked object may have another name in the topology, which the model uses.
    if changes.is_empty()
        && projection.plan.deferred.is_empty()
        && projection.plan.blocked.is_empty()
    {
        // A topology edit that awaits approval changes nothing: the model uses the live
        // objects under their current names.
        let reachability = match PresentTopology::of(projection.observed) {
            Some(_) => current(projection.observed).reachability,
            None => unchanged(observed.model()),
        };
        return Assessment { waits: Vec::new(), reachability };
    }
    compare_states(projection, &paths, observed, find_waits)
}

/// The pairs before any change, for plans that take all of them.
#[derive(Default)]
pub(in crate::plan) struct Current {
    pub(in crate::plan) reachability: Reachability,
    /// The nodes of one pair.
    pub(in crate::plan) example: (String, String),
}

/// The pairs that reach each other now.
pub(in crate::plan) fn current(observed: Sources<'_>) -> Current {
    let present_topology = PresentTopology::of(observed);
    let observed = present_topology
        .as_ref()
        .map_or(observed, |present_topology| present_topology.sources(observed));
    let model = connectivity::path_model(ProjectedState::observed(observed, &[]));
    if has_no_pods(&model) {
        return Current::default();
    }
    let mut nodes = model.sites.iter().rev().filter_map(|site| site.nodes.first());
    let mut name =
        || nodes.next().map_or_else(String::new, |it| model.network.name(*it).to_owned());
    Current { reachability: unchanged(&model), example: (name(), name()) }
}

/// The pairs where the plan changes nothing, as `drift` and `check` count them.
fn unchanged(model: &PathModel) -> Reachability {
    let matrix = Matrix::of(model);
    let Pairs { reached, dropped, unknown } = matrix.total();
    Reachability {
        kept: reached,
        broken: dropped,
        nodes_dropped: matrix.nodes.dropped,
        unknown,
        ..Reachability::default()
    }
}

/// The changes that packets depend on, and their objects.
struct OnPaths<'a> {
    keys: Vec<&'a ObjectKey>,
    /// The number of each change's object.
    objects: Vec<Option<usize>>,
    loses_cluster: bool,
}

impl<'a> OnPaths<'a> {
    fn of(changes: &'a [Change]) -> Self {
        let on_paths = |change: &&Change| affects_data_plane(change.address.kind);
        let keys: Vec<&ObjectKey> =
            changes.iter().filter(on_paths).map(|change| &change.key).collect();
        let mut numbers = numbers(&keys).into_iter();
        let number = |change: &Change| on_paths(&change).then(|| numbers.next()).flatten();
        let objects = changes.iter().map(number).collect();
        Self { keys, objects, loses_cluster: changes.iter().any(loses_cluster) }
    }
}

fn has_no_pods(model: &PathModel) -> bool {
    let mut nodes = model.sites.iter().flat_map(|site| &site.nodes);
    !nodes.any(|host| connectivity::snapshot::end_of(model, *host).is_some())
}

fn compare_states<'a>(
    projection: Projection<'a>,
    paths: &OnPaths<'a>,
    observed: IncrementalModel<'a>,
    find_waits: FindWaits,
) -> Assessment {
    let plan = projection.plan;
    let (applied, difference) = applied(&plan.changes, paths, &observed);
    // A deferred resource is unknown after the plan, and unchanged while it is applied.
    let is_unknown = |it: &Deferred| {
        affects_data_plane(it.address.kind) && !it.is_follow_up() && !it.waits_for_workers()
    };
    let has_deferred = plan.deferred.iter().any(is_unknown);
    let planned = has_deferred
        .then(|| connectivity::path_model(projection.state(&IntermediateState::Planned)));
    let after_model = planned.as_ref().unwrap_or(applied.model());
    let nodes = Snapshot::nodes_of_both(observed.model(), after_model);
    let (before, of_observed) = traced(observed.model(), &nodes, Traced::default());
    // Another model has its own host numbers.
    let difference = difference.filter(|_| planned.is_none());
    let unaffected = difference.map(|it| of_observed.unaffected(&it)).unwrap_or_default();
    let (after, of_planned) = traced(after_model, &nodes, unaffected);
    let relocations = Relocations::of(projection, &nodes);
    let names = nodes.keys().collect();
    let comparison = PairComparison { states: [&before, &after], after_model, names };
    let (mut reachability, relocated) = comparison.count(&relocations);
    let relocated = |graph: &StepGraph| relocated.disruptions(&relocations, &plan.changes, graph);
    if !keeps_any(&before, &after) {
        reachability.disruptions = relocated(&plan.steps);
        return Assessment { waits: Vec::new(), reachability };
    }
    reachability.unexamined = unexamined(projection, observed.model(), &nodes);
    let kept = || RetainedPairs { before: &before, after: &after };
    let (classes_applied, of_applied) = match &planned {
        Some(_) => (classes(applied.model(), &ends(applied.model(), &nodes)), Traced::default()),
        None => (after.classes().to_vec(), of_planned),
    };
    let lost = paths.loses_cluster;
    let mut examiner = Examiner {
        changes: &plan.changes,
        objects: &paths.objects,
        nodes: &nodes,
        kept: kept(),
        observed: Known::new(observed, false, before.classes(), &nodes, &kept(), of_observed),
        applied: Known::new(applied, lost, &classes_applied, &nodes, &kept(), of_applied),
    };
    let mut graph = plan.steps.clone();
    let waits = find_waits(&mut examiner, &mut graph);
    let deferred = plan.deferred.first().map(|deferred| &deferred.address);
    reachability.disruptions = relocated(&graph);
    reachability.disruptions.extend(disruptions(&mut examiner, &graph, deferred));
    Assessment { waits, reachability }
}

/// Traces all pairs in a state, without those that `known` already contains, and collects
/// the elements that their packets pass.
fn traced(model: &PathModel, nodes: &Nodes, mut known: Traced) -> (Snapshot, Traced) {
    let mut traced = Traced::default();
    let snapshot = Snapshot::of_traced(model, nodes, |pair: (End, End)| {
        let trace_pair = || trace_round_trip(&model.network, pair.0, pair.1.address, PROTOCOL);
        if let Some(passed) = known.passed.remove(&pair) {
            debug_assert!(trace_pair().reached());
            traced.passed.insert(pair, passed);
            return None;
        }
        let round_trip = trace_pair();
        traced.note(&model.network, pair, &round_trip);
        Some(round_trip)
    });
    (snapshot, traced)
}

/// The network after all changes, and its differences from the observed network if it was
/// derived from that.
fn applied<'a>(
    changes: &'a [Change],
    paths: &OnPaths<'a>,
    observed: &IncrementalModel<'a>,
) -> (IncrementalModel<'a>, Option<NetworkDifference>) {
    let values = changes.iter().zip(&paths.objects);
    let values: Vec<_> =
        values.filter_map(|(change, object)| Some(((*object)?, value_after(change)))).collect();
    if !paths.loses_cluster {
        let mut applied = observed.clone();
        let difference = applied.change(&values, None);
        applied.commit();
        return (applied, Some(difference));
    }
    let mut state = observed.state().clone();
    for (object, value) in values {
        state.set(object, value);
    }
    state.set_cluster_lost(true);
    (IncrementalModel::new(state), None)
}

/// Whether there are pairs that can be disrupted.
fn keeps_any(before: &Snapshot, after: &Snapshot) -> bool {
    let mut any = false;
    Snapshot::pairs_alike([before, after], |[from, to], _| {
        any |= is_kept(before.status(from[0], to[0]), after.status(from[1], to[1]));
    });
    any
}

fn unexamined(projection: Projection<'_>, before: &PathModel, nodes: &Nodes) -> Vec<Unexamined> {
    let deferred = projection.plan.deferred.iter();
    let deferred = deferred.filter(|it| !it.is_follow_up() && !it.waits_for_workers());
    let deferred = deferred.map(|deferred| &deferred.address);
    let deferred: Vec<&Address> = deferred.filter(|it| affects_data_plane(it.kind)).collect();
    let of_deferred = deferred.first().map(|example| Unexamined::Deferred {
        count: deferred.len() as u64,
        example: (*example).clone(),
    });
    let hosts = before.sites.iter().flat_map(|site| &site.nodes);
    let is_unknown = |host: &&crate::dataplane::HostId| {
        let is_read = before.network.host(**host).is_some_and(|host| host.pods.read().is_ok());
        !is_read && !nodes.contains_key(before.network.name(**host))
    };
    let unknown: Vec<&str> =
        hosts.filter(is_unknown).map(|host| before.network.name(*host)).collect();
    let of_unknown = unknown.first().map(|example| Unexamined::UnknownPods {
        count: unknown.len() as u64,
        example: (*example).to_owned(),
    });
    of_deferred.into_iter().chain(of_unknown).collect()
}
