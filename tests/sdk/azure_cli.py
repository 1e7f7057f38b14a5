"""azure-cli in this process: starting a process for each command would take most of the time."""

import io
import os
import sys
import tempfile


class AzureCli:
    """azure-cli, signed in to the sandbox. It has a configuration of its own."""

    def __init__(self, served, folder):
        self.errors = io.StringIO()
        self.served = served
        os.environ.update(
            AZURE_CONFIG_DIR=tempfile.mkdtemp(prefix="azure-", dir=folder),
            AZURE_CORE_COLLECT_TELEMETRY="false",
            AZURE_CORE_INSTANCE_DISCOVERY="false",
            AZURE_CORE_LOGIN_EXPERIENCE_V2="false",
            AZURE_CORE_NO_COLOR="true",
            AZURE_CORE_ONLY_SHOW_ERRORS="true",
            REQUESTS_CA_BUNDLE=served["certificate"],
        )
        # The logger of azure-cli keeps the stream that it finds first.
        shown, sys.stderr = sys.stderr, self.errors
        try:
            from azure.cli.core import get_default_cli
        finally:
            sys.stderr = shown
        self.make = get_default_cli

    def run(self, arguments):
        """Runs a command; returns its exit code, its output and its errors."""
        output = io.StringIO()
        self.errors.seek(0)
        self.errors.truncate()
        shown, sys.stderr = sys.stderr, self.errors
        try:
            code = self.make().invoke(arguments, out_file=output)
        except SystemExit as end:
            code = end.code
        finally:
            sys.stderr = shown
        return code or 0, output.getvalue(), self.errors.getvalue()

    def sign_in(self):
        """Registers the sandbox as a cloud, and signs in as a service principal."""
        azure = self.served["azure"]
        known = self.run(["cloud", "list", "--query", "[].name", "-o", "tsv"])[1].split()
        verb = "update" if "sandbox" in known else "register"
        endpoints = [
            "resource-manager",
            "management",
            "active-directory",
            "active-directory-resource-id",
            "active-directory-graph-resource-id",
            "microsoft-graph-resource-id",
        ]
        options = [text for name in endpoints for text in (f"--endpoint-{name}", azure)]
        for command in [
            ["cloud", verb, "--name", "sandbox", "--skip-endpoint-discovery", *options],
            ["cloud", "set", "--name", "sandbox"],
            [
                *["login", "--service-principal", "--username", "client"],
                *["--password", "secret", "--tenant", self.served["tenant"]],
            ],
        ]:
            code, _output, errors = self.run(command)
            if code:
                raise SystemExit(f"az {' '.join(command)} failed: {errors}")
