//! Lints that need no live state.
//!
//! Each lint runs in linear time, or sorts and sweeps: thousands of workers are
//! checked in milliseconds.

mod addresses;
mod context;
mod duplicates;
mod ignores;
mod limits;
mod overlaps;
mod pods;
mod versions;

use super::model::Topology;
use super::spans::TopologySpans;
use crate::diagnostics::Diagnostic;
use context::LintContext;

pub use ignores::expired_ignores;
pub use limits::{MAX_NODES_PER_CLUSTER, MAX_ROUTES_PER_TABLE};
pub use overlaps::{AKS_NODE_SUBNET, AKS_RESERVED_RANGES};

/// Runs every lint.
pub fn check(topology: &Topology, spans: &TopologySpans, found: &mut Vec<Diagnostic>) {
    let context = LintContext { topology, spans };
    overlaps::check(&context, found);
    addresses::check(&context, found);
    duplicates::check(&context, found);
    pods::check(&context, found);
    limits::check(&context, found);
    versions::check(&context, found);
}
