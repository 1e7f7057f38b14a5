//! The format of the topology file, and the source of its JSON schema.
//!
//! These types hold unchecked values with their spans; [`super::load`] checks them
//! and converts them to a [`super::model::Topology`].

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

mod ignore;
mod services;
mod watch;
mod workers;
use super::located::{AddressText, CidrText, Located, SurgeText, VersionText, WidthText};
use super::model::{
    ClusterTier, ContainerRuntime, HostKeyPolicy, NodePoolMode, NodeRouteTable, PackageSource,
    SourceAddresses, SupportPlan,
};

pub use ignore::IgnoreSection;
pub use services::{AzureEndpointsSection, AzureSection, TailnetSection};
pub use watch::WatchSection;
pub use workers::{WorkerRangeSection, WorkerSection};

/// A table whose keys are names that the user chooses.
pub type Named<T> = BTreeMap<Located<String>, T>;

/// One AKS cluster and the datacenters joined to it.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "A stargate topology")]
pub struct TopologyFile {
    /// The identity of the topology.
    pub stargate: StargateSection,
    /// The Azure subscription and region.
    pub azure: AzureSection,
    /// The tailnet that connects the sites.
    #[serde(default)]
    pub tailnet: TailnetSection,
    /// SSH access to hosts.
    #[serde(default)]
    pub ssh: SshSection,
    /// The AKS cluster and its router.
    pub cluster: ClusterSection,
    /// Network settings of all sites.
    #[serde(default)]
    pub network: NetworkSection,
    /// How changes are rolled out to workers.
    #[serde(default)]
    pub rollout: RolloutSection,
    /// The changes that `stargate watch` makes by itself.
    #[serde(default)]
    pub watch: WatchSection,
    /// Provisioning profiles of workers: `[profiles.<name>]`.
    #[serde(default)]
    pub profiles: Named<ProfileSection>,
    /// The remote datacenters: `[datacenters.<name>]`.
    #[serde(default)]
    pub datacenters: Named<DatacenterSection>,
    /// Known drift that plans ignore, one `[[ignore]]` each.
    #[serde(default)]
    pub ignore: Vec<IgnoreSection>,
}

/// The identity of the topology.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StargateSection {
    /// The name of the topology, recorded on every object that stargate creates as
    /// its owner. Choose a name that no other topology has.
    pub name: Located<String>,
}

/// SSH access to hosts.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SshSection {
    /// The login user, who can use `sudo` without a password. The default is
    /// `ubuntu`.
    #[schemars(extend("default" = "ubuntu"))]
    pub user: Option<Located<String>>,
    /// The port of sshd. The default is 22.
    #[schemars(range(min = 1))]
    #[schemars(extend("default" = 22))]
    pub port: Option<Located<u16>>,
    /// The public key installed on new machines: a path (`~` is the home directory)
    /// or the key itself. The default is `~/.ssh/id_ed25519.pub`.
    #[schemars(extend("default" = "~/.ssh/id_ed25519.pub"))]
    pub public_key: Option<Located<String>>,
    /// Private key files to log in with, tried before the private key of `public_key`
    /// and the default key files. Paths are relative to the topology file; `~` is the
    /// home directory.
    #[serde(default)]
    pub identity_files: Vec<Located<String>>,
    /// The known_hosts file that new host keys are recorded in, relative to the
    /// topology file. The default is the file of the user.
    pub known_hosts: Option<Located<String>>,
    /// How to handle unknown host keys. The default is `accept-new`.
    #[schemars(extend("default" = "accept-new"))]
    pub host_keys: Option<HostKeyPolicy>,
}

