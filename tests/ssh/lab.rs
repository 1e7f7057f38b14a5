//! The whole lab: hosts, cables, a world, and the doors to them.

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
use stargate::sandbox::World;
use stargate::topology::model::{HostKeyPolicy, PackageSource};

use super::bridge::{LabHosts, Watcher};
use super::harness::Deployment;
use super::machine::{Machine, run};
use super::network;

const TOPOLOGY: &str = include_str!("topology.toml");
pub(crate) const ROUTER: &str = "attic-router";
/// The workers, their addresses, and an address of a pod on each.
pub(crate) const WORKERS: [(&str, &str, &str); 2] =
    [("attic-a", "10.60.1.5", "10.244.129.10"), ("attic-b", "10.60.1.6", "10.244.130.10")];
/// The fingerprint of the key that signs Tailscale's packages.
const TAILSCALE_KEY: &str = "2596A99EAAB33821893C0A79458CA832957F5868";

/// What is done to a host right before it is worked on.
pub(crate) type Meanwhile = Box<dyn Fn(&Machines, &str, &str) + Send + Sync>;

/// The hosts by name.
#[derive(Default)]
pub(crate) struct Machines {
    machines: Mutex<BTreeMap<String, Machine>>,
    tunnel_address: Mutex<Option<Ipv4Addr>>,
    meanwhile: Mutex<Option<Meanwhile>>,
}

impl Machines {
    pub(crate) fn all(&self) -> MutexGuard<'_, BTreeMap<String, Machine>> {
        self.machines.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// What somebody types on a host.
    pub(crate) fn sh(&self, name: &str, text: &str) -> String {
        self.all()[name].sh(text)
    }

    /// Turns a host off and on, as far as its own systemd would bring it.
    pub(crate) fn reboot(&self, name: &str) {
        let mut machines = self.all();
        machines.get_mut(name).unwrap().turn_off_and_on();
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

    /// tailscaled's device goes and comes again.
    pub(crate) fn restart_tailscaled(&self) {
        let address = self.tunnel_address.lock().unwrap().unwrap();
        start_tailscaled(&self.all()[ROUTER], address);
    }
}

fn start_tailscaled(router: &Machine, address: Ipv4Addr) {
    network::start_tunnel(router, &address.to_string());
    // systemd has a unit for each device, and starts what it wants.
    router.start_units("sys-subsystem-net-devices-tailscale0.device");
}

/// A pod's address; the runtime would give it out of the worker's pod CIDR.
fn add_pod_address(machine: &Machine) {
    if let Some((.., pod)) = WORKERS.iter().find(|(worker, ..)| *worker == machine.name()) {
        machine.sh(&format!("ip address add {pod}/32 dev lo"));
    }
}

impl Watcher for Machines {
    fn before(&self, hostname: &str, doing: &str) {
        if let Some(meanwhile) = &*self.meanwhile.lock().unwrap() {
            meanwhile(self, hostname, doing);
        }
    }

    fn joined(&self, hostname: &str, address: Ipv4Addr) {
        *self.tunnel_address.lock().unwrap() = Some(address);
        let machines = self.all();
        let router = &machines[hostname];
        fs::write(router.stand_in("tailscale-state/address"), address.to_string()).unwrap();
        start_tailscaled(router, address);
    }

    fn certified(&self, hostname: &str) {
        // What a kubelet does with the certificate that it was given.
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
    /// Every key and token that was given to a host.
    pub(crate) secrets: Arc<Mutex<BTreeSet<String>>>,
}

impl Lab {
    /// Bare hosts, and a world that nothing was applied to.
    pub(crate) fn new(folder: &Path) -> Self {
        Self::of(folder, TOPOLOGY)
    }

    /// The same lab for a topology with other words in it.
    pub(crate) fn edit_topology(&mut self, from: &str, to: &str) {
        assert!(TOPOLOGY.contains(from), "{from}");
        self.deployment = self.deployment.edited(&TOPOLOGY.replace(from, to));
        self.connect_as("key");
    }

    fn of(folder: &Path, topology: &str) -> Self {
        let key = folder.join("key");
        run(&["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key.to_str().unwrap()]);
        network::lay_out();
        let machines = Arc::new(Machines::default());
        for name in [ROUTER, WORKERS[0].0, WORKERS[1].0] {
            let machine = Machine::new(name, &folder.join(name), &key.with_extension("pub"));
            install(&machine);
            add_pod_address(&machine);
            machines.all().insert(name.to_owned(), machine);
        }
        network::plug_in_router(&machines.all()[ROUTER]);
        for (name, address, _) in WORKERS {
            network::plug_in_worker(&machines.all()[name], address);
        }
        let deployment = Deployment::of(topology, World::new(1));
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

    /// Works on the hosts by SSH from now on, with this key.
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
            world: self.deployment.world.clone(),
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
        self.deployment.doors.hosts = Arc::new(RetryingHosts::new(hosts));
    }

    /// What tailscaled does by itself: tells its control server what it offers.
    pub(crate) async fn tell_control_server(&self) {
        let offered = fs::read_to_string(
            self.machines.all()[ROUTER].stand_in("tailscale-state/advertise-routes"),
        );
        let offered = offered.unwrap_or_default();
        let prefixes = offered.split(',').filter_map(|text| text.trim().parse().ok()).collect();
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
        let told = RouterChange::AdvertisedRoutes(prefixes);
        self.deployment.world.change_router(&target, &told).await.unwrap();
    }

    /// Where host keys are noted.
    pub(crate) fn known_hosts(&self) -> PathBuf {
        self.folder.join("known_hosts")
    }

    /// A file of this test's own.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Does something each time right before a host is worked on.
    pub(crate) fn meanwhile(&self, meanwhile: Option<Meanwhile>) {
        *self.machines.meanwhile.lock().unwrap() = meanwhile;
    }

    /// What was done on the hosts since the last time.
    pub(crate) fn done(&self) -> Vec<String> {
        std::mem::take(&mut self.done.lock().unwrap())
    }
}

/// What the site has put on its machines, and what the router's packages come
/// from.
fn install(machine: &Machine) {
    let web = machine.stand_in("web");
    fs::create_dir_all(&web).unwrap();
    fs::create_dir_all(machine.stand_in("tailscale-state")).unwrap();
    fs::write(web.join("jammy.noarmor.gpg"), format!("{TAILSCALE_KEY}\n")).unwrap();
    if machine.name() == ROUTER {
        return;
    }
    fs::write(machine.stand_in("kubelet-version"), "1.33.5").unwrap();
    machine.sh("cp /run/stand-ins/packages/* /run/stand-ins/bin/; rm /run/stand-ins/bin/tailscale");
}
