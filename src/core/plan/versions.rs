//! Kubernetes versions that cannot be reached: older ones, ones beyond the next minor
//! version, ones that AKS does not offer, tiers without the support plan that offers them, and
//! kubelets that the control plane does not support.

use super::decision::{Comparison, ResourceDecision, deferred};
use super::diff::{self, FieldChange, ObjectDiff};
use super::{Action, Blocked};
use crate::desired::DesiredResource;
use crate::diagnostics::{Code, Failure};
use crate::inventory::Observed;
use crate::resource::azure::ManagedCluster;
use crate::resource::kubernetes::Manifest;
use crate::resource::settings::{ClusterTier, SupportPlan};
use crate::resource::version::KubernetesVersion;
use crate::resource::{Address, Kind, Resource, Site};

/// Blocks a change to a version that cannot be reached. Defers a worker whose version
/// depends on the upgrade of the control plane.
pub(super) fn refuse(
    input: Comparison<'_>,
    desired: &DesiredResource,
    observed: Option<&Observed>,
) -> Option<ResourceDecision> {
    let live = observed.map(|observed| &observed.resource);
    if let Some((cluster, failure)) = live.and_then(|_| refused_upgrade(input, desired)) {
        let blocked = blocked(desired, live, failure);
        return Some(Blocked { caused_by: Some(cluster), ..blocked }.into());
    }
    let failure = match (live, &desired.resource) {
        (Some(Resource::ManagedCluster(live)), Resource::ManagedCluster(desired)) => {
            // The kubelets that the new version must support are not known.
            let is_upgrade = !live.kubernetes_version.is_same_minor(desired.kubernetes_version);
            if let Some(gap) = input.inventory.gap_for(Kind::Worker, None).filter(|_| is_upgrade) {
                return Some(gap.into());
            }
            control_plane(input, live, desired)
        }
        (live, Resource::Manifest(manifest)) => {
            return refused_profile(input, desired, live, manifest).map(Into::into);
        }
        (live, Resource::Worker(worker_spec)) => {
            let live = kubelet_of(live);
            if awaits_upgrade(input, live, worker_spec.kubelet_version) {
                let cluster =
                    input.desired.iter().find(|it| it.address.kind == Kind::ManagedCluster);
                let waits_for = cluster.map(|cluster| cluster.address.clone());
                return Some(deferred(desired, observed, waits_for.into_iter().collect()).into());
            }
            worker(input, desired, live, worker_spec.kubelet_version)
        }
        _ => None,
    };
    failure.map(|failure| blocked(desired, live, failure).into())
}

fn blocked(desired: &DesiredResource, live: Option<&Resource>, failure: Failure) -> Blocked {
    let (action, fields): (Action, Vec<FieldChange>) = match live {
        Some(live) => (Action::Update, diff::between(live, &desired.resource)),
        None => (Action::Create, diff::whole(&desired.resource, ObjectDiff::Created)),
    };
    Blocked {
        address: desired.address.clone(),
        action,
        fields,
        failure,
        caused_by: None,
        planned_because_of: desired.planned_because_of.clone(),
    }
}

/// Whether a failure only says that a version, or the support plan that offers it, stays: dependents of the object can be
/// changed, because the object exists and works.
pub(super) fn keeps_version(code: Code) -> bool {
    matches!(
        code,
        Code::KubernetesDowngrade
            | Code::KubernetesMinorSkipped
            | Code::LiveVersionSkew
            | Code::VersionUnsupported
            | Code::SupportPlanTier
    )
}

/// The tier that AKS would refuse: a plan that the topology does not name, or that an
/// `[[ignore]]` keeps, stays as it is.
fn tier(live: &ManagedCluster, desired: &ManagedCluster) -> Option<Failure> {
    let plan = desired.support_plan.observed().or(live.support_plan.observed())?;
    let tier = desired.tier.observed().or(live.tier.observed())?;
    let is_refused = *plan == SupportPlan::LongTerm && *tier != ClusterTier::Premium;
    is_refused.then(|| {
        Failure::new(
            Code::SupportPlanTier,
            format!(
                "the cluster keeps the support plan {}, which AKS does not permit in the tier {}",
                plan.as_str(),
                tier.as_str()
            ),
            format!(
                "set `support_plan = \"{}\"` in [cluster], or leave `tier = \"premium\"`; other \
                 changes are made",
                SupportPlan::Official.as_str()
            ),
        )
    })
}

