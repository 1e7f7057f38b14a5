use super::super::super::test_probe_output::TestProbeOutput;
use super::super::UNIT;
use super::*;
use crate::resource::digest::text_digest;

const ROUTES: &str = r#"[{"dst":"10.244.0.0/16","gateway":"10.60.0.2","dev":"eth0","flags":[]}]"#;
/// As tailscaled sets them.
const RULES: &str = r#"[{"priority":0,"src":"all","table":"local"},
    {"priority":5210,"src":"all","fwmark":"0x80000","fwmask":"0xff0000","table":"main"},
    {"priority":5250,"src":"all","fwmark":"0x80000","fwmask":"0xff0000","action":"unreachable"},
    {"priority":5270,"src":"all","table":"52"},
    {"priority":32766,"src":"all","table":"main"}]"#;
const CA: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
const SUMS: &str = "aa  /opt/cni/bin/host-local\nbb  /opt/cni/bin/loopback\n";

/// A fully configured worker.
fn joined() -> TestProbeOutput {
    let pinned = CniRelease::pinned().digest_amd64;
    TestProbeOutput::of("dc1-w1")
        .with("architecture", "x86_64\n")
        .with("forwarding", "1\n")
        .with("modules", "overlay\nbr_netfilter\n")
        .with("swap", "")
        .with("sysctls", SYSCTLS)
        .with("rules", RULES)
        .with("tables", "52 [{\"dst\":\"100.101.102.103\",\"dev\":\"tailscale0\"}]\n")
        .with_file("sysctls_file", SYSCTLS)
        .with_file("modules_file", MODULES)
        .with("containerd", "containerd github.com/containerd/containerd 1.7.34 abc\n")
        .with_file("containerd_file", containerd::VERSION_1)
        .with("containerd_active", "active\n")
        .with("kubelet", "Kubernetes v1.33.7\n")
        .with("kubelet_active", "active\n")
        .with_file("kubelet_digest", "desired 0123\n")
        .with("kubelet_sum", "0123  -\n")
        .with("staged", "")
        .with_file("cni_plugins", &format!("{pinned}\n{SUMS}"))
        .with("cni_sums", SUMS)
        .with("cni_file", &cni::conflist("10.244.65.0/24".parse().unwrap()))
        .with("cni_chosen", "00-stargate.conflist\n")
        .with("cluster_ca", &format!("{}  /etc/stargate/worker/ca.crt\n", text_digest(CA)))
        .with("certificate", "yes\n")
        .with("bootstrap", "")
        .with_file("stamp", "stamped\n")
        .with("routes", ROUTES)
        .with_file("routes_file", "10.244.0.0/16 via 10.60.0.2\n")
        .with_file("apply", files::APPLY)
        .with_file("unit", &super::super::unit())
        .with("unit_enabled", "enabled\n")
}

fn parsed(output: &TestProbeOutput) -> WorkerProbe {
    parse("dc1-w1", &output.line()).unwrap()
}

#[test]
fn a_joined_worker_is_read() {
    let probe = parsed(&joined());
    assert_eq!(probe.architecture, "x86_64");
    assert_eq!(probe.modules.len(), 2);
    assert_eq!(probe.container_runtime_version.as_deref(), Some("1.7.34"));
    assert_eq!(probe.kubelet_version, Some("1.33.7".parse().unwrap()));
    assert!(probe.cni_plugins && probe.client_certificate && !probe.bootstrap_kubeconfig);
    assert_eq!(probe.cluster_ca_digest, Some(text_digest(CA)));
    assert_eq!(probe.kubelet_configuration_digest.as_deref(), Some("desired"));
    assert!(probe.routes_persistent);
    let host = probe.host;
    assert_eq!(host.cni_configuration, Some("10.244.65.0/24".parse().unwrap()));
    assert_eq!(host.cni_chosen.as_deref(), Some("00-stargate.conflist"));
    assert!(host.ip_forwarding && host.swap.is_empty() && host.persistent);
    assert_eq!(host.wrong_sysctls, BTreeMap::new());
    assert!(host.container_runtime_active && host.kubelet_active);
    assert_eq!(host.kernel_routes.len(), 1);
    assert_eq!(host.stamp.as_deref(), Some("stamped"));
}

