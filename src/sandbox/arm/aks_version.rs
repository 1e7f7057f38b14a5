//! Kubernetes versions of AKS clusters and their pools.

use serde_json::{Value, json};

use super::account::{ArmAccount, VersionSupport};
use super::errors::ArmError;
use super::json;
use crate::resource::ArmId;
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

/// The versions to which a version can be upgraded: later patches, and the next minor version.
fn upgrades_of(account: &ArmAccount, current: &str, limit: Option<KubernetesVersion>) -> Value {
    let Some(running) = parse(current) else { return json!([]) };
    let is_offered = |version: &KubernetesVersion| {
        let minor = version.minor;
        MINORS.contains(&minor)
            && account.versions.get(&minor) != Some(&VersionSupport::Ended)
            && limit.is_none_or(|limit| !version.is_newer_than(limit))
            && version.is_newer_than(running)
    };
    let versions = (running.minor..=running.minor + 1).flat_map(|minor| {
        (0..=NEWEST_PATCH).map(move |patch| KubernetesVersion {
            minor,
            patch: Some(patch),
            ..running
        })
    });
    let upgrades = versions.filter(is_offered);
    upgrades.map(|version| json!({ "kubernetesVersion": version.to_string() })).collect()
}

/// The upgrade profile of a cluster.
pub(super) fn upgrades(account: &ArmAccount, cluster: &Value) -> Value {
    let current = json::text(cluster, "/properties/currentKubernetesVersion").unwrap_or_default();
    let limit = parse(current);
    let pools = json::items(cluster, "/properties/agentPoolProfiles").iter().map(|pool| {
        let running = json::text(pool, "/currentOrchestratorVersion").unwrap_or_default();
        json!({
            "name": pool["name"],
            "kubernetesVersion": running,
            "osType": "Linux",
            "upgrades": upgrades_of(account, running, limit),
        })
    });
    let id = json::text(cluster, "/id").unwrap_or_default();
    json!({
        "id": format!("{id}/upgradeprofiles/default"),
        "name": "default",
        "type": "Microsoft.ContainerService/managedClusters/upgradeprofiles",
        "properties": {
            "controlPlaneProfile": {
                "kubernetesVersion": current,
                "osType": "Linux",
                "upgrades": upgrades_of(account, current, None),
            },
            "agentPoolProfiles": pools.collect::<Vec<_>>(),
        },
    })
}

/// The upgrade profile of a pool.
pub(super) fn pool_upgrades(
    account: &ArmAccount,
    cluster: &Value,
    pool: &Value,
    id: &ArmId,
) -> Value {
    let limit = json::text(cluster, "/properties/currentKubernetesVersion").and_then(parse);
    let running = json::text(pool, "/currentOrchestratorVersion").unwrap_or_default();
    json!({
        "id": format!("{id}/upgradeProfiles/default"),
        "name": "default",
        "type": "Microsoft.ContainerService/managedClusters/agentPools/upgradeProfiles",
        "properties": {
            "kubernetesVersion": running,
            "osType": "Linux",
            "upgrades": upgrades_of(account, running, limit),
            "latestNodeImageVersion": json::text(pool, "/nodeImageVersion"),
        },
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::sandbox::arm::test_client::{TestClient, cluster};

    #[test]
    fn upgrades_are_later_patches_and_the_next_minor_version() {
        let mut client = TestClient::new();
        let pool = json!({"name": "p", "count": 1, "vmSize": "Standard_D2s_v5", "mode": "System",
            "orchestratorVersion": "1.32.5"});
        client.make(
            &cluster("k"),
            json!({"location": "westeurope", "properties": {
                "kubernetesVersion": "1.33.4", "agentPoolProfiles": [pool]}}),
        );
        let mut upgrades = |path: &str, pointer: &str| -> Vec<String> {
            let body = client.get(&format!("{}{path}/upgradeProfiles/default", cluster("k"))).body;
            let listed = body.pointer(pointer).unwrap().as_array().unwrap().clone();
            let name =
                |it: &serde_json::Value| it["kubernetesVersion"].as_str().unwrap().to_owned();
            listed.iter().map(name).collect()
        };
        let control_plane = upgrades("", "/properties/controlPlaneProfile/upgrades");
        assert_eq!(control_plane.first().map(String::as_str), Some("1.33.5"));
        assert_eq!(control_plane.last().map(String::as_str), Some("1.34.5"));
        let pool = upgrades("/agentPools/p", "/properties/upgrades");
        assert_eq!(pool.last().map(String::as_str), Some("1.33.4"));
        assert_eq!(pool.len(), 5);
    }
}