fn control_plane(
    input: Comparison<'_>,
    live: &ManagedCluster,
    desired: &ManagedCluster,
) -> Option<Failure> {
    if let Some(failure) = tier(live, desired) {
        return Some(failure);
    }
    let (live, desired) = (live.kubernetes_version, desired.kubernetes_version);
    if live.is_newer_than(desired) {
        return Some(Failure::new(
            Code::KubernetesDowngrade,
            format!(
                "the cluster runs Kubernetes {live}, but the topology has {desired}: AKS cannot \
                 downgrade a cluster"
            ),
            format!("{}; other changes are made", input.requested_versions.for_cluster(live)),
        ));
    }
    if live.skips_minor(desired) {
        let next = KubernetesVersion { minor: live.minor.saturating_add(1), patch: None, ..live };
        return Some(Failure::new(
            Code::KubernetesMinorSkipped,
            format!(
                "the cluster runs Kubernetes {live}, and an upgrade to {desired} would skip a \
                 minor version"
            ),
            format!(
                "{}, apply, and then continue with the next minor version",
                input.requested_versions.for_cluster(next)
            ),
        ));
    }
    if let Some(failure) = input.refused_upgrade {
        return Some(failure.clone());
    }
    let (address, kubelet) = oldest_kubelet(input).filter(|(_, it)| !it.may_join(desired))?;
    if live.is_same_minor(desired) {
        return None;
    }
    Some(Failure::new(
        Code::LiveVersionSkew,
        format!(
            "{address} runs Kubernetes {kubelet}, which a control plane of {desired} does not support"
        ),
        format!(
            "{} until {address} runs a version that {desired} supports",
            input.requested_versions.for_cluster(live)
        ),
    ))
}

/// The oldest kubelet of the pools and workers.
fn oldest_kubelet(input: Comparison<'_>) -> Option<(Address, KubernetesVersion)> {
    let version = |resource: &Resource| match resource {
        Resource::Worker(worker) => Some(worker.kubelet_version),
        Resource::NodePool(pool) => Some(pool.kubernetes_version),
        _ => None,
    };
    let all = input.inventory.iter().filter_map(|(key, observed)| {
        let kind = observed.resource.kind();
        Some((Address::new(kind, Site::Cluster, key.name()), version(&observed.resource)?))
    });
    all.min_by_key(|(_, version)| (version.major, version.minor))
}

/// The cluster whose upgrade is blocked, and why, if a pool or a profile would get a version
/// that needs the upgrade.
fn refused_upgrade(input: Comparison<'_>, desired: &DesiredResource) -> Option<(Address, Failure)> {
    let (version, is_pool) = match &desired.resource {
        Resource::NodePool(pool) => (pool.kubernetes_version, true),
        Resource::Manifest(manifest) => (profile_version(manifest)?, false),
        _ => return None,
    };
    let cluster = input.desired.iter().find(|it| it.address.kind == Kind::ManagedCluster)?;
    let Resource::ManagedCluster(upgraded) = &cluster.resource else { return None };
    let live = &input.inventory.get(cluster.key.as_ref()?)?.resource;
    let Resource::ManagedCluster(live) = live else { return None };
    let refused = control_plane(input, live, upgraded)?;
    let live = live.kubernetes_version;
    let needs_upgrade = if is_pool { version.is_newer_than(live) } else { !version.may_join(live) };
    let message = format!(
        "it would get Kubernetes {version}, which the control plane of version {live} does not \
         support, and the upgrade of the cluster is blocked"
    );
    let failure = Failure::new(Code::LiveVersionSkew, message, refused.remedy);
    needs_upgrade.then(|| (cluster.address.clone(), failure))
}

fn profile_version(manifest: &Manifest) -> Option<KubernetesVersion> {
    if Kind::from(manifest.kind) != Kind::ProvisioningProfile {
        return None;
    }
    manifest.body.pointer("/spec/kubernetesVersion")?.as_str()?.parse().ok()
}

