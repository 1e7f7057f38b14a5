//! The network and version of an AKS cluster, which everything else depends on.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::Deserialize;
use serde_json::Value;

use super::DecodeError;
use super::fields::{address, missing, prefix, read};
use crate::resource::ArmId;
use crate::resource::settings::SupportPlan;
use crate::resource::version::KubernetesVersion;

const WHAT: &str = "AKS cluster";

/// The network and the version of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterProfile {
    /// The group that AKS made for nodes and network.
    pub node_resource_group: String,
    /// The subnet of each pool; empty if AKS made the network itself.
    pub pool_subnets: Vec<ArmId>,
    /// The range of all pods.
    pub pod_cidr: Ipv4Net,
    /// The range of services.
    pub service_cidr: Ipv4Net,
    /// The address of the cluster's DNS.
    pub dns_service_ip: Ipv4Addr,
    /// The version that the control plane runs.
    pub version: KubernetesVersion,
    /// The support plan; `None` if AKS names none that is known.
    pub support_plan: Option<SupportPlan>,
    /// The name in the API server's certificate.
    pub fqdn: String,
    /// Whether the API server has no public address.
    pub private: bool,
    /// Whether its name is in public DNS, also that of a private API server.
    pub has_public_name: bool,
    /// The addresses that may reach the API server; empty for all.
    pub authorized_ranges: Vec<String>,
    /// Whether its control plane and its nodes are stopped.
    pub stopped: bool,
    /// Whether only AKS may change its node resource group.
    pub node_group_locked: bool,
}

#[derive(Deserialize)]
struct Body {
    properties: Option<Properties>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Properties {
    node_resource_group: Option<String>,
    agent_pool_profiles: Option<Vec<Pool>>,
    network_profile: Option<Network>,
    current_kubernetes_version: Option<String>,
    kubernetes_version: Option<String>,
    support_plan: Option<String>,
    fqdn: Option<String>,
    #[serde(rename = "privateFQDN")]
    private_fqdn: Option<String>,
    api_server_access_profile: Option<ApiServer>,
    node_resource_group_profile: Option<NodeGroup>,
    power_state: Option<PowerState>,
}

#[derive(Deserialize)]
struct PowerState {
    code: Option<String>,
}

#[derive(Deserialize)]
struct Pool {
    #[serde(rename = "vnetSubnetID")]
    subnet: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Network {
    pod_cidr: Option<String>,
    service_cidr: Option<String>,
    #[serde(rename = "dnsServiceIP")]
    dns_service_ip: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiServer {
    enable_private_cluster: Option<bool>,
    #[serde(rename = "authorizedIPRanges")]
    authorized_ip_ranges: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NodeGroup {
    restriction_level: Option<String>,
}

/// The state of the last operation on a cluster, in a response of ARM.
pub fn provisioning_state(body: &Value) -> Option<&str> {
    body.pointer("/properties/provisioningState").and_then(Value::as_str)
}

/// Decodes a response of ARM.
///
/// # Errors
///
/// A field is missing or malformed. No default takes its place: workers are configured with
/// these values, and routes are computed from them.
pub fn decode(body: &Value) -> Result<ClusterProfile, DecodeError> {
    let Body { properties } = read(WHAT, body)?;
    let properties = properties.ok_or_else(|| missing(WHAT, "properties"))?;
    let network = properties.network_profile;
    let network = network.ok_or_else(|| missing(WHAT, "properties.networkProfile"))?;
    let is = |text: Option<&String>, desired: &str| {
        text.is_some_and(|text| text.eq_ignore_ascii_case(desired))
    };
    let (private, authorized_ranges) = match properties.api_server_access_profile {
        Some(profile) => (
            profile.enable_private_cluster.unwrap_or(false),
            profile.authorized_ip_ranges.unwrap_or_default(),
        ),
        None => (false, Vec::new()),
    };
    let public_name = non_empty(properties.fqdn);
    Ok(ClusterProfile {
        node_resource_group: required_text("nodeResourceGroup", properties.node_resource_group)?,
        pool_subnets: pool_subnets(properties.agent_pool_profiles)?,
        pod_cidr: range("networkProfile.podCidr", network.pod_cidr)?,
        service_cidr: range("networkProfile.serviceCidr", network.service_cidr)?,
        dns_service_ip: dns(network.dns_service_ip)?,
        version: version(properties.current_kubernetes_version.or(properties.kubernetes_version))?,
        support_plan: properties.support_plan.as_deref().and_then(SupportPlan::parse),
        // A private cluster may have no public name.
        has_public_name: public_name.is_some(),
        fqdn: required_text("fqdn", public_name.or(non_empty(properties.private_fqdn)))?,
        private,
        authorized_ranges,
        stopped: is(properties.power_state.and_then(|state| state.code).as_ref(), "Stopped"),
        node_group_locked: is(
            properties.node_resource_group_profile.and_then(|it| it.restriction_level).as_ref(),
            "ReadOnly",
        ),
    })
}

fn non_empty(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

fn required_text(field: &str, text: Option<String>) -> Result<String, DecodeError> {
    non_empty(text).ok_or_else(|| missing(WHAT, &format!("properties.{field}")))
}

/// Either every pool names its subnet, or AKS made the network and none does.
fn pool_subnets(pools: Option<Vec<Pool>>) -> Result<Vec<ArmId>, DecodeError> {
    let pools = pools.ok_or_else(|| missing(WHAT, "properties.agentPoolProfiles"))?;
    let count = pools.len();
    let subnets: Vec<ArmId> =
        pools.into_iter().filter_map(|pool| non_empty(pool.subnet)).map(ArmId::new).collect();
    if subnets.is_empty() || subnets.len() == count {
        return Ok(subnets);
    }
    Err(missing(WHAT, "properties.agentPoolProfiles.vnetSubnetID"))
}

fn range(field: &str, text: Option<String>) -> Result<Ipv4Net, DecodeError> {
    prefix(WHAT, field, &required_text(field, text)?)
}

fn dns(text: Option<String>) -> Result<Ipv4Addr, DecodeError> {
    const FIELD: &str = "networkProfile.dnsServiceIP";
    address(WHAT, FIELD, &required_text(FIELD, text)?)
}

fn version(text: Option<String>) -> Result<KubernetesVersion, DecodeError> {
    const FIELD: &str = "kubernetesVersion";
    let text = required_text(FIELD, text)?;
    text.parse().map_err(|error: crate::resource::version::InvalidVersion| DecodeError {
        what: WHAT,
        field: format!("properties.{FIELD}"),
        reason: error.to_string(),
    })
}
