"""Every public function of skynet's libraries, and where it is here: the page, and a look at whether the list is whole.

python docs/skynet_api.py            # write skynet_api.md from skynet_api.toml
python docs/skynet_api.py CHECKOUT   # compare the names with the sources of skynet
"""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
HEAD = """# skynet's functions, and ours

Each public function of skynet's Lua libraries (v1.8.0 and what came after it), where it is in `skynet_lite`, and what
is left out on purpose. A test imports every name of the second column. Made from `docs/skynet_api.toml`.
"""


def load(docs: Path = DOCS) -> dict[str, dict[str, Any]]:
    """The data: library → file, tables, ours, left_out, notes, or why."""
    return tomllib.loads((docs / "skynet_api.toml").read_text(encoding="utf-8"))


def page(libraries: dict[str, dict[str, Any]]) -> str:
    """The page, in the order of the data."""
    parts = [HEAD]
    for name, library in libraries.items():
        parts.append(f"\n## {name}\n\n{library['file']}\n")
        if "why" in library:
            parts.append(f"\nLeft out: {library['why']}.\n")
            continue
        notes = library.get("notes", {})
        rows = {key: (f"`{ours}`", notes.get(key, "")) for key, ours in library.get("ours", {}).items()}
        rows |= {key: ("–", why) for key, why in library.get("left_out", {}).items()}
        parts.append("\n| skynet | here | |\n| --- | --- | --- |\n")
        parts += [f"| `{key}` | {ours} | {note} |\n" for key, (ours, note) in sorted(rows.items())]
    return "".join(parts)


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


if __name__ == "__main__":
    if sys.argv[1:]:
        told = compare(Path(sys.argv[1]))
        print("\n".join(told) or "the same names")
        sys.exit(bool(told))
    (DOCS / "skynet_api.md").write_text(page(load()), encoding="utf-8")
