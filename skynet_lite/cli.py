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
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import __version__
from .core.errors import DriveTimeout, SkynetError

if TYPE_CHECKING:
    from .node import Node
    from .skynet import Scheduler

USAGE_ERROR = 2
INTERRUPTED = 130  # what a shell reports for a program ended by Ctrl-C
HOUR = 360_000  # ticks
STARTING = ("loading", "starting")


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
    _add_program(sub, "CONFIG.toml | SERVICE.py")

    sub = commands.add_parser(
        "trace",
        help="run a service under the virtual clock and print its trace",
        description="Runs SERVICE.py under the virtual clock until nothing can run, and prints the trace as text.",
    )
    sub.add_argument("--ticks", type=int, default=HOUR, help="virtual time to stop at, in 10 ms (default: an hour)")
    _add_program(sub, "SERVICE.py")

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


def _add_program(sub: argparse.ArgumentParser, metavar: str) -> None:
    sub.add_argument("program", metavar=metavar)
    args = sub.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="strings for the start function")
    args.required = False  # Python 3.11 and 3.12 would name it as missing


# ---------------------------------------------------------------------- programs


def run(program: str, args: list[str]) -> int:
    """Run a configuration or a service in the foreground. Raises UsageError, SkynetError."""
    path = _file(program, (".toml", ".py"), "CONFIG.toml or SERVICE.py")
    configured = path.suffix == ".toml"
    if configured and args:
        raise UsageError(f"{program} takes no arguments: put them into its table [env]")
    node, log = _node(path)
    if configured and node.config.start is None:
        node.close()
        raise UsageError(f'{program} names no service to start: add start = "name"')
    with node, _stop_signals(node) as stopped:
        service = _configured(node) if configured else _launched(node, program, args)
        node.run(until=lambda: stopped.is_set() or not node.global_queue)
        _check_start(service, log)
        log.release()
        try:
            # Not run(until=...), which looks after every message and every 50 ms: the signals wake the node.
            node._drive_until(lambda: stopped.is_set() or service.start_state not in STARTING, None, "the start")
            _check_start(service, log)
            node._drive_until(stopped.is_set, None, "the end")
        except DriveTimeout:  # no limit was given: this says that nothing is left that could run
            if configured:
                stopped.wait()  # a node of a configuration is there until it is told to go
    return 0


def trace(program: str, args: list[str], ticks: int) -> int:
    """Run a service in virtual time and print the canonical text. Raises UsageError, SkynetError."""
    path = _file(program, (".py",), "SERVICE.py")
    node, log = _node(path, clock="virtual")
    status = 0

    def over() -> bool:
        tick = node.timer.next_deadline()
        return not node._future() or (tick is not None and tick > ticks and not node.global_queue)

    with node:
        with node.record() as recorded:
            service = _launched(node, program, args)
            try:
                node.run(until=over)
            except KeyboardInterrupt:
                status = INTERRUPTED
        _check_start(service, log)
        log.release()
        if len(node.timer) and not status:
            print(f"skynet-lite: stopped at tick {node.clock.now()}, timers are left; see --ticks", file=sys.stderr)
    print(recorded.text(), flush=True)
    return status


def _file(program: str, suffixes: tuple[str, ...], wanted: str) -> Path:
    path = Path(program)
    if path.suffix not in suffixes:
        raise UsageError(f"{program!r} is no program: give {wanted}")
    if not path.is_file():
        raise UsageError(f"no such file: {program}")
    return path


def _node(path: Path, **keys: Any) -> tuple[Node, _Log]:
    """The node for a program; services and modules beside it are found, as `python FILE` would."""
    from .config import ENV_PREFIX, Config, load
    from .node import Node

    folder = path.resolve().parent
    sys.path.insert(0, str(folder))
    config = path if path.suffix == ".toml" else None
    if config is None and f"{ENV_PREFIX}LUASERVICE" not in os.environ:
        keys["luaservice"] = f"{folder}/?.py;{folder}/service/?.py;{Config.luaservice}"
    log = _Log()
    to_file = load(config, keys).logger is not None
    return Node(config, log=None if to_file else log.write, **keys), log


def _launched(node: Node, program: str, args: list[str]) -> Scheduler:
    return node.service(node.newservice(program, *args, wait=False))


def _configured(node: Node) -> Scheduler:
    """The service that the bootstrap has started."""
    node.run_until_idle()
    return node._newest[node.env.get("start") or ""]


class _Log:
    """Lines for stderr, held back until `release`."""

    def __init__(self) -> None:
        self.held: list[str] | None = []

    def write(self, line: str) -> None:
        if self.held is None:
            print(line, file=sys.stderr, flush=True)
        else:
            self.held.append(line)

    def release(self) -> None:
        lines, self.held = self.held or [], None
        for line in lines:
            self.write(line)


def _check_start(service: Scheduler, log: _Log) -> None:
    """Raises UsageError if the start has failed, with the innermost place if the log has it."""
    if service.start_state != "failed":
        return
    service.node.run_until_idle()  # for the last lines of the log
    places = re.findall(r"^  (\S+:\d+) in ", "\n".join(log.held or ()), re.MULTILINE)
    at = f" (at {places[-1]})" if places else ""
    raise UsageError(f"service {service.name} did not start: {service.init_error}{at}")


@contextlib.contextmanager
def _stop_signals(node: Node) -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set, from before the start on; the second signal kills.

    Node.run_forever has handlers of its own, but only once the service has started.
    """
    stopped = threading.Event()

    def asked(signum: int, frame: object) -> None:
        signal.signal(signum, signal.SIG_DFL)
        stopped.set()
        node.stop()

    before = {s: signal.signal(s, asked) for s in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopped
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)
