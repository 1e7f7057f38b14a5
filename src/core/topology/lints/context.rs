//! The input of the lints: a topology and the places of its values in the file.

use crate::topology::model::{Datacenter, Topology, Worker};
use crate::topology::spans::{DatacenterSpans, TopologySpans, WorkerSpans};

/// A topology and its spans.
pub(super) struct LintContext<'a> {
    pub(super) topology: &'a Topology,
    pub(super) spans: &'a TopologySpans,
}

impl<'a> LintContext<'a> {
    pub(super) fn datacenters(
        &self,
    ) -> impl Iterator<Item = (&'a Datacenter, &'a DatacenterSpans)> + use<'a> {
        self.topology.datacenters.iter().zip(&self.spans.datacenters)
    }

    /// The maximum number of AKS nodes.
    pub(super) fn max_nodes(&self) -> u64 {
        let pools = self.topology.cluster.node_pools.values();
        pools.map(|pool| u64::from(pool.scale.max_nodes())).sum()
    }
}

/// The workers of a datacenter and their spans.
pub(super) fn workers<'a>(
    datacenter: &'a Datacenter,
    spans: &'a DatacenterSpans,
) -> impl Iterator<Item = (&'a Worker, &'a WorkerSpans)> {
    datacenter.workers.iter().zip(&spans.workers)
}
