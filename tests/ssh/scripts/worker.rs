//! The life cycle of a worker, from a bare machine to a reset.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use sha2::{Digest as _, Sha256};
use stargate::bootstrap;
use stargate::desired::digest::text_digest;
use stargate::provider::host::{KubeletConfiguration, WorkerProbe, WorkerStep};
use stargate::provider::remote::{
    CNI_FILE, CniRelease, parse_worker_probe, worker_probe, worker_step,
};
use stargate::provider::secret::Secret;
use stargate::resource::host::KernelRoute;
use stargate::topology::model::PackageSource;

use super::host::Host;

const KUBERNETES_KEY: &str = "DE15B14486CD377B9E876E1A234654DA9A296436";
const CA: &str = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";

fn probe_host(host: &Host) -> WorkerProbe {
    parse_worker_probe(host.name(), &host.run_ok(&worker_probe())).unwrap()
}

fn step(host: &Host, step: &WorkerStep) {
    host.run_ok(&worker_step("demo", step));
}

fn configuration() -> KubeletConfiguration {
    KubeletConfiguration {
        node_name: "dc1-w1".to_owned(),
        node_ip: [10, 50, 1, 4].into(),
        cluster_dns: [10, 0, 0, 10].into(),
        labels: BTreeMap::from([("stargate.io/topology".to_owned(), "it's $(id)".to_owned())]),
        taints: BTreeSet::from(["site=remote:NoSchedule".to_owned()]),
        provider_id: "stargate:///dc1/dc1-w1".to_owned(),
        max_pods: 250,
        digest: text_digest("the configuration"),
    }
}

fn routes() -> BTreeMap<ipnet::Ipv4Net, KernelRoute> {
    let hop = KernelRoute::Via([10, 50, 1, 1].into());
    ["10.244.0.0/16", "10.224.0.0/16"].map(|prefix| (prefix.parse().unwrap(), hop)).into()
}

fn steps() -> Vec<WorkerStep> {
    vec![
        WorkerStep::Kernel,
        WorkerStep::KernelRoutes(routes()),
        WorkerStep::ContainerRuntime(PackageSource::Upstream),
        WorkerStep::Kubelet("1.33.7".parse().unwrap(), PackageSource::Upstream),
        WorkerStep::ClusterCa { pem: CA.to_owned() },
        WorkerStep::CniConfiguration { subnet: "10.244.65.0/24".parse().unwrap() },
        WorkerStep::KubeletConfiguration(configuration()),
        WorkerStep::BootstrapKubeconfig {
            server: "https://api.example.com:443".to_owned(),
            token: Secret::new("abcdef.marked"),
        },
        WorkerStep::Start,
        WorkerStep::Stamp { digest: text_digest("the profile") },
    ]
}

fn bare_machine() -> Option<Host> {
    let host = Host::new("dc1-w1")?;
    let web = host.stub_file("web");
    fs::create_dir(&web).unwrap();
    fs::write(web.join("Release.key"), format!("{KUBERNETES_KEY}\n")).unwrap();
    host.sh("mkdir -p /etc/containerd; echo 'disabled_plugins = [\"cri\"]' >/etc/containerd/config.toml");
    Some(host)
}

fn worker() -> Option<Host> {
    let host = bare_machine()?;
    steps().iter().for_each(|one| step(&host, one));
    host.log_lines();
    Some(host)
}

