//! The Kubernetes versions that AKS offers in a region.

use std::collections::BTreeSet;

use super::Facts;
use crate::diagnostics::{Code, Failure};
use crate::inventory::{Inventory, Source};
use crate::resource::settings::SupportPlan;
use crate::resource::version::KubernetesVersion;
use crate::topology::model::Topology;

/// How many versions a message names.
const MAX_NAMED: usize = 6;

/// The versions that AKS offers in the region of the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OfferedVersions {
    /// The minor versions.
    pub minors: Vec<OfferedMinor>,
}

/// A minor version on offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OfferedMinor {
    /// Its patches.
    pub patches: BTreeSet<KubernetesVersion>,
    /// The support plans under which clusters can run it; empty if AKS did not say.
    pub plans: BTreeSet<String>,
    /// Whether it is a preview.
    pub is_preview: bool,
}

impl OfferedMinor {
    fn supports(&self, plan: SupportPlan) -> bool {
        self.plans.is_empty() || self.plans.iter().any(|it| it.eq_ignore_ascii_case(plan.as_str()))
    }
}

impl OfferedVersions {
    /// The newest patch of a minor version, without previews.
    pub fn newest_patch(&self, minor: KubernetesVersion) -> Option<KubernetesVersion> {
        let released = self.minors.iter().filter(|it| !it.is_preview);
        let patches = released.flat_map(|it| it.patches.iter().copied());
        patches.filter(|version| version.satisfies(minor)).max()
    }

    /// Why AKS would refuse a version under a support plan, if it would.
    pub fn refusal(
        &self,
        region: &str,
        desired: KubernetesVersion,
        plan: SupportPlan,
    ) -> Option<Failure> {
        let includes = |minor: &&OfferedMinor| minor.patches.iter().any(|it| it.satisfies(desired));
        let offered: Vec<&OfferedMinor> = self.minors.iter().filter(includes).collect();
        if offered.iter().any(|minor| minor.supports(plan)) {
            return None;
        }
        let names = self.names(desired, plan);
        let versions = match names.as_slice() {
            [] => "no version".to_owned(),
            names => names.join(", "),
        };
        let (message, remedy) = if offered.is_empty() {
            (
                format!(
                    "AKS does not offer Kubernetes {desired} in {region}; it offers {versions}"
                ),
                self.remedy(desired, plan, region),
            )
        } else {
            (
                format!(
                    "AKS offers Kubernetes {desired} in {region} only with another support plan \
                     than {}, which has {versions}",
                    plan.as_str()
                ),
                format!(
                    "{}, or set `tier = \"premium\"` and `support_plan = \"{}\"` in [cluster]",
                    self.remedy(desired, plan, region),
                    SupportPlan::LongTerm.as_str(),
                ),
            )
        };
        Some(Failure::new(Code::VersionUnsupported, message, remedy))
    }

    /// The newest patches of the desired minor version if it is on offer, else the minor
    /// versions.
    fn names(&self, desired: KubernetesVersion, plan: SupportPlan) -> Vec<String> {
        let supported =
            self.minors.iter().filter(|minor| minor.supports(plan) && !minor.is_preview);
        let patches: Vec<KubernetesVersion> =
            supported.flat_map(|minor| minor.patches.iter().copied()).collect();
        let of_minor = patches.iter().filter(|it| it.is_same_minor(desired));
        let of_minor: BTreeSet<String> = of_minor.map(ToString::to_string).collect();
        let minors: BTreeSet<(u16, u16)> = patches.iter().map(|it| (it.major, it.minor)).collect();
        let newest = minors.iter().rev().map(|(major, minor)| format!("{major}.{minor}"));
        match of_minor.is_empty() {
            true => newest.take(MAX_NAMED).collect(),
            false => of_minor.into_iter().rev().take(MAX_NAMED).collect(),
        }
    }

