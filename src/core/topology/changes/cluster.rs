//! Fields of the cluster and of profiles.

use super::ChangeOutcome::{InPlace, NoChange, Recreation, Refused, Replacement, Rollout};
use super::sources::{
    AKS_AUTOSCALER, AKS_LABELS, AKS_NAME, AKS_NETWORK, AKS_POD_CIDR, AKS_POOL, AKS_RESIZE,
    AKS_SCALE, AKS_SUPPORT_PLAN, AKS_SURGE, AKS_SYSTEM_POOL, AKS_TAINTS, AKS_TIER, AKS_UPGRADE,
    CILIUM, MARKS, MAX_PODS, NODE_LABELS, NODE_TAINTS, RESOURCE_GROUP, ROUTES, SKEW, SKEW_LIMIT,
    STARGATE, SUBNET, TOPOLOGY_FILE, VM_NAME, VM_SIZE,
};
use super::{ChangeRule, OTHER, rule};
use crate::diagnostics::Code;

const SUCCESSOR: &str = "a new pool replaces the old one: its nodes are created, the old nodes \
                         are drained, and the old pool is deleted";
const LEFT_TO_AKS: &str = "the pool keeps its current value";
const AGENTS: &str = "the kubelet of each worker restarts, one wave after another; pods keep running, so \
                      no worker is drained";

