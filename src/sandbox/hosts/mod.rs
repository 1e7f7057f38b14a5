//! Emulated hosts: their disks and kernels.

mod access;
pub mod change;
mod collection;
mod probe;
pub mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use crate::resource::ArmId;
use crate::resource::azure::MachineRole;
use crate::resource::foreign_rule::{ForeignHop, ForeignRule};
use crate::resource::host::KernelRoute;
use crate::resource::ownership::ROUTE_PROTOCOL;
use crate::topology::version::KubernetesVersion;

pub use access::HostAccess;
pub(in crate::sandbox) use collection::is_label_of;
pub use collection::{Hosts, Touched};

/// The kernel's main routing table.
pub const MAIN_TABLE: u32 = 254;
/// The priority of stargate's rules. They precede Tailscale's at 5270.
pub const RULE_PRIORITY: u32 = 5_200;
/// The name of stargate's CNI configuration. It sorts before `05-cilium.conflist`.
pub const CNI_FILE: &str = "00-stargate.conflist";
/// The kernel modules that a worker needs.
pub const WORKER_MODULES: [&str; 2] = ["br_netfilter", "overlay"];

/// A host.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EmulatedHost {
    /// The host name.
    pub name: String,
    /// The private address.
    pub ip: Ipv4Addr,
    /// The public address, if it has one.
    pub public_ip: Option<Ipv4Addr>,
    /// The name or address under which the firewall of its site forwards SSH to it.
    #[serde(default)]
    pub public_address: Option<String>,
    /// Whether it runs.
    pub powered_on: bool,
    /// Its origin.
    pub kind: HostKind,
    /// Its role.
    pub role: MachineRole,
    /// Sysctls, routes and rules.
    pub kernel: EmulatedKernel,
    /// Masquerading and MSS clamping.
    pub firewall: EmulatedFirewall,
    /// The state of Tailscale, if it is installed.
    pub tailscale: Option<Tailscale>,
    /// The state of a worker's software.
    pub worker: WorkerState,
    /// The prefix of its own segment or subnet, if that is not the whole network of its site.
    #[serde(default)]
    pub on_link: Option<Ipv4Net>,
    /// Whether a firewall that stargate does not see drops packets to its pods.
    #[serde(default)]
    pub drops_pods: bool,
    /// The block of the topology whose protection the router's stamp records.
    #[serde(default)]
    pub protected_by: Option<String>,
    /// Whether the login user may log in and use sudo.
    #[serde(default)]
    pub access: HostAccess,
    /// The number of boots.
    #[serde(default)]
    pub boots: u32,
    /// How long the changes so far would have taken on a real host, in milliseconds.
    pub work_milliseconds: u64,
}

/// The origin of a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum HostKind {
    /// A VM in Azure.
    Vm {
        /// The id of the VM.
        id: ArmId,
        /// The unique id of the VM: a later VM of the same name has a different one.
        instance: String,
        /// The size that it runs with. Empty in states that were saved before this field
        /// existed.
        #[serde(default)]
        size: String,
        /// Whether it is down because its size changes.
        #[serde(default)]
        is_resizing: bool,
        /// Whether Azure stopped it.
        #[serde(default)]
        is_stopped: bool,
    },
    /// A machine that existed before stargate.
    Existing {
        /// The MAC address.
        mac: Option<String>,
    },
}

/// The configuration of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmulatedKernel {
    /// `net.ipv4.ip_forward`.
    pub ip_forwarding: bool,
    /// `net.ipv4.conf.all.rp_filter`.
    pub reverse_path_filter: u8,
    /// `net.ipv4.conf.all.send_redirects`.
    pub send_redirects: bool,
    /// Whether swap is off.
    pub swap_off: bool,
    /// Sysctls that have another value than stargate sets, with that value.
    #[serde(default)]
    pub wrong_sysctls: BTreeMap<String, String>,
    /// Loaded modules.
    pub modules: BTreeSet<String>,
    /// Routes that were added to the kernel's own.
    pub routes: Vec<Route>,
    /// Rules that were added to the kernel's own.
    pub rules: Vec<EmulatedRule>,
    /// Whether a router's settings survive a reboot. Defaults to true for states that were saved
    /// before this field existed.
    #[serde(default = "always")]
    pub persistent: bool,
}

fn always() -> bool {
    true
}