/// The AKS cluster and its router.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterSection {
    /// The cluster exists: read it and never modify it. The router, its subnet, the
    /// route tables and their associations are still created, in the resource group,
    /// the subscription and the region of the cluster's VNet.
    #[serde(default)]
    pub existing: bool,
    /// The name of the cluster.
    pub name: Located<String>,
    /// The resource group of the cluster.
    pub resource_group: Located<String>,
    /// The Kubernetes version of the control plane and the node pools: a minor version such
    /// as `1.33`, which any of its patches satisfies, or an exact one such as `1.33.5`. An
    /// upgrade goes to the next minor version at most, and AKS cannot downgrade a cluster.
    pub kubernetes_version: Located<VersionText>,
    /// The pricing tier: `free`, `standard` with an uptime guarantee, or `premium` with
    /// long-term support. The default is chosen by AKS.
    pub tier: Option<ClusterTier>,
    /// How long AKS supports the Kubernetes version: `KubernetesOfficial`, or
    /// `AKSLongTermSupport` in the tier `premium`. The default is chosen by AKS.
    pub support_plan: Option<Located<SupportPlan>>,
    /// The route table on the subnets of AKS nodes: `own`, one that stargate creates and
    /// attaches; or `existing`, the one that a subnet already has, such as that of a
    /// firewall. stargate then writes its routes there one by one, named
    /// `stargate-<topology>-<prefix>`, and changes nothing else in the table. The default
    /// is `own`.
    #[schemars(extend("default" = "own"))]
    pub route_table: Option<NodeRouteTable>,
    /// The prefix of all pods, on AKS nodes and on workers.
    pub pod_cidr: Located<CidrText>,
    /// The prefix of service addresses. It is neither routed nor advertised.
    pub service_cidr: Located<CidrText>,
    /// The AKS node pools: `[cluster.node_pools.<name>]`. At least one is required
    /// unless the cluster exists.
    #[serde(default)]
    pub node_pools: Named<NodePoolSection>,
    /// The subnet router in the AKS VNet.
    pub router: ClusterRouterSection,
    /// Prevent the cluster, its router and its network from being replaced or deleted. The
    /// protection is recorded on the objects and holds until `false` was applied.
    #[serde(default)]
    pub protect: bool,
}

/// An AKS node pool, with either `count` or `min` and `max`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NodePoolSection {
    /// The fixed number of nodes; any other number is drift.
    #[schemars(range(max = 1000))]
    #[schemars(extend("x-unit" = "nodes"))]
    pub count: Option<Located<u32>>,
    /// The minimum number of nodes for the autoscaler.
    #[schemars(range(max = 1000))]
    #[schemars(extend("x-unit" = "nodes"))]
    pub min: Option<Located<u32>>,
    /// The maximum number of nodes for the autoscaler.
    #[schemars(range(max = 1000))]
    #[schemars(extend("x-unit" = "nodes"))]
    pub max: Option<Located<u32>>,
    /// The VM size, such as `Standard_D2s_v5`. AKS cannot change it: for another size, a
    /// new pool replaces the old one.
    pub vm_size: Located<String>,
    /// Whether AKS runs its own pods on the pool. At least one pool must be `system`.
    /// The default is `system` for the first pool with nodes in the file if no other
    /// pool is, and `user` for the others; a pool that exists keeps its mode.
    pub mode: Option<NodePoolMode>,
    /// Labels of the nodes.
    #[serde(default)]
    pub labels: Named<Located<String>>,
    /// Taints of the nodes, such as `key=value:NoSchedule`.
    #[serde(default)]
    pub taints: Vec<Located<String>>,
    /// The number or percentage of additional nodes during an upgrade, such as `1` or
    /// `33%`. The default is chosen by AKS.
    #[schemars(extend("x-unit" = "nodes"))]
    pub max_surge: Option<Located<SurgeText>>,
    /// The maximum number of pods on a node. The default is chosen by AKS. For another
    /// number, a new pool replaces the old one.
    #[schemars(range(min = 10, max = 250))]
    #[schemars(extend("x-unit" = "pods"))]
    pub max_pods: Option<Located<u32>>,
    /// The size of the operating system disk in GB. The default is chosen by AKS. For
    /// another size, a new pool replaces the old one.
    #[schemars(range(min = 30, max = 2048))]
    #[schemars(extend("x-unit" = "GB"))]
    pub os_disk_gb: Option<Located<u32>>,
    /// The availability zones, such as `["1", "2"]`. By default the pool has none. For
    /// other zones, a new pool replaces the old one.
    pub zones: Option<Vec<Located<String>>>,
}

