//! The old machine of a worker that moves to another datacenter stays until the worker has
//! arrived: a host that was reset can be joined again, a machine that was deleted cannot.

use std::collections::BTreeMap;

use super::change::{Action, Change};
use super::rollout::is_rolled_out;
use super::step_graph::StepGraph;
use crate::resource::azure::MachineRole;
use crate::resource::{Address, Kind, Resource, Site};

/// Lets each deletion at the old place of a worker wait for the worker's arrival at its new
/// place. Where a worker waits for the deletion itself, the two places cannot exist side by
/// side, and the deletion only follows the worker's departure.
///
/// A worker whose Node is not Ready may not be reset, so that its old VM could serve the Node
/// again: it joins elsewhere only after that VM was deleted.
pub(super) fn await_arrivals(changes: &mut [Change]) {
    delete_silent_machines_first(changes);
    let candidates = candidates(changes);
    if candidates.is_empty() {
        return;
    }
    let graph = StepGraph::of(changes);
    for (deletion, workers) in candidates {
        if is_awaited_by_worker(&graph, changes, deletion) {
            continue;
        }
        let change = &mut changes[deletion];
        change.create_after_destroy_of.retain(|address| !workers.contains(address));
        change.depends_on.extend(workers);
        change.depends_on.sort_unstable();
        change.depends_on.dedup();
    }
}

fn delete_silent_machines_first(changes: &mut [Change]) {
    let silent = changes.iter().enumerate().filter(|(_, change)| leaves_silently(change));
    let silent: BTreeMap<String, (usize, Option<Site>)> = silent
        .map(|(at, change)| (change.address.name.to_string(), (at, change.moves_from())))
        .collect();
    let deletions = changes.iter().filter(|it| it.action == Action::Delete && !silent.is_empty());
    let waits: Vec<(usize, Address)> = deletions
        .filter_map(|deletion| {
            let (worker, site) = silent.get(worker_machine(deletion)?)?;
            (site.as_ref() == Some(&deletion.address.site))
                .then(|| (*worker, deletion.address.clone()))
        })
        .collect();
    for (worker, machine) in waits {
        changes[worker].depends_on.push(machine);
    }
}

/// Whether a worker moves away from a Node that is not Ready.
fn leaves_silently(change: &Change) -> bool {
    let is_silent = matches!(&change.before, Some(Resource::Worker(worker)) if !worker.ready);
    is_silent && change.action == Action::Replace && change.moves_from().is_some()
}

/// Deletions, each with the workers that arrive elsewhere: those that leave the place with
/// this plan, and those that left it with an earlier one.
fn candidates(changes: &[Change]) -> Vec<(usize, Vec<Address>)> {
    let arrives = |change: &&Change| {
        change.address.kind == Kind::Worker
            && matches!(change.action, Action::Create | Action::Replace)
            && !leaves_silently(change)
    };
    let arriving: BTreeMap<&str, &Change> = changes
        .iter()
        .filter(arrives)
        .map(|change| (change.address.name.as_str(), change))
        .collect();
    if arriving.is_empty() {
        return Vec::new();
    }
    let deletions = changes.iter().enumerate().filter(|(_, it)| it.action == Action::Delete);
    let found = deletions.map(|(place, deletion)| {
        let leaves = |address: &&Address| {
            let arriving = arriving.get(address.name.as_str());
            arriving.is_some_and(|it| it.address == **address && it.moves_from().is_some())
        };
        let leaving = deletion.create_after_destroy_of.iter().filter(leaves);
        let left = worker_machine(deletion).and_then(|name| arriving.get(name));
        let left = left.filter(|worker| worker.address.site != deletion.address.site);
        let mut workers: Vec<Address> =
            leaving.chain(left.map(|worker| &worker.address)).cloned().collect();
        workers.sort_unstable();
        workers.dedup();
        (place, workers)
    });
    found.filter(|(_, workers)| !workers.is_empty()).collect()
}

/// The name of the worker that a VM was made for.
fn worker_machine(change: &Change) -> Option<&str> {
    match &change.before {
        Some(Resource::VirtualMachine(machine)) if machine.role == MachineRole::Worker => {
            Some(change.key.name())
        }
        _ => None,
    }
}

fn is_awaited_by_worker(graph: &StepGraph, changes: &[Change], deletion: usize) -> bool {
    let Some(step) = graph.create_step(deletion) else { return true };
    let waiting = graph.with_effects(&[step]);
    let mut changes =
        waiting.iter().filter_map(|step| changes.get(graph.steps().get(*step)?.change));
    changes.any(is_rolled_out)
}
