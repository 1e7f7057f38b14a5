//! Settings of others that affect the topology's packets on hosts, and that stargate does
//! not undo.

use std::collections::BTreeSet;

use ipnet::Ipv4Net;

use super::{Observation, Scope};
use crate::diagnostics::{Code, Failure};
use crate::net::prefix::overlaps;
use crate::plan::{Finding, FindingSeverity};
use crate::provider::host::TailscaleProbe;
use crate::provider::tailnet::TailnetDevice;
use crate::resource::foreign_rule::{ForeignHop, ForeignRule};

/// The priority of the kernel's rule for table main. Later rules apply to packets without a
/// route in main only.
const MAIN_RULE: u32 = 32_766;
const TUNNEL_DEVICE: &str = "tailscale0";
/// How many prefixes a message names.
const MAX_NAMED: usize = 3;

/// Notes the rules of others on a host that select packets of the topology.
pub(super) fn note_rules(
    name: &str,
    rules: &[ForeignRule],
    scope: &Scope<'_>,
    observation: &mut Observation,
) {
    let ours = prefixes(scope, observation);
    let relevant: Vec<ForeignRule> =
        rules.iter().filter_map(|rule| captures(rule, &ours)).collect();
    for rule in &relevant {
        warn(Code::ForeignHostRouting, describe(name, rule), remedy(name, rule), observation);
    }
    if !relevant.is_empty() {
        observation.inventory.foreign_rules.insert(name.to_owned(), relevant);
    }
}

/// Where pods and machines of the topology are.
fn prefixes(scope: &Scope<'_>, observation: &Observation) -> Vec<Ipv4Net> {
    let datacenters = scope.topology.datacenters.iter();
    let own = datacenters.flat_map(|it| std::iter::once(it.network()).chain(it.pod_pool));
    let cluster = observation.facts.cluster.iter().flat_map(|cluster| &cluster.node_subnets);
    let subnets = cluster.map(|subnet| subnet.prefix);
    own.chain(subnets).chain([scope.topology.cluster.pod_cidr]).collect()
}

/// The rule with the routes that packets of the topology match, if there are any. A rule
/// for a single source is about a host's own traffic.
fn captures(rule: &ForeignRule, ours: &[Ipv4Net]) -> Option<ForeignRule> {
    let concerns = |prefix: &Ipv4Net| ours.iter().any(|own| overlaps(own, prefix));
    if rule.priority >= MAIN_RULE || rule.from.prefix_len() == 32 || !concerns(&rule.to) {
        return None;
    }
    let routes = rule.routes.iter().filter(|(prefix, _)| concerns(prefix));
    let routes: std::collections::BTreeMap<_, _> =
        routes.map(|(prefix, hop)| (*prefix, hop.clone())).collect();
    (!routes.is_empty()).then(|| ForeignRule { routes, ..rule.clone() })
}

fn describe(name: &str, rule: &ForeignRule) -> String {
    let named: Vec<String> = rule.routes.keys().take(MAX_NAMED).map(Ipv4Net::to_string).collect();
    let more = match rule.routes.len().saturating_sub(named.len()) {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    let devices: BTreeSet<&str> = rule.routes.values().filter_map(device).collect();
    let devices = match devices.len() {
        0 => String::new(),
        _ => format!(" (device {})", devices.into_iter().collect::<Vec<_>>().join(", ")),
    };
    format!(
        "{name} has a routing rule that stargate did not set: rule {} looks up packets to {}{more} \
         in table {}{devices}, before the routes of stargate",
        rule.priority,
        named.join(", "),
        rule.table
    )
}

fn device(hop: &ForeignHop) -> Option<&str> {
    match hop {
        ForeignHop::Device(device) => Some(device),
        ForeignHop::Via(_) | ForeignHop::Unreachable => None,
    }
}

fn remedy(name: &str, rule: &ForeignRule) -> String {
    if rule.routes.values().any(|hop| device(hop) == Some(TUNNEL_DEVICE)) {
        return format!(
            "run `tailscale set --accept-routes=false` on {name}: only routers accept the routes \
             of the tailnet"
        );
    }
    format!(
        "find the program that set it (`ip rule show` and `ip route show table {}` on {name}), and \
         remove the rule there",
        rule.table
    )
}

/// Notes obstacles to a router's device that the tailnet reports.
pub(super) fn note_device(name: &str, device: &TailnetDevice, observation: &mut Observation) {
    if let Some(error) = &device.lock_error {
        observation.inventory.locked_out.insert(name.to_owned());
        let message = format!(
            "tailnet lock keeps router {name} out: other devices do not accept its key ({error})"
        );
        let remedy = format!(
            "run `tailscale lock status` on {name}, and `tailscale lock sign` with its key on a \
             signing node"
        );
        warn(Code::RouterTailscaleState, message, remedy, observation);
    }
    if device.blocks_incoming {
        note_shields(name, observation);
    }
}

/// Notes the same, as the host says.
pub(super) fn note_tailscale(name: &str, probe: &TailscaleProbe, observation: &mut Observation) {
    if let Some(node) = &probe.exit_node {
        let message = format!(
            "router {name} uses the exit node {node}: its traffic to the internet goes there"
        );
        let remedy = format!("run `tailscale set --exit-node=` on {name}");
        warn(Code::RouterTailscaleState, message, remedy, observation);
    }
    if probe.shields_up {
        note_shields(name, observation);
    }
}

fn note_shields(name: &str, observation: &mut Observation) {
    if !observation.inventory.blocks_incoming.insert(name.to_owned()) {
        return;
    }
    let message = format!(
        "router {name} refuses connections from the tailnet (shields up): pods behind it cannot be \
         reached"
    );
    let remedy = format!("run `tailscale set --shields-up=false` on {name}");
    warn(Code::RouterTailscaleState, message, remedy, observation);
}

fn warn(code: Code, message: String, remedy: String, observation: &mut Observation) {
    let failure = Failure::new(code, message, remedy);
    observation.findings.push(Finding::new(FindingSeverity::Warning, failure));
}
