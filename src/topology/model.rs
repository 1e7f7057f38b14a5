//! The topology once it is checked: what the rest of stargate works with.
//!
//! Nothing in here can be wrong by itself: prefixes have no host bits, names
//! are legal, references point at something. [`super::load`] makes it.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;
use serde::{Deserialize, Serialize};

use super::names::{
    ClusterName, DatacenterName, Location, NodePoolName, ProfileName, ResourceGroupName,
    RouterName, SubscriptionId, TailnetTag, TopologyName, VmSize, WorkerName,
};
use super::version::KubernetesVersion;
pub use crate::resource::settings::{HostKeyPolicy, NodePoolScale, PackageSource, SourceAddresses};

/// What the user wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// The name that every object carries as its mark of ownership.
    pub name: TopologyName,
    /// Azure's subscription and region.
    pub azure: Azure,
    /// The tailnet and the tag of our devices in it.
    pub tailnet: Tailnet,
    /// How hosts are reached.
    pub ssh: Ssh,
    /// The AKS cluster and its router.
    pub cluster: Cluster,
    /// Choices that hold for the whole network.
    pub network: Network,
    /// How changes reach the workers.
    pub rollout: Rollout,
    /// How workers are provisioned, by name.
    pub profiles: BTreeMap<ProfileName, Profile>,
    /// The datacenters, in file order.
    pub datacenters: Vec<Datacenter>,
}

/// Azure's subscription and region.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Azure {
    /// Absent where the file leaves it to `AZURE_SUBSCRIPTION_ID`.
    pub subscription: Option<SubscriptionId>,
    /// The region of everything on the cluster's side.
    pub location: Location,
}

/// The tailnet and the tag of our devices in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tailnet {
    /// `-` stands for the tailnet of the credential.
    pub name: String,
    /// The tag that marks a device as this topology's.
    pub tag: TailnetTag,
}

/// How hosts are reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ssh {
    /// The login user, who may use `sudo` without a password.
    pub user: String,
    /// The port of sshd.
    pub port: u16,
    /// The public key given to new machines: a path or the key itself.
    pub public_key: PublicKeySource,
    /// Private keys to log in with, before those that are usual.
    pub identity_files: Vec<String>,
    /// A known_hosts file of the topology's own.
    pub known_hosts: Option<String>,
    /// What to do about a host key that is not known yet.
    pub host_keys: HostKeyPolicy,
}

/// Where the public key comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PublicKeySource {
    /// A file, `~` standing for the home folder.
    File(String),
    /// The key itself, as in `ssh-ed25519 AAAA… comment`.
    Inline(String),
}

/// The AKS cluster and its router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Read it and never write it; our subnet, tables and associations are still made.
    pub existing: bool,
    /// The cluster's name.
    pub name: ClusterName,
    /// The resource group that holds the cluster object.
    pub resource_group: ResourceGroupName,
    /// The version of the control plane.
    pub kubernetes_version: KubernetesVersion,
    /// The range of all pods, AKS's own and the workers'.
    pub pod_cidr: Ipv4Net,
    /// The range of service addresses; neither routed nor advertised.
    pub service_cidr: Ipv4Net,
    /// The node pools by name; empty only for an existing cluster.
    pub node_pools: BTreeMap<NodePoolName, NodePool>,
    /// The router in the AKS VNet.
    pub router: ClusterRouter,
    /// Keep the cluster from being replaced or deleted.
    pub protect: bool,
}

/// One AKS node pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePool {
    /// How many nodes it has, or may have.
    pub scale: NodePoolScale,
    /// The size of its machines.
    pub vm_size: VmSize,
}

/// The router in the AKS VNet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterRouter {
    /// Its host name.
    pub name: RouterName,
    /// Its own subnet in the AKS VNet; the router takes the `.4` of it.
    pub subnet_cidr: Ipv4Net,
    /// The size of its VM.
    pub vm_size: VmSize,
    /// Keep it from being replaced or deleted.
    pub protect: bool,
}

/// Choices that hold for the whole network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Whether routers hide or keep the addresses of pods.
    pub source_addresses: SourceAddresses,
    /// Install the DaemonSet that adds kernel routes on AKS nodes.
    pub route_manager: bool,
    /// Install Goldpinger, which measures the mesh of pods.
    pub goldpinger: bool,
}

