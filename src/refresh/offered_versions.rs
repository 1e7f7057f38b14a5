//! The Kubernetes versions that AKS offers, read if the cluster is created or upgraded.

use std::collections::BTreeSet;

use serde_json::Value;

use super::cluster_facts::ClusterResponse;
use super::single::get_printable;
use super::{Observation, Scope};
use crate::desired::{OfferedMinor, OfferedVersions};
use crate::diagnostics::Failure;
use crate::plan::{Finding, FindingSeverity};
use crate::provider::clients::ReadClients;
use crate::provider::error::RequestError;
use crate::resource::{Api, ArmId};

/// The versions on offer; `None` if the plan needs none.
pub(super) async fn read(
    clients: &ReadClients,
    cluster: &ClusterResponse,
    scope: &Scope<'_>,
) -> Result<Option<OfferedVersions>, RequestError> {
    let desired = scope.topology.cluster.kubernetes_version;
    let is_needed = match cluster {
        ClusterResponse::Facts(facts) => desired.is_newer_than(facts.version),
        ClusterResponse::NotYet { exists } => !exists,
        ClusterResponse::Unknown(_) | ClusterResponse::Unsupported(_) => false,
    };
    if scope.topology.cluster.existing || scope.options.destroy || !is_needed {
        return Ok(None);
    }
    let id = ArmId::new(format!(
        "/subscriptions/{}/providers/Microsoft.ContainerService/locations/{}/kubernetesVersions",
        scope.subscription, scope.topology.azure.location
    ));
    let body = get_printable(clients, &id).await?.unwrap_or_default();
    decode(&body).map(Some).map_err(|reason| RequestError::Malformed {
        api: Api::Azure,
        activity: format!("GET {id}"),
        reason,
    })
}

/// Notes the versions on offer. Without an answer, AKS itself refuses a version that it does
/// not offer, and chooses the patch.
pub(super) fn note(
    offered: Result<Option<OfferedVersions>, RequestError>,
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    match offered {
        Ok(versions) => observation.facts.offered_versions = versions,
        Err(error) => {
            let message = format!(
                "it is unknown whether AKS offers Kubernetes {} in {}, and which patches: AKS \
                 refuses a version that it does not offer, and chooses the patch",
                scope.topology.cluster.kubernetes_version, scope.topology.azure.location
            );
            let failure = Failure::from(&error).within(&message);
            observation.findings.push(Finding::new(FindingSeverity::Warning, failure));
        }
    }
}

/// `values` is a list of minor versions, each with its patches by their full versions
/// (*Managed Clusters - List Kubernetes Versions*). A list without versions would refuse every
/// version, and one without an entry that cannot be decoded would refuse that.
fn decode(response: &Value) -> Result<OfferedVersions, String> {
    let values = response.get("values").and_then(Value::as_array).ok_or("it has no `values`")?;
    let minors: Vec<OfferedMinor> = values.iter().map(decode_minor).collect::<Result<_, _>>()?;
    let minors: Vec<_> = minors.into_iter().filter(|it| !it.patches.is_empty()).collect();
    match minors.is_empty() {
        true => Err("it lists no version".to_owned()),
        false => Ok(OfferedVersions { minors }),
    }
}

fn decode_minor(minor: &Value) -> Result<OfferedMinor, String> {
    let patches = minor.get("patchVersions").and_then(Value::as_object);
    let patches = patches.ok_or("an entry of `values` has no `patchVersions`")?;
    let parse = |text: &String| {
        text.parse().map_err(|_| format!("`patchVersions` has `{text}`, which is no version"))
    };
    let patches: BTreeSet<_> = patches.keys().map(parse).collect::<Result<_, _>>()?;
    let plans = minor.pointer("/capabilities/supportPlan").and_then(Value::as_array);
    let plans = plans.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let is_preview = minor["isPreview"] == true;
    Ok(OfferedMinor { patches, plans: plans.collect(), is_preview })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn minor_versions_are_decoded_with_their_plans() {
        let response = json!({ "values": [
            { "version": "1.34", "patchVersions": { "1.34.2": {}, "1.34.10": {} },
              "capabilities": { "supportPlan": ["AKSLongTermSupport"] } },
            { "version": "1.35", "isPreview": true, "patchVersions": { "1.35.0": {} } },
        ]});
        let versions = decode(&response).unwrap();
        let [released, preview] = versions.minors.as_slice() else { panic!("{versions:?}") };
        assert_eq!(released.patches.len(), 2);
        assert!(released.plans.contains("AKSLongTermSupport") && !released.is_preview);
        assert!(preview.plans.is_empty() && preview.is_preview);
        assert_eq!(versions.newest_patch("1.34".parse().unwrap()), "1.34.10".parse().ok());
    }

    #[test]
    fn undecodable_responses_are_errors() {
        for unusable in [
            json!(null),
            json!({ "error": {} }),
            json!({ "values": [] }),
            json!({ "values": [{ "version": "1.34", "patchVersions": {} }] }),
            json!({ "values": [{ "version": "1.34" }, { "patchVersions": { "1.35.0": {} } }] }),
            json!({ "values": [{ "patchVersions": { "latest": {}, "1.35.0": {} } }] }),
        ] {
            assert!(decode(&unusable).is_err(), "{unusable}");
        }
    }
}
