"""Resource groups, and the lists of their contents."""

import contextlib

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

LOCATION = "canadacentral"
NAME = "sdk-group"
# More than one page of the sandbox.
MANY = 230


@contextlib.contextmanager
def made(checks, clients):
    """Creates and changes a group, and finally deletes it with its contents."""
    groups = clients.resources.resource_groups
    with checks.refused(
        "a missing group is not found",
        ResourceNotFoundError,
        404,
        "ResourceGroupNotFound",
    ):
        groups.get(NAME)
    checks.equal("a missing group does not exist", groups.check_existence(NAME), False)
    group = groups.create_or_update(NAME, {"location": "Canada Central", "tags": {"a": "1"}})
    checks.equal("a group is created synchronously", group.properties.provisioning_state, "Succeeded")
    checks.equal("a region is written without capitals and spaces", group.location, LOCATION)
    checks.equal("an existing group exists", groups.check_existence(NAME), True)
    with checks.refused(
        "a group does not move", ResourceExistsError, 409, "InvalidResourceGroupLocation"
    ):
        groups.create_or_update(NAME, {"location": "westeurope"})
    updated = groups.update(NAME, {"tags": {"a": "2"}})
    checks.equal("a group's tags change", updated.tags, {"a": "2"})
    tagged = groups.list(filter="tagName eq 'a' and tagValue eq '2'")
    checks.equal("groups are found by their tags", [one.name for one in tagged], [NAME])
    yield NAME
    groups.begin_delete(NAME).result()
    checks.equal("a deleted group does not exist", groups.check_existence(NAME), False)
    with checks.refused(
        "the contents of a deleted group are deleted", ResourceNotFoundError, 404, "ResourceGroupNotFound"
    ):
        list(clients.network.route_tables.list(NAME))


def check_pages(checks, clients, group):
    """The SDK reads all pages of a list."""
    tables = clients.network.route_tables
    body = {"location": LOCATION, "tags": {"paged": "yes"}}
    for number in range(MANY):
        tables.begin_create_or_update(group, f"paged-{number}", body, polling=False)
    pages = [len(list(page)) for page in tables.list(group).by_page()]
    checks.that("a long list is paginated", len(pages) > 1, pages)
    checks.equal("the pages contain all items", sum(pages), MANY)
    names = {table.name for table in tables.list_all() if table.name.startswith("paged-")}
    checks.equal("the list of the subscription contains them, too", len(names), MANY)
    found = clients.resources.resources.list_by_resource_group(
        group, filter="tagName eq 'paged' and tagValue eq 'yes'"
    )
    kinds = {one.type for one in found}
    checks.equal("resources are found by their tags", kinds, {"Microsoft.Network/routeTables"})
    with checks.refused(
        "an invalid filter is refused", HttpResponseError, 400, "InvalidFilterInQueryString"
    ):
        list(clients.resources.resources.list(filter="color eq 'red'"))
