//! AKS's own nodes and the pod CIDRs that Azure gave them.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::Observation;
use super::cluster::NodeLists;
use crate::desired::facts::{AksNode, ClusterFacts, NodeWithoutPodCidr};
use crate::desired::names;
use crate::diagnostics::{Code, Failure};
use crate::plan::{Finding, FindingSeverity};
use crate::provider::cluster::NodeFacts;
use crate::resource::azure::NextHop;
use crate::resource::{Kind, ObjectKey, Resource};

/// The label with the pool of a node; nodes that AKS provisions outside of pools
/// have none.
const AGENT_POOL_LABEL: &str = "kubernetes.azure.com/agentpool";
/// The prefix of the provider IDs of Azure's machines.
const AZURE_PROVIDER: &str = "azure://";

/// Whether a Node is AKS's own. Each of the three signs may be missing.
pub(super) fn is_one(node: &NodeFacts, lists: &NodeLists) -> bool {
    let by_azure = |id: &String| id.to_ascii_lowercase().starts_with(AZURE_PROVIDER);
    node.labels.contains_key(AGENT_POOL_LABEL)
        || lists.network_configs.as_ref().is_some_and(|it| it.contains_key(&node.name))
        || node.provider_id.as_ref().is_some_and(by_azure)
}

/// Adds an AKS node with its pod CIDR to the inventory.
///
/// Azure assigns pod CIDRs and records them in NodeNetworkConfigs. A node whose
/// NodeNetworkConfig is missing or unreadable keeps its routes: they were written from it,
/// and a node keeps its range for life. The CiliumNode is used only if there is neither.
pub(super) fn note(node: &NodeFacts, lists: &NodeLists, observation: &mut Observation) {
    let name = &node.name;
    let of_cilium = lists.of_cilium(name);
    let configs = lists.network_configs.as_ref();
    let known = configs.and_then(|it| it.get(name)).copied();
    // Without Azure's allocator, Cilium's is the one that knows.
    let known = known.or(of_cilium.filter(|_| configs.is_some_and(BTreeMap::is_empty)));
    let remembered = || remembered(node.internal_ip?, observation);
    let pod_cidr = known.or_else(remembered).or(of_cilium);
    if let (Some(address), Some(pod_cidr)) = (node.internal_ip, pod_cidr) {
        let name = name.clone();
        let pool = node.labels.get(AGENT_POOL_LABEL).cloned();
        observation.facts.nodes.push(AksNode { name, address, pod_cidr, pool });
    } else {
        let address = node.internal_ip;
        observation
            .facts
            .nodes_without_pod_cidr
            .push(NodeWithoutPodCidr { name: name.clone(), address });
    }
    // One gap says that the list of all configurations could not be read.
    let is_reported = configs.is_none() && pod_cidr.is_some();
    if node.internal_ip.is_none() || (known.is_none() && !is_reported) {
        warn(node, pod_cidr, observation);
    }
}

fn warn(node: &NodeFacts, pod_cidr: Option<Ipv4Net>, observation: &mut Observation) {
    let name = &node.name;
    let message = match (node.internal_ip, pod_cidr) {
        (None, _) => format!("the AKS node {name} has no IPv4 address of the type InternalIP yet"),
        (_, Some(range)) => format!(
            "Azure does not report the pod CIDR of AKS node {name}: its route to {range} is kept"
        ),
        (_, None) => format!("the pod CIDR of AKS node {name} is not known yet"),
    };
    let remedy = "wait until Azure has assigned one (`kubectl get nodenetworkconfigs -A`), then \
                  run the same command again";
    let failure = Failure::new(Code::SourceGap, message, remedy);
    observation.findings.push(Finding::new(FindingSeverity::Warning, failure));
}

/// The one range that the live route table of the AKS router's subnet sends to a node.
fn remembered(node: Ipv4Addr, observation: &Observation) -> Option<Ipv4Net> {
    let cluster = observation.facts.cluster.as_ref()?;
    let key = router_table(cluster);
    let Resource::RouteTable(table) = &observation.inventory.get(&key)?.resource else {
        return None;
    };
    let routes = table.routes.known()?.iter();
    let mut ranges = routes.filter(|(_, hop)| **hop == NextHop::Appliance(node)).map(|it| *it.0);
    let range = ranges.next()?;
    ranges.next().is_none().then_some(range)
}

fn router_table(cluster: &ClusterFacts) -> ObjectKey {
    let group = cluster.network_group();
    ObjectKey::Azure(group.in_group(Kind::RouteTable.arm_type(), names::ROUTER_ROUTE_TABLE))
}
