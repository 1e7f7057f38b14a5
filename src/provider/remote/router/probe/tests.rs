use super::super::super::test_probe_output::TestProbeOutput;
use super::*;
use crate::resource::host::KernelRoute;

/// As printed by iproute2 6.1, nftables 1.0.6 and Tailscale.
const ROUTES: &str = r#"[{"type":"unreachable","dst":"10.244.0.0/16","metric":1000000,"flags":[]},
    {"dst":"10.244.1.0/24","dev":"tailscale0","scope":"link","flags":["linkdown"]},
    {"dst":"10.244.65.0/24","gateway":"10.50.1.5","dev":"eth0","flags":[]},
    {"dst":"10.9.9.9","dev":"tailscale0","scope":"link","flags":[]}]"#;
/// Interfaces without an IPv4 address are empty objects.
const ADDRESSES: &str = r#"[{"ifindex":1,"ifname":"lo","addr_info":[{"family":"inet","local":"127.0.0.1","prefixlen":8}]},
    {},{"ifindex":2,"ifname":"eth0","addr_info":[{"family":"inet","local":"10.50.0.4","prefixlen":24},
        {"family":"inet","local":"10.50.0.9","prefixlen":24,"secondary":true}]},
    {"ifindex":3,"ifname":"tailscale0","addr_info":[{"family":"inet","local":"100.101.102.103","prefixlen":32}]}]"#;
const RULES: &str = r#"[{"priority":0,"src":"all","table":"local"},
    {"priority":5200,"src":"all","dst":"10.50.0.0","dstlen":16,"table":"main","protocol":"117"},
    {"priority":5200,"src":"all","dst":"10.50.0.9","table":"main","protocol":"117"},
    {"priority":5210,"src":"all","fwmark":"0x80000","fwmask":"0xff0000","table":"main"},
    {"priority":5270,"src":"all","table":"52"},
    {"not":null,"priority":9000,"src":"all","table":"main"},
    {"priority":32766,"src":"all","table":"main"}]"#;
const STATUS: &str = r#"{"Version":"1.80.2-t","TUN":true,"BackendState":"Running","HaveNodeKey":true,
    "TailscaleIPs":["fd7a:115c:a1e0::1","100.101.102.103"],"Self":{"ID":"n1"},"Health":[],"Peer":null}"#;
const PREFERENCES: &str = r#"{"ControlURL":"https://controlplane.tailscale.com","RouteAll":true,
    "NoSNAT":true,"AdvertiseRoutes":["10.50.0.0/16","0.0.0.0/0","::/0","fd00::/8"],"NetfilterMode":2}"#;
const SETTINGS: &str = "ip_forward 1\nconf/all/rp_filter 2\nconf/all/send_redirects 0\n\
    conf/default/send_redirects 0\nconf/lo/send_redirects 1\nconf/eth0/send_redirects 0\n";

fn firewall_json() -> String {
    let clamp = |family: &str, side: &str, size: u64| {
        serde_json::json!({"rule": {"chain": "segment", "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": family}},
            {"match": {"op": "==", "left": {"meta": {"key": side}}, "right": "tailscale0"}},
            {"match": {"op": "==", "right": "syn",
                "left": {"&": [{"payload": {"protocol": "tcp", "field": "flags"}}, ["syn", "rst"]]}}},
            {"match": {"op": ">", "right": size,
                "left": {"tcp option": {"name": "maxseg", "field": "size"}}}},
            {"mangle": {"key": {"tcp option": {"name": "maxseg", "field": "size"}}, "value": size}},
        ]}})
    };
    serde_json::json!({"nftables": [
        {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
        {"table": {"family": "inet", "name": "stargate", "handle": 1}},
        {"chain": {"name": "source", "type": "nat", "hook": "postrouting", "prio": 100}},
        {"chain": {"name": "segment", "type": "filter", "hook": "forward", "prio": -150}},
        {"rule": {"chain": "source", "expr": [
            {"match": {"op": "==", "left": {"meta": {"key": "nfproto"}}, "right": "ipv4"}},
            {"match": {"op": "==", "left": {"meta": {"key": "oifname"}}, "right": "tailscale0"}},
            {"masquerade": null},
        ]}},
        clamp("ipv4", "oifname", 1240), clamp("ipv4", "iifname", 1240),
        clamp("ipv6", "oifname", 1220), clamp("ipv6", "iifname", 1220),
    ]})
    .to_string()
}

