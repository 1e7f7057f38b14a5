//! The topology file as it is written: the format, and the source of its schema.
//!
//! These types hold texts and their places; [`super::load`] checks them and
//! makes a [`super::model::Topology`] of them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::located::{AddressText, CidrText, Located, MacText, NamePattern, VersionText};
use super::model::{ContainerRuntime, HostKeyPolicy, PackageSource, SourceAddresses};

/// A table of the file whose keys are names that the user chooses.
pub type Named<T> = BTreeMap<Located<String>, T>;

/// The whole topology: one AKS cluster and the datacenters joined to it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "A stargate topology")]
pub struct TopologyFile {
    /// What the topology is called.
    pub stargate: StargateSection,
    /// Azure's subscription and region.
    pub azure: AzureSection,
    /// The tailnet that joins the sites.
    #[serde(default)]
    pub tailnet: TailnetSection,
    /// How hosts are reached.
    #[serde(default)]
    pub ssh: SshSection,
    /// The AKS cluster and its router.
    pub cluster: ClusterSection,
    /// Choices that hold for the whole network.
    #[serde(default)]
    pub network: NetworkSection,
    /// How changes reach the workers.
    #[serde(default)]
    pub rollout: RolloutSection,
    /// How workers are provisioned: `[profiles.<name>]`.
    #[serde(default)]
    pub profiles: Named<ProfileSection>,
    /// The remote datacenters: `[datacenters.<name>]`.
    #[serde(default)]
    pub datacenters: Named<DatacenterSection>,
}

/// What the topology is called.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StargateSection {
    /// The topology's name. Every object that stargate makes carries it, and what
    /// carries it belongs to this file: choose one that no other topology has.
    pub name: Located<String>,
}

/// Azure's subscription and region.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureSection {
    /// The subscription's id (a GUID). Without it, `AZURE_SUBSCRIPTION_ID` decides.
    pub subscription: Option<Located<String>>,
    /// The region, such as `canadacentral`.
    pub location: Located<String>,
}

/// The tailnet that joins the sites.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TailnetSection {
    /// The tailnet; `-`, the default, is the one of the credential.
    pub name: Option<Located<String>>,
    /// The tag of the routers' devices, unique to this topology. The default is
    /// `tag:stargate-<name>`. The tailnet's policy must name an owner for it.
    pub tag: Option<Located<String>>,
}

/// How hosts are reached.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshSection {
    /// The login user, who may use `sudo` without a password; `ubuntu` by default.
    pub user: Option<Located<String>>,
    /// The port of sshd; 22 by default.
    #[schemars(range(min = 1))]
    pub port: Option<Located<u16>>,
    /// The public key given to new machines: a path (`~` is the home folder), or
    /// the key itself. `~/.ssh/id_ed25519.pub` by default.
    pub public_key: Option<Located<String>>,
    /// Files of private keys to log in with, tried before the private half of
    /// `public_key` and those that are usual. A path begins at the topology's
    /// folder; `~` is the home folder.
    #[serde(default)]
    pub identity_files: Vec<Located<String>>,
    /// A known_hosts file of the topology's own, where first keys are noted; a path
    /// like those above. The user's own file by default.
    pub known_hosts: Option<Located<String>>,
    /// What to do about a host key that is not known yet; `accept-new` by default.
    pub host_keys: Option<HostKeyPolicy>,
}

/// The AKS cluster and its router.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterSection {
    /// The cluster is there already: read it and never write it. The router's
    /// subnet, the route tables and their associations are still made.
    #[serde(default)]
    pub existing: bool,
    /// The cluster's name.
    pub name: Located<String>,
    /// The resource group that holds the cluster object.
    pub resource_group: Located<String>,
    /// The version of the control plane, such as `1.33.5`.
    pub kubernetes_version: Located<VersionText>,
    /// The range of all pods, AKS's own and the workers'.
    pub pod_cidr: Located<CidrText>,
    /// The range of service addresses. It is neither routed nor advertised.
    pub service_cidr: Located<CidrText>,
    /// AKS's own nodes: `[cluster.node_pools.<name>]`. At least one, unless the
    /// cluster is there already.
    #[serde(default)]
    pub node_pools: Named<NodePoolSection>,
    /// The subnet router in the AKS VNet.
    pub router: ClusterRouterSection,
    /// Keep the cluster from being replaced or deleted.
    #[serde(default)]
    pub protect: bool,
}