#[test]
fn a_bare_machine_is_read() {
    let bare = TestProbeOutput::of("dc1-w1.example.com")
        .with("architecture", "aarch64\n")
        .with("forwarding", "0\n")
        .with("swap", "/swapfile\n")
        .with("routes", "[]")
        .without("containerd")
        .without("kubelet")
        .without("stamp");
    let probe = parsed(&bare);
    assert_eq!(probe.architecture, "aarch64");
    assert!(probe.modules.is_empty() && !probe.cni_plugins && !probe.client_certificate);
    assert_eq!((probe.container_runtime_version, probe.kubelet_version), (None, None));
    assert_eq!((probe.cluster_ca_digest, probe.kubelet_configuration_digest), (None, None));
    assert!(!probe.host.ip_forwarding && !probe.host.persistent);
    assert_eq!(probe.host.swap.len(), 1);
    assert_eq!((probe.host.stamp, probe.host.cni_chosen), (None, None));
    assert!(probe.routes_persistent, "no routes to restore");
}

#[test]
fn wrong_sysctls_and_rules_of_others_are_named() {
    let output = joined()
        .with("sysctls", &SYSCTLS.replace("vm.panic_on_oom = 0", "vm.panic_on_oom = 1"))
        .with("tables", r#"52 [{"dst":"10.60.0.0/16","dev":"tailscale0","flags":[]},{"dst":"default","gateway":"10.9.9.9","dev":"wg0"},{"type":"throw","dst":"10.0.0.0/8"}]"#);
    let probe = parsed(&output);
    let wrong = BTreeMap::from([("vm.panic_on_oom".to_owned(), "1".to_owned())]);
    assert_eq!(probe.host.wrong_sysctls, wrong);
    let [rule] = &probe.foreign_rules[..] else { panic!("{:?}", probe.foreign_rules) };
    assert_eq!((rule.priority, rule.table.as_str(), rule.from), (5270, "52", Ipv4Net::default()));
    let routes: Vec<String> =
        rule.routes.iter().map(|(prefix, hop)| format!("{prefix} {hop:?}")).collect();
    assert_eq!(routes, ["0.0.0.0/0 Via(10.9.9.9)", "10.60.0.0/16 Device(\"tailscale0\")"]);
}

/// Whether the probe differs from that of a joined worker.
fn differs(output: &TestProbeOutput) -> bool {
    parsed(output) != parsed(&joined())
}

#[test]
fn manual_changes_are_detected() {
    let broken = [
        ("forwarding", "0\n"),
        ("modules", "overlay\n"),
        ("swap", "dev-zram0.swap\n"),
        ("sysctls", "net.ipv4.ip_forward = 1\n"),
        ("sysctls", &SYSCTLS.replace("panic_on_oom = 0", "panic_on_oom = 1")),
        ("tables", "52 [{\"dst\":\"10.244.0.0/16\",\"dev\":\"tailscale0\"}]\n"),
        ("sysctls_file", "net.ipv4.ip_forward = 1\n"),
        ("modules_file", "overlay\n"),
        ("containerd_file", "version = 2\n"),
        ("containerd", "containerd github.com/containerd/containerd v2.1.0 abc\n"),
        ("containerd_active", "failed\n"),
        ("kubelet", "Kubernetes v1.33.8\n"),
        ("kubelet_active", "activating\n"),
        ("kubelet_sum", "4567  -\n"),
        ("cni_sums", "aa  /opt/cni/bin/host-local\n"),
        ("cni_plugins", SUMS),
        ("cni_file", "{}"),
        ("cni_chosen", "00-aaa.conflist\n"),
        ("cluster_ca", "ffff  /etc/stargate/worker/ca.crt\n"),
        ("certificate", ""),
        ("bootstrap", "yes\n"),
        ("routes", "[]"),
        ("routes_file", ""),
        ("unit_enabled", "disabled\n"),
        ("stamp", "other\n"),
    ];
    for (part, text) in broken {
        assert!(differs(&joined().with(part, text)), "{part}");
    }
    assert!(!differs(&joined()));
}

#[test]
fn output_of_another_worker_is_refused() {
    let other = parse("dc1-w2", &joined().line()).unwrap_err();
    assert_eq!(other.to_string(), "the host there has the name dc1-w1, not dc1-w2");
}

#[test]
fn output_of_a_host_is_printable() {
    let hostile = "\u{1b}[2J\u{7}\u{202e}x\n";
    let output = ["architecture", "containerd", "cni_chosen", "cluster_ca"]
        .iter()
        .fold(joined(), |output, part| output.with(part, hostile))
        .with_file("stamp", hostile)
        .with_file("kubelet_digest", &format!("{} 0123\n", hostile.trim_end()));
    let probe = parsed(&output);
    let rendered = [
        Some(probe.architecture),
        probe.cluster_ca_digest,
        probe.kubelet_configuration_digest,
        probe.host.cni_chosen,
        probe.host.stamp,
    ];
    for text in rendered.into_iter().flatten() {
        assert!(!text.contains(char::is_control), "{text:?}");
    }
    assert_eq!(UNIT, "stargate-worker.service", "as the probe's script has it");
}