/// The subnet router in the AKS VNet.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterRouterSection {
    /// The host name, VM name and tailnet device name.
    pub name: Located<String>,
    /// The router subnet in the AKS VNet, outside the node subnets. The router gets
    /// the fourth address.
    pub subnet_cidr: Located<CidrText>,
    /// The VM size, such as `Standard_D2s_v5`.
    pub vm_size: Located<String>,
    /// Prevent the router from being replaced or deleted.
    #[serde(default)]
    pub protect: bool,
}

/// Network settings of all sites.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NetworkSection {
    /// Whether routers translate the source addresses of pods. The default is
    /// `masquerade`.
    #[schemars(extend("default" = "masquerade"))]
    pub source_addresses: Option<SourceAddresses>,
    /// Install a DaemonSet that adds kernel routes on AKS nodes. The default is
    /// `false`.
    #[schemars(extend("default" = false))]
    pub route_manager: Option<bool>,
    /// Install Goldpinger, which measures connectivity between pods. The default is
    /// `true`.
    #[schemars(extend("default" = true))]
    pub goldpinger: Option<bool>,
}

/// How changes are rolled out to workers: first a canary wave, then waves of workers
/// in parallel. Applies to joins, profile changes, replacements and new sizes of
/// workers' machines, and to `stargate repave` and `stargate reboot`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RolloutSection {
    /// The number of workers in a canary wave. If one of them fails, no later wave
    /// starts. New workers, and workers that run pods, have a canary wave each. The
    /// default is 1; 0 disables the canary waves.
    #[schemars(range(max = 64))]
    #[schemars(extend("default" = 1, "x-unit" = "workers"))]
    pub canary: Option<Located<u32>>,
    /// The number of workers of one datacenter that are disturbed at the same time: a
    /// count from 1 to 64, or a percentage of the datacenter's workers such as `"25%"`,
    /// rounded down, at least 1 and at most 64. Workers that join for the first time
    /// disturb nothing and are not counted. The default is the smaller of 10 % and 8.
    #[schemars(extend("x-unit" = "workers"))]
    pub width: Option<Located<WidthText>>,
    /// The number of failed workers above which no further worker is started. The
    /// default is 3.
    #[schemars(range(max = 5000))]
    #[schemars(extend("default" = 3, "x-unit" = "workers"))]
    pub max_failures: Option<Located<u32>>,
    /// The time limit for draining a worker, in seconds. The default is 300.
    #[schemars(range(min = 1, max = 86400))]
    #[schemars(extend("default" = 300, "x-unit" = "seconds"))]
    pub drain_seconds: Option<Located<u32>>,
}

/// A provisioning profile of workers.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProfileSection {
    /// The kubelet version: the minor version of the control plane, such as `1.33`, or
    /// an exact one, such as `1.33.7`. With a minor version, new workers get the patch
    /// of the control plane and existing ones keep theirs. An exact version must not be
    /// newer than the control plane's, and at most three minor versions older.
    pub kubernetes_version: Located<VersionText>,
    /// The container runtime. The default is `containerd`, the only one supported.
    #[schemars(extend("default" = "containerd"))]
    pub container_runtime: Option<ContainerRuntime>,
    /// The source of the kubelet, the container runtime and the CNI plugins.
    /// `upstream`, the default, installs pinned versions from the projects'
    /// repositories; `preinstalled` only checks the installed versions.
    #[schemars(extend("default" = "upstream"))]
    pub packages: Option<PackageSource>,
    /// Set the label that schedules AKS's managed Cilium on the worker. The default
    /// is `true`.
    #[schemars(extend("default" = true))]
    pub managed_cilium: Option<bool>,
    /// Additional labels of the Node.
    #[serde(default)]
    pub labels: Named<Located<String>>,
    /// Taints of the Node, such as `key=value:NoSchedule`.
    #[serde(default)]
    pub taints: Vec<Located<String>>,
    /// The maximum number of pods on a worker. The default follows from the size of
    /// the pod CIDR.
    #[schemars(range(min = 1, max = 4000))]
    #[schemars(extend("x-unit" = "pods"))]
    pub max_pods: Option<Located<u32>>,
}

