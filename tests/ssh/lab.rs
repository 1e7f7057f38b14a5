//! The complete lab: hosts, links, a sandbox, and the clients for them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use stargate::provider::host::{HostTarget, HostWrite, RouterChange, WorkerStep};
use stargate::provider::retry::RetryingHosts;
use stargate::provider::ssh::host_keys::KnownHostFiles;
use stargate::provider::ssh::{SshSettings, SshShell};
use stargate::provider::ssh_hosts::SshHosts;
use stargate::sandbox::SandboxState;
use stargate::topology::model::{HostKeyPolicy, PackageSource};

use super::bridge::{LabHosts, Watcher};
use super::harness::Deployment;
use super::machine::{Machine, run};
use super::network;

const TOPOLOGY: &str = include_str!("topology.toml");
pub(crate) const ROUTER: &str = "attic-router";
/// The workers, their addresses, and the address of a pod on each.
pub(crate) const WORKERS: [(&str, &str, &str); 2] =
    [("attic-a", "10.60.1.5", "10.244.129.10"), ("attic-b", "10.60.1.6", "10.244.130.10")];

/// A hook that runs right before the work on a host.
pub(crate) type BeforeWork = Box<dyn Fn(&Machines, &str, &str) + Send + Sync>;

/// The hosts by name.
#[derive(Default)]
pub(crate) struct Machines {
    machines: Mutex<BTreeMap<String, Machine>>,
    tunnel_address: Mutex<Option<Ipv4Addr>>,
    set_before_work: Mutex<Option<BeforeWork>>,
}

impl Machines {
    pub(crate) fn all(&self) -> MutexGuard<'_, BTreeMap<String, Machine>> {
        self.machines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Runs a shell command on a host.
    pub(crate) fn sh(&self, name: &str, text: &str) -> String {
        self.all()[name].sh(text)
    }

    /// Power-cycles a host and emulates the start of its enabled units.
    pub(crate) fn reboot(&self, name: &str) {
        let mut machines = self.all();
        machines.get_mut(name).unwrap().power_cycle();
        let machine = &machines[name];
        let address = *self.tunnel_address.lock().unwrap();
        match WORKERS.iter().find(|(worker, ..)| *worker == name) {
            Some((_, address, _)) => network::plug_in_worker(machine, address),
            None => network::plug_in_router(machine),
        }
        machine.set_sysctls();
        machine.start_units("multi-user.target");
        if let Some(address) = address.filter(|_| name == ROUTER) {
            start_tailscaled(machine, address);
        }
        add_pod_address(machine);
    }

    /// Deletes and recreates tailscaled's device.
    pub(crate) fn restart_tailscaled(&self) {
        let address = self.tunnel_address.lock().unwrap().unwrap();
        start_tailscaled(&self.all()[ROUTER], address);
    }
}

fn start_tailscaled(router: &Machine, address: Ipv4Addr) {
    network::start_tunnel(router, &address.to_string());
    // systemd has a unit for each device, and starts the units that it wants.
    router.start_units("sys-subsystem-net-devices-tailscale0.device");
}

/// Adds the address of a pod, which the runtime would take from the worker's pod CIDR.
fn add_pod_address(machine: &Machine) {
    if let Some((.., pod)) = WORKERS.iter().find(|(worker, ..)| *worker == machine.name()) {
        machine.sh(&format!("ip address add {pod}/32 dev lo"));
    }
}

impl Watcher for Machines {
    fn before(&self, hostname: &str, activity: &str) {
        if let Some(set_before_work) = &*self.set_before_work.lock().unwrap() {
            set_before_work(self, hostname, activity);
        }
    }

    fn joined(&self, hostname: &str, address: Ipv4Addr) {
        *self.tunnel_address.lock().unwrap() = Some(address);
        let machines = self.all();
        let router = &machines[hostname];
        fs::write(router.stub_file("tailscale-state/address"), address.to_string()).unwrap();
        start_tailscaled(router, address);
    }

    fn certified(&self, hostname: &str) {
        // Emulates how the kubelet stores an issued certificate.
        self.sh(
            hostname,
            "[ ! -f /var/lib/kubelet/kubeconfig ] || exit 0
             mkdir -p /var/lib/kubelet/pki; cd /var/lib/kubelet/pki
             openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 \
                 -subj /O=system:nodes/CN=system:node -keyout key -out cert 2>/dev/null
             cat cert key >kubelet-client-current.pem
             echo kubeconfig >/var/lib/kubelet/kubeconfig",
        );
    }
}

/// The lab of one test.
pub(crate) struct Lab {
    folder: PathBuf,
    pub(crate) machines: Arc<Machines>,
    pub(crate) deployment: Deployment,
    pub(crate) done: Arc<Mutex<Vec<String>>>,
    /// Every key and token that was sent to a host.
    pub(crate) secrets: Arc<Mutex<BTreeSet<String>>>,
}

