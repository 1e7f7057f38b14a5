//! Lints that need no live state.
//!
//! Each lint runs in linear time, or sorts and sweeps: thousands of workers are
//! checked in milliseconds.

mod addresses;
mod duplicates;
mod limits;
mod overlaps;
mod pods;
mod versions;

use super::model::{Datacenter, Topology, Worker};
use super::spans::{DatacenterSpans, TopologySpans, WorkerSpans};
use crate::diagnostics::Diagnostic;

pub use limits::{MAX_NODES_PER_CLUSTER, MAX_ROUTES_PER_TABLE};
pub use overlaps::{AKS_NODE_SUBNET, AKS_RESERVED_RANGES};

/// Runs every lint.
pub fn check(topology: &Topology, spans: &TopologySpans, found: &mut Vec<Diagnostic>) {
    let context = Context { topology, spans };
    overlaps::check(&context, found);
    addresses::check(&context, found);
    duplicates::check(&context, found);
    pods::check(&context, found);
    limits::check(&context, found);
    versions::check(&context, found);
}

/// A topology and its spans.
struct Context<'a> {
    topology: &'a Topology,
    spans: &'a TopologySpans,
}

impl<'a> Context<'a> {
    fn datacenters(&self) -> impl Iterator<Item = (&'a Datacenter, &'a DatacenterSpans)> + use<'a> {
        self.topology.datacenters.iter().zip(&self.spans.datacenters)
    }

    /// The maximum number of AKS nodes.
    fn max_nodes(&self) -> u64 {
        let pools = self.topology.cluster.node_pools.values();
        pools.map(|pool| u64::from(pool.scale.max_nodes())).sum()
    }
}

fn workers<'a>(
    datacenter: &'a Datacenter,
    spans: &'a DatacenterSpans,
) -> impl Iterator<Item = (&'a Worker, &'a WorkerSpans)> {
    datacenter.workers.iter().zip(&spans.workers)
}
