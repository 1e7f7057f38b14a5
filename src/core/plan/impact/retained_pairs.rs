//! The pairs of nodes that a plan keeps.

use std::collections::BTreeMap;

use crate::connectivity::snapshot::{Class, PairStatus, Snapshot};
use crate::resource::Site;

/// The pairs that a plan keeps, by the equivalence classes of nodes before and after it.
pub(super) struct RetainedPairs<'k> {
    pub(super) before: &'k Snapshot,
    pub(super) after: &'k Snapshot,
}

impl RetainedPairs<'_> {
    /// Whether the pairs of two nodes are reached before the plan and not known
    /// to be lost with it.
    pub(super) fn holds(&self, from: usize, to: usize) -> bool {
        let class = |snapshot: &Snapshot, node: usize| -> Class {
            snapshot.classes().get(node).copied().flatten()
        };
        let status =
            |snapshot: &Snapshot| snapshot.status(class(snapshot, from), class(snapshot, to));
        is_kept(status(self.before), status(self.after))
    }

    /// Nodes that are alike before, after and by these classes, and in one site.
    pub(super) fn groups(&self, classes: &[Class], sites: &[Site]) -> Vec<Members> {
        let mut groups: BTreeMap<_, Members> = BTreeMap::new();
        for (node, (class, site)) in classes.iter().zip(sites).enumerate() {
            let of = |snapshot: &Snapshot| snapshot.classes().get(node).copied().flatten();
            let key = (of(self.before), of(self.after), *class, site);
            groups.entry(key).or_default().push(node);
        }
        groups.into_values().collect()
    }
}

/// Whether pairs of that status before and after a plan are kept by it.
pub(super) fn is_kept(before: PairStatus, after: PairStatus) -> bool {
    before == PairStatus::Reached && after != PairStatus::Dropped
}

/// Nodes that are alike, by place.
pub(super) type Members = Vec<usize>;
