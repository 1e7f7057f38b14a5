//! Edits of each block of a topology, and the outcome of each.

use crate::harness::{RefreshOptions, TWO_DATACENTERS};

/// The outcome of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// One apply carries it through.
    Applies,
    /// The same, but only with the permission to lose pairs.
    NeedsPermission,
    /// Nothing is modified.
    Refused,
    /// A part is refused, the rest is applied.
    PartlyRefused,
}

/// An edit of the topology.
pub(crate) struct Edit {
    pub(crate) name: &'static str,
    /// Texts and their replacements.
    texts: Texts,
    pub(crate) replace: &'static [&'static str],
    pub(crate) outcome: Outcome,
}

type Texts = &'static [(&'static str, &'static str)];

const fn edit(
    name: &'static str,
    texts: Texts,
    replace: &'static [&'static str],
    outcome: Outcome,
) -> Edit {
    Edit { name, texts, replace, outcome }
}

pub(crate) const CLOUD_B: &str = "[[datacenters.cloud.workers]]\nname = \"cloud-b\"\n";
const CLOUD_KIND: &str = "[datacenters.cloud.azure]\nresource_group = \"lab-cloud\"\n\
    vnet_cidr = \"10.50.0.0/16\"\nsubnet_cidr = \"10.50.1.0/24\"\n\
    router_subnet_cidr = \"10.50.0.0/24\"\nvm_size = \"Standard_D2s_v5\"\n";
pub(crate) const ATTIC_A: &str = "[[datacenters.attic.workers]]\nname = \"attic-a\"\nip = \"10.60.1.5\"\nmac = \
                       \"52:54:00:00:00:05\"\n";
const ATTIC_B: &str = "[[datacenters.attic.workers]]\nname = \"attic-b\"\nip = \"10.60.1.6\"\nmac = \
                       \"52:54:00:00:00:06\"\npod_cidr = \"10.244.200.0/24\"\n";
pub(crate) const CLOUD_B_IN_ATTIC: &str = "[[datacenters.attic.workers]]\nname = \"cloud-b\"\n\
    ip = \"10.60.1.9\"\nmac = \"52:54:00:00:00:09\"\n";