#[test]
fn a_bare_machine_becomes_a_worker() {
    let Some(host) = bare_machine() else { return };
    let bare = probe_host(&host);
    assert_eq!((bare.kubelet_version, bare.container_runtime_version), (None, None));
    assert!(bare.host.swap.contains("/etc/fstab: /swapfile"), "{:?}", bare.host);
    assert!(!bare.host.persistent && !bare.host.ip_forwarding && bare.routes_persistent);
    assert_eq!(host.files().lines().count(), 1, "the package's config alone");
    steps().iter().for_each(|one| step(&host, one));
    let probe = probe_host(&host);
    assert!(probe.host.swap.is_empty() && probe.host.ip_forwarding, "{probe:#?}");
    assert!(probe.host.persistent, "{probe:#?}");
    assert_eq!(probe.container_runtime_version.as_deref(), Some("1.7.34"));
    assert_eq!(probe.kubelet_version, Some("1.33.7".parse().unwrap()));
    assert_eq!(probe.cluster_ca_digest, Some(text_digest(CA)));
    assert_eq!(probe.kubelet_configuration_digest, Some(configuration().digest));
    assert!(probe.bootstrap_kubeconfig && !probe.client_certificate);
    assert_eq!(probe.host.cni_configuration, Some("10.244.65.0/24".parse().unwrap()));
    assert_eq!(probe.host.cni_chosen.as_deref(), Some(CNI_FILE));
    assert_eq!(CNI_FILE, bootstrap::CNI_CONFIGURATION_NAME);
    assert!(probe.host.container_runtime_active && probe.host.kubelet_active);
    assert_eq!(*probe.host.kernel_routes, routes());
    assert!(probe.routes_persistent);
    assert_eq!(probe.host.stamp, Some(text_digest("the profile")));
    step(&host, &WorkerStep::RemoveBootstrapKubeconfig);
    assert!(!probe_host(&host).bootstrap_kubeconfig);
}

#[test]
fn a_second_run_changes_nothing() {
    let Some(host) = worker() else { return };
    let before = (host.files(), probe_host(&host));
    for one in steps() {
        // Both start with the removal of something.
        let starts_with_removal = matches!(
            one,
            WorkerStep::KubeletConfiguration(_) | WorkerStep::BootstrapKubeconfig { .. }
        );
        if !starts_with_removal {
            step(&host, &one);
        }
    }
    assert_eq!(host.files(), before.0);
    assert_eq!(probe_host(&host), before.1);
    assert!(!host.log_lines().iter().any(|log_lines| log_lines.contains("install")));
    steps().iter().for_each(|one| step(&host, one));
    assert_eq!(probe_host(&host), before.1);
}

#[test]
fn a_token_is_readable_by_root_only() {
    let Some(host) = worker() else { return };
    let file = "/etc/stargate/worker/bootstrap-kubeconfig";
    assert_eq!(host.sh(&format!("stat -c '%a %U' {file}")), "600 root\n");
    let kubeconfig: serde_json::Value =
        serde_json::from_str(&host.sh(&format!("cat {file}"))).unwrap();
    assert_eq!(kubeconfig["users"][0]["user"]["token"], "abcdef.marked");
    assert_eq!(
        host.sh("grep -rl abcdef.marked /etc /run/stargate* 2>/dev/null || true").trim(),
        file
    );
}

#[test]
fn manual_changes_are_detected_and_repaired() {
    let Some(host) = worker() else { return };
    let whole = probe_host(&host);
    let broken = [
        (0, "echo 0 >/proc/sys/net/ipv4/ip_forward"),
        (0, "rm /etc/sysctl.d/zz-stargate-worker.conf"),
        (0, "rm /etc/modules-load.d/stargate.conf"),
        (
            0,
            "rm /run/stand-ins/enabled/swap.target.masked; echo '/dev/sdb1 swap swap defaults 0 0' >>/etc/fstab",
        ),
        (1, "ip route del 10.244.0.0/16"),
        (1, "rm /etc/stargate/worker/routes"),
        (1, "systemctl disable stargate-worker.service"),
        (2, "sed -i s/true/false/ /etc/containerd/config.toml"),
        (3, "echo 1.33.8 >/run/stand-ins/kubelet-version"),
        (4, "echo >>/etc/stargate/worker/ca.crt"),
        (5, "sed -i s/65/66/ /etc/cni/net.d/00-stargate.conflist"),
        (6, "sed -i s/250/110/ /etc/stargate/worker/kubelet.yaml"),
        (6, "sed -i s/10.50/10.51/ /etc/stargate/worker/kubelet"),
        (6, "rm /etc/systemd/system/kubelet.service.d/90-stargate.conf"),
        (8, "systemctl stop kubelet"),
        (8, "systemctl stop containerd"),
        (9, "rm /etc/stargate/worker/stamp"),
    ];
    for (place, command) in broken {
        host.sh(command);
        assert_ne!(probe_host(&host), whole, "{command}");
        step(&host, &steps()[place]);
        assert_eq!(probe_host(&host), whole, "{command}");
    }
}

