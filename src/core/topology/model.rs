//! The checked topology.
//!
//! Every value is valid: prefixes have no host bits, names are legal, references
//! resolve. [`super::load`] creates it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

mod services;

use super::ignore::IgnoreRule;
use super::names::{
    ClusterName, DatacenterName, Location, NodePoolName, ProfileName, ResourceGroupName,
    RouterName, TopologyName, VmSize, WorkerName,
};
use super::version::KubernetesVersion;
pub use services::{Azure, EndpointOverrides, Tailnet};

pub use crate::resource::settings::{
    AutoApply, AzureCloud, ClusterTier, HostKeyPolicy, NodePoolMode, NodePoolScale, NodeRouteTable,
    PackageSource, SourceAddresses, SupportPlan,
};

/// The desired configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The name, recorded as owner on every object.
    pub name: TopologyName,
    /// The Azure subscription and region.
    pub azure: Azure,
    /// The tailnet and the tag of the routers in it.
    pub tailnet: Tailnet,
    /// SSH access to hosts.
    pub ssh: Ssh,
    /// The AKS cluster and its router.
    pub cluster: Cluster,
    /// Network settings of all sites.
    pub network: NetworkSettings,
    /// How changes are rolled out to workers.
    pub rollout: RolloutSettings,
    /// The changes that `stargate watch` makes by itself.
    pub watch: WatchSettings,
    /// The provisioning profiles by name.
    pub profiles: BTreeMap<ProfileName, Profile>,
    /// The datacenters, in file order.
    pub datacenters: Vec<Datacenter>,
    /// Known drift that a plan leaves as it is.
    pub ignores: Vec<IgnoreRule>,
}

/// SSH access to hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// The login user, who can use `sudo` without a password.
    pub user: String,
    /// The port of sshd.
    pub port: u16,
    /// The public key installed on new machines.
    pub public_key: PublicKeySource,
    /// Private key files tried before the default ones.
    pub identity_files: Vec<String>,
    /// The known_hosts file, if not the user's.
    pub known_hosts: Option<String>,
    /// How to handle unknown host keys.
    pub host_keys: HostKeyPolicy,
}

/// The source of the public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKeySource {
    /// A path; `~` is the home directory.
    File(String),
    /// The key itself, such as `ssh-ed25519 AAAA… comment`.
    Inline(String),
}

/// The AKS cluster and its router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster exists and is never modified; the router subnet, route tables and
    /// associations are still created.
    pub existing: bool,
    /// The name of the cluster.
    pub name: ClusterName,
    /// The resource group of the cluster.
    pub resource_group: ResourceGroupName,
    /// The Kubernetes version of the control plane and the node pools; without a patch,
    /// any patch satisfies it.
    pub kubernetes_version: KubernetesVersion,
    /// The pricing tier, if set.
    pub tier: Option<ClusterTier>,
    /// The support plan, if set.
    pub support_plan: Option<SupportPlan>,
    /// The route table on the subnets of AKS nodes.
    pub route_table: NodeRouteTable,
    /// The prefix of all pods, on AKS nodes and on workers.
    pub pod_cidr: Ipv4Net,
    /// The prefix of service addresses; neither routed nor advertised.
    pub service_cidr: Ipv4Net,
    /// The node pools by name; empty only for an existing cluster.
    pub node_pools: BTreeMap<NodePoolName, NodePoolSettings>,
    /// The router in the AKS VNet.
    pub router: ClusterRouter,
    /// Prevent the cluster from being replaced or deleted.
    pub protect: bool,
}

/// One AKS node pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePoolSettings {
    /// The number of nodes.
    pub scale: NodePoolScale,
    /// The VM size.
    pub vm_size: VmSize,
    /// The purpose, if set.
    pub mode: Option<NodePoolMode>,
    /// Its place in the file; pools are sorted by name.
    pub position: usize,
    /// Labels of the nodes.
    pub labels: BTreeMap<String, String>,
    /// Taints of the nodes, such as `key=value:NoSchedule`.
    pub taints: BTreeSet<String>,
    /// The number or percentage of additional nodes during an upgrade, if set.
    pub max_surge: Option<String>,
    /// The maximum number of pods on a node, if set.
    pub max_pods: Option<u32>,
    /// The size of the operating system disk in GB, if set.
    pub os_disk_gb: Option<u32>,
    /// The availability zones, if set.
    pub zones: Option<BTreeSet<String>>,
}

