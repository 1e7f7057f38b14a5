//! Changes that would wait for each other without end.

use std::collections::BTreeSet;

use super::PlanContents;
use super::address_exchanges;
use super::cost::Cost;
use super::decision::Comparison;
use super::protection::blocked_for;
use super::remaining_time::endless_waits;
use super::step_graph::StepGraph;
use crate::diagnostics::{Code, Failure};
use crate::resource::{Address, Kind};

/// How many of the changes a message names.
const NAMED: usize = 4;

/// Blocks a plan in which changes wait for each other: an apply would stop in its middle, with
/// workers that have left and cannot arrive. Blocks one as well whose workers wait for each other
/// to leave, so that more of them are disturbed at the same time than the rollout permits.
pub(super) fn block(input: Comparison<'_>, plan: &mut PlanContents) {
    if let Some(failure) = endless(plan).or_else(|| address_exchanges::in_plan(input, plan)) {
        block_all(plan, &failure);
    }
}

/// Why changes would wait without end, if they do.
fn endless(plan: &PlanContents) -> Option<Failure> {
    let waiting = endless_waits(&plan.steps, &plan.changes);
    let steps = waiting.iter().filter_map(|step| plan.steps.steps().get(*step));
    let waiting = steps.filter_map(|step| plan.changes.get(step.change)).map(|it| &it.address);
    let waiting: BTreeSet<&Address> = waiting.collect();
    (!waiting.is_empty()).then(|| failure(&waiting))
}

fn block_all(plan: &mut PlanContents, failure: &Failure) {
    let changes = std::mem::take(&mut plan.changes);
    plan.blocked.extend(changes.iter().map(|change| blocked_for(change, failure.clone(), None)));
    plan.blocked.sort_by(|one, other| one.address.cmp(&other.address));
    plan.steps = StepGraph::default();
    plan.rollout = None;
    plan.cost = Cost { requests: plan.cost.requests.clone(), ..Cost::default() };
}

fn failure(waiting: &BTreeSet<&Address>) -> Failure {
    let workers = waiting.iter().filter(|address| address.kind == Kind::Worker).copied();
    let mut named: Vec<&Address> = workers.collect();
    if named.is_empty() {
        named = waiting.iter().copied().collect();
    }
    let more = named.len().saturating_sub(NAMED);
    let named: Vec<String> = named.iter().take(NAMED).map(ToString::to_string).collect();
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Failure::new(
        Code::NoProgress,
        format!("changes would wait for each other, so none is made: {}{more}", named.join(", ")),
        "make the edit in steps: change one of these workers to a free address and pod CIDR, \
         apply, then change the others",
    )
}
