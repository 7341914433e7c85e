"""Record all nodes at once, and put what they did together.

One idea: the consoles do it (`record`), each in its own node, and what a node sends comes before what another one
receives: so no clock is needed to lay the traces beside each other.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ..core.errors import SkynetError
from ..core.outside import secret_file
from ..top.watch import Console, Refused
from ..trace import Trace
from ..trace.export import PICTURES, kind_of, save
from ..trace.golden import BOOT
from .look import Connects, alive, every, within
from .state import State

BUILDING = 120.0  # seconds that a node may take to write what it has recorded


def record(
    state: State, connects: Connects, wait: float, seconds: float, words: list[str]
) -> tuple[dict[str, Trace], int]:
    """What the nodes do in so many seconds, or as long as a command runs; and the status of the command, else 0.

    A node that does not answer in `wait` seconds is left out, and named; 1 then, if the command has not failed.
    Ctrl-C ends it early. Raises SkynetError if none answers, OSError if there is no such command.
    """
    consoles: dict[str, Console] = {}

    def begin(name: str, node: dict[str, Any]) -> bool:
        with contextlib.suppress(OSError, Refused):
            token = Path(secret_file(f"console-{node['console']}")).read_text()
            console = consoles[name] = Console(connects(node["console"]))
            within(console, wait, f"token {token}", "record")
            return True
        return False

    with TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        nodes = {name: state["nodes"][name] for name, good in every(begin, alive(state)).items() if good}
        if not nodes:
            raise SkynetError("no node answers: they are recorded by their consoles, which --no-console leaves out")
        for console in consoles.values():
            stack.callback(console.close)
        status = 0
        with contextlib.suppress(KeyboardInterrupt):
            if words:
                status = subprocess.run(words).returncode
            else:
                time.sleep(seconds)

        def end(name: str, node: dict[str, Any]) -> Trace | None:
            with contextlib.suppress(OSError, Refused):
                within(consoles[name], BUILDING, f"record {folder}/{name}.json")
                return Trace.load(f"{folder}/{name}.json")
            return None

        found = {name: trace for name, trace in every(end, nodes).items() if trace is not None}
    for name, node in state["nodes"].items():
        if name not in found and not node["ended"]:
            print(f"{name} does not answer, and is left out")
            status = status or 1
    if not found:
        raise SkynetError("no node has told what it has recorded")
    return found, status if status >= 0 else 128 - status


def written(found: dict[str, Trace], path: Path, title: str) -> list[str]:
    """Write one file of all nodes; of nodes that had nothing to do with each other, one for each. Their names."""
    traces = [*found.values()]
    try:
        both = traces[0] if len(traces) == 1 else Trace.merge(*traces, names=[*found])
    except ValueError as e:
        print(f"{e}: a file for each")
        each = {path.with_stem(f"{path.stem}-{name}"): trace for name, trace in found.items()}
    else:
        each = {path: both}
    for file, trace in each.items():
        drawn = {"title": title, "services": _program(trace)} if kind_of(file) in (".html", *PICTURES) else {}
        save(trace, file, None, **drawn)
    return [str(file) for file in each]


def _program(trace: Trace) -> list[str] | None:
    """The services that are to be seen: those of the program, without the consoles that have recorded it."""
    left_out = {"", *BOOT, "debug_console"}
    return [address for address, name in trace.names().items() if name not in left_out] or None
