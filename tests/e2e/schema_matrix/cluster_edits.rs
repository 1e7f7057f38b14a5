//! Edits of the topology as a whole, of the cluster and of profiles.

use serde_json::json;
use stargate::resource::ArmId;
use stargate::sandbox::{SandboxState, arm};

use super::document::Assignment;
use super::edits::{Edit, RULE, edit, other};

/// Without the datacenter that is protected, which would block the cluster's replacement.
const UNPROTECTED: &[Assignment] = &[("datacenters.vault.protect", "false")];
/// `az aks update --pod-cidr`.
fn expand_pod_cidr(sandbox: &mut SandboxState) {
    let id = ArmId::resource_group(arm::SUBSCRIPTION, "lab")
        .in_group("Microsoft.ContainerService/managedClusters", "lab");
    let SandboxState { arm, entropy, .. } = sandbox;
    let larger = json!("10.244.0.0/15");
    arm.modify(
        &id,
        |body| {
            let network = &mut body["properties"]["networkProfile"];
            network["podCidr"] = larger.clone();
            network["podCidrs"] = json!([larger]);
        },
        &mut || entropy.next_guid(),
    );
}

/// Another owner attaches its route table to the subnet of AKS's nodes.
fn attach_firewall(sandbox: &mut SandboxState) {
    let SandboxState { arm, entropy, .. } = sandbox;
    let table = ArmId::resource_group(arm::SUBSCRIPTION, "theirs")
        .in_group("Microsoft.Network/routeTables", "firewall");
    let route = json!({ "name": "default", "properties": { "addressPrefix": "0.0.0.0/0",
        "nextHopType": "VirtualAppliance", "nextHopIpAddress": "10.100.0.4" } });
    let body = json!({ "location": "westeurope", "properties": {
        "provisioningState": "Succeeded", "routes": [route] } });
    arm.upsert(&table, body, &mut || entropy.next_guid());
    let networks = arm.list("Microsoft.Network/virtualNetworks");
    let of_aks = networks.map(|(id, _)| id.clone()).find(|id| id.name().starts_with("aks-vnet"));
    let attach = |body: &mut serde_json::Value| {
        for subnet in body["properties"]["subnets"].as_array_mut().unwrap() {
            if subnet["name"] == "aks-subnet" {
                subnet["properties"]["routeTable"] = json!({ "id": table });
            }
        }
    };
    arm.modify(&of_aks.unwrap(), attach, &mut || entropy.next_guid());
}

const EXISTING_TABLE: &[Assignment] = &[("cluster.route_table", "'existing'")];
const CLUSTER: &[&str] = &["managed-cluster/cluster/lab"];
const CLUSTER_GROUP: &[&str] = &["resource-group/cluster/lab"];
const SUBSCRIPTION: &str = "'5a6d0c1e-0000-4000-8000-000000000001'";
pub(super) const SETTINGS: &[Edit] = &[
    other(&[("stargate.name", "'other'")]),
    edit("the subscription of `AZURE_SUBSCRIPTION_ID`", &[("azure.subscription", SUBSCRIPTION)]),
    edit(
        "another subscription",
        &[("azure.subscription", "'11111111-2222-3333-4444-555555555555'")],
    ),
    other(&[("azure.location", "'canadacentral'")])
        .from(UNPROTECTED)
        .naming(&["resource-group/cluster/lab", "resource-group/cloud/lab-cloud"]),
    other(&[("azure.cloud", "'usgovernment'")]),
    other(&[("azure.endpoints.resource_manager", "'https://management.example'")]),
    other(&[("azure.endpoints.authority", "'https://login.example'")]),
    other(&[("azure.endpoints.audience", "'https://management.example'")]),
    edit("the name of the credential's tailnet", &[("tailnet.name", "'example.com'")]),
    other(&[("tailnet.api", "'https://headscale.example'")]),
    edit("another value than the default", &[("tailnet.tag", "'tag:other'")])
        .prepared(|it| it.tailnet.policy_mut().add_tag("tag:other")),
    edit(
        "another value, in place of one that is not the default",
        &[("tailnet.tag", "'tag:other'")],
    )
    .from(&[("tailnet.tag", "'tag:first'")])
    .prepared(|it| it.tailnet.policy_mut().add_tag("tag:other")),
    other(&[("ssh.user", "'jane'")]),
    other(&[("ssh.port", "2222")]),
    other(&[(
        "ssh.public_key",
        "'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFN0YXJnYXRlVGVzdEtleU5vdEZvclVzZUFueXd other'",
    )]),
    other(&[("ssh.identity_files", "['~/.ssh/other']")]),
    other(&[("ssh.known_hosts", "'known_hosts'")]),
    other(&[("ssh.host_keys", "'known-hosts'")]),
    edit("`preserve` or `masquerade`", &[("network.source_addresses", "'preserve'")]),
    edit("`true`", &[("network.route_manager", "true")]),
    edit("`false`", &[("network.goldpinger", "false")]),
    other(&[("rollout.canary", "2")]),
    other(&[("rollout.width", "2")]),
    other(&[("rollout.max_failures", "1")]),
    other(&[("rollout.drain_seconds", "60")]),
    other(&[("watch.apply", "'all'")]),
    other(&[("watch.interval_seconds", "60")]),
    other(&[("watch.max_removals", "5")]),
    other(&[("ignore", RULE)]).of("ignore[].address"),
    other(&[("ignore", RULE)]).of("ignore[].field"),
    other(&[("ignore", RULE)]).of("ignore[].reason"),
    other(&[("ignore", RULE)]).of("ignore[].until"),
];

