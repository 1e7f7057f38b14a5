//! Kubernetes versions: exact versions of the topology, else the current ones or those that
//! AKS offers. No result is older than the current version; the comparison refuses versions
//! beyond that.

use super::context::DesiredContext;
use super::{Facts, offered_versions};
use crate::resource::azure::NodePool;
use crate::resource::version::KubernetesVersion;
use crate::topology::model::{Profile, Topology};
use crate::topology::names::WorkerName;

/// The requested version of the control plane: the live one where a patch of it
/// satisfies the topology or is newer, since AKS upgrades patches by itself.
pub(super) fn control_plane(context: &DesiredContext<'_>) -> KubernetesVersion {
    let live = context.facts.cluster.as_ref().map(|cluster| cluster.version);
    match live {
        Some(live) => requested(context.topology, context.facts, live),
        None => context.topology.cluster.kubernetes_version,
    }
}

fn requested(topology: &Topology, facts: &Facts, live: KubernetesVersion) -> KubernetesVersion {
    let desired = topology.cluster.kubernetes_version;
    let is_kept =
        live.is_same_minor(desired) && (live.satisfies(desired) || live.is_newer_than(desired));
    if is_kept || topology.cluster.existing {
        return live;
    }
    let is_upgrade = desired.patch.is_none() && desired.is_newer_than(live);
    let offered = facts.offered_versions.as_ref().filter(|_| is_upgrade);
    offered.and_then(|offered| offered.newest_patch(desired)).unwrap_or(desired)
}

/// The version that the control plane will run: the live one if the requested one will
/// be refused.
pub(super) fn reached(
    topology: &Topology,
    facts: &Facts,
    live: KubernetesVersion,
) -> KubernetesVersion {
    let requested = requested(topology, facts, live);
    let is_refused = live.is_newer_than(requested)
        || live.skips_minor(requested)
        || offered_versions::refusal_of_upgrade(topology, facts).is_some();
    if is_refused { live } else { requested }
}

fn reached_in(context: &DesiredContext<'_>) -> KubernetesVersion {
    match &context.facts.cluster {
        Some(cluster) => reached(context.topology, context.facts, cluster.version),
        None => context.topology.cluster.kubernetes_version,
    }
}

/// The version of a node pool: that of the control plane. A pool that runs another
/// patch is up to date if the topology names only a minor version, and one that runs
/// the patch that the topology names need not follow a control plane that AKS upgraded,
/// unless patches are to be upgraded.
pub(super) fn node_pool(
    context: &DesiredContext<'_>,
    live: Option<&NodePool>,
) -> KubernetesVersion {
    let desired = context.topology.cluster.kubernetes_version;
    let reached = reached_in(context);
    let is_exact = desired.patch.is_some();
    let stays = is_exact && !context.facts.upgrade_patches && reached.is_same_minor(desired);
    let target = if stays { desired } else { reached };
    match live.map(|pool| pool.kubernetes_version) {
        Some(live) => keep_or_upgrade(context, live, target, is_exact),
        None => target,
    }
}

/// The live version if a patch is not to be upgraded or is newer already.
fn keep_or_upgrade(
    context: &DesiredContext<'_>,
    live: KubernetesVersion,
    target: KubernetesVersion,
    is_exact: bool,
) -> KubernetesVersion {
    let stays = !is_exact && !context.facts.upgrade_patches;
    if live.is_same_minor(target) && (stays || !target.is_newer_than(live)) { live } else { target }
}

/// The version of a worker's kubelet. For a minor version, it is that of the Node if
/// that is a patch of it, else that of the control plane.
pub(super) fn kubelet(
    context: &DesiredContext<'_>,
    worker: &WorkerName,
    profile: &Profile,
) -> KubernetesVersion {
    let desired = profile.kubernetes_version;
    if desired.patch.is_some() {
        return desired;
    }
    let control_plane = reached_in(context);
    let target = if control_plane.is_same_minor(desired) { control_plane } else { desired };
    match context.facts.assigned.get(worker).and_then(|assigned| assigned.kubelet_version) {
        Some(live) => keep_or_upgrade(context, live, target, false),
        None => target,
    }
}
