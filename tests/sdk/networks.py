"""Route tables, networks, subnets and interfaces."""

import time

from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

LOCATION = "canadacentral"
# The interval of the SDK's polls without a Retry-After.
SDK_PAUSE = 30


def route(name, prefix, hop):
    return {
        "name": name,
        "properties": {
            "addressPrefix": prefix,
            "nextHopType": "VirtualAppliance",
            "nextHopIpAddress": hop,
        },
    }


def check(checks, clients, group):
    """Checks all of them in the order of their dependencies."""
    table = route_table(checks, clients, group)
    conditions(checks, clients, group)
    subnet = network(checks, clients, group, table)
    contention(checks, clients, group, table)
    interface(checks, clients, group, subnet)
    in_use(checks, clients, group)
    deletions(checks, clients, group)


def route_table(checks, clients, group):
    tables, routes = clients.network.route_tables, clients.network.routes
    with checks.refused(
        "a table that is not there is not found", ResourceNotFoundError, 404, "ResourceNotFound"
    ):
        tables.get(group, "table")
    body = {
        "location": LOCATION,
        "properties": {"routes": [route("one", "10.9.0.0/16", "10.1.1.4")]},
    }
    poller = tables.begin_create_or_update(group, "table", body)
    made = poller.result()
    checks.equal("the poller of a table ends well", poller.status(), "Succeeded")
    checks.equal("the result is the finished table", made.provisioning_state, "Succeeded")
    checks.equal("a table has its route", [one.name for one in made.routes], ["one"])
    checks.that("the service adds what was left out", made.resource_guid is not None)
    added = routes.begin_create_or_update(
        group, "table", "two", route("two", "100.64.0.0/10", "10.1.1.4")
    ).result()
    checks.equal("a route is made by itself", added.address_prefix, "100.64.0.0/10")
    listed = [one.name for one in routes.list(group, "table")]
    checks.equal("a table lists its routes", listed, ["one", "two"])
    with checks.refused(
        "two routes of one range are refused", HttpResponseError, 400, "RouteConflict"
    ):
        routes.begin_create_or_update(
            group, "table", "three", route("three", "10.9.0.0/16", "10.1.1.5")
        )
    routes.begin_delete(group, "table", "two").result()
    with checks.refused("a deleted route is gone", ResourceNotFoundError, 404, "NotFound"):
        routes.get(group, "table", "two")
    return made


def conditions(checks, clients, group):
    """Conditional writes with headers."""
    tables = clients.network.route_tables
    before = tables.get(group, "table")
    after = tables.update_tags(group, "table", {"tags": {"a": "b"}})
    checks.equal("tags are updated at once", after.tags, {"a": "b"})
    checks.that("an update changes the etag", before.etag != after.etag, before.etag)
    for name, error_map, kind in [
        ("as the SDK says of itself", None, HttpResponseError),
        ("as a caller maps it", {412: ResourceModifiedError}, ResourceModifiedError),
    ]:
        with checks.refused(f"an old etag is refused, {name}", kind, 412, "PreconditionFailed"):
            tables.begin_create_or_update(
                group,
                "table",
                before,
                headers={"If-Match": before.etag},
                error_map=error_map,
            )
    written = tables.begin_create_or_update(
        group, "table", after, headers={"If-Match": after.etag}
    ).result()
    checks.equal("the current etag is accepted", written.tags, {"a": "b"})


def network(checks, clients, group, table):
    networks, subnets = clients.network.virtual_networks, clients.network.subnets
    made = networks.begin_create_or_update(
        group,
        "network",
        {"location": LOCATION, "properties": {"addressSpace": {"addressPrefixes": ["10.1.0.0/16"]}}},
    ).result()
    checks.equal("a network is created", made.provisioning_state, "Succeeded")
    subnet = subnets.begin_create_or_update(
        group,
        "network",
        "subnet",
        {"properties": {"addressPrefix": "10.1.1.0/24", "routeTable": {"id": table.id}}},
    ).result()
    checks.equal("a subnet has its table", subnet.route_table.id, table.id)
    users = [one.id for one in clients.network.route_tables.get(group, "table").subnets]
    checks.equal("a table lists its subnets", users, [subnet.id])
    with checks.refused(
        "subnets do not overlap", HttpResponseError, 400, "NetcfgSubnetRangesOverlap"
    ):
        subnets.begin_create_or_update(
            group, "network", "other", {"properties": {"addressPrefix": "10.1.1.128/25"}}
        )
    with checks.refused(
        "a referenced object must exist", HttpResponseError, 400, "InvalidResourceReference"
    ):
        subnets.begin_create_or_update(
            group,
            "network",
            "other",
            {
                "properties": {
                    "addressPrefix": "10.1.2.0/24",
                    "routeTable": {"id": f"{table.id}-missing"},
                }
            },
        )
    return subnet


