//! Kubernetes version skew and unused profiles.

use std::collections::BTreeSet;

use super::context::LintContext;
use crate::diagnostics::{Code, Diagnostic};
use crate::topology::names::ProfileName;
use crate::topology::version::KubernetesVersion;

pub(super) fn check(context: &LintContext<'_>, found: &mut Vec<Diagnostic>) {
    let server = context.topology.cluster.kubernetes_version;
    let used = used_profiles(context);
    // With an unknown reference, the profile may only be misspelt, not unused.
    let misspelt = found.iter().any(|one| one.code == Code::UnknownProfile);
    for (name, profile) in &context.topology.profiles {
        let Some(spans) = context.spans.profiles.get(name) else { continue };
        let kubelet = profile.kubernetes_version;
        if kubelet.patch.is_none() && !kubelet.is_same_minor(server) && kubelet.may_join(server) {
            found.push(
                Diagnostic::error(
                    Code::VersionSkew,
                    format!("profile `{name}` names no patch of Kubernetes {kubelet}"),
                )
                .at(spans.kubernetes_version.clone(), "not the control plane's minor version")
                .with(context.spans.cluster.kubernetes_version.clone(), "the cluster's version")
                .remedy(format!(
                    "set `kubernetes_version` of [profiles.{name}] to \"{}.{}\" for the patch of \
                     the control plane, or to an exact version such as \"{kubelet}.0\"",
                    server.major, server.minor
                )),
            );
        }
        if kubelet.is_same_minor(server) && kubelet.is_newer_than(server) {
            found.push(
                Diagnostic::warning(
                    Code::VersionSkew,
                    format!("kubelet {kubelet} is newer than control plane {server}"),
                )
                .at(spans.kubernetes_version.clone(), "a newer patch than the cluster's")
                .with(context.spans.cluster.kubernetes_version.clone(), "the cluster's version")
                .remedy(format!(
                    "set `kubernetes_version` of [profiles.{name}] to \"{}.{}\" for the patch of \
                     the control plane",
                    server.major, server.minor
                )),
            );
        }
        if !kubelet.may_join(server) {
            let newer = (kubelet.major, kubelet.minor) > (server.major, server.minor);
            let why = if newer {
                "newer than the cluster"
            } else {
                "more than three minor versions older"
            };
            found.push(
                Diagnostic::error(
                    Code::VersionSkew,
                    format!("kubelet {kubelet} is not supported by control plane {server}"),
                )
                .at(spans.kubernetes_version.clone(), why)
                .with(context.spans.cluster.kubernetes_version.clone(), "the cluster's version")
                .remedy(unsupported(name, kubelet, server)),
            );
        }
        if !misspelt && !used.contains(name) {
            found.push(
                Diagnostic::warning(Code::UnusedProfile, format!("unused profile `{name}`"))
                    .at(spans.name.clone(), "no datacenter or worker uses this profile")
                    .remedy("reference it with `profile`, or remove it"),
            );
        }
    }
}

/// A control plane can be upgraded, but not to the age of a kubelet.
fn unsupported(
    profile: &ProfileName,
    kubelet: KubernetesVersion,
    server: KubernetesVersion,
) -> String {
    let of_profile = format!(
        "set `kubernetes_version` of [profiles.{profile}] to \"{}.{}\"",
        server.major, server.minor
    );
    match (kubelet.major, kubelet.minor) > (server.major, server.minor) {
        true => format!("{of_profile}, or of [cluster] to \"{}.{}\"", kubelet.major, kubelet.minor),
        false => format!(
            "{of_profile}, or to an exact version of at least {}.{}",
            server.major,
            server.minor.saturating_sub(3)
        ),
    }
}

fn used_profiles<'a>(context: &LintContext<'a>) -> BTreeSet<&'a ProfileName> {
    let datacenters = context.topology.datacenters.iter();
    datacenters
        .flat_map(|datacenter| {
            let workers = datacenter.workers.iter().map(|worker| &worker.profile);
            std::iter::once(&datacenter.profile).chain(workers)
        })
        .collect()
}
