//! Etags and provisioning states of objects and their children.

use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use serde_json::{Value, json};

use super::errors::ArmError;
use super::json;
use super::kind::{ArmKind, ChildKind, Provider};
use crate::resource::ArmId;

/// How a provider writes etags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum EtagFormat {
    /// A weak etag that all children share: writing a child changes the parent's etag.
    Network,
    /// The number of the write, in quotes.
    Compute,
    /// A bare GUID in the capitalised member `eTag` of the cluster and its pools.
    Aks,
}

impl EtagFormat {
    fn of(kind: ArmKind) -> Option<Self> {
        match kind.provider() {
            Provider::Network => Some(Self::Network),
            Provider::Compute if kind == ArmKind::VirtualMachine => Some(Self::Compute),
            Provider::ContainerService => Some(Self::Aks),
            _ => None,
        }
    }

    fn member(self) -> &'static str {
        match self {
            Self::Aks => "eTag",
            _ => "etag",
        }
    }
}

/// Gives a body and its children a new etag.
pub(super) fn stamp(kind: ArmKind, body: &mut Value, guid: &mut dyn FnMut() -> String) {
    let Some(style) = EtagFormat::of(kind) else { return };
    let etag = json!(match style {
        EtagFormat::Network => format!("W/\"{}\"", guid()),
        EtagFormat::Compute => format!("\"{}\"", number(body) + 1),
        EtagFormat::Aks => guid(),
    });
    for child in kind.children() {
        for value in json::items_mut(body, &child.pointer()) {
            json::set(value, &[style.member()], etag.clone());
        }
    }
    json::set(body, &[style.member()], etag);
}

/// Gives a body its new etag at the end of an operation. Interfaces and VMs keep the etag from the
/// start of the operation.
pub(super) fn stamp_end(kind: ArmKind, body: &mut Value, guid: &mut dyn FnMut() -> String) {
    if !matches!(kind, ArmKind::NetworkInterface | ArmKind::VirtualMachine) {
        stamp(kind, body, guid);
    }
}

/// Replaces the etag that the client sent by the stored one.
pub(super) fn preserve(kind: ArmKind, body: &mut Value, old: Option<&Value>) {
    let Some(style) = EtagFormat::of(kind) else { return };
    json::take(body, &[style.member()]);
    json::copy_from(body, old, &[style.member()]);
}

/// The number of writes of a body, read from its etag.
fn number(body: &Value) -> u64 {
    json::text(body, "/etag").and_then(|etag| strip_etag(etag).parse().ok()).unwrap_or_default()
}

/// Sets the provisioning state of an object and all its children, or of one child only.
pub(super) fn set_state(kind: ArmKind, body: &mut Value, state: &str, only: Option<&str>) {
    json::set(body, &["properties", "provisioningState"], json!(state));
    for child in kind.children() {
        for value in json::items_mut(body, &child.pointer()) {
            let name = json::text(value, "/name").unwrap_or_default();
            if *child == ChildKind::DefaultRule
                || only.is_some_and(|only| !only.eq_ignore_ascii_case(name))
            {
                continue;
            }
            json::set(value, state_path(*child), json!(state));
        }
    }
}

/// The provisioning state in the body of an object or child.
pub(super) fn state(body: &Value) -> &str {
    json::text(body, "/properties/provisioningState")
        .or_else(|| json::text(body, "/provisioningState"))
        .unwrap_or("Succeeded")
}

fn state_path(child: ChildKind) -> &'static [&'static str] {
    match child {
        ChildKind::AgentPool => &["provisioningState"],
        _ => &["properties", "provisioningState"],
    }
}

/// Evaluates the conditional headers of a request against the stored etag.
pub(super) fn check(
    headers: &HeaderMap,
    id: &ArmId,
    present: Option<&Value>,
) -> Result<(), ArmError> {
    let none_match = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if none_match == Some("*") && present.is_some() && documents_none_match(id) {
        return Err(ArmError::already_there(id));
    }
    let Some(requested) = headers.get(IF_MATCH).and_then(|value| value.to_str().ok()) else {
        return Ok(());
    };
    let Some(present) = present else {
        return Err(ArmError::etag_mismatch(requested, "(none)"));
    };
    match json::text(present, "/etag").or_else(|| json::text(present, "/eTag")) {
        // A body without an etag meets every condition.
        None => Ok(()),
        Some(_) if requested == "*" => Ok(()),
        Some(etag) if strip_etag(etag) == strip_etag(requested) => Ok(()),
        Some(etag) => Err(ArmError::etag_mismatch(requested, etag)),
    }
}

