"""azure-cli against the sandbox's Azure.

    azure_cli_commands.py FILE FOLDER

FILE holds the line that `stargate sandbox serve` prints, FOLDER is for temporary files.
The commands are in azure_cli_commands.txt.
"""

import json
import shlex
import sys
from pathlib import Path

from azure_cli import AzureCli
from checks import Checks

# Any key: no host of the sandbox reads it.
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDKjZ3+R5o6mUyrxMhJ3xqHcmY5yB0J9bN0dEt0pZ1gv\n"


def commands(path, names):
    """The rows of the table: whether it is refused, the words, and the expected text."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        for name, value in names.items():
            line = line.replace(f"{{{name}}}", value)
        command, _, text = line.partition("=>")
        refused = command.startswith("!")
        yield refused, shlex.split(command.lstrip("! ")), text.strip()


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        served = json.loads(file.readline())
    folder = Path(sys.argv[2])
    azure = AzureCli(served, folder)
    azure.sign_in()
    query = ["aks", "list", "--query", "[0].[name,resourceGroup]", "-o", "tsv"]
    cluster, group = azure.run(query)[1].split()
    subscription = azure.run(["account", "show", "--query", "id", "-o", "tsv"])[1].strip()
    key = folder / "key.pub"
    key.write_text(KEY, encoding="utf-8")
    names = {
        "azure": served["azure"],
        "folder": str(folder),
        "g": group,
        "k": cluster,
        "key": str(key),
        "sub": subscription,
    }
    checks = Checks()
    for refused, words, text in commands(Path(__file__).with_suffix(".txt"), names):
        code, output, errors = azure.run(words)
        holds = bool(code) == refused and text in (errors if refused else output)
        seen = f"exit code {code}: {errors[-400:] or output[:400]}"
        checks.that(f"az {shlex.join(words)} (expected {text!r})", holds, seen)
    total = checks.passed + checks.failed
    print(f"{checks.passed} of {total} commands of azure-cli")
    return checks.finish()


if __name__ == "__main__":
    sys.exit(main())
