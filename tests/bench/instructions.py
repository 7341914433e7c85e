"""What an operation costs in instructions of the processor, as valgrind counts them.

python tests/bench/instructions.py                   # beside the figures in instructions.toml
python tests/bench/instructions.py --against COMMIT  # beside those of another commit
python tests/bench/instructions.py --write           # stores them
python tests/bench/instructions.py --only call echo  # these operations only; goes with all of the above

A change of one per cent is seen on a machine on which times scatter by thirty: the same binary does the
same each time. Another build of Python or greenlet does something else, so the figures are stored with
the names of both. What the kernel does is not in them, but `bulk` depends on the pieces in which it hands a MiB
over: the same program has needed 250,000 or 500,000. It takes some minutes.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import nullcontext
from importlib.metadata import version
from pathlib import Path

import commits

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FILE = HERE / "instructions.toml"

COUNTS = {  # operation → how many tell its price; starting a process costs as much as 20,000 calls
    "call": 1000, "send": 2000, "fork": 4000, "yield": 3000, "wait": 2000, "birth": 100, "recorded call": 400,
    "echo": 1000, "http": 200, "bulk": 40,
}  # fmt: skip


def build() -> str:
    """What decides about the figures, beside the package."""
    return f"Python {platform.python_version()}, greenlet {version('greenlet')}, {platform.machine()}"


def measured(name: str, package: Path) -> float:
    """Instructions of one operation; of one MiB in bulk."""
    (few, less), (many, more) = (_spent(name, n, package) for n in (COUNTS[name], 2 * COUNTS[name]))
    return round((many - few) / (more - less))


def _spent(name: str, n: int, package: Path) -> tuple[int, int]:
    """Instructions of a process, and the operations it has done."""
    command = [
        "valgrind", "--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null",
        sys.executable, str(HERE / "operations.py"), name, str(n),
    ]  # fmt: skip
    env = os.environ | {"PYTHONPATH": str(package), "PYTHONHASHSEED": "0"}  # hashes decide where tables collide
    out = subprocess.run(command, env=env, capture_output=True, text=True)
    found = re.search(r"I\s+refs:\s+([\d,]+)", out.stderr)
    if out.returncode or found is None:
        raise SystemExit(f"{name}: {out.stderr.strip()[-2000:]}")
    return int(found[1].replace(",", "")), int(out.stdout)


def stored() -> tuple[str, dict[str, float]]:
    """What they were made with, and operation → instructions."""
    found = tomllib.loads(FILE.read_text()) if FILE.exists() else {}
    return found.pop("made_with", "nothing"), found


def write(found: dict[str, float]) -> None:
    """Figures of one build belong together: with another, those that were not counted now go."""
    made_with, old = stored()
    rows = (old if made_with == build() else {}) | found
    lines = [
        f'"{name}" = {rows[name]:.0f}' if " " in name else f"{name} = {rows[name]:.0f}"
        for name in COUNTS
        if name in rows
    ]
    head = "# Instructions of one operation (bulk: of a MiB). Made by `python tests/bench/instructions.py --write`."
    FILE.write_text("\n".join([head, f'made_with = "{build()}"', *lines, ""]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=COUNTS, metavar="NAME", help=", ".join(COUNTS))
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--write", action="store_true", help=f"store the figures in {FILE.name}")
    does.add_argument("--against", metavar="COMMIT", help="compare with another commit instead")
    options = parser.parse_args()
    if shutil.which("valgrind") is None:
        parser.error("valgrind is not here: apt-get install valgrind")
    names = options.only or list(COUNTS)
    with commits.package_at(options.against) if options.against else nullcontext() as package:
        before: dict[str, float] = {}
        if package is None:
            made_with, before = stored()
            if made_with != build():
                print(f"Stored: with {made_with}. Here: {build()}. The figures of two builds do not compare.")
        print(commits.heading(options.against[:12] if package else "stored", "now"))
        found = {}
        for name in names:
            if package is not None:
                before[name] = measured(name, package)
            found[name] = measured(name, ROOT)
            print(commits.row(name, before.get(name), found[name]), flush=True)
    if options.write:
        write(found)


if __name__ == "__main__":
    main()
