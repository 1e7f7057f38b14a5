//! Pod CIDRs and pools: inside what they must be, and large enough.

use ipnet::Ipv4Net;

use super::{Context, workers};
use crate::diagnostics::Span;
use crate::diagnostics::{Code, Diagnostic};
use crate::net::prefix;
use crate::topology::model::Datacenter;
use crate::topology::spans::DatacenterSpans;

/// What AKS gives each of its own nodes: a /24.
const NODE_SHARE: u64 = 256;

pub(super) fn check(context: &Context<'_>, found: &mut Vec<Diagnostic>) {
    total(context, found);
    for (datacenter, spans) in context.datacenters() {
        if let (Some(pool), Some(span)) = (datacenter.pod_pool, &spans.pod_pool) {
            found.extend(outside_cluster(context, &pool, span, "the pool"));
            found.extend(within_reach(context, &pool, span, "the pool"));
            found.extend(pool_too_small(&pool, span, datacenter));
        }
        found.extend(missing_pool(datacenter, spans));
        written(context, datacenter, spans, found);
    }
}

fn total(context: &Context<'_>, found: &mut Vec<Diagnostic>) {
    let cluster = &context.topology.cluster;
    let nodes = context.greatest_nodes();
    let share = |datacenter: &Datacenter| {
        datacenter.workers.len() as u64 * (1_u64 << (32 - datacenter.pod_prefix_length))
    };
    let workers: u64 = context.topology.datacenters.iter().map(share).sum();
    let needed = nodes * NODE_SHARE + workers;
    if needed <= prefix::size(&cluster.pod_cidr) {
        return;
    }
    let count: usize = context.topology.datacenters.iter().map(|one| one.workers.len()).sum();
    let length = (0..=32).rev().find(|length| (1_u64 << (32 - length)) >= needed).unwrap_or(0);
    found.push(
        Diagnostic::error(
            Code::PodCidrTooSmall,
            format!("{} cannot hold {nodes} AKS nodes and {count} workers", cluster.pod_cidr),
        )
        .at(context.spans.cluster.pod_cidr.clone(), "too small")
        .remedy(format!("choose a pod CIDR of length /{length} or shorter")),
    );
}

fn outside_cluster(
    context: &Context<'_>,
    range: &Ipv4Net,
    span: &Span,
    what: &str,
) -> Option<Diagnostic> {
    let pods = &context.topology.cluster.pod_cidr;
    (!pods.contains(range)).then(|| {
        let message = format!("{what} {range} is outside the cluster's pod CIDR {pods}");
        Diagnostic::error(Code::PodRangeOutsideCluster, message)
            .at(span.clone(), "not a part of the pod CIDR")
            .with(context.spans.cluster.pod_cidr.clone(), "the pod CIDR is here")
            .remedy(format!("choose a range of {pods}"))
    })
}

/// AKS allocates from the bottom of the pod CIDR.
fn within_reach(
    context: &Context<'_>,
    range: &Ipv4Net,
    span: &Span,
    what: &str,
) -> Option<Diagnostic> {
    let pods = &context.topology.cluster.pod_cidr;
    let index = prefix::offset(pods, range.network())? / NODE_SHARE;
    let greatest = context.greatest_nodes();
    let safe = prefix::host(pods, 2 * greatest * NODE_SHARE);
    let remedy = match safe {
        Some(safe) => format!("begin at {safe} or above"),
        None => "choose a larger pod CIDR, or fewer AKS nodes".to_owned(),
    };
    let about = format!("{greatest} AKS nodes take the pod CIDR's first {greatest} /24s");
    let found = if index < greatest {
        let message = format!("AKS's own nodes will take addresses of {what} {range}");
        Diagnostic::error(Code::PoolWithinReach, message)
    } else if index < 2 * greatest {
        let message = format!("AKS's own nodes may come to take addresses of {what} {range}");
        Diagnostic::warning(Code::PoolNearReach, message)
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
                .at(span.clone(), "no worker fits in")
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
    let message = format!("the pool {pool} has {slots} prefixes of /{length} for {needed} workers");
    Some(
        Diagnostic::error(Code::PoolTooSmall, message)
            .at(span.clone(), "too small")
            .remedy(format!("choose a pool of length /{fitting} or shorter")),
    )
}

fn missing_pool(datacenter: &Datacenter, spans: &DatacenterSpans) -> Option<Diagnostic> {
    let unwritten = workers(datacenter, spans).find(|(worker, _)| worker.pod_cidr.is_none());
    let (worker, places) = unwritten.filter(|_| datacenter.pod_pool.is_none())?;
    // A pod CIDR that is written and broken was reported as such.
    if places.pod_cidr.is_some() {
        return None;
    }
    let message = format!("`{}` has no pod CIDR and `{}` no pool", worker.name, datacenter.name);
    Some(
        Diagnostic::error(Code::MissingPool, message)
            .at(places.name.clone(), "no pod CIDR")
            .remedy(format!("add `pod_pool` to `[datacenters.{}]`", datacenter.name)),
    )
}

fn written(
    context: &Context<'_>,
    datacenter: &Datacenter,
    spans: &DatacenterSpans,
    found: &mut Vec<Diagnostic>,
) {
    // The many workers of a range share one place: one finding of a kind is enough.
    let mut last: Option<(Code, &Span)> = None;
    for (worker, places) in workers(datacenter, spans) {
        let (Some(pods), Some(span)) = (worker.pod_cidr, &places.pod_cidr) else { continue };
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
    context: &Context<'_>,
    datacenter: &Datacenter,
    pods: &Ipv4Net,
    span: &Span,
) -> Option<Diagnostic> {
    let length = datacenter.pod_prefix_length;
    if pods.prefix_len() != length {
        let message = format!("{pods} is not a /{length}, as the datacenter's pod CIDRs are");
        return Some(
            Diagnostic::error(Code::PodPrefixLength, message)
                .at(span.clone(), format!("expected a /{length}"))
                .remedy(format!("write a /{length}, or set `pod_prefix_length`")),
        );
    }
    if let Some(one) = outside_cluster(context, pods, span, "the pod CIDR") {
        return Some(one);
    }
    let pool = datacenter.pod_pool.filter(|pool| pool.contains(pods));
    match (pool, datacenter.pod_pool) {
        // What holds for the pool was said of the pool.
        (Some(_), _) => None,
        (None, Some(pool)) => within_reach(context, pods, span, "the pod CIDR").or_else(|| {
            let message = format!("the pod CIDR {pods} is outside the datacenter's pool {pool}");
            Some(
                Diagnostic::warning(Code::PodCidrOutsidePool, message)
                    .at(span.clone(), "takes a route of its own in every table")
                    .remedy(format!("choose a /{length} of {pool}, unless it has to stay")),
            )
        }),
        (None, None) => within_reach(context, pods, span, "the pod CIDR"),
    }
}
