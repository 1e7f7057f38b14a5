//! Rules beside the reachability of pairs: a violation would break the next node or the
//! next change, or hide another problem.

mod kubelets;
mod machines;
mod objects;
mod rule;
mod tables;
mod unchecked;

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::projected_state::{ProjectedFact, ProjectedState};
use super::{PathModel, Sources};
use crate::dataplane::{HostId, Origin};
use crate::resource::Address;

pub use rule::Invariant;
pub use unchecked::{NOT_CHECKED, Unchecked, Why, unchecked};

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// The rule.
    pub rule: Invariant,
    /// The resource that breaks it.
    pub address: Address,
    /// The observation that violates the rule, as text.
    pub found: String,
}

/// Checks every rule. Orphans are the objects that the topology owns and no longer lists.
pub fn violations<'a>(
    state: ProjectedState<'a>,
    model: &'a PathModel,
    orphans: impl IntoIterator<Item = &'a Address>,
) -> Vec<Violation> {
    let sources = state.sources();
    let mut found = Checker { model, state, violations: BTreeSet::new() };
    found.missing_next_hops();
    found.stale_routes(sources);
    found.overlapping_advertisements();
    found.advertisements_and_approvals();
    found.shared_ranges();
    found.interfaces();
    found.hairpins();
    found.routers(sources);
    found.kubelets();
    found.objects(sources);
    found.orphans(orphans);
    found.violations.into_iter().collect()
}

struct Checker<'a> {
    model: &'a PathModel,
    state: ProjectedState<'a>,
    violations: BTreeSet<Violation>,
}

impl Checker<'_> {
    fn add(&mut self, rule: Invariant, address: Address, found: String) {
        self.violations.insert(Violation { rule, address, found });
    }

    fn add_at(&mut self, rule: Invariant, origin: Origin, found: String) {
        if let Some(config) = self.model.provenance.get(origin) {
            self.add(rule, config.address.clone(), found);
        }
    }

    fn nodes(&self) -> impl Iterator<Item = HostId> {
        self.model.sites.iter().flat_map(|site| site.nodes.iter().copied())
    }

    fn range(&self, host: HostId) -> Option<Ipv4Net> {
        self.model.network.host(host)?.pods.read().ok()?.range()
    }
}
