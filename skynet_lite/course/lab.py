"""What the notebooks of the course do all the time: a fresh node that is recorded, a look at tables, a look at code.

One idea: a notebook is run again, and interrupted, at any place. So `lab()` first
closes what the run before has left, and no cell has to care.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import ExitStack
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from ..node.node import Node
from ..trace import Trace
from .cycle import cycle as cycle
from .frozen import frozen as frozen
from .learn import course
from .where import where as where

HOME = Path(__file__).parent.parent
ANCHOR = re.compile(r"DOC: ([\w-]+\w)")

_left = ExitStack()


def lab(**keys: Any) -> tuple[Node, Trace]:
    """A booted node under the virtual clock, its log in `node.log_lines`, and the trace of what it does from now on.

    The node of the `lab()` before is closed. `keys`: as for `Node`.
    """
    _left.close()
    node = _left.enter_context(Node(**{"clock": "virtual", "log": list, **keys}))
    trace = _left.enter_context(node.record())
    node.run_until_idle()
    return node, trace


@cache
def recording(name: str) -> Trace:
    """A recording of the real skynet that came with the course: a file, or the streams of a node.

    Raises FileNotFoundError, and LearnError if there is no course.
    """
    for path in (course() / "data" / f"{name}.json", course() / "data" / name):
        if path.exists():
            return Trace.load(path, root=path)  # its Lua files are beside the streams
    raise FileNotFoundError(f"the course has no recording {name!r}")


def show(node: Node, addr: int, *names: str) -> None:
    """Print tables of a service of `node`, one a line; without `names` all that are not empty.

    Raises KeyError for a table that no service has.
    """
    tables = node.service(addr).tables()
    for name in names or [name for name in tables if tables[name] not in ({}, [], None, "")]:
        if name not in tables:
            raise KeyError(f"no table {name!r}; there are {', '.join(tables)}")
        print(f"{name:22} {tables[name]}")


def marks(trace: Trace) -> list[str]:
    """The texts of all marks, in their order."""
    return [event["text"] for event in trace if event["e"] == "mark"]


def code(anchor: str, *without: str) -> None:
    """Print the code at a `DOC:` anchor, under the name of its file and function. Its docstring is left out.

    A statement that begins with one of the texts `without` gives way to an ellipsis that says how many lines it had.
    Raises KeyError for an anchor that is not there, and ValueError for a text that no statement begins with.
    """
    if anchor not in anchors():
        raise KeyError(f"no anchor {anchor!r}; there are {', '.join(sorted(anchors()))}")
    file, name = anchors()[anchor]
    text = (HOME / file).read_text(encoding="utf-8")
    node = next(node for found, node, _ in _named(ast.parse(text)) if found == name)
    lines = [line[node.col_offset :] for line in text.splitlines()]
    left_out: set[int] = set()
    for beginning in without:
        found = {n for part in ast.walk(node) if isinstance(part, ast.stmt) and part is not node
                 and lines[part.lineno - 1].lstrip().startswith(beginning)
                 for n in range(part.lineno, (part.end_lineno or 0) + 1)}  # fmt: skip
        if not found:
            raise ValueError(f"no statement of {name} begins with {beginning!r}")
        left_out |= found
    doc = range(0)
    if not isinstance(node, ast.Assign):  # the anchor stands there
        doc = range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    print(f"# skynet_lite/{file} · {name}")
    shown = (n for n in range(node.lineno, (node.end_lineno or 0) + 1) if n not in doc)
    for gone, block in groupby(shown, left_out.__contains__):
        numbers = list(block)
        first = lines[numbers[0] - 1]
        indent = first[: len(first) - len(first.lstrip())]
        print(
            f"{indent}...  # {len(numbers)} line{'s' * (len(numbers) > 1)}"
            if gone
            else "\n".join(lines[n - 1] for n in numbers)
        )


@cache
def anchors() -> dict[str, tuple[str, str]]:
    """Each `DOC:` anchor of the package: its file, and the name that it stands under."""
    found = {}
    for path in sorted(HOME.rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        if "DOC: " in text:
            for name, _, doc in _named(ast.parse(text)):
                for anchor in ANCHOR.findall(doc):
                    found[anchor] = (path.relative_to(HOME).as_posix(), name)
    return found


Named = ast.FunctionDef | ast.ClassDef | ast.Assign


def _named(tree: ast.AST, prefix: str = "") -> Iterator[tuple[str, Named, str]]:
    """Functions, classes and documented tables: name, node, docstring."""
    nodes = list(ast.iter_child_nodes(tree))
    for node, after in zip(nodes, [*nodes[1:], None], strict=True):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield prefix + node.name, node, ast.get_docstring(node) or ""
            yield from _named(node, prefix + node.name + ".")
        elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and isinstance(after, ast.Expr):
            yield node.targets[0].id, node, str(getattr(after.value, "value", ""))