    fn remedy(&self, desired: KubernetesVersion, plan: SupportPlan, region: &str) -> String {
        let supported =
            self.minors.iter().filter(|minor| minor.supports(plan) && !minor.is_preview);
        let patches = supported.flat_map(|minor| minor.patches.iter().copied());
        let newest: Vec<KubernetesVersion> = patches.collect();
        let of_minor = newest.iter().filter(|it| it.is_same_minor(desired)).max();
        let Some(version) = of_minor.or(newest.iter().max()) else {
            return format!(
                "choose another region; `az aks get-versions --location {region}` \
                            lists the versions of one"
            );
        };
        format!(
            "set `kubernetes_version` of [cluster] and of the profiles to \"{}.{}\"",
            version.major, version.minor
        )
    }
}

/// Why AKS would refuse to create the cluster with the version of the topology. `None` if it
/// exists, if that is unknown, or if the versions on offer could not be read.
pub fn refusal_of_new_cluster(
    topology: &Topology,
    facts: &Facts,
    inventory: &Inventory,
) -> Option<Failure> {
    let cluster = &topology.cluster;
    let is_created = facts.cluster.is_none()
        && !cluster.existing
        && inventory.gap_at(&Source::Azure).is_none()
        && inventory.cluster_gap().is_none();
    let offered = facts.offered_versions.as_ref().filter(|_| is_created)?;
    let region = topology.azure.location.as_str();
    offered.refusal(region, cluster.kubernetes_version, cluster.support_plan.unwrap_or_default())
}

/// Why AKS would refuse to upgrade the cluster to the version of the topology. `None` if no
/// upgrade is pending or the versions on offer could not be read.
pub fn refusal_of_upgrade(topology: &Topology, facts: &Facts) -> Option<Failure> {
    let settings = &topology.cluster;
    let live = facts.cluster.as_ref()?.version;
    let is_upgrade = !settings.existing && settings.kubernetes_version.is_newer_than(live);
    let offered = facts.offered_versions.as_ref().filter(|_| is_upgrade)?;
    let region = topology.azure.location.as_str();
    let plan = settings.support_plan.unwrap_or_default();
    offered.refusal(region, settings.kubernetes_version, plan)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minor(patches: &[&str], plans: &[&str]) -> OfferedMinor {
        OfferedMinor {
            patches: patches.iter().map(|it| it.parse().unwrap()).collect(),
            plans: plans.iter().map(|it| (*it).to_owned()).collect(),
            is_preview: false,
        }
    }

    fn offered() -> OfferedVersions {
        let both = ["KubernetesOfficial", "AKSLongTermSupport"];
        let preview = OfferedMinor { is_preview: true, ..minor(&["1.36.0"], &[]) };
        OfferedVersions {
            minors: vec![
                minor(&["1.32.9"], &["AKSLongTermSupport"]),
                minor(&["1.34.2", "1.34.10", "1.34.9"], &both),
                minor(&["1.35.1"], &[]),
                preview,
            ],
        }
    }

    #[test]
    fn the_newest_patch_of_a_minor_version_is_found() {
        let newest = |text: &str| offered().newest_patch(text.parse().unwrap());
        assert_eq!(newest("1.34"), Some("1.34.10".parse().unwrap()));
        assert_eq!(newest("1.36"), None);
    }

    #[test]
    fn versions_that_are_not_on_offer_are_refused_with_those_that_are() {
        let refusal = |text: &str, plan| offered().refusal("here", text.parse().unwrap(), plan);
        let official = SupportPlan::Official;
        for version in ["1.34", "1.34.9", "1.35", "1.36"] {
            assert_eq!(refusal(version, official), None, "{version}");
        }
        let old = refusal("1.31", official).unwrap();
        assert!(old.message.ends_with("it offers 1.35, 1.34"), "{}", old.message);
        assert!(old.remedy.contains("\"1.35\""), "{}", old.remedy);
        let patch = refusal("1.34.5", official).unwrap();
        assert!(patch.message.ends_with("it offers 1.34.9, 1.34.2, 1.34.10"), "{}", patch.message);
        assert!(patch.remedy.contains("\"1.34\""), "{}", patch.remedy);
        let long_term = refusal("1.32", official).unwrap();
        assert_eq!(long_term.code, Code::VersionUnsupported);
        assert!(long_term.remedy.contains("support_plan = \"AKSLongTermSupport\""));
        assert_eq!(refusal("1.32", SupportPlan::LongTerm), None);
    }
}
