//! Node pools that AKS upgrades in place: it drains and reimages a few nodes at a time.

use std::collections::BTreeMap;

use super::disruption::{Between, Disruption};
use super::live_nodes::{LiveNodes, live_nodes};
use super::reachability::Reachability;
use crate::connectivity::Sources;
use crate::plan::cost::seconds;
use crate::plan::{Action, Change, PlanContents};
use crate::resource::azure::NodePool;
use crate::resource::{Resource, Site};

/// Adds the pairs of nodes that are upgraded to what a plan disrupts.
pub(in crate::plan) fn add_to(
    found: &mut Reachability,
    observed: Sources<'_>,
    plan: &PlanContents,
) {
    let upgraded: Vec<(&Change, &NodePool)> = plan.changes.iter().filter_map(upgraded).collect();
    if upgraded.is_empty() {
        return;
    }
    let live = live_nodes(observed);
    let nodes = &observed.facts.nodes;
    let of_pool = |(change, pool): (&Change, &NodePool)| {
        let name = change.key.name();
        let is_of = |pool: &str| pool.eq_ignore_ascii_case(name);
        let of_pool = nodes.iter().filter(|node| node.pool.as_deref().is_some_and(is_of));
        let names: Vec<&str> = of_pool.map(|node| node.name.as_str()).collect();
        disruption(change, pool, &names, &live)
    };
    found.disruptions.extend(upgraded.into_iter().filter_map(of_pool));
}

/// A pool whose nodes get another version.
fn upgraded(change: &Change) -> Option<(&Change, &NodePool)> {
    let mut fields = change.differences.iter();
    let is_upgrade = change.action == Action::Update
        && fields.any(|field| field.path.0 == ["kubernetes_version"]);
    match &change.after {
        Some(Resource::NodePool(pool)) if is_upgrade => Some((change, &**pool)),
        _ => None,
    }
}

/// The pairs of the nodes that are drained at one time, with each other and with all others.
fn disruption(
    change: &Change,
    pool: &NodePool,
    nodes: &[&str],
    live: &LiveNodes,
) -> Option<Disruption> {
    let (node, other) =
        (nodes.first()?, live.keys().find(|it| nodes.first() != Some(&it.as_str())));
    let drained = drained_at_once(pool, nodes.len());
    let mut sites: BTreeMap<&Site, u64> = BTreeMap::new();
    live.values().for_each(|site| *sites.entry(site).or_default() += 1);
    let mut between = Vec::new();
    for (site, count) in sites {
        let between_sites = |from: &Site, to: &Site, pairs: u64| Between {
            from: from.clone(),
            to: to.clone(),
            pairs,
        };
        if *site == Site::Cluster {
            let staying = count.saturating_sub(drained);
            let pairs = drained * (drained - 1) + 2 * drained * staying;
            between.push(between_sites(site, site, pairs));
        } else {
            between.push(between_sites(&Site::Cluster, site, drained * count));
            between.push(between_sites(site, &Site::Cluster, drained * count));
        }
    }
    between.retain(|it| it.pairs > 0);
    Some(Disruption {
        pairs: between.iter().map(|it| it.pairs).sum(),
        example: (other?.clone(), (*node).to_owned()),
        between,
        during: vec![change.address.clone()],
        seconds: seconds(change),
        waves: None,
        is_rolling: nodes.len() as u64 > drained,
    })
}

/// How many nodes AKS upgrades at a time: as many as it adds for the upgrade, by default a
/// tenth of them, and at least one (*Customize node surge upgrade*).
fn drained_at_once(pool: &NodePool, nodes: usize) -> u64 {
    let nodes = u64::try_from(nodes).unwrap_or(u64::MAX);
    let surge = pool.max_surge.observed().map_or("10%", String::as_str);
    let count = match surge.strip_suffix('%') {
        Some(percent) => {
            percent.parse().map(|percent: u64| nodes.saturating_mul(percent).div_ceil(100))
        }
        None => surge.parse(),
    };
    count.unwrap_or(1).clamp(1, nodes.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::Observable;
    use crate::resource::azure::Provisioning;
    use crate::resource::settings::{NodePoolMode, NodePoolScale};

    fn pool(max_surge: Option<&str>) -> NodePool {
        let surge = max_surge.map(str::to_owned);
        NodePool {
            key: "apps".to_owned(),
            mode: NodePoolMode::User,
            vm_size: "Standard_D2s_v5".to_owned(),
            scale: NodePoolScale::Fixed { count: 20 },
            kubernetes_version: "1.34.1".parse().unwrap(),
            labels: BTreeMap::new(),
            taints: Default::default(),
            max_surge: surge.map_or_else(Observable::unobserved, Observable::Observed),
            max_pods: Observable::unobserved(),
            os_disk_gb: Observable::unobserved(),
            zones: Observable::unobserved(),
            subnet: None,
            provisioning: Provisioning::Ready,
        }
    }

    #[test]
    fn as_many_nodes_are_drained_as_are_added() {
        for (surge, nodes, drained) in [
            (None, 2, 1),
            (None, 25, 3),
            (Some("33%"), 20, 7),
            (Some("5"), 20, 5),
            (Some("5"), 3, 3),
            (Some("0"), 3, 1),
            // Any number that Azure returns must not overflow the product.
            (Some("18446744073709551615%"), 20, 20),
        ] {
            assert_eq!(drained_at_once(&pool(surge), nodes), drained, "{surge:?} of {nodes}");
        }
    }
}
