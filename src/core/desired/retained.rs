//! Paths to workers that get another range of pods: the old one stays until the worker has left
//! it, so that only the workers of the current wave are interrupted.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::facts::JoinedPlace;
use super::{Allocation, Facts};
use crate::net::prefix::overlaps;
use crate::net::range_index::RangeIndex;
use crate::topology::model::{Datacenter, Topology, Worker};
use crate::topology::names::DatacenterName;

/// The paths that each datacenter still needs for workers that have not moved to their new
/// places yet.
#[derive(Debug, Default)]
pub(super) struct RetainedPaths<'a>(BTreeMap<&'a DatacenterName, DatacenterPaths<'a>>);

/// The paths that one datacenter still needs.
#[derive(Debug, Default)]
struct DatacenterPaths<'a> {
    /// Prefixes that its router serves.
    prefixes: BTreeSet<Ipv4Net>,
    /// The present range of each worker's pods, with the address that it is at.
    workers: BTreeMap<Ipv4Net, (&'a Worker, Ipv4Addr)>,
}

impl<'a> RetainedPaths<'a> {
    /// Finds joined workers whose current pod CIDR differs from the allocated one.
    pub(super) fn of(topology: &'a Topology, facts: &Facts, allocation: &Allocation) -> Self {
        let leaving = leaving(topology, facts, allocation);
        if leaving.is_empty() {
            return Self::default();
        }
        let claimed = ClaimedRanges::of(topology, facts, allocation);
        let mut retained = Self::default();
        for (datacenter, worker, place) in leaving {
            // One range leads to one place: to the new one.
            if claimed.pods_in(&place.pod_cidr).next().is_some() {
                continue;
            }
            let paths = retained.0.entry(&datacenter.name).or_default();
            paths.workers.insert(place.pod_cidr, (worker, place.ip));
            if datacenter.pod_pool.is_none_or(|pool| !pool.contains(&place.pod_cidr)) {
                paths.prefixes.insert(claimed.served_prefix(datacenter, &place));
            }
        }
        retained
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The prefixes that the router of a datacenter still serves.
    pub(super) fn prefixes(&self, datacenter: &Datacenter) -> impl Iterator<Item = Ipv4Net> {
        self.0.get(&datacenter.name).into_iter().flat_map(|paths| paths.prefixes.iter().copied())
    }

    /// The ranges that workers of a datacenter still have, with the address of each.
    pub(super) fn workers(
        &self,
        datacenter: &Datacenter,
    ) -> impl Iterator<Item = (&'a Worker, Ipv4Net, Ipv4Addr)> {
        let workers = self.0.get(&datacenter.name).into_iter().flat_map(|paths| &paths.workers);
        workers.map(|(range, (worker, ip))| (*worker, *range, *ip))
    }
}

/// The workers that leave a range of pods, with the place that they are at.
fn leaving<'a>(
    topology: &'a Topology,
    facts: &Facts,
    allocation: &Allocation,
) -> Vec<(&'a Datacenter, &'a Worker, JoinedPlace)> {
    let mut found = Vec::new();
    for datacenter in topology.datacenters.iter().filter(|_| !facts.joined.is_empty()) {
        let moves = datacenter.workers.iter().filter_map(|worker| {
            let joined = facts.joined.get(&worker.name)?;
            let desired = allocation.place(&worker.name)?;
            let leaves =
                joined.datacenter == datacenter.name && joined.pod_cidr != desired.pod_cidr;
            leaves.then(|| (datacenter, worker, joined.clone()))
        });
        found.extend(moves);
    }
    found
}

/// The ranges that something else is to have: a path to them leads there.
struct ClaimedRanges<'a> {
    /// The ranges of pods of workers and AKS nodes, with the datacenter.
    pods: RangeIndex<Option<&'a DatacenterName>>,
    /// The networks and pools of datacenters.
    datacenters: Vec<(&'a DatacenterName, Ipv4Net)>,
}

impl<'a> ClaimedRanges<'a> {
    fn of(topology: &'a Topology, facts: &Facts, allocation: &Allocation) -> Self {
        let workers = topology.datacenters.iter().flat_map(|datacenter| {
            let positions = datacenter.workers.iter().filter_map(|it| allocation.place(&it.name));
            positions.map(|place| (place.pod_cidr, Some(&datacenter.name)))
        });
        let nodes = facts.nodes.iter().map(|node| (node.pod_cidr, None));
        let pods = workers.chain(nodes).collect();
        let ranges = topology.datacenters.iter().flat_map(|datacenter| {
            let ranges = std::iter::once(datacenter.network()).chain(datacenter.pod_pool);
            ranges.map(|range| (&datacenter.name, range))
        });
        Self { pods, datacenters: ranges.collect() }
    }

    /// The ranges of pods that overlap a range, each with the datacenter.
    fn pods_in(&self, range: &Ipv4Net) -> impl Iterator<Item = Option<&'a DatacenterName>> {
        self.pods.overlapping(range).map(|(_, datacenter)| *datacenter)
    }

    /// Whether a range overlaps one of another datacenter or of an AKS node.
    fn is_of_others(&self, range: &Ipv4Net, own: &DatacenterName) -> bool {
        let mut others = self.datacenters.iter().filter(|(name, _)| *name != own);
        self.pods_in(range).any(|datacenter| datacenter != Some(own))
            || others.any(|(_, taken)| overlaps(taken, range))
    }

    /// The prefix by which a worker's pods are served now, unless others need a part of it.
    fn served_prefix(&self, datacenter: &Datacenter, place: &JoinedPlace) -> Ipv4Net {
        let is_free = |served: &Ipv4Net| !self.is_of_others(served, &datacenter.name);
        place.served_by.filter(is_free).unwrap_or(place.pod_cidr)
    }
}
