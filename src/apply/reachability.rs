//! What packets' ways are looked up in, out of a plan and what it was made from.

use super::Planned;
use crate::connectivity::Sources;
use crate::topology::model::Topology;

impl Planned {
    /// What a network is built from.
    pub fn paths<'a>(&'a self, topology: &'a Topology) -> Sources<'a> {
        Sources {
            topology,
            facts: &self.observation.facts,
            desired: &self.desired,
            inventory: &self.observation.inventory,
            plan: &self.plan,
        }
    }
}
