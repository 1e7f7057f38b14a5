//! The edits that findings about Kubernetes versions name. A version fits the live cluster and
//! the other versions of the topology, so that no other finding follows from the edit.

use std::collections::{BTreeMap, BTreeSet};

use crate::resource::version::KubernetesVersion;
use crate::topology::model::Topology;

/// The versions that the topology names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RequestedVersions {
    /// That of the control plane.
    pub(super) cluster: KubernetesVersion,
    /// That of the kubelets of each profile.
    pub(super) profiles: BTreeMap<String, KubernetesVersion>,
}

impl RequestedVersions {
    /// The versions of a topology.
    pub(super) fn of(topology: &Topology) -> Self {
        let profiles = topology.profiles.iter();
        Self {
            cluster: topology.cluster.kubernetes_version,
            profiles: profiles
                .map(|(name, profile)| (name.to_string(), profile.kubernetes_version))
                .collect(),
        }
    }

    /// The edit that gives the cluster a minor version, and each profile that does not fit it.
    pub(super) fn for_cluster(&self, version: KubernetesVersion) -> String {
        self.cluster_and_profiles(version, None)
    }

    /// The edit that gives a profile the minor version of the control plane.
    pub(super) fn for_profile(&self, profile: &str, control_plane: KubernetesVersion) -> String {
        if self.cluster.is_same_minor(control_plane) {
            return set(&[table(profile)], &[minor(control_plane)]);
        }
        self.cluster_and_profiles(control_plane, Some(profile))
    }

    /// The edit that keeps the kubelet of a profile's workers.
    pub(super) fn for_live_kubelet(
        &self,
        profile: &str,
        kubelet: KubernetesVersion,
        control_plane: Option<KubernetesVersion>,
    ) -> String {
        let is_newer = control_plane.is_some_and(|it| kubelet.is_newer_than(it));
        let has_patch = kubelet.patch.is_some();
        if self.cluster.is_same_minor(kubelet) {
            let exact = (has_patch && !is_newer).then(|| kubelet.to_string());
            let versions: Vec<String> = [minor(kubelet)].into_iter().chain(exact).collect();
            return set(&[table(profile)], &versions);
        }
        if kubelet.may_join(self.cluster) && has_patch {
            return set(&[table(profile)], &[kubelet.to_string()]);
        }
        let newest = control_plane.filter(|it| it.is_newer_than(kubelet)).unwrap_or(kubelet);
        self.cluster_and_profiles(newest, Some(profile))
    }

    fn cluster_and_profiles(&self, version: KubernetesVersion, profile: Option<&str>) -> String {
        let fits = |kubelet: KubernetesVersion| {
            let has_patch = kubelet.patch.is_some() || kubelet.is_same_minor(version);
            kubelet.may_join(version) && has_patch
        };
        let others = self.profiles.iter().filter(|(_, kubelet)| !fits(**kubelet));
        let profiles: BTreeSet<&str> =
            others.map(|(name, _)| name.as_str()).chain(profile).collect();
        let profiles = profiles.into_iter().map(table);
        let tables: Vec<String> = std::iter::once("[cluster]".to_owned()).chain(profiles).collect();
        set(&tables, &[minor(version)])
    }
}

fn table(profile: &str) -> String {
    format!("[profiles.{profile}]")
}

fn minor(version: KubernetesVersion) -> String {
    format!("{}.{}", version.major, version.minor)
}

fn set(tables: &[String], versions: &[String]) -> String {
    let versions: Vec<String> = versions.iter().map(|it| format!("\"{it}\"")).collect();
    format!(
        "set `kubernetes_version` of {} to {}",
        tables.join(" and of "),
        versions.join(", or to ")
    )
}
