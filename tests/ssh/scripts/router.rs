//! The life cycle of a router, from a bare machine to the removal of stargate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use ipnet::Ipv4Net;
use stargate::provider::host::{RouterChange, RouterProbe};
use stargate::provider::remote::{parse_router_probe, router_change, router_probe};
use stargate::provider::secret::Secret;
use stargate::resource::host::KernelRoute;

use super::host::Host;

const TAILSCALE_KEY: &str = "2596A99EAAB33821893C0A79458CA832957F5868";

fn prefix(text: &str) -> Ipv4Net {
    text.parse().unwrap()
}

fn probe_host(host: &Host) -> RouterProbe {
    parse_router_probe(host.name(), &host.run_ok(&router_probe())).unwrap()
}

fn change(host: &Host, change: &RouterChange) {
    host.run_ok(&router_change("demo", change));
}

fn expected_routes() -> BTreeMap<Ipv4Net, KernelRoute> {
    BTreeMap::from([
        (prefix("100.64.0.0/10"), KernelRoute::Unreachable),
        (prefix("10.244.0.0/16"), KernelRoute::Unreachable),
        (prefix("10.244.1.0/24"), KernelRoute::Tunnel),
        (prefix("10.224.0.0/16"), KernelRoute::Tunnel),
        (prefix("10.9.9.9/32"), KernelRoute::Tunnel),
        (prefix("10.244.65.0/24"), KernelRoute::Via([10, 50, 1, 5].into())),
    ])
}

fn local_prefixes() -> BTreeSet<Ipv4Net> {
    BTreeSet::from([prefix("10.50.0.0/16"), prefix("10.244.64.0/20"), prefix("10.50.9.9/32")])
}

/// The changes of a datacenter's router, in the order in which they are made.
fn settings() -> Vec<RouterChange> {
    vec![
        RouterChange::Sysctls {
            ip_forwarding: true,
            reverse_path_filter: 2,
            send_redirects: false,
        },
        RouterChange::Firewall { masquerade: true, mss_clamp: true },
        RouterChange::LocalPrefixes(local_prefixes()),
        RouterChange::TailscaleSettings { accept_routes: true, snat_subnet_routes: true },
        RouterChange::KernelRoutes(expected_routes()),
        RouterChange::AdvertisedRoutes(local_prefixes()),
    ]
}

/// A machine with Tailscale in its package source, and its signing key.
fn bare_machine() -> Option<Host> {
    let host = Host::new("dc1-router")?;
    let web = host.stub_file("web");
    fs::create_dir(&web).unwrap();
    fs::write(web.join("jammy.noarmor.gpg"), format!("{TAILSCALE_KEY}\n")).unwrap();
    Some(host)
}

fn join(host: &Host) {
    change(host, &RouterChange::JoinTailnet { auth_key: Secret::new("tskey-auth-marked") });
}

/// A configured router.
fn router() -> Option<Host> {
    let host = bare_machine()?;
    join(&host);
    settings().iter().for_each(|one| change(&host, one));
    host.log_lines();
    Some(host)
}

fn assert_as_expected(host: &Host) {
    let probe = probe_host(host);
    assert!(probe.ip_forwarding && !probe.send_redirects, "{probe:#?}");
    assert_eq!(probe.reverse_path_filter, 2);
    assert!(probe.masquerade && probe.mss_clamp, "{probe:#?}");
    assert_eq!(probe.local_prefixes, local_prefixes());
    assert_eq!(probe.kernel_routes, expected_routes());
    assert!(probe.persistent, "{probe:#?}");
    let tailscale = probe.tailscale.unwrap();
    assert!(tailscale.running && tailscale.accept_routes && tailscale.snat_subnet_routes);
    assert_eq!(tailscale.address, Some([100, 64, 0, 4].into()));
    assert_eq!(tailscale.advertised_routes, local_prefixes());
}

#[test]
fn a_bare_machine_becomes_a_router() {
    let Some(host) = bare_machine() else { return };
    let bare = probe_host(&host);
    assert!(!bare.ip_forwarding && !bare.masquerade && !bare.mss_clamp && !bare.persistent);
    assert!(bare.kernel_routes.is_empty() && bare.local_prefixes.is_empty());
    assert_eq!(bare.tailscale, None);
    assert_eq!(host.files(), "", "a look writes nothing");
    join(&host);
    settings().iter().for_each(|one| change(&host, one));
    assert_as_expected(&host);
}

