//! The probe of a router.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;
use serde_json::Value;

use super::super::files;
use super::super::foreign_rules::foreign_rules;
use super::super::kernel::{KernelState, kernel_routes, routes_of_others};
use super::super::output::{ProbeError, ProbeOutput};
use super::super::routing::RULE_PRIORITY;
use super::super::script::{HostScript, Script};
use super::firewall::{Firewall, Ruleset};
use crate::provider::host::{RouterProbe, TailscaleProbe};
use crate::provider::printable::line as printable;
use crate::resource::ownership::ROUTE_PROTOCOL;
use crate::resource::protection::record;

const TUNNEL_DEVICE: &str = "tailscale0";

/// The script, which changes nothing.
pub(in super::super) fn script() -> HostScript {
    // The table that Tailscale keeps on every router.
    Script::probe_script("probe the router")
        .value("known_table", "52")
        .build(include_str!("../sh/router_probe.sh"))
}

/// Parses the output.
pub(in super::super) fn parse(hostname: &str, stdout: &str) -> Result<RouterProbe, ProbeError> {
    let output = ProbeOutput::read(hostname, stdout)?;
    let settings = Settings::of(output.text("settings")?.unwrap_or_default())?;
    let routes = kernel_routes(&output)?;
    let rules = local_prefixes(&output)?;
    let firewall = firewall(&output)?;
    let mut probe = RouterProbe {
        hostname: hostname.to_owned(),
        addresses: addresses(&output)?,
        ip_forwarding: settings.ip_forwarding,
        reverse_path_filter: settings.reverse_path_filter,
        send_redirects: settings.send_redirects,
        masquerade: firewall.masquerade,
        mss_clamp: firewall.mss_clamp,
        local_prefixes: rules.known,
        kernel_routes: routes.known,
        routes_of_others: routes_of_others(&output)?,
        foreign_rules: foreign_rules(&output)?,
        persistent: false,
        protected_by: protection_record(&output)?,
        tailscale: tailscale(&output)?,
    };
    probe.persistent = !routes.unexpected && !rules.unexpected && is_persistent(&output, &probe);
    Ok(probe)
}

fn protection_record(output: &ProbeOutput) -> Result<Option<String>, ProbeError> {
    let text = output.text("stamp")?.and_then(files::body);
    let line = text.and_then(|text| text.lines().next()).map(printable);
    Ok(line.and_then(|line| record(&line)))
}

/// The functions of stargate's table. Without `nft` the kernel may still hold a table that
/// was set before, so that nothing is known of it; a host that was never configured has
/// none.
fn firewall(output: &ProbeOutput) -> Result<Firewall, ProbeError> {
    let is_readable = output.text("firewall_tables")?.is_some_and(|text| !text.trim().is_empty());
    if !is_readable && output.has("firewall_file") {
        return Err(ProbeError::Lacks("nft"));
    }
    let ruleset = output.json::<Ruleset>("firewall")?;
    Ok(ruleset.map_or_else(Firewall::default, |ruleset| ruleset.firewall()))
}

/// Whether the files match the kernel, and the unit that restores them is enabled.
fn is_persistent(output: &ProbeOutput, probe: &RouterProbe) -> bool {
    let sysctls =
        files::router_sysctls(probe.ip_forwarding, probe.reverse_path_filter, probe.send_redirects);
    let firewall = files::firewall(probe.masquerade, probe.mss_clamp);
    output.file_has_content("sysctls_file", &sysctls)
        && output.file_has_content("firewall_file", &firewall)
        && output.file_has_content_or_is_absent("rules_file", &files::rules(&probe.local_prefixes))
        && output.file_has_content_or_is_absent("routes_file", &files::routes(&probe.kernel_routes))
        && output.file_has_content("apply", files::APPLY)
        && output.file_has_content("unit", &super::unit())
        && output.line("unit_enabled") == Ok("enabled")
}

/// A part of `ip -j address show`.
#[derive(Debug, Deserialize)]
struct Interface {
    #[serde(rename = "ifname", default)]
    name: String,
    #[serde(rename = "addr_info", default)]
    addresses: Vec<InterfaceAddress>,
}

#[derive(Debug, Deserialize)]
struct InterfaceAddress {
    local: Option<Ipv4Addr>,
}

/// The addresses at which neighbours reach the host.
fn addresses(output: &ProbeOutput) -> Result<BTreeSet<Ipv4Addr>, ProbeError> {
    let interfaces: Option<Vec<Interface>> = output.json("addresses")?;
    let interfaces = interfaces.ok_or(ProbeError::Lacks("ip"))?;
    let own = interfaces.iter().filter(|it| it.name != TUNNEL_DEVICE);
    let addresses = own.flat_map(|interface| &interface.addresses).filter_map(|it| it.local);
    Ok(addresses.filter(|address| !address.is_loopback()).collect())
}

#[derive(Debug)]
struct Settings {
    ip_forwarding: bool,
    reverse_path_filter: u8,
    send_redirects: bool,
}

impl Settings {
    /// Lines such as `conf/all/rp_filter 2`, below `/proc/sys/net/ipv4`.
    fn of(text: &str) -> Result<Self, ProbeError> {
        let values: BTreeMap<&str, &str> =
            text.lines().filter_map(|line| line.rsplit_once(' ')).collect();
        let number = |name: &str| {
            values.get(name).and_then(|value| value.parse::<u8>().ok()).ok_or_else(|| {
                ProbeError::Part { part: "sysctls", reason: format!("{name} is not among them") }
            })
        };
        // The loopback device never sends redirects.
        let redirects = values.iter().any(|(name, value)| {
            name.ends_with("/send_redirects") && !name.starts_with("conf/lo/") && *value != "0"
        });
        // An interface whose own setting is off does not forward packets that arrive on it.
        let stops = values.iter().any(|(name, value)| {
            name.ends_with("/forwarding") && !name.starts_with("conf/lo/") && *value == "0"
        });
        Ok(Self {
            ip_forwarding: number("ip_forward")? != 0 && !stops,
            reverse_path_filter: number("conf/all/rp_filter")?,
            send_redirects: redirects,
        })
    }
}

