//! The scripts for routers.

mod firewall;
pub(super) mod probe;

use super::files;
use super::routing::TUNNEL_DEVICE;
use super::script::{HostScript, Script};
use crate::provider::host::RouterChange;

/// The folder of stargate's files on a router.
const FOLDER: &str = "/etc/stargate/router";
const UNIT: &str = "stargate-router.service";
const SYSCTL_FILE: &str = "/etc/sysctl.d/zz-stargate.conf";

/// The fingerprint of the key that signs Tailscale's packages; see
/// <https://tailscale.com/kb/1485/install-clients>.
const TAILSCALE_KEY: &str = "2596A99EAAB33821893C0A79458CA832957F5868";

/// The unit that restores the configuration whenever it may have been lost.
fn unit() -> String {
    let device = format!("sys-subsystem-net-devices-{TUNNEL_DEVICE}.device");
    let wanted_by = format!("multi-user.target tailscaled.service nftables.service {device}");
    files::unit(FOLDER, &wanted_by)
}

/// The script for a change of a router.
pub(super) fn change(topology: &str, change: &RouterChange) -> HostScript {
    match change {
        RouterChange::Sysctls { ip_forwarding, reverse_path_filter, send_redirects } => {
            let text = files::router_sysctls(*ip_forwarding, *reverse_path_filter, *send_redirects);
            setting(topology, "set the router's sysctls", "sysctls", &text)
        }
        RouterChange::Firewall { masquerade, mss_clamp } => {
            let text = files::firewall(*masquerade, *mss_clamp);
            setting(topology, "set the router's firewall", "firewall", &text)
        }
        RouterChange::LocalPrefixes(prefixes) => {
            setting(topology, "set the router's rules", "rules", &files::rules(prefixes))
        }
        RouterChange::KernelRoutes(routes) => {
            setting(topology, "set the router's kernel routes", "routes", &files::routes(routes))
        }
        RouterChange::TailscaleSettings { accept_routes, snat_subnet_routes } => {
            Script::change("set Tailscale's settings", topology)
                .value("first", &format!("--accept-routes={accept_routes}"))
                .value("second", &format!("--snat-subnet-routes={snat_subnet_routes}"))
                .build(include_str!("../sh/router_tailscale.sh"))
        }
        RouterChange::AdvertisedRoutes(prefixes) => {
            let prefixes: Vec<String> = prefixes.iter().map(ToString::to_string).collect();
            Script::change("advertise routes to the tailnet", topology)
                .value("first", &format!("--advertise-routes={}", prefixes.join(",")))
                .value("second", "")
                .build(include_str!("../sh/router_tailscale.sh"))
        }
        RouterChange::DeviceName(name) => Script::change("set the device's host name", topology)
            .value("first", &format!("--hostname={name}"))
            .value("second", "")
            .build(include_str!("../sh/router_tailscale.sh")),
        RouterChange::ProtectionRecord(block) => {
            let content = block.as_ref().map_or_else(String::new, |block| format!("{block}\n"));
            Script::change("write the router's stamp", topology)
                .value("file", &format!("{FOLDER}/stamp"))
                .value("content", &content)
                .build(include_str!("../sh/router_stamp.sh"))
        }
        RouterChange::JoinTailnet { auth_key } => Script::change("join the tailnet", topology)
            .with_packages()
            .value("folder", FOLDER)
            .value("key_fingerprint", TAILSCALE_KEY)
            .with_stdin(auth_key.clone())
            .build(include_str!("../sh/router_join.sh")),
        RouterChange::Remove => Script::change("clean up the router", topology)
            .with_packages()
            .value("folder", FOLDER)
            .build(include_str!("../sh/router_remove.sh")),
    }
}

/// A change of one part of the kernel's configuration.
fn setting(topology: &str, label: &'static str, part: &str, content: &str) -> HostScript {
    let file = match part {
        "sysctls" => SYSCTL_FILE.to_owned(),
        "firewall" => format!("{FOLDER}/firewall.nft"),
        part => format!("{FOLDER}/{part}"),
    };
    Script::change(label, topology)
        .with_apply(FOLDER, (UNIT, &unit()), part)
        .value("file", &file)
        .value("content", content)
        .build(include_str!("../sh/settings.sh"))
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use super::*;
    use crate::provider::secret::Secret;
    use crate::resource::host::KernelRoute;

    fn prefix(text: &str) -> ipnet::Ipv4Net {
        text.parse().unwrap()
    }

    /// The values and the body of a script, without the tools between them.
    fn rendered(script: &HostScript) -> String {
        let values = script.script.split("# Tools of all scripts").next().unwrap();
        let values = values.split("apply='").next().unwrap();
        format!(
            "{:?}, within {:?}, reads {:?}\n{values}",
            script.label, script.timeout, script.stdin
        )
    }

    #[test]
    fn scripts_read_well() {
        let routes = BTreeMap::from([
            (prefix("10.244.0.0/16"), KernelRoute::Unreachable),
            (prefix("10.244.1.0/24"), KernelRoute::Tunnel),
            (prefix("10.244.65.0/24"), KernelRoute::Via([10, 50, 1, 5].into())),
        ]);
        let prefixes = BTreeSet::from([prefix("10.50.0.0/16"), prefix("10.244.64.0/20")]);
        let changes = [
            RouterChange::Sysctls {
                ip_forwarding: true,
                reverse_path_filter: 2,
                send_redirects: false,
            },
            RouterChange::Firewall { masquerade: true, mss_clamp: true },
            RouterChange::LocalPrefixes(prefixes.clone()),
            RouterChange::KernelRoutes(routes),
            RouterChange::TailscaleSettings { accept_routes: true, snat_subnet_routes: false },
            RouterChange::AdvertisedRoutes(prefixes),
            RouterChange::AdvertisedRoutes(BTreeSet::new()),
            RouterChange::DeviceName("dc1-router".to_owned()),
            RouterChange::ProtectionRecord(Some("datacenters.dc1".to_owned())),
            RouterChange::ProtectionRecord(None),
            RouterChange::JoinTailnet { auth_key: Secret::new("tskey-auth-marked") },
            RouterChange::Remove,
        ];
        let all: Vec<String> = changes.iter().map(|one| rendered(&change("demo", one))).collect();
        assert!(!all.concat().contains("tskey-auth-marked"));
        insta::assert_snapshot!(all.join("\n"));
    }

    #[test]
    fn a_whole_script_reads_well() {
        let sysctls = RouterChange::Sysctls {
            ip_forwarding: true,
            reverse_path_filter: 2,
            send_redirects: false,
        };
        insta::assert_snapshot!(change("demo", &sysctls).script);
    }

    #[test]
    fn a_key_is_in_no_script() {
        let join = RouterChange::JoinTailnet { auth_key: Secret::new("tskey-auth-marked") };
        let script = change("demo", &join);
        assert!(!script.script.contains("tskey-auth-marked"));
        assert!(!format!("{script:?}").contains("tskey-auth-marked"));
        assert_eq!(script.stdin.unwrap().expose(), "tskey-auth-marked");
    }

    #[test]
    fn a_topology_name_cannot_end_its_line() {
        let script = change("demo\nrm -rf /\u{1b}[2J'; id; '", &RouterChange::Remove).script;
        assert!(script.contains("demorm -rf /[2J'\\''; id; '\\''."), "{script}");
        assert!(!script.contains('\u{1b}'));
    }
}
