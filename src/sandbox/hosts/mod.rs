//! Machines: what is on their disks and in their kernels.

pub mod change;
mod kept;
mod probe;
pub mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::resource::ArmId;
use crate::resource::azure::MachineRole;
use crate::resource::host::KernelRoute;
use crate::resource::ownership::ROUTE_PROTOCOL;
use crate::topology::version::KubernetesVersion;

pub use kept::{Hosts, Touched};

/// The kernel's table that routes are in unless said otherwise.
pub const MAIN_TABLE: u32 = 254;
/// The priority of our rules, before Tailscale's 5270.
pub const RULE_PRIORITY: u32 = 5_200;
/// The name of our CNI configuration; it sorts before `05-cilium.conflist`.
pub const CNI_FILE: &str = "00-stargate.conflist";
/// The kernel modules that a worker needs.
pub const WORKER_MODULES: [&str; 2] = ["br_netfilter", "overlay"];

/// A machine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Host {
    /// What it calls itself.
    pub name: String,
    /// Its address in its own network.
    pub ip: Ipv4Addr,
    /// Its public address, where it has one.
    pub public_ip: Option<Ipv4Addr>,
    /// The name or address under which its site lets SSH in from outside.
    #[serde(default)]
    pub outside: Option<String>,
    /// Whether it runs.
    pub powered_on: bool,
    /// Where it comes from.
    pub kind: HostKind,
    /// What it is for.
    pub role: MachineRole,
    /// Sysctls, routes and rules.
    pub kernel: Kernel,
    /// Masquerade and clamp.
    pub firewall: Firewall,
    /// Tailscale, where it is installed.
    pub tailscale: Option<Tailscale>,
    /// What makes it a worker.
    pub worker: WorkerState,
    /// How often it was restarted.
    #[serde(default)]
    pub boots: u32,
    /// How long the work on it would have taken, in milliseconds.
    pub work_milliseconds: u64,
}

/// Where a machine comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKind {
    /// An Azure VM.
    Vm {
        /// The VM.
        id: ArmId,
        /// The identity of this very VM: another of the same name has another.
        instance: String,
    },
    /// A machine that was there before.
    Existing {
        /// Its hardware address.
        mac: Option<String>,
    },
}

/// What the kernel is told.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kernel {
    /// `net.ipv4.ip_forward`.
    pub ip_forwarding: bool,
    /// `net.ipv4.conf.all.rp_filter`.
    pub reverse_path_filter: u8,
    /// `net.ipv4.conf.all.send_redirects`.
    pub send_redirects: bool,
    /// Whether swap is off.
    pub swap_off: bool,
    /// Loaded modules.
    pub modules: BTreeSet<String>,
    /// Routes that somebody added.
    pub routes: Vec<Route>,
    /// Rules that somebody added.
    pub rules: Vec<Rule>,
    /// Whether a router's settings are back after a reboot. Worlds from before this
    /// was kept have them back.
    #[serde(default = "always")]
    pub persistent: bool,
}

fn always() -> bool {
    true
}

/// A kernel route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where packets want to go.
    pub destination: Ipv4Net,
    /// Where they are sent.
    pub via: KernelRoute,
    /// The table.
    pub table: u32,
    /// The protocol number: who added it.
    pub protocol: u8,
}

/// A rule: these destinations are looked up in that table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// The lower is asked first.
    pub priority: u32,
    /// Destinations.
    pub destination: Ipv4Net,
    /// The table.
    pub table: u32,
}

/// What the firewall does to forwarded packets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Firewall {
    /// Our masquerade on tailscale0.
    pub masquerade: bool,
    /// Our clamp of the segment size, both ways.
    pub mss_clamp: bool,
}

/// Tailscale on a machine.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tailscale {
    /// Its device, while it is logged in.
    pub device: Option<String>,
    /// Its address in the tailnet, while it is logged in.
    pub address: Option<Ipv4Addr>,
    /// Whether it takes up others' routes.
    pub accept_routes: bool,
    /// Whether it hides sources of what leaves the tailnet.
    pub snat_subnet_routes: bool,
    /// What it offers.
    pub advertised_routes: BTreeSet<Ipv4Net>,
}

/// What makes a machine a worker.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct WorkerState {
    /// The version of containerd.
    pub container_runtime: Option<String>,
    /// Whether containerd runs.
    pub container_runtime_active: bool,
    /// The version of the kubelet.
    pub kubelet: Option<KubernetesVersion>,
    /// Whether the kubelet runs.
    pub kubelet_active: bool,
    /// Whether the CNI plugins are there.
    pub cni_plugins: bool,
    /// CNI configurations by name, with their subnets.
    pub cni_files: BTreeMap<String, Ipv4Net>,
    /// The digest of the cluster's CA.
    pub cluster_ca_digest: Option<String>,
    /// The kubelet's configuration.
    pub configuration: Option<KubeletFile>,
    /// The bootstrap kubeconfig.
    pub bootstrap: Option<BootstrapFile>,
    /// The request that the kubelet waits on.
    pub request: Option<String>,
    /// The client certificate that the cluster issued.
    pub certificate: Option<ClientCertificate>,
    /// Whether the kubelet has registered its Node since its start.
    pub registered: bool,
    /// The stamp file.
    pub stamp: Option<String>,
}

