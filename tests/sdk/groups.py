"""Resource groups, and the lists of what is in them."""

import contextlib

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError

LOCATION = "canadacentral"
NAME = "sdk-group"
# More than the sandbox puts on one page.
MANY = 230


@contextlib.contextmanager
def made(checks, clients):
    """A group that is made, changed and, at the end, deleted with all in it."""
    groups = clients.resources.resource_groups
    with checks.refused(
        "a group that is not there is not found",
        ResourceNotFoundError,
        404,
        "ResourceGroupNotFound",
    ):
        groups.get(NAME)
    checks.equal("a group that is not there does not exist", groups.check_existence(NAME), False)
    group = groups.create_or_update(NAME, {"location": "Canada Central", "tags": {"a": "1"}})
    checks.equal("a group is made at once", group.properties.provisioning_state, "Succeeded")
    checks.equal("a region is written without capitals and spaces", group.location, LOCATION)
    checks.equal("a group that is there exists", groups.check_existence(NAME), True)
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
    checks.equal("a deleted group is gone", groups.check_existence(NAME), False)
    with checks.refused(
        "what was in a deleted group is gone", ResourceNotFoundError, 404, "ResourceGroupNotFound"
    ):
        list(clients.network.route_tables.list(NAME))


def check_pages(checks, clients, group):
    """Lists of more than one page are read to their end."""
    tables = clients.network.route_tables
    body = {"location": LOCATION, "tags": {"paged": "yes"}}
    for number in range(MANY):
        tables.begin_create_or_update(group, f"paged-{number}", body, polling=False)
    pages = [len(list(page)) for page in tables.list(group).by_page()]
    checks.that("a long list comes in pages", len(pages) > 1, pages)
    checks.equal("the pages hold all of it", sum(pages), MANY)
    names = {table.name for table in tables.list_all() if table.name.startswith("paged-")}
    checks.equal("the list of the subscription holds them too", len(names), MANY)
    found = clients.resources.resources.list_by_resource_group(
        group, filter="tagName eq 'paged' and tagValue eq 'yes'"
    )
    kinds = {one.type for one in found}
    checks.equal("resources are found by their tags", kinds, {"Microsoft.Network/routeTables"})
    with checks.refused(
        "a filter that is none is refused", HttpResponseError, 400, "InvalidFilterInQueryString"
    ):
        list(clients.resources.resources.list(filter="colour eq 'red'"))
