//! The interface of a host client: typed probes, typed changes, typed steps.
//!
//! An implementation of [`HostRead`] and [`HostWrite`] turns them into commands
//! over SSH, or into changes of the sandbox's state; neither interprets text.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

pub use super::host_error::HostError;
pub use super::read_write::{HostRead, HostWrite};
use super::secret::Secret;
use crate::resource::foreign_rule::ForeignRule;
use crate::resource::host::{KernelRoute, WorkerHost};
use crate::resource::settings::{HostKeyPolicy, PackageSource};
use crate::resource::version::KubernetesVersion;

/// A host and the way to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HostTarget {
    /// The name that the host must give itself.
    pub hostname: String,
    /// Where it is reached, from the jump host if there is one.
    pub address: HostAddress,
    /// The port of sshd.
    pub port: u16,
    /// The login user.
    pub user: String,
    /// The datacenter's router, for a worker behind it.
    pub jump: Option<Box<HostTarget>>,
    /// The pinned host key.
    pub host_key: Option<String>,
    /// The policy for an unknown key.
    pub host_keys: HostKeyPolicy,
}

/// Where a host is reached: an address, or a name that is yet to be looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HostAddress {
    /// An address.
    Ip(Ipv4Addr),
    /// A name that the resolver of this machine, or of the jump host, knows.
    Name(String),
}

impl HostAddress {
    /// The configured text, an address or a name.
    pub fn of_text(text: &str) -> Self {
        text.parse().map_or_else(|_| Self::Name(text.to_owned()), Self::Ip)
    }
}

impl From<Ipv4Addr> for HostAddress {
    fn from(address: Ipv4Addr) -> Self {
        Self::Ip(address)
    }
}

impl std::fmt::Display for HostAddress {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(formatter),
            Self::Name(name) => formatter.pad(name),
        }
    }
}

/// The result of a probe of a router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouterProbe {
    /// The name that the host gives itself.
    pub hostname: String,
    /// The addresses of its interfaces, apart from the loopback device and the tunnel.
    pub addresses: BTreeSet<Ipv4Addr>,
    /// `net.ipv4.ip_forward`.
    pub ip_forwarding: bool,
    /// `net.ipv4.conf.all.rp_filter`.
    pub reverse_path_filter: u8,
    /// `net.ipv4.conf.*.send_redirects`: the kernel sends redirects if any is set.
    pub send_redirects: bool,
    /// Our masquerade on tailscale0.
    pub masquerade: bool,
    /// Our MSS clamp, both ways.
    pub mss_clamp: bool,
    /// Prefixes that a rule of ours sends to table main.
    pub local_prefixes: BTreeSet<Ipv4Net>,
    /// Routes of our protocol number in table main.
    pub kernel_routes: BTreeMap<Ipv4Net, KernelRoute>,
    /// Routes of others in table main, by prefix and metric, as `ip` shows them.
    pub routes_of_others: BTreeMap<(Ipv4Net, u32), String>,
    /// Rules of others that select tables other than the kernel's and Tailscale's.
    pub foreign_rules: Vec<ForeignRule>,
    /// Whether all of the above, and no other configuration of ours, survives a reboot and
    /// a restart of tailscaled.
    pub persistent: bool,
    /// The block of the topology whose protection the stamp of the host records.
    pub protected_by: Option<String>,
    /// Tailscale, where it is installed.
    pub tailscale: Option<TailscaleProbe>,
}

/// The state of Tailscale on a router, as it reports it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TailscaleProbe {
    /// Whether it is logged in and running.
    pub running: bool,
    /// Its address in the tailnet.
    pub address: Option<Ipv4Addr>,
    /// Prefixes that it offers.
    pub advertised_routes: BTreeSet<Ipv4Net>,
    /// Whether it takes up others' routes.
    pub accept_routes: bool,
    /// Whether it applies SNAT to packets that leave the tailnet for the LAN.
    pub snat_subnet_routes: bool,
    /// The exit node that it sends its traffic to, by id or address.
    pub exit_node: Option<String>,
    /// Whether it refuses connections from the tailnet.
    pub shields_up: bool,
    /// Approved prefixes for which Tailscale selects it among the devices that serve them.
    pub primary_routes: BTreeSet<Ipv4Net>,
}