/// A remote datacenter, with exactly one of the tables `azure` and `existing`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatacenterSection {
    /// The prefix from which workers get their pod CIDRs, within the `pod_cidr` of
    /// the cluster. Required unless every worker has a `pod_cidr`.
    pub pod_pool: Option<Located<CidrText>>,
    /// The prefix length of a worker's pod CIDR. The default is 24.
    #[schemars(range(min = 20, max = 26))]
    #[schemars(extend("default" = 24, "x-unit" = "bits"))]
    pub pod_prefix_length: Option<Located<u8>>,
    /// The profile of the workers, one of `[profiles]`.
    pub profile: Located<String>,
    /// A datacenter of Azure VMs.
    pub azure: Option<Located<AzureSiteSection>>,
    /// A datacenter of existing machines, reached over SSH.
    pub existing: Option<Located<ExistingSiteSection>>,
    /// Local virtual machines; reserved, not supported yet.
    pub qemu: Option<Located<QemuSection>>,
    /// The subnet router of the datacenter.
    pub router: DatacenterRouterSection,
    /// The workers, one `[[datacenters.<name>.workers]]` each.
    #[serde(default)]
    pub workers: Vec<WorkerSection>,
    /// A range of similar workers.
    pub worker_range: Option<Located<WorkerRangeSection>>,
    /// Prevent everything in the datacenter from being replaced or deleted, and its workers
    /// from being rebooted. The protection is recorded on the objects and holds, also after
    /// the block was removed, until `false` was applied.
    #[serde(default)]
    pub protect: bool,
}

/// A datacenter of Azure VMs.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AzureSiteSection {
    /// The resource group, which stargate creates for this datacenter alone.
    pub resource_group: Located<String>,
    /// The region. The default is the region of the cluster.
    pub location: Option<Located<String>>,
    /// The address space of the VNet.
    pub vnet_cidr: Located<CidrText>,
    /// The prefix of the worker subnet.
    pub subnet_cidr: Located<CidrText>,
    /// The prefix of the router subnet. The router gets the fourth address.
    pub router_subnet_cidr: Located<CidrText>,
    /// The default VM size of the datacenter.
    pub vm_size: Located<String>,
}

/// A datacenter of existing machines.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExistingSiteSection {
    /// The prefix of the network of the machines.
    pub network_cidr: Located<CidrText>,
}

/// Local virtual machines; reserved, not supported yet.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
pub struct QemuSection {}

/// The subnet router of a datacenter.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatacenterRouterSection {
    /// The host name and tailnet device name.
    pub name: Located<String>,
    /// The address in the datacenter (kind `existing` only; required).
    pub ip: Option<Located<AddressText>>,
    /// The host name or address for SSH before the router joins the tailnet (kind
    /// `existing` only). The default is `ip`.
    pub ssh_address: Option<Located<String>>,
    /// The gateway on the router's segment that leads to workers on other segments (kind
    /// `existing` only; required if a worker has a `gateway`). It must route each of
    /// those workers' pod CIDRs to the worker.
    pub gateway: Option<Located<AddressText>>,
    /// The pinned SSH host key, such as `ssh-ed25519 AAAA…` or `SHA256:…`.
    pub host_key: Option<Located<String>>,
    /// The VM size (kind `azure` only). The default is that of the datacenter.
    pub vm_size: Option<Located<String>>,
    /// Prevent the router from being replaced or deleted.
    #[serde(default)]
    pub protect: bool,
}
