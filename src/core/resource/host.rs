//! The configuration that stargate keeps on hosts.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::{Address, Observable, Pending, Shared};
use crate::diagnostics::counted;
use crate::resource::digest::text_digest;
use crate::resource::settings::SourceAddresses;
use crate::resource::version::KubernetesVersion;

/// A router's configuration, all of it surviving a reboot and a restart of
/// tailscaled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterHost {
    /// The host's name.
    pub hostname: String,
    /// `net.ipv4.ip_forward`.
    pub ip_forwarding: bool,
    /// `net.ipv4.conf.all.rp_filter`: 2 is loose, which forwarding between two
    /// interfaces needs.
    pub reverse_path_filter: u8,
    /// `net.ipv4.conf.all.send_redirects`.
    pub send_redirects: bool,
    /// Whether packets that leave by tailscale0 get the router's address.
    pub masquerade: bool,
    /// Tailscale's own SNAT of packets from the tailnet into the LAN.
    pub snat_subnet_routes: bool,
    /// Whether TCP's segment size is clamped to the tunnel's MTU, both ways.
    pub mss_clamp: bool,
    /// Whether routes of other routers are taken up.
    pub accept_routes: bool,
    /// Prefixes looked up in table main before Tailscale's table 52.
    pub local_prefixes: BTreeSet<Ipv4Net>,
    /// Routes of our protocol number in table main; exactly these.
    pub kernel_routes: Pending<BTreeMap<Ipv4Net, KernelRoute>>,
    /// Whether exactly this is back after a reboot and a restart of tailscaled.
    pub persistent: bool,
    /// The block of the topology whose protection is recorded in its stamp, as in
    /// `datacenters.dc1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_by: Option<String>,
}

impl RouterHost {
    pub(super) fn awaits(&self) -> Vec<Address> {
        self.kernel_routes.awaited().into_iter().collect()
    }

    /// Masquerade and SNAT as the topology's choice has them: both or neither.
    pub fn address_translation(choice: SourceAddresses) -> bool {
        choice == SourceAddresses::Masquerade
    }
}

/// Where a kernel route sends packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum KernelRoute {
    /// Into tailscale0.
    Tunnel,
    /// To a neighbour in the LAN.
    Via(Ipv4Addr),
    /// An `unreachable` route with a high metric, for packets without a more specific
    /// route.
    Unreachable,
}

impl KernelRoute {
    /// The metric of an unreachable route: any other one to the prefix wins.
    pub const UNREACHABLE_METRIC: u32 = 1_000_000;

    /// The metric that it is put into the kernel with. Two routes of one prefix
    /// and metric cannot stand beside each other.
    pub fn metric(self) -> u32 {
        if self == Self::Unreachable { Self::UNREACHABLE_METRIC } else { 0 }
    }
}

/// A worker's membership in the cluster, and its host behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinedWorker {
    /// Its host name and Node name.
    pub name: String,
    /// Its address.
    pub ip: Ipv4Addr,
    /// Its pod CIDR; it can be set once, so another one is a replacement.
    pub pod_cidr: Ipv4Net,
    /// Its provider id; likewise.
    pub provider_id: String,
    /// The labels that stargate sets.
    pub labels: Shared<BTreeMap<String, String>>,
    /// The taints that stargate sets, as in `key=value:NoSchedule`.
    pub taints: Shared<BTreeSet<String>>,
    /// The version of its kubelet.
    pub kubelet_version: KubernetesVersion,
    /// The digest of the profile that was applied, from the Node's annotation.
    pub profile_digest: String,
    /// The kernel routes that were set on its host, as [`describe_routes`] gives them, from
    /// the Node's annotation.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub routes: String,
    /// Whether the Node is Ready.
    pub ready: bool,
    /// Whether stargate has cordoned the Node for work that has not ended.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cordoned_for_work: bool,
    /// The block of the topology whose protection is recorded on its Node, as in
    /// `datacenters.dc1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protected_by: Option<String>,
    /// The state that only a probe of the host shows.
    pub host: Observable<WorkerHost>,
}

impl JoinedWorker {
    /// Stands for the pod CIDR of a Node without one: no worker has the range of all
    /// addresses.
    pub const NO_POD_CIDR: Ipv4Net = Ipv4Net::new_assert(Ipv4Addr::UNSPECIFIED, 0);
}

/// Kernel routes as a short text that differs when they do: each next hop with the number of
/// its prefixes, and a digest. Empty without routes.
pub fn describe_routes(routes: &BTreeMap<Ipv4Net, KernelRoute>) -> String {
    let mut hops: BTreeMap<String, usize> = BTreeMap::new();
    let mut all = String::new();
    for (prefix, route) in routes {
        let hop = match route {
            KernelRoute::Tunnel => "tunnel".to_owned(),
            KernelRoute::Via(address) => address.to_string(),
            KernelRoute::Unreachable => "unreachable".to_owned(),
        };
        all.push_str(&format!("{prefix} {hop}\n"));
        *hops.entry(hop).or_default() += 1;
    }
    if hops.is_empty() {
        return String::new();
    }
    let digest = text_digest(&all);
    let hops: Vec<String> =
        hops.iter().map(|(hop, count)| format!("{} via {hop}", counted(*count, "route"))).collect();
    format!("{} ({})", hops.join(", "), digest.get(..12).unwrap_or(&digest))
}

/// The next hop of kernel routes that [`describe_routes`] describes, if they have the same one.
pub fn described_next_hop(description: &str) -> Option<Ipv4Addr> {
    let (hops, _digest) = description.rsplit_once(" (")?;
    let (_count, hop) = hops.split_once(" via ")?;
    hop.parse().ok()
}

/// The state of a worker's disk and kernel.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerHost {
    /// The subnet in our CNI configuration; absent where the file is.
    pub cni_configuration: Option<Ipv4Net>,
    /// The name of the CNI configuration that the runtime chose.
    pub cni_chosen: Option<String>,
    /// Whether the kernel forwards.
    pub ip_forwarding: bool,
    /// Sysctls that have another value than stargate sets, with that value.
    pub wrong_sysctls: BTreeMap<String, String>,
    /// Swap that is on, and the units and files that turn it on at the next boot.
    pub swap: BTreeSet<String>,
    /// Whether modules, sysctls and swap are the same after a reboot.
    pub persistent: bool,
    /// Whether containerd is active.
    pub container_runtime_active: bool,
    /// Whether the kubelet is active.
    pub kubelet_active: bool,
    /// Routes through the datacenter's router, for kinds without a fabric that
    /// has them; exactly these.
    pub kernel_routes: Shared<BTreeMap<Ipv4Net, KernelRoute>>,
    /// The digest that the stamp file holds.
    pub stamp: Option<String>,
}