/// A fully configured router.
fn configured() -> TestProbeOutput {
    TestProbeOutput::of("dc1-router")
        .with("settings", SETTINGS)
        .with("addresses", ADDRESSES)
        .with("routes", ROUTES)
        .with("rules", RULES)
        .with("firewall_tables", "{\"nftables\":[]}")
        .with("firewall", &firewall_json())
        .with("tailscale_status", STATUS)
        .with("tailscale_settings", PREFERENCES)
        .with("unit_enabled", "enabled\n")
        .with_file("unit", &super::super::unit())
        .with_file("sysctls_file", &files::router_sysctls(true, 2, false))
        .with_file("firewall_file", &files::firewall(true, true))
        .with_file("rules_file", "10.50.0.0/16\n10.50.0.9/32\n")
        .with_file(
            "routes_file",
            "10.9.9.9/32 tunnel\n10.244.0.0/16 unreachable\n10.244.1.0/24 tunnel\n\
             10.244.65.0/24 via 10.50.1.5\n",
        )
        .with_file("apply", files::APPLY)
        .with_file("stamp", "datacenters.dc1\n")
}

fn parsed(output: &TestProbeOutput) -> RouterProbe {
    parse("dc1-router", &output.line()).unwrap()
}

#[test]
fn a_configured_router_is_read() {
    let probe = parsed(&configured());
    let prefix = |text: &str| text.parse::<Ipv4Net>().unwrap();
    assert_eq!(probe.hostname, "dc1-router");
    assert!(probe.ip_forwarding && !probe.send_redirects && probe.persistent);
    assert_eq!(probe.reverse_path_filter, 2);
    assert!(probe.masquerade && probe.mss_clamp);
    assert_eq!(probe.local_prefixes, [prefix("10.50.0.0/16"), prefix("10.50.0.9/32")].into());
    assert_eq!(probe.kernel_routes[&prefix("10.244.0.0/16")], KernelRoute::Unreachable);
    assert_eq!(probe.kernel_routes[&prefix("10.244.1.0/24")], KernelRoute::Tunnel);
    assert_eq!(probe.kernel_routes[&prefix("10.9.9.9/32")], KernelRoute::Tunnel);
    let via = KernelRoute::Via([10, 50, 1, 5].into());
    assert_eq!(probe.kernel_routes[&prefix("10.244.65.0/24")], via);
    assert_eq!(probe.protected_by.as_deref(), Some("datacenters.dc1"));
    assert_eq!(parsed(&configured().with_file("stamp", "")).protected_by, None);
    assert_eq!(parsed(&configured().without("stamp")).protected_by, None);
    let tailscale = probe.tailscale.unwrap();
    assert!(tailscale.running && tailscale.accept_routes && !tailscale.snat_subnet_routes);
    assert_eq!(tailscale.address, Some([100, 101, 102, 103].into()));
    assert_eq!(probe.addresses, [[10, 50, 0, 4].into(), [10, 50, 0, 9].into()].into());
    assert_eq!(tailscale.advertised_routes, [prefix("10.50.0.0/16")].into());
}

