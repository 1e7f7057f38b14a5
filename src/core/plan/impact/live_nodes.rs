//! The nodes that run pods before a plan, by their observed names rather than by those in
//! the topology.

use std::collections::{BTreeMap, BTreeSet};

use crate::connectivity::Sources;
use crate::plan::{Action, Change};
use crate::resource::azure::MachineRole;
use crate::resource::{Address, Kind, Resource, Site};

/// Nodes by name, with the site that each is in.
pub(super) type LiveNodes = BTreeMap<String, Site>;

/// AKS nodes, and workers of the topology whose Nodes are Ready.
pub(super) fn live_nodes(observed: Sources<'_>) -> LiveNodes {
    let aks = observed.facts.nodes.iter().map(|node| (node.name.clone(), Site::Cluster));
    let workers = observed.inventory.iter().filter_map(|(_, it)| match &it.resource {
        Resource::Worker(worker) if worker.ready => Some((worker.name.clone(), it.site()?)),
        _ => None,
    });
    aks.chain(workers).collect()
}

/// The names of these nodes by site.
pub(super) fn by_site(live: &LiveNodes) -> BTreeMap<&Site, BTreeSet<&str>> {
    let mut found: BTreeMap<&Site, BTreeSet<&str>> = BTreeMap::new();
    for (name, site) in live {
        found.entry(site).or_default().insert(name);
    }
    found
}

/// The name of the node that a change deletes for good.
pub(super) fn removed_node(change: &Change) -> Option<&str> {
    match &change.before {
        Some(Resource::Worker(worker)) if change.action == Action::Delete => Some(&worker.name),
        _ => None,
    }
}

/// The node whose machine a change deletes or replaces outside of the rollout's waves.
pub(super) fn destroyed_node(change: &Change) -> Option<&str> {
    let is_destroyed = matches!(change.action, Action::Delete | Action::Replace);
    match &change.before {
        Some(Resource::VirtualMachine(machine))
            if is_destroyed && change.wave.is_none() && machine.role == MachineRole::Worker =>
        {
            Some(change.key.name())
        }
        _ => removed_node(change),
    }
}

/// The change that a user would name as the reason why a site's nodes go: that of the
/// outermost container, or else the first of a node.
pub(super) fn cause_at<'a>(changes: &'a [Change], site: &Site) -> Option<&'a Address> {
    let ends = |change: &&Change| {
        change.address.site == *site && matches!(change.action, Action::Delete | Action::Replace)
    };
    let of_kind = |kind| changes.iter().filter(ends).find(move |it| it.address.kind == kind);
    let kinds = [
        Kind::ResourceGroup,
        Kind::VirtualNetwork,
        Kind::Subnet,
        Kind::TailnetDevice,
        Kind::Worker,
        Kind::VirtualMachine,
    ];
    kinds.into_iter().find_map(of_kind).map(|change| &change.address)
}
