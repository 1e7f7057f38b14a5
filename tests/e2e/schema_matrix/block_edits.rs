//! Removals, moves and renamings of whole tables.

use super::document::Assignment;
use super::edits::{Edit, RULE, edit, readdress};

/// A second datacenter of VMs, without workers.
const SKY: &[Assignment] = &[
    ("datacenters.sky.pod_pool", "'10.244.192.0/20'"),
    ("datacenters.sky.profile", "'standard'"),
    ("datacenters.sky.router.name", "'sky-router'"),
    ("datacenters.sky.workers", "[]"),
    ("datacenters.sky.azure.resource_group", "'lab-sky'"),
    ("datacenters.sky.azure.vnet_cidr", "'10.90.0.0/16'"),
    ("datacenters.sky.azure.subnet_cidr", "'10.90.1.0/24'"),
    ("datacenters.sky.azure.router_subnet_cidr", "'10.90.0.0/24'"),
    ("datacenters.sky.azure.vm_size", "'Standard_D2s_v5'"),
];
/// A third datacenter of existing machines, without workers.
const LOFT: &[Assignment] = &[
    ("datacenters.loft.pod_pool", "'10.244.208.0/20'"),
    ("datacenters.loft.profile", "'standard'"),
    ("datacenters.loft.router.name", "'loft-router'"),
    ("datacenters.loft.router.ip", "'10.80.0.4'"),
    ("datacenters.loft.workers", "[]"),
    ("datacenters.loft.existing.network_cidr", "'10.80.0.0/16'"),
];

pub(super) const BLOCKS: &[Edit] = &[
    edit("removed", &[("stargate", "")]).of("[stargate]"),
    edit("removed", &[("azure", "")]).of("[azure]"),
    edit("removed", &[("azure.endpoints", "")]).of("[azure.endpoints]").from(&[("azure.endpoints.audience", "'https://management.example'")]),
    edit("removed", &[("cluster", "")]).of("[cluster]"),
    edit("removed", &[("cluster.router", "")]).of("[cluster.router]"),
    edit("removed", &[("tailnet", "")]).of("[tailnet]").from(&[("tailnet.name", "'-'")]),
    edit("removed", &[("ssh", "")]).of("[ssh]").from(&[("ssh.port", "22")]),
    edit("removed", &[("rollout", "")]).of("[rollout]").from(&[("rollout.canary", "2")]),
    edit("removed", &[("watch", "")]).of("[watch]").from(&[("watch.interval_seconds", "60")]),
    edit("removed", &[("network", "")]).of("[network]").from(&[("network.goldpinger", "false")]),
    edit("removed", &[("ignore", "")]).of("[[ignore]]").from(&[("ignore", RULE)]),
    edit("removed", &[("datacenters.cloud", "")]).of("[datacenters.<name>]"),
    edit("removed", &[("datacenters.attic", "")]).of("[datacenters.<name>]"),
    edit("renamed", &[("datacenters.sky", "@datacenters.cloud")]).of("[datacenters.<name>]"),
    edit("renamed", &[("datacenters.loft", "@datacenters.attic")]).of("[datacenters.<name>]"),
    edit("removed while it is protected", &[("datacenters.vault", "")]).of("[datacenters.<name>]"),
    edit("removed", &[("datacenters.cloud.router", "")]).of("[datacenters.<name>.router]"),
    edit("removed", &[("datacenters.attic.router", "")]).of("[datacenters.<name>.router]"),
    edit("removed", &[("datacenters.cloud.azure", "")]).of("[datacenters.<name>.azure]"),
    edit("removed", &[("datacenters.attic.existing", "")]).of("[datacenters.<name>.existing]"),
    edit("removed", &[("datacenters.cloud.workers[0]", "")]).of("[[datacenters.<name>.workers]]"),
    edit("removed", &[("datacenters.attic.workers[0]", "")]).of("[[datacenters.<name>.workers]]"),
    edit("moved to a datacenter of the same kind", &[("datacenters.sky.workers[0]", "@datacenters.cloud.workers[0]")]).of("[[datacenters.<name>.workers]]").from(SKY),
    edit("moved to a datacenter of the same kind", &[("datacenters.loft.workers[0]", "@datacenters.attic.workers[0]"), ("datacenters.loft.workers[0].ip", "'10.80.1.5'")]).of("[[datacenters.<name>.workers]]").from(LOFT).prepared(|it| readdress(it, "attic-a", [10, 80, 1, 5])),
    edit("moved to a datacenter of the other kind", &[("datacenters.attic.workers[2]", "@datacenters.cloud.workers[0]"), ("datacenters.attic.workers[2].ip", "'10.60.1.7'"), ("datacenters.attic.workers[2].mac", "'52:54:00:00:00:17'")]).of("[[datacenters.<name>.workers]]").prepared(|it| it.seed_machine("cloud-a-later", [10, 60, 1, 7].into(), None, false)),
    edit("moved to a datacenter of the other kind", &[("datacenters.cloud.workers[2]", "@datacenters.attic.workers[0]"), ("datacenters.cloud.workers[2].ip", ""), ("datacenters.cloud.workers[2].mac", "")]).of("[[datacenters.<name>.workers]]"),
    edit("moved to a protected datacenter", &[("datacenters.vault.workers[1]", "@datacenters.attic.workers[0]"), ("datacenters.vault.workers[1].ip", "'10.70.1.9'")]).of("[[datacenters.<name>.workers]]").prepared(|it| readdress(it, "attic-a", [10, 70, 1, 9])),
    edit("written as single workers", &[("datacenters.cloud.workers[2]", "{ name = 'cloud-range-1', ip = '10.50.1.40', pod_cidr = '10.244.72.0/24' }"), ("datacenters.cloud.worker_range", "")]).of("[datacenters.<name>.worker_range]"),
    edit("written as single workers", &[("datacenters.attic.workers[2]", "{ name = 'attic-range-1', ip = '10.60.1.40', pod_cidr = '10.244.136.0/24', mac = '02:00:0a:3c:01:28' }"), ("datacenters.attic.worker_range", "")]).of("[datacenters.<name>.worker_range]"),
    edit("removed, of the router and its workers", &[("datacenters.attic.router.gateway", ""), ("datacenters.attic.workers[1].gateway", "")]).of("`gateway`"),
    edit("removed", &[("datacenters.vault.protect", "")]).of("`protect`"),
];
