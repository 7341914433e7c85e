"""Names: what the documents use is where they say, and dir() shows what is meant to be used."""

from __future__ import annotations

import ast
import inspect
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any, get_type_hints

import pytest
from harness import programs

import skynet_lite
from skynet_lite import Node
from skynet_lite.node.config import Config
from skynet_lite.node.keys import Keys

ROOT = Path(__file__).parent.parent
API = tomllib.loads((ROOT / "docs" / "skynet_api.toml").read_text())
DOCUMENTS = sorted(
    path.relative_to(ROOT).as_posix()
    for pattern in ("README*.md", "docs/*.md", "docs/api/*.md", "notebooks/*.ipynb", "notebooks/zh/*.ipynb")
    for path in ROOT.glob(pattern)
)
MODULES = sorted(name for name in skynet_lite.__all__ if isinstance(getattr(skynet_lite, name), ModuleType))
LIBRARIES = sorted(set(MODULES) - {"core", "lab", "trace", "view"})  # these four are packages and the course's own


def resolve(path: str) -> Any:
    """What `skynet_lite.a.b` names. Raises AttributeError or ModuleNotFoundError."""
    what: Any = skynet_lite
    reached = "skynet_lite"
    for part in path.split(".")[1:]:
        reached += f".{part}"
        if not hasattr(what, part) and isinstance(what, ModuleType):
            import_module(reached)
        what = getattr(what, part)
    return what


def shown(path: Path) -> list[str]:
    """Code that a document shows: a notebook is one program, each block of a page is one."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".ipynb":
        cells = json.loads(text)["cells"]
        return ["\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")]
    return programs(text)


def imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """The name that is bound, and the path of ours that it stands for ("" if it is not ours)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                ours = (node.module or "").split(".")[0] == "skynet_lite"
                yield alias.asname or alias.name, f"{node.module}.{alias.name}" if ours else ""
        elif isinstance(node, ast.Import):
            for alias in node.names:
                ours = alias.name.split(".")[0] == "skynet_lite"
                bound = alias.name if alias.asname else alias.name.split(".")[0]
                yield alias.asname or bound, bound if ours else ""
                if ours:
                    yield "", alias.name  # has to be there, binds no name of its own


