"""skynet's public functions, name by name: what is said to be here can be imported, what is not has its reason."""

from __future__ import annotations

import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "docs"))

import skynet_api  # noqa: E402

from skynet_lite.skynet.dialect import RULES  # noqa: E402

LIBRARIES = skynet_api.load()
LUALIB = ROOT / "skynet_lite" / "lualib"


def found(path: str) -> Any:
    """The object that `skynet_lite.<path>` names: as much of it as is a module, then attributes."""
    parts = ("skynet_lite." + path).split(".")
    for n in range(len(parts), 0, -1):
        try:
            what = import_module(".".join(parts[:n]))
        except ModuleNotFoundError as error:
            if not (error.name or "").startswith("skynet_lite"):
                raise  # a library that ours needs is missing: not a wrong name
            continue
        for part in parts[n:]:
            what = getattr(what, part)
        return what
    raise AssertionError(path)


@pytest.mark.parametrize("library", [name for name, data in LIBRARIES.items() if "ours" in data])
def test_what_is_said_to_be_here_can_be_imported(library: str) -> None:
    """Functions, classes and modules; a constant only where skynet's name is one."""
    for name, path in LIBRARIES[library]["ours"].items():
        what = found(path)
        assert callable(what) or type(what) is type(sys) or name.isupper(), f"{name}: {path} is no function"


def test_what_is_left_out_has_its_reason() -> None:
    """One sentence each, for a library as a whole or for a name; nothing is both here and left out."""
    reasons = 0
    for library, data in LIBRARIES.items():
        assert set(data) <= {"file", "first", "tables", "ours", "left_out", "notes", "since", "changed", "why"}, library
        assert data["file"] and (("why" in data) != ("ours" in data or "left_out" in data)), library
        ours, left_out = data.get("ours", {}), data.get("left_out", {})
        assert not set(ours) & set(left_out) and set(data.get("notes", {})) <= set(ours), library
        for why in [*left_out.values(), *([data["why"]] if "why" in data else [])]:
            assert len(why) > 7 and not why.endswith("."), why
            reasons += 1
    assert reasons > 20


def test_the_list_is_long_enough_to_be_all() -> None:
    """The libraries that the course and users speak of; `docs/skynet_api.py CHECKOUT` compares name by name."""
    core = ("skynet", "manager", "socket", "socketchannel", "queue", "coroutine", "service", "snax", "cluster", "debug")
    assert set(core) < set(LIBRARIES)
    counted = sum(len(data.get("ours", {})) + len(data.get("left_out", {})) for data in LIBRARIES.values())
    assert counted > 200


def test_since_and_changed_name_what_is_listed() -> None:
    """Releases after v1.1.0 and rules that there are; every rule that a program can see stands at a function."""
    rules: set[int] = set()
    for library, data in LIBRARIES.items():
        listed = {*data.get("ours", {}), *data.get("left_out", {})}
        assert {*data.get("since", {}), *data.get("changed", {})} <= listed, library
        first = data.get("first", "1.1.0")
        assert {first, *data.get("since", {}).values()} <= set(skynet_api.RELEASES[1:]), library
        assert all(release > first for release in data.get("since", {}).values()), library
        for name, changed in data.get("changed", {}).items():
            if isinstance(changed, list):
                rules |= set(changed)
                assert set(changed) <= {rule.number for rule in RULES}, name
            else:
                assert re.match(r"1\.[2-8]\.0: ", changed), name
    assert rules == {rule.number for rule in RULES}
    assert skynet_api.history(LIBRARIES["socket"], "listen") == "1.6.0: rule 10"
    assert skynet_api.history(LIBRARIES["skynet"], "killthread") == "since 1.4.0: rule 16"


def test_the_page_is_made_from_the_data() -> None:
    """docs/skynet_api.md, as `python docs/skynet_api.py` writes it."""
    assert (ROOT / "docs" / "skynet_api.md").read_text(encoding="utf-8") == skynet_api.page(LIBRARIES)


def cited() -> set[str]:
    """Modules of lualib that the list or a notebook names, and what those are made of."""
    modules = {path.stem: path.read_text(encoding="utf-8") for path in LUALIB.glob("[a-z]*.py")}
    notebooks = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "notebooks").glob("*.ipynb"))
    listed = {path.split(".")[0] for data in LIBRARIES.values() for path in data.get("ours", {}).values()}
    listed |= {name for name in LIBRARIES if "why" in LIBRARIES[name]}  # one that says why it is not there
    named = {name for name in modules if name in listed or re.search(rf"\b{name}\.py\b", notebooks)}
    made_of = {
        name for module in named for name in modules if re.search(rf"^from \.{name} import", modules[module], re.M)
    }
    return {*named, *made_of}


def test_what_is_in_lualib_is_used() -> None:
    """A library exists only if the course or the list of functions names it: the rest would be read for nothing."""
    assert {path.stem for path in LUALIB.glob("[a-z]*.py")} - cited() == set()


def test_names_are_read_from_lua() -> None:
    """Functions, methods and assignments of a table; no metamethods, no comparisons, no other tables."""
    source = "function a.one() end\nlocal x = a.no\na.two = 1\na.__gc = 2\nfunction b:three() end\nif a.four == 1 then end\n\tfunction a.five() end\n"
    assert skynet_api.names(source, {"a": "", "b": "b:"}) == {"one", "two", "b:three", "five"}
