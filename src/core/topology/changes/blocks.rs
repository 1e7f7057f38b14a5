//! Whole tables that are removed, moved or renamed.

use super::ChangeOutcome::{InPlace, NoChange, Recreation, Refused, Removal, Rollout};
use super::sources::{
    AKS_DELETE_POOL, AKS_SYSTEM_POOL, DAEMON_SET, DRAIN, KERNEL_ROUTES, MARKS, NODE_NAME,
    NODE_POD_CIDR, STARGATE, TOPOLOGY_FILE,
};
use super::{AZURE, BOTH, ChangeRule, EXISTING, of, rule};
use crate::diagnostics::Code;

const REQUIRED: &str = "the table is required";
const DEFAULTS: &str = "the defaults apply";
const MOVED: &str = "the worker is drained and leaves its old machine, which is reset; then it joins in \
                     the other datacenter";

pub(super) const RULES: &[ChangeRule] = &[
    rule("[stargate]", "removed", Refused(Code::MissingKey), (REQUIRED, TOPOLOGY_FILE)),
    rule("[azure]", "removed", Refused(Code::MissingKey), (REQUIRED, TOPOLOGY_FILE)),
    rule("[azure.endpoints]", "removed", NoChange, ("the endpoints of the cloud apply", STARGATE)),
    rule("[cluster]", "removed", Refused(Code::MissingKey), (REQUIRED, TOPOLOGY_FILE)),
    rule("[cluster.router]", "removed", Refused(Code::MissingKey), (REQUIRED, TOPOLOGY_FILE)),
    rule("[tailnet]", "removed", NoChange, (DEFAULTS, STARGATE)),
    rule("[ssh]", "removed", NoChange, (DEFAULTS, STARGATE)),
    rule("[rollout]", "removed", NoChange, (DEFAULTS, STARGATE)),
    rule("[watch]", "removed", NoChange, (DEFAULTS, STARGATE)),
    rule("[[ignore]]", "removed", NoChange, ("the drift is corrected again", STARGATE)),
    rule("[network]", "removed", InPlace, (DEFAULTS, DAEMON_SET)),
    rule(
        "[cluster.node_pools.<name>]",
        "removed",
        Removal,
        ("the nodes are drained and deleted with the pool", AKS_DELETE_POOL),
    ).losing(),
    rule(
        "[cluster.node_pools.<name>]",
        "renamed",
        Recreation,
        (
            "a pool with the other name is created before the old one is drained and deleted",
            AKS_DELETE_POOL,
        ),
    ).losing(),
    rule(
        "[cluster.node_pools.<name>]",
        "removed, with all others",
        Refused(Code::NoNodePools),
        ("a cluster needs a system pool at all times", AKS_SYSTEM_POOL),
    ),
    rule(
        "[profiles.<name>]",
        "removed while workers use it",
        Refused(Code::UnknownProfile),
        ("workers and datacenters refer to it", TOPOLOGY_FILE),
    ),
    rule(
        "[profiles.<name>]",
        "renamed, with the references to it",
        InPlace,
        ("the records get the other name; workers with the same settings are not changed", STARGATE),
    ),
    of(
        BOTH,
        ("[datacenters.<name>]", "removed"),
        Removal,
        (
            "its workers are drained and reset, then its router leaves the tailnet; VMs are deleted",
            DRAIN,
        ),
    ).losing(),
    of(
        BOTH,
        ("[datacenters.<name>]", "renamed"),
        Rollout,
        (
            "its workers are drained and join again under the other name; its router stays",
            NODE_POD_CIDR,
        ),
    ),
    of(
        EXISTING,
        ("[datacenters.<name>]", "removed while it is protected"),
        Refused(Code::Protected),
        ("set `protect = false` and apply first", STARGATE),
    ),
    of(
        BOTH,
        ("[datacenters.<name>.router]", "removed"),
        Refused(Code::MissingKey),
        (REQUIRED, TOPOLOGY_FILE),
    ),
    of(
        AZURE,
        ("[datacenters.<name>.azure]", "removed"),
        Refused(Code::DatacenterKind),
        ("a datacenter needs exactly one kind", TOPOLOGY_FILE),
    ),
    of(
        EXISTING,
        ("[datacenters.<name>.existing]", "removed"),
        Refused(Code::DatacenterKind),
        ("a datacenter needs exactly one kind", TOPOLOGY_FILE),
    ),
    of(
        BOTH,
        ("[[datacenters.<name>.workers]]", "removed"),
        Removal,
        ("the worker is drained and reset, then its routes and its VM are deleted", DRAIN),
    ),
    of(
        BOTH,
        ("[[datacenters.<name>.workers]]", "moved to a datacenter of the same kind"),
        Rollout,
        (MOVED, NODE_NAME),
    ),
    of(
        BOTH,
        ("[[datacenters.<name>.workers]]", "moved to a datacenter of the other kind"),
        Rollout,
        (MOVED, NODE_NAME),
    ),
    of(
        EXISTING,
        ("[[datacenters.<name>.workers]]", "moved to a protected datacenter"),
        Refused(Code::Protected),
        (
            "set `protect = false` first: a protected worker is neither drained nor replaced",
            STARGATE,
        ),
    ),
    of(
        BOTH,
        ("[datacenters.<name>.worker_range]", "written as single workers"),
        NoChange,
        ("the workers are the same", STARGATE),
    ),
    of(
        EXISTING,
        ("`gateway`", "removed, of the router and its workers"),
        InPlace,
        ("routes lead to the router and the workers themselves", KERNEL_ROUTES),
    ),
    of(
        EXISTING,
        ("`protect`", "removed"),
        InPlace,
        ("the records of protection are removed, and the datacenter can be changed and deleted \
          again", MARKS),
    ),
];
