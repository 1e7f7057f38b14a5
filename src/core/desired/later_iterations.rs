//! The later iterations of an apply in which workers get places that others have left.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::context::DesiredContext;
use super::facts::JoinedPlace;
use super::set::{LaterIteration, LaterIterations};
use super::{Allocation, DesiredSet, Facts, build_in, protect};
use crate::resource::{Address, Kind, Site};
use crate::topology::model::Topology;
use crate::topology::names::WorkerName;

/// How many resources are built to find out about later iterations. Beyond it they are found out
/// when they come.
pub(super) const MAX_BUILT_RESOURCES: usize = 2_000_000;

/// The iterations after the one that makes `first`.
pub(super) fn after(
    topology: &Topology,
    facts: &Facts,
    first: &DesiredSet,
    allocation: &Allocation,
    max_built_resources: usize,
) -> LaterIterations {
    let mut facts = facts.clone();
    let (mut allocation, mut before) = (allocation.clone(), first.clone());
    let (mut known, mut built) = (Vec::new(), 0);
    loop {
        let moved = join_at(topology, &mut facts, &allocation);
        let are_partial = !moved.is_empty() && built > max_built_resources;
        if moved.is_empty() || are_partial {
            return LaterIterations { known, are_partial };
        }
        allocation = allocation.hold_waiting_workers(topology, &facts);
        let shared = Arc::new(allocation.clone());
        let context = DesiredContext::new(topology, &facts, &shared);
        let mut set = build_in(&context, &shared);
        protect(topology, &mut set);
        built += set.len();
        let changed = set.differing_from(&before);
        let changed = changed.map(|(before, after)| (before.cloned(), after.clone())).collect();
        let withdrawn = set.routes_missing_of(&before).collect();
        known.push(LaterIteration { after: moved, changed, withdrawn });
        before = set;
    }
}

/// Records every worker at the place that it is given. Returns those that were elsewhere.
fn join_at(topology: &Topology, facts: &mut Facts, allocation: &Allocation) -> Vec<Address> {
    let mut joined: BTreeMap<WorkerName, JoinedPlace> = BTreeMap::new();
    let mut moved = Vec::new();
    for datacenter in &topology.datacenters {
        for worker in &datacenter.workers {
            let Some(place) = allocation.place(&worker.name) else { continue };
            let present = facts.joined.get(&worker.name);
            let is_there = |present: &&JoinedPlace| {
                present.datacenter == datacenter.name
                    && (present.ip, present.pod_cidr) == (place.ip, place.pod_cidr)
            };
            let present = present.filter(is_there).cloned().unwrap_or_else(|| {
                let site = Site::Datacenter(datacenter.name.clone());
                moved.push(Address::new(Kind::Worker, site, &worker.name));
                JoinedPlace {
                    datacenter: datacenter.name.clone(),
                    ip: place.ip,
                    pod_cidr: place.pod_cidr,
                    served_by: None,
                }
            });
            joined.insert(worker.name.clone(), present);
        }
    }
    facts.joined = joined;
    moved
}
