"""Microsoft's own Python SDK against the sandbox's Azure.

    microsoft_sdk.py FILE

FILE holds the line that `stargate sandbox serve` prints. The sandbox must hold
an applied topology with one AKS cluster. What is made here is taken away again.
"""

import json
import sys
import time

import clusters
import groups
import machines
import networks
from azure.core.exceptions import ClientAuthenticationError, ServiceRequestError
from azure.core.credentials import AccessToken
from azure.identity import ClientSecretCredential
from azure.mgmt.compute import ComputeManagementClient
from azure.mgmt.containerservice import ContainerServiceClient
from azure.mgmt.network import NetworkManagementClient
from azure.mgmt.resource.resources import ResourceManagementClient
from checks import Checks

TENANT = "7e6a0c1e-0000-4000-8000-000000000002"


class FixedToken:
    """A credential with a constant token."""

    def __init__(self, word):
        self.word = word

    def get_token(self, *_scopes, **_options):
        return AccessToken(self.word, int(time.time()) + 3600)


class Clients:
    """The four clients of one subscription."""

    def __init__(self, served, subscription, credential, **more):
        options = {
            "base_url": served["azure"],
            "credential_scopes": [f"{served['azure']}/.default"],
            "connection_verify": served["certificate"],
            **more,
        }
        self.subscription = subscription
        self.network = NetworkManagementClient(credential, subscription, **options)
        self.compute = ComputeManagementClient(credential, subscription, **options)
        self.containers = ContainerServiceClient(credential, subscription, **options)
        self.resources = ResourceManagementClient(credential, subscription, **options)


def secret(served):
    """A service principal, whose token the sandbox issues."""
    return ClientSecretCredential(
        TENANT,
        "client",
        "secret",
        authority=served["azure"],
        disable_instance_discovery=True,
        connection_verify=served["certificate"],
    )


def authentication(checks, served, subscription):
    """Authentication, and validation of the server certificate."""
    bad = Clients(served, subscription, FixedToken("refused"))
    with checks.refused(
        "a bad token is refused",
        ClientAuthenticationError,
        401,
        "InvalidAuthenticationToken",
    ):
        list(bad.resources.resource_groups.list())
    stranger = Clients(
        served, subscription, FixedToken("sandbox"), connection_verify=True, retry_total=0
    )
    try:
        list(stranger.resources.resource_groups.list())
        checks.that("a certificate of an unknown authority is refused", False, "an answer")
    except ServiceRequestError as error:
        refused = "CERTIFICATE_VERIFY_FAILED" in str(error)
        checks.that("a certificate of an unknown authority is refused", refused, str(error))


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        served = json.loads(file.readline())
    subscription = sys.argv[2]
    checks = Checks()
    clients = Clients(served, subscription, secret(served))
    authentication(checks, served, subscription)
    clusters.check(checks, clients, served)
    with groups.made(checks, clients) as group:
        networks.check(checks, clients, group)
        machines.check(checks, clients, group)
        groups.check_pages(checks, clients, group)
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
