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
    /// Whether clusters with a support plan can run it. A plan that is unknown may be any.
    fn supports(&self, plan: Option<SupportPlan>) -> bool {
        let is_any = self.plans.is_empty() || plan.is_none();
        let is_plan = |name: &String| plan.is_some_and(|it| name.eq_ignore_ascii_case(it.as_str()));
        is_any || self.plans.iter().any(is_plan)
    }
}

/// A version that AKS is asked for.
#[derive(Debug, Clone, Copy)]
pub struct VersionRequest<'a> {
    /// The region.
    pub region: &'a str,
    /// The version.
    pub desired: KubernetesVersion,
    /// The version that the cluster runs, if it exists.
    pub live: Option<KubernetesVersion>,
    /// The support plan; `None` if it is unknown.
    pub plan: Option<SupportPlan>,
}

impl OfferedVersions {
    /// The newest patch of a minor version, without previews.
    pub fn newest_patch(&self, minor: KubernetesVersion) -> Option<KubernetesVersion> {
        let released = self.minors.iter().filter(|it| !it.is_preview);
        let patches = released.flat_map(|it| it.patches.iter().copied());
        patches.filter(|version| version.satisfies(minor)).max()
    }

    /// Why AKS would refuse a version under a support plan, if it would.
    pub fn refusal(&self, request: VersionRequest<'_>) -> Option<Failure> {
        let VersionRequest { region, desired, plan, .. } = request;
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
        let remedy = self.remedy(request);
        let (message, remedy) = match plan.filter(|_| !offered.is_empty()) {
            None => (
                format!(
                    "AKS does not offer Kubernetes {desired} in {region}; it offers {versions}"
                ),
                remedy,
            ),
            Some(plan) => (
                format!(
                    "AKS offers Kubernetes {desired} in {region} only with another support plan \
                     than {}, which has {versions}",
                    plan.as_str()
                ),
                format!(
                    "{remedy}, or set `tier = \"premium\"` and `support_plan = \"{}\"` in \
                     [cluster]",
                    SupportPlan::LongTerm.as_str(),
                ),
            ),
        };
        Some(Failure::new(Code::VersionUnsupported, message, remedy))
    }

    /// The patches on offer under a support plan, without previews.
    fn released(&self, plan: Option<SupportPlan>) -> BTreeSet<KubernetesVersion> {
        let supported =
            self.minors.iter().filter(|minor| minor.supports(plan) && !minor.is_preview);
        supported.flat_map(|minor| minor.patches.iter().copied()).collect()
    }

    /// The newest patches of the desired minor version if it is on offer, else the minor
    /// versions, the newest first.
    fn names(&self, desired: KubernetesVersion, plan: Option<SupportPlan>) -> Vec<String> {
        let patches = self.released(plan);
        let of_minor = patches.iter().rev().filter(|it| it.is_same_minor(desired));
        let of_minor: Vec<String> = of_minor.map(ToString::to_string).take(MAX_NAMED).collect();
        if !of_minor.is_empty() {
            return of_minor;
        }
        let minors: BTreeSet<(u16, u16)> = patches.iter().map(|it| (it.major, it.minor)).collect();
        let newest = minors.iter().rev().map(|(major, minor)| format!("{major}.{minor}"));
        newest.take(MAX_NAMED).collect()
    }

