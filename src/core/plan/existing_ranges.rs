//! The ranges of a cluster that stargate did not create: the topology repeats them, and all its
//! other ranges are checked against these.

use super::{Finding, FindingSeverity};
use crate::desired::facts::ClusterFacts;
use crate::diagnostics::{Code, Failure};
use crate::topology::model::Topology;

/// An error for each range of an existing cluster that the topology gives differently.
pub(super) fn check(topology: &Topology, cluster: &ClusterFacts, findings: &mut Vec<Finding>) {
    let ours = &topology.cluster;
    if !ours.existing {
        return;
    }
    for (key, desired, live) in [
        ("pod_cidr", ours.pod_cidr, cluster.pod_cidr),
        ("service_cidr", ours.service_cidr, cluster.service_cidr),
    ] {
        if desired.trunc() == live.trunc() {
            continue;
        }
        let failure = Failure::new(
            Code::ClusterRanges,
            format!(
                "the existing cluster {} has {key} {live}, and the topology {desired}: routes and \
                 overlaps would be computed from a range that the cluster does not use",
                ours.name
            ),
            format!(
                "set `{key} = \"{live}\"` in [cluster]; then `stargate validate` shows which \
                 ranges of the topology have to move"
            ),
        );
        findings.push(Finding::new(FindingSeverity::Error, failure));
    }
}
