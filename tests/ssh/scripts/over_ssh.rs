//! Runs the same scripts as stargate does: over SSH, with OpenSSH's server on a router and on a
//! worker that is reachable only through the router.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use russh::keys::ssh_key::LineEnding;
use russh::keys::{Algorithm, PrivateKey, key::safe_rng};
use stargate::provider::host::RouterChange;
use stargate::provider::host::{
    HostAddress, HostError, HostRead, HostTarget, HostWrite, WorkerStep,
};
use stargate::provider::secret::Secret;
use stargate::provider::ssh::host_keys::KnownHostFiles;
use stargate::provider::ssh::{SshSettings, SshShell};
use stargate::provider::ssh_hosts::SshHosts;
use stargate::resource::host::KernelRoute;
use stargate::topology::model::HostKeyPolicy;

use super::host::Host;
use crate::isolation::skipped;

const SSHD: &str = "/usr/sbin/sshd";
const WORKER: Ipv4Addr = Ipv4Addr::new(10, 50, 1, 5);

/// A router that the test reaches by a port on loopback, a worker behind it, and the client for
/// both.
struct Site {
    router: Host,
    worker: Host,
    port: u16,
    sshd: Child,
    home: tempfile::TempDir,
    hosts: SshHosts,
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = self.sshd.kill();
        let _ = self.sshd.wait();
    }
}

/// Writes sshd's files into the host's folder for stub programs.
fn prepare(host: &Host, authorized: &str) {
    let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
    key.write_openssh_file(host.stub_file("host-key"), LineEnding::LF).unwrap();
    fs::write(host.stub_file("authorized"), authorized).unwrap();
    let config = "HostKey /run/stand-ins/host-key\nAuthorizedKeysFile /run/stand-ins/authorized\n\
                  ListenAddress 0.0.0.0\nPidFile none\nStrictModes no\nUsePAM no\n\
                  PasswordAuthentication no\nPermitRootLogin prohibit-password\n";
    fs::write(host.stub_file("sshd"), config).unwrap();
}

/// Connects each connection to a port on loopback with an sshd inside of the host.
fn relay(host: &Host) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let command = host.command(&[SSHD, "-i", "-f", "/run/stand-ins/sshd"]);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(input) = stream else { return };
            let Ok(output) = input.try_clone() else { return };
            let mut sshd = Command::new(&command[0]);
            sshd.args(&command[1..]).stderr(Stdio::null());
            sshd.stdin(OwnedFd::from(input)).stdout(OwnedFd::from(output));
            let Ok(mut sshd) = sshd.spawn() else { return };
            std::thread::spawn(move || sshd.wait());
        }
    });
    port
}

impl Site {
    fn new() -> Option<Self> {
        if !Path::new(SSHD).exists() {
            skipped(&format!("there is no {SSHD}; install openssh-server"));
            return None;
        }
        let (router, worker) = (Host::new("dc1-router")?, Host::new("dc1-w1")?);
        // The only link of the worker is the one to the router.
        worker.sh("ip link del eth0");
        router.sh(&format!("ip link set peer0 netns {}", worker.pid()));
        worker.sh(&format!(
            "ip link set peer0 name eth0
             ip address add {WORKER}/24 dev eth0; ip link set eth0 up"
        ));
        let home = tempfile::tempdir().unwrap();
        let key = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
        key.write_openssh_file(home.path().join("id"), LineEnding::LF).unwrap();
        let authorized = key.public_key().to_openssh().unwrap();
        [&router, &worker].into_iter().for_each(|host| prepare(host, &authorized));
        let command = worker.command(&[SSHD, "-D", "-f", "/run/stand-ins/sshd"]);
        let sshd = Command::new(&command[0]).args(&command[1..]).stderr(Stdio::null()).spawn();
        let known_hosts = KnownHostFiles::new(home.path().join("known_hosts"), Vec::new());
        let mut settings = SshSettings::new(known_hosts.clone());
        settings.key_files = vec![home.path().join("id")];
        let shell = Arc::new(SshShell::new(settings));
        let hosts = SshHosts::new(shell, "demo", Some(known_hosts));
        let port = relay(&router);
        Some(Self { router, worker, port, sshd: sshd.unwrap(), home, hosts })
    }

    fn router(&self) -> HostTarget {
        HostTarget {
            hostname: "dc1-router".to_owned(),
            address: HostAddress::Ip(Ipv4Addr::LOCALHOST),
            port: self.port,
            user: "root".to_owned(),
            jump: None,
            host_key: None,
            host_keys: HostKeyPolicy::AcceptNew,
        }
    }