/// A kernel route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// The destination prefix.
    pub destination: Ipv4Net,
    /// The next hop.
    pub via: KernelRoute,
    /// The routing table.
    pub table: u32,
    /// The routing protocol number, which identifies the program that added the route.
    pub protocol: u8,
}

/// A rule that looks up destinations in a prefix in a routing table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmulatedRule {
    /// The priority; lower values are evaluated first.
    pub priority: u32,
    /// The destination prefix.
    pub destination: Ipv4Net,
    /// The routing table.
    pub table: u32,
}

/// The firewall's treatment of forwarded packets.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EmulatedFirewall {
    /// Whether stargate's masquerading on tailscale0 is active.
    pub masquerade: bool,
    /// Whether stargate's MSS clamping is active in both directions.
    pub mss_clamp: bool,
}

/// The state of Tailscale on a host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tailscale {
    /// The device id while it is logged in.
    pub device: Option<String>,
    /// The address in the tailnet while it is logged in.
    pub address: Option<Ipv4Addr>,
    /// Whether it accepts routes of other devices.
    pub accept_routes: bool,
    /// Whether it applies SNAT to traffic that leaves the tailnet.
    pub snat_subnet_routes: bool,
    /// The prefixes that it advertises.
    pub advertised_routes: BTreeSet<Ipv4Net>,
    /// The exit node that it uses.
    #[serde(default)]
    pub exit_node: Option<String>,
    /// Whether it refuses connections from the tailnet.
    #[serde(default)]
    pub shields_up: bool,
}

/// The software and configuration of a worker.
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
    /// The version of the kubelet whose packages were downloaded and not installed yet.
    #[serde(default)]
    pub staged_packages: Option<KubernetesVersion>,
    /// Whether the CNI plugins are installed.
    pub cni_plugins: bool,
    /// Pod subnets by name of the CNI configuration.
    pub cni_files: BTreeMap<String, Ipv4Net>,
    /// The digest of the cluster's CA certificate.
    pub cluster_ca_digest: Option<String>,
    /// The kubelet's configuration.
    pub configuration: Option<KubeletFile>,
    /// The bootstrap kubeconfig.
    pub bootstrap: Option<BootstrapFile>,
    /// The certificate request that the kubelet waits for.
    pub request: Option<String>,
    /// The client certificate that the cluster issued.
    pub certificate: Option<ClientCertificate>,
    /// Whether the kubelet has registered its Node since its start.
    pub registered: bool,
    /// The content of the stamp file.
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
    /// The maximum number of pods.
    pub max_pods: u32,
    /// The digest that a probe reports.
    pub digest: String,
}

/// The bootstrap kubeconfig on disk.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootstrapFile {
    /// The URL of the API server.
    pub server: String,
    /// The bootstrap token.
    pub token: String,
}

/// A client certificate of a kubelet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// The Node that the certificate is for.
    pub node_name: String,
    /// The cluster that issued the certificate. Other clusters do not accept it.
    pub cluster: String,
}

impl EmulatedHost {
    /// A running host without any configuration.
    pub fn bare(name: &str, ip: Ipv4Addr, kind: HostKind, role: MachineRole) -> Self {
        Self {
            name: name.to_owned(),
            ip,
            public_ip: None,
            public_address: None,
            powered_on: true,
            kind,
            role,
            kernel: EmulatedKernel {
                reverse_path_filter: 1,
                send_redirects: true,
                ..EmulatedKernel::default()
            },
            firewall: EmulatedFirewall::default(),
            tailscale: None,
            worker: WorkerState::default(),
            on_link: None,
            drops_pods: false,
            access: HostAccess::Granted,
            boots: 0,
            protected_by: None,
            work_milliseconds: 0,
        }
    }

