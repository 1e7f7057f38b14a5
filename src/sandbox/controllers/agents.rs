//! The agents that AKS sends to every node with its label: Cilium makes a
//! CiliumNode, without pod CIDRs.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::cluster::{CILIUM_NODE, CLUSTER_LABEL, Cluster, NODE, label, name, owner};
use super::nodes::{cilium_node, internal_ip};
use super::reconciled::Since;
use crate::sandbox::kubernetes::KubernetesStore;
use crate::sandbox::world::World;

pub(super) fn reconcile(world: &mut World, since: Since, now: Timestamp) {
    let Some(store) = &mut world.kubernetes else { return };
    for named in concerned(store, since) {
        bring(&mut Cluster::new(store, now), &named);
    }
}

/// The Nodes that are new or have another CiliumNode.
fn concerned(store: &KubernetesStore, since: Since) -> BTreeSet<String> {
    let kinds = [NODE, CILIUM_NODE];
    let news: Option<Vec<_>> = kinds.iter().map(|kind| since.news(store, *kind)).collect();
    match news {
        Some(news) => {
            let last = news.iter().flatten().filter_map(|news| news.last());
            last.map(|object| name(object).to_owned()).collect()
        }
        None => {
            let all = kinds.iter().flat_map(|kind| store.list(kind.0, kind.1, None));
            all.map(|object| name(object).to_owned()).collect()
        }
    }
}

fn bring(cluster: &mut Cluster<'_>, named: &str) {
    let known = cluster.store.get(CILIUM_NODE.0, CILIUM_NODE.1, None, named).is_some();
    let Some(node) = cluster.node(named) else {
        if known {
            cluster.delete_node(named);
        }
        return;
    };
    if known || label(node, CLUSTER_LABEL).is_none() {
        return;
    }
    let address = internal_ip(node).map(|address| address.to_string()).unwrap_or_default();
    let object = cilium_node(named, &address, &owner(node));
    cluster.put(object);
}
