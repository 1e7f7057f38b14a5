//! The pairs of nodes that carry the packets of their pods.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;
use jiff::Timestamp;

use super::fabric::EmulatedFabric;
use super::forward::{Pod, pod_cidr_of};
use crate::sandbox::controllers::cluster::{NODE, name};
use crate::sandbox::state::SandboxState;

const PORT: u16 = 8_080;

impl SandboxState {
    /// The ordered pairs of nodes of which pods of the first connect to pods of the second.
    pub fn connected_nodes(&self, now: Timestamp) -> BTreeSet<(String, String)> {
        let fabric = EmulatedFabric::of(self, now);
        let nodes = self.kubernetes.iter().flat_map(|store| store.list(NODE.0, NODE.1, None));
        let pod = |node| {
            let range = pod_range(&fabric, node)?;
            Some(Pod { node, address: range.hosts().nth(4)? })
        };
        let pods: Vec<Pod<'_>> = nodes.filter_map(|node| pod(name(node))).collect();
        let mut connected = BTreeSet::new();
        for from in &pods {
            for to in pods.iter().filter(|to| to.node != from.node) {
                if fabric.connects(*from, *to, PORT) {
                    connected.insert((from.node.to_owned(), to.node.to_owned()));
                }
            }
        }
        connected
    }
}

fn pod_range(fabric: &EmulatedFabric<'_>, node: &str) -> Option<Ipv4Net> {
    match fabric.machine_of(node) {
        Some(host) => pod_cidr_of(host),
        None => fabric.aks.get(node)?.pods,
    }
}