    /// The id of the current boot, in the format of Linux.
    pub fn boot_id(&self) -> String {
        let digest = step::digest(&format!("{} {} {}", self.name, self.ip, self.boots));
        let part = |from: usize, to: usize| digest.get(from..to).unwrap_or_default();
        [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)].join("-")
    }

    /// Reboots the host: enabled units and persistent settings are active afterwards.
    pub fn reboot(&mut self) {
        self.boots += 1;
        let worker = &mut self.worker;
        worker.container_runtime_active = worker.container_runtime.is_some();
        worker.kubelet_active = worker.kubelet.is_some() && worker.configuration.is_some();
        worker.registered = false;
    }

    /// Whether the host runs and is logged in to the tailnet.
    pub fn in_tailnet(&self) -> bool {
        self.powered_on && self.tailscale.as_ref().is_some_and(|it| it.device.is_some())
    }

    /// The CNI configuration that containerd uses: the first by name.
    pub fn cni_chosen(&self) -> Option<(&String, &Ipv4Net)> {
        self.worker.cni_files.first_key_value()
    }

    /// Routes with stargate's protocol number in table main.
    pub fn our_routes(&self) -> BTreeMap<Ipv4Net, KernelRoute> {
        let ours = |route: &&Route| route.protocol == ROUTE_PROTOCOL && route.table == MAIN_TABLE;
        self.kernel.routes.iter().filter(ours).map(|it| (it.destination, it.via)).collect()
    }

    /// Routes with other protocol numbers in table main, by prefix and metric.
    pub fn routes_of_others(&self) -> BTreeMap<(Ipv4Net, u32), String> {
        let theirs = |it: &&Route| it.protocol != ROUTE_PROTOCOL && it.table == MAIN_TABLE;
        let rendered = |it: &Route| {
            let way = match it.via {
                KernelRoute::Tunnel => "dev tailscale0".to_owned(),
                KernelRoute::Via(hop) => format!("via {hop}"),
                KernelRoute::Unreachable => "type unreachable".to_owned(),
            };
            let text = format!("{} {way} proto {}", it.destination, it.protocol);
            ((it.destination, it.via.metric()), text)
        };
        self.kernel.routes.iter().filter(theirs).map(rendered).collect()
    }

    /// Why the kernel refuses these routes, if it does: a next hop is not on its segment.
    pub fn refuses(&self, routes: &BTreeMap<Ipv4Net, KernelRoute>) -> Option<String> {
        let on_link = self.on_link?;
        let is_distant =
            |via: &KernelRoute| matches!(via, KernelRoute::Via(hop) if !on_link.contains(hop));
        let refused = routes.iter().find(|(_, via)| is_distant(via));
        refused.map(|(prefix, _)| format!("{prefix}: Error: Nexthop has invalid gateway."))
    }

    /// Rules of other programs, with the routes of the tables that they select.
    pub fn foreign_rules(&self) -> Vec<ForeignRule> {
        let rules = self.kernel.rules.iter().filter(|rule| rule.table != MAIN_TABLE);
        let hop = |route: &Route| match route.via {
            KernelRoute::Tunnel => ForeignHop::Device("tailscale0".to_owned()),
            KernelRoute::Via(hop) => ForeignHop::Via(hop),
            KernelRoute::Unreachable => ForeignHop::Unreachable,
        };
        let routes = |table: u32| {
            let routes = self.kernel.routes.iter().filter(move |route| route.table == table);
            routes.map(|route| (route.destination, hop(route))).collect()
        };
        rules
            .map(|rule| ForeignRule {
                priority: rule.priority,
                from: Ipv4Net::default(),
                to: rule.destination,
                table: rule.table.to_string(),
                routes: routes(rule.table),
            })
            .collect()
    }

    /// Replaces the routes with stargate's protocol number.
    pub fn set_our_routes(&mut self, routes: &BTreeMap<Ipv4Net, KernelRoute>) {
        self.kernel.routes.retain(|route| route.protocol != ROUTE_PROTOCOL);
        self.kernel.routes.extend(routes.iter().map(|(destination, via)| Route {
            destination: *destination,
            via: *via,
            table: MAIN_TABLE,
            protocol: ROUTE_PROTOCOL,
        }));
    }

    /// Prefixes that stargate's rules look up in table main.
    pub fn local_prefixes(&self) -> BTreeSet<Ipv4Net> {
        let ours =
            |rule: &&EmulatedRule| rule.priority == RULE_PRIORITY && rule.table == MAIN_TABLE;
        self.kernel.rules.iter().filter(ours).map(|rule| rule.destination).collect()
    }

    /// Whether kubelet and container runtime run and the kubelet has an identity.
    pub fn kubelet_works(&self) -> bool {
        let worker = &self.worker;
        self.powered_on
            && worker.kubelet_active
            && worker.container_runtime_active
            && worker.configuration.is_some()
    }
}