pub(super) const CLUSTER_EDITS: &[Edit] = &[
    edit("`true`", &[("cluster.existing", "true"), ("cluster.node_pools", "")]),
    other(&[("cluster.name", "'renamed'")]).from(UNPROTECTED).naming(CLUSTER),
    other(&[("cluster.resource_group", "'lab2'")]).from(UNPROTECTED).naming(CLUSTER_GROUP),
    edit("a newer patch", &[("cluster.kubernetes_version", "'1.33.7'")]),
    edit("the next minor version", &[("cluster.kubernetes_version", "'1.34'")]),
    edit("its own minor version", &[("cluster.kubernetes_version", "'1.33'")]),
    edit("an older version", &[("cluster.kubernetes_version", "'1.33.4'")]),
    edit("a version after the next minor version", &[("cluster.kubernetes_version", "'1.35'")]),
    other(&[("cluster.tier", "'premium'")]),
    edit(
        "another one than `premium` while the cluster keeps long-term support",
        &[("cluster.tier", "'standard'"), ("cluster.support_plan", "")],
    )
    .from(&[("cluster.tier", "'premium'"), ("cluster.support_plan", "'AKSLongTermSupport'")]),
    edit("removed", &[("cluster.tier", "")]),
    other(&[("cluster.support_plan", "'AKSLongTermSupport'"), ("cluster.tier", "'premium'")]),
    edit("removed", &[("cluster.support_plan", "")]),
    edit("`existing`", EXISTING_TABLE),
    edit("`existing`, where a subnet has the table of another owner", EXISTING_TABLE)
        .prepared(attach_firewall),
    edit(
        "`own`, where a subnet has the table of another owner",
        &[("cluster.route_table", "'own'")],
    )
    .from(EXISTING_TABLE)
    .prepared(attach_firewall),
    other(&[
        ("cluster.pod_cidr", "'10.246.0.0/16'"),
        ("datacenters.cloud.pod_pool", "'10.246.64.0/20'"),
        ("datacenters.attic.pod_pool", "'10.246.128.0/20'"),
        ("datacenters.vault.pod_pool", "'10.246.160.0/20'"),
        ("datacenters.cloud.worker_range.first_pod_cidr", "'10.246.72.0/24'"),
        ("datacenters.attic.worker_range.first_pod_cidr", "'10.246.136.0/24'"),
    ])
    .from(UNPROTECTED)
    .naming(CLUSTER),
    edit("a larger prefix that contains it", &[("cluster.pod_cidr", "'10.244.0.0/15'")])
        .from(UNPROTECTED)
        .naming(CLUSTER),
    edit(
        "the prefix of the cluster after `az aks update --pod-cidr`",
        &[("cluster.pod_cidr", "'10.244.0.0/15'")],
    )
    .prepared(expand_pod_cidr),
    other(&[("cluster.service_cidr", "'10.1.0.0/16'")]).from(UNPROTECTED).naming(CLUSTER),
    edit("`true`", &[("cluster.protect", "true")]),
    other(&[("cluster.router.name", "'lab-router-2'")]),
    other(&[("cluster.router.subnet_cidr", "'10.236.0.0/24'")])
        .naming(&["subnet/cluster/stargate-aks-router-subnet"]),
    other(&[("cluster.router.vm_size", "'Standard_D4s_v5'")]),
    edit("`true`", &[("cluster.router.protect", "true")]),
];

