//! Profiles whose kubelet has a newer patch than the control plane will have.

use std::collections::BTreeSet;

use super::version_remedies::RequestedVersions;
use super::{Finding, FindingSeverity};
use crate::desired::{self, Facts};
use crate::diagnostics::{Code, Failure};
use crate::topology::model::Topology;
use crate::topology::names::ProfileName;

/// A warning for each profile in use with an exact version of a newer patch. Where the topology
/// names an older patch of the control plane itself, `stargate validate` has warned.
pub(super) fn check(topology: &Topology, facts: &Facts, findings: &mut Vec<Finding>) {
    let Some(control_plane) = desired::control_plane_version(topology, facts) else { return };
    let requested = RequestedVersions::of(topology);
    let datacenters = topology.datacenters.iter();
    let used: BTreeSet<&ProfileName> =
        datacenters.flat_map(|it| &it.workers).map(|worker| &worker.profile).collect();
    for (name, profile) in topology.profiles.iter().filter(|(name, _)| used.contains(name)) {
        let kubelet = profile.kubernetes_version;
        let is_newer = kubelet.is_same_minor(control_plane) && kubelet.is_newer_than(control_plane);
        let is_newer_in_file =
            kubelet.is_same_minor(requested.cluster) && kubelet.is_newer_than(requested.cluster);
        if !is_newer || is_newer_in_file {
            continue;
        }
        let failure = Failure::new(
            Code::LiveVersionSkew,
            format!(
                "profile {name} has kubelet {kubelet}, which is newer than the control plane of \
                 version {control_plane}"
            ),
            requested.for_profile(name.as_str(), control_plane),
        );
        findings.push(Finding::new(FindingSeverity::Warning, failure));
    }
}
