"""Look at the nodes that `up` has started, by their debug consoles: how they are, and what they do.

One idea: all are asked at the same time, each for a while only. A node that hangs is seen, and holds up nobody.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import Any, TypeVar

from ..top.answers import services
from ..top.watch import PATIENCE, Connect, Console, Refused
from .state import State

T = TypeVar("T")
Connects = Callable[[int], Connect]
"""From the port of a console to what connects to it."""


def within(console: Console, seconds: float, *commands: str) -> list[list[str]]:
    """The lines of each answer; the connection is given up if they take longer. Raises OSError, Refused."""
    late = threading.Timer(seconds, console.close)
    late.start()
    try:
        return [console.ask(command) for command in commands]
    finally:
        late.cancel()


def every(f: Callable[[str, dict[str, Any]], T], nodes: dict[str, dict[str, Any]]) -> dict[str, T]:
    """`f` of each node, all at the same time."""
    with ThreadPoolExecutor(max(1, len(nodes))) as pool:
        return dict(zip(nodes, pool.map(f, nodes, nodes.values()), strict=True))


def alive(state: State) -> dict[str, dict[str, Any]]:
    """Those that have not ended, and have a console."""
    return {name: node for name, node in state["nodes"].items() if not node["ended"] and node["console"]}


def table(state: State | None, names: Sequence[str], connects: Connects, wait: float) -> int:
    """Print a table of the nodes; 1 if one does not run. `wait`: seconds for an answer. Raises ImportError."""
    from rich.console import Console as Terminal
    from rich.table import Table

    nodes = {} if state is None else state["nodes"]
    told = {} if state is None else every(lambda name, node: _figures(connects(node["console"]), wait), alive(state))
    rows = Table("node", "state", "pid", "address", "console", box=None, pad_edge=False)
    for title in ("services", "mailbox", "messages"):
        rows.add_column(title, justify="right")
    for name in names:
        node = nodes.get(name, {"ended": "does not run"})
        if node["ended"]:
            rows.add_row(name, node["ended"], style="red")
        else:
            up_for, console = f"up for {_age(node['since'])}", str(node["console"] or "")
            rows.add_row(name, up_for, str(node["pid"]), node["address"], console, *told.get(name, []))
    terminal = Terminal(highlight=False)
    if not terminal.is_terminal:
        terminal.width = 1000  # in a pipe nothing is cut
    terminal.print(rows)
    return int(any(name not in nodes or nodes[name]["ended"] for name in names))


def _figures(connect: Connect, wait: float) -> list[str]:
    """Services, messages that wait, messages that were dispatched."""
    with suppress(OSError, Refused), closing(Console(connect)) as console:
        listed, stat = within(console, wait, "list", f"stat {PATIENCE}")
        found = services(listed, stat, [], [])
        return [str(len(found)), str(sum(s.mailbox or 0 for s in found)), f"{sum(s.messages or 0 for s in found):,}"]
    return ["no answer"]


def _age(since: float) -> str:
    minutes, seconds = divmod(int(max(0.0, time.time() - since)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
