"""Every public function of skynet's libraries, and where it is here: the page, and a look at whether the list is whole.

python docs/skynet_api.py            # write skynet_api.md from skynet_api.toml
python docs/skynet_api.py CHECKOUT   # compare the names with the sources of skynet, and since when with its history
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from skynet_lite.skynet.dialect import RULES

DOCS = Path(__file__).parent
HEAD = """# skynet's functions, and ours

Each public function of skynet's Lua libraries (v1.8.0 and what came after it), where it is in `skynet_lite`, and what
is left out on purpose. A test imports every name of the second column. Made from `docs/skynet_api.toml`.

*Since, changed* tells the release in which a name came and those in which it changed, for whoever knows v1.1.0: an
empty field is as it was there. What names a [rule](#what-has-changed-since-v110) is so in a node of
`Node(skynet="1.8")`.
"""
RELEASES = ("1.0.0", "1.1.0", "1.2.0", "1.3.0", "1.4.0", "1.5.0", "1.6.0", "1.7.0", "1.8.0")


def load(docs: Path = DOCS) -> dict[str, dict[str, Any]]:
    """The data: library → file, tables, ours, left_out, notes, or why."""
    return tomllib.loads((docs / "skynet_api.toml").read_text(encoding="utf-8"))


def page(libraries: dict[str, dict[str, Any]]) -> str:
    """The page, in the order of the data."""
    parts = [HEAD]
    for name, library in libraries.items():
        since = f", since {library['first']}" if "first" in library else ""
        parts.append(f"\n## {name}\n\n{library['file']}{since}\n")
        if "why" in library:
            parts.append(f"\nLeft out: {library['why']}.\n")
            continue
        notes = library.get("notes", {})
        rows = {key: (f"`{ours}`", notes.get(key, "")) for key, ours in library.get("ours", {}).items()}
        rows |= {key: ("–", why) for key, why in library.get("left_out", {}).items()}
        parts.append("\n| skynet | here | | since, changed |\n| --- | --- | --- | --- |\n")
        parts += [
            f"| `{key}` | {ours} | {note} | {history(library, key)} |\n" for key, (ours, note) in sorted(rows.items())
        ]
    parts.append("\n## What has changed since v1.1.0\n\n| rule | since | today | v1.1.0 |\n| --- | --- | --- | --- |\n")
    parts += [f"| {rule.number} | {rule.since} | {rule.today} | {rule.before} |\n" for rule in RULES]
    return "".join(parts)


def history(library: dict[str, Any], name: str) -> str:
    """Since when a name is there, and what has changed since v1.1.0."""
    since, changed = library.get("since", {}).get(name), library.get("changed", {}).get(name, [])
    if isinstance(changed, str):
        return f"since {since}; {changed}" if since else changed
    rules: dict[str, list[int]] = {since: []} if since else {}
    for number in changed:
        rules.setdefault(RULES[number - 1].since, []).append(number)
    told = []
    for release, numbers in sorted(rules.items()):
        named = f"rule{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"
        told.append("since " * (release == since) + (f"{release}: {named}" if numbers else release))
    return "; ".join(told)


def names(source: str, tables: dict[str, str]) -> set[str]:
    """What a Lua source defines in these tables; metamethods are no names."""
    found = set()
    for table, before in tables.items():
        defined = re.findall(rf"function +{table}[.:](\w+)|^\s*{table}\.(\w+) *=[^=]", source, re.MULTILINE)
        found |= {before + name for pair in defined for name in pair if name and not name.startswith("__")}
    return found


def compare(checkout: Path) -> list[str]:
    """Names that only skynet has, or only the data."""
    told = []
    for library, data in load().items():
        if "/" not in data["file"]:
            continue  # ours alone
        files = [data["file"].split(", ")[0]] + [f for f in data["file"].split(", ")[1:] if "/" in f]
        for file in files:
            if not (checkout / file).is_file():
                told.append(f"{library}: no file {file}")
        if "tables" not in data:
            continue
        defined = set().union(*(names((checkout / file).read_text(), data["tables"]) for file in files))
        listed = {*data.get("ours", {}), *data.get("left_out", {})} - {"reg_debugcmd"}  # returned by the file, unnamed
        told += [f"{library}: skynet has {name}" for name in sorted(defined - listed)]
        told += [f"{library}: skynet has no {name}" for name in sorted(listed - defined)]
    return told


def first_releases(checkout: Path, library: dict[str, Any]) -> dict[str, str]:
    """name → the first release that defines it, by the tags of a checkout."""
    found: dict[str, str] = {}
    for release in RELEASES:
        for file in library["file"].split(", "):
            shown = subprocess.run(
                ["git", "-C", checkout, "show", f"v{release}:{file}"], capture_output=True, text=True
            )
            for name in names(shown.stdout, library["tables"]):
                found.setdefault(name, release)
    return found


def compare_history(checkout: Path) -> list[str]:
    """Names that came with another release than the data says. Those of v1.1.0 and before are not named there."""
    told = []
    for lib, data in load().items():
        if "tables" not in data or "/" not in data["file"]:
            continue
        first = first_releases(checkout, data)
        for name in {*data.get("ours", {}), *data.get("left_out", {})}:
            said = data.get("since", {}).get(name, data.get("first", "1.1.0"))
            release = first.get(name, "a later one")
            if max(release, "1.1.0") != said and name != "reg_debugcmd":
                told.append(f"{lib}: {name} came with {release}")
    return sorted(told)


if __name__ == "__main__":
    if sys.argv[1:]:
        told = compare(Path(sys.argv[1])) + compare_history(Path(sys.argv[1]))
        print("\n".join(told) or "the same names, since the same releases")
        sys.exit(bool(told))
    (DOCS / "skynet_api.md").write_text(page(load()), encoding="utf-8")
