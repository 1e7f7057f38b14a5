"""Changes behind stargate's back: makes the changes of changes.txt.

    run.py STARGATE TOPOLOGY FOLDER [--tailnet PROGRAM] [--only TEXT] [--every N]

FOLDER is for the sandbox and for temporary files. After each change the sandbox's own
forwarding, as Goldpinger reports it, and the model must agree; so must they after the
apply.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from azure_cli import AzureCli  # noqa: E402

BLOCKED, DONE = 5, 0
STARTED_WITHIN = 30


class Sandbox:
    """A served sandbox that is set back to its first state."""

    def __init__(self, options):
        self.binary = options.stargate
        self.topology = options.topology
        self.folder = Path(options.folder)
        self.state = self.folder / "sandbox"
        self.first = self.folder / "first.json"
        self.server = None
        self.served = None

    def stargate(self, *arguments):
        """Runs a command; returns its exit code, its output and its errors."""
        command = [self.binary, arguments[0], "-f", self.topology, f"--sandbox={self.state}"]
        done = subprocess.run(
            [*command, *arguments[1:]], capture_output=True, text=True, timeout=120, check=False
        )
        return done.returncode, done.stdout, done.stderr

    def apply(self):
        return self.stargate("apply", "--yes")

    def make(self):
        """Applies the topology and keeps the state."""
        code, output, errors = self.apply()
        if code != DONE:
            raise SystemExit(f"the first apply ended with {code}: {output}{errors}")
        shutil.copy(self.state / "state.json", self.first)

    def serve(self):
        """Serves the state in the folder and waits for the endpoints."""
        log = (self.folder / "served.json").open("w", encoding="utf-8")
        command = [self.binary, "sandbox", "serve", "-f", self.topology]
        command.append(f"--sandbox={self.state}")
        self.server = subprocess.Popen(command, stdout=log, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + STARTED_WITHIN
        while time.monotonic() < deadline:
            text = (self.folder / "served.json").read_text(encoding="utf-8")
            if text.endswith("\n"):
                self.served = json.loads(text)
                return self.served
            time.sleep(0.05)
        raise SystemExit("the sandbox was not served")

    def stop(self):
        if self.server:
            self.server.send_signal(signal.SIGINT)
            self.server.wait(timeout=30)
            self.server = None

    def reset(self):
        """Sets the state back."""
        self.stop()
        shutil.copy(self.first, self.state / "state.json")
        return self.serve()


class Clients:
    """The clients of others, each called with the words of a command."""

    def __init__(self, sandbox, options):
        self.sandbox = sandbox
        self.tailnet = options.tailnet
        self.azure = AzureCli(sandbox.served, sandbox.folder)
        self.azure.sign_in()

    def renew(self):
        """Follows the sandbox to its new addresses."""
        self.azure.served = self.sandbox.served
        self.azure.sign_in()

    def run(self, words):
        served = self.sandbox.served
        if words[0] == "az":
            code, output, errors = self.azure.run(words[1:])
        elif words[0] == "kubectl":
            code, output, errors = self.process(
                ["kubectl", "--kubeconfig", served["kubeconfig"], "--request-timeout=30s"],
                words[1:],
            )
        else:
            program = [self.tailnet, served["tailscale"], served["certificate"]]
            code, output, errors = self.process(program, words[1:])
        if code:
            return f"{shlex.join(words)} ended with {code}: {errors or output}"
        return None

    def process(self, program, words):
        done = subprocess.run(
            [*program, *words],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "TAILSCALE_API_KEY": served_key(self.sandbox.served)},
        )
        return done.returncode, done.stdout, done.stderr


def served_key(served):
    return f"tskey-api-{served['token']}"


def names(clients, sandbox):
    """The names that rows use."""

    def query(command):
        code, output, errors = clients.azure.run([*shlex.split(command), "-o", "tsv"])
        if code:
            raise SystemExit(f"az {command}: {errors}")
        return output.split()

    (cluster, group, node_group) = query("aks list --query [0].[name,resourceGroup,nodeResourceGroup]")
    nodes = subprocess.run(
        ["kubectl", "--kubeconfig", sandbox.served["kubeconfig"], "get", "nodes", "-o", "name"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    nodes = [node.removeprefix("node/") for node in nodes]
    groups = query(f"network nsg list -g {node_group} --query [].name")
    key = sandbox.folder / "key.pub"
    key.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDKjZ3+R5o6mUyrxMhJ3xqHcmY5yB0J9bN0dEt0pZ1gv\n")
    return {
        "sub": query("account show --query id")[0],
        "k": cluster,
        "g": group,
        "mc": node_group,
        "dc": f"{group}-dc",
        "r": f"{cluster}-router",
        "d": f"{cluster}-dc-router",
        "w1": f"{cluster}-worker-1",
        "w2": f"{cluster}-worker-2",
        "n0": next(node for node in nodes if node.startswith("aks-")),
        "n1": [node for node in nodes if node.startswith("aks-")][-1],
        "vnet": query(f"network vnet list -g {node_group} --query [0].name")[0],
        "nsg": next(name for name in groups if name.startswith("aks-")),
        "key": str(key),
    }


def rows(path, values):
    """The rows of the table, with names."""
    replaced = re.compile("{(" + "|".join(values) + ")}")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        line = replaced.sub(lambda found: values[found[1]], line)
        expectation, text, commands = (part.strip() for part in line.split("|", 2))
        yield number, expectation, text, [words(it) for it in commands.split(" && ")]


def words(command):
    """Braces and quotes of JSON are kept: no shell reads the command."""
    lexer = shlex.shlex(command, posix=True, punctuation_chars=False)
    lexer.whitespace_split = True
    lexer.commenters = ""
    if "{" in command:
        lexer.quotes = ""
    return list(lexer)


def disagreement(sandbox):
    """What differs between the model and the sandbox's own forwarding."""
    code, output, errors = sandbox.stargate("check", "--live", "--format", "json")
    try:
        report = json.loads(output)
    except json.JSONDecodeError:
        return code, {}, f"check ended with {code}: {errors.strip()[-400:]}"
    live = report.get("live") or {}
    mismatches = live.get("mismatches") or []
    return code, report, f"mismatches: {json.dumps(mismatches)[:600]}" if mismatches else None


