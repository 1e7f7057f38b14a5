"""The AKS cluster of the applied topology."""

import json

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceModifiedError,
    ResourceNotFoundError,
)


def check(checks, clients, served):
    """Reads the cluster, and writes its tags and a pool."""
    containers = clients.containers
    listed = list(containers.managed_clusters.list())
    checks.equal("there is one cluster", len(listed), 1)
    cluster = listed[0]
    group = cluster.id.split("/")[4]
    read(checks, clients, group, cluster)
    credentials(checks, containers, group, cluster.name, served)
    conditions(checks, containers, group, cluster.name)
    pools(checks, containers, group, cluster.name)
    with checks.refused(
        "a cluster that is not there is not found", ResourceNotFoundError, 404, "ResourceNotFound"
    ):
        containers.managed_clusters.get(group, "missing")


def read(checks, clients, group, listed):
    cluster = clients.containers.managed_clusters.get(group, listed.name)
    checks.equal("it is ready", cluster.provisioning_state, "Succeeded")
    checks.equal("it runs", cluster.power_state.code, "Running")
    mode = (cluster.network_profile.network_plugin, cluster.network_profile.network_plugin_mode)
    checks.equal("its network is an overlay", mode, ("azure", "overlay"))
    names = [one.name for one in clients.containers.managed_clusters.list_by_resource_group(group)]
    checks.equal("its group lists it", names, [cluster.name])
    node_group = clients.resources.resource_groups.get(cluster.node_resource_group)
    checks.equal(
        "its node group is managed by it", node_group.managed_by.lower(), cluster.id.lower()
    )
    networks = list(clients.network.virtual_networks.list(cluster.node_resource_group))
    checks.equal("its node group has its network", len(networks), 1)


def credentials(checks, containers, group, name, served):
    found = containers.managed_clusters.list_cluster_user_credentials(group, name).kubeconfigs
    checks.equal("it returns credentials", [one.name for one in found], ["clusterUser"])
    text = bytes(found[0].value).decode()
    host = served["kubernetes"].split("//")[1]
    checks.that("they name the sandbox's API server", host in text, text)
    with open(served["kubeconfig"], encoding="utf-8") as file:
        token = json.load(file)["users"][0]["user"]["token"]
    checks.that("with the token of the served kubeconfig", bool(token) and token in text)


def conditions(checks, containers, group, name):
    clusters = containers.managed_clusters
    before = clusters.get(group, name)
    checks.that("it has an etag", bool(before.e_tag), before.e_tag)
    tags = dict(before.tags or {})
    tagged = clusters.begin_update_tags(group, name, {"tags": {**tags, "sdk": "yes"}}).result()
    checks.equal("its tags are updated", (tagged.tags or {}).get("sdk"), "yes")
    with checks.refused(
        "an old etag is refused", ResourceModifiedError, 412, "PreconditionFailed"
    ):
        clusters.begin_create_or_update(
            group,
            name,
            before,
            etag=before.e_tag,
            match_condition=MatchConditions.IfNotModified,
        )
    back = clusters.begin_update_tags(group, name, {"tags": tags}).result()
    checks.equal("and set back", dict(back.tags or {}), tags)


def pools(checks, containers, group, name):
    pools = containers.agent_pools
    first = [one.name for one in pools.list(group, name)]
    checks.equal("it has its pool", first, ["nodepool1"])
    made = pools.begin_create_or_update(
        group,
        name,
        "sdkpool",
        {"properties": {"count": 1, "vmSize": "Standard_D2s_v5", "mode": "User"}},
    ).result()
    checks.equal("a pool is made", (made.count, made.provisioning_state), (1, "Succeeded"))
    with checks.refused(
        "the last system pool is not deleted", HttpResponseError, 400, "OperationNotAllowed"
    ):
        pools.begin_delete(group, name, "nodepool1")
    pools.begin_delete(group, name, "sdkpool").result()
    left = [one.name for one in pools.list(group, name)]
    checks.equal("a deleted pool is gone", left, ["nodepool1"])
    with checks.refused(
        "a pool that is not there is not found", ResourceNotFoundError, 404, "NotFound"
    ):
        pools.get(group, name, "missing")
