//! The steps that changes are made in, and which ones come first.

use std::collections::BTreeMap;

use super::{Action, Change};
use crate::resource::Address;

/// Which part of a change a step does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// A replacement's deletion.
    Destroy,
    /// Everything else.
    Create,
}

/// A half of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HalfStep {
    /// The change, by its place in the plan.
    pub change: usize,
    /// Which half.
    pub phase: Phase,
    /// Those that come first, by their places among all half steps.
    pub after: Vec<usize>,
}

/// Where the halves of a change are.
#[derive(Clone, Copy)]
struct Place {
    tear_down: Option<usize>,
    make: usize,
}

/// All half steps of changes, in the order of the changes.
///
/// A replacement is two steps: it goes when what lives in it is gone, and comes
/// when what it depends on is there. Waves are not looked at.
pub fn half_steps(changes: &[Change]) -> Vec<HalfStep> {
    let mut count = 0;
    let mut next = || {
        count += 1;
        count - 1
    };
    let places: Vec<Place> = changes
        .iter()
        .map(|change| {
            let tear_down = (change.action == Action::Replace).then(&mut next);
            Place { tear_down, make: next() }
        })
        .collect();
    let by_address: BTreeMap<&Address, Place> =
        changes.iter().map(|change| &change.address).zip(places.iter().copied()).collect();
    let gone = |addresses: &[Address]| -> Vec<usize> {
        addresses.iter().filter_map(|address| by_address.get(address)?.tear_down).collect()
    };
    let mut steps = Vec::with_capacity(count);
    for (number, (change, place)) in changes.iter().zip(&places).enumerate() {
        if place.tear_down.is_some() {
            let after = gone(&change.destroy_after);
            steps.push(HalfStep { change: number, phase: Phase::Destroy, after });
        }
        let there = change.depends_on.iter().filter_map(|address| by_address.get(address));
        let mut after: Vec<usize> = there.map(|place| place.make).collect();
        after.extend(gone(&change.create_after_destroy_of));
        after.extend(place.tear_down);
        after.sort_unstable();
        after.dedup();
        steps.push(HalfStep { change: number, phase: Phase::Create, after });
    }
    steps
}
