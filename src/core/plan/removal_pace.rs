//! How many of the workers that leave a datacenter are drained at the same time.

use std::collections::BTreeMap;

use super::change::{Action, Change};
use super::decision::Comparison;
use super::rollout::{disturbs, is_rolled_out, live_workers};
use crate::resource::{Address, Kind, ObjectKey, Site};

/// The removals of workers, indexed by the changes that wait for them.
///
/// Removals have no waves: routes and machines wait for them, and new workers may wait for
/// routes. Instead, each removal in a datacenter waits for the removal that precedes it by
/// the rollout width, and all other disruptive changes in the datacenter wait for the last
/// removals.
#[derive(Debug, Default)]
pub(super) struct RemovalPace<'a> {
    /// The removal before each one.
    before: BTreeMap<&'a Address, &'a Address>,
    /// By datacenter, those that no other removal waits for.
    last: BTreeMap<&'a Site, Vec<&'a Address>>,
}

impl<'a> RemovalPace<'a> {
    pub(super) fn of(input: Comparison<'_>, changes: &[&'a Change]) -> Self {
        // A plan that destroys leaves nothing that pods could move to.
        if input.desired.is_empty() {
            return Self::default();
        }
        let sizes = live_workers(input);
        let mut removed: BTreeMap<&Site, Vec<&Address>> = BTreeMap::new();
        for change in changes.iter().filter(|change| removes_node(change)) {
            removed.entry(&change.address.site).or_default().push(&change.address);
        }
        let mut pace = Self::default();
        for (site, mut workers) in removed {
            workers.sort_unstable();
            let size = sizes.get(site).copied().unwrap_or_default();
            let width = input.rollout.width.of(size).max(1) as usize;
            pace.before.extend(workers.iter().skip(width).copied().zip(workers.iter().copied()));
            let first_of_last = workers.len().saturating_sub(width);
            pace.last.insert(site, workers.split_off(first_of_last));
        }
        pace
    }

    /// The removal that another one waits for.
    pub(super) fn before_removal(&self, change: &Change) -> Option<&'a Address> {
        self.before.get(&change.address).copied()
    }

    /// The removals that other work on the workers of the same datacenter waits for.
    pub(super) fn before_work(&self, change: &Change) -> impl Iterator<Item = &'a Address> {
        let is_paced = !self.last.is_empty() && is_rolled_out(change) && disturbs(change);
        let sites = [Some(change.address.site.clone()), change.moves_from()];
        let sites = sites.into_iter().flatten().filter(move |_| is_paced);
        sites.flat_map(|site| self.last.get(&site).cloned().unwrap_or_default())
    }
}

/// Whether a change drains a worker and takes it out of the cluster. A host without a Node
/// runs no pods.
fn removes_node(change: &Change) -> bool {
    change.action == Action::Delete
        && change.address.kind == Kind::Worker
        && !matches!(change.key, ObjectKey::Host(_))
}
