//! Subnets within their networks, machines within their subnets.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

use super::context::{LintContext, workers};
use crate::diagnostics::Span;
use crate::diagnostics::{Code, Diagnostic, counted};
use crate::net::prefix;
use crate::topology::model::{AzureDatacenter, Datacenter, DatacenterKind};
use crate::topology::spans::DatacenterSpans;

pub(super) fn check(context: &LintContext<'_>, found: &mut Vec<Diagnostic>) {
    let router = context.topology.cluster.router.subnet_cidr;
    let span = &context.spans.cluster.router_subnet;
    if !router_in_vnet(context) {
        found.push(
            Diagnostic::error(
                Code::RouterSubnetOutsideVnet,
                format!(
                    "the router subnet {router} is outside the AKS VNet {}",
                    prefix::AKS_DEFAULT_NETWORK
                ),
            )
            .at(span.clone(), "not in the VNet that AKS creates")
            .remedy("choose a prefix of the VNet outside 10.224.0.0/16, such as \"10.237.0.0/24\""),
        );
    }
    found.extend(too_small(&router, 1, span, "the router subnet"));
    for (datacenter, spans) in context.datacenters() {
        if let DatacenterKind::Azure(azure) = &datacenter.kind {
            subnets(azure, datacenter, spans, found);
        } else if let Some(span) = &spans.router_ip {
            let network = datacenter.network();
            found.extend(misplaced(datacenter.router.ip, &network, false, span));
        }
        machines(datacenter, spans, found);
    }
}

/// Whether the cluster router subnet is in the VNet that AKS creates.
fn router_in_vnet(context: &LintContext<'_>) -> bool {
    let subnet = &context.topology.cluster.router.subnet_cidr;
    // A partial overlap is reported as an overlap.
    context.topology.cluster.existing || prefix::overlaps(&prefix::AKS_DEFAULT_NETWORK, subnet)
}

fn subnets(
    azure: &AzureDatacenter,
    datacenter: &Datacenter,
    spans: &DatacenterSpans,
    found: &mut Vec<Diagnostic>,
) {
    let needed = datacenter.workers.len() as u64;
    let both = [
        (azure.subnet_cidr, &spans.subnet, needed, "the worker subnet"),
        (azure.router_subnet_cidr, &spans.router_subnet, 1, "the router subnet"),
    ];
    for (subnet, span, needed, name) in both {
        let Some(span) = span else { continue };
        if !azure.vnet_cidr.contains(&subnet) {
            found.push(
                Diagnostic::error(
                    Code::SubnetOutsideNetwork,
                    format!("{name} {subnet} is outside the VNet {}", azure.vnet_cidr),
                )
                .at(span.clone(), "not in the VNet")
                .with(spans.network.clone(), "the VNet is here")
                .remedy(format!("choose a prefix within {}", azure.vnet_cidr)),
            );
        }
        found.extend(too_small(&subnet, needed, span, name));
    }
}

fn too_small(subnet: &Ipv4Net, needed: u64, span: &Span, name: &str) -> Option<Diagnostic> {
    let free = prefix::size(subnet).saturating_sub(5);
    if free >= needed && subnet.prefix_len() <= 29 {
        return None;
    }
    let message = format!(
        "{name} {subnet} has {} for {}",
        counted(free, "usable address"),
        counted(needed, "machine")
    );
    let fitting = (2..=29).rev().find(|length| (1_u64 << (32 - length)) >= needed + 5).unwrap_or(2);
    Some(
        Diagnostic::error(Code::SubnetTooSmall, message)
            .at(span.clone(), "too small; Azure reserves five addresses of each subnet")
            .remedy(format!("choose a prefix of length /{fitting} or shorter")),
    )
}

fn machines(datacenter: &Datacenter, spans: &DatacenterSpans, found: &mut Vec<Diagnostic>) {
    let (subnet, azure) = match &datacenter.kind {
        DatacenterKind::Azure(azure) => (azure.subnet_cidr, true),
        DatacenterKind::Existing(existing) => (existing.network_cidr, false),
    };
    let mut last_outside: Option<Span> = None;
    for (worker, spans) in workers(datacenter, spans) {
        let (Some(ip), Some(span)) = (worker.ip, &spans.ip) else { continue };
        // A worker range that exceeds its subnet is reported once.
        if last_outside.as_ref() == Some(span) {
            continue;
        }
        if let Some(one) = misplaced(ip, &subnet, azure, span) {
            found.push(one);
            last_outside = Some(span.clone());
        } else if azure && ip == datacenter.router.ip {
            found.push(reserved(ip, "for the router", &subnet, span));
        }
    }
}

fn misplaced(ip: Ipv4Addr, subnet: &Ipv4Net, azure: bool, span: &Span) -> Option<Diagnostic> {
    if !subnet.contains(&ip) {
        let message = format!("{ip} is outside its subnet {subnet}");
        return Some(
            Diagnostic::error(Code::AddressOutsideSubnet, message)
                .at(span.clone(), format!("not in {subnet}"))
                .remedy(format!(
                    "choose an address within {subnet}, such as \"{}\"",
                    example(subnet)
                )),
        );
    }
    let edge = ip == subnet.network() || ip == subnet.broadcast();
    if azure && prefix::reserved_by_azure(subnet, ip) {
        return Some(reserved(ip, "by Azure", subnet, span));
    }
    (!azure && edge && subnet.prefix_len() < 31)
        .then(|| reserved(ip, "as network or broadcast address", subnet, span))
}

fn reserved(ip: Ipv4Addr, by: &str, subnet: &Ipv4Net, span: &Span) -> Diagnostic {
    Diagnostic::error(Code::ReservedAddress, format!("{ip} is reserved {by}"))
        .at(span.clone(), "reserved")
        .remedy(format!("choose another address within {subnet}, such as \"{}\"", example(subnet)))
}

fn example(subnet: &Ipv4Net) -> Ipv4Addr {
    prefix::host(subnet, 5).unwrap_or_else(|| subnet.network())
}