pub(super) const RULES: &[ChangeRule] = &[
    rule(
        "cluster.existing",
        "`true`",
        NoChange,
        (
            "the cluster and its pools are only read from then on, and `destroy` keeps them",
            STARGATE,
        ),
    ),
    rule(
        "cluster.name",
        OTHER,
        Replacement,
        (
            "the cluster is deleted with everything in it, and created under the other name",
            AKS_NAME,
        ),
    )
    .losing(),
    rule(
        "cluster.resource_group",
        OTHER,
        Replacement,
        ("the group is deleted with the cluster, and created under the other name", RESOURCE_GROUP),
    )
    .losing(),
    rule(
        "cluster.kubernetes_version",
        "a newer patch",
        Rollout,
        (
            "AKS upgrades the control plane, then the nodes of each pool: it drains them one after \
             another",
            AKS_UPGRADE,
        ),
    ),
    rule(
        "cluster.kubernetes_version",
        "the next minor version",
        Rollout,
        ("as for a newer patch; workers follow their profiles", AKS_UPGRADE),
    ),
    rule(
        "cluster.kubernetes_version",
        "its own minor version",
        NoChange,
        ("any patch of it satisfies the topology", STARGATE),
    ),
    rule(
        "cluster.kubernetes_version",
        "an older version",
        NoChange,
        ("a warning (SG0408): AKS cannot downgrade a cluster", AKS_UPGRADE),
    ),
    rule(
        "cluster.kubernetes_version",
        "a version after the next minor version",
        Refused(Code::KubernetesMinorSkipped),
        ("AKS upgrades a control plane by one minor version at a time", AKS_UPGRADE),
    ),
    rule("cluster.tier", OTHER, InPlace, ("AKS changes the tier; no node restarts", AKS_TIER)),
    rule(
        "cluster.tier",
        "another one than `premium` while the cluster keeps long-term support",
        Refused(Code::SupportPlanTier),
        ("AKS has long-term support in one tier only", AKS_SUPPORT_PLAN),
    ),
    rule("cluster.tier", "removed", NoChange, ("the cluster keeps its current value", AKS_TIER)),
    rule(
        "cluster.support_plan",
        OTHER,
        InPlace,
        ("AKS changes the plan; no node restarts", AKS_SUPPORT_PLAN),
    ),
    rule(
        "cluster.support_plan",
        "removed",
        NoChange,
        ("the cluster keeps its current value", AKS_SUPPORT_PLAN),
    ),
    rule(
        "cluster.route_table",
        "`existing`",
        NoChange,
        ("a subnet with the topology's table keeps it", STARGATE),
    ),
    rule(
        "cluster.route_table",
        "`existing`, where a subnet has the table of another owner",
        InPlace,
        ("the routes are written into that table, one by one", ROUTES),
    ),
    rule(
        "cluster.route_table",
        "`own`, where a subnet has the table of another owner",
        Refused(Code::ForeignRouteTable),
        (
            "the routes in the owner's table stay until `--adopt` gives the subnet the topology's \
             table",
            STARGATE,
        ),
    ),
    rule(
        "cluster.pod_cidr",
        OTHER,
        Replacement,
        (
            "the cluster is deleted with everything in it, and created with the other prefix",
            AKS_NETWORK,
        ),
    )
    .losing(),
    rule(
        "cluster.pod_cidr",
        "a larger prefix that contains it",
        Replacement,
        (
            "AKS expands the prefix in place only in subscriptions with the preview feature \
             `EnableAzureCNIOverlayPodCIDRExpansion`: then run `az aks update --pod-cidr` first",
            AKS_POD_CIDR,
        ),
    )
    .losing(),
    rule(
        "cluster.pod_cidr",
        "the prefix of the cluster after `az aks update --pod-cidr`",
        InPlace,
        ("routes, security groups and the routers get the larger prefix", AKS_POD_CIDR),
    ),
    rule(
        "cluster.service_cidr",
        OTHER,
        Replacement,
        (
            "the cluster is deleted with everything in it, and created with the other prefix",
            AKS_NETWORK,
        ),
    )
    .losing(),
    rule(
        "cluster.protect",
        "`true`",
        InPlace,
        (
            "the protection is recorded on the objects; plans that delete or replace the cluster are refused (SG0502)",
            MARKS,
        ),
    ),
    rule(
        "cluster.node_pools.*.count",
        "a higher number",
        InPlace,
        ("AKS adds nodes, and routes to their pods follow in the same apply", AKS_SCALE),
    ),
    rule(
        "cluster.node_pools.*.count",
        "a lower number",
        InPlace,
        (
            "AKS selects, drains and deletes nodes; their routes are deleted in the same apply",
            AKS_SCALE,
        ),
    ),
    rule(
        "cluster.node_pools.*.count",
        "`min` and `max` in its place",
        InPlace,
        ("the autoscaler of the pool is enabled", AKS_AUTOSCALER),
    ),
    rule(
        "cluster.node_pools.*.min",
        OTHER,
        InPlace,
        ("the autoscaler adds nodes if the pool has fewer", AKS_AUTOSCALER),
    ),
    rule(
        "cluster.node_pools.*.max",
        OTHER,
        InPlace,
        ("the autoscaler removes nodes if the pool has more", AKS_AUTOSCALER),
    ),
    rule("cluster.node_pools.*.vm_size", OTHER, Rollout, (SUCCESSOR, AKS_RESIZE)),
    rule(
        "cluster.node_pools.*.mode",
        "`system`",
        InPlace,
        ("AKS may run its own pods on the pool", AKS_SYSTEM_POOL),
    ),
    rule(
        "cluster.node_pools.*.mode",
        "`user`, for the only system pool",
        Refused(Code::NoSystemPool),
        ("a cluster needs a system pool at all times", AKS_SYSTEM_POOL),
    ),
    rule("cluster.node_pools.*.labels", OTHER, InPlace, ("no node restarts", AKS_LABELS)),
    rule("cluster.node_pools.*.labels", "removed", InPlace, ("no node restarts", AKS_LABELS)),
    rule("cluster.node_pools.*.taints", OTHER, InPlace, ("no node restarts", AKS_TAINTS)),
    rule("cluster.node_pools.*.taints", "removed", InPlace, ("no node restarts", AKS_TAINTS)),
    rule(
        "cluster.node_pools.*.max_surge",
        OTHER,
        InPlace,
        ("it applies from the next upgrade on", AKS_SURGE),
    ),
    rule("cluster.node_pools.*.max_surge", "removed", NoChange, (LEFT_TO_AKS, AKS_SURGE)),
    rule("cluster.node_pools.*.max_pods", OTHER, Rollout, (SUCCESSOR, AKS_POOL)),
    rule("cluster.node_pools.*.max_pods", "removed", NoChange, (LEFT_TO_AKS, AKS_POOL)),
    rule("cluster.node_pools.*.os_disk_gb", OTHER, Rollout, (SUCCESSOR, AKS_POOL)),
    rule("cluster.node_pools.*.os_disk_gb", "removed", NoChange, (LEFT_TO_AKS, AKS_POOL)),
    rule("cluster.node_pools.*.zones", OTHER, Rollout, (SUCCESSOR, AKS_POOL)),
    rule("cluster.node_pools.*.zones", "removed", NoChange, (LEFT_TO_AKS, AKS_POOL)),
    rule(
        "cluster.router.name",
        OTHER,
        Recreation,
        (
            "the router's VM and device are deleted and created under the other name; pods of \
             different sites do not reach each other until it is back",
            VM_NAME,
        ),
    ),
    rule(
        "cluster.router.subnet_cidr",
        OTHER,
        Replacement,
        ("the subnet is deleted with the router, and created with the other prefix", SUBNET),
    ),
    rule(
        "cluster.router.vm_size",
        OTHER,
        InPlace,
        (
            "the router restarts; pods of different sites do not reach each other until it is back",
            VM_SIZE,
        ),
    ),
    rule(
        "cluster.router.protect",
        "`true`",
        InPlace,
        (
            "the protection is recorded on the objects; plans that delete or replace the router are refused (SG0502)",
            MARKS,
        ),
    ),
    rule(
        "profiles.*.kubernetes_version",
        "a newer version",
        Rollout,
        ("each worker is drained, and its kubelet is upgraded", SKEW),
    ),
    rule(
        "profiles.*.kubernetes_version",
        "an older version",
        Refused(Code::KubernetesDowngrade),
        ("a kubelet is never downgraded", SKEW),
    ),
    rule(
        "profiles.*.kubernetes_version",
        "the minor version of the control plane",
        InPlace,
        ("workers keep their patch; only the record of the profile changes", STARGATE),
    ),
    rule(
        "profiles.*.kubernetes_version",
        "a minor version after the control plane's",
        Refused(Code::VersionSkew),
        ("upgrade the control plane first", SKEW_LIMIT),
    ),
    rule(
        "profiles.*.container_runtime",
        "`containerd`",
        NoChange,
        ("it is the only value and the default", TOPOLOGY_FILE),
    ),
    rule(
        "profiles.*.packages",
        "`upstream` or `preinstalled`",
        NoChange,
        ("it applies to workers that join or are upgraded later", STARGATE),
    ),
    rule(
        "profiles.*.managed_cilium",
        "`false`",
        InPlace,
        (
            "the labels that schedule AKS's Cilium are removed from the Nodes, which stops its \
             agent: install your own first",
            CILIUM,
        ),
    ),
    rule("profiles.*.labels", OTHER, InPlace, (AGENTS, NODE_LABELS)),
    rule("profiles.*.labels", "removed", InPlace, (AGENTS, NODE_LABELS)),
    rule("profiles.*.taints", OTHER, InPlace, (AGENTS, NODE_TAINTS)),
    rule("profiles.*.taints", "removed", InPlace, (AGENTS, NODE_TAINTS)),
    rule("profiles.*.max_pods", OTHER, InPlace, (AGENTS, MAX_PODS)),
    rule("profiles.*.max_pods", "removed", InPlace, (AGENTS, MAX_PODS)),
];