/// The kubelet's configuration on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KubeletFile {
    /// The Node's name.
    pub node_name: String,
    /// The Node's address.
    pub node_ip: Ipv4Addr,
    /// The cluster's DNS service.
    pub cluster_dns: Ipv4Addr,
    /// Labels at registration.
    pub labels: BTreeMap<String, String>,
    /// Taints at registration.
    pub taints: BTreeSet<String>,
    /// The provider id.
    pub provider_id: String,
    /// The most pods.
    pub max_pods: u32,
    /// The digest that the probe answers.
    pub digest: String,
}

/// The bootstrap kubeconfig on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapFile {
    /// The API server.
    pub server: String,
    /// The bootstrap token.
    pub token: String,
}

/// A client certificate of a kubelet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// The Node that it is for.
    pub node_name: String,
    /// The cluster that issued it: another cluster does not know it.
    pub cluster: String,
}

impl Host {
    /// A machine as it comes: it runs, and nobody set anything up.
    pub fn bare(name: &str, ip: Ipv4Addr, kind: HostKind, role: MachineRole) -> Self {
        Self {
            name: name.to_owned(),
            ip,
            public_ip: None,
            outside: None,
            powered_on: true,
            kind,
            role,
            kernel: Kernel { reverse_path_filter: 1, send_redirects: true, ..Kernel::default() },
            firewall: Firewall::default(),
            tailscale: None,
            worker: WorkerState::default(),
            boots: 0,
            work_milliseconds: 0,
        }
    }

    /// The identity of its boot, in the form that Linux gives it.
    pub fn boot_id(&self) -> String {
        let digest = step::digest(&format!("{} {} {}", self.name, self.ip, self.boots));
        let part = |from: usize, to: usize| digest.get(from..to).unwrap_or_default();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }

    /// Restarts it: what is enabled comes up again.
    pub fn reboot(&mut self) {
        self.boots += 1;
        let worker = &mut self.worker;
        worker.container_runtime_active = worker.container_runtime.is_some();
        worker.kubelet_active = worker.kubelet.is_some() && worker.configuration.is_some();
        worker.registered = false;
    }

    /// Whether it is logged in to the tailnet and runs.
    pub fn in_tailnet(&self) -> bool {
        self.powered_on && self.tailscale.as_ref().is_some_and(|it| it.device.is_some())
    }

    /// The CNI configuration that containerd takes: the first by name.
    pub fn cni_chosen(&self) -> Option<(&String, &Ipv4Net)> {
        self.worker.cni_files.first_key_value()
    }

    /// Routes of our protocol number in table main.
    pub fn our_routes(&self) -> BTreeMap<Ipv4Net, KernelRoute> {
        let ours = |route: &&Route| route.protocol == ROUTE_PROTOCOL && route.table == MAIN_TABLE;
        self.kernel.routes.iter().filter(ours).map(|it| (it.destination, it.via)).collect()
    }

    /// Routes of others in table main, by prefix and metric.
    pub fn routes_of_others(&self) -> BTreeMap<(Ipv4Net, u32), String> {
        let theirs = |it: &&Route| it.protocol != ROUTE_PROTOCOL && it.table == MAIN_TABLE;
        let shown = |it: &Route| {
            let way = match it.via {
                KernelRoute::Tunnel => "dev tailscale0".to_owned(),
                KernelRoute::Via(hop) => format!("via {hop}"),
                KernelRoute::Unreachable => "type unreachable".to_owned(),
            };
            let text = format!("{} {way} proto {}", it.destination, it.protocol);
            ((it.destination, it.via.metric()), text)
        };
        self.kernel.routes.iter().filter(theirs).map(shown).collect()
    }

    /// Makes the routes of our protocol number exactly these.
    pub fn set_our_routes(&mut self, routes: &BTreeMap<Ipv4Net, KernelRoute>) {
        self.kernel.routes.retain(|route| route.protocol != ROUTE_PROTOCOL);
        self.kernel.routes.extend(routes.iter().map(|(destination, via)| Route {
            destination: *destination,
            via: *via,
            table: MAIN_TABLE,
            protocol: ROUTE_PROTOCOL,
        }));
    }

    /// Prefixes that a rule of ours sends to table main.
    pub fn local_prefixes(&self) -> BTreeSet<Ipv4Net> {
        let ours = |rule: &&Rule| rule.priority == RULE_PRIORITY && rule.table == MAIN_TABLE;
        self.kernel.rules.iter().filter(ours).map(|rule| rule.destination).collect()
    }

    /// Whether a kubelet can do its work: it and the runtime run, with an identity.
    pub fn kubelet_works(&self) -> bool {
        let worker = &self.worker;
        self.powered_on
            && worker.kubelet_active
            && worker.container_runtime_active
            && worker.configuration.is_some()
    }
}