/// Why a profile does not change: none of its workers can get its version.
fn refused_profile(
    input: Comparison<'_>,
    desired: &DesiredResource,
    live: Option<&Resource>,
    manifest: &Manifest,
) -> Option<Blocked> {
    let version = profile_version(manifest)?;
    let before = match live {
        Some(Resource::Manifest(live)) => profile_version(live),
        _ => None,
    };
    let downgrade = before.and_then(|before| profile(input, desired, before, version));
    if let Some(failure) = downgrade {
        return Some(blocked(desired, live, failure));
    }
    if before == Some(version) {
        return None;
    }
    let mut refused = workers_of(input, &desired.address).map(|worker| {
        let Resource::Worker(spec) = &worker.resource else { return None };
        let live = worker.key.as_ref().and_then(|key| input.inventory.get(key));
        let live = kubelet_of(live.map(|it| &it.resource));
        let waits = awaits_upgrade(input, live, spec.kubelet_version);
        let failure = self::worker(input, worker, live, spec.kubelet_version);
        failure.filter(|_| !waits).map(|failure| (worker.address.clone(), failure))
    });
    let (cause, failure) = refused.next()??;
    let is_usable = refused.any(|it| it.is_none());
    let blocked = blocked(desired, live, failure);
    (!is_usable).then_some(Blocked { caused_by: Some(cause), ..blocked })
}

fn kubelet_of(live: Option<&Resource>) -> Option<KubernetesVersion> {
    match live {
        Some(Resource::Worker(live)) => Some(live.kubelet_version),
        _ => None,
    }
}

/// The workers of a profile.
fn workers_of<'a>(
    input: Comparison<'a>,
    profile: &Address,
) -> impl Iterator<Item = &'a DesiredResource> {
    let workers = input.desired.iter().filter(|it| it.address.kind == Kind::Worker);
    workers.filter(|it| it.depends_on.contains(profile))
}

/// The version of a profile does not go below that of its workers. The version in the cluster
/// may never have been installed.
fn profile(
    input: Comparison<'_>,
    desired: &DesiredResource,
    live: KubernetesVersion,
    version: KubernetesVersion,
) -> Option<Failure> {
    if !live.is_newer_than(version) {
        return None;
    }
    let name = &desired.address.name;
    if input.inventory.gap_for(Kind::Worker, None).is_some() {
        let subject = format!("profile {name}");
        return Some(downgrade(input, (&subject, name), live, version));
    }
    let (worker, kubelet) = newest_kubelet(input, &desired.address)?;
    let subject = format!("worker {worker} of the profile {name}");
    kubelet.is_newer_than(version).then(|| downgrade(input, (&subject, name), kubelet, version))
}

/// The newest kubelet of the workers of a profile.
fn newest_kubelet<'a>(
    input: Comparison<'a>,
    profile: &Address,
) -> Option<(&'a str, KubernetesVersion)> {
    let live = workers_of(input, profile).filter_map(|it| {
        match &input.inventory.get(it.key.as_ref()?)?.resource {
            Resource::Worker(worker) => Some((it.address.name.as_str(), worker.kubelet_version)),
            _ => None,
        }
    });
    live.max_by_key(|(_, version)| (version.major, version.minor, version.patch))
}

fn downgrade(
    input: Comparison<'_>,
    (subject, profile): (&str, &str),
    live: KubernetesVersion,
    desired: KubernetesVersion,
) -> Failure {
    Failure::new(
        Code::KubernetesDowngrade,
        format!(
            "{subject} has Kubernetes {live}, but the topology has {desired}: a kubelet is never \
             downgraded"
        ),
        input.requested_versions.for_live_kubelet(profile, live, input.control_plane),
    )
}

/// Whether the patch of a worker is that of a control plane that is upgraded first.
fn awaits_upgrade(
    input: Comparison<'_>,
    live: Option<KubernetesVersion>,
    desired: KubernetesVersion,
) -> bool {
    let control_plane = input.control_plane;
    desired.patch.is_none()
        && live.is_none_or(|live| !live.is_newer_than(desired))
        && control_plane.is_some_and(|it| it.patch.is_none() && it.is_same_minor(desired))
}

fn worker(
    input: Comparison<'_>,
    spec: &DesiredResource,
    live: Option<KubernetesVersion>,
    desired: KubernetesVersion,
) -> Option<Failure> {
    let name = &spec.address.name;
    let profile = spec.depends_on.iter().find(|it| it.kind == Kind::ProvisioningProfile);
    let profile = profile.map_or("", |it| it.name.as_str());
    if let Some(live) = live.filter(|live| live.is_newer_than(desired)) {
        let subject = format!("worker {name}");
        return Some(downgrade(input, (&subject, profile), live, desired));
    }
    let control_plane = input.control_plane?;
    let is_settled = live == Some(desired) || desired.patch.is_some();
    if desired.may_join(control_plane) && is_settled {
        return None;
    }
    Some(Failure::new(
        Code::LiveVersionSkew,
        format!(
            "worker {name} would get kubelet {desired}, which the control plane of version \
             {control_plane} does not support"
        ),
        input.requested_versions.for_profile(profile, control_plane),
    ))
}
