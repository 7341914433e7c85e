"""`skynet-lite cluster up|ps|trace FILE`: the nodes of one file as processes of this machine.

One idea: each is what `skynet-lite run FILE --node NAME` makes, the same as under systemd or in a container. So
nothing here is needed to run a cluster; it starts one on a desk, and looks at it.
"""

from __future__ import annotations

import argparse
import os
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .look import Connects

PARTS = {
    "up": ("start each node as a process of its own, and tell what they say",
        "Starts each node as a process of its own and passes on what it says, each line behind the name of its node. "
        "How a node ends is said, and the others go on. Ctrl-C or SIGTERM stops all, a second one kills them. "
        "Status: that of the first node that failed (128 + N: signal N killed it), else 0."),
    "ps": ("list the nodes", "Lists the nodes that `cluster up` has started. Status 1: one does not run. "
        "Needs the extra top."),
    "trace": ("record all nodes, and draw what they did together",
        "Records the nodes that `cluster up` has started, for some seconds or as long as COMMAND runs, and writes one "
        "page (or what --save names). Ctrl-C ends the recording. Status: that of COMMAND, else 1 if a node did not "
        "answer."),
}  # fmt: skip
"""What the help says of each: in the list, and on its own page."""


def options(parser: argparse.ArgumentParser) -> None:
    """What can be said on the command line; `part` is what does it."""
    parts = parser.add_subparsers(metavar="COMMAND", required=True)
    made = {name: parts.add_parser(name, help=short, description=about) for name, (short, about) in PARTS.items()}
    for sub, part in zip(made.values(), (up, ps, trace), strict=True):
        sub.set_defaults(part=part if os.name != "nt" else _nowhere)
        sub.add_argument("file", metavar="CONFIG.toml")
    made["up"].add_argument("--abort-on-exit", action="store_true", help="if one node ends, stop the others")
    made["up"].add_argument("--no-console", dest="console", action="store_false", help="start no debug consoles")
    for name in ("ps", "trace"):
        made[name].add_argument(
            "--wait", metavar="S", type=float, default=5.0, help="for an answer (default: 5 seconds)"
        )
    sub = made["trace"]
    sub.usage = "%(prog)s [options] CONFIG.toml [-- COMMAND ...]"
    sub.add_argument("--seconds", type=float, default=3.0, help="how long to record without a COMMAND (default: 3)")
    kinds = ".html .json .jsonl .txt .mmd .chrome.json .png .svg .pdf"
    sub.add_argument("--save", metavar="FILE", action="append", default=[], help=f"write what the suffix says: {kinds}")


def up(file: Path, options: argparse.Namespace, connects: Connects) -> int:
    """Start all nodes, until they have ended; see processes.Up. Raises SkynetError, OSError, BrokenPipeError."""
    from .plan import Ports, plan
    from .processes import Up, Voices
    from .state import Held

    with closing(Ports()) as ports, closing(Held(file)) as held:
        made = plan(file, ports, options.console)
        colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        voices = Voices([member.name for member in made.members], sys.stdout.buffer, colour)
        return Up(made, held, voices, options.abort_on_exit).run()


def ps(file: Path, options: argparse.Namespace, connects: Connects) -> int:
    """Print a table of the nodes; 1 if one does not run. Raises ConfigError, ValueError, ImportError without rich."""
    from ..node.config import nodes_of
    from .look import table
    from .state import running

    return table(running(file), nodes_of(file), connects, _within(options.wait, "--wait"))


def trace(file: Path, options: argparse.Namespace, connects: Connects) -> int:
    """Record all nodes; the status of the command, else 1 if one did not answer. Raises SkynetError, ValueError,
    OSError."""
    from ..core.errors import SkynetError
    from ..trace.export import kind_of
    from .film import record, written
    from .state import running

    paths = [Path(name) for name in options.save or [f"trace-{file.stem}.html"]]
    for path in paths:
        kind_of(path)
    seconds, wait = _within(options.seconds, "--seconds"), _within(options.wait, "--wait")
    state = running(file)
    if state is None:
        raise SkynetError(f"the nodes of {file} do not run: start them with skynet-lite cluster up")
    found, status = record(state, connects, wait, seconds, options.words)
    told = ", ".join(f"{name}: {len(trace)} events" for name, trace in found.items())
    files = [name for path in paths for name in written(found, path, str(file))]
    print(told, *files, sep="\n")
    return status


def _nowhere(file: Path, options: argparse.Namespace, connects: Connects) -> int:
    raise ValueError("cluster needs signals and locks as Unix has them: run each node by skynet-lite run FILE --node")


def _within(seconds: float, option: str) -> float:
    if not 0 < seconds <= 3600:
        raise ValueError(f"{option} {seconds:g}: give more than 0, and up to 3600 seconds")
    return seconds
