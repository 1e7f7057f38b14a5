//! Nodes that a plan removes, and the pairs of their pods.
//!
//! A node that the topology no longer lists is in no network of the assessment, so its
//! pairs are counted here: each pair with another node that runs pods now.

use std::collections::BTreeSet;

use super::live_nodes::{LiveNodes, by_site, cause_at, live_nodes, removed_node};
use super::reachability::{Loss, Reachability};
use crate::connectivity::Sources;
use crate::desired::Facts;
use crate::plan::{Action, Change, PlanContents};
use crate::resource::{Address, Resource, Site};

/// The nodes that leave with a plan.
#[derive(Debug, Default)]
pub(crate) struct Departures {
    /// By the change that removes them.
    removed: Vec<Departure>,
    live: LiveNodes,
}

/// Nodes that leave together.
#[derive(Debug)]
struct Departure {
    nodes: BTreeSet<String>,
    cause: Address,
    /// Whether no node of their datacenter or node pool stays.
    is_whole: bool,
}

impl Departures {
    /// The workers that a plan deletes, and as many nodes of a pool as it is scaled in by.
    pub(crate) fn of(observed: Sources<'_>, plan: &PlanContents) -> Self {
        let live = live_nodes(observed);
        let leaving: BTreeSet<&str> = plan.changes.iter().filter_map(removed_node).collect();
        let mut removed = Vec::new();
        for (site, nodes) in by_site(&live) {
            let departing: BTreeSet<&str> = nodes.intersection(&leaving).copied().collect();
            let is_whole_site = *site != Site::Cluster
                && departing.len() == nodes.len()
                && (departing.len() > 1 || !has_workers(observed, site));
            if is_whole_site {
                removed.extend(cause_at(&plan.changes, site).map(|cause| Departure {
                    nodes: departing.into_iter().map(str::to_owned).collect(),
                    cause: cause.clone(),
                    is_whole: true,
                }));
            } else {
                let of_node = |change: &&Change| {
                    removed_node(change).is_some_and(|name| departing.contains(name))
                };
                removed.extend(plan.changes.iter().filter(of_node).map(|change| Departure {
                    nodes: removed_node(change).map(str::to_owned).into_iter().collect(),
                    cause: change.address.clone(),
                    is_whole: false,
                }));
            }
        }
        removed.extend(plan.changes.iter().filter_map(|change| scaled_in(observed.facts, change)));
        Self { removed, live }
    }

    /// The facts without the AKS nodes that leave; `None` if all of them stay.
    pub(crate) fn without_nodes(&self, facts: &Facts) -> Option<Facts> {
        let leaves = |name: &String| self.removed.iter().any(|it| it.nodes.contains(name));
        if !facts.nodes.iter().any(|node| leaves(&node.name)) {
            return None;
        }
        let mut facts = facts.clone();
        facts.nodes.retain(|node| !leaves(&node.name));
        Some(facts)
    }

    /// Adds the pairs of the removed nodes to the report. Those of a whole datacenter or
    /// node pool are lost; those of single nodes are removed with them.
    pub(crate) fn add_to(&self, found: &mut Reachability) {
        let mut others: BTreeSet<&String> = self.live.keys().collect();
        for departure in &self.removed {
            let count = departure.nodes.len() as u64;
            others.retain(|name| !departure.nodes.contains(*name));
            let pairs = count * (count - 1) + 2 * count * others.len() as u64;
            let mut names = departure.nodes.iter().chain(others.iter().copied());
            let (Some(one), Some(other)) = (names.next(), names.next_back()) else { continue };
            let loss = Loss {
                pairs,
                example: (other.clone(), one.clone()),
                resource: Some(departure.cause.clone()),
            };
            if departure.is_whole {
                found.lost += pairs;
                found.losses.push(loss);
            } else {
                found.removed += pairs;
                found.removals.push(loss);
            }
        }
    }
}

/// Whether the topology has workers on a site.
fn has_workers(observed: Sources<'_>, site: &Site) -> bool {
    let datacenters = &observed.topology.datacenters;
    let mut of_site = datacenters.iter().filter(|it| Site::Datacenter(it.name.clone()) == *site);
    of_site.any(|datacenter| !datacenter.workers.is_empty())
}

/// The nodes that a pool has beyond its new size. AKS selects the deleted nodes; the last
/// ones represent them.
fn scaled_in(facts: &Facts, change: &Change) -> Option<Departure> {
    let Some(Resource::NodePool(pool)) = &change.after else { return None };
    let name = change.key.name();
    let of_pool = |pool: &str| pool.eq_ignore_ascii_case(name);
    let nodes = facts.nodes.iter().filter(|node| node.pool.as_deref().is_some_and(of_pool));
    let names: BTreeSet<String> = nodes.map(|node| node.name.clone()).collect();
    let kept = usize::try_from(pool.scale.max_nodes()).unwrap_or(usize::MAX);
    let nodes: BTreeSet<String> = names.into_iter().skip(kept).collect();
    (change.action == Action::Update && !nodes.is_empty()).then(|| Departure {
        nodes,
        cause: change.address.clone(),
        is_whole: kept == 0,
    })
}
