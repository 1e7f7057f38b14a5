//! The predecessors of one change, by the kind of edge.

use crate::resource::Address;

/// The predecessors of a change, in the order of their addresses.
pub(super) struct Edges {
    pub(super) depends_on: Vec<Address>,
    pub(super) destroy_after: Vec<Address>,
    pub(super) create_after_destroy_of: Vec<Address>,
}

/// The same while it is found.
#[derive(Default)]
pub(super) struct DependencyCollector<'a> {
    pub(super) depends_on: Vec<&'a Address>,
    pub(super) destroy_after: Vec<&'a Address>,
    pub(super) create_after_destroy_of: Vec<&'a Address>,
}

impl From<DependencyCollector<'_>> for Edges {
    fn from(found: DependencyCollector<'_>) -> Self {
        let sorted = |mut addresses: Vec<&Address>| {
            addresses.sort_unstable();
            addresses.dedup();
            addresses.into_iter().cloned().collect()
        };
        Self {
            depends_on: sorted(found.depends_on),
            destroy_after: sorted(found.destroy_after),
            create_after_destroy_of: sorted(found.create_after_destroy_of),
        }
    }
}
