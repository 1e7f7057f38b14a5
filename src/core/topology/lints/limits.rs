//! Limits of Azure and AKS.

use super::context::LintContext;
use crate::diagnostics::Span;
use crate::diagnostics::{Code, Diagnostic};
use crate::topology::model::{Datacenter, DatacenterKind};

/// The maximum number of routes in an Azure route table.
pub const MAX_ROUTES_PER_TABLE: u64 = 400;
/// The maximum number of nodes in an AKS cluster, workers included.
pub const MAX_NODES_PER_CLUSTER: u64 = 5_000;
/// The routes of a worker subnet that do not depend on the number of workers: the
/// tailnet, the AKS VNet and the pod CIDR.
const FIXED_ROUTES: u64 = 3;

pub(super) fn check(context: &LintContext<'_>, found: &mut Vec<Diagnostic>) {
    let datacenters = &context.topology.datacenters;
    let cluster = &context.spans.cluster;
    let nodes = context.max_nodes();
    let workers: u64 = datacenters.iter().map(|one| one.workers.len() as u64).sum();
    if nodes + workers > MAX_NODES_PER_CLUSTER {
        let message = format!("{nodes} AKS nodes and {workers} workers exceed the limit of AKS");
        found.push(
            Diagnostic::error(Code::TooManyNodes, message)
                .at(cluster.name.clone(), format!("the maximum is {MAX_NODES_PER_CLUSTER} nodes"))
                .remedy("split the topology into several clusters"),
        );
    }
    let towards_workers: u64 = datacenters.iter().map(routes_towards).sum();
    found.extend(too_many("stargate-workers-rt", towards_workers, &cluster.name));
    found.extend(too_many("stargate-router-rt", nodes, &cluster.router_name));
    for (datacenter, spans) in context.datacenters() {
        if let DatacenterKind::Azure(azure) = &datacenter.kind {
            let others = datacenters.len() as u64 - 1;
            let routes = FIXED_ROUTES + others + datacenter.workers.len() as u64;
            let table = format!("{}-route-table", azure.resource_group);
            found.extend(too_many(&table, routes, &spans.name));
        }
    }
    if datacenters.is_empty() {
        found.push(
            Diagnostic::warning(Code::NoWorkers, "the topology has no datacenters")
                .at(context.spans.name.clone(), "only the cluster would be created")
                .remedy("add `[datacenters.<name>]`, or ignore this warning"),
        );
    }
}

/// Routes to a datacenter: its network, its pod pool, and each worker outside the pool.
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
    (routes > MAX_ROUTES_PER_TABLE).then(|| {
        let message = format!("the route table {table} would have {routes} routes");
        Diagnostic::error(Code::TooManyRoutes, message)
            .at(span.clone(), format!("the maximum is {MAX_ROUTES_PER_TABLE} routes in a table"))
            .remedy("set a `pod_pool` for each datacenter, or distribute the machines over more datacenters")
    })
}