    fn worker(&self) -> HostTarget {
        HostTarget {
            hostname: "dc1-w1".to_owned(),
            address: HostAddress::Ip(WORKER),
            port: 22,
            jump: Some(Box::new(self.router())),
            ..self.router()
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_is_set_up_over_ssh() {
    let Some(site) = Site::new() else { return };
    let (hosts, target) = (&site.hosts, site.router());
    let bare = hosts.probe_router(&target).await.unwrap();
    assert!(!bare.ip_forwarding && bare.kernel_routes.is_empty() && bare.tailscale.is_none());
    let routes = BTreeMap::from([
        ("10.244.0.0/16".parse().unwrap(), KernelRoute::Unreachable),
        ("10.244.65.0/24".parse().unwrap(), KernelRoute::Via(WORKER)),
    ]);
    let local = BTreeSet::from(["10.50.0.0/16".parse().unwrap()]);
    for change in [
        RouterChange::Sysctls {
            ip_forwarding: true,
            reverse_path_filter: 2,
            send_redirects: false,
        },
        RouterChange::Firewall { masquerade: false, mss_clamp: true },
        RouterChange::LocalPrefixes(local.clone()),
        RouterChange::KernelRoutes(routes.clone()),
    ] {
        hosts.change_router(&target, &change).await.unwrap();
    }
    let probe = hosts.probe_router(&target).await.unwrap();
    assert!(probe.ip_forwarding && probe.mss_clamp && !probe.masquerade && probe.persistent);
    assert_eq!((probe.kernel_routes, probe.local_prefixes), (routes, local));
    // A failure on the host is reported with its own error output.
    let settings = RouterChange::AdvertisedRoutes(BTreeSet::new());
    let error = hosts.change_router(&target, &settings).await.unwrap_err().to_string();
    assert!(error.contains("advertise routes to the tailnet failed on dc1-router"), "{error}");
    assert!(error.contains("stargate: Tailscale is not installed"), "{error}");
    hosts.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_is_reached_only_through_its_router() {
    let Some(site) = Site::new() else { return };
    let (hosts, target) = (&site.hosts, site.worker());
    let deadline = Instant::now() + Duration::from_secs(10);
    while hosts.probe_worker(&target).await.is_err() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(hosts.probe_worker(&target).await.unwrap().kubelet_version, None);
    let token = WorkerStep::BootstrapKubeconfig {
        server: "https://api.example.com".to_owned(),
        token: Secret::new("abcdef.marked"),
    };
    hosts.apply_worker_step(&target, &token).await.unwrap();
    let file = "/etc/stargate/worker/bootstrap-kubeconfig";
    assert_eq!(site.worker.sh(&format!("stat -c '%a %U' {file}")), "600 root\n");
    assert!(hosts.probe_worker(&target).await.unwrap().bootstrap_kubeconfig);
    hosts.apply_worker_step(&target, &WorkerStep::RemoveBootstrapKubeconfig).await.unwrap();
    let left =
        "grep -rl 'abcdef[.]marked' /etc /run /var/log /proc/[0-9]*/cmdline 2>/dev/null || true";
    assert_eq!(site.worker.sh(left), "");
    assert_eq!(site.router.sh("find /etc -path '*stargate*'"), "", "the router is only the way");
    let noted = fs::read_to_string(site.home.path().join("known_hosts")).unwrap();
    assert!(noted.contains("dc1-router ssh-ed25519") && noted.contains("dc1-w1 ssh-ed25519"));
    hosts.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_wrong_worker_and_a_changed_one_are_refused() {
    let Some(site) = Site::new() else { return };
    let hosts = &site.hosts;
    let other = HostTarget { hostname: "dc1-w2".to_owned(), ..site.worker() };
    let deadline = Instant::now() + Duration::from_secs(10);
    let error = loop {
        let error = hosts.probe_worker(&other).await.unwrap_err();
        if error.is_refused() || Instant::now() > deadline {
            break error;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    assert_eq!(error.to_string(), "the host at 10.50.1.5 has the name dc1-w1, not dc1-w2");
    let error = hosts.apply_worker_step(&other, &WorkerStep::Kernel).await.unwrap_err();
    assert!(error.to_string().contains("nothing was done"), "{error}");
    let log_lines = site.worker.log_lines();
    assert!(!log_lines.iter().any(|log_lines| log_lines.contains("swapoff")), "{log_lines:?}");
    // Recreated by another party: a different key for the same name.
    let theirs = PrivateKey::random(&mut safe_rng(), Algorithm::Ed25519).unwrap();
    let line = format!("dc1-w1 {}\n", theirs.public_key().to_openssh().unwrap());
    fs::write(site.home.path().join("known_hosts"), line).unwrap();
    let error = hosts.probe_worker(&site.worker()).await.unwrap_err();
    assert!(matches!(error, HostError::HostKeyChanged { .. }), "{error}");
    // Recreated by stargate: the new key is accepted.
    hosts.host_recreated("dc1-w1").await.unwrap();
    hosts.probe_worker(&site.worker()).await.unwrap();
    hosts.close().await;
}