class Row:
    """One change."""

    def __init__(self, sandbox, clients, expectation, text):
        self.sandbox, self.clients = sandbox, clients
        self.expectation, self.text = expectation, text

    def judge(self, commands):
        """Makes the change; returns a description of what is not as written."""
        for command in commands:
            failure = self.clients.run(command)
            if failure:
                return f"the change failed: {failure}"
        plan_code, plan, errors = self.sandbox.stargate("plan", "--detailed-exitcode")
        check_code, report, differs = disagreement(self.sandbox)
        seen = f"plan {plan_code}, check {check_code}\n{plan[-1800:]}{errors[-600:]}"
        if self.expectation == "open":
            return None if plan_code == DONE else f"it is seen now: {seen}"
        if differs and report:
            return f"{differs}\n{seen}"
        return self.compare(plan_code, plan + errors, check_code, report, seen)

    def compare(self, plan_code, printed, check_code, report, seen):
        expected = {"fixed": (2,), "kept": (DONE,), "blocked": (BLOCKED,), "reported": (1, 2, 5)}
        if self.expectation == "reported":
            printed += json.dumps(report) + self.drift()
            if plan_code == DONE and check_code == DONE:
                return f"nothing reported: {seen}"
        elif plan_code not in expected[self.expectation]:
            return f"expected {self.expectation}: {seen}"
        if self.text != "-" and self.text not in printed:
            return f"does not name {self.text}: {seen}"
        if self.expectation == "kept" and check_code != DONE:
            return f"check ended with {check_code}: {json.dumps(report)[:800]}"
        return self.repaired() if self.expectation == "fixed" else None

    def drift(self):
        code, output, errors = self.sandbox.stargate("drift")
        return f"{output}{errors}" if code else ""

    def repaired(self):
        code, output, errors = self.sandbox.apply()
        if code != DONE:
            return f"apply ended with {code}: {output[-1500:]}{errors[-1500:]}"
        code, plan, _errors = self.sandbox.stargate("plan", "--detailed-exitcode")
        if code != DONE:
            return f"one apply was not enough, plan {code}: {plan[-1500:]}"
        code, report, differs = disagreement(self.sandbox)
        if differs or code != DONE or report.get("dropped"):
            return f"after the apply, check {code}: {differs} {json.dumps(report)[:800]}"
        return None


def main():
    parser = argparse.ArgumentParser()
    for name in ("stargate", "topology", "folder"):
        parser.add_argument(name)
    parser.add_argument("--tailnet")
    parser.add_argument("--only", default="")
    parser.add_argument("--every", type=int, default=1)
    options = parser.parse_args()
    sandbox = Sandbox(options)
    sandbox.make()
    sandbox.serve()
    try:
        return judge_all(sandbox, options)
    finally:
        sandbox.stop()


def judge_all(sandbox, options):
    clients = Clients(sandbox, options)
    table = Path(__file__).with_name("changes.txt")
    passed, failed, skipped, began = {}, 0, 0, time.monotonic()
    for position, row in enumerate(list(rows(table, names(clients, sandbox)))):
        number, expectation, text, commands = row
        if position % options.every or options.only not in " && ".join(map(shlex.join, commands)):
            continue
        if commands[0][0] == "tailnet" and not options.tailnet:
            skipped += 1
            continue
        failure = Row(sandbox, clients, expectation, text).judge(commands)
        if failure:
            failed += 1
            shown = " && ".join(map(shlex.join, commands))
            print(f"FAILED: changes.txt:{number}: {shown}: {failure}", file=sys.stderr, flush=True)
        else:
            passed[expectation] = passed.get(expectation, 0) + 1
        if failure or expectation != "fixed":
            sandbox.reset()
            clients.renew()
    counts = ", ".join(f"{count} {name}" for name, count in sorted(passed.items()))
    total = sum(passed.values())
    print(f"{total} of {total + failed} changes as written ({counts}), {skipped} skipped, "
          f"{time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
