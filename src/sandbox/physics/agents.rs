//! The agents that AKS sends to every node with its label: Cilium makes a
//! CiliumNode, without pod CIDRs.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::cluster::{CILIUM_NODE, CLUSTER_LABEL, Cluster, label, name, owner};
use super::nodes::{cilium_node, internal_ip};
use crate::sandbox::world::World;

pub(super) fn settle(world: &mut World, now: Timestamp) {
    let Some(store) = &mut world.kubernetes else { return };
    let cluster = &mut Cluster::new(store, now);
    let nodes = cluster.nodes();
    let names: BTreeSet<&str> = nodes.iter().map(name).collect();
    for known in cluster.all(CILIUM_NODE) {
        if !names.contains(name(&known)) {
            cluster.delete_node(name(&known));
        }
    }
    for node in &nodes {
        let named = name(node);
        let known = cluster.store.get(CILIUM_NODE.0, CILIUM_NODE.1, None, named).is_some();
        if known || label(node, CLUSTER_LABEL).is_none() {
            continue;
        }
        let address = internal_ip(node).map(|address| address.to_string()).unwrap_or_default();
        cluster.put(cilium_node(named, &address, &owner(node)));
    }
}