/// A pool of AKS's own nodes: either `count`, or `min` and `max`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodePoolSection {
    /// Hold the pool at this many nodes; another count is drift.
    #[schemars(range(max = 1000))]
    pub count: Option<Located<u32>>,
    /// The least number of nodes, where the autoscaler decides.
    #[schemars(range(max = 1000))]
    pub min: Option<Located<u32>>,
    /// The greatest number of nodes, where the autoscaler decides.
    #[schemars(range(max = 1000))]
    pub max: Option<Located<u32>>,
    /// The size of its machines, such as `Standard_D2s_v5`.
    pub vm_size: Located<String>,
}

/// The subnet router in the AKS VNet.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterRouterSection {
    /// Its host name, VM name and device name.
    pub name: Located<String>,
    /// A subnet of its own in the AKS VNet, outside the nodes' subnets. The
    /// router takes the `.4` of it.
    pub subnet_cidr: Located<CidrText>,
    /// The size of its VM, such as `Standard_D2s_v5`.
    pub vm_size: Located<String>,
    /// Keep it from being replaced or deleted.
    #[serde(default)]
    pub protect: bool,
}

/// Choices that hold for the whole network.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSection {
    /// Whether routers hide or keep the addresses of pods; `masquerade` by default.
    pub source_addresses: Option<SourceAddresses>,
    /// Install the DaemonSet that adds kernel routes on AKS nodes; off by default.
    pub route_manager: Option<bool>,
    /// Install Goldpinger, which measures the mesh of pods; on by default.
    pub goldpinger: Option<bool>,
}

/// How changes reach the workers: one or a few first, then many side by side,
/// wave after wave. It holds for joins, for changes of a profile, for replaced
/// workers, and for `stargate repave` and `stargate reboot`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutSection {
    /// How many workers go first, as the first wave; if one of them fails, no
    /// other wave begins. 1 by default; 0 lets all waves be alike.
    #[schemars(range(max = 64))]
    pub canary: Option<Located<u32>>,
    /// How many workers each later wave has; 32 by default.
    #[schemars(range(min = 1, max = 64))]
    pub width: Option<Located<u32>>,
    /// How many workers may fail in all: after one more, what has not begun is
    /// not begun. 3 by default.
    #[schemars(range(max = 5000))]
    pub max_failures: Option<Located<u32>>,
    /// How many seconds the pods of a worker have to leave it; 300 by default.
    #[schemars(range(min = 1, max = 86400))]
    pub drain_seconds: Option<Located<u32>>,
}

/// How workers are provisioned.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileSection {
    /// The exact version of the kubelet, such as `1.33.7`: not newer than the
    /// control plane's minor version, and at most three minors older.
    pub kubernetes_version: Located<VersionText>,
    /// The container runtime; containerd is the default and the only one so far.
    pub container_runtime: Option<ContainerRuntime>,
    /// Where the kubelet, the container runtime and the CNI plugins come from:
    /// `upstream` installs pinned versions from the projects' own sources and is the
    /// default; with `preinstalled` they are there already and only checked.
    pub packages: Option<PackageSource>,
    /// Set the label that brings AKS's managed Cilium to the worker; on by default.
    pub managed_cilium: Option<bool>,
    /// Labels of the Node beyond those that stargate sets.
    #[serde(default)]
    pub labels: Named<Located<String>>,
    /// Taints of the Node, as in `key=value:NoSchedule`.
    #[serde(default)]
    pub taints: Vec<Located<String>>,
    /// The most pods on a worker; without it, it follows from the pod CIDR.
    #[schemars(range(min = 1, max = 4000))]
    pub max_pods: Option<Located<u32>>,
}

