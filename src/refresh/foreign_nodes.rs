//! Nodes that neither AKS nor the topology made.

use super::Observation;
use super::cluster::NodeLists;
use crate::diagnostics::{Code, Failure};
use crate::inventory::ForeignNode;
use crate::plan::{Finding, FindingSeverity};
use crate::provider::cluster::NodeFacts;
use crate::resource::ownership::TOPOLOGY_LABEL;

/// Notes a Node of others. One that no topology made is a finding: its pods have no
/// routes.
pub(super) fn note(node: &NodeFacts, lists: &NodeLists, observation: &mut Observation) {
    let topology = node.labels.get(TOPOLOGY_LABEL).cloned();
    if topology.is_none() {
        observation.findings.push(unknown(&node.name));
    }
    observation.inventory.foreign_nodes.push(ForeignNode {
        name: node.name.clone(),
        pod_cidr: node.pod_cidr.or_else(|| lists.of_cilium(&node.name)),
        topology,
    });
}

fn unknown(name: &str) -> Finding {
    let failure = Failure::new(
        Code::UnknownNode,
        format!(
            "the Node {name} is neither one of AKS's nor a worker of the topology: its pods have no routes"
        ),
        format!(
            "add its machine to the topology as a worker, or run `kubectl delete node {name}` if \
             the machine is gone"
        ),
    );
    Finding::new(FindingSeverity::Warning, failure)
}