#[test]
fn the_kubelet_gets_its_configuration() {
    let Some(host) = worker() else { return };
    // A kubelet that prints its arguments.
    host.sh("mv /run/stand-ins/bin/kubelet /run/stand-ins/bin/kubelet.real
             printf '#!/bin/sh\\nprintf \"%%s\\\\n\" \"$@\"\\n' >/run/stand-ins/bin/kubelet
             chmod 0755 /run/stand-ins/bin/kubelet");
    let arguments = host.sh("sh /etc/stargate/worker/kubelet");
    let arguments: Vec<&str> = arguments.lines().collect();
    assert!(arguments.contains(&"--node-labels=stargate.io/topology=it's $(id)"), "{arguments:?}");
    assert!(arguments.contains(&"--hostname-override=dc1-w1"), "{arguments:?}");
    assert!(arguments.contains(&"--node-ip=10.50.1.4"), "{arguments:?}");
    assert!(!arguments.iter().any(|argument| argument.starts_with("--cloud-provider")));
    let file = host.sh("tail -n +2 /etc/stargate/worker/kubelet.yaml");
    let configuration: serde_json::Value = serde_json::from_str(&file).unwrap();
    assert_eq!(configuration["providerID"], "stargate:///dc1/dc1-w1");
    assert_eq!(configuration["registerWithTaints"][0]["effect"], "NoSchedule");
    assert_eq!(configuration["serverTLSBootstrap"], false);
}

#[test]
fn another_minor_of_containerd_gets_its_own_configuration() {
    let Some(host) = bare_machine() else { return };
    fs::write(host.stub_file("containerd-version"), "v2.1.4").unwrap();
    step(&host, &WorkerStep::ContainerRuntime(PackageSource::Upstream));
    assert_eq!(probe_host(&host).container_runtime_version.as_deref(), Some("2.1.4"));
    assert!(host.sh("cat /etc/containerd/config.toml").contains("version = 3"));
}

#[test]
fn a_preinstalled_kubelet_is_accepted() {
    let Some(host) = bare_machine() else { return };
    fs::write(host.stub_file("kubelet-version"), "1.33.7").unwrap();
    host.sh("cp /run/stand-ins/packages/kubelet /run/stand-ins/bin/; rm /run/stand-ins/web/*");
    host.log_lines();
    step(&host, &steps()[3]);
    assert_eq!(host.log_lines(), ["apt-mark hold kubelet kubernetes-cni"]);
}

#[test]
fn packages_are_downloaded_ahead_and_installed_from_there() {
    let Some(host) = bare_machine() else { return };
    // The stub of curl has no archive of the pinned release: it counts as installed.
    let CniRelease { digest_amd64, digest_arm64, .. } = CniRelease::pinned();
    host.sh(&format!(
        "mkdir -p /etc/stargate/worker
         printf '%s\\n' {digest_amd64} {digest_arm64} >/etc/stargate/worker/cni-plugins"
    ));
    let version = "1.33.7".parse().unwrap();
    let stage = WorkerStep::StagePackages(version, PackageSource::Upstream);
    step(&host, &stage);
    let log = host.log_lines();
    let probe = probe_host(&host);
    assert_eq!((probe.staged_packages, probe.kubelet_version), (Some(version), None));
    assert_eq!(probe.container_runtime_version, None);
    let downloads = ["containerd", "kubelet=1.33.7-*"]
        .map(|package| format!("apt-get install --download-only {package}"));
    assert!(downloads.iter().all(|download| log.contains(download)), "{log:?}");
    assert!(!log.iter().any(|line| line.starts_with("systemctl")), "nothing restarts: {log:?}");
    // A partial or damaged download does not count.
    host.sh("echo x >>/var/cache/stargate/packages/kubelet.deb");
    assert_eq!(probe_host(&host).staged_packages, None);
    step(&host, &stage);
    assert_eq!(probe_host(&host).staged_packages, Some(version));
    host.log_lines();
    steps()[2..4].iter().for_each(|one| step(&host, one));
    let log = host.log_lines();
    let fetches = |line: &String| line.contains("downloads") || line.starts_with("curl");
    assert!(!log.iter().any(fetches), "{log:?}");
    let probe = probe_host(&host);
    assert_eq!((probe.staged_packages, probe.kubelet_version), (None, Some(version)));
    assert_eq!(probe.container_runtime_version.as_deref(), Some("1.7.34"));
}

/// An archive like a release of the CNI plugins, and its digest.
fn archive(host: &Host) -> String {
    host.sh("mkdir -p /run/archive; cd /run/archive; echo a >host-local; echo b >loopback
             for name in amd64 arm64; do
                 tar -czf \"/run/stand-ins/web/cni-plugins-linux-$name-v9.9.9.tgz\" ./host-local ./loopback
             done");
    let name = "web/cni-plugins-linux-amd64-v9.9.9.tgz";
    let bytes = fs::read(host.stub_file(name)).unwrap();
    Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn plugins_are_installed_if_their_checksum_is_right() {
    let Some(host) = bare_machine() else { return };
    let digest = archive(&host);
    let release = CniRelease {
        version: "9.9.9".to_owned(),
        source: "https://example.com".to_owned(),
        digest_amd64: digest.clone(),
        digest_arm64: digest,
    };
    let wrong = CniRelease {
        digest_amd64: text_digest("x"),
        digest_arm64: text_digest("x"),
        ..release.clone()
    };
    let error = host.run_failing(&wrong.install("demo", PackageSource::Upstream));
    assert!(error.contains("does not have the checksum"), "{error}");
    assert_eq!(host.sh("ls /opt/cni/bin"), "");
    if Command::new("uname").arg("-m").output().unwrap().stdout == b"x86_64\n" {
        host.run_ok(&release.install("demo", PackageSource::Upstream));
        assert_eq!(
            host.sh("cat /opt/cni/bin/host-local; stat -c %a /opt/cni/bin/loopback"),
            "a\n755\n"
        );
        // Valid plugins, but not of the pinned release.
        assert!(!probe_host(&host).cni_plugins);
        assert_eq!(host.sh("ls /var/cache/stargate"), "");
    }
}

#[test]
fn preinstalled_packages_are_only_checked() {
    let Some(host) = bare_machine() else { return };
    let source = PackageSource::Preinstalled;
    let version = "1.33.7".parse().unwrap();
    let steps = [
        (WorkerStep::ContainerRuntime(source), "containerd is not installed"),
        (WorkerStep::Kubelet(version, source), "the kubelet is not installed, it must be 1.33.7"),
        (WorkerStep::CniPlugins(source), "host-local is missing"),
    ];
    let missing = |expected: &[&str; 3]| {
        for ((one, _), expected) in steps.iter().zip(expected) {
            let error = host.run_failing(&worker_step("demo", one));
            assert!(error.contains(expected), "{error}");
        }
    };
    missing(&[steps[0].1, steps[1].1, steps[2].1]);
    // The plugins are preinstalled, and two programs have the wrong version.
    fs::write(host.stub_file("kubelet-version"), "1.33.6").unwrap();
    host.sh("cp /run/stand-ins/packages/kubelet /run/stand-ins/packages/containerd /run/stand-ins/bin/; mkdir -p /opt/cni/bin
             for plugin in host-local loopback; do
                 printf '#!/bin/sh\\necho CNI %s plugin v1.1.1 >&2\\n' \"$plugin\" >/opt/cni/bin/$plugin
                 chmod 0755 /opt/cni/bin/$plugin
             done");
    missing(&["runc is not installed", "the kubelet is 1.33.6", "reports version 1.1.1"]);
    fs::write(host.stub_file("kubelet-version"), "1.33.7").unwrap();
    host.sh("cp /run/stand-ins/packages/runc /run/stand-ins/bin/; sed -i s/1.1.1/1.10.0/ /opt/cni/bin/*");
    steps.iter().for_each(|(one, _)| step(&host, one));
    let probe = probe_host(&host);
    assert!(probe.cni_plugins && probe.kubelet_version == Some(version), "{probe:#?}");
    let log_lines = host.log_lines();
    assert!(
        !log_lines.iter().any(|log_lines| log_lines.contains("apt") || log_lines.contains("curl")),
        "{log_lines:?}"
    );
    step(&host, &WorkerStep::Reset);
    assert_eq!(host.sh("ls /opt/cni/bin"), "host-local\nloopback\n", "they are the site's");
}

#[test]
fn another_host_is_not_changed() {
    let Some(host) = bare_machine() else { return };
    let reset = worker_step("demo", &WorkerStep::Kernel);
    let error = host.run_failing(&reset.clone().only_on("dc1-w2"));
    assert!(error.contains("has the name dc1-w1, not dc1-w2; nothing was done"), "{error}");
    assert!(host.log_lines().is_empty());
    host.run_ok(&reset.only_on("DC1-w1"));
}

#[test]
fn a_kubelet_that_exits_is_an_error() {
    let Some(host) = worker() else { return };
    fs::write(host.stub_file("broken-kubelet"), "").unwrap();
    let error = host.run_failing(&worker_step("demo", &WorkerStep::Start));
    assert!(error.contains("the kubelet does not start"), "{error}");
}

#[test]
fn a_foreign_kubelet_is_recognised() {
    let Some(host) = bare_machine() else { return };
    host.sh("mkdir -p /etc/kubernetes/pki /var/lib/kubelet/pki
             echo ca >/etc/kubernetes/pki/ca.crt; echo x >/etc/kubernetes/kubelet.conf
             openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 \
                 -subj /CN=x -keyout /dev/null -out /var/lib/kubelet/pki/kubelet-client-current.pem \
                 2>/dev/null");
    let probe = probe_host(&host);
    assert!(probe.client_certificate);
    assert_eq!(probe.cluster_ca_digest, Some(text_digest("ca\n")));
    // Without stargate's files a reset changes nothing.
    step(&host, &WorkerStep::Reset);
    assert!(probe_host(&host).client_certificate);
}

#[test]
fn a_reset_deletes_everything_of_stargate() {
    let Some(host) = worker() else { return };
    host.sh("mkdir -p /var/lib/kubelet/pki /var/lib/cni/networks/cilium; echo x >/var/lib/kubelet/kubeconfig");
    step(&host, &WorkerStep::Reset);
    let probe = probe_host(&host);
    assert_eq!((probe.kubelet_version, probe.container_runtime_version), (None, None));
    assert!(probe.modules.is_empty() && probe.host.kernel_routes.is_empty());
    assert!(!probe.bootstrap_kubeconfig && !probe.host.kubelet_active);
    assert_eq!(
        host.sh("find /etc -path '*stargate*'; ls -A /var/lib/kubelet /etc/cni/net.d"),
        "/etc/cni/net.d:\n\n/var/lib/kubelet:\n"
    );
    assert_eq!(host.sh("cat /etc/containerd/config.toml"), "disabled_plugins = [\"cri\"]\n");
    assert!(host.sh("cat /etc/fstab").contains("\n/swapfile none swap"));
    step(&host, &WorkerStep::Reset);
    assert_eq!(host.sh("ls -d /etc/stargate 2>/dev/null || true"), "");
}
