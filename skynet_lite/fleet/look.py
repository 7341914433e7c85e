"""Look at the nodes that `up` has started, by their debug consoles: how they are, and what they do.

One idea: all are asked at the same time, each for a while only. A node that hangs is seen, and holds up nobody.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any, TypeVar

from ..top.answers import services
from ..top.watch import PATIENCE, Connect, Console, Refused
from .state import State

T = TypeVar("T")
Connects = Callable[[int, float], Connect]
"""From the port of a console, and the seconds to wait for whether it trusts us, to what connects to it."""


def opened(node: dict[str, Any], connects: Connects, wait: float) -> Console:
    """Raises OSError, Refused."""
    if not node["console"]:
        raise Refused("it has no debug console")
    return Console(connects(node["console"], wait))


def every(f: Callable[[str], T], names: Iterable[str]) -> tuple[dict[str, T], dict[str, str]]:
    """`f` of each node, all at the same time; and of those where it raises OSError or Refused, why."""
    found, failed = dict[str, T](), dict[str, str]()
    with ThreadPoolExecutor() as pool:
        asked = {name: pool.submit(f, name) for name in names}
    for name, answer in asked.items():
        try:
            found[name] = answer.result()
        except (OSError, Refused) as e:
            failed[name] = getattr(e, "strerror", None) or str(e)
    return found, failed


def alive(state: State) -> dict[str, dict[str, Any]]:
    """Those that have not ended."""
    return {name: node for name, node in state["nodes"].items() if not node["ended"]}


def table(state: State | None, names: Sequence[str], connects: Connects, wait: float) -> int:
    """Print a table of the nodes; 1 if one does not run. `wait`: seconds for an answer. Raises ImportError."""
    from rich.console import Console as Terminal
    from rich.table import Table

    nodes = {} if state is None else state["nodes"]
    told, _ = every(lambda name: _figures(nodes[name], connects, wait), {} if state is None else alive(state))
    rows = Table("node", "state", "pid", "address", "console", box=None, pad_edge=False)
    for title in ("services", "mailbox", "messages"):
        rows.add_column(title, justify="right")
    for name in names:
        node = nodes.get(name, {"ended": "does not run"})
        if node["ended"]:
            rows.add_row(name, node["ended"], style="red")
        else:
            up_for, console = f"up for {_age(node['since'])}", str(node["console"] or "")
            figures = told.get(name, ["no answer"] if console else [])
            rows.add_row(name, up_for, str(node["pid"]), node["address"], console, *figures)
    terminal = Terminal(highlight=False)
    if not terminal.is_terminal:
        terminal.width = 1000  # in a pipe nothing is cut
    terminal.print(rows)
    return int(any(name not in nodes or nodes[name]["ended"] for name in names))


def _figures(node: dict[str, Any], connects: Connects, wait: float) -> list[str]:
    """Services, messages that wait, messages that were dispatched. Raises OSError, Refused."""
    with closing(opened(node, connects, wait)) as console:
        found = services(console.ask("list", wait), console.ask(f"stat {PATIENCE}", wait), [], [])
    return [str(len(found)), str(sum(s.mailbox or 0 for s in found)), f"{sum(s.messages or 0 for s in found):,}"]


def _age(since: float) -> str:
    minutes, seconds = divmod(int(max(0.0, time.time() - since)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
