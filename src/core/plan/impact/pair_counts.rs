//! Counts pairs by whether they are reached before and after a plan.

use std::collections::BTreeMap;

use super::disruption::Between;
use super::reachability::{Loss, Reachability};
use super::relocation::{NodeRelocation, PairRelocation, RelocatedPairs, Relocations};
use crate::connectivity::PathModel;
use crate::connectivity::snapshot::{PairStatus, PairsAlike, Snapshot};
use crate::resource::Address;

/// The states before and after a plan, of the same nodes.
pub(super) struct PairComparison<'c> {
    pub(super) states: [&'c Snapshot; 2],
    pub(super) after_model: &'c PathModel,
    /// The names of the nodes, by their places.
    pub(super) names: Vec<&'c String>,
}

impl PairComparison<'_> {
    /// Counts all pairs, and notes those that are cut while their nodes get another place.
    pub(super) fn count(&self, relocations: &Relocations) -> (Reachability, RelocatedPairs) {
        let mut found = Counts::default();
        Snapshot::pairs_alike_by(self.states, relocations.relocations(), |alike| {
            let fate = PairRelocation(alike.marks);
            let pairs = alike.pairs;
            match self.statuses(&alike, fate) {
                [PairStatus::Reached, after] if after != PairStatus::Unknown => {
                    let is_reached = after == PairStatus::Reached;
                    self.count_reached(&alike, (relocations, fate), is_reached, &mut found);
                }
                [PairStatus::Dropped, PairStatus::Reached] => found.reachability.gained += pairs,
                [PairStatus::Dropped, PairStatus::Dropped] => found.reachability.broken += pairs,
                _ => found.reachability.unknown += pairs,
            }
        });
        found.reachability.losses = found.losses.into_values().collect();
        (found.reachability, found.relocated)
    }

    /// The statuses of a pair before and after. A pair whose object has another name in the
    /// topology exists before, and stays if the rename is refused.
    fn statuses(
        &self,
        alike: &PairsAlike<'_, NodeRelocation>,
        fate: PairRelocation,
    ) -> [PairStatus; 2] {
        let [before, after] = self.modelled(alike);
        match before {
            PairStatus::Reached => [before, after],
            _ if !fate.serves_now() => [before, after],
            _ if fate.is_blocked() => [PairStatus::Reached; 2],
            _ => [PairStatus::Reached, after],
        }
    }

    /// The statuses of a pair under the names of the topology.
    fn modelled(&self, alike: &PairsAlike<'_, NodeRelocation>) -> [PairStatus; 2] {
        let [from, to] = alike.classes;
        [0, 1].map(|state| self.states[state].status(from[state], to[state]))
    }

    /// Counts pairs that are reached before the plan.
    fn count_reached(
        &self,
        alike: &PairsAlike<'_, NodeRelocation>,
        (relocations, fate): (&Relocations, PairRelocation),
        is_reached: bool,
        found: &mut Counts,
    ) {
        let example = || self.example(alike.example);
        if let Some(cause) = fate.destroyed().and_then(|it| relocations.cause(it)) {
            found.lose(alike.pairs, example(), Some(cause.clone()));
        } else if is_reached {
            found.reachability.kept += alike.pairs;
            let is_cut = self.modelled(alike) != [PairStatus::Reached; 2] && !fate.is_blocked();
            if let Some(cause) = fate.relocated().filter(|_| is_cut) {
                let [from, to] = alike.sites.map(Clone::clone);
                let between = Between { from, to, pairs: alike.pairs };
                found.relocated.note(cause, between, example);
            }
        } else {
            let [from, to] = alike.classes.map(|[_, after]| after);
            let obstacle = self.states[1].obstacle(self.after_model, from, to);
            let (example, resource) = obstacle.unwrap_or_else(|| (example(), None));
            found.lose(alike.pairs, example, resource);
        }
    }

    fn example(&self, (from, to): (usize, usize)) -> (String, String) {
        let name =
            |place: usize| self.names.get(place).map_or_else(String::new, |name| (*name).clone());
        (name(from), name(to))
    }
}

#[derive(Default)]
struct Counts {
    reachability: Reachability,
    /// By their cause.
    losses: BTreeMap<Option<Address>, Loss>,
    relocated: RelocatedPairs,
}

impl Counts {
    fn lose(&mut self, pairs: u64, example: (String, String), resource: Option<Address>) {
        self.reachability.lost += pairs;
        let loss = Loss { pairs, example, resource };
        let known = self.losses.entry(loss.resource.clone());
        known.and_modify(|known| known.pairs += pairs).or_insert(loss);
    }
}
