//! Workers that move in a later iteration of the same apply, once others have left their places.

use std::collections::BTreeMap;

use super::disruption::{Between, Disruption};
use super::live_nodes::{LiveNodes, live_nodes};
use super::reachability::Reachability;
use crate::connectivity::Sources;
use crate::plan::cost::seconds_of;
use crate::plan::{Action, Deferred, PlanContents};
use crate::resource::{Address, Kind, Site};

/// Adds the pairs of workers that move later to what a plan disrupts.
pub(in crate::plan) fn add_to(
    found: &mut Reachability,
    observed: Sources<'_>,
    plan: &PlanContents,
) {
    let moving = plan.deferred.iter().filter(|it| it.waits_for_workers() && is_move(it));
    let mut iterations: BTreeMap<&[Address], Vec<&Address>> = BTreeMap::new();
    moving.for_each(|it| iterations.entry(&it.waits_for).or_default().push(&it.address));
    if iterations.is_empty() {
        return;
    }
    let live = live_nodes(observed);
    let disruptions = iterations.into_values().map(|workers| disruption(&workers, &live));
    found.disruptions.extend(disruptions.flatten());
}

fn is_move(deferred: &Deferred) -> bool {
    deferred.address.kind == Kind::Worker && deferred.action == Action::Replace
}

/// The pairs of the workers that move in one iteration, with each other and with all others.
fn disruption(workers: &[&Address], live: &LiveNodes) -> Option<Disruption> {
    let is_moving = |name: &str| workers.iter().any(|worker| worker.name == *name);
    let mut sites: BTreeMap<&Site, (u64, u64)> = BTreeMap::new();
    for (name, site) in live {
        let (all, moving) = sites.entry(site).or_default();
        *all += 1;
        *moving += u64::from(is_moving(name));
    }
    let mut between = Vec::new();
    for (from, (all, moving)) in &sites {
        for (to, (others, others_moving)) in &sites {
            let (staying, others_staying) = (all - moving, others - others_moving);
            let pairs = match from == to {
                true => all * all.saturating_sub(1) - staying * staying.saturating_sub(1),
                false => all * others - staying * others_staying,
            };
            let between_sites = Between { from: (*from).clone(), to: (*to).clone(), pairs };
            between.extend((pairs > 0).then_some(between_sites));
        }
    }
    let node = live.keys().find(|name| is_moving(name))?;
    let other = live.keys().find(|name| *name != node)?;
    Some(Disruption {
        pairs: between.iter().map(|it| it.pairs).sum(),
        example: (other.clone(), node.clone()),
        between,
        during: workers.iter().map(|it| (*it).clone()).collect(),
        seconds: seconds_of(Kind::Worker, Action::Replace),
        waves: None,
        is_rolling: false,
    })
}
