"""The console's formatting: tables as lines of text, and words of a line as values.

After service/debug_console.lua (format_table, dump_list, convert_stat, call).
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from ..core.errors import SkynetError, shown
from ..core.handle import address_text

CONTROLS = {c: f"\\x{c:02x}" for c in (*range(32), *range(127, 160)) if c not in b"\t\n"}
"""For str.translate: control characters that a terminal would obey, as visible text."""
WELCOME, OK, ERROR = "Welcome to skynet console", "<CMD OK>", "<CMD Error>"
MANY = 200
"""More services than this are too much for a look at all that goes on in them (verdicts)."""
LUA = {"nil": None, "true": True, "false": False}


def tostring(value: Any) -> str:
    """A value as Lua prints it; what is nested deeper than a line can show, as Python does."""
    if value is None or isinstance(value, bool):
        return next(name for name, meant in LUA.items() if meant is value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "surrogateescape")
    if isinstance(value, float):
        text = f"{value:.14g}"
        return text + ".0" if text.lstrip("-").isdigit() else text
    return str(value)


def pairs(table: Any) -> list[tuple[str, Any]]:
    """Keys as text, sorted as text; a list counts from 1. What is None is not there."""
    items = table.items() if isinstance(table, dict) else enumerate(iter(table), 1)
    return sorted((tostring(key), value) for key, value in items if value is not None)


def dump_list(table: Any) -> list[str]:
    """A line for each entry: its key, a tab, its value; a table inside is flattened, key:value with tabs."""
    lines = []
    for key, value in pairs(table):
        if isinstance(value, (dict, list, tuple)):
            value = "\t".join(f"{k}:{tostring(v)}" for k, v in pairs(value))
        lines.append(f"{key}\t{tostring(value)}")
    return lines


def rows(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """What `dump_list` has written: key TAB value."""
    for line in lines:
        key, tab, value = line.partition("\t")
        if tab:
            yield key, value


def fields(value: str) -> dict[str, str]:
    """A table that was flattened into one line: name:value TAB name:value."""
    return {name: text for name, colon, text in (word.partition(":") for word in value.split("\t")) if colon}


def socket_row(row: dict[str, Any], now: int) -> dict[str, Any]:
    """A row of socket.netstat at tick `now`, with sizes and ages for people."""
    shown: dict[str, Callable[[int], str | None]] = {
        "address": address_text, **dict.fromkeys(("read", "write", "wbuffer"), size_text),
        **dict.fromkeys(("rtime", "wtime"), lambda ti: age_text(now - ti)),
    }  # fmt: skip
    return {key: shown[key](value) if key in shown else value for key, value in row.items()}


def size_text(size: int) -> str | None:
    if size < 1024:
        return str(size) if size else None
    return f"{tostring(size / 1024)}K" if size < 1024 * 1024 else f"{tostring(size / (1024 * 1024))}M"


def age_text(ti: int) -> str:
    if ti < 6000:
        return f"{tostring(ti / 100)}s"
    hour, rest = divmod(ti, 360_000)
    minute, rest = divmod(rest, 6000)
    return f"{f'{hour}:' if hour else ''}{minute}:{rest / 100:.2g}s"


def number(text: str) -> float:
    """Raises SkynetError if it is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise SkynetError(f"{shown(text)} is no number")
    return value


def literals(text: str) -> list[Any]:
    """Python literals, separated by commas; nil, true and false too. Raises SkynetError."""
    try:
        call: Any = ast.parse(f"f({text.strip()}\n)", mode="eval").body
    except (SyntaxError, ValueError):
        call = None
    if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.keywords:
        raise SkynetError("Invalid arguments")
    values = []
    for node in call.args:
        try:
            values.append(ast.literal_eval(_Lua().visit(node)))
        except ValueError:
            raise SkynetError(f'{ast.unparse(node)} is no literal: give values, as "ADD", 1, 2') from None
    return values


class _Lua(ast.NodeTransformer):
    """Lua's names of values, as Python's."""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if node.id not in LUA:
            raise SkynetError(f'nothing is called {node.id!r} here: give literals, as "ADD", 1, 2')
        return ast.Constant(LUA[node.id])
