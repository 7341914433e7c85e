"""Programs to begin with: the examples, and a project of one's own.

One idea: whoever has installed the package has no clone, so what can be read and run is copied to where they
work, and is theirs from then on. An example is a folder with a config.toml, whose first lines say what it is and
how it is run. A new project is one more such folder.
"""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

from ..core.errors import SkynetError

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
FIRST = "gate"  # skynet's own first example, which is the folder itself
PROJECT = "PROJECT"  # stands for its name in the files of a new project
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_-]*")


def examples() -> list[str]:
    """Their names."""
    return [FIRST, *sorted({path.parent.name for path in EXAMPLES.glob("*/config.toml")} - {"project"})]


def about(name: str) -> list[str]:
    """What an example says of itself: the comment at the top of its configuration, line by line."""
    lines = (_folder(name) / "config.toml").read_text(encoding="utf-8").splitlines()
    return [line.removeprefix("# ") for line in takewhile(lambda line: line.startswith("#"), lines)]


def listing() -> str:
    """All examples, a line for each."""
    return "\n".join(f"{name:10}{about(name)[0]}" for name in examples())


def copy(name: str, folder: str | None = None) -> None:
    """Write an example into a new folder, by default one of its own name. Raises SkynetError, OSError."""
    root = Path(folder if folder is not None else name)
    _write(_folder(name), root)
    print(f"{root} is written. {about(name)[0]} In that folder:", *about(name)[1:], sep="\n")


def new(name: str) -> None:
    """Write a project of this name into a folder of this name. Raises SkynetError, OSError."""
    if not NAME.fullmatch(name):
        raise SkynetError(f"{name!r} is no name for a project: letters, digits, _ and -, a letter first")
    _write(EXAMPLES / "project", Path(name), name)
    print(f"{name} is written; its README.md says what is what. In that folder:")
    print("    skynet-lite run config.toml", "    pytest", sep="\n")


def _folder(name: str) -> Path:
    if name not in examples():
        raise SkynetError(f"there is no example {name!r}: there are {', '.join(examples())}")
    return EXAMPLES if name == FIRST else EXAMPLES / name


def _write(source: Path, root: Path, name: str = PROJECT) -> None:
    if root.exists():
        raise SkynetError(f"{root} is there already: give another name, or delete it")
    for file in sorted(source.glob("*" if source == EXAMPLES else "**/*")):
        if file.is_file() and "__pycache__" not in file.parts:
            target = root / file.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.read_text(encoding="utf-8").replace(PROJECT, name), encoding="utf-8")
