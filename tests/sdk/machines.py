"""Virtual machines."""

from azure.core import MatchConditions
from azure.core.exceptions import (
    HttpResponseError,
    ResourceExistsError,
    ResourceModifiedError,
    ResourceNotFoundError,
)

LOCATION = "canadacentral"


def body(interface):
    return {
        "location": LOCATION,
        "properties": {
            "hardwareProfile": {"vmSize": "Standard_D2s_v5"},
            "storageProfile": {
                "imageReference": {
                    "publisher": "Canonical",
                    "offer": "ubuntu-24_04-lts",
                    "sku": "server",
                    "version": "latest",
                },
                "osDisk": {"createOption": "FromImage", "deleteOption": "Delete"},
            },
            "osProfile": {
                "computerName": "machine",
                "adminUsername": "ubuntu",
                "adminPassword": "marked-Secret-1",
                "customData": "I2Nsb3VkLWNvbmZpZwo=",
            },
            "networkProfile": {"networkInterfaces": [{"id": interface.id}]},
        },
    }


def check(checks, clients, group):
    """The life cycle of a machine."""
    interface = prerequisites(clients, group)
    create(checks, clients, group, interface)
    conditions(checks, clients, group)
    change(checks, clients, group)
    delete(checks, clients, group)


def prerequisites(clients, group):
    """Creates the prerequisites of a machine."""
    subnet = {"name": "machines", "properties": {"addressPrefix": "10.2.1.0/24"}}
    space = {"addressSpace": {"addressPrefixes": ["10.2.0.0/16"]}, "subnets": [subnet]}
    network = clients.network.virtual_networks.begin_create_or_update(
        group, "machines", {"location": LOCATION, "properties": space}
    ).result()
    configuration = {"name": "one", "properties": {"subnet": {"id": network.subnets[0].id}}}
    return clients.network.network_interfaces.begin_create_or_update(
        group,
        "machine",
        {
            "location": LOCATION,
            "properties": {"enableIPForwarding": True, "ipConfigurations": [configuration]},
        },
    ).result()


def create(checks, clients, group, interface):
    machines = clients.compute.virtual_machines
    with checks.refused(
        "a missing machine is not found", ResourceNotFoundError, 404, "ResourceNotFound"
    ):
        machines.get(group, "machine")
    poller = machines.begin_create_or_update(group, "machine", body(interface))
    made = poller.result()
    checks.equal("a machine is created", made.provisioning_state, "Succeeded")
    checks.equal("a password is never returned", made.os_profile.admin_password, None)
    checks.equal("nor is the custom data", made.os_profile.custom_data, None)
    disk = made.storage_profile.os_disk.managed_disk.id
    checks.that("it has its own disk", disk is not None and "/disks/" in disk, disk)
    user = clients.network.network_interfaces.get(group, "machine").virtual_machine
    checks.equal("its interface refers to the machine", user and user.id, made.id)
    with checks.refused(
        "an interface in use is not deleted", HttpResponseError, 400, "NicInUse"
    ):
        clients.network.network_interfaces.begin_delete(group, "machine")
    names = [one.name for one in machines.list(group)]
    checks.equal("a group lists its machines", names, ["machine"])
    everywhere = [one.name for one in machines.list_all()]
    checks.that("the list of the subscription contains it", "machine" in everywhere, everywhere)


def conditions(checks, clients, group):
    """Conditional writes with the SDK's parameters."""
    machines = clients.compute.virtual_machines
    before = machines.get(group, "machine")
    checks.that("a machine has an etag", bool(before.etag), before.etag)
    patched = machines.begin_update(
        group,
        "machine",
        {"tags": {"a": "b"}},
        etag=before.etag,
        match_condition=MatchConditions.IfNotModified,
    ).result()
    checks.equal("the current etag is accepted", patched.tags, {"a": "b"})
    with checks.refused(
        "an old etag is refused", ResourceModifiedError, 412, "PreconditionFailed"
    ):
        machines.begin_update(
            group,
            "machine",
            {"tags": {"a": "c"}},
            etag=before.etag,
            match_condition=MatchConditions.IfNotModified,
        )
    checks.equal("and nothing changed", machines.get(group, "machine").tags, {"a": "b"})


def change(checks, clients, group):
    machines = clients.compute.virtual_machines
    whole = machines.get(group, "machine")
    whole.hardware_profile.vm_size = "Standard_D4s_v5"
    resized = machines.begin_create_or_update(group, "machine", whole).result()
    checks.equal("a machine is resized", resized.hardware_profile.vm_size, "Standard_D4s_v5")
    whole.os_profile.admin_username = "other"
    with checks.refused(
        "its user is immutable", ResourceExistsError, 409, "PropertyChangeNotAllowed"
    ):
        machines.begin_create_or_update(group, "machine", whole)


def delete(checks, clients, group):
    machine = clients.compute.virtual_machines.get(group, "machine")
    disk = machine.storage_profile.os_disk.name
    checks.equal("its disk is there", clients.compute.disks.get(group, disk).managed_by, machine.id)
    clients.compute.virtual_machines.begin_delete(group, "machine").result()
    with checks.refused(
        "a deleted machine is not found", ResourceNotFoundError, 404, "ResourceNotFound"
    ):
        clients.compute.virtual_machines.get(group, "machine")
    with checks.refused(
        "its disk is deleted with it", ResourceNotFoundError, 404, "ResourceNotFound"
    ):
        clients.compute.disks.get(group, disk)
    freed = clients.network.network_interfaces.get(group, "machine")
    checks.equal("its interface is detached", freed.virtual_machine, None)
    clients.network.network_interfaces.begin_delete(group, "machine").result()
