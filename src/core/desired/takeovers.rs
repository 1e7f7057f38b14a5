//! Workers that get a range of pods, or an address, that another worker still has: each keeps its
//! present place until the other one has moved. Workers that exchange ranges, or that keep a part
//! of theirs, move together, a few in each iteration of an apply.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::components::components;
use super::facts::JoinedPlace;
use super::{AddressAssignment, Facts};
use crate::net::prefix::overlaps;
use crate::net::range_index::RangeIndex;
use crate::topology::model::{Datacenter, DatacenterKind, Topology};
use crate::topology::names::{DatacenterName, WorkerName};

/// Workers by name, with the place that each keeps; `None` for one that does not join yet.
pub(super) type HeldPlaces = BTreeMap<WorkerName, Option<AddressAssignment>>;

/// The workers that do not get their next places in this iteration.
pub(super) fn held(
    topology: &Topology,
    facts: &Facts,
    next: impl Fn(&WorkerName) -> Option<AddressAssignment>,
) -> HeldPlaces {
    if facts.joined.is_empty() {
        return HeldPlaces::new();
    }
    let movers = Movers::of(topology, facts, next);
    if movers.by_name.values().all(|mover| movers.is_free(mover)) {
        return HeldPlaces::new();
    }
    let moving = movers.moving(topology);
    let staying = movers.by_name.iter().filter(|(name, _)| !moving.contains(*name));
    staying.map(|(name, mover)| ((*name).clone(), mover.present_place())).collect()
}

/// A worker whose place changes within its datacenter, or that joins.
struct Mover<'a> {
    datacenter: &'a Datacenter,
    /// Its present place; `None` for a worker that joins.
    present: Option<&'a JoinedPlace>,
    next: AddressAssignment,
}

impl Mover<'_> {
    fn present_place(&self) -> Option<AddressAssignment> {
        let place = |it: &JoinedPlace| AddressAssignment { ip: it.ip, pod_cidr: it.pod_cidr };
        self.present.map(place)
    }

    /// Whether a part of its next range leads to its present place.
    fn overlaps_itself(&self) -> bool {
        self.present.is_some_and(|present| overlaps(&present.pod_cidr, &self.next.pod_cidr))
    }
}

