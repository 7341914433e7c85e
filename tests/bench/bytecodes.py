"""What an operation costs in bytecodes, and whether that is what is written down.

python tests/bench/bytecodes.py                   # compares with bytecodes.toml; fails above the tolerance
python tests/bench/bytecodes.py --write           # after a change that is meant: stores the figures, for each
                                                  # Python of CI that is here (in throw-away environments)
python tests/bench/bytecodes.py --against COMMIT  # beside those of another commit

No clock is read, so a busy machine counts the same. A bytecode is not a time: what is done in C, a switch or
a system call, is one, however long it takes. instructions.py knows more, and takes longer.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

import commits

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
FILE = HERE / "bytecodes.toml"
MINOR = "{}.{}".format(*sys.version_info)
TOLERANCE = 0.03  # both ways: a gain that is not written down could be lost again unnoticed
NEEDED = ("greenlet", "h11")

COUNTS = {  # operation → how many of them tell its price
    "call": 100, "send": 100, "fork": 100, "yield": 100, "wait": 100, "birth": 10, "recorded call": 50,
    "echo": 100, "http": 50,
}  # fmt: skip

HEAD = """\
# Bytecodes of one operation, on each Python that pyproject.toml names: what tests/test_speed.py compares with.
# Made by `python tests/bench/bytecodes.py --write`.
"""


def measure() -> dict[str, float]:
    """Bytecodes of the package for each operation, on this Python.

    Those of the standard library are left out: they change with every release of it.
    """
    from counting import Bytecodes  # here: who only reads the figures needs no greenlet
    from operations import run

    package = str(Path(importlib.util.find_spec("skynet_lite").origin).parent)

    def spent(name: str, n: int) -> tuple[int, int]:
        told = []
        bytecodes = Bytecodes()
        with bytecodes.counted():
            run(name, n, lambda done: told.append((bytecodes.files.copy(), done)))
        [(files, done)] = told
        return sum(count for file, count in files.items() if file.startswith(package)), done

    found = {}
    for name, n in COUNTS.items():
        run(name, n, lambda _: None)  # what is imported when first used is here now
        (few, less), (many, more) = spent(name, n), spent(name, 2 * n)
        found[name] = round((many - few) / (more - less), 1)
    return found


def measured(python: str = sys.executable, package: Path = ROOT) -> dict[str, float]:
    """The same in a fresh process: by another Python, of a package that stands elsewhere."""
    out = subprocess.run(
        [python, str(HERE / "bytecodes.py"), "--json"], env=os.environ | {"PYTHONPATH": str(package)},
        capture_output=True, text=True,
    )  # fmt: skip
    if out.returncode:
        raise RuntimeError(f"{python} could not count:\n{out.stderr}")
    found: dict[str, float] = json.loads(out.stdout)
    return found


# ---- the figures that are stored


def stored() -> dict[str, dict[str, float]]:
    """operation → Python → bytecodes"""
    return tomllib.loads(FILE.read_text()) if FILE.exists() else {}


def differences(found: dict[str, float], minor: str = MINOR) -> list[str]:
    """What is not as it is stored, in words."""
    told, rows = [], stored()
    for name, figure in found.items():
        old = rows.get(name, {}).get(minor)
        if old is None:
            told.append(f"{name}: {figure:,} bytecodes on Python {minor}, and no figure is stored")
        elif abs(figure / old - 1) > TOLERANCE:
            told.append(f"{name}: {old:,} → {figure:,} bytecodes on Python {minor} ({(figure / old - 1) * 100:+.1f} %)")
    return told


def pythons() -> list[str]:
    """Those that CI runs: what pyproject.toml says the package is for."""
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["classifiers"]
    return [line.rpartition(" ")[2] for line in told if line.startswith("Programming Language :: Python :: ")]


def interpreter(minor: str) -> str | None:
    """A Python of that version on this machine. A name may be on the path without a Python behind it (pyenv)."""
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    right = f"import sys; sys.exit('{{}}.{{}}'.format(*sys.version_info) != '{minor}')"
    for candidate in (shutil.which(f"python{minor}"), *sorted(map(str, versions.glob(f"{minor}.*/bin/python")))):
        if candidate and subprocess.run([candidate, "-c", right], capture_output=True).returncode == 0:
            return candidate
    return None


def write() -> None:
    rows = stored()
    for minor in pythons():
        python = interpreter(minor)
        if python is None:
            print(f"Python {minor} is not here: its figures stay as they were")
            continue
        with tempfile.TemporaryDirectory() as folder:
            subprocess.run([python, "-m", "venv", folder], check=True)
            made = f"{folder}/bin/python"
            subprocess.run([made, "-m", "pip", "install", "-q", *NEEDED], check=True)
            found = measured(made)
        for line in differences(found, minor):
            print(line)
        for name, figure in found.items():
            rows.setdefault(name, {})[minor] = figure
    lines = []
    for name in COUNTS:
        figures = ", ".join(f'"{minor}" = {rows[name][minor]}' for minor in pythons() if minor in rows.get(name, {}))
        lines.append(f"{json.dumps(name) if ' ' in name else name} = {{ {figures} }}\n")
    FILE.write_text(HEAD + "".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    does = parser.add_mutually_exclusive_group()
    does.add_argument("--write", action="store_true", help=f"store the figures in {FILE.name}")
    does.add_argument("--against", metavar="COMMIT", help="compare with another commit instead")
    does.add_argument("--json", action="store_true", help="only print the figures, for programs")
    options = parser.parse_args()
    if options.json:
        print(json.dumps(measure()))
    elif options.write:
        write()
    elif options.against:
        with commits.package_at(options.against) as package:
            show(measured(package=package), measured(), options.against[:12])
    else:
        found = measured()
        show({name: row[MINOR] for name, row in stored().items() if MINOR in row}, found, "stored")
        if told := differences(found):
            sys.exit("\n".join(["", *told, "If that is meant: --write, and a sentence in the CHANGELOG."]))


def show(before: dict[str, float], after: dict[str, float], title: str) -> None:
    print(commits.heading(title, "now"))
    for name, figure in after.items():
        print(commits.row(name, before.get(name), figure, 1))


if __name__ == "__main__":
    main()