#[test]
fn a_second_run_changes_nothing() {
    let Some(host) = router() else { return };
    let (files, log_lines) = (host.files(), host.log_lines());
    assert!(files.contains("stargate/router/apply") && log_lines.is_empty());
    let kernel = "ip -4 route show table all proto 117; ip rule; ip -s link show eth0 | head -1";
    let before = host.sh(kernel);
    // The kernel reports every change of a route or rule.
    host.sh("ip -4 monitor route rule </dev/null >/run/heard 2>&1 &
             echo $! >/run/listener; /bin/sleep 0.3");
    for one in settings() {
        change(&host, &one);
    }
    join(&host);
    host.sh("/bin/sleep 0.2; kill $(cat /run/listener)");
    assert_eq!(host.sh("cat /run/heard"), "");
    assert_eq!(host.sh(kernel), before);
    assert_eq!(host.files(), files);
    assert!(!host.log_lines().iter().any(|log_lines| log_lines.contains("daemon-reload")));
    assert_as_expected(&host);
}

#[test]
fn manual_changes_are_detected_and_repaired() {
    let Some(host) = router() else { return };
    let broken = [
        ("sysctl", "echo 0 >/proc/sys/net/ipv4/ip_forward"),
        ("sysctl", "echo 1 >/proc/sys/net/ipv4/conf/all/rp_filter"),
        ("sysctl", "echo 1 >/proc/sys/net/ipv4/conf/eth0/send_redirects"),
        ("sysctl", "rm /etc/sysctl.d/zz-stargate.conf"),
        ("firewall", "nft delete table inet stargate"),
        ("firewall", "nft flush chain inet stargate source"),
        ("firewall", "nft flush chain inet stargate segment"),
        ("firewall", "rm /etc/stargate/router/firewall.nft"),
        ("rules", "ip rule del to 10.50.0.0/16 priority 5200"),
        ("rules", "ip rule add to 10.66.0.0/16 priority 5200 lookup main protocol 117"),
        ("rules", "ip rule add to 10.66.0.0/16 priority 77 lookup 52 protocol 117"),
        ("rules", "rm /etc/stargate/router/rules"),
        ("routes", "ip route del 10.244.65.0/24"),
        ("routes", "ip route del unreachable 10.244.0.0/16"),
        ("routes", "ip route replace 10.244.1.0/24 via 10.50.1.9 proto 117"),
        ("routes", "ip route add 10.66.0.0/16 dev eth0 proto 117"),
        ("routes", "ip route add 10.66.0.0/16 dev eth0 table 52 proto 117"),
        ("routes", "ip route add 10.244.1.0/24 dev eth0 metric 9 proto 117"),
        ("routes", "ip route append 10.244.65.0/24 via 10.50.1.6 proto 117"),
        ("routes", "sed -i 2d /etc/stargate/router/routes"),
        ("routes", "echo 'exit 0' >>/etc/stargate/router/apply"),
        ("routes", "systemctl disable stargate-router.service"),
        ("routes", "rm /etc/systemd/system/stargate-router.service"),
        ("settings", "tailscale set --accept-routes=false"),
        ("settings", "tailscale set --snat-subnet-routes=false"),
        ("offers", "tailscale set --advertise-routes=10.50.0.0/16,10.0.0.0/8"),
    ];
    let whole = probe_host(&host);
    for (part, command) in broken {
        host.sh(command);
        assert_ne!(probe_host(&host), whole, "{command}");
        let place = ["sysctl", "firewall", "rules", "settings", "routes", "offers"]
            .iter()
            .position(|one| *one == part);
        change(&host, &settings()[place.unwrap()]);
        let repaired = probe_host(&host);
        assert_eq!(repaired, whole, "{command}");
    }
}

#[test]
fn foreign_routes_and_rules_are_kept() {
    let Some(host) = router() else { return };
    let theirs = "ip route show proto static; ip route show table 52; ip rule show | grep 4711; \
                  ip route show 10.78.0.0/16; nft list table ip other";
    host.sh("ip route add 10.77.0.0/16 via 10.50.1.9 proto static
             ip route add 10.78.0.0/16 via 10.50.1.9
             ip route add 10.79.0.0/16 dev tailscale0 table 52
             ip rule add to 10.80.0.0/16 priority 4711 lookup 52
             nft add table ip other; nft add chain ip other forward");
    let before = host.sh(theirs);
    settings().iter().for_each(|one| change(&host, one));
    // A foreign route conflicts with one of stargate's: it is kept, and the others are set.
    let mut routes = expected_routes();
    routes.insert(prefix("10.77.0.0/16"), KernelRoute::Tunnel);
    routes.insert(prefix("10.76.0.0/16"), KernelRoute::Tunnel);
    let error = host.run_failing(&router_change("demo", &RouterChange::KernelRoutes(routes)));
    assert!(error.contains("a foreign route conflicts"), "{error}");
    assert!(error.contains("10.77.0.0/16 via 10.50.1.9"), "{error}");
    assert!(probe_host(&host).kernel_routes.contains_key(&prefix("10.76.0.0/16")));
    assert_eq!(host.sh(theirs), before);
    change(&host, &RouterChange::Remove);
    assert_eq!(host.sh(theirs), before);
}

#[test]
fn routes_are_restored_with_the_device_and_after_a_boot() {
    let Some(host) = router() else { return };
    // tailscaled is restarted: its device is deleted, and the routes with it.
    host.sh("ip link del tailscale0");
    let probe = probe_host(&host);
    assert!(!probe.kernel_routes.contains_key(&prefix("10.244.1.0/24")));
    assert!(!probe.persistent);
    let run_unit =
        "sh -euc \"$(sed -n s/ExecStart=//p /etc/systemd/system/stargate-router.service)\"";
    host.sh(run_unit);
    host.sh("ip link add tailscale0 type veth peer name tailnet0
             ip link set tailscale0 up; ip link set tailnet0 up");
    let error = host.sh("sed -n s/WantedBy=//p /etc/systemd/system/stargate-router.service");
    assert!(error.contains("sys-subsystem-net-devices-tailscale0.device"), "{error}");
    assert!(error.contains("tailscaled.service") && error.contains("multi-user.target"), "{error}");
    host.sh(run_unit);
    assert_as_expected(&host);
    // A boot keeps only the files.
    host.sh("ip route flush proto 117; ip rule flush protocol 117; nft flush ruleset
             echo 0 >/proc/sys/net/ipv4/ip_forward
             echo 1 >/proc/sys/net/ipv4/conf/eth0/send_redirects");
    host.sh(run_unit);
    assert_as_expected(&host);
}

#[test]
fn removal_deletes_everything_of_stargate() {
    let Some(host) = router() else { return };
    change(&host, &RouterChange::Remove);
    let probe = probe_host(&host);
    assert!(!probe.ip_forwarding && probe.send_redirects && !probe.masquerade);
    assert!(probe.kernel_routes.is_empty() && probe.local_prefixes.is_empty());
    assert_eq!(probe.tailscale, None, "we brought it");
    assert_eq!(host.sh("find /etc -path '*stargate*'"), "");
    assert_eq!(host.sh("ls -d /run/stargate* 2>/dev/null || true"), "");
    assert_eq!(host.sh("ip route show table all proto 117; nft list ruleset"), "");
    let log_lines = host.log_lines();
    assert!(log_lines.contains(&"tailscale logout".to_owned()), "{log_lines:?}");
    assert!(
        log_lines.contains(&"systemctl disable stargate-router.service".to_owned()),
        "{log_lines:?}"
    );
    change(&host, &RouterChange::Remove);
}

#[test]
fn a_key_is_readable_by_root_only_and_deleted_afterwards() {
    let Some(host) = bare_machine() else { return };
    join(&host);
    let state = host.stub_file("tailscale-state");
    assert_eq!(fs::read_to_string(state.join("key")).unwrap(), "tskey-auth-marked");
    assert_eq!(fs::read_to_string(state.join("key-mode")).unwrap(), "600 root\n700 root\n");
    assert_eq!(
        host.sh("grep -rl tskey-auth-marked /run/stargate* /etc /var 2>/dev/null || true"),
        ""
    );
    let log_lines = host.log_lines().join("\n");
    assert!(!log_lines.contains("tskey-auth-marked"), "{log_lines}");
    assert!(log_lines.contains("--hostname=dc1-router --timeout"), "{log_lines}");
    let list = host.sh("cat /etc/apt/sources.list.d/stargate-tailscale.list");
    assert!(list.starts_with("# Written by stargate for the topology demo."), "{list}");
    assert!(list.contains("https://pkgs.tailscale.com/stable/ubuntu jammy main"), "{list}");
}

#[test]
fn the_package_lists_of_a_first_boot_may_be_locked() {
    let Some(host) = bare_machine() else { return };
    fs::write(host.stub_file("apt-locked"), "2\n").unwrap();
    let join = RouterChange::JoinTailnet { auth_key: Secret::new("key") };
    host.run_ok(&router_change("demo", &join));
    assert!(host.log_lines().iter().any(|line| line.contains("apt-get install tailscale")));
}

#[test]
fn another_failure_of_apt_get_is_not_repeated() {
    let Some(host) = bare_machine() else { return };
    fs::remove_file(host.stub_file("packages/tailscale")).unwrap();
    let join = RouterChange::JoinTailnet { auth_key: Secret::new("key") };
    let error = host.run_failing(&router_change("demo", &join));
    assert!(error.contains("E: no package tailscale"), "{error}");
}

#[test]
fn a_refused_key_is_an_error_and_deleted() {
    let Some(host) = bare_machine() else { return };
    fs::write(host.stub_file("refuse-key"), "").unwrap();
    let join = RouterChange::JoinTailnet { auth_key: Secret::new("tskey-auth-marked") };
    let error = host.run_failing(&router_change("demo", &join));
    assert!(error.contains("invalid key") && !error.contains("marked"), "{error}");
    assert_eq!(host.sh("ls -d /run/stargate* 2>/dev/null || true"), "");
}

#[test]
fn a_package_source_with_another_key_is_not_used() {
    let Some(host) = bare_machine() else { return };
    for keys in ["0123\n".to_owned(), format!("{TAILSCALE_KEY}\n0123\n"), String::new()] {
        fs::write(host.stub_file("web/jammy.noarmor.gpg"), keys).unwrap();
        let join = RouterChange::JoinTailnet { auth_key: Secret::new("key") };
        let error = host.run_failing(&router_change("demo", &join));
        assert!(error.contains("nothing was installed"), "{error}");
        assert!(!host.log_lines().iter().any(|log_lines| log_lines.contains("apt-get install")));
    }
}

#[test]
fn foreign_files_are_not_overwritten() {
    let Some(host) = bare_machine() else { return };
    let sysctls = &settings()[0];
    host.sh("echo 'net.ipv4.ip_forward = 0' >/etc/sysctl.d/zz-stargate.conf");
    let error = host.run_failing(&router_change("demo", sysctls));
    assert!(error.contains("was not written by stargate"), "{error}");
    assert_eq!(host.sh("cat /etc/sysctl.d/zz-stargate.conf"), "net.ipv4.ip_forward = 0\n");
    host.sh("ln -sf /etc/passwd /etc/sysctl.d/zz-stargate.conf");
    let error = host.run_failing(&router_change("demo", sysctls));
    assert!(error.contains("is not a plain file"), "{error}");
    host.sh("rm -r /etc/sysctl.d/zz-stargate.conf /etc/stargate");
    host.run_ok(&router_change("other\u{1b}[2J", sysctls));
    let error = host.run_failing(&router_change("demo", sysctls));
    assert!(error.contains("belongs to another topology"), "{error}");
    assert!(!error.contains('\u{1b}'));
}

#[test]
fn another_host_is_not_changed() {
    let Some(host) = bare_machine() else { return };
    let answer = host.run_ok(&router_probe());
    let error = parse_router_probe("dc2-router", &answer).unwrap_err();
    assert_eq!(error.to_string(), "the host there has the name dc1-router, not dc2-router");
}
