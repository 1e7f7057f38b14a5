//! The wave of each worker: how many of each datacenter are disturbed at the same time, and
//! who comes after whom.

use std::collections::{BTreeMap, BTreeSet};

use super::change::InWave;
use super::rollout::Unit;
use super::succession::{Takeovers, cycles};
use crate::resource::{Address, Site};

/// The wave of each worker, in the order of the workers. A worker that takes over from others
/// comes with them or after them, and those that take over from each other come together.
pub(super) fn schedule(
    units: &[Unit<'_>],
    takeovers: &Takeovers<Address>,
    canary: usize,
    width: impl Fn(&Site) -> u32,
) -> Vec<InWave> {
    let joins = units.iter().filter(|unit| !unit.is_disturbed).count();
    let has_canary = canary > 0;
    // A new worker that fails as a canary keeps workers that run pods from being disturbed.
    let first_disturbed = 1 + u32::from(joins > 0);
    let mut disturbance = Disturbance {
        canaries: canary,
        canary_wave: first_disturbed,
        first: first_disturbed + u32::from(has_canary),
        in_canary: BTreeMap::new(),
        later: BTreeMap::new(),
    };
    let mut joined = 0;
    let mut join = |not_before: u32| {
        let is_late = not_before > 1;
        joined += usize::from(!is_late);
        let is_canary = !is_late && joined <= canary;
        (not_before.max(1 + u32::from(has_canary && !is_canary)), is_canary)
    };
    let mut waves: Vec<Option<InWave>> = vec![None; units.len()];
    for group in Succession::of(units, takeovers).groups() {
        let before = group.before.iter().filter_map(|place| waves[*place]);
        let not_before = before.map(|wave| wave.number).max().unwrap_or(1);
        let disturbed: Vec<&Unit<'_>> = group.members.iter().map(|place| &units[*place]).collect();
        let (number, is_canary) = match disturbed.iter().any(|unit| unit.is_disturbed) {
            true => disturbance.slot(&disturbed, not_before, &width),
            false => join(not_before),
        };
        for place in group.members {
            waves[place] = Some(InWave { number, destroy_waits: true, is_canary });
        }
    }
    let last = InWave { number: 1, destroy_waits: true, is_canary: false };
    let waves = waves.into_iter().map(|wave| wave.unwrap_or(last)).collect();
    without_empty_waves(waves)
}

/// Numbers the waves without gaps: a new worker that comes after one that moves leaves the first
/// wave empty.
fn without_empty_waves(mut waves: Vec<InWave>) -> Vec<InWave> {
    let numbers: BTreeSet<u32> = waves.iter().map(|wave| wave.number).collect();
    let numbers: BTreeMap<u32, u32> = numbers.into_iter().zip(1..).collect();
    for wave in &mut waves {
        wave.number = numbers.get(&wave.number).copied().unwrap_or(wave.number);
    }
    waves
}

/// Workers that change together, and those that they come after, by their places.
struct Group {
    members: Vec<usize>,
    before: BTreeSet<usize>,
}

/// The order in which workers get their waves.
struct Succession {
    groups: Vec<Group>,
    /// The group of each worker.
    group_of: Vec<usize>,
}

impl Succession {
    fn of(units: &[Unit<'_>], takeovers: &Takeovers<Address>) -> Self {
        let positions: BTreeMap<Address, usize> = match takeovers.is_empty() {
            true => BTreeMap::new(),
            false => units.iter().enumerate().map(|(at, unit)| (unit.address(), at)).collect(),
        };
        let place = |address: &Address| positions.get(address).copied();
        let cycles = cycles(takeovers);
        let mut order = Self { groups: Vec::new(), group_of: vec![usize::MAX; units.len()] };
        for (at, unit) in units.iter().enumerate() {
            if order.group_of[at] != usize::MAX {
                continue;
            }
            let address = (!takeovers.is_empty()).then(|| unit.address());
            let cycle = address.and_then(|it| cycles.iter().find(|cycle| cycle.contains(&it)));
            let members: Vec<usize> = match cycle {
                Some(cycle) => cycle.iter().filter_map(place).collect(),
                None => vec![at],
            };
            members.iter().for_each(|member| order.group_of[*member] = order.groups.len());
            order.groups.push(Group { members, before: BTreeSet::new() });
        }
        for (worker, others) in takeovers {
            let Some(group) = place(worker).map(|at| order.group_of[at]) else { continue };
            let others = others.iter().filter_map(place);
            let others: Vec<usize> = others.filter(|at| order.group_of[*at] != group).collect();
            order.groups[group].before.extend(others);
        }
        order
    }

    /// Each group after those that it takes over from, otherwise in the order of the workers.
    fn groups(mut self) -> Vec<Group> {
        let mut sorted: Vec<usize> = Vec::with_capacity(self.groups.len());
        let mut is_sorted = vec![false; self.groups.len()];
        for first in 0..self.groups.len() {
            let mut open = vec![first];
            while let Some(group) = open.last().copied() {
                let before = self.groups[group].before.iter().map(|place| self.group_of[*place]);
                match before.filter(|it| !is_sorted[*it]).find(|it| !open.contains(it)) {
                    Some(next) if !is_sorted[group] => open.push(next),
                    _ => {
                        open.pop();
                        if !std::mem::replace(&mut is_sorted[group], true) {
                            sorted.push(group);
                        }
                    }
                }
            }
        }
        let empty = || Group { members: Vec::new(), before: BTreeSet::new() };
        sorted.into_iter().map(|it| std::mem::replace(&mut self.groups[it], empty())).collect()
    }
}

/// How many workers of each datacenter are in the waves that disturb pods.
struct Disturbance<'a> {
    /// How many workers may still be canaries.
    canaries: usize,
    canary_wave: u32,
    /// The first wave after the canary.
    first: u32,
    in_canary: BTreeMap<&'a Site, u32>,
    later: BTreeMap<&'a Site, Filled>,
}

/// How many workers of a datacenter are in each wave after the canary.
#[derive(Debug, Default)]
struct Filled {
    counts: Vec<u32>,
    /// The waves before are full.
    first_free: usize,
}

impl Filled {
    fn has_room(&self, wave: usize, room: Room) -> bool {
        room.admits(self.counts.get(wave).copied().unwrap_or_default())
    }

    fn add(&mut self, wave: usize, room: Room) {
        if self.counts.len() <= wave {
            self.counts.resize(wave + 1, 0);
        }
        self.counts[wave] += room.needed;
        while self.counts.get(self.first_free).is_some_and(|count| *count >= room.width) {
            self.first_free += 1;
        }
    }
}

/// How many workers of a datacenter a group needs room for, of how many.
#[derive(Debug, Clone, Copy)]
struct Room {
    needed: u32,
    width: u32,
}

impl Room {
    /// Whether there is room beside so many others. A group that is wider than the width is
    /// alone.
    fn admits(self, others: u32) -> bool {
        others == 0 || others + self.needed <= self.width
    }
}

impl<'a> Disturbance<'a> {
    /// The wave of the next workers, and whether they are canaries. A worker that moves counts
    /// in the datacenter that it leaves, too.
    fn slot(
        &mut self,
        group: &[&'a Unit<'_>],
        not_before: u32,
        width: &impl Fn(&Site) -> u32,
    ) -> (u32, bool) {
        let mut sites: BTreeMap<&Site, Room> = BTreeMap::new();
        for site in group.iter().flat_map(|unit| unit.sites()) {
            let empty = || Room { needed: 0, width: width(site).max(1) };
            sites.entry(site).or_insert_with(empty).needed += 1;
        }
        let canaries = |site: &Site| self.in_canary.get(site).copied().unwrap_or_default();
        let has_room = sites.iter().all(|(site, room)| room.admits(canaries(site)));
        if self.canaries > 0 && not_before <= self.canary_wave && has_room {
            self.canaries = self.canaries.saturating_sub(group.len());
            for (site, room) in sites {
                *self.in_canary.entry(site).or_default() += room.needed;
            }
            return (self.canary_wave, true);
        }
        let wave = self.free_wave(&sites, not_before.saturating_sub(self.first) as usize);
        for (site, room) in sites {
            self.later.entry(site).or_default().add(wave, room);
        }
        (self.first + u32::try_from(wave).unwrap_or(u32::MAX), false)
    }

    /// The first wave from one on in which every one of these datacenters has room.
    fn free_wave(&self, sites: &BTreeMap<&Site, Room>, from: usize) -> usize {
        let filled: Vec<(&Filled, Room)> =
            sites.iter().filter_map(|(site, room)| Some((self.later.get(site)?, *room))).collect();
        let free = filled.iter().map(|(filled, _)| filled.first_free).max();
        let mut wave = free.unwrap_or_default().max(from);
        while !filled.iter().all(|(filled, room)| filled.has_room(wave, *room)) {
            wave += 1;
        }
        wave
    }
}