#[derive(Debug, Deserialize)]
struct Rule {
    #[serde(default)]
    priority: u32,
    dst: Option<Ipv4Addr>,
    dstlen: Option<u8>,
    table: Option<String>,
    protocol: Option<String>,
    #[serde(flatten)]
    more: BTreeMap<String, Value>,
}

impl Rule {
    fn is_ours(&self) -> bool {
        self.protocol.as_deref() == Some(&ROUTE_PROTOCOL.to_string())
    }

    /// The prefix, if the rule has stargate's form.
    fn prefix(&self) -> Option<Ipv4Net> {
        let plain = self.priority == RULE_PRIORITY
            && self.table.as_deref() == Some("main")
            && self.more.iter().all(|(name, value)| name == "src" && value == "all");
        let prefix = Ipv4Net::new(self.dst?, self.dstlen.unwrap_or(32)).ok()?;
        plain.then_some(prefix)
    }
}

fn local_prefixes(output: &ProbeOutput) -> Result<KernelState<BTreeSet<Ipv4Net>>, ProbeError> {
    let rules: Option<Vec<Value>> = output.json("rules")?;
    let rules = rules.ok_or(ProbeError::Lacks("ip"))?;
    let mut found: KernelState<BTreeSet<Ipv4Net>> = KernelState::default();
    for value in rules {
        let protocol = value["protocol"].as_str().and_then(|text| text.parse().ok());
        let is_ours = protocol == Some(ROUTE_PROTOCOL);
        let Ok(rule) = serde_json::from_value::<Rule>(value) else {
            // Rules of others may have any form, and one of ours only its own.
            found.unexpected |= is_ours;
            continue;
        };
        match (rule.is_ours(), rule.prefix()) {
            (false, _) => {}
            (true, Some(prefix)) => found.unexpected |= !found.known.insert(prefix),
            (true, None) => found.unexpected = true,
        }
    }
    Ok(found)
}

/// A part of `tailscale status --json` (`ipn/ipnstate`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Status {
    #[serde(default)]
    backend_state: String,
    #[serde(rename = "TailscaleIPs")]
    addresses: Option<Vec<IpAddr>>,
    #[serde(rename = "Self")]
    own: Option<OwnStatus>,
}

/// The part of the status about the device itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct OwnStatus {
    primary_routes: Option<Vec<IpNet>>,
}

/// A part of `tailscale debug prefs` (`ipn/prefs.go`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Preferences {
    #[serde(default)]
    route_all: bool,
    #[serde(rename = "NoSNAT", default)]
    no_snat: bool,
    advertise_routes: Option<Vec<IpNet>>,
    #[serde(rename = "ExitNodeID", default)]
    exit_node_id: String,
    #[serde(rename = "ExitNodeIP", default)]
    exit_node_ip: String,
    #[serde(default)]
    shields_up: bool,
}

impl Preferences {
    /// The exit node that is used, by its id or address.
    fn exit_node(&self) -> Option<String> {
        let chosen = [&self.exit_node_id, &self.exit_node_ip];
        chosen.into_iter().find(|text| !text.is_empty()).map(|text| printable(text))
    }
}

fn tailscale(output: &ProbeOutput) -> Result<Option<TailscaleProbe>, ProbeError> {
    if !output.has("tailscale_status") {
        return Ok(None);
    }
    let status: Option<Status> = output.json("tailscale_status")?;
    let settings: Option<Preferences> = output.json("tailscale_settings")?;
    let running = status.as_ref().is_some_and(|status| status.backend_state == "Running");
    if running && settings.is_none() {
        let reason = "`tailscale debug prefs` printed nothing".to_owned();
        return Err(ProbeError::Part { part: "tailscale_settings", reason });
    }
    let addresses = status.iter().filter_map(|status| status.addresses.as_ref()).flatten();
    let ipv4 = |address: &IpAddr| match address {
        IpAddr::V4(address) => Some(*address),
        IpAddr::V6(_) => None,
    };
    let own = status.iter().filter_map(|status| status.own.as_ref());
    let primary = own.filter_map(|own| own.primary_routes.as_ref()).flatten();
    let advertised = settings.iter().filter_map(|settings| settings.advertise_routes.as_ref());
    // An exit node also advertises the default routes; `tailscale set` leaves them unchanged, and
    // so does stargate.
    let prefix = |prefix: &IpNet| match prefix {
        IpNet::V4(prefix) if prefix.prefix_len() > 0 => Some(*prefix),
        _ => None,
    };
    Ok(Some(TailscaleProbe {
        running,
        address: addresses.filter_map(ipv4).next(),
        advertised_routes: advertised.flatten().filter_map(prefix).collect(),
        primary_routes: primary.filter_map(prefix).collect(),
        exit_node: settings.as_ref().and_then(Preferences::exit_node),
        shields_up: settings.as_ref().is_some_and(|settings| settings.shields_up),
        accept_routes: settings.as_ref().is_some_and(|settings| settings.route_all),
        snat_subnet_routes: settings.as_ref().is_some_and(|settings| !settings.no_snat),
    }))
}

#[cfg(test)]
mod tests;