#[test]
fn foreign_routes_are_formatted_like_ip_s_output() {
    let table = r#"[{"dst":"default","gateway":"10.50.0.1","dev":"eth0","protocol":"dhcp","metric":100,"flags":[]},
        {"dst":"10.50.0.0/24","dev":"eth0","protocol":"kernel","scope":"link","prefsrc":"10.50.0.4","flags":[]},
        {"type":"unreachable","dst":"10.77.0.0/16","protocol":"static","metric":1000000,"flags":[]},
        {"dst":"10.244.65.0/24","gateway":"10.50.1.5","dev":"eth0","protocol":"117","flags":[]}]"#;
    let probe = parsed(&configured().with("main_table", table));
    let rendered: Vec<&str> = probe.routes_of_others.values().map(String::as_str).collect();
    assert_eq!(
        rendered,
        [
            "default via 10.50.0.1 dev eth0 proto dhcp metric 100",
            "10.50.0.0/24 dev eth0 proto kernel",
            "10.77.0.0/16 type unreachable proto static metric 1000000",
        ]
    );
    let prefix = |text: &str| text.parse::<Ipv4Net>().unwrap();
    assert!(probe.routes_of_others.contains_key(&(prefix("10.77.0.0/16"), 1_000_000)));
}

#[test]
fn a_bare_host_is_read() {
    let output = TestProbeOutput::of("dc1-router")
        .with("settings", "ip_forward 0\nconf/all/rp_filter 1\nconf/eth0/send_redirects 1\n")
        .with("addresses", "[]")
        .with("routes", "[]")
        .with("rules", r#"[{"priority":0,"src":"all","table":"local"}]"#)
        .without("firewall")
        .without("tailscale_status");
    let probe = parsed(&output);
    assert!(!probe.ip_forwarding && probe.send_redirects && !probe.persistent);
    assert_eq!((probe.masquerade, probe.mss_clamp, probe.tailscale), (false, false, None));
    assert!(probe.kernel_routes.is_empty() && probe.local_prefixes.is_empty());
    // Without the table nft prints nothing, and so does Tailscale without the daemon.
    let silent = output.with("firewall", "").with("tailscale_status", "");
    let tailscale = parsed(&silent).tailscale.unwrap();
    assert!(!tailscale.running && tailscale.advertised_routes.is_empty());
}

#[test]
fn missing_persistence_is_detected() {
    let lost = [
        configured().with("unit_enabled", "disabled\n"),
        configured().without("unit"),
        configured().with_file("apply", "exit 0\n"),
        configured().with("sysctls_file", "net.ipv4.ip_forward = 1\n"),
        configured().with_file("firewall_file", &files::firewall(false, true)),
        configured().without("rules_file"),
        configured().with_file("routes_file", "10.244.0.0/16 unreachable\n"),
        // Stargate's protocol number, but not stargate's form.
        configured().with("routes", &ROUTES.replace("1000000", "5")),
        configured().with("routes", &ROUTES.replace("[{", r#"[{"dst":"10.0.0.0/8","dev":"x"},{"#)),
        configured().with("rules", &RULES.replace("5200", "5300")),
    ];
    for output in lost {
        assert!(!parsed(&output).persistent, "{output:?}");
    }
}

#[test]
fn a_missing_firewall_rule_disables_mss_clamping() {
    for (from, to) in [("1240", "1460"), ("iifname", "oifname"), ("tailscale0", "eth0")] {
        let probe = parsed(&configured().with("firewall", &firewall_json().replacen(from, to, 9)));
        assert!(!probe.mss_clamp, "{from} {to}");
    }
}

/// Without `nft`, or where it fails, nothing is known of a firewall that was set before.
#[test]
fn a_firewall_that_cannot_be_read_is_unknown() {
    for output in [
        configured().without("firewall").without("firewall_tables"),
        configured().with("firewall", "").with("firewall_tables", ""),
    ] {
        assert_eq!(parse("dc1-router", &output.line()), Err(ProbeError::Lacks("nft")));
    }
}

#[test]
fn effects_that_no_file_shows_are_read() {
    let stopped = SETTINGS.replace("ip_forward 1", "ip_forward 1\nconf/eth1/forwarding 0");
    assert!(!parsed(&configured().with("settings", &stopped)).ip_forwarding);
    let tables = "vpn [{\"dst\":\"10.0.0.0/8\",\"dev\":\"wg0\"}]\n";
    let rules = RULES.replace(
        "{\"priority\":32766",
        "{\"priority\":99,\"src\":\"all\",\"table\":\"vpn\"},{\"priority\":32766",
    );
    let probe = parsed(&configured().with("tables", tables).with("rules", &rules));
    assert_eq!(probe.foreign_rules.len(), 1);
    let preferences = PREFERENCES.replacen(
        '{',
        "{\"ExitNodeID\":\"n9\",\"ExitNodeIP\":\"\",\"ShieldsUp\":true,",
        1,
    );
    let tailscale = parsed(&configured().with("tailscale_settings", &preferences)).tailscale;
    let tailscale = tailscale.unwrap();
    assert_eq!(tailscale.exit_node.as_deref(), Some("n9"));
    assert!(tailscale.shields_up);
}

#[test]
fn a_lower_metric_wins_and_is_unexpected() {
    let twice = r#"[{"dst":"10.1.0.0/16","dev":"tailscale0"},
        {"type":"unreachable","dst":"10.1.0.0/16","metric":1000000}]"#;
    let probe = parsed(&configured().with("routes", twice));
    assert_eq!(probe.kernel_routes[&"10.1.0.0/16".parse().unwrap()], KernelRoute::Tunnel);
    assert!(!probe.persistent);
}

#[test]
fn output_of_another_host_is_refused() {
    for (name, rendered) in [
        ("dc2-router", "dc2-router"),
        ("", ""),
        ("dc1-router-2", "dc1-router-2"),
        ("\u{1b}[2Jdc1-router", "\\u{1b}[2Jdc1-router"),
    ] {
        let error = parse("dc1-router", &TestProbeOutput::of(name).line()).unwrap_err();
        let expected =
            ProbeError::OtherHost { expected: "dc1-router".to_owned(), found: rendered.to_owned() };
        assert_eq!(error, expected);
    }
    let long = parse("dc1-router", &TestProbeOutput::of(&"x".repeat(100_000)).line()).unwrap_err();
    assert!(long.to_string().len() < 200, "{long}");
}

#[test]
fn the_host_name_may_include_its_domain() {
    let parts = configured().with("hostname", "DC1-Router.example.com\n");
    assert_eq!(parse("dc1-router", &parts.line()).unwrap().hostname, "dc1-router");
    assert!(parse("dc1-router.example.org", &parts.line()).is_err());
}

#[test]
fn output_of_login_scripts_is_ignored() {
    let text = format!("Welcome!\n\n{}bye\n", configured().line());
    assert!(parse("dc1-router", &text).is_ok());
}

#[test]
fn hostile_output_gives_printable_errors() {
    let line = configured().line();
    let responses = [
        String::new(),
        "\u{1b}]0;owned\u{7} Permission denied".to_owned(),
        line[..line.len() / 2].to_owned(),
        format!("{line}{line}"),
        line.replace("\"routes\":\"", "\"routes\":\"*"),
        line.replace("\"routes\":\"", "\"routes\":[],\"x\":\""),
        "x".repeat(super::super::super::MAX_OUTPUT + 1),
        configured().without("routes").line(),
        configured().without("rules").line(),
        configured().without("addresses").line(),
        configured().with("addresses", r#"[{"addr_info":[{"local":"eth0"}]}]"#).line(),
        configured().with("settings", "").line(),
        configured().with("settings", &SETTINGS.replace("rp_filter 2", "rp_filter 999")).line(),
        configured().with("routes", "{}").line(),
        configured().with("routes", r#"[{"dst":7}]"#).line(),
        configured().with("routes", "[[[[[[[[").line(),
        configured().with("rules", "null").line(),
        configured().with("tailscale_status", "{\"BackendState\":{}}").line(),
        configured().with("tailscale_settings", "{\"AdvertiseRoutes\":[\"all\"]}").line(),
        configured().with("firewall", "{\"nftables\":\"\u{1b}[31m\"}").line(),
        format!("{{\"stargate-probe\":1,{}", "[".repeat(100_000)),
    ];
    for output in responses {
        let error = parse("dc1-router", &output).unwrap_err().to_string();
        assert!(!error.contains(char::is_control), "{error:?}");
        assert!(error.len() < 300, "{error}");
    }
}