impl Lab {
    /// Bare hosts, and a sandbox without any apply.
    pub(crate) fn new(folder: &Path) -> Self {
        Self::of(folder, TOPOLOGY)
    }

    /// Replaces a text in the topology of the same lab.
    pub(crate) fn edit_topology(&mut self, from: &str, to: &str) {
        assert!(TOPOLOGY.contains(from), "{from}");
        self.deployment = self.deployment.edited(&TOPOLOGY.replace(from, to));
        self.connect_as("key");
    }

    fn of(folder: &Path, topology: &str) -> Self {
        let key = folder.join("key");
        run(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
        let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ssh/tools");
        network::lay_out();
        let machines = Arc::new(Machines::default());
        for name in [ROUTER, WORKERS[0].0, WORKERS[1].0] {
            let machine =
                Machine::new(name, &folder.join(name), &tools, &key.with_extension("pub"));
            install(&machine);
            add_pod_address(&machine);
            machines.all().insert(name.to_owned(), machine);
        }
        network::plug_in_router(&machines.all()[ROUTER]);
        for (name, address, _) in WORKERS {
            network::plug_in_worker(&machines.all()[name], address);
        }
        let deployment = Deployment::of(topology, SandboxState::new(1));
        let mut lab = Self {
            folder: folder.to_owned(),
            machines,
            deployment,
            done: Arc::default(),
            secrets: Arc::default(),
        };
        lab.connect_as("key");
        lab
    }

    /// Connects to the hosts over SSH with this key from now on.
    pub(crate) fn connect_as(&mut self, key: &str) {
        let files = KnownHostFiles::new(self.known_hosts(), Vec::new());
        let settings = SshSettings {
            key_files: vec![self.folder.join(key)],
            connect_within: Duration::from_secs(2),
            login_within: Duration::from_secs(2),
            keepalive: Duration::from_millis(700),
            ..SshSettings::new(files.clone())
        };
        let shell = Arc::new(SshShell::new(settings));
        let ssh = SshHosts::new(shell, "lab", Some(files));
        let hosts = LabHosts {
            ssh: Arc::new(ssh),
            sandbox: self.deployment.sandbox.clone(),
            hostnames: self.machines.all().keys().cloned().collect(),
            watcher: Arc::clone(&self.machines) as Arc<dyn Watcher>,
            preinstalled: vec![
                WorkerStep::Kernel,
                WorkerStep::ContainerRuntime(PackageSource::Preinstalled),
                WorkerStep::Kubelet("1.33.5".parse().unwrap(), PackageSource::Preinstalled),
            ],
            secrets: Arc::clone(&self.secrets),
            done: Arc::clone(&self.done),
        };
        let hosts: Arc<dyn HostWrite> = Arc::new(hosts);
        self.deployment.clients.hosts = Arc::new(RetryingHosts::new(hosts));
    }

    /// Emulates tailscaled's report of its advertised routes to the control server.
    pub(crate) async fn report_to_control_server(&self) {
        let advertised = fs::read_to_string(
            self.machines.all()[ROUTER].stub_file("tailscale-state/advertise-routes"),
        );
        let advertised = advertised.unwrap_or_default();
        let prefixes = advertised.split(',').filter_map(|text| text.trim().parse().ok()).collect();
        let address = self.machines.tunnel_address.lock().unwrap().unwrap();
        let target = HostTarget {
            hostname: ROUTER.to_owned(),
            address: address.into(),
            port: 22,
            user: "root".to_owned(),
            jump: None,
            host_key: None,
            host_keys: HostKeyPolicy::AcceptNew,
        };
        let summary = RouterChange::AdvertisedRoutes(prefixes);
        self.deployment.sandbox.change_router(&target, &summary).await.unwrap();
    }

    /// The path of the known_hosts file.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// A file in the test's own folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Sets a hook that runs right before each work on a host.
    pub(crate) fn set_before_work(&self, set_before_work: Option<BeforeWork>) {
        *self.machines.set_before_work.lock().unwrap() = set_before_work;
    }

    /// The changes on the hosts since the last call.
    pub(crate) fn done(&self) -> Vec<String> {
        std::mem::take(&mut self.done.lock().unwrap())
    }
}

/// Preinstalls the site's packages, and the sources of the router's packages.
fn install(machine: &Machine) {
    machine.serve_package_source();
    fs::create_dir_all(machine.stub_file("tailscale-state")).unwrap();
    if machine.name() == ROUTER {
        return;
    }
    fs::write(machine.stub_file("kubelet-version"), "1.33.5").unwrap();
    machine.sh("cp /run/stand-ins/packages/* /run/stand-ins/bin/; rm /run/stand-ins/bin/tailscale");
}