/// A remote datacenter. It has exactly one of the tables `azure` and `existing`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatacenterSection {
    /// The range that its workers' pod CIDRs come from, a part of the cluster's
    /// `pod_cidr`. Leave it out only where every worker has a `pod_cidr`.
    pub pod_pool: Option<Located<CidrText>>,
    /// The prefix length of one worker's pod CIDR; 24 by default.
    #[schemars(range(min = 20, max = 26))]
    pub pod_prefix_length: Option<Located<u8>>,
    /// The profile of its workers, one of `[profiles]`.
    pub profile: Located<String>,
    /// VMs in Azure stand in for machines.
    pub azure: Option<Located<AzureSiteSection>>,
    /// Machines that are there already, reached over SSH.
    pub existing: Option<Located<ExistingSiteSection>>,
    /// Local virtual machines; reserved, not supported yet.
    pub qemu: Option<Located<QemuSection>>,
    /// The datacenter's subnet router.
    pub router: DatacenterRouterSection,
    /// Its workers, one `[[datacenters.<name>.workers]]` each.
    #[serde(default)]
    pub workers: Vec<WorkerSection>,
    /// Many workers of one make at once.
    pub worker_range: Option<Located<WorkerRangeSection>>,
    /// Keep its stateful objects from being replaced or deleted.
    #[serde(default)]
    pub protect: bool,
}

/// A datacenter of Azure VMs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureSiteSection {
    /// Its resource group, which stargate makes and which is its own.
    pub resource_group: Located<String>,
    /// Its region; the cluster's by default.
    pub location: Option<Located<String>>,
    /// The address space of its VNet.
    pub vnet_cidr: Located<CidrText>,
    /// The workers' subnet.
    pub subnet_cidr: Located<CidrText>,
    /// The router's subnet; the router takes the `.4` of it.
    pub router_subnet_cidr: Located<CidrText>,
    /// The size of its VMs, unless a machine has its own.
    pub vm_size: Located<String>,
}

/// A datacenter of machines that are there already.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExistingSiteSection {
    /// The network that its machines are in.
    pub network_cidr: Located<CidrText>,
}

/// Local virtual machines; reserved, not supported yet.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct QemuSection {}

/// A datacenter's subnet router.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatacenterRouterSection {
    /// Its host name and device name.
    pub name: Located<String>,
    /// Its address in the datacenter (kind `existing` only, and required there).
    pub ip: Option<Located<AddressText>>,
    /// Where SSH reaches it before it is in the tailnet: a host name or an
    /// address (kind `existing` only; its `ip` unless said otherwise).
    pub ssh_address: Option<Located<String>>,
    /// Pin its host key, as in `ssh-ed25519 AAAA…` or `SHA256:…`.
    pub host_key: Option<Located<String>>,
    /// Its VM size (kind `azure` only); the datacenter's by default.
    pub vm_size: Option<Located<String>>,
    /// Keep it from being replaced or deleted.
    #[serde(default)]
    pub protect: bool,
}

/// A worker: a machine that becomes a node of the cluster.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerSection {
    /// Its host name and Node name.
    pub name: Located<String>,
    /// Its address; without it the lowest free one (required for kind `existing`).
    pub ip: Option<Located<AddressText>>,
    /// Its pod CIDR; without it the lowest free one of the datacenter's pool.
    pub pod_cidr: Option<Located<CidrText>>,
    /// Its hardware address (required for kind `existing`).
    pub mac: Option<Located<MacText>>,
    /// Pin its host key, as in `ssh-ed25519 AAAA…` or `SHA256:…`.
    pub host_key: Option<Located<String>>,
    /// Its VM size (kind `azure` only); the datacenter's by default.
    pub vm_size: Option<Located<String>>,
    /// Its profile; the datacenter's by default.
    pub profile: Option<Located<String>>,
    /// Keep it from being replaced, deleted or rebooted.
    #[serde(default)]
    pub protect: bool,
}

/// Many workers of one make, numbered from 1.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WorkerRangeSection {
    /// The pattern of their names: `{:03}` stands for the number in three digits,
    /// `{}` for the bare number.
    pub name: Located<NamePattern>,
    /// How many there are.
    #[schemars(range(min = 1, max = 5000))]
    pub count: Located<u32>,
    /// The address of the first; the others follow (required for kind `existing`).
    pub first_ip: Option<Located<AddressText>>,
    /// The pod CIDR of the first; the others follow. Without it they come from
    /// the datacenter's pool.
    pub first_pod_cidr: Option<Located<CidrText>>,
    /// Their VM size (kind `azure` only); the datacenter's by default.
    pub vm_size: Option<Located<String>>,
    /// Their profile; the datacenter's by default.
    pub profile: Option<Located<String>>,
    /// Keep them from being replaced, deleted or rebooted.
    #[serde(default)]
    pub protect: bool,
}
