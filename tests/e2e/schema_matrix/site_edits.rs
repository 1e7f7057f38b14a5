//! Edits of datacenters and their routers.

use super::edits::{Edit, HOST_KEY, SAME_KUBELET, edit, other, readdress};

const CLOUD_GROUP: &[&str] = &["resource-group/cloud/lab-cloud"];
pub(super) const DATACENTERS: &[Edit] = &[
    edit("a larger prefix that contains it", &[("datacenters.cloud.pod_pool", "'10.244.64.0/19'")]),
    edit(
        "a larger prefix that contains it",
        &[("datacenters.attic.pod_pool", "'10.244.128.0/19'")],
    )
    .from(&[("datacenters.vault.pod_pool", "'10.244.176.0/20'")]),
    edit(
        "a prefix without the workers' pod CIDRs",
        &[
            ("datacenters.cloud.pod_pool", "'10.244.96.0/20'"),
            ("datacenters.cloud.worker_range.first_pod_cidr", ""),
        ],
    ),
    edit(
        "a prefix without the workers' pod CIDRs",
        &[
            ("datacenters.attic.pod_pool", "'10.244.144.0/20'"),
            ("datacenters.attic.worker_range.first_pod_cidr", ""),
        ],
    ),
    other(&[
        ("datacenters.cloud.pod_prefix_length", "25"),
        ("datacenters.cloud.worker_range.first_pod_cidr", ""),
    ]),
    other(&[
        ("datacenters.attic.pod_prefix_length", "25"),
        ("datacenters.attic.worker_range.first_pod_cidr", ""),
    ]),
    edit(SAME_KUBELET, &[("datacenters.cloud.profile", "'other'")]),
    edit(SAME_KUBELET, &[("datacenters.attic.profile", "'other'")]),
    edit("`true`", &[("datacenters.cloud.protect", "true")]),
    edit("`true`", &[("datacenters.attic.protect", "true")]),
    edit("a table", &[("datacenters.cloud.qemu", "{}")]),
    edit("a table", &[("datacenters.attic.qemu", "{}")]),
    other(&[("datacenters.cloud.azure.resource_group", "'lab-cloud-2'")]).naming(CLOUD_GROUP),
    other(&[("datacenters.cloud.azure.location", "'canadacentral'")]).naming(CLOUD_GROUP),
    edit(
        "a prefix that contains the subnets",
        &[("datacenters.cloud.azure.vnet_cidr", "'10.48.0.0/14'")],
    ),
    edit(
        "a prefix without the subnets",
        &[
            ("datacenters.cloud.azure.vnet_cidr", "'10.52.0.0/16'"),
            ("datacenters.cloud.azure.subnet_cidr", "'10.52.1.0/24'"),
            ("datacenters.cloud.azure.router_subnet_cidr", "'10.52.0.0/24'"),
            ("datacenters.cloud.worker_range.first_ip", "'10.52.1.40'"),
        ],
    )
    .naming(&["subnet/cloud/stargate-subnet", "subnet/cloud/stargate-router-subnet"]),
    other(&[
        ("datacenters.cloud.azure.subnet_cidr", "'10.50.2.0/24'"),
        ("datacenters.cloud.worker_range.first_ip", "'10.50.2.40'"),
    ])
    .naming(&["subnet/cloud/stargate-subnet"]),
    other(&[("datacenters.cloud.azure.router_subnet_cidr", "'10.50.3.0/24'")])
        .naming(&["subnet/cloud/stargate-router-subnet"]),
    other(&[("datacenters.cloud.azure.vm_size", "'Standard_D4s_v5'")]),
    edit(
        "a larger prefix that contains it",
        &[("datacenters.attic.existing.network_cidr", "'10.60.0.0/15'")],
    ),
];

pub(super) const ROUTERS: &[Edit] = &[
    other(&[("datacenters.cloud.router.name", "'cloud-router-2'")]),
    edit(
        "another name than that of the host",
        &[("datacenters.attic.router.name", "'attic-router-2'")],
    ),
    other(&[("datacenters.cloud.router.ip", "'10.50.0.5'")]),
    edit("the address that the machine has now", &[("datacenters.attic.router.ip", "'10.60.0.5'")])
        .prepared(|it| readdress(it, "attic-router", [10, 60, 0, 5])),
    edit(
        "an address that the machine does not have",
        &[("datacenters.attic.router.ip", "'10.60.0.6'")],
    ),
    other(&[("datacenters.cloud.router.ssh_address", "'gateway.example.com'")]),
    other(&[("datacenters.attic.router.ssh_address", "'gateway.example.com'")]),
    other(&[("datacenters.cloud.router.gateway", "'10.50.0.129'")]),
    other(&[("datacenters.attic.router.gateway", "'10.60.0.130'")]),
    other(&[("datacenters.cloud.router.host_key", HOST_KEY)]),
    other(&[("datacenters.attic.router.host_key", HOST_KEY)]),
    other(&[("datacenters.cloud.router.vm_size", "'Standard_D4s_v5'")]),
    other(&[("datacenters.attic.router.vm_size", "'Standard_D4s_v5'")]),
    edit("`true`", &[("datacenters.cloud.router.protect", "true")]),
    edit("`true`", &[("datacenters.attic.router.protect", "true")]),
];