    /// A new cluster can have any version on offer. An upgrade cannot skip a minor version: it
    /// can go to the next one, or the cluster stays at its own.
    fn remedy(&self, request: VersionRequest<'_>) -> String {
        let VersionRequest { region, desired, live, plan } = request;
        let released = self.released(plan);
        let of_minor =
            |minor: KubernetesVersion| released.iter().find(|it| it.is_same_minor(minor));
        let version = match live {
            None => of_minor(desired).or(released.last()).copied(),
            Some(live) => {
                let is_next = |it: &&KubernetesVersion| {
                    it.is_newer_than(live) && !it.is_same_minor(live) && !live.skips_minor(**it)
                };
                let next = released.iter().find(is_next).filter(|_| !live.is_same_minor(desired));
                next.or(Some(&live)).copied()
            }
        };
        let Some(version) = version else {
            return format!(
                "choose another region; `az aks get-versions --location {region}` lists the \
                 versions of one"
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
    offered.refusal(VersionRequest {
        region: topology.azure.location.as_str(),
        desired: cluster.kubernetes_version,
        live: None,
        plan: Some(cluster.support_plan.unwrap_or_default()),
    })
}

/// Why AKS would refuse to upgrade the cluster to the version of the topology. `None` if no
/// upgrade is pending or the versions on offer could not be read. A cluster keeps its support
/// plan if the topology names none.
pub fn refusal_of_upgrade(topology: &Topology, facts: &Facts) -> Option<Failure> {
    let settings = &topology.cluster;
    let cluster = facts.cluster.as_ref()?;
    let live = cluster.version;
    let is_upgrade = !settings.existing && settings.kubernetes_version.is_newer_than(live);
    let offered = facts.offered_versions.as_ref().filter(|_| is_upgrade)?;
    offered.refusal(VersionRequest {
        region: topology.azure.location.as_str(),
        desired: settings.kubernetes_version,
        live: Some(live),
        plan: settings.support_plan.or(cluster.support_plan),
    })
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

    fn refusal(
        desired: &str,
        live: Option<&str>,
        plan: impl Into<Option<SupportPlan>>,
    ) -> Option<Failure> {
        offered().refusal(VersionRequest {
            region: "here",
            desired: desired.parse().unwrap(),
            live: live.map(|it| it.parse().unwrap()),
            plan: plan.into(),
        })
    }

    #[test]
    fn versions_that_are_not_on_offer_are_refused_with_those_that_are() {
        let official = SupportPlan::Official;
        for version in ["1.34", "1.34.9", "1.35", "1.36"] {
            assert_eq!(refusal(version, None, official), None, "{version}");
        }
        let old = refusal("1.31", None, official).unwrap();
        assert!(old.message.ends_with("it offers 1.35, 1.34"), "{}", old.message);
        assert!(old.remedy.contains("\"1.35\""), "{}", old.remedy);
        let patch = refusal("1.34.5", None, official).unwrap();
        assert!(patch.message.ends_with("it offers 1.34.10, 1.34.9, 1.34.2"), "{}", patch.message);
        assert!(patch.remedy.contains("\"1.34\""), "{}", patch.remedy);
        let long_term = refusal("1.32", None, official).unwrap();
        assert_eq!(long_term.code, Code::VersionUnsupported);
        assert!(long_term.remedy.contains("support_plan = \"AKSLongTermSupport\""));
        assert_eq!(refusal("1.32", None, SupportPlan::LongTerm), None);
    }

    #[test]
    fn an_unknown_support_plan_refuses_only_versions_that_no_plan_has() {
        assert_eq!(refusal("1.32", None, None), None);
        let refused = refusal("1.31", None, None).unwrap();
        assert!(refused.message.ends_with("it offers 1.35, 1.34, 1.32"), "{}", refused.message);
    }

    /// Skipped minor versions are refused as well: an upgrade goes to the next one or waits.
    #[test]
    fn the_remedy_for_an_upgrade_is_the_next_minor_version_or_the_live_one() {
        for (desired, live, expected) in [
            ("1.37", "1.33.5", "\"1.34\""),
            ("1.34.5", "1.33.5", "\"1.34\""),
            ("1.37", "1.34.2", "\"1.35\""),
            ("1.34.12", "1.34.10", "\"1.34\""),
            ("1.37", "1.35.1", "\"1.35\""),
            ("1.32", "1.31.3", "\"1.31\""),
        ] {
            let refused = refusal(desired, Some(live), SupportPlan::Official).unwrap();
            assert!(refused.remedy.contains(expected), "{desired} {live}: {}", refused.remedy);
        }
    }
}
