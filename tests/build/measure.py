"""Measures cold builds; `tests/build/run` says how it is called."""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

BUILDS = {
    # name: (arguments of cargo build, folder below the target folder, CPU seconds)
    "debug": ([], "debug", 400),
    "release": (["--release"], "release", 900),
    "lean": (["--release", "--no-default-features"], "release", 900),
}
GIBIBYTES = 3.0
GIB = 2**30
CRATES_SHOWN = 5

# Cargo starts this instead of rustc. It starts rustc and notes what it took; the
# memory is that of the largest process, be it rustc or its linker.
WRAPPER = """#!{python} -IS
import json, os, sys
child = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, usage = os.wait4(child, 0)
if "--crate-name" in sys.argv:
    name = sys.argv[sys.argv.index("--crate-name") + 1]
    line = [name, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024]
    with open({log!r}, "a") as log:
        log.write(json.dumps(line) + "\\n")
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
"""


def cpu_seconds():
    """The CPU time of all children that have ended, theirs included."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def write_wrapper(folder):
    """Writes the stand-in for rustc; returns its path and that of its log."""
    wrapper, log = folder / "rustc", folder / "crates.jsonl"
    wrapper.write_text(WRAPPER.format(python=sys.executable, log=str(log)))
    wrapper.chmod(0o755)
    return wrapper, log


def build(arguments, profile):
    """Builds from nothing; returns the figures of the build."""
    with tempfile.TemporaryDirectory(prefix="stargate-build-") as folder:
        folder = Path(folder)
        wrapper, log = write_wrapper(folder)
        target = folder / "target"
        environment = dict(os.environ, RUSTC_WRAPPER=str(wrapper), CARGO_TARGET_DIR=str(target))
        before = cpu_seconds()
        subprocess.run(["cargo", "build", "--locked", *arguments], env=environment, check=True)
        crates = [json.loads(line) for line in log.read_text().splitlines()]
        binary = target / profile / "stargate"
        return {
            "cpu_seconds": cpu_seconds() - before,
            "crates": crates,
            "binary": binary.stat().st_size,
        }


def show(name, figures):
    """Prints the figures of one build."""
    crates = figures["crates"]
    by_time = sorted(crates, key=lambda crate: -crate[1])[:CRATES_SHOWN]
    by_memory = sorted(crates, key=lambda crate: -crate[2])[:CRATES_SHOWN]
    print(f"{name}:")
    print(f"  {'CPU time':<16}{figures['cpu_seconds']:>8,.0f} s")
    memory = ", ".join(f"{c[0]} {c[2] / GIB:.2f}" for c in by_memory)
    print(f"  {'largest rustc':<16}{by_memory[0][2] / GIB:>8.2f} GiB: {memory}")
    print(f"  {'binary':<16}{figures['binary'] / 1e6:>8.1f} MB")
    print(f"  {'crates':<16}{len(crates):>8}    " + ", ".join(f"{c[0]} {c[1]:.0f} s" for c in by_time))
    sys.stdout.flush()


def excesses(name, figures, options):
    """What is above its limit, as sentences."""
    largest = max(figures["crates"], key=lambda crate: crate[2])
    seconds = options.cpu_seconds or (BUILDS[name][2] if options.check else None)
    gibibytes = options.gib or (GIBIBYTES if options.check else None)
    if seconds and figures["cpu_seconds"] > seconds:
        yield f"{name}: the build takes {figures['cpu_seconds']:.0f} CPU s, the limit is {seconds:.0f}"
    if gibibytes and largest[2] / GIB > gibibytes:
        yield f"{name}: rustc of {largest[0]} takes {largest[2] / GIB:.2f} GiB, the limit is {gibibytes}"


def main():
    """Builds what was named; returns the exit code."""
    parser = argparse.ArgumentParser(prog="tests/build/run", description="Measures cold builds.")
    parser.add_argument("builds", nargs="*", metavar="BUILD", help=", ".join(BUILDS))
    parser.add_argument("--check", action="store_true", help="fail above the limits of each build")
    parser.add_argument("--cpu-seconds", type=float, metavar="N", help="fail above N CPU seconds")
    parser.add_argument("--gib", type=float, metavar="N", help="fail above N GiB for one rustc")
    options = parser.parse_args()
    unknown = [name for name in options.builds if name not in BUILDS]
    if unknown:
        parser.error(f"unknown build {unknown[0]!r}: choose from {', '.join(BUILDS)}")
    found, sizes = [], {}
    for name in options.builds or BUILDS:
        arguments, profile, _ = BUILDS[name]
        figures = build(arguments, profile)
        show(name, figures)
        sizes[name] = figures["binary"]
        found += excesses(name, figures, options)
    if sizes.get("lean", 0) >= sizes.get("release", float("inf")):
        found.append("lean: the binary without the sandbox is not smaller than the one with it")
    for sentence in found:
        print(f"error: {sentence}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
