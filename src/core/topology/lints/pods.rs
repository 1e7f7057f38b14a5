//! Location and size of pod CIDRs and pod pools.

use ipnet::Ipv4Net;

use super::context::{LintContext, workers};
use crate::diagnostics::Span;
use crate::diagnostics::{Code, Diagnostic, counted};
use crate::net::prefix;
use crate::topology::model::Datacenter;
use crate::topology::spans::DatacenterSpans;

/// Addresses in the pod CIDR of an AKS node, a /24.
const NODE_POD_ADDRESSES: u64 = 256;

pub(super) fn check(context: &LintContext<'_>, found: &mut Vec<Diagnostic>) {
    total(context, found);
    for (datacenter, spans) in context.datacenters() {
        if let (Some(pool), Some(span)) = (datacenter.pod_pool, &spans.pod_pool) {
            found.extend(outside_cluster(context, &pool, span, "the pool"));
            found.extend(near_aks_nodes(context, &pool, span, "the pool"));
            found.extend(pool_too_small(&pool, span, datacenter));
        }
        found.extend(missing_pool(datacenter, spans));
        written(context, datacenter, spans, found);
    }
}

fn total(context: &LintContext<'_>, found: &mut Vec<Diagnostic>) {
    let cluster = &context.topology.cluster;
    let nodes = context.max_nodes();
    let share = |datacenter: &Datacenter| {
        datacenter.workers.len() as u64 * (1_u64 << (32 - datacenter.pod_prefix_length))
    };
    let workers: u64 = context.topology.datacenters.iter().map(share).sum();
    let needed = nodes * NODE_POD_ADDRESSES + workers;
    if needed <= prefix::size(&cluster.pod_cidr) {
        return;
    }
    let count: usize = context.topology.datacenters.iter().map(|one| one.workers.len()).sum();
    let length = (0..=32).rev().find(|length| (1_u64 << (32 - length)) >= needed).unwrap_or(0);
    found.push(
        Diagnostic::error(
            Code::PodCidrTooSmall,
            format!(
                "the pod CIDR {} is too small for {} and {}",
                cluster.pod_cidr,
                counted(nodes, "AKS node"),
                counted(count, "worker"),
            ),
        )
        .at(context.spans.cluster.pod_cidr.clone(), "too small")
        .remedy(format!("choose a pod CIDR of length /{length} or shorter")),
    );
}

fn outside_cluster(
    context: &LintContext<'_>,
    range: &Ipv4Net,
    span: &Span,
    what: &str,
) -> Option<Diagnostic> {
    let pods = &context.topology.cluster.pod_cidr;
    (!pods.contains(range)).then(|| {
        let message = format!("{what} {range} is outside the cluster's pod CIDR {pods}");
        Diagnostic::error(Code::PodRangeOutsideCluster, message)
            .at(span.clone(), "not in the pod CIDR")
            .with(context.spans.cluster.pod_cidr.clone(), "the pod CIDR is here")
            .remedy(format!("choose a prefix within {pods}"))
    })
}

/// AKS allocates prefixes from the start of the pod CIDR.
fn near_aks_nodes(
    context: &LintContext<'_>,
    range: &Ipv4Net,
    span: &Span,
    what: &str,
) -> Option<Diagnostic> {
    let pods = &context.topology.cluster.pod_cidr;
    let index = prefix::offset(pods, range.network())? / NODE_POD_ADDRESSES;
    let max_nodes = context.max_nodes();
    let safe = prefix::host(pods, 2 * max_nodes * NODE_POD_ADDRESSES);
    let remedy = match safe {
        Some(safe) => format!("start at {safe} or above"),
        None => "choose a larger pod CIDR, or fewer AKS nodes".to_owned(),
    };
    let about = format!("AKS assigns the first {max_nodes} /24s of the pod CIDR to its nodes");
    let found = if index < max_nodes {
        let message = format!("AKS nodes will use addresses of {what} {range}");
        Diagnostic::error(Code::PoolOverlapsAksRange, message)
    } else if index < 2 * max_nodes {
        let message = format!("AKS nodes may use addresses of {what} {range} after scaling");
        Diagnostic::warning(Code::PoolNearAksRange, message)
    } else {
        return None;
    };
    Some(found.at(span.clone(), about).remedy(remedy))
}

