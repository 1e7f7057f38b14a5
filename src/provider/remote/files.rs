//! The content of the files that stargate writes on hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use ipnet::Ipv4Net;

use super::routing::TUNNEL_DEVICE;
use crate::resource::host::KernelRoute;

/// The start of the first line of each of these files.
pub(super) const FILE_HEADER: &str = "# Written by stargate for the topology ";

/// The program on the host that configures the kernel from the files.
pub(super) const APPLY: &str = include_str!("sh/apply.sh");

/// The maximum TCP payload in a packet of 1280 bytes, Tailscale's MTU on every system
/// (`net/tstun/mtu.go`), after IPv4 and TCP headers without options.
const SEGMENT_IPV4: u16 = 1_240;
/// The same after an IPv6 header.
const SEGMENT_IPV6: u16 = 1_220;

/// The first line of a file of this topology.
///
/// Characters that could end the line are removed here, although the name is validated elsewhere.
pub(super) fn header(topology: &str) -> String {
    let name: String = topology.chars().filter(|character| !character.is_control()).collect();
    format!("{FILE_HEADER}{name}. Changes by hand are overwritten.")
}

/// The content of a file after stargate's first line; `None` if it has no such line.
pub(super) fn body(text: &str) -> Option<&str> {
    let (first, rest) = text.split_once('\n')?;
    first.starts_with(FILE_HEADER).then_some(rest)
}

/// The router's sysctls.
///
/// Redirects are sent if either `all` or the interface enables them, and `default` is the initial
/// value of a new interface.
pub(super) fn router_sysctls(forwarding: bool, path_filter: u8, redirects: bool) -> String {
    let (forwarding, redirects) = (u8::from(forwarding), u8::from(redirects));
    format!(
        "net.ipv4.ip_forward = {forwarding}\n\
         net.ipv4.conf.all.rp_filter = {path_filter}\n\
         net.ipv4.conf.all.send_redirects = {redirects}\n\
         net.ipv4.conf.default.send_redirects = {redirects}\n"
    )
}

/// The firewall, as one transaction that replaces stargate's table.
///
/// The MSS is clamped in both directions: packets from the tunnel leave by an interface
/// with another MTU than the tunnel, so the size is explicit.
pub(super) fn firewall(masquerade: bool, mss_clamp: bool) -> String {
    let mut text = String::from("table inet stargate\ndelete table inet stargate\n");
    if !masquerade && !mss_clamp {
        return text;
    }
    text.push_str("table inet stargate {\n");
    if masquerade {
        let _ = write!(
            text,
            "  chain source {{\n    \
             type nat hook postrouting priority srcnat; policy accept;\n    \
             meta nfproto ipv4 oifname \"{TUNNEL_DEVICE}\" masquerade\n  }}\n"
        );
    }
    if mss_clamp {
        text.push_str(
            "  chain segment {\n    type filter hook forward priority mangle; policy accept;\n",
        );
        for (family, size) in [("ipv4", SEGMENT_IPV4), ("ipv6", SEGMENT_IPV6)] {
            for side in ["oifname", "iifname"] {
                let _ = writeln!(
                    text,
                    "    meta nfproto {family} {side} \"{TUNNEL_DEVICE}\" tcp flags & (syn | rst) \
                     == syn tcp option maxseg size > {size} tcp option maxseg size set {size}"
                );
            }
        }
        text.push_str("  }\n");
    }
    text.push_str("}\n");
    text
}

/// The maximum segment size that [`firewall`] sets, by family as nft names it.
pub(super) fn segment_size(family: &str) -> u64 {
    if family == "ipv6" { SEGMENT_IPV6.into() } else { SEGMENT_IPV4.into() }
}

/// Prefixes that are looked up in table main first, one per line.
pub(super) fn rules(prefixes: &BTreeSet<Ipv4Net>) -> String {
    prefixes.iter().fold(String::new(), |mut text, prefix| {
        let _ = writeln!(text, "{prefix}");
        text
    })
}

/// Routes, one per line: a prefix and its next hop.
pub(super) fn routes(routes: &BTreeMap<Ipv4Net, KernelRoute>) -> String {
    routes.iter().fold(String::new(), |mut text, (prefix, route)| {
        let _ = match route {
            KernelRoute::Tunnel => writeln!(text, "{prefix} tunnel"),
            KernelRoute::Via(hop) => writeln!(text, "{prefix} via {hop}"),
            KernelRoute::Unreachable => writeln!(text, "{prefix} unreachable"),
        };
        text
    })
}

/// The unit that runs [`APPLY`] in a folder.
///
/// It does not stay active, so that each unit that wants it starts it again: at boot, when
/// tailscaled is restarted, when its device appears, and when the system's own firewall is loaded,
/// which may flush stargate's.
pub(super) fn unit(folder: &str, wanted_by: &str) -> String {
    format!(
        "[Unit]\n\
         Description=Kernel routes, rules and firewall of stargate\n\
         Wants=network-online.target\n\
         After=network-online.target systemd-sysctl.service systemd-modules-load.service \
         swap.target nftables.service tailscaled.service\n\
         StartLimitIntervalSec=0\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart=/bin/sh {folder}/apply\n\
         Restart=on-failure\n\
         RestartSec=15\n\
         \n\
         [Install]\n\
         WantedBy={wanted_by}\n"
    )
}
