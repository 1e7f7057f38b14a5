//! What states of the network are projected from: a plan and what it was made from.

use super::Planned;
use crate::connectivity::Sources;
use crate::plan::impact::Projection;
use crate::topology::model::Topology;

impl Planned {
    /// The plan, and what it was made from.
    pub fn paths<'a>(&'a self, topology: &'a Topology) -> Projection<'a> {
        let observed = Sources {
            topology,
            facts: &self.observation.facts,
            desired: &self.desired,
            inventory: &self.observation.inventory,
        };
        Projection { observed, plan: &self.plan }
    }
}
