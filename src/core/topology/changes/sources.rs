//! The documents about the effects of changes.

pub(super) const STARGATE: &str = "a setting of stargate; no service holds it";
pub(super) const TOPOLOGY_FILE: &str = "the schema of the topology file";
pub(super) const TAGS: &str = "Azure, *Use tags to organize your Azure resources*; Kubernetes, *Labels \
                               and Selectors*; Tailscale, *Tags*";
pub(super) const MARKS: &str =
    "Azure, *Tag resources*: tags change at any time; Kubernetes, *Annotations*";
pub(super) const MOVE_REGION: &str =
    "Azure, *Move Azure resources across resource groups, subscriptions, or regions*";
pub(super) const RESOURCE_GROUP: &str = "Azure, *Manage Azure resource groups*: a resource group \
                                         cannot be renamed, and its region is fixed";
pub(super) const SUBSCRIPTION: &str =
    "Azure, *Move resources to a new resource group or subscription*: AKS clusters cannot be moved";
pub(super) const DEVICE_TAGS: &str =
    "Tailscale API, *Set device tags* (`POST /device/{deviceId}/tags`)";
pub(super) const TAILNET: &str = "Tailscale API: `-` stands for the tailnet of the credential";
pub(super) const OS_PROFILE: &str =
    "Azure REST API, *Virtual Machines: Create Or Update*: `osProfile` is set at creation";
pub(super) const AKS_NAME: &str = "Azure REST API, *Managed Clusters: Create Or Update*: the name is part \
                                   of the resource ID";
pub(super) const AKS_UPGRADE: &str = "Azure, *Upgrade an Azure Kubernetes Service (AKS) cluster*";
pub(super) const AKS_POD_CIDR: &str =
    "Azure, *Expand pod CIDR space in Azure CNI Overlay AKS clusters* (preview)";
pub(super) const AKS_NETWORK: &str = "Azure REST API, *Managed Clusters: Create Or Update*: \
                                      `networkProfile` is immutable (`PropertyChangeNotAllowed`)";
pub(super) const AKS_SCALE: &str = "Azure, *Manually scale the node count in an AKS cluster*";
pub(super) const AKS_AUTOSCALER: &str = "Azure, *Use the cluster autoscaler in AKS*";
pub(super) const AKS_RESIZE: &str = "Azure, *Resize node pools in AKS*: AKS does not support resizing \
                                     node pools directly";
pub(super) const AKS_POOL: &str = "Azure REST API, *Agent Pools: Create Or Update*: the property is \
                                   immutable (`PropertyChangeNotAllowed`)";
pub(super) const AKS_SYSTEM_POOL: &str = "Azure, *Manage system node pools in AKS*";
pub(super) const AKS_LABELS: &str = "Azure, *Use labels in an AKS cluster*: labels of a node pool can be \
                                     updated";
pub(super) const AKS_TAINTS: &str = "Azure, *Use node taints in an AKS cluster*: taints of a node pool \
                                     can be updated";
pub(super) const AKS_TIER: &str =
    "Azure, *Free, Standard, and Premium pricing tiers for AKS cluster management*";
pub(super) const AKS_SUPPORT_PLAN: &str = "Azure, *Long-term support for AKS versions*";
pub(super) const AKS_SURGE: &str = "Azure, *Customize node surge upgrade in AKS*";
pub(super) const AKS_DELETE_POOL: &str = "Azure, *Delete a node pool from an AKS cluster*: its nodes are \
                                          deleted";
pub(super) const VM_NAME: &str =
    "Azure REST API, *Virtual Machines*: the name is part of the resource ID";
pub(super) const VM_SIZE: &str =
    "Azure, *Change the size of a virtual machine*: a running VM restarts";
pub(super) const VNET: &str = "Azure, *Create, change, or delete a virtual network*: address ranges can be \
                               added and removed";
pub(super) const SUBNET: &str = "Azure, *Add, change, or delete a virtual network subnet*: the address \
                                 range cannot be changed while resources are in the subnet";
pub(super) const NIC_ADDRESS: &str = "Azure, *Configure IP addresses for a network interface*; Kubernetes, \
                                      *kubelet*: `--node-ip` is read at its start";
pub(super) const ROUTES: &str = "Azure, *Virtual network traffic routing*: routes of a table change at any \
                                 time; Tailscale, *Subnet routers*";
pub(super) const SNAT: &str = "Tailscale, *Subnet routers*: `--snat-subnet-routes` is changed by \
                               `tailscale set`";
pub(super) const DAEMON_SET: &str = "Kubernetes, *DaemonSet*";
pub(super) const SKEW: &str = "Kubernetes, *Version Skew Policy*: drain before a kubelet upgrade";
pub(super) const SKEW_LIMIT: &str =
    "Kubernetes, *Version Skew Policy*: a kubelet must not be newer than the API server";
pub(super) const NODE_LABELS: &str =
    "Kubernetes, *Labels and Selectors*: labels of a Node can be changed at any time";
pub(super) const NODE_TAINTS: &str =
    "Kubernetes, *Taints and Tolerations*: taints of a Node can be changed at any time";
pub(super) const MAX_PODS: &str =
    "Kubernetes, *Kubelet Configuration (v1beta1)*: `maxPods` is read at the kubelet's start";
pub(super) const CILIUM: &str =
    "Cilium, *Daemon configuration*; Kubernetes, *Assigning Pods to Nodes*";
pub(super) const NODE_POD_CIDR: &str =
    "Kubernetes API, *NodeSpec*: `podCIDR` and `providerID` cannot be changed once they are set";
pub(super) const NODE_NAME: &str =
    "Kubernetes, *Nodes*: the name identifies a Node and cannot be changed";
pub(super) const DEVICE_NAME: &str = "Tailscale, *Machine names*: the name follows the host name";
pub(super) const KERNEL_ROUTES: &str =
    "Linux, `ip-route(8)`: routes are replaced without a restart";
pub(super) const DRAIN: &str = "Kubernetes, *Safely Drain a Node*";
pub(super) const SSH: &str = "OpenSSH, `ssh_config(5)` and `sshd(8)`; read at each connection";