def contention(checks, clients, group, table):
    """Writes during another write."""
    network = clients.network
    pending = network.subnets.begin_create_or_update(
        group,
        "network",
        "first",
        {"properties": {"addressPrefix": "10.1.8.0/24"}},
        polling=False,
    )
    checks.equal("a write answers before it ends", pending.result().provisioning_state, "Updating")
    second = {"properties": {"addressPrefix": "10.1.9.0/24", "routeTable": {"id": table.id}}}
    with checks.refused(
        "one write at a time below one network",
        ResourceExistsError,
        409,
        "AnotherOperationInProgress",
    ):
        network.subnets.begin_create_or_update(group, "network", "second", second)
    network.route_tables.begin_create_or_update(group, "table", table, polling=False)
    # The sandbox answers 429 to the first attempt, and the SDK retries.
    statuses = []
    made = network.subnets.begin_create_or_update(
        group,
        "network",
        "second",
        second,
        raw_response_hook=lambda answer: statuses.append(answer.http_response.status_code),
    ).result()
    checks.equal("a write that was refused is retried", made.provisioning_state, "Succeeded")
    checks.equal("it was refused once", statuses[:2], [429, 201])
    for name in ("first", "second"):
        network.subnets.begin_delete(group, "network", name).result()


def interface(checks, clients, group, subnet):
    interfaces = clients.network.network_interfaces
    body = {
        "location": LOCATION,
        "properties": {
            "enableIPForwarding": True,
            "ipConfigurations": [{"name": "one", "properties": {"subnet": {"id": subnet.id}}}],
        },
    }
    made = interfaces.begin_create_or_update(group, "interface", body).result()
    checks.equal("an interface forwards", made.enable_ip_forwarding, True)
    address = made.ip_configurations[0].private_ip_address
    checks.equal("the first address of a subnet is the fourth", address, "10.1.1.4")
    made.enable_ip_forwarding = False
    changed = interfaces.begin_create_or_update(group, "interface", made).result()
    checks.equal("forwarding is disabled", changed.enable_ip_forwarding, False)
    changed.enable_ip_forwarding = True
    interfaces.begin_create_or_update(group, "interface", changed).result()
    tagged = interfaces.update_tags(group, "interface", {"tags": {"a": "b"}})
    checks.equal("an update of tags changes nothing else", (tagged.tags, tagged.enable_ip_forwarding), ({"a": "b"}, True))
    names = [one.name for one in interfaces.list(group)]
    checks.equal("a group lists its interfaces", names, ["interface"])
    effective = interfaces.begin_get_effective_route_table(group, "interface").result()
    seen = {
        (one.address_prefix[0], one.source, one.state)
        for one in effective.value
        if one.address_prefix[0] in ("10.9.0.0/16", "100.64.0.0/10")
    }
    expected = {("10.9.0.0/16", "User", "Active"), ("100.64.0.0/10", "Default", "Active")}
    checks.equal("the effective routes hold the table's and the fabric's", seen, expected)


def in_use(checks, clients, group):
    """Objects in use are not deleted."""
    network = clients.network
    for what, delete, code in [
        (
            "a table",
            lambda: network.route_tables.begin_delete(group, "table"),
            "InUseRouteTableCannotBeDeleted",
        ),
        (
            "a subnet",
            lambda: network.subnets.begin_delete(group, "network", "subnet"),
            "InUseSubnetCannotBeDeleted",
        ),
        (
            "a network",
            lambda: network.virtual_networks.begin_delete(group, "network"),
            "InUseSubnetCannotBeDeleted",
        ),
    ]:
        with checks.refused(f"{what} in use is not deleted", HttpResponseError, 400, code):
            delete()


def deletions(checks, clients, group):
    """Deletes all in reverse order, and one of them twice."""
    network = clients.network
    network.network_interfaces.begin_delete(group, "interface").result()
    network.subnets.begin_delete(group, "network", "subnet").result()
    network.route_tables.begin_delete(group, "table").result()
    with checks.refused(
        "a deleted table is not found", ResourceNotFoundError, 404, "ResourceNotFound"
    ):
        network.route_tables.get(group, "table")
    again = network.route_tables.begin_delete(group, "table")
    again.result()
    checks.equal("a deleted table can be deleted again", again.status(), "Succeeded")
    left = [one.name for one in network.virtual_networks.list(group)]
    checks.equal("a network without subnets is kept", left, ["network"])
    began = time.monotonic()
    network.virtual_networks.begin_delete(group, "network").result()
    took = time.monotonic() - began
    checks.that("a poller gets a Retry-After", took < SDK_PAUSE, took)
    checks.equal("and it is deleted", list(network.virtual_networks.list(group)), [])