pub(crate) const EDITS: &[Edit] = &[
    edit(
        "another name of a worker on a VM",
        &[("\"cloud-b\"", "\"cloud-x\"")],
        &[],
        Outcome::Applies,
    ),
    edit(
        "another name of a worker on an existing machine",
        &[(
            ATTIC_B,
            "[[datacenters.attic.workers]]\nname = \"attic-x\"\nip = \"10.60.1.7\"\n\
                            mac = \"52:54:00:00:00:07\"\npod_cidr = \"10.244.200.0/24\"\n",
        )],
        &[],
        Outcome::Applies,
    ),
    edit(
        "another name of a datacenter's router",
        &[("\"cloud-router\"", "\"cloud-gate\"")],
        &[],
        Outcome::Applies,
    ),
    edit(
        "another name of the cluster's router",
        &[("\"lab-router\"", "\"lab-gate\"")],
        &[],
        Outcome::Applies,
    ),
    edit(
        "another name of a datacenter of VMs",
        &[("datacenters.cloud", "datacenters.sky")],
        &[],
        Outcome::Applies,
    ),
    edit(
        "another name of a datacenter of existing machines",
        &[("datacenters.attic", "datacenters.loft")],
        &[],
        Outcome::Applies,
    ),
    edit("another resource group", &[("\"lab-cloud\"", "\"lab-sky\"")], &[], Outcome::Refused),
    edit(
        "another resource group, with the permission to replace",
        &[("\"lab-cloud\"", "\"lab-sky\"")],
        &["resource-group/cloud/lab-cloud"],
        Outcome::NeedsPermission,
    ),
    edit(
        "another name of the cluster",
        &[("[cluster]\nname = \"lab\"", "[cluster]\nname = \"lab2\"")],
        &[],
        Outcome::Refused,
    ),
    edit(
        "another name of the cluster, with the permission to replace",
        &[("[cluster]\nname = \"lab\"", "[cluster]\nname = \"lab2\"")],
        &["managed-cluster/cluster/lab"],
        Outcome::NeedsPermission,
    ),
    edit(
        "another name of a node pool",
        &[("node_pools.system", "node_pools.main")],
        &[],
        Outcome::NeedsPermission,
    ),
    edit("fewer nodes of a pool", &[("count = 3", "count = 2")], &[], Outcome::Applies),
    edit("a worker on a VM less", &[(CLOUD_B, "")], &[], Outcome::Applies),
    edit("a worker on an existing machine less", &[(ATTIC_A, "")], &[], Outcome::Applies),
    edit("another network range", &[("10.50.", "10.51.")], &[], Outcome::Refused),
    edit(
        "another network range, with the permission to replace",
        &[("10.50.", "10.51.")],
        &["virtual-network/cloud/stargate-vnet"],
        Outcome::NeedsPermission,
    ),
    edit(
        "another network range and more nodes",
        &[("10.50.", "10.51."), ("count = 3", "count = 4")],
        &[],
        Outcome::PartlyRefused,
    ),
    edit("a smaller network range", &[("10.50.0.0/16", "10.50.0.0/20")], &[], Outcome::Applies),
    edit(
        "another range of the router's subnet",
        &[("router_subnet_cidr = \"10.50.0.0/24\"", "router_subnet_cidr = \"10.50.3.0/24\"")],
        &[],
        Outcome::Refused,
    ),
    edit(
        "another range of the cluster's router subnet",
        &[("10.237.0.0/24", "10.236.0.0/24")],
        &[],
        Outcome::Refused,
    ),
    edit(
        "another pool of pod ranges",
        &[("10.244.64.0/20", "10.244.80.0/20")],
        &[],
        Outcome::Applies,
    ),
    edit(
        "another pod range of a worker",
        &[("10.244.200.0/24", "10.244.201.0/24")],
        &[],
        Outcome::Applies,
    ),
    edit(
        "existing machines instead of VMs",
        &[
            (CLOUD_KIND, "[datacenters.cloud.existing]\nnetwork_cidr = \"10.50.0.0/16\"\n"),
            ("name = \"cloud-router\"\n", "name = \"cloud-router\"\nip = \"10.50.0.4\"\n"),
            (
                "name = \"cloud-a\"\n",
                "name = \"cloud-a\"\nip = \"10.50.1.4\"\nmac = \
              \"52:54:00:00:01:05\"\n",
            ),
            (
                "name = \"cloud-b\"\n",
                "name = \"cloud-b\"\nip = \"10.50.1.5\"\nmac = \
              \"52:54:00:00:01:06\"\n",
            ),
        ],
        &[],
        Outcome::Refused,
    ),
    edit(
        "VMs instead of existing machines",
        &[
            (
                "[datacenters.attic.existing]\nnetwork_cidr = \"10.60.0.0/16\"\n",
                "[datacenters.attic.azure]\nresource_group = \"lab-attic\"\n\
              vnet_cidr = \"10.60.0.0/16\"\nsubnet_cidr = \"10.60.1.0/24\"\n\
              router_subnet_cidr = \"10.60.0.0/24\"\nvm_size = \"Standard_D2s_v5\"\n",
            ),
            ("ip = \"10.60.0.4\"\n", ""),
            ("mac = \"52:54:00:00:00:05\"\n", ""),
            ("mac = \"52:54:00:00:00:06\"\n", ""),
        ],
        &[],
        Outcome::Refused,
    ),
    edit(
        "a worker moves to existing machines",
        &[
            (CLOUD_B, ""),
            (
                "[[datacenters.attic.workers]]\nname = \"attic-b\"\n",
                "[[datacenters.attic.workers]]\nname = \"cloud-b\"\nip = \"10.60.1.9\"\nmac = \
                 \"52:54:00:00:00:09\"\n\n[[datacenters.attic.workers]]\nname = \"attic-b\"\n",
            ),
        ],
        &[],
        Outcome::Applies,
    ),
    edit(
        "a worker moves to VMs",
        &[
            (ATTIC_A, ""),
            (
                CLOUD_B,
                "[[datacenters.cloud.workers]]\nname = \"cloud-b\"\n\n\
                                          [[datacenters.cloud.workers]]\nname = \"attic-a\"\n",
            ),
        ],
        &[],
        Outcome::Applies,
    ),
];

impl Edit {
    /// The edited text; `None` if it does not contain the original.
    pub(crate) fn edit(&self, text: &str) -> Option<String> {
        self.texts.iter().try_fold(text.to_owned(), |text, (from, to)| {
            text.contains(from).then(|| text.replace(from, to))
        })
    }

    pub(crate) fn text(&self) -> String {
        self.texts.iter().fold(TWO_DATACENTERS.to_owned(), |text, (from, to)| {
            assert!(text.contains(from), "{}: {from}", self.name);
            text.replace(from, to)
        })
    }

    pub(crate) fn options(&self, allow_loss: bool) -> RefreshOptions {
        RefreshOptions { allow_loss, ..RefreshOptions::replacing(self.replace) }
    }
}

/// The topology without a datacenter.
pub(crate) fn without(datacenter: &str) -> String {
    let begin = TWO_DATACENTERS.find(&format!("[datacenters.{datacenter}]\n")).unwrap();
    let attic = TWO_DATACENTERS.find("[datacenters.attic]\n").unwrap();
    let end = if begin < attic { attic } else { TWO_DATACENTERS.len() };
    format!("{}{}", &TWO_DATACENTERS[..begin], &TWO_DATACENTERS[end..])
}
