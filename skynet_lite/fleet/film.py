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

from ..core.errors import SkynetError
from ..top.watch import Console
from ..trace import Trace
from ..trace.export import PICTURES, kind_of, save
from ..trace.golden import BOOT
from .look import Connects, alive, every, opened
from .state import State

BUILDING = 120.0  # seconds that a node may take to write what it has recorded


def record(
    state: State, connects: Connects, wait: float, seconds: float, words: list[str]
) -> tuple[dict[str, Trace], int]:
    """What the nodes do in so many seconds, or as long as a command runs; and the status of the command, else 0.

    A node that does not answer in `wait` seconds is left out, and why is said; 1 then, if the command has not failed.
    Ctrl-C ends it early. Raises SkynetError if none answers, OSError if there is no such command.
    """
    with TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        nodes = alive(state)

        def begin(name: str) -> Console:
            console = opened(nodes[name], connects, wait)
            stack.callback(console.close)
            console.ask("record", wait)
            return console

        def end(name: str) -> Trace:
            consoles[name].ask(f"record {folder}/{name}.json", BUILDING)
            return Trace.load(f"{folder}/{name}.json")

        consoles, left_out = every(begin, nodes)
        if not consoles:
            raise SkynetError(_none(left_out))
        status = 0
        with contextlib.suppress(KeyboardInterrupt):
            if words:
                status = subprocess.run(words).returncode
            else:
                time.sleep(seconds)
        found, lost = every(end, consoles)
    left_out |= lost
    if not found:
        raise SkynetError(_none(left_out))
    for name, why in left_out.items():
        print(f"{name} is left out: {why}")
        status = status or 1
    return found, status if status >= 0 else 128 - status


def _none(left_out: dict[str, str]) -> str:
    why = [f"{name}: {why}" for name, why in left_out.items()]
    return f"no node can be recorded: {'; '.join(why) or 'none has been started yet'}"


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