def used(program: str) -> set[str]:
    """Paths below skynet_lite that a program needs: what it imports, and attributes of modules among them."""
    tree = ast.parse(program)
    bound = list(imports(tree))
    other = {name for name, path in bound if not path}
    other |= {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    other |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    ours = {name: path for name, path in bound if path and name not in other}
    found = {path for _, path in bound if path}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ours:
            path = ours[node.value.id]
            if isinstance(resolve(path), ModuleType):
                found.add(f"{path}.{node.attr}")
    return found


def spoken_of(text: str) -> set[str]:
    """Paths below skynet_lite that a page names: in a sentence, a reference or a directive; no files."""
    return {path.rstrip(".") for path in re.findall(r"(?<![\w/.])skynet_lite(?:\.\w+)+(?![\w/]*\.py)", text)}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_what_a_document_names_is_there(document: str) -> None:
    """All that its code imports, all attributes of those modules, all names with dots in its text."""
    path = ROOT / document
    names = {name for program in shown(path) for name in used(program)}
    if path.suffix == ".md":
        names |= spoken_of(path.read_text(encoding="utf-8"))
    missing = []
    for name in sorted(names):
        try:
            resolve(name)
        except (AttributeError, ModuleNotFoundError) as error:
            missing.append(f"{name}: {error}")
    assert missing == []


def test_the_documents_are_read() -> None:
    """The reader of documents finds what is there to be found, and tells what is not."""
    program = (
        "from skynet_lite import socket as s, Node\nimport skynet_lite.lab\nimport json\ns.listen(0)\njson.x\nNode.y\n"
    )
    assert used(program) == {
        "skynet_lite.socket", "skynet_lite.socket.listen", "skynet_lite.Node", "skynet_lite", "skynet_lite.lab",
    }  # fmt: skip
    assert used("from skynet_lite import socket\ndef f(socket):\n    socket.nothing\n") == {"skynet_lite.socket"}
    assert spoken_of("see `skynet_lite.a.b`, skynet_lite/c.py and skynet_lite.d.") == {
        "skynet_lite.a.b",
        "skynet_lite.d",
    }
    for wrong in ("skynet_lite.nothing", "skynet_lite.socket.nothing", "skynet_lite.trace.nothing.more"):
        with pytest.raises((AttributeError, ModuleNotFoundError)):
            resolve(wrong)
    found = {name for path in DOCUMENTS for program in shown(ROOT / path) for name in used(program)}
    assert {"skynet_lite.socket.start", "skynet_lite.skynet.wakeup", "skynet_lite.check.check"} <= found
    assert len(found) > 60


def test_a_module_has_one_address_however_it_is_imported() -> None:
    """`import skynet_lite.X`, `from skynet_lite import X` and `skynet_lite.X`; each of the two first in its own process."""
    code = """
import os, sys
bad = []
for name in sys.argv[1:]:
    for first in ("import skynet_lite.{0}", "from skynet_lite import {0}"):
        child = os.fork()
        if child == 0:
            exec(first.format(name))
            exec(f"import skynet_lite, skynet_lite.{name} as a\\nfrom skynet_lite import {name} as b")
            one = sys.modules[f"skynet_lite.{name}"]
            os._exit(0 if one is a is b is getattr(skynet_lite, name) and one.__spec__.name == one.__name__ else 1)
        if os.waitpid(child, 0)[1]:
            bad.append(first.format(name))
print(bad)
"""
    done = subprocess.run([sys.executable, "-c", code, *MODULES], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    assert len(MODULES) > 20


def test_the_front_door_shows_what_it_has() -> None:
    """dir() is __all__, every name of it opens, and none is private."""
    assert dir(skynet_lite) == sorted(skynet_lite.__all__)
    for name in skynet_lite.__all__:
        assert name == "__version__" or not name.startswith("_")
        assert getattr(skynet_lite, name) is not None


@pytest.mark.parametrize("name", LIBRARIES)
def test_a_library_shows_what_is_meant_to_be_used(name: str) -> None:
    """dir() is __all__: names of our own that are there; no modules, nothing private, nothing of others."""
    module = getattr(skynet_lite, name)
    assert dir(module) == sorted(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    for shown in module.__all__:
        what = getattr(module, shown)
        assert not shown.startswith("_") and not isinstance(what, ModuleType), shown
        home = getattr(what, "__module__", "skynet_lite").split(".")[0]  # a constant has none
        assert home == ("greenlet" if what is skynet_lite.coroutine.running else "skynet_lite"), shown


def test_what_is_used_is_shown() -> None:
    """A name that the table of functions or a document uses stands in the dir() of its library; a module of it need not."""
    paths = {f"skynet_lite.{path}" for data in API.values() for path in data.get("ours", {}).values()}
    paths |= {name for path in DOCUMENTS for program in shown(ROOT / path) for name in used(program)}
    hidden = set()
    for path in paths:
        _, library, *rest = path.split(".")[:3] if path.count(".") else ("", "")
        module = getattr(skynet_lite, library) if library in LIBRARIES and rest else None
        if module and rest[0] not in dir(module) and not isinstance(getattr(module, rest[0], None), ModuleType):
            hidden.add(f"{library}.{rest[0]}")
    assert sorted(hidden) == []


def test_a_node_shows_what_is_meant_to_be_used() -> None:
    """Neither the class nor a node (of one worker, or more) shows private names, or modules."""
    with Node(bootstrap=False, log=list) as one, Node(bootstrap=False, log=list, thread=2) as two:
        for what in (Node, type(two), one, two):
            names = dir(what)
            assert [name for name in names if name.startswith("_") and not name.endswith("__")] == []
            assert [name for name in names if isinstance(inspect.getattr_static(what, name, None), ModuleType)] == []
            assert {"newservice", "call", "record", "close", "__enter__", "__doc__"} <= set(names)
        assert {"config", "log_lines", "handles"} <= set(dir(one)) & set(dir(two))


def test_the_keywords_of_a_node_are_the_keys_of_its_configuration() -> None:
    """config.Config says what a key means; keys.Keys repeats its name and type, for type checkers."""
    wanted = get_type_hints(Config)
    del wanted["folder"]  # follows from the file
    assert get_type_hints(Keys) == wanted
    assert Keys.__total__ is False


def test_the_signature_of_a_node_can_be_read() -> None:
    """`help(Node)` says which keywords there are, and where the others are named."""
    parameters = inspect.signature(Node).parameters
    assert list(parameters) == ["config", "log", "outside", "record", "keys"]
    assert "Keys" in str(parameters["keys"].annotation)


def test_a_wrong_keyword_is_an_error_of_types(tmp_path: Path) -> None:
    """mypy knows the keywords of a node, and their types."""
    head = "from skynet_lite import Node\n\n"
    (tmp_path / "right.py").write_text(
        head + 'with Node(thread=4, clock="virtual", log=list) as node:\n    node.run()\n'
    )
    (tmp_path / "name.py").write_text(head + "node = Node(treads=4)\n")
    (tmp_path / "type.py").write_text(head + 'node = Node(thread="4")\n')
    files = [str(tmp_path / f"{name}.py") for name in ("right", "name", "type")]
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", *files],
        cwd=ROOT, capture_output=True, text=True, timeout=240, env={"MYPYPATH": str(ROOT), "PATH": ""},
    )  # fmt: skip
    errors = sorted(line.split("/")[-1] for line in done.stdout.splitlines() if ": error:" in line)
    assert len(errors) == 2, done.stdout + done.stderr
    assert errors[0].startswith('name.py:3: error: Unexpected keyword argument "treads" for "Node"')
    assert errors[1].startswith('type.py:3: error: Argument "thread" to "Node" has incompatible type "str"')