pub(super) const NODE_POOLS: &[Edit] = &[
    edit("a higher number", &[("cluster.node_pools.system.count", "3")]),
    edit("a lower number", &[("cluster.node_pools.system.count", "1")]),
    edit(
        "`min` and `max` in its place",
        &[
            ("cluster.node_pools.system.count", ""),
            ("cluster.node_pools.system.min", "2"),
            ("cluster.node_pools.system.max", "4"),
        ],
    ),
    other(&[("cluster.node_pools.apps.min", "2")]),
    other(&[("cluster.node_pools.apps.max", "5")]),
    other(&[("cluster.node_pools.system.vm_size", "'Standard_D8s_v5'")]),
    edit("`system`", &[("cluster.node_pools.apps.mode", "'system'")]),
    edit("`user`, for the only system pool", &[("cluster.node_pools.system.mode", "'user'")]),
    other(&[("cluster.node_pools.apps.labels", "{ 'example.com/team' = 'green' }")]),
    edit("removed", &[("cluster.node_pools.apps.labels", "")]),
    other(&[("cluster.node_pools.apps.taints", "['example.com/team=green:NoSchedule']")]),
    edit("removed", &[("cluster.node_pools.apps.taints", "")]),
    other(&[("cluster.node_pools.system.max_surge", "'2'")]),
    edit("removed", &[("cluster.node_pools.system.max_surge", "")]),
    other(&[("cluster.node_pools.system.max_pods", "60")]),
    edit("removed", &[("cluster.node_pools.system.max_pods", "")]),
    other(&[("cluster.node_pools.system.os_disk_gb", "256")]),
    edit("removed", &[("cluster.node_pools.system.os_disk_gb", "")]),
    other(&[("cluster.node_pools.system.zones", "['1', '2']")]),
    edit("removed", &[("cluster.node_pools.system.zones", "")]),
    edit("removed", &[("cluster.node_pools.apps", "")]).of("[cluster.node_pools.<name>]"),
    edit("renamed", &[("cluster.node_pools.batch", "@cluster.node_pools.apps")])
        .of("[cluster.node_pools.<name>]"),
    edit("removed, with all others", &[("cluster.node_pools", "")])
        .of("[cluster.node_pools.<name>]"),
];

pub(super) const PROFILES: &[Edit] = &[
    edit("a newer version", &[("profiles.standard.kubernetes_version", "'1.33.5'")]),
    edit("an older version", &[("profiles.standard.kubernetes_version", "'1.33.3'")]),
    edit(
        "the minor version of the control plane",
        &[("profiles.standard.kubernetes_version", "'1.33'")],
    ),
    edit(
        "a minor version after the control plane's",
        &[("profiles.standard.kubernetes_version", "'1.34'")],
    ),
    edit("`containerd`", &[("profiles.standard.container_runtime", "'containerd'")]),
    edit("`upstream` or `preinstalled`", &[("profiles.standard.packages", "'preinstalled'")]),
    edit("`false`", &[("profiles.standard.managed_cilium", "false")]),
    other(&[("profiles.standard.labels", "{ 'example.com/site' = 'far' }")]),
    edit("removed", &[("profiles.standard.labels", "")]),
    other(&[("profiles.standard.taints", "['site=far:NoSchedule']")]),
    edit("removed", &[("profiles.standard.taints", "")]),
    other(&[("profiles.standard.max_pods", "80")]),
    edit("removed", &[("profiles.standard.max_pods", "")]),
    edit("removed while workers use it", &[("profiles.other", "")]).of("[profiles.<name>]"),
    edit(
        "renamed, with the references to it",
        &[
            ("profiles.second", "@profiles.other"),
            ("datacenters.cloud.workers[1].profile", "'second'"),
        ],
    )
    .of("[profiles.<name>]"),
];