/// Types whose specification documents `If-None-Match` for a PUT, in small letters; the others
/// ignore it. Read in Azure/azure-rest-api-specs: `managedClusters.json` of 2025-05-01 (of its
/// other types, maintenance configurations and snapshots have none) and `virtualMachine.json` of
/// 2024-07-01.
const WITH_NONE_MATCH: [&str; 3] = [
    "microsoft.containerservice/managedclusters",
    "microsoft.containerservice/managedclusters/agentpools",
    "microsoft.compute/virtualmachines",
];

fn documents_none_match(id: &ArmId) -> bool {
    let name = id.resource_type().unwrap_or_default().to_ascii_lowercase();
    WITH_NONE_MATCH.contains(&name.as_str())
}

/// The etag without the weakness prefix and quotes, which clients may omit.
fn strip_etag(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::resource::{Kind, Service};
    use crate::sandbox::arm::test_client::{TestClient, cluster, compute, network};

    fn tagged(client: &mut TestClient, path: &str, etag: &str) -> (u16, Value) {
        let tags = Some(json!({"tags": {"a": etag}}));
        let reply = client.call(Method::PATCH, path, &[("if-match", etag)], tags);
        client.get(path);
        client.get(path);
        (reply.status.as_u16(), reply.body)
    }

    #[test]
    fn the_etag_of_a_vm_counts_its_writes() {
        let mut client = TestClient::new();
        client.make_network();
        client.make(&network("networkInterfaces/i"), TestClient::interface(None));
        let path = compute("virtualMachines/m");
        let mut body = TestClient::machine("i");
        body["etag"] = json!("\"41\"");
        client.make(&path, body.clone());
        let read = client.get(&path);
        // The etag changes neither with a client's write nor at the end of an operation.
        assert_eq!(read.body["etag"], "\"1\"");
        assert_eq!(read.header("etag"), Some("\"1\""));
        assert_eq!(tagged(&mut client, &path, "\"1\"").0, 200);
        let (status, refusal) = tagged(&mut client, &path, "\"1\"");
        assert_eq!((status, &refusal["error"]["code"]), (412, &json!("PreconditionFailed")));
        assert_eq!(client.make(&path, body)["etag"], "\"3\"");
    }

    #[test]
    fn the_condition_is_sent_where_the_service_checks_it() {
        for kind in
            Kind::ALL.iter().filter(|kind| matches!(kind.facts().service, Service::Azure(_)))
        {
            let name = kind.arm_type().to_ascii_lowercase();
            let is_checked = super::WITH_NONE_MATCH.contains(&name.as_str());
            assert_eq!(kind.facts().conditional_creation.is_some(), is_checked, "{kind}");
        }
    }

    /// Azure's specifications document `If-None-Match` for clusters, pools and VMs only.
    #[test]
    fn a_cluster_is_created_once_by_a_conditional_put() {
        let mut client = TestClient::new();
        let path = cluster("k");
        let pools = json!([{"name": "p", "mode": "System"}]);
        let body = json!({"location": "westeurope", "properties": {"agentPoolProfiles": pools}});
        let created =
            client.call(Method::PUT, &path, &[("if-none-match", "*")], Some(body.clone()));
        assert_eq!(created.status.as_u16(), 201);
        let repeated = client.call(Method::PUT, &path, &[("if-none-match", "*")], Some(body));
        assert_eq!(repeated.status.as_u16(), 412);
    }

    #[test]
    fn clusters_and_pools_have_guid_etags() {
        let mut client = TestClient::new();
        let path = cluster("k");
        let pools = json!([{"name": "p", "mode": "System"}]);
        client.make(
            &path,
            json!({"location": "westeurope", "properties": {"agentPoolProfiles": pools}}),
        );
        let read = client.get(&path).body;
        let etag = read["eTag"].as_str().unwrap().to_owned();
        assert!(read.get("etag").is_none() && !etag.contains('"'));
        let pool = client.get(&format!("{path}/agentPools/p")).body;
        assert!(pool["properties"]["eTag"].is_string());
        assert_eq!(tagged(&mut client, &path, &etag).0, 200);
        assert_eq!(tagged(&mut client, &path, &etag).0, 412);
    }
}