/// How changes reach the workers: wave after wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rollout {
    /// How many workers the first wave has, which must all succeed; 0 for none.
    pub canary: u32,
    /// How many workers each later wave has.
    pub width: u32,
    /// How many workers may fail before the rest is held back.
    pub max_failures: u32,
    /// How long the pods of a worker have to leave it.
    pub drain_within: Duration,
}

impl Default for Rollout {
    fn default() -> Self {
        Self { canary: 1, width: 32, max_failures: 3, drain_within: Duration::from_secs(300) }
    }
}

/// How a worker is provisioned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Profile {
    /// The exact version of the kubelet.
    pub kubernetes_version: KubernetesVersion,
    /// The container runtime; containerd is the only one so far.
    pub container_runtime: ContainerRuntime,
    /// Where the kubelet, the container runtime and the CNI plugins come from.
    pub packages: PackageSource,
    /// Set the label that brings AKS's managed Cilium to the worker.
    pub managed_cilium: bool,
    /// Labels beyond those that stargate sets.
    pub labels: BTreeMap<String, String>,
    /// Taints, as in `key=value:NoSchedule`.
    pub taints: Vec<String>,
    /// The most pods on a worker; absent, it follows from the pod CIDR.
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
    /// Its key in the file.
    pub name: DatacenterName,
    /// Where its machines come from.
    pub site: Site,
    /// The range that its workers' pod CIDRs come from. Absent only where every
    /// worker has a pod CIDR written.
    pub pod_pool: Option<Ipv4Net>,
    /// The prefix length of one worker's pod CIDR, 24 unless written.
    pub pod_prefix_length: u8,
    /// The profile of its workers.
    pub profile: ProfileName,
    /// Its router.
    pub router: DatacenterRouter,
    /// Its workers in file order, ranges already spelt out.
    pub workers: Vec<Worker>,
    /// Keep its stateful objects from being replaced or deleted.
    pub protect: bool,
}

impl Datacenter {
    /// The whole network of the datacenter's machines.
    pub fn network(&self) -> Ipv4Net {
        match &self.site {
            Site::Azure(azure) => azure.vnet_cidr,
            Site::Existing(existing) => existing.network_cidr,
        }
    }
}

/// Where a datacenter's machines come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Site {
    /// VMs in an Azure resource group of its own stand in for machines.
    Azure(AzureSite),
    /// Machines that are there already, reached over SSH.
    Existing(ExistingSite),
}

/// A datacenter of VMs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AzureSite {
    /// Its resource group, which stargate makes.
    pub resource_group: ResourceGroupName,
    /// Its region, the cluster's unless written.
    pub location: Location,
    /// The address space of its VNet.
    pub vnet_cidr: Ipv4Net,
    /// The workers' subnet.
    pub subnet_cidr: Ipv4Net,
    /// The router's subnet; the router takes the `.4` of it.
    pub router_subnet_cidr: Ipv4Net,
    /// The size of its VMs, unless a machine has its own.
    pub vm_size: VmSize,
}

/// A datacenter of machines that are there already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExistingSite {
    /// The network that its machines are in.
    pub network_cidr: Ipv4Net,
}

/// A datacenter's router.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DatacenterRouter {
    /// Its host name.
    pub name: RouterName,
    /// Its address in the datacenter: `.4` of its subnet for kind `azure`, as
    /// written for kind `existing`.
    pub ip: Ipv4Addr,
    /// Where SSH reaches it before it is in the tailnet (kind `existing` only).
    pub ssh_address: Option<String>,
    /// Its host key, where the topology pins it.
    pub host_key: Option<String>,
    /// Its VM size (kind `azure` only).
    pub vm_size: Option<VmSize>,
    /// Keep it from being replaced or deleted.
    pub protect: bool,
}

/// A worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Worker {
    /// Its host name and Node name.
    pub name: WorkerName,
    /// Its address, where written; else the first free one of its subnet.
    pub ip: Option<Ipv4Addr>,
    /// Its pod CIDR, where written; else the first free one of the pool.
    pub pod_cidr: Option<Ipv4Net>,
    /// Its hardware address (required for kind `existing`).
    pub mac: Option<String>,
    /// Its host key, where the topology pins it.
    pub host_key: Option<String>,
    /// Its VM size (kind `azure` only).
    pub vm_size: Option<VmSize>,
    /// Its profile, the datacenter's unless written.
    pub profile: ProfileName,
    /// Keep it from being replaced or deleted.
    pub protect: bool,
}