/// The workers whose places change.
struct Movers<'a> {
    by_name: BTreeMap<&'a WorkerName, Mover<'a>>,
    /// The workers that leave their present ranges.
    ranges: RangeIndex<&'a WorkerName>,
    /// The present addresses of VMs that leave them.
    addresses: BTreeMap<(&'a DatacenterName, Ipv4Addr), &'a WorkerName>,
    /// The datacenters and places of workers that come from other datacenters.
    arrivals: Vec<(&'a DatacenterName, AddressAssignment)>,
}

impl<'a> Movers<'a> {
    fn of(
        topology: &'a Topology,
        facts: &'a Facts,
        next: impl Fn(&WorkerName) -> Option<AddressAssignment>,
    ) -> Self {
        let (by_name, ranges, addresses, arrivals) = Default::default();
        let mut movers = Self { by_name, ranges, addresses, arrivals };
        for datacenter in &topology.datacenters {
            for worker in &datacenter.workers {
                if let Some(next) = next(&worker.name) {
                    movers.add(datacenter, &worker.name, facts, next);
                }
            }
        }
        movers
    }

    fn add(
        &mut self,
        datacenter: &'a Datacenter,
        name: &'a WorkerName,
        facts: &'a Facts,
        next: AddressAssignment,
    ) {
        let present = facts.joined.get(name);
        let Some(place) = present else {
            self.add_vm_without_node(datacenter, name, facts, next);
            self.by_name.insert(name, Mover { datacenter, present, next });
            return;
        };
        let leaves = place.datacenter != datacenter.name;
        if leaves || place.pod_cidr != next.pod_cidr {
            self.ranges.insert(place.pod_cidr, name);
        }
        if leaves {
            self.arrivals.push((&datacenter.name, next));
        }
        // A worker that moves from another datacenter is held by nothing. A machine whose
        // operator gave it another address is there already, and in a network that is replaced
        // no VM can stay.
        let (is_vm, can_stay) = match &datacenter.kind {
            DatacenterKind::Azure(azure) => (true, azure.subnet_cidr.contains(&place.ip)),
            DatacenterKind::Existing(_) => (false, true),
        };
        let is_readdressed = is_vm && place.ip != next.ip;
        if leaves || !can_stay || place.pod_cidr == next.pod_cidr && !is_readdressed {
            return;
        }
        if is_readdressed {
            self.addresses.insert((&datacenter.name, place.ip), name);
        }
        self.by_name.insert(name, Mover { datacenter, present, next });
    }

    /// Adds the address of a VM that is to have another one and whose worker is not in the
    /// cluster.
    fn add_vm_without_node(
        &mut self,
        datacenter: &'a Datacenter,
        name: &'a WorkerName,
        facts: &Facts,
        next: AddressAssignment,
    ) {
        let DatacenterKind::Azure(azure) = &datacenter.kind else { return };
        let held = facts.assigned.get(name).and_then(|assigned| assigned.ip);
        if let Some(held) = held.filter(|ip| *ip != next.ip && azure.subnet_cidr.contains(ip)) {
            self.addresses.insert((&datacenter.name, held), name);
        }
    }

    /// The other workers that have a part of a mover's next range.
    fn holders(&self, name: &WorkerName, mover: &Mover<'_>) -> Vec<&'a WorkerName> {
        let holders = self.ranges.overlapping(&mover.next.pod_cidr).map(|(_, holder)| *holder);
        holders.filter(|holder| *holder != name).collect()
    }

    fn has_holders(&self, mover: &Mover<'_>) -> bool {
        self.ranges.overlapping(&mover.next.pod_cidr).next().is_some()
    }

    /// Whether paths to its present and to its next range can exist side by side.
    fn is_free(&self, mover: &Mover<'_>) -> bool {
        !self.has_holders(mover) && !mover.overlaps_itself()
    }

    /// The workers that get their next places in this iteration.
    fn moving(&self, topology: &Topology) -> BTreeSet<&'a WorkerName> {
        let free = self.by_name.iter().filter(|(_, mover)| self.is_free(mover));
        let mut moving: BTreeSet<&WorkerName> = free.map(|(name, _)| *name).collect();
        let mut batch = Batch::of(topology, self);
        for group in self.groups() {
            let waits = |name: &&&WorkerName| self.is_joined(name) && !moving.contains(**name);
            if group.iter().any(|name| waits(&name)) && batch.admits(&group) {
                moving.extend(group);
            }
        }
        self.hold_addresses(&mut moving);
        self.make_room_for_arrivals(&mut moving);
        // Workers that wait for each other in other ways all move: the plan orders or refuses it.
        if moving.is_empty() { self.by_name.keys().copied().collect() } else { moving }
    }

    /// The workers that can move only together, and do not wait for others: those of an exchange,
    /// in the order of the first one that is in the cluster.
    fn groups(&self) -> Vec<BTreeSet<&'a WorkerName>> {
        let all = components(self.by_name.keys().copied(), |name| self.next_before(name));
        let closed = all.into_iter().filter(|component| !component.leads_on);
        let mut groups: Vec<BTreeSet<&WorkerName>> = closed.map(|it| it.nodes).collect();
        groups.sort_by_key(|group| group.iter().find(|name| self.is_joined(name)).copied());
        groups
    }

    fn is_joined(&self, name: &WorkerName) -> bool {
        self.by_name.get(name).is_some_and(|mover| mover.present.is_some())
    }

    /// The workers that must leave their places before a worker can have its own.
    fn next_before(&self, name: &'a WorkerName) -> Vec<&'a WorkerName> {
        let Some(mover) = self.by_name.get(name) else { return Vec::new() };
        let mut holders = self.holders(name, mover);
        holders.extend(self.held_address(name, mover));
        holders
    }

    /// A worker and those that must leave their ranges before it can have its own.
    fn before(&self, name: &'a WorkerName) -> BTreeSet<&'a WorkerName> {
        let mut found = BTreeSet::from([name]);
        let mut open = vec![name];
        while let Some(next) = open.pop() {
            open.extend(self.next_before(next).into_iter().filter(|holder| found.insert(*holder)));
        }
        found
    }

    /// The other VM that has a mover's next address, unless it can leave it at any time.
    fn held_address(&self, name: &WorkerName, mover: &Mover<'_>) -> Option<&'a WorkerName> {
        let holder = *self.addresses.get(&(&mover.datacenter.name, mover.next.ip))?;
        let is_free = self.by_name.get(holder).is_some_and(|holder| self.is_free(holder));
        (holder != name && !is_free).then_some(holder)
    }

    /// Moves the workers whose places others get that come from other datacenters, and those that
    /// must leave first: a worker that moves between datacenters cannot wait at its present place.
    fn make_room_for_arrivals(&self, moving: &mut BTreeSet<&'a WorkerName>) {
        for (datacenter, next) in &self.arrivals {
            let holders = self.ranges.overlapping(&next.pod_cidr).map(|(_, holder)| *holder);
            let holders = holders.chain(self.addresses.get(&(*datacenter, next.ip)).copied());
            let held: Vec<&WorkerName> = holders
                .filter(|name| self.by_name.contains_key(name) && !moving.contains(name))
                .collect();
            let before = held.into_iter().flat_map(|holder| self.before(holder));
            moving.extend(before.filter(|name| self.by_name.contains_key(name)));
        }
    }

    /// Holds the VMs whose next addresses are those of held VMs.
    fn hold_addresses(&self, moving: &mut BTreeSet<&'a WorkerName>) {
        loop {
            let is_taken = |name: &WorkerName| {
                let mover = self.by_name.get(name);
                let holder =
                    mover.and_then(|it| self.addresses.get(&(&it.datacenter.name, it.next.ip)));
                holder.is_some_and(|holder| *holder != name && !moving.contains(*holder))
            };
            let taken: Vec<&WorkerName> =
                moving.iter().copied().filter(|name| is_taken(name)).collect();
            if taken.is_empty() {
                break;
            }
            taken.iter().for_each(|name| _ = moving.remove(*name));
        }
    }
}

/// The groups of workers that change their ranges at the same time: as many as a canary wave has,
/// and at least one group, so that a failure stops the rollout.
struct Batch<'a, 'b> {
    movers: &'b Movers<'a>,
    /// How many workers of each datacenter may be disturbed at the same time.
    widths: BTreeMap<&'b DatacenterName, usize>,
    canary: usize,
    members: BTreeSet<&'a WorkerName>,
}

impl<'a, 'b> Batch<'a, 'b> {
    fn of(topology: &'b Topology, movers: &'b Movers<'a>) -> Self {
        let width = |datacenter: &'b Datacenter| {
            let width = topology.rollout.width.of(datacenter.workers.len());
            (&datacenter.name, width as usize)
        };
        let widths = topology.datacenters.iter().map(width).collect();
        let canary = topology.rollout.canary as usize;
        Self { movers, widths, canary, members: BTreeSet::new() }
    }

    /// Whether a group moves in this iteration. One that is wider than the rollout permits does:
    /// the plan refuses it.
    fn admits(&mut self, group: &BTreeSet<&'a WorkerName>) -> bool {
        if !self.fits(group) {
            return true;
        }
        let all: BTreeSet<&WorkerName> = self.members.union(group).copied().collect();
        let is_canary = self.canary == 0 || all.len() <= self.canary;
        let is_admitted = self.members.is_empty() || is_canary && self.fits(&all);
        if is_admitted {
            self.members = all;
        }
        is_admitted
    }

    fn fits(&self, group: &BTreeSet<&'a WorkerName>) -> bool {
        let mut counts: BTreeMap<&DatacenterName, usize> = BTreeMap::new();
        let members = group.iter().filter_map(|name| self.movers.by_name.get(name));
        members.for_each(|mover| *counts.entry(&mover.datacenter.name).or_default() += 1);
        let width = |name| self.widths.get(name).copied().unwrap_or(1);
        counts.into_iter().all(|(name, count)| count <= width(name))
    }
}