/// The router in the AKS VNet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterRouter {
    /// The host name.
    pub name: RouterName,
    /// The router subnet in the AKS VNet; the router has the fourth address.
    pub subnet_cidr: Ipv4Net,
    /// The VM size.
    pub vm_size: VmSize,
    /// Prevent it from being replaced or deleted.
    pub protect: bool,
}

/// Network settings of all sites.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkSettings {
    /// Whether routers translate the source addresses of pods.
    pub source_addresses: SourceAddresses,
    /// Install a DaemonSet that adds kernel routes on AKS nodes.
    pub route_manager: bool,
    /// Install Goldpinger, which measures connectivity between pods.
    pub goldpinger: bool,
}

/// How changes are rolled out to workers, in waves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RolloutSettings {
    /// The size of the first wave, all of which must succeed; 0 for no such wave.
    pub canary: u32,
    /// How many workers of one datacenter are disturbed at the same time.
    pub width: RolloutWidth,
    /// The number of failed workers above which the rollout halts.
    pub max_failures: u32,
    /// The time limit for draining a worker.
    pub drain_within: Duration,
}

/// How many workers of one datacenter a rollout disturbs at the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum RolloutWidth {
    /// The smaller of [`DEFAULT_PERCENT`](Self::DEFAULT_PERCENT) of the workers and
    /// [`DEFAULT_COUNT`](Self::DEFAULT_COUNT).
    #[default]
    Default,
    /// A number of workers.
    Count(u32),
    /// A percentage of the datacenter's workers.
    Percent(u32),
}

impl RolloutWidth {
    /// The largest width.
    pub const MAX: u32 = 64;
    /// The default in percent of a datacenter's workers.
    pub const DEFAULT_PERCENT: u32 = 10;
    /// The default in workers.
    pub const DEFAULT_COUNT: u32 = 8;

    /// The number of workers in a datacenter that has this many: a percentage is
    /// rounded down, at least 1, at most [`Self::MAX`].
    pub fn of(self, workers: usize) -> u32 {
        let percent = |percent: u32| {
            let count = workers as u64 * u64::from(percent) / 100;
            u32::try_from(count).unwrap_or(u32::MAX)
        };
        let width = match self {
            Self::Default => percent(Self::DEFAULT_PERCENT).min(Self::DEFAULT_COUNT),
            Self::Count(count) => count,
            Self::Percent(share) => percent(share),
        };
        width.clamp(1, Self::MAX)
    }
}

impl Default for RolloutSettings {
    fn default() -> Self {
        Self {
            canary: 1,
            width: RolloutWidth::Default,
            max_failures: 3,
            drain_within: Duration::from_secs(300),
        }
    }
}

/// The changes that `stargate watch` makes by itself, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WatchSettings {
    /// The changes that are made without approval.
    pub apply: AutoApply,
    /// The time between two reads of the live state without another trigger.
    pub interval: Duration,
    /// The maximum number of objects and routes that are removed without approval within
    /// ten minutes.
    pub max_removals: u32,
}

impl Default for WatchSettings {
    fn default() -> Self {
        let interval = Duration::from_secs(300);
        Self { apply: AutoApply::default(), interval, max_removals: 50 }
    }
}

/// A provisioning profile of workers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The kubelet version; without a patch, any patch satisfies it.
    pub kubernetes_version: KubernetesVersion,
    /// The container runtime.
    pub container_runtime: ContainerRuntime,
    /// The source of the kubelet, the container runtime and the CNI plugins.
    pub packages: PackageSource,
    /// Set the label that schedules AKS's managed Cilium on the worker.
    pub managed_cilium: bool,
    /// Additional labels of the Node.
    pub labels: BTreeMap<String, String>,
    /// Taints of the Node, such as `key=value:NoSchedule`.
    pub taints: Vec<String>,
    /// The maximum number of pods; `None` if it follows from the pod CIDR.
    pub max_pods: Option<u32>,
}