/// One change of a router, kept across reboots and restarts of tailscaled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RouterChange {
    /// Forwarding, reverse path filter and redirects.
    Sysctls {
        /// `net.ipv4.ip_forward`.
        ip_forwarding: bool,
        /// `net.ipv4.conf.all.rp_filter`.
        reverse_path_filter: u8,
        /// `net.ipv4.conf.*.send_redirects`, of every interface.
        send_redirects: bool,
    },
    /// Masquerade and MSS clamp.
    Firewall {
        /// Our masquerade on tailscale0.
        masquerade: bool,
        /// The clamp, both ways.
        mss_clamp: bool,
    },
    /// Prefixes looked up in table main first; exactly these.
    LocalPrefixes(BTreeSet<Ipv4Net>),
    /// Routes of our protocol number; exactly these.
    KernelRoutes(BTreeMap<Ipv4Net, KernelRoute>),
    /// Settings of Tailscale, by `tailscale set`.
    TailscaleSettings {
        /// Take up others' routes.
        accept_routes: bool,
        /// Apply SNAT to packets that leave the tailnet for the LAN.
        snat_subnet_routes: bool,
    },
    /// The complete list of prefixes to offer, by `tailscale set`.
    AdvertisedRoutes(BTreeSet<Ipv4Net>),
    /// The host name that the device reports to the tailnet, by `tailscale set`.
    DeviceName(String),
    /// The block of the topology whose protection is recorded in the router's stamp;
    /// `None` for no record.
    ProtectionRecord(Option<String>),
    /// Install Tailscale and join the tailnet (machines that were there before us).
    JoinTailnet {
        /// A single-use key.
        auth_key: Secret,
    },
    /// Leave the tailnet and take away everything that stargate put there.
    Remove,
}

/// The result of a probe of a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkerProbe {
    /// The name that the host gives itself.
    pub hostname: String,
    /// `x86_64` or `aarch64`.
    pub architecture: String,
    /// Kernel modules that are loaded, now and at the next boot, of those a worker
    /// needs.
    pub modules: BTreeSet<String>,
    /// The version of containerd, if it is installed and configured by us.
    pub container_runtime_version: Option<String>,
    /// The version of the kubelet, if it is installed.
    pub kubelet_version: Option<KubernetesVersion>,
    /// The version of the kubelet packages on disk; they lie there together with packages
    /// of containerd and the CNI plugins that are not installed yet.
    pub staged_packages: Option<KubernetesVersion>,
    /// Whether the CNI plugins are installed with the right checksum.
    pub cni_plugins: bool,
    /// The digest of the cluster's CA that is on disk.
    pub cluster_ca_digest: Option<String>,
    /// The digest of the kubelet's configuration on disk; absent if the file was
    /// edited after stargate wrote it.
    pub kubelet_configuration_digest: Option<String>,
    /// Whether the kubelet has a client certificate of its own.
    pub client_certificate: bool,
    /// Whether a bootstrap kubeconfig lies on disk.
    pub bootstrap_kubeconfig: bool,
    /// The identity of this boot, `/proc/sys/kernel/random/boot_id`.
    pub boot_id: String,
    /// Whether the kernel routes, and no others of ours, are back after a reboot.
    pub routes_persistent: bool,
    /// Prefixes of its own segments, from the routes without a next hop.
    pub on_link: BTreeSet<Ipv4Net>,
    /// Rules of others that select tables other than the kernel's.
    pub foreign_rules: Vec<ForeignRule>,
    /// The state that is compared with the topology.
    pub host: WorkerHost,
}

/// One step of a worker's bootstrap on the host itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkerStep {
    /// Swap off, modules and sysctls, all of it persistent.
    Kernel,
    /// Routes through the datacenter's router (machines without a fabric).
    KernelRoutes(BTreeMap<Ipv4Net, KernelRoute>),
    /// Download the packages of the next three steps, with the kubelet at this version;
    /// nothing is installed, and nothing restarts.
    StagePackages(KubernetesVersion, PackageSource),
    /// containerd, configured.
    ContainerRuntime(PackageSource),
    /// The kubelet at exactly this version.
    Kubelet(KubernetesVersion, PackageSource),
    /// The CNI plugins.
    CniPlugins(PackageSource),
    /// The cluster's CA.
    ClusterCa {
        /// Certificates in PEM.
        pem: String,
    },
    /// The kubeconfig that the kubelet asks for its certificate with.
    BootstrapKubeconfig {
        /// The API server.
        server: String,
        /// The bootstrap token.
        token: Secret,
    },
    /// The kubelet's configuration and unit.
    KubeletConfiguration(KubeletConfiguration),
    /// Our CNI configuration with host-local addresses.
    CniConfiguration {
        /// The worker's pod CIDR.
        subnet: Ipv4Net,
    },
    /// Start (or restart) containerd and the kubelet.
    Start,
    /// Remove the bootstrap kubeconfig.
    RemoveBootstrapKubeconfig,
    /// Record the digest of the applied profile.
    Stamp {
        /// The profile's digest.
        digest: String,
    },
    /// Stop the kubelet and remove all that stargate put there.
    Reset,
    /// Restart the machine, unless it has been since. It may go down before it
    /// answers.
    Reboot {
        /// The identity of the boot that is to end.
        from_boot: String,
    },
}

/// The configuration of the kubelet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KubeletConfiguration {
    /// `--hostname-override`.
    pub node_name: String,
    /// `--node-ip`.
    pub node_ip: Ipv4Addr,
    /// The cluster's DNS service.
    pub cluster_dns: Ipv4Addr,
    /// `--node-labels`.
    pub labels: BTreeMap<String, String>,
    /// `registerWithTaints`.
    pub taints: BTreeSet<String>,
    /// `providerID`.
    pub provider_id: String,
    /// `maxPods`.
    pub max_pods: u32,
    /// The digest of all of the above, for the probe.
    pub digest: String,
}
