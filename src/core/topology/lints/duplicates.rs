//! Names and addresses that must be unique.

use std::collections::HashMap;
use std::hash::Hash;

use super::context::{LintContext, workers};
use crate::diagnostics::Span;
use crate::diagnostics::{Code, Diagnostic};
use crate::topology::model::DatacenterKind;

pub(super) fn check(context: &LintContext<'_>, found: &mut Vec<Diagnostic>) {
    names(context, found);
    resource_groups(context, found);
    let mut macs = FirstUse::new(Code::DuplicateMac, "MAC address");
    for (datacenter, spans) in context.datacenters() {
        let mut addresses = FirstUse::new(Code::DuplicateAddress, "address");
        if let Some(span) = &spans.router_ip {
            addresses.add(datacenter.router.ip, span, found);
        }
        for (worker, spans) in workers(datacenter, spans) {
            if let (Some(ip), Some(span)) = (worker.ip, &spans.ip) {
                addresses.add(ip, span, found);
            }
            if let (Some(mac), Some(span)) = (&worker.mac, &spans.mac) {
                macs.add(mac.as_str(), span, found);
            }
        }
    }
}

/// Workers and routers share a namespace of host names.
fn names(context: &LintContext<'_>, found: &mut Vec<Diagnostic>) {
    let mut seen = FirstUse::new(Code::DuplicateName, "name");
    let cluster = &context.topology.cluster.router;
    seen.add(cluster.name.as_str(), &context.spans.cluster.router_name, found);
    for (datacenter, spans) in context.datacenters() {
        seen.add(datacenter.router.name.as_str(), &spans.router_name, found);
        for (worker, spans) in workers(datacenter, spans) {
            seen.add(worker.name.as_str(), &spans.name, found);
        }
    }
}

/// The resource group of a datacenter is deleted as a whole, so it must not be shared.
fn resource_groups(context: &LintContext<'_>, found: &mut Vec<Diagnostic>) {
    let mut seen = FirstUse::new(Code::DuplicateName, "resource group");
    let cluster = context.topology.cluster.resource_group.as_str().to_lowercase();
    seen.add(cluster, &context.spans.cluster.resource_group, found);
    for (datacenter, spans) in context.datacenters() {
        if let (DatacenterKind::Azure(azure), Some(span)) =
            (&datacenter.kind, &spans.resource_group)
        {
            seen.add(azure.resource_group.as_str().to_lowercase(), span, found);
        }
    }
}

/// Values with the span of their first use.
struct FirstUse<'a, T> {
    code: Code,
    what: &'static str,
    first: HashMap<T, &'a Span>,
}

impl<'a, T: Hash + Eq + std::fmt::Display> FirstUse<'a, T> {
    fn new(code: Code, what: &'static str) -> Self {
        Self { code, what, first: HashMap::new() }
    }

    fn add(&mut self, value: T, span: &'a Span, found: &mut Vec<Diagnostic>) {
        let Some(first) = self.first.get(&value) else {
            self.first.insert(value, span);
            return;
        };
        found.push(
            Diagnostic::error(self.code, format!("duplicate {} `{value}`", self.what))
                .at(span.clone(), "used again here")
                .with((*first).clone(), "first used here")
                .remedy(format!("change the {} of one of them", self.what)),
        );
    }
}
