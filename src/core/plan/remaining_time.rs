//! How long the rest of a plan takes from each of its steps on.

use super::change::Change;
use super::cost;
use super::step_graph::{Phase, StepGraph};

/// For each step, the usual seconds of the longest chain of steps that begins with it. A
/// wave of workers waits for all of the wave before it.
pub fn remaining_seconds(graph: &StepGraph, changes: &[Change]) -> Vec<u64> {
    let chains = Chains::of(graph, changes);
    let mut remaining = vec![0; chains.successors.len()];
    for node in chains.topological_order().into_iter().rev() {
        let after = chains.successors[node].iter().map(|next| remaining[*next]).max();
        remaining[node] = chains.seconds[node] + after.unwrap_or_default();
    }
    remaining.truncate(graph.len());
    remaining
}

/// The steps that would never start: they are in a cycle of dependencies and waves, or wait
/// for one.
pub(super) fn endless_waits(graph: &StepGraph, changes: &[Change]) -> Vec<usize> {
    let mut starts = vec![false; graph.len()];
    for node in Chains::of(graph, changes).topological_order() {
        if let Some(starts) = starts.get_mut(node) {
            *starts = true;
        }
    }
    (0..starts.len()).filter(|step| !starts[*step]).collect()
}

/// The steps, and behind them a node for the end of each wave, so that two waves of many
/// workers need no edge for each pair.
struct Chains {
    successors: Vec<Vec<usize>>,
    seconds: Vec<u64>,
}

impl Chains {
    fn of(graph: &StepGraph, changes: &[Change]) -> Self {
        let steps = graph.len();
        let wave_of = |step: usize| {
            let step = graph.steps()[step];
            Some((changes.get(step.change)?.wave?, step.phase))
        };
        let waves = (0..steps).filter_map(|step| wave_of(step).map(|(wave, _)| wave.number));
        let waves = waves.max().unwrap_or_default() as usize;
        let mut chains = Self {
            successors: (0..steps).map(|step| graph.effects(step).to_vec()).collect(),
            seconds: (0..steps).map(|step| seconds(graph, changes, step)).collect(),
        };
        chains.successors.resize(steps + waves, Vec::new());
        chains.seconds.resize(steps + waves, 0);
        for number in 1..waves {
            chains.successors[steps + number - 1].push(steps + number);
        }
        for step in 0..steps {
            let Some((wave, phase)) = wave_of(step) else { continue };
            let number = wave.number as usize;
            if phase == Phase::Create {
                chains.successors[step].push(steps + number - 1);
            }
            if number > 1 && (phase == Phase::Create || wave.destroy_waits) {
                chains.successors[steps + number - 2].push(step);
            }
        }
        chains
    }

    /// Nodes of a cycle are left out: they are never started.
    fn topological_order(&self) -> Vec<usize> {
        let mut waits = vec![0_usize; self.successors.len()];
        self.successors.iter().flatten().for_each(|next| waits[*next] += 1);
        let mut order: Vec<usize> = (0..waits.len()).filter(|node| waits[*node] == 0).collect();
        let mut at = 0;
        while let Some(node) = order.get(at).copied() {
            at += 1;
            for next in &self.successors[node] {
                waits[*next] -= 1;
                if waits[*next] == 0 {
                    order.push(*next);
                }
            }
        }
        order
    }
}

fn seconds(graph: &StepGraph, changes: &[Change], step: usize) -> u64 {
    let step = graph.steps()[step];
    let Some(change) = changes.get(step.change) else { return 0 };
    match step.phase {
        Phase::Prepare => 0,
        Phase::Create => cost::seconds(change),
        Phase::Destroy => change.address.kind.facts().seconds.delete,
    }
}
