//! Why workers cannot join a cluster, reason by reason.

use serde_json::Value;

use super::{Observation, Scope};
use crate::diagnostics::{Code, Failure};
use crate::inventory::Source;
use crate::plan::{Finding, FindingSeverity};
use crate::resource::ArmId;

/// The settings of a cluster that rule out workers outside of Azure, each with its remedy
/// (*Upgrade Azure CNI IPAM modes and data plane technology*; *Configure dual-stack networking
/// in AKS*; *Bring your own CNI*).
pub(super) fn reasons(id: &ArmId, cluster: &Value) -> Vec<Failure> {
    let Some(network) = cluster.pointer("/properties/networkProfile") else { return Vec::new() };
    let text = |name: &str| network.get(name).and_then(Value::as_str).unwrap_or_default();
    let is = |name: &str, expected: &str| text(name).eq_ignore_ascii_case(expected);
    let update = |options: &str| {
        let group = id.resource_group_name().unwrap_or_default();
        format!("az aks update --resource-group '{group}' --name {} {options}", id.name())
    };
    let mut reasons = Vec::new();
    if is("networkPlugin", "none") {
        reasons.push(unsupported(
            id,
            "has no network plugin of AKS (bring your own CNI): nothing assigns the pod CIDRs of \
             its nodes that routers advertise",
            "AKS cannot change this: create a cluster with `az aks create --network-plugin azure \
             --network-plugin-mode overlay --network-dataplane cilium`",
        ));
    } else if pod_subnets(cluster) {
        reasons.push(unsupported(
            id,
            "gives pods addresses of a subnet of the VNet (Azure CNI pod subnet) instead of an \
             overlay",
            "AKS cannot change this: create a cluster with `az aks create --network-plugin azure \
             --network-plugin-mode overlay --network-dataplane cilium`",
        ));
    } else if !is("networkPluginMode", "overlay") {
        let plugin = if is("networkPlugin", "kubenet") { "kubenet" } else { "Azure CNI" };
        let command =
            update("--network-plugin azure --network-plugin-mode overlay --pod-cidr POD_CIDR");
        reasons.push(unsupported(
            id,
            &format!("runs {plugin} without the overlay: its nodes have no pod CIDR of their own"),
            &format!(
                "have its owner run `{command}`, and then `{}`",
                update("--network-dataplane cilium")
            ),
        ));
    } else if !is("networkDataplane", "cilium") {
        reasons.push(unsupported(
            id,
            "does not run the Cilium data plane",
            &format!("have its owner run `{}`", update("--network-dataplane cilium")),
        ));
    }
    let families = network.get("ipFamilies").and_then(Value::as_array).into_iter().flatten();
    if families.filter_map(Value::as_str).any(|family| family.eq_ignore_ascii_case("IPv6")) {
        reasons.push(unsupported(
            id,
            "is dual-stack: stargate connects IPv4 alone, and pods would not reach the IPv6 \
             addresses of workers' pods",
            "use a cluster that was created with `az aks create --ip-families ipv4`",
        ));
    }
    reasons
}

fn pod_subnets(cluster: &Value) -> bool {
    let pools = cluster.pointer("/properties/agentPoolProfiles").and_then(Value::as_array);
    let has_subnet = |pool: &Value| pool.get("podSubnetID").is_some_and(Value::is_string);
    pools.is_some_and(|pools| pools.iter().any(has_subnet))
}

fn unsupported(id: &ArmId, reason: &str, remedy: &str) -> Failure {
    let message = format!("the AKS cluster {} {reason}", id.name());
    Failure::new(Code::ClusterUnsupported, message, remedy)
}

/// Notes a cluster that is stopped: its control plane does not answer, and its nodes do not
/// run. Only a destroy goes on without it.
pub(super) fn note_stopped(scope: &Scope<'_>, observation: &mut Observation) {
    let failure = stopped(&scope.cluster_id());
    if scope.options.destroy {
        observation.gap(Source::Kubernetes, failure);
        return;
    }
    observation.findings.push(Finding::new(FindingSeverity::Error, failure.clone()));
    observation.explained_gap(Source::Kubernetes, failure);
}

fn stopped(id: &ArmId) -> Failure {
    Failure::new(
        Code::ClusterStopped,
        format!("the AKS cluster {} is stopped", id.name()),
        format!(
            "run `az aks start --resource-group '{}' --name {}`, then the same command again",
            id.resource_group_name().unwrap_or_default(),
            id.name()
        ),
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_unsuitable_setting_is_a_reason() {
        let id = ArmId::resource_group("s", "g")
            .in_group("Microsoft.ContainerService/managedClusters", "k");
        let good = json!({ "networkPlugin": "azure", "networkPluginMode": "Overlay",
            "networkDataplane": "Cilium", "ipFamilies": ["IPv4"] });
        let with = |name: &str, value: Value| {
            let mut network = good.clone();
            network[name] = value;
            let body = json!({ "properties": { "networkProfile": network } });
            reasons(&id, &body).into_iter().map(|it| it.to_string() + &it.remedy).collect()
        };
        let none: Vec<String> = with("podCidr", json!("10.0.0.0/8"));
        assert_eq!(none, Vec::<String>::new());
        for (name, value, part) in [
            ("networkPlugin", json!("none"), "bring your own CNI"),
            ("networkPluginMode", json!(null), "runs Azure CNI without the overlay"),
            ("networkDataplane", json!("azure"), "--network-dataplane cilium"),
            ("ipFamilies", json!(["IPv4", "IPv6"]), "dual-stack"),
        ] {
            let found: Vec<String> = with(name, value);
            assert!(found.len() == 1 && found[0].contains(part), "{found:?}");
        }
        let body = json!({ "properties": { "networkProfile": good,
            "agentPoolProfiles": [{ "podSubnetID": "/subscriptions/s" }] } });
        assert!(reasons(&id, &body)[0].message.contains("pod subnet"));
    }
}
