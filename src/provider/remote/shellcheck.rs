//! Every script passes `shellcheck`, both as sent and as stored on hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Stdio};

use super::files;
use super::*;
use crate::provider::host::KubeletConfiguration;
use crate::provider::secret::Secret;
use crate::provider::ssh::RemoteCommand;
use crate::resource::host::KernelRoute;
use crate::resource::settings::PackageSource;

fn routes() -> BTreeMap<ipnet::Ipv4Net, KernelRoute> {
    BTreeMap::from([("10.0.0.0/8".parse().unwrap(), KernelRoute::Tunnel)])
}

fn changes() -> Vec<RouterChange> {
    let prefixes = BTreeSet::from(["10.0.0.0/8".parse().unwrap()]);
    vec![
        RouterChange::Sysctls {
            ip_forwarding: true,
            reverse_path_filter: 2,
            send_redirects: false,
        },
        RouterChange::Firewall { masquerade: true, mss_clamp: true },
        RouterChange::LocalPrefixes(prefixes.clone()),
        RouterChange::KernelRoutes(routes()),
        RouterChange::TailscaleSettings { accept_routes: true, snat_subnet_routes: true },
        RouterChange::AdvertisedRoutes(prefixes),
        RouterChange::ProtectionRecord(None),
        RouterChange::JoinTailnet { auth_key: Secret::new("key") },
        RouterChange::Remove,
    ]
}

fn steps() -> Vec<WorkerStep> {
    let configuration = KubeletConfiguration {
        node_name: "w1".to_owned(),
        node_ip: [10, 0, 0, 1].into(),
        cluster_dns: [10, 0, 0, 10].into(),
        labels: BTreeMap::new(),
        taints: BTreeSet::new(),
        provider_id: "stargate:///dc1/w1".to_owned(),
        max_pods: 250,
        digest: "digest".to_owned(),
    };
    vec![
        WorkerStep::Kernel,
        WorkerStep::KernelRoutes(routes()),
        WorkerStep::StagePackages("1.33.7".parse().unwrap(), PackageSource::Upstream),
        WorkerStep::ContainerRuntime(PackageSource::Upstream),
        WorkerStep::Kubelet("1.33.7".parse().unwrap(), PackageSource::Upstream),
        WorkerStep::CniPlugins(PackageSource::Upstream),
        WorkerStep::ClusterCa { pem: "pem\n".to_owned() },
        WorkerStep::BootstrapKubeconfig { server: "s".to_owned(), token: Secret::new("t") },
        WorkerStep::KubeletConfiguration(configuration),
        WorkerStep::CniConfiguration { subnet: "10.244.1.0/24".parse().unwrap() },
        WorkerStep::Start,
        WorkerStep::RemoveBootstrapKubeconfig,
        WorkerStep::Stamp { digest: "digest".to_owned() },
        WorkerStep::Reboot { from_boot: "0c2f5a1e-7d41-4c0b-9c0e-1f2a3b4c5d6e".to_owned() },
        WorkerStep::Reset,
    ]
}

/// Runs a checker on a script and returns its complaints.
fn complaints(program: &str, arguments: &[&str], script: &str) -> Option<String> {
    use std::io::Write as _;
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (!output.status.success()).then(|| String::from_utf8_lossy(&said).into_owned())
}

fn scripts() -> Vec<HostScript> {
    let mut scripts = vec![router_probe(), worker_probe()];
    scripts.extend(changes().iter().map(|change| router_change("demo", change)));
    scripts.extend(steps().iter().map(|step| worker_step("demo", step)));
    scripts
}

fn all() -> Vec<(String, String)> {
    let mut all: Vec<(String, String)> =
        scripts().into_iter().map(|it| (it.label.to_owned(), it.script)).collect();
    all.push(("apply".to_owned(), format!("{}\n{}", files::header("demo"), files::APPLY)));
    all
}

#[test]
fn every_script_passes_shellcheck() {
    if Command::new("shellcheck").arg("--version").output().is_err() {
        eprintln!("SKIPPED: shellcheck is not installed on this machine");
        return;
    }
    for (label, script) in all() {
        // Scripts contain unused helpers, and other programs as the values of variables.
        let options = ["--shell=sh", "--exclude=SC2016,SC2034,SC2317,SC2329", "-"];
        assert_eq!(complaints("shellcheck", &options, &script), None, "{label}");
    }
}

#[test]
fn truncated_scripts_do_nothing() {
    for (label, script) in all() {
        assert_eq!(complaints("sh", &["-n"], &script), None, "{label}");
        if label == "apply" {
            continue;
        }
        let last = script.lines().last().unwrap();
        let known = ["check_host; main", "check_host; main </dev/null"];
        assert!(known.contains(&last), "{label}: {last}");
        // A script that is truncated before its last line only contains definitions.
        let cut = script.strip_suffix(&format!("{last}\n")).unwrap();
        assert_eq!(complaints("sh", &["-s"], cut), None, "{label}");
    }
}

#[test]
fn scripts_fit_into_an_argument() {
    for script in scripts() {
        // A script with standard input is passed as an argument, whose length is limited.
        let HostScript { label, script, stdin, .. } = script.only_on("dc1-w1");
        let command = RemoteCommand::script(label, script);
        let command = stdin.iter().fold(command, RemoteCommand::stdin_secret);
        assert!(command.prepare("ubuntu").is_ok(), "{label}");
    }
}