/// The container runtime of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ContainerRuntime {
    /// containerd with runc.
    Containerd,
}

/// A remote datacenter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Datacenter {
    /// The key in the file.
    pub name: DatacenterName,
    /// The kind of its machines.
    pub kind: DatacenterKind,
    /// The prefix from which workers get their pod CIDRs; `None` only if every worker
    /// has one set.
    pub pod_pool: Option<Ipv4Net>,
    /// The prefix length of a worker's pod CIDR.
    pub pod_prefix_length: u8,
    /// The default profile of its workers.
    pub profile: ProfileName,
    /// The subnet router.
    pub router: DatacenterRouter,
    /// The workers in file order, ranges expanded.
    pub workers: Vec<Worker>,
    /// Prevent stateful resources of the datacenter from being replaced or deleted.
    pub protect: bool,
}

impl Datacenter {
    /// Whether its machines existed before stargate and stay after it.
    pub fn is_existing(&self) -> bool {
        matches!(self.kind, DatacenterKind::Existing(_))
    }

    /// The prefix of the network of the machines.
    pub fn network(&self) -> Ipv4Net {
        match &self.kind {
            DatacenterKind::Azure(azure) => azure.vnet_cidr,
            DatacenterKind::Existing(existing) => existing.network_cidr,
        }
    }
}

/// The kind of a datacenter's machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DatacenterKind {
    /// Azure VMs in a resource group of their own.
    Azure(AzureDatacenter),
    /// Existing machines, reached over SSH.
    Existing(ExistingDatacenter),
}

/// A datacenter of Azure VMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureDatacenter {
    /// The resource group, which stargate creates.
    pub resource_group: ResourceGroupName,
    /// The region.
    pub location: Location,
    /// The address space of the VNet.
    pub vnet_cidr: Ipv4Net,
    /// The prefix of the worker subnet.
    pub subnet_cidr: Ipv4Net,
    /// The prefix of the router subnet; the router has the fourth address.
    pub router_subnet_cidr: Ipv4Net,
    /// The default VM size.
    pub vm_size: VmSize,
}

/// A datacenter of existing machines.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingDatacenter {
    /// The prefix of the network of the machines.
    pub network_cidr: Ipv4Net,
}

/// The subnet router of a datacenter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatacenterRouter {
    /// The host name.
    pub name: RouterName,
    /// The address in the datacenter: the fourth address of the subnet for kind
    /// `azure`, as set for kind `existing`.
    pub ip: Ipv4Addr,
    /// The gateway on its segment that leads to workers on other segments.
    pub gateway: Option<Ipv4Addr>,
    /// The host name or address for SSH before it joins the tailnet (kind `existing`).
    pub ssh_address: Option<String>,
    /// The pinned SSH host key.
    pub host_key: Option<String>,
    /// The VM size, if not the datacenter's (kind `azure`).
    pub vm_size: Option<VmSize>,
    /// Prevent it from being replaced or deleted.
    pub protect: bool,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// The host name and Node name.
    pub name: WorkerName,
    /// The address, if set; else the lowest free address is allocated.
    pub ip: Option<Ipv4Addr>,
    /// The pod CIDR, if set; else the lowest free prefix is allocated.
    pub pod_cidr: Option<Ipv4Net>,
    /// The MAC address (kind `existing`).
    pub mac: Option<String>,
    /// The gateway on its segment that leads to the router, if the router is not on it.
    pub gateway: Option<Ipv4Addr>,
    /// The pinned SSH host key.
    pub host_key: Option<String>,
    /// The VM size, if not the datacenter's (kind `azure`).
    pub vm_size: Option<VmSize>,
    /// The profile.
    pub profile: ProfileName,
    /// Prevent it from being replaced or deleted.
    pub protect: bool,
}
