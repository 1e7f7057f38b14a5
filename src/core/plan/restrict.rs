//! A part of a plan, as a plan of its own.

use std::collections::{BTreeMap, BTreeSet};

use super::cost::joins_of_deferred;
use super::planning::{PlanningInput, assess_reachability};
use super::{Plan, StepGraph};
use crate::resource::Address;

/// Restricts the plan to these changes and deferred resources, and recomputes its waves,
/// cost and reachability.
///
/// The selection must contain the predecessors of each of its changes.
pub(super) fn restrict(
    input: PlanningInput<'_>,
    mut plan: Plan,
    changes: &BTreeSet<Address>,
    deferred: &BTreeSet<Address>,
) -> Plan {
    let all = (plan.contents.changes.len(), plan.contents.deferred.len());
    plan.contents.changes.retain(|change| changes.contains(&change.address));
    plan.contents.deferred.retain(|one| deferred.contains(&one.address));
    if (plan.contents.changes.len(), plan.contents.deferred.len()) == all {
        return plan;
    }
    renumber_waves(&mut plan);
    let contents = &mut plan.contents;
    contents.steps = StepGraph::of(&contents.changes);
    let canary = input.topology.rollout.canary;
    contents.cost = contents.cost.of_same_refresh(
        &contents.changes,
        &contents.steps,
        &contents.deferred,
        joins_of_deferred(canary, &contents.deferred),
    );
    contents.reachability = Default::default();
    assess_reachability(input, None, &mut plan);
    plan
}

/// Numbers the waves from 1 without gaps: a wave begins when the one before it ends.
fn renumber_waves(plan: &mut Plan) {
    let waves: BTreeSet<u32> =
        plan.changes.iter().filter_map(|change| Some(change.wave?.number)).collect();
    let numbers: BTreeMap<u32, u32> = waves.into_iter().zip(1..).collect();
    for change in &mut plan.contents.changes {
        if let Some(wave) = &mut change.wave
            && let Some(number) = numbers.get(&wave.number)
        {
            wave.number = *number;
        }
    }
    plan.contents.rollout = plan.contents.rollout.filter(|_| !numbers.is_empty());
    if let Some(rollout) = &mut plan.contents.rollout {
        rollout.waves = u32::try_from(numbers.len()).unwrap_or(u32::MAX);
    }
}
