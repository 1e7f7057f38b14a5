//! The later iterations of an apply of a saved plan.

use std::collections::BTreeSet;

use crate::plan::planning::PlanningInput;
use crate::plan::restrict::restrict;
use crate::plan::{Change, Plan, PlanContents};
use crate::resource::Address;

/// The part of a plan that was approved with a saved one, whose first changes are made.
/// Everything else waits for a plan of its own, as do changes that depend on it.
pub fn approved_part(
    input: PlanningInput<'_>,
    saved: &PlanContents,
    fresh: Plan,
    is_approved: &dyn Fn(&Change) -> bool,
) -> Plan {
    let changes = approved_with_dependencies(&fresh, is_approved);
    let deferred = saved.deferred.iter().map(|one| one.address.clone()).collect();
    let listed: BTreeSet<&Address> = addresses(saved).collect();
    let mut plan = restrict(input, fresh, &changes, &deferred);
    plan.contents.blocked.retain(|one| listed.contains(&one.address));
    plan
}

/// The approved changes, without those that wait for others.
fn approved_with_dependencies(
    plan: &PlanContents,
    is_approved: &dyn Fn(&Change) -> bool,
) -> BTreeSet<Address> {
    let all: BTreeSet<&Address> = plan.changes.iter().map(|change| &change.address).collect();
    let approved = plan.changes.iter().filter(|change| is_approved(change));
    let mut approved: BTreeSet<Address> = approved.map(|change| change.address.clone()).collect();
    loop {
        let is_missing = |it: &&Address| all.contains(*it) && !approved.contains(*it);
        let waits = |change: &&Change| {
            let before =
                [&change.depends_on, &change.destroy_after, &change.create_after_destroy_of];
            approved.contains(&change.address)
                && before.into_iter().flatten().any(|it| is_missing(&it))
        };
        let waiting: Vec<Address> =
            plan.changes.iter().filter(waits).map(|change| change.address.clone()).collect();
        if waiting.is_empty() {
            return approved;
        }
        waiting.iter().for_each(|address| _ = approved.remove(address));
    }
}

fn addresses(plan: &PlanContents) -> impl Iterator<Item = &Address> {
    let changes = plan.changes.iter().map(|change| &change.address);
    let deferred = plan.deferred.iter().map(|one| &one.address);
    changes.chain(deferred).chain(plan.blocked.iter().map(|one| &one.address))
}
