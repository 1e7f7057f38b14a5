//! Fields of workers and worker ranges.

use super::ChangeOutcome::{InPlace, NoChange, Recreation, Removal, Rollout};
use super::sources::{
    DRAIN, KERNEL_ROUTES, MARKS, NIC_ADDRESS, NODE_LABELS, NODE_NAME, NODE_POD_CIDR, SSH, STARGATE,
    TOPOLOGY_FILE, VM_SIZE,
};
use super::{AZURE, BOTH, ChangeRule, EXISTING, NOT_FOR_KIND, NOT_FOR_KIND_EFFECT, OTHER, of};

const RENAMED: &str = "the old worker is drained and leaves the cluster, and a new one joins";
const OTHER_ADDRESS: &str = "the worker is drained, its interface and VM are created again with the other address, and it \
     joins again, with another pod CIDR of the pool if it has room";
const MOVED_MACHINE: &str = "the worker is drained, leaves the cluster and joins again with the other \
                             address";
const REJOINS: &str = "the worker is drained, leaves the cluster and joins again with the other pod CIDR; paths to the \
     former one stay until then";
const OTHER_PROFILE: &str = "labels, taints and settings of the other profile are applied";
const RESIZED: &str = "the worker is drained and restarts with the other size";
const OTHER_GATEWAY: &str = "the worker's routes get the other next hop";
const PROTECTED: &str = "the protection is recorded on the objects; plans that delete, replace or reboot it are refused (SG0502)";

pub(super) const RULES: &[ChangeRule] = &[
    of(BOTH, ("datacenters.*.workers[].name", OTHER), Recreation, (RENAMED, NODE_NAME)),
    of(AZURE, ("datacenters.*.workers[].ip", OTHER), Rollout, (OTHER_ADDRESS, NIC_ADDRESS)),
    of(
        EXISTING,
        ("datacenters.*.workers[].ip", "the address that the machine has now"),
        Rollout,
        (MOVED_MACHINE, NIC_ADDRESS),
    ),
    of(BOTH, ("datacenters.*.workers[].pod_cidr", OTHER), Rollout, (REJOINS, NODE_POD_CIDR)),
    of(
        BOTH,
        ("datacenters.*.workers[].mac", OTHER),
        InPlace,
        ("only the record of the machine changes", STARGATE),
    ),
    of(
        AZURE,
        ("datacenters.*.workers[].gateway", OTHER),
        NOT_FOR_KIND,
        (NOT_FOR_KIND_EFFECT, TOPOLOGY_FILE),
    ),
    of(
        EXISTING,
        ("datacenters.*.workers[].gateway", OTHER),
        InPlace,
        (OTHER_GATEWAY, KERNEL_ROUTES),
    ),
    of(
        EXISTING,
        ("datacenters.*.workers[].gateway", "removed"),
        InPlace,
        ("the worker's routes lead to the router itself", KERNEL_ROUTES),
    ),
    of(
        BOTH,
        ("datacenters.*.workers[].host_key", OTHER),
        NoChange,
        ("the next connection accepts only this key", SSH),
    ),
    of(AZURE, ("datacenters.*.workers[].vm_size", OTHER), Rollout, (RESIZED, VM_SIZE)),
    of(
        EXISTING,
        ("datacenters.*.workers[].vm_size", OTHER),
        NOT_FOR_KIND,
        (NOT_FOR_KIND_EFFECT, TOPOLOGY_FILE),
    ),
    of(
        BOTH,
        ("datacenters.*.workers[].profile", "another profile of the same kubelet"),
        InPlace,
        (OTHER_PROFILE, NODE_LABELS),
    ),
    of(BOTH, ("datacenters.*.workers[].protect", "`true`"), InPlace, (PROTECTED, MARKS)),
    of(BOTH, ("datacenters.*.worker_range.name", OTHER), Recreation, (RENAMED, NODE_NAME)),
    of(
        BOTH,
        ("datacenters.*.worker_range.count", "a higher number"),
        InPlace,
        ("the new workers join; other workers are not changed", DRAIN),
    ),
    of(
        BOTH,
        ("datacenters.*.worker_range.count", "a lower number"),
        Removal,
        ("the last workers are drained and leave the cluster", DRAIN),
    ),
    of(
        AZURE,
        ("datacenters.*.worker_range.first_ip", OTHER),
        Rollout,
        (OTHER_ADDRESS, NIC_ADDRESS),
    ),
    of(
        EXISTING,
        ("datacenters.*.worker_range.first_ip", "the address that the machine has now"),
        Rollout,
        (MOVED_MACHINE, NIC_ADDRESS),
    ),
    of(
        BOTH,
        ("datacenters.*.worker_range.first_pod_cidr", OTHER),
        Rollout,
        (REJOINS, NODE_POD_CIDR),
    ),
    of(
        AZURE,
        ("datacenters.*.worker_range.gateway", OTHER),
        NOT_FOR_KIND,
        (NOT_FOR_KIND_EFFECT, TOPOLOGY_FILE),
    ),
    of(
        EXISTING,
        ("datacenters.*.worker_range.gateway", OTHER),
        InPlace,
        (OTHER_GATEWAY, KERNEL_ROUTES),
    ),
    of(AZURE, ("datacenters.*.worker_range.vm_size", OTHER), Rollout, (RESIZED, VM_SIZE)),
    of(
        EXISTING,
        ("datacenters.*.worker_range.vm_size", OTHER),
        NOT_FOR_KIND,
        (NOT_FOR_KIND_EFFECT, TOPOLOGY_FILE),
    ),
    of(
        BOTH,
        ("datacenters.*.worker_range.profile", "another profile of the same kubelet"),
        InPlace,
        (OTHER_PROFILE, NODE_LABELS),
    ),
    of(BOTH, ("datacenters.*.worker_range.protect", "`true`"), InPlace, (PROTECTED, MARKS)),
];
