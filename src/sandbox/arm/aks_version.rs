//! Kubernetes versions of AKS clusters and their pools.

/// The version of a cluster whose request names no version.
pub(super) const DEFAULT_VERSION: &str = "1.33";
/// The patch release that AKS selects for a version of the form `major.minor`.
const DEFAULT_PATCH: &str = "5";

/// The version with the patch release.
pub(super) fn full_version(version: &str) -> String {
    match version.split('.').count() {
        2 => format!("{version}.{DEFAULT_PATCH}"),
        _ => version.to_owned(),
    }
}
