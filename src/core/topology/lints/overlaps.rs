//! Overlapping prefixes.
//!
//! Two prefixes are either nested or disjoint. Sorted by network address, the shorter
//! prefix first, the prefixes that contain the current one are on a stack, so a
//! single sweep finds every overlap.

use ipnet::Ipv4Net;

use super::context::{LintContext, workers};
use crate::diagnostics::Span;
use crate::diagnostics::{Code, Diagnostic};
use crate::net::prefix::{AKS_DEFAULT_NETWORK, TAILNET_RANGE};
use crate::topology::model::DatacenterKind;

const fn range(a: u8, b: u8, length: u8) -> Ipv4Net {
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(a, b, 0, 0), length)
}

/// The node subnet in the VNet that AKS creates.
pub const AKS_NODE_SUBNET: Ipv4Net = range(10, 224, 16);
/// Prefixes that AKS reserves.
pub const AKS_RESERVED_RANGES: [Ipv4Net; 4] = [
    range(169, 254, 16),
    range(172, 30, 16),
    range(172, 31, 16),
    Ipv4Net::new_assert(std::net::Ipv4Addr::new(192, 0, 2, 0), 24),
];

/// The use of a prefix; datacenters by index. Equal prefixes are sorted by this
/// order, in which a use precedes those that it may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Use {
    Reserved,
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
    /// Whether a prefix of this use may contain one of use `inner`.
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

pub(super) fn check(context: &LintContext<'_>, found: &mut Vec<Diagnostic>) {
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

/// The smallest enclosing prefix that conflicts. If the smallest one may contain this
/// prefix, conflicts with larger ones are reported for that prefix.
fn conflicting<'a>(around: &[&'a Range], inner: &Range) -> Option<&'a Range> {
    let nearest = around.last()?;
    let mut equals = around.iter().rev().take_while(|outer| outer.prefix == nearest.prefix);
    if equals.any(|outer| outer.purpose.may_contain(inner.purpose)) {
        return None;
    }
    Some(nearest)
}

fn report(outer: &Range, inner: &Range) -> Option<Diagnostic> {
    // The diagnostic points to a prefix of the file; fixed prefixes never overlap.
    let (at, other) = match (&inner.span, &outer.span) {
        (Some(span), _) => (span, outer),
        (None, Some(span)) => (span, inner),
        (None, None) => return None,
    };
    let own = if std::ptr::eq(other, outer) { inner } else { outer };
    let code = code(outer.purpose, inner.purpose, outer.prefix == inner.prefix);
    let message = format!("{} {} overlaps {} {}", own.name, own.prefix, other.name, other.prefix);
    let found =
        Diagnostic::error(code, message).at(at.clone(), format!("overlaps {}", other.name)).remedy(
            format!("change one of them: {} and {} must not overlap", own.prefix, other.prefix),
        );
    Some(match &other.span {
        Some(span) if span != at => found.with(span.clone(), format!("{} is here", other.name)),
        _ => found,
    })
}

fn code(outer: Use, inner: Use, equal: bool) -> Code {
    match (outer, inner) {
        (Use::Reserved, _) | (_, Use::Reserved) => Code::RefusedRange,
        (Use::Tailnet, _) | (_, Use::Tailnet) => Code::TailnetRange,
        (Use::WorkerPods(_), Use::WorkerPods(_)) if equal => Code::DuplicatePodCidr,
        _ => Code::Overlap,
    }
}

fn collect(context: &LintContext<'_>) -> Vec<Range> {
    let mut ranges = fixed(context);
    let cluster = &context.topology.cluster;
    let spans = &context.spans.cluster;
    let mut add = |prefix, purpose, name: String, span: &Span| {
        ranges.push(Range { prefix, purpose, name, span: Some(span.clone()) });
    };
    let router = "the cluster router subnet".to_owned();
    add(cluster.router.subnet_cidr, Use::ClusterRouter, router, &spans.router_subnet);
    add(cluster.pod_cidr, Use::Pods, "the pod CIDR".to_owned(), &spans.pod_cidr);
    add(cluster.service_cidr, Use::Services, "the service CIDR".to_owned(), &spans.service_cidr);
    for (at, (datacenter, spans)) in context.datacenters().enumerate() {
        let name = &datacenter.name;
        add(datacenter.network(), Use::Network(at), format!("{name}'s network"), &spans.network);
        if let DatacenterKind::Azure(azure) = &datacenter.kind {
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

/// Prefixes that are not in the file.
fn fixed(context: &LintContext<'_>) -> Vec<Range> {
    let fixed =
        |prefix, purpose, name: &str| Range { prefix, purpose, name: name.to_owned(), span: None };
    let mut ranges = vec![fixed(TAILNET_RANGE, Use::Tailnet, "the Tailscale range")];
    ranges
        .extend(AKS_RESERVED_RANGES.map(|range| fixed(range, Use::Reserved, "the reserved range")));
    // The VNet of an existing cluster is checked against the live state instead.
    if !context.topology.cluster.existing {
        ranges.push(fixed(AKS_DEFAULT_NETWORK, Use::AksVnet, "the AKS VNet"));
        ranges.push(fixed(AKS_NODE_SUBNET, Use::AksNodes, "the AKS node subnet"));
    }
    ranges
}
