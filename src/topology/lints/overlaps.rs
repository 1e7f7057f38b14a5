//! Ranges that share addresses and must not.
//!
//! Prefixes nest or are apart. Sorted by their beginning, the broader first,
//! the prefixes around one are those on a stack: a single sweep finds every
//! overlap, whichever way round it is.

use ipnet::Ipv4Net;

use super::{Context, workers};
use crate::diagnostics::Span;
use crate::diagnostics::{Code, Diagnostic};
use crate::net::prefix::{self, AKS_DEFAULT_NETWORK, TAILNET_RANGE};
use crate::topology::model::Site;

const fn range(a: u8, b: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, 0, 0), length)
}

/// The nodes' subnet in the VNet that AKS makes.
pub const AKS_NODE_SUBNET: Ipv4Net = range(10, 224, 16);
/// What AKS keeps for itself.
pub const REFUSED_RANGES: [Ipv4Net; 4] = [
    range(169, 254, 16),
    range(172, 30, 16),
    range(172, 31, 16),
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(192, 0, 2, 0), 24),
];

/// What a range is for; datacenters by their place in the file. The order is
/// that of equal ranges: what may contain something else comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Refused,
    Tailnet,
    AksVnet,
    AksNodes,
    ClusterRouter,
    Services,
    Pods,
    Network(usize),
    Subnet(usize),
    Pool(usize),
    WorkerPods(usize),
}

impl Use {
    /// Whether a range of this use may contain one of that use.
    fn may_contain(self, inner: Self) -> bool {
        match (self, inner) {
            (Self::AksVnet, Self::AksNodes | Self::ClusterRouter)
            | (Self::Pods, Self::Pool(_) | Self::WorkerPods(_)) => true,
            (Self::Network(one), Self::Subnet(other))
            | (Self::Pool(one), Self::WorkerPods(other)) => one == other,
            _ => false,
        }
    }
}

struct Range {
    prefix: Ipv4Net,
    purpose: Use,
    name: String,
    span: Option<Span>,
}

pub(super) fn check(context: &Context<'_>, found: &mut Vec<Diagnostic>) {
    let mut ranges = collect(context);
    ranges.sort_by_key(|one| (one.prefix.network(), one.prefix.prefix_len(), one.purpose));
    let mut around: Vec<&Range> = Vec::new();
    for range in &ranges {
        while around.last().is_some_and(|outer| !outer.prefix.contains(&range.prefix)) {
            around.pop();
        }
        if let Some(outer) = conflicting(&around, range) {
            found.extend(report(outer, range));
        }
        around.push(range);
    }
}

/// The nearest range around this one that may not be there. What lies beyond a
/// range that may contain it is that range's conflict, and reported there.
fn conflicting<'a>(around: &[&'a Range], inner: &Range) -> Option<&'a Range> {
    let nearest = around.last()?;
    let mut equals = around.iter().rev().take_while(|outer| outer.prefix == nearest.prefix);
    if equals.any(|outer| outer.purpose.may_contain(inner.purpose)) {
        return None;
    }
    Some(nearest)
}

fn report(outer: &Range, inner: &Range) -> Option<Diagnostic> {
    // A range of the file is the one to move; two of nature never meet.
    let (at, other) = match (&inner.span, &outer.span) {
        (Some(span), _) => (span, outer),
        (None, Some(span)) => (span, inner),
        (None, None) => return None,
    };
    let mine = if std::ptr::eq(other, outer) { inner } else { outer };
    let code = code(outer.purpose, inner.purpose, outer.prefix == inner.prefix);
    let message = format!("{} {} overlaps {} {}", mine.name, mine.prefix, other.name, other.prefix);
    let found = Diagnostic::error(code, message)
        .at(at.clone(), format!("shares addresses with {}", other.name))
        .remedy(format!(
            "move one of the two: {} must lie apart from {}",
            mine.prefix, other.prefix
        ));
    Some(match &other.span {
        Some(span) if span != at => found.with(span.clone(), format!("{} is here", other.name)),
        _ => found,
    })
}

fn code(outer: Use, inner: Use, equal: bool) -> Code {
    match (outer, inner) {
        (Use::Refused, _) | (_, Use::Refused) => Code::RefusedRange,
        (Use::Tailnet, _) | (_, Use::Tailnet) => Code::TailnetRange,
        (Use::WorkerPods(_), Use::WorkerPods(_)) if equal => Code::DuplicatePodCidr,
        _ => Code::Overlap,
    }
}

fn collect(context: &Context<'_>) -> Vec<Range> {
    let mut ranges = fixed(context);
    let cluster = &context.topology.cluster;
    let places = &context.spans.cluster;
    let mut add = |prefix, purpose, name: String, span: &Span| {
        ranges.push(Range { prefix, purpose, name, span: Some(span.clone()) });
    };
    let router = "the cluster router's subnet".to_owned();
    add(cluster.router.subnet_cidr, Use::ClusterRouter, router, &places.router_subnet);
    add(cluster.pod_cidr, Use::Pods, "the pod CIDR".to_owned(), &places.pod_cidr);
    add(cluster.service_cidr, Use::Services, "the service CIDR".to_owned(), &places.service_cidr);
    for (at, (datacenter, spans)) in context.datacenters().enumerate() {
        let name = &datacenter.name;
        add(datacenter.network(), Use::Network(at), format!("{name}'s network"), &spans.network);
        if let Site::Azure(azure) = &datacenter.site {
            let subnets = [
                (azure.subnet_cidr, "worker", &spans.subnet),
                (azure.router_subnet_cidr, "router", &spans.router_subnet),
            ];
            for (prefix, whose, span) in subnets {
                let span = span.as_ref().unwrap_or(&spans.network);
                add(prefix, Use::Subnet(at), format!("{name}'s {whose} subnet"), span);
            }
        }
        if let (Some(pool), Some(span)) = (datacenter.pod_pool, &spans.pod_pool) {
            add(pool, Use::Pool(at), format!("{name}'s pod pool"), span);
        }
        for (worker, spans) in workers(datacenter, spans) {
            if let (Some(pods), Some(span)) = (worker.pod_cidr, &spans.pod_cidr) {
                add(pods, Use::WorkerPods(at), format!("{}'s pod CIDR", worker.name), span);
            }
        }
    }
    ranges
}

/// The ranges that are there without being written.
fn fixed(context: &Context<'_>) -> Vec<Range> {
    let fixed =
        |prefix, purpose, name: &str| Range { prefix, purpose, name: name.to_owned(), span: None };
    let mut ranges = vec![fixed(TAILNET_RANGE, Use::Tailnet, "Tailscale's range")];
    ranges.extend(REFUSED_RANGES.map(|range| fixed(range, Use::Refused, "Azure's own range")));
    // An existing cluster's VNet is whatever it is; the live lints look at it.
    if !context.topology.cluster.existing {
        ranges.push(fixed(AKS_DEFAULT_NETWORK, Use::AksVnet, "the AKS VNet"));
        ranges.push(fixed(AKS_NODE_SUBNET, Use::AksNodes, "the AKS nodes' subnet"));
    }
    ranges
}

/// Whether the cluster's router has a place in the VNet that AKS makes.
pub(super) fn router_in_vnet(context: &Context<'_>) -> bool {
    let subnet = &context.topology.cluster.router.subnet_cidr;
    // One that only overlaps the VNet was reported as such.
    context.topology.cluster.existing || prefix::overlaps(&AKS_DEFAULT_NETWORK, subnet)
}
