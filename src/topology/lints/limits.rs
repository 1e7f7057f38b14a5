//! What the clouds count.

use super::Context;
use crate::diagnostics::Span;
use crate::diagnostics::{Code, Diagnostic};
use crate::topology::model::{Datacenter, Site};

/// Azure's limit of routes in a table.
pub const ROUTES_PER_TABLE: u64 = 400;
/// AKS's limit of nodes in a cluster, workers from elsewhere included.
pub const NODES_PER_CLUSTER: u64 = 5_000;
/// The routes of a worker subnet's table that are there for any number of
/// workers: the tailnet, the AKS VNet and the pod CIDR.
const FIXED_ROUTES: u64 = 3;

pub(super) fn check(context: &Context<'_>, found: &mut Vec<Diagnostic>) {
    let datacenters = &context.topology.datacenters;
    let cluster = &context.spans.cluster;
    let nodes = context.greatest_nodes();
    let workers: u64 = datacenters.iter().map(|one| one.workers.len() as u64).sum();
    if nodes + workers > NODES_PER_CLUSTER {
        let message = format!("{nodes} AKS nodes and {workers} workers are more than AKS takes");
        found.push(
            Diagnostic::error(Code::TooManyNodes, message)
                .at(cluster.name.clone(), format!("at most {NODES_PER_CLUSTER} nodes"))
                .remedy("split the topology into several clusters"),
        );
    }
    let towards_workers: u64 = datacenters.iter().map(routes_towards).sum();
    found.extend(too_many("stargate-workers-rt", towards_workers, &cluster.name));
    found.extend(too_many("stargate-router-rt", nodes, &cluster.router_name));
    for (datacenter, spans) in context.datacenters() {
        if let Site::Azure(azure) = &datacenter.site {
            let others = datacenters.len() as u64 - 1;
            let routes = FIXED_ROUTES + others + datacenter.workers.len() as u64;
            let table = format!("{}-route-table", azure.resource_group);
            found.extend(too_many(&table, routes, &spans.name));
        }
    }
    if datacenters.is_empty() {
        found.push(
            Diagnostic::warning(Code::NoWorkers, "the topology has no datacenters")
                .at(context.spans.name.clone(), "only the cluster would be made")
                .remedy("add `[datacenters.<name>]`, or leave it so"),
        );
    }
}

/// The datacenter's network, its pool, and each worker outside of the pool.
fn routes_towards(datacenter: &Datacenter) -> u64 {
    let pool = datacenter.pod_pool;
    let in_pool = |pods| pool.is_some_and(|pool| pool.contains(&pods));
    let own = datacenter.workers.iter().filter(|worker| match worker.pod_cidr {
        Some(pods) => !in_pool(pods),
        None => pool.is_none(),
    });
    1 + u64::from(pool.is_some()) + own.count() as u64
}

fn too_many(table: &str, routes: u64, span: &Span) -> Option<Diagnostic> {
    (routes > ROUTES_PER_TABLE).then(|| {
        let message = format!("the route table {table} would hold {routes} routes");
        Diagnostic::error(Code::TooManyRoutes, message)
            .at(span.clone(), format!("Azure takes {ROUTES_PER_TABLE} routes in a table"))
            .remedy("give each datacenter a `pod_pool`, or have fewer machines in one place")
    })
}
