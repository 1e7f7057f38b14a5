//! Fields of datacenters and their routers.

use super::ChangeOutcome::{InPlace, NoChange, Recreation, Refused, Replacement, Rollout};
use super::sources::{
    DEVICE_NAME, KERNEL_ROUTES, MARKS, MOVE_REGION, NODE_LABELS, NODE_POD_CIDR, RESOURCE_GROUP,
    ROUTES, SSH, SUBNET, TOPOLOGY_FILE, VM_NAME, VM_SIZE, VNET,
};
use super::{AZURE, BOTH, ChangeRule, EXISTING, NOT_FOR_KIND, NOT_FOR_KIND_EFFECT, OTHER, of};
use crate::diagnostics::Code;

const REJOIN: &str = "each worker is drained, leaves the cluster and joins again with a pod CIDR of the \
                      other prefix";

pub(super) const RULES: &[ChangeRule] = &[
    of(
        BOTH,
        ("datacenters.*.pod_pool", "a larger prefix that contains it"),
        InPlace,
        ("workers keep their pod CIDRs, and all sites route the larger prefix", ROUTES),
    ),
    of(
        BOTH,
        ("datacenters.*.pod_pool", "a prefix without the workers' pod CIDRs"),
        Rollout,
        (REJOIN, NODE_POD_CIDR),
    ),
    of(BOTH, ("datacenters.*.pod_prefix_length", OTHER), Rollout, (REJOIN, NODE_POD_CIDR)),
    of(
        BOTH,
        ("datacenters.*.profile", "another profile of the same kubelet"),
        InPlace,
        (
            "labels, taints and settings of the other profile are applied, one wave after another",
            NODE_LABELS,
        ),
    ),
    of(
        BOTH,
        ("datacenters.*.protect", "`true`"),
        InPlace,
        (
            "the protection is recorded on the objects; plans that delete or replace any of it are refused (SG0502)",
            MARKS,
        ),
    ),
    of(
        BOTH,
        ("datacenters.*.qemu", "a table"),
        Refused(Code::UnsupportedKind),
        ("datacenters of kind `qemu` are not supported yet", TOPOLOGY_FILE),
    ),
    of(
        AZURE,
        ("datacenters.*.azure.resource_group", OTHER),
        Replacement,
        (
            "the group is deleted with everything in it, and created under the other name",
            RESOURCE_GROUP,
        ),
    )
    .losing(),
    of(
        AZURE,
        ("datacenters.*.azure.location", OTHER),
        Replacement,
        (
            "the group is deleted with everything in it, and created in the other region",
            MOVE_REGION,
        ),
    )
    .losing(),
    of(
        AZURE,
        ("datacenters.*.azure.vnet_cidr", "a prefix that contains the subnets"),
        InPlace,
        ("the address space changes, and all sites route the other prefix", VNET),
    ),
    of(
        AZURE,
        ("datacenters.*.azure.vnet_cidr", "a prefix without the subnets"),
        Replacement,
        ("both subnets are deleted with the VMs in them, and created in the other prefix", SUBNET),
    )
    .losing(),
    of(
        AZURE,
        ("datacenters.*.azure.subnet_cidr", OTHER),
        Replacement,
        ("the subnet is deleted with the workers' VMs, and created with the other prefix", SUBNET),
    )
    .losing(),
    of(
        AZURE,
        ("datacenters.*.azure.router_subnet_cidr", OTHER),
        Replacement,
        ("the subnet is deleted with the router's VM, and created with the other prefix", SUBNET),
    ),
    of(
        AZURE,
        ("datacenters.*.azure.vm_size", OTHER),
        Rollout,
        (
            "the router restarts; then each worker is drained and restarts with the other size",
            VM_SIZE,
        ),
    ),
    of(
        EXISTING,
        ("datacenters.*.existing.network_cidr", "a larger prefix that contains it"),
        InPlace,
        ("all sites route the larger prefix", ROUTES),
    ),
    of(
        AZURE,
        ("datacenters.*.router.name", OTHER),
        Recreation,
        (
            "the router's VM and device are deleted and created under the other name; pods of the \
             datacenter do not reach other sites until it is back",
            VM_NAME,
        ),
    ),
    of(
        EXISTING,
        ("datacenters.*.router.name", "another name than that of the host"),
        Refused(Code::WrongHost),
        ("the host's name must be changed first: it identifies the machine", DEVICE_NAME),
    ),
    of(
        AZURE,
        ("datacenters.*.router.ip", OTHER),
        NOT_FOR_KIND,
        (NOT_FOR_KIND_EFFECT, TOPOLOGY_FILE),
    ),
    of(
        EXISTING,
        ("datacenters.*.router.ip", "the address that the machine has now"),
        InPlace,
        ("the workers' routes get the other next hop", KERNEL_ROUTES),
    ),
    of(
        EXISTING,
        ("datacenters.*.router.ip", "an address that the machine does not have"),
        Refused(Code::RouterAddress),
        ("packets of the workers would be dropped before the router", KERNEL_ROUTES),
    ),
    of(
        AZURE,
        ("datacenters.*.router.ssh_address", OTHER),
        NOT_FOR_KIND,
        (NOT_FOR_KIND_EFFECT, TOPOLOGY_FILE),
    ),
    of(
        EXISTING,
        ("datacenters.*.router.ssh_address", OTHER),
        NoChange,
        ("it is used only until the router is in the tailnet", SSH),
    ),
    of(
        AZURE,
        ("datacenters.*.router.gateway", OTHER),
        NOT_FOR_KIND,
        (NOT_FOR_KIND_EFFECT, TOPOLOGY_FILE),
    ),
    of(
        EXISTING,
        ("datacenters.*.router.gateway", OTHER),
        InPlace,
        ("the router reaches distant workers by the other gateway", KERNEL_ROUTES),
    ),
    of(
        BOTH,
        ("datacenters.*.router.host_key", OTHER),
        NoChange,
        ("the next connection accepts only this key", SSH),
    ),
    of(
        AZURE,
        ("datacenters.*.router.vm_size", OTHER),
        InPlace,
        (
            "the router restarts; pods of the datacenter do not reach other sites until it is back",
            VM_SIZE,
        ),
    ),
    of(
        EXISTING,
        ("datacenters.*.router.vm_size", OTHER),
        NOT_FOR_KIND,
        (NOT_FOR_KIND_EFFECT, TOPOLOGY_FILE),
    ),
    of(
        BOTH,
        ("datacenters.*.router.protect", "`true`"),
        InPlace,
        (
            "the protection is recorded on the objects; plans that delete or replace the router are refused (SG0502)",
            MARKS,
        ),
    ),
];
