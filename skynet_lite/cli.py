"""The command skynet-lite: run a program, print its trace, open the course.

What a user gets wrong on the command line is answered by one line on stderr and
exit status 2. The log of a node goes to stderr too; it is held back for as long as
the start has not had to wait for anything, so that a program which fails at once
leaves that one line, with the place in it.

After skynet-src/skynet_main.c.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from . import __version__
from .core.errors import DriveTimeout, SkynetError

if TYPE_CHECKING:
    from .node import Node
    from .skynet import Scheduler

USAGE_ERROR = 2
INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C
HOUR = 360_000  # ticks


class UsageError(Exception):
    """What the user has to change; the text is the line they see."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (see {self.prog} --help)")


def main(argv: list[str] | None = None) -> int:
    """The entry point; returns the exit status."""
    try:
        return _main(argv)
    except (UsageError, SkynetError) as e:
        print(f"skynet-lite: {' '.join(str(e).split())}", file=sys.stderr)
        return USAGE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `skynet-lite trace … | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor at the flush on exit
        return 0


def _main(argv: list[str] | None) -> int:
    options = _parser().parse_args(argv)
    if options.command == "run":
        return run(options.program, options.args)
    if options.command == "trace":
        return trace(options.program, options.args, options.ticks)
    from . import learn

    try:
        if options.check:
            return learn.check()
        return learn.open_course(options.dir, options.port, options.browser)
    except learn.LearnError as e:
        raise UsageError(str(e)) from e


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="skynet-lite", description="Run actor programs, print what they did, open the course.")
    parser.add_argument("--version", action="version", version=f"skynet-lite {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    sub = commands.add_parser(
        "run",
        help="run a program until it has nothing more to do, Ctrl-C or SIGTERM",
        description="Runs the service that CONFIG.toml names with its key start, until Ctrl-C or SIGTERM; "
        "or SERVICE.py with ARGS, which also ends when nothing is left to do: no message, timer or socket.",
    )
    sub.add_argument("program", metavar="CONFIG.toml | SERVICE.py")
    sub.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="what the start function gets, as strings")

    sub = commands.add_parser(
        "trace",
        help="run a service under the virtual clock and print its trace",
        description="Runs SERVICE.py under the virtual clock until nothing can run, and prints the trace as text.",
    )
    sub.add_argument("--ticks", type=int, default=HOUR, help="virtual time to stop at, in 10 ms (default: an hour)")
    sub.add_argument("program", metavar="SERVICE.py")
    sub.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="what the start function gets, as strings")

    sub = commands.add_parser(
        "learn",
        help="open the course in JupyterLab",
        description="Opens the notebooks in JupyterLab, on a free port and with a token.",
    )
    sub.add_argument("--no-browser", dest="browser", action="store_false", help="print the address, open nothing")
    sub.add_argument("--check", action="store_true", help="run the first notebook without a browser, print its trace")
    sub.add_argument("--dir", metavar="FOLDER", help="copy the notebooks there, and open the copies")
    sub.add_argument("--port", metavar="N", type=int, default=0, help="the port to use instead of a free one")
    return parser


# ---------------------------------------------------------------------- run


def run(program: str, args: list[str]) -> int:
    """Run a configuration or a service in the foreground. Raises UsageError, SkynetError."""
    from .node import Node

    path = _file(program, (".toml", ".py"), "CONFIG.toml or SERVICE.py")
    configured = path.suffix == ".toml"
    if configured and args:
        raise UsageError(f"{program} takes no arguments: put them into its table [env]")
    log = _Log()
    node = Node(path, log=log.write) if configured else Node(log=log.write, **_beside(path))
    # A configured log file is no business of the terminal's: let Node open it itself.
    if node.config.logger is not None:
        node.close()
        node = Node(path) if configured else Node(**_beside(path))
    if configured and node.config.start is None:
        node.close()
        raise UsageError(f'{program} names no service to start: add start = "name"')
    with node, _stopped(node) as stopped:
        service = _configured(node) if configured else _launched(node, program, args)
        node.run(until=lambda: stopped.is_set() or not node.global_queue)
        _check_start(service, log)
        log.open()
        with contextlib.suppress(DriveTimeout):  # without a limit: nothing is left that could run
            node.run(until=lambda: stopped.is_set() or service.start_state not in ("loading", "starting"))
            _check_start(service, log)
            node.run(until=stopped.is_set)
            return 0
        if configured:
            stopped.wait()
    return 0


def trace(program: str, args: list[str], ticks: int) -> int:
    """Run a service in virtual time and print the canonical text. Raises UsageError, SkynetError."""
    from .node import Node

    path = _file(program, (".py",), "SERVICE.py")
    log = _Log()
    status = 0
    with Node(log=log.write, clock="virtual", **_beside(path)) as node:
        with node.record() as recorded:
            service = _launched(node, program, args)
            try:
                node.run(until=lambda: node.clock.now() >= ticks or not node._future())
            except KeyboardInterrupt:
                status = INTERRUPTED
        _check_start(service, log)
        log.open()
        if len(node.timer) and not status:
            print(f"skynet-lite: stopped at tick {node.clock.now()}, timers are left (--ticks)", file=sys.stderr)
    print(recorded.text())
    return status