fn pool_too_small(pool: &Ipv4Net, span: &Span, datacenter: &Datacenter) -> Option<Diagnostic> {
    let length = datacenter.pod_prefix_length;
    if length < pool.prefix_len() {
        let message = format!("the pool {pool} is smaller than one worker's /{length}");
        return Some(
            Diagnostic::error(Code::PodPrefixLength, message)
                .at(span.clone(), "too small for a worker")
                .remedy("choose a larger pool, or a longer `pod_prefix_length`"),
        );
    }
    let outside = |pods: Ipv4Net| !pool.contains(&pods);
    let workers = datacenter.workers.iter();
    let needed = workers.filter(|worker| !worker.pod_cidr.is_some_and(outside)).count() as u64;
    let slots = prefix::size(pool) >> (32 - length);
    if needed <= slots {
        return None;
    }
    let fitting = (0..=length).rev().find(|one| (1_u64 << (length - one)) >= needed).unwrap_or(0);
    let message = format!(
        "the pool {pool} has room for {slots} prefixes of length /{length}, but needs {needed}"
    );
    Some(
        Diagnostic::error(Code::PoolTooSmall, message)
            .at(span.clone(), "too small")
            .remedy(format!("choose a pool of length /{fitting} or shorter")),
    )
}

fn missing_pool(datacenter: &Datacenter, spans: &DatacenterSpans) -> Option<Diagnostic> {
    let unwritten = workers(datacenter, spans).find(|(worker, _)| worker.pod_cidr.is_none());
    let (worker, spans) = unwritten.filter(|_| datacenter.pod_pool.is_none())?;
    // An invalid pod CIDR was reported before.
    if spans.pod_cidr.is_some() {
        return None;
    }
    let message = format!(
        "worker `{}` has no `pod_cidr` and datacenter `{}` no `pod_pool`",
        worker.name, datacenter.name
    );
    Some(
        Diagnostic::error(Code::MissingPool, message)
            .at(spans.name.clone(), "no `pod_cidr`")
            .remedy(format!("add `pod_pool` to `[datacenters.{}]`", datacenter.name)),
    )
}

fn written(
    context: &LintContext<'_>,
    datacenter: &Datacenter,
    spans: &DatacenterSpans,
    found: &mut Vec<Diagnostic>,
) {
    // Workers of a range share a span: each problem is reported once.
    let mut last: Option<(Code, &Span)> = None;
    for (worker, spans) in workers(datacenter, spans) {
        let (Some(pods), Some(span)) = (worker.pod_cidr, &spans.pod_cidr) else { continue };
        if let Some(one) = written_pods(context, datacenter, &pods, span) {
            let about = (one.code, span);
            if last != Some(about) {
                found.push(one);
            }
            last = Some(about);
        }
    }
}

fn written_pods(
    context: &LintContext<'_>,
    datacenter: &Datacenter,
    pods: &Ipv4Net,
    span: &Span,
) -> Option<Diagnostic> {
    let length = datacenter.pod_prefix_length;
    if pods.prefix_len() != length {
        let message = format!("the pod CIDR {pods} does not have length /{length}");
        return Some(
            Diagnostic::error(Code::PodPrefixLength, message)
                .at(span.clone(), format!("expected a /{length}"))
                .remedy(format!("use a prefix of length /{length}, or set `pod_prefix_length`")),
        );
    }
    if let Some(one) = outside_cluster(context, pods, span, "the pod CIDR") {
        return Some(one);
    }
    let pool = datacenter.pod_pool.filter(|pool| pool.contains(pods));
    match (pool, datacenter.pod_pool) {
        // Problems of the pool are reported for the pool.
        (Some(_), _) => None,
        (None, Some(pool)) => near_aks_nodes(context, pods, span, "the pod CIDR").or_else(|| {
            let message = format!("the pod CIDR {pods} is outside the datacenter's pool {pool}");
            Some(
                Diagnostic::warning(Code::PodCidrOutsidePool, message)
                    .at(span.clone(), "needs a separate route in every route table")
                    .remedy(format!(
                        "choose a /{length} within {pool} unless this prefix is required"
                    )),
            )
        }),
        (None, None) => near_aks_nodes(context, pods, span, "the pod CIDR"),
    }
}
