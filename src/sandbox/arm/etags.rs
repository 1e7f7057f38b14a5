//! Etags and provisioning states, in a body and in those of its children.

use http::HeaderMap;
use http::header::{IF_MATCH, IF_NONE_MATCH};
use serde_json::{Value, json};

use super::errors::ArmError;
use super::json;
use super::kind::{ChildKind, Kind, Provider};
use crate::resource::ArmId;

/// How a provider writes etags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Style {
    /// A weak one that all children carry too: writing one of them changes the
    /// parent's.
    Network,
    /// The number of the write, in quotes.
    Compute,
    /// A bare GUID, under a name with a capital, in the cluster and its pools.
    Aks,
}

impl Style {
    fn of(kind: Kind) -> Option<Self> {
        match kind.provider() {
            Provider::Network => Some(Self::Network),
            Provider::Compute if kind == Kind::VirtualMachine => Some(Self::Compute),
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

/// Gives a body a new etag, and its children theirs.
pub(super) fn stamp(kind: Kind, body: &mut Value, guid: &mut dyn FnMut() -> String) {
    let Some(style) = Style::of(kind) else { return };
    let etag = json!(match style {
        Style::Network => format!("W/\"{}\"", guid()),
        Style::Compute => format!("\"{}\"", number(body) + 1),
        Style::Aks => guid(),
    });
    for child in kind.children() {
        for value in json::items_mut(body, &child.pointer()) {
            json::set(value, &[style.member()], etag.clone());
        }
    }
    json::set(body, &[style.member()], etag);
}

/// Gives a body its new etag at the end of an operation, where one comes: an
/// interface's and a machine's stay what they were when it began.
pub(super) fn stamp_end(kind: Kind, body: &mut Value, guid: &mut dyn FnMut() -> String) {
    if !matches!(kind, Kind::NetworkInterface | Kind::VirtualMachine) {
        stamp(kind, body, guid);
    }
}

/// Puts what an etag goes on from in place of what the client sent.
pub(super) fn keep(kind: Kind, body: &mut Value, old: Option<&Value>) {
    let Some(style) = Style::of(kind) else { return };
    json::take(body, &[style.member()]);
    json::carry(body, old, &[style.member()]);
}

/// How often a body was written, by its etag.
fn number(body: &Value) -> u64 {
    json::text(body, "/etag").and_then(|etag| bare(etag).parse().ok()).unwrap_or_default()
}

/// Sets the state of an object and of all its children, or of one child only.
pub(super) fn set_state(kind: Kind, body: &mut Value, state: &str, only: Option<&str>) {
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

/// The state of an object or of a child, as its own body has it.
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

/// Holds the request's conditions against what is there.
pub(super) fn check(
    headers: &HeaderMap,
    id: &ArmId,
    present: Option<&Value>,
) -> Result<(), ArmError> {
    let none_match = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    if none_match == Some("*") && present.is_some() {
        return Err(ArmError::already_there(id));
    }
    let Some(asked) = headers.get(IF_MATCH).and_then(|value| value.to_str().ok()) else {
        return Ok(());
    };
    let Some(present) = present else {
        return Err(ArmError::etag_mismatch(asked, "(none)"));
    };
    match json::text(present, "/etag").or_else(|| json::text(present, "/eTag")) {
        // What has no etag cannot be held against one.
        None => Ok(()),
        Some(_) if asked == "*" => Ok(()),
        Some(etag) if bare(etag) == bare(asked) => Ok(()),
        Some(etag) => Err(ArmError::etag_mismatch(asked, etag)),
    }
}

/// Without the mark of weakness and the quotes, which clients send or leave out.
fn bare(etag: &str) -> &str {
    etag.trim_start_matches("W/").trim_matches('"')
}

#[cfg(test)]
mod tests {
    use http::Method;
    use serde_json::{Value, json};

    use crate::sandbox::arm::testing::{Driver, cluster, compute, network};

    fn tagged(driver: &mut Driver, path: &str, etag: &str) -> (u16, Value) {
        let tags = Some(json!({"tags": {"a": etag}}));
        let reply = driver.call(Method::PATCH, path, &[("if-match", etag)], tags);
        driver.get(path);
        driver.get(path);
        (reply.status.as_u16(), reply.body)
    }

    #[test]
    fn a_machine_counts_its_writes() {
        let mut driver = Driver::new();
        driver.make_network();
        driver.make(&network("networkInterfaces/i"), Driver::interface(None));
        let path = compute("virtualMachines/m");
        let mut body = Driver::machine("i");
        body["etag"] = json!("\"41\"");
        driver.make(&path, body.clone());
        let read = driver.get(&path);
        // Neither what a client writes nor the end of an operation changes it.
        assert_eq!(read.body["etag"], "\"1\"");
        assert_eq!(read.header("etag"), Some("\"1\""));
        assert_eq!(tagged(&mut driver, &path, "\"1\"").0, 200);
        let (status, refusal) = tagged(&mut driver, &path, "\"1\"");
        assert_eq!((status, &refusal["error"]["code"]), (412, &json!("PreconditionFailed")));
        assert_eq!(driver.make(&path, body)["etag"], "\"3\"");
    }

    #[test]
    fn a_cluster_and_its_pools_have_etags_of_their_own_kind() {
        let mut driver = Driver::new();
        let path = cluster("k");
        let pools = json!([{"name": "p", "mode": "System"}]);
        driver.make(
            &path,
            json!({"location": "westeurope", "properties": {"agentPoolProfiles": pools}}),
        );
        let read = driver.get(&path).body;
        let etag = read["eTag"].as_str().unwrap().to_owned();
        assert!(read.get("etag").is_none() && !etag.contains('"'));
        let pool = driver.get(&format!("{path}/agentPools/p")).body;
        assert!(pool["properties"]["eTag"].is_string());
        assert_eq!(tagged(&mut driver, &path, &etag).0, 200);
        assert_eq!(tagged(&mut driver, &path, &etag).0, 412);
    }
}
