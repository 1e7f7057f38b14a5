//! Edits of workers and worker ranges.

use super::edits::{Edit, HOST_KEY, SAME_KUBELET, edit, other, readdress};

pub(super) const WORKERS: &[Edit] = &[
    other(&[("datacenters.cloud.workers[0].name", "'cloud-x'")]),
    other(&[
        ("datacenters.attic.workers[0].name", "'attic-x'"),
        ("datacenters.attic.workers[0].ip", "'10.60.1.9'"),
        ("datacenters.attic.workers[0].mac", "'52:54:00:00:00:09'"),
    ]),
    other(&[("datacenters.cloud.workers[0].ip", "'10.50.1.20'")]),
    edit(
        "the address that the machine has now",
        &[("datacenters.attic.workers[0].ip", "'10.60.1.20'")],
    )
    .prepared(|it| readdress(it, "attic-a", [10, 60, 1, 20])),
    other(&[("datacenters.cloud.workers[0].pod_cidr", "'10.244.75.0/24'")]),
    other(&[("datacenters.attic.workers[0].pod_cidr", "'10.244.140.0/24'")]),
    other(&[("datacenters.cloud.workers[0].mac", "'52:54:00:00:00:99'")]),
    other(&[("datacenters.attic.workers[0].mac", "'52:54:00:00:00:99'")]),
    other(&[("datacenters.cloud.workers[0].gateway", "'10.50.1.129'")]),
    other(&[("datacenters.attic.workers[1].gateway", "'10.60.1.130'")]),
    edit("removed", &[("datacenters.attic.workers[1].gateway", "")]),
    other(&[("datacenters.cloud.workers[0].host_key", HOST_KEY)]),
    other(&[("datacenters.attic.workers[0].host_key", HOST_KEY)]),
    other(&[("datacenters.cloud.workers[0].vm_size", "'Standard_D4s_v5'")]),
    other(&[("datacenters.attic.workers[0].vm_size", "'Standard_D4s_v5'")]),
    edit(SAME_KUBELET, &[("datacenters.cloud.workers[0].profile", "'other'")]),
    edit(SAME_KUBELET, &[("datacenters.attic.workers[0].profile", "'other'")]),
    edit("`true`", &[("datacenters.cloud.workers[0].protect", "true")]),
    edit("`true`", &[("datacenters.attic.workers[0].protect", "true")]),
];

pub(super) const RANGES: &[Edit] = &[
    other(&[("datacenters.cloud.worker_range.name", "'cloud-other-{}'")]),
    other(&[
        ("datacenters.attic.worker_range.name", "'attic-other-{}'"),
        ("datacenters.attic.worker_range.first_ip", "'10.60.1.60'"),
    ]),
    edit("a higher number", &[("datacenters.cloud.worker_range.count", "2")]),
    edit("a higher number", &[("datacenters.attic.worker_range.count", "2")]),
    edit("a lower number", &[("datacenters.cloud.worker_range.count", "1")])
        .from(&[("datacenters.cloud.worker_range.count", "2")]),
    edit("a lower number", &[("datacenters.attic.worker_range.count", "1")])
        .from(&[("datacenters.attic.worker_range.count", "2")]),
    other(&[("datacenters.cloud.worker_range.first_ip", "'10.50.1.60'")]),
    edit(
        "the address that the machine has now",
        &[("datacenters.attic.worker_range.first_ip", "'10.60.1.60'")],
    )
    .prepared(|it| readdress(it, "attic-range-1", [10, 60, 1, 60])),
    other(&[("datacenters.cloud.worker_range.first_pod_cidr", "'10.244.76.0/24'")]),
    other(&[("datacenters.attic.worker_range.first_pod_cidr", "'10.244.141.0/24'")]),
    other(&[("datacenters.cloud.worker_range.gateway", "'10.50.1.129'")]),
    other(&[("datacenters.attic.worker_range.gateway", "'10.60.1.129'")]),
    other(&[("datacenters.cloud.worker_range.vm_size", "'Standard_D4s_v5'")]),
    other(&[("datacenters.attic.worker_range.vm_size", "'Standard_D4s_v5'")]),
    edit(SAME_KUBELET, &[("datacenters.cloud.worker_range.profile", "'other'")]),
    edit(SAME_KUBELET, &[("datacenters.attic.worker_range.profile", "'other'")]),
    edit("`true`", &[("datacenters.cloud.worker_range.protect", "true")]),
    edit("`true`", &[("datacenters.attic.worker_range.protect", "true")]),
];
