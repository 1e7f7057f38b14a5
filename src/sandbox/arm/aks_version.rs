//! Kubernetes versions of AKS clusters and their pools.

use serde_json::{Value, json};

use super::account::{ArmAccount, VersionSupport};
use super::errors::ArmError;
use crate::resource::version::KubernetesVersion;

/// The version of a cluster whose request names no version.
pub(super) const DEFAULT_VERSION: &str = "1.33";
/// The newest patch release of each minor version, which AKS selects for a version of the form
/// `major.minor`.
const NEWEST_PATCH: u16 = 5;
/// Patch releases up to this one are accepted, as previews are.
const LAST_PATCH: u16 = 9;
/// The minor versions on offer.
const MINORS: std::ops::RangeInclusive<u16> = 28..=38;
/// A pool may be this many minor versions older than its control plane.
const MAX_SKEW: u16 = 3;
/// The support plan for versions that the community no longer supports.
const LONG_TERM: &str = "AKSLongTermSupport";

fn parse(text: &str) -> Option<KubernetesVersion> {
    text.parse().ok().filter(|_| !text.starts_with('v'))
}

/// A version that is on offer to a cluster with this support plan.
fn offered(
    (account, plan): (&ArmAccount, &str),
    text: &str,
) -> Result<KubernetesVersion, ArmError> {
    let is_offered = |version: &KubernetesVersion| {
        let is_supported = match account.versions.get(&version.minor) {
            None => true,
            Some(VersionSupport::LongTermOnly) => plan.eq_ignore_ascii_case(LONG_TERM),
            Some(VersionSupport::Ended) => false,
        };
        version.major == 1
            && MINORS.contains(&version.minor)
            && is_supported
            && version.patch.is_none_or(|patch| patch <= LAST_PATCH)
    };
    parse(text).filter(is_offered).ok_or_else(|| {
        ArmError::bad(
            "K8sVersionNotSupported",
            format!(
                "Managed cluster is on version {text} which is not supported in this region. Please \
                 use [az aks get-versions] command to get the supported version list in this region."
            ),
        )
    })
}

/// Whether the running version satisfies the requested one.
fn runs(requested: &str, running: Option<&str>) -> bool {
    let versions = parse(requested).zip(running.and_then(parse));
    versions.is_some_and(|(requested, running)| running.satisfies(requested))
}

/// The version with the patch release: the running one, if that is a patch of the requested minor
/// version, else the newest one.
pub(super) fn full_version(requested: &str, running: Option<&str>) -> String {
    let Some(version) = parse(requested) else { return requested.to_owned() };
    let running = running.and_then(parse).filter(|it| it.satisfies(version));
    let newest = KubernetesVersion { patch: version.patch.or(Some(NEWEST_PATCH)), ..version };
    running.unwrap_or(newest).to_string()
}

/// The current version of a control plane after a write. Refuses unknown versions, downgrades and
/// skipped minor versions.
pub(super) fn control_plane(
    offer: (&ArmAccount, &str),
    requested: &str,
    running: Option<&str>,
) -> Result<String, ArmError> {
    if !runs(requested, running) {
        offered(offer, requested)?;
    }
    let full = full_version(requested, running);
    let (Some(before), Some(after)) = (running.and_then(parse), parse(&full)) else {
        return Ok(full);
    };
    if before.is_newer_than(after) {
        let message = format!(
            "Upgrading Kubernetes version {before} to {after} is not allowed. Downgrading a cluster \
             is not supported. For more information, please check https://aka.ms/aks-upgrade"
        );
        return Err(ArmError::bad("OperationNotAllowed", message));
    }
    if before.skips_minor(after) {
        let message = format!(
            "Upgrading Kubernetes version {before} to {after} is not allowed. Kubernetes minor \
             versions can't be skipped. Available upgrades: [{}.{}]. Please see \
             https://aka.ms/aks-supported-k8s-ver for version details.",
            before.major,
            before.minor + 1
        );
        return Err(ArmError::bad("OperationNotAllowed", message));
    }
    Ok(full)
}

/// The current version of a pool after a write, given that of the control plane.
pub(super) fn pool(
    offer: (&ArmAccount, &str),
    requested: &str,
    running: Option<&str>,
    control_plane: &str,
) -> Result<String, ArmError> {
    // A pool may have the version of a control plane whose support has ended.
    if !runs(requested, running) && !runs(requested, Some(control_plane)) {
        offered(offer, requested)?;
    }
    let same_minor = |one: &str, other: &str| {
        parse(one).zip(parse(other)).is_some_and(|(one, other)| one.is_same_minor(other))
    };
    // The newest patch that the control plane allows.
    let hint = Some(control_plane).filter(|it| same_minor(it, requested));
    let full = full_version(requested, running.filter(|it| same_minor(it, requested)).or(hint));
    let (Some(after), Some(server)) = (parse(&full), parse(control_plane)) else {
        return Ok(full);
    };
    if after.is_newer_than(server) || server.minor - after.minor > MAX_SKEW {
        let message = format!(
            "Node pool version {after} and control plane version {server} are incompatible. Minor \
             version of node pool cannot be bigger than control plane version or more than \
             {MAX_SKEW} versions older. For more information, please check https://aka.ms/version-skew-policy"
        );
        return Err(ArmError::bad("NodePoolMcVersionIncompatible", message));
    }
    if let Some(before) = running.and_then(parse).filter(|before| before.is_newer_than(after)) {
        let message = format!(
            "Upgrading node pool from {before} to {after} is not allowed. Downgrading a node pool is \
             not supported."
        );
        return Err(ArmError::bad("OperationNotAllowed", message));
    }
    Ok(full)
}

/// The versions on offer in a region.
pub(super) fn list(account: &ArmAccount) -> Value {
    let minor = |minor: u16| {
        let plans: &[&str] = match account.versions.get(&minor) {
            Some(VersionSupport::Ended) => return None,
            Some(VersionSupport::LongTermOnly) => &[LONG_TERM],
            None => &["KubernetesOfficial", LONG_TERM],
        };
        let patches: serde_json::Map<String, Value> = (0..=NEWEST_PATCH)
            .map(|patch| (format!("1.{minor}.{patch}"), json!({ "upgrades": [] })))
            .collect();
        Some(json!({
            "version": format!("1.{minor}"),
            "capabilities": { "supportPlan": plans },
            "patchVersions": patches,
        }))
    };
    // Later patches are accepted as previews are, and never selected.
    let preview = |minor: u16| {
        let patches: serde_json::Map<String, Value> = (NEWEST_PATCH + 1..=LAST_PATCH)
            .map(|patch| (format!("1.{minor}.{patch}"), json!({ "upgrades": [] })))
            .collect();
        let version = format!("1.{minor}");
        json!({ "version": version, "isPreview": true, "patchVersions": patches })
    };
    let previews = MINORS.filter(|minor| !account.versions.contains_key(minor)).map(preview);
    json!({ "values": MINORS.filter_map(minor).chain(previews).collect::<Vec<_>>() })
}
