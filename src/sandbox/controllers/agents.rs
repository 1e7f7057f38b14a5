//! Emulates the DaemonSets that AKS runs on every labelled node: the Cilium agent creates a
//! CiliumNode without pod CIDRs.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::changes::Since;
use super::cluster::{CILIUM_NODE, CLUSTER_LABEL, ClusterObjects, NODE, label, name, owner};
use super::nodes::{cilium_node, internal_ip};
use crate::sandbox::kubernetes::KubernetesStore;
use crate::sandbox::state::SandboxState;

pub(super) fn reconcile(sandbox: &mut SandboxState, since: Since, now: Timestamp) {
    let Some(store) = &mut sandbox.kubernetes else { return };
    for named in affected(store, since) {
        add_cilium_node(&mut ClusterObjects::new(store, now), &named);
    }
}

/// The Nodes that are new or whose CiliumNode changed.
fn affected(store: &KubernetesStore, since: Since) -> BTreeSet<String> {
    let kinds = [NODE, CILIUM_NODE];
    let deltas: Option<Vec<_>> = kinds.iter().map(|kind| since.deltas(store, *kind)).collect();
    match deltas {
        Some(deltas) => {
            let last = deltas.iter().flatten().filter_map(|deltas| deltas.last());
            last.map(|object| name(object).to_owned()).collect()
        }
        None => {
            let all = kinds.iter().flat_map(|kind| store.list(kind.0, kind.1, None));
            all.map(|object| name(object).to_owned()).collect()
        }
    }
}

fn add_cilium_node(cluster: &mut ClusterObjects<'_>, named: &str) {
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
