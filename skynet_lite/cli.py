"""The command skynet-lite: run a program, see its trace, compare two, talk to a node, begin one, open the course.

What a user gets wrong on the command line is answered by one line on stderr and
exit status 2. The log of a node goes to stderr too; it is held back for as long as
the start has not had to wait for anything, so that a program which fails at once
leaves that one line, with the place in it.

After skynet-src/skynet_main.c.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from . import __version__, fleet
from .core.errors import CallError, DriveTimeout, SkynetError
from .core.places import format_error
from .drive.breaking import broken_off

if TYPE_CHECKING:
    from .node.node import Node
    from .skynet.scheduler import Scheduler
    from .trace import Diff, Trace

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
    argv = sys.argv[1:] if argv is None else argv
    split = "--" in argv and (argv[:1] == ["trace"] or argv[:2] == ["cluster", "trace"])
    last = argv.index("--") if split else len(argv)
    options, rest = _parser().parse_known_args(argv[:last])
    unknown = [word for word in rest if options.command != "trace" or re.match(r"-[^\d]", word)]
    if unknown:
        hint = " (what is for the service comes after --)" if options.command == "trace" else ""
        raise UsageError(f"unrecognized arguments: {' '.join(unknown)}{hint}; see skynet-lite {options.command} --help")
    if options.command == "trace":
        return trace(options, [*rest, *argv[last + 1 :]])
    options.words = argv[last + 1 :]
    status: int = options.do(options)
    return status


_COMMANDS = {
    "run": ("run a program until it has nothing more to do, Ctrl-C or SIGTERM",
        "Runs the service that CONFIG.toml names with its key start, until Ctrl-C or SIGTERM; "
        "or SERVICE.py with ARGS, which also ends when nothing is left to do: no message, timer or socket. "
        "At the end services run what skynet.on_stop was given; a second signal ends it at once. "
        'With daemon = "PIDFILE" in CONFIG.toml it goes to the background; SIGHUP opens its log file anew.'),
    "cluster": ("start the nodes of a file as processes, list them, trace them",
        "A file with a table [node.NAME] for each node, and [cluster] with their addresses."),
    "trace": ("run a service under the virtual clock; print, draw or save its trace",
        "Runs SERVICE.py with ARGS under the virtual clock until nothing can run, and prints the trace as "
        "text. Of a saved trace (.json, .jsonl), say a flight recorder's, or a folder that a probe has written to, "
        "it does so without a run. What begins with - and is meant for the service comes after --."),
    "diff": ("compare two saved traces",
        "Shows where two traces part. Status 0: the same, 1: different, 2: one cannot be read."),
    "console": ("talk to the debug console of a running node",
        "Talks to a debug console. On a terminal with history and completion, until Ctrl-D; else it says "
        "the lines of its input, and ends with status 1 if one was answered with <CMD Error>."),
    "probe": ("record a real skynet: write the probe, and say what to do with it",
        "Writes probe.lua into FOLDER (default: ./probe), and says what line to add to the configuration of a node of "
        "skynet 1.1 to 1.8, or what to type into its debug console. What its services then write into FOLDER is drawn "
        "by `skynet-lite trace FOLDER`, and compared by `skynet-lite diff`."),
    "new": ("begin a project", "Writes a project that runs into the new folder NAME: services, test, configuration."),
    "examples": ("list the examples, or write one into a folder",
        "Lists the programs that come with skynet_lite, or writes one into ./NAME (or FOLDER), to be run and changed."),
    "top": ("watch the services of a running node, ours or skynet's, in the terminal",
        "Shows the services of a node in a table, by its debug console: messages and CPU a second, mailboxes, "
        "tasks, sockets. Keys 1 to 9 sort, Enter looks into a service, q ends. Needs the extra top."),
    "attach": ("look at a node that hangs, ours or skynet's: who waits for whom, as one page",
        "Asks the debug console of a node all that changes nothing, writes one page (who waits for whom, services, "
        "stacks, sockets) and prints what is wrong. Whom a call waits for stands in no stack of a real skynet: where "
        "the files of its services are at hand, it is read from the line, and said to be a guess."),
    "grade": ("check the notebooks of a class, for teachers",
        "Runs the exercises of FOLDER/<student>/NN_*.ipynb (FOLDER/<student>/zh too), each notebook in a process "
        "of its own, and writes a table: student, notebook, exercise, passed (yes, no, not answered), what was said. "
        "Status 1: some copy could not be graded. It runs the code of students: do it in a container."),
    "learn": ("open the course in JupyterLab", "Opens the notebooks in JupyterLab, on a free port and with a token."),
}  # fmt: skip
"""What the help says of each command: in the list of all, and on its own page."""


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="skynet-lite", description="Run actor programs, see what they did, open the course.")
    parser.add_argument("--version", action="version", version=f"skynet-lite {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    made = {
        name: commands.add_parser(name, help=short, description=about) for name, (short, about) in _COMMANDS.items()
    }

    sub = made["run"]
    sub.set_defaults(do=run)
    _options_of_run(sub)
    sub.add_argument("program", metavar="CONFIG.toml | SERVICE.py")
    args = sub.add_argument("args", metavar="ARGS", nargs=argparse.REMAINDER, help="strings for the start function")
    args.required = False  # Python 3.11 and 3.12 would name it as missing

    fleet.options(made["cluster"])
    made["cluster"].set_defaults(do=cluster)

    sub = made["trace"]
    sub.usage, sub.allow_abbrev = "%(prog)s [options] PROGRAM [ARGS ...] [options] [-- ARGS ...]", False
    sub.add_argument("program", metavar="SERVICE.py | TRACE.json | FOLDER")
    sub.add_argument("--ticks", type=int, default=HOUR, help="virtual time to stop at, in 10 ms (default: an hour)")
    talk = "when nothing can run, send TEXT (with \\n, \\x00) to the first port listened to; print what comes back"
    sub.add_argument("--send", metavar="TEXT", action="append", default=[], type=_unescaped, help=talk)
    sub.add_argument("--html", metavar="FILE", help="write the viewer, a page of its own")
    sub.add_argument("--png", metavar="FILE", help="write the timeline (.png, .svg or .pdf)")
    sub.add_argument("--chrome", metavar="FILE", help="write Chrome's trace format, for ui.perfetto.dev")
    kinds = ".json .jsonl .txt .mmd .chrome.json .html .png .svg .pdf"
    sub.add_argument("--save", metavar="FILE", action="append", default=[], help=f"write what the suffix says: {kinds}")
    sub.add_argument("--title", help="the title of the timeline and the page")
    sub.add_argument("--quiet", action="store_true", help="print no text")

    sub = made["diff"]
    sub.set_defaults(do=diff)
    sub.add_argument("left", metavar="LEFT")
    sub.add_argument("right", metavar="RIGHT")
    sub.add_argument("--width", type=int, default=160, help="columns of the text (default: 160)")
    sub.add_argument("--context", type=int, default=3, help="equal events around each difference (default: 3)")
    sub.add_argument("--html", metavar="FILE", help="write the viewer with both")

    sub = made["console"]
    sub.set_defaults(do=lambda options: console(options.address))
    sub.add_argument("address", metavar="[HOST:]PORT")

    sub = made["probe"]
    sub.set_defaults(do=lambda options: probe(options.folder))
    sub.add_argument("folder", metavar="FOLDER", nargs="?", default="probe")

    sub = made["new"]
    sub.set_defaults(do=lambda options: new(options.name))
    sub.add_argument("name", metavar="NAME")

    sub = made["examples"]
    sub.set_defaults(do=lambda options: examples(options.name, options.folder))
    sub.add_argument("name", metavar="NAME", nargs="?")
    sub.add_argument("folder", metavar="FOLDER", nargs="?")

    sub = made["top"]
    sub.set_defaults(do=lambda options: top(options.address, options.every))
    sub.add_argument("address", metavar="[HOST:]PORT")
    sub.add_argument("--every", metavar="SECONDS", type=float, default=1.0, help="between two looks (default: 1)")

    sub = made["attach"]
    sub.set_defaults(do=attach)
    sub.add_argument("address", metavar="[HOST:]PORT")
    sub.add_argument("--out", metavar="FILE", help="the page (default: attach-HOST-PORT.html)")
    for what, shown in (("text", "also who waits for whom"), ("json", "everything as JSON")):
        about = f"print {shown}; a page only with --out"
        sub.add_argument(f"--{what}", dest="shown", action="store_const", const=what, default="", help=about)
    sub.add_argument("--source", metavar="FOLDER", default=".", help="where the node was started (default: here)")
    sub.add_argument("--wait", metavar="SECONDS", type=float, default=3.0, help="for each answer (default: 3)")

    sub = made["grade"]
    sub.set_defaults(do=grade)
    sub.add_argument("folder", metavar="FOLDER", help="with a folder for each student")
    sub.add_argument("--csv", metavar="FILE", help="write the table there (default: print it)")
    sub.add_argument("--timeout", metavar="SECONDS", type=float, default=30.0, help="for each cell (default: 30)")
    sub.add_argument("--jobs", metavar="N", type=int, default=2, help="notebooks at a time (default: 2)")

    sub = made["learn"]
    sub.set_defaults(do=learn)
    sub.add_argument("--no-browser", dest="browser", action="store_false", help="print the address, open nothing")
    sub.add_argument("--check", action="store_true", help="run the first notebook without a browser, print its trace")
    sub.add_argument("--doctor", action="store_true", help="tell whether the set-up is complete, and what mends it")
    sub.add_argument("--student", metavar="FOLDER", help="write the notebooks there without solutions and outputs")
    sub.add_argument("--dir", metavar="FOLDER", help="copy the notebooks there, and open the copies")
    sub.add_argument("--lang", choices=("en", "zh"), help="English or Chinese notebooks (default: as the system)")
    sub.add_argument("--port", metavar="N", type=int, default=0, help="the port to use instead of a free one")
    return parser


def _options_of_run(parser: argparse.ArgumentParser) -> argparse.ArgumentParser:
    parser.add_argument(
        "--thread", metavar="N", type=int, help="worker threads (default: of the configuration, else 1)"
    )
    parser.add_argument("--node", metavar="NAME", help="which of the nodes that CONFIG.toml describes")
    parser.add_argument("--until-eof", action="store_true", help="stop when the standard input ends, as by SIGTERM")
    return parser


def run(options: argparse.Namespace) -> int:
    """Run a configuration or a service, in the background if `daemon` is set. Raises UsageError, SkynetError."""
    from .node.config import load
    from .node.daemon import daemonized

    program = options.program
    path = _file(program, (".toml", ".py"), "CONFIG.toml or SERVICE.py")
    configured = path.suffix == ".toml"
    if configured and options.args:  # options may stand behind it: there is no service whose words they could be
        options, rest = _options_of_run(_Parser(prog="skynet-lite run")).parse_known_args(options.args, options)
        if rest:
            raise UsageError(f"{program} takes no arguments: put them into its table [env]")
    config = load(path if configured else None, {"node": options.node})
    if configured and config.start is None:
        raise UsageError(f'{program} names no service to start: add start = "name"')
    with contextlib.ExitStack() as daemon:
        if config.daemon is not None:  # before there is a node: threads and epoll do not survive a fork
            daemon.enter_context(daemonized(os.path.abspath(config.daemon)))
        if options.until_eof:
            _stop_at_eof(config.shutdown)
        return _run(path, program, options.args, configured, thread=options.thread, node=options.node)


def _run(path: Path, program: str, args: list[str], configured: bool, **keys: Any) -> int:
    node, log = _node(path, **keys)
    with node, _stop_signals(node) as stopped:
        service = _configured(node) if configured else _launched(node, program, args)
        node.run(until=lambda: stopped.is_set() or not node.busy())
        _check_start(service, log)
        log.release()
        if node.config.console is not None:
            node.newservice("debug_console", "127.0.0.1", node.config.console, wait=False)
        try:
            # Not run(until=...), which looks after every message and every 50 ms: the signals wake the node.
            node.driver.run_until(lambda: stopped.is_set() or service.start_state not in STARTING, None, "the start")
            _check_start(service, log)
            node.driver.run_until(stopped.is_set, None, "the end")
        except DriveTimeout:  # no limit was given: this says that nothing is left that could run
            if configured:
                while not stopped.wait(1):  # a node of a configuration is there until it is told to go
                    node.run_until_idle()  # SIGHUP
        node.shutdown(stopped.left())
    return 0


def _stop_at_eof(seconds: int) -> None:
    """Whoever has started us holds the other end of our standard input. When they are gone, we go: by SIGTERM, and if
    that has not ended us when the time of a shutdown is over, by SIGKILL."""
    main_thread = threading.get_ident()

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(0, 4096):
                pass
        signal.pthread_kill(main_thread, signal.SIGTERM)
        time.sleep(seconds + 2)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=wait, name="until-eof", daemon=True).start()


def trace(options: argparse.Namespace, args: list[str]) -> int:
    """Run a service in virtual time, or load a trace; save, draw and print it. Raises UsageError, SkynetError."""
    folder = Path(options.program).is_dir()
    wanted = "SERVICE.py, a saved trace, or a folder of streams"
    path = Path() if folder else _file(options.program, (".py", ".json", ".jsonl"), wanted)
    files = _outputs(options)
    if folder or path.suffix != ".py":
        if args or options.send:
            raise UsageError(f"{options.program} is a trace, nothing is run: leave out ARGS and --send")
        _shown(_loaded(options.program), files, options)
        return 0
    node, log = _node(path, clock="virtual")
    status = 0

    def over() -> bool:
        tick = node.timer.next_deadline()
        return not node.future() or (tick is not None and tick > options.ticks and not node.busy())

    with node:
        with node.record() as recorded:
            service = _launched(node, options.program, args)
            try:
                node.run(until=over)
                if options.send and service.start_state != "failed":
                    _talk(node, options.send, over)
            except KeyboardInterrupt:
                status = INTERRUPTED
        _check_start(service, log)
        log.release()
        if len(node.timer) and not status:
            print(f"skynet-lite: stopped at tick {node.clock.now()}, timers are left; see --ticks", file=sys.stderr)
    _shown(recorded, files, options)
    return status


def _shown(trace: Trace, files: list[tuple[str, str]], options: argparse.Namespace) -> None:
    for file, kind in files:
        _write(trace, file, kind, options.title)
    if not options.quiet:
        print(trace.text(), flush=True)


def _talk(node: Node, texts: list[bytes], over: Callable[[], bool]) -> None:
    """Be a client of the first socket that listens: send each text, print what comes back until nothing can run."""
    sockets = node.socket_server.table().items()
    listening = next((id for id, (state, _) in sockets if state == "listen"), None)
    if listening is None:
        raise UsageError("--send found no socket that listens: does the service socket.listen and socket.start?")
    with node.client(node.socket_server.sockname(listening)[1]) as client:
        node.run(until=over)
        for text in texts:
            client.send(text)
            answer = client.recv_until(over)
            print(f"{client.label} sends {text!r} and receives {answer!r}", flush=True)
    node.run(until=over)


def _unescaped(text: str) -> bytes:
    r"""What `--send 'hello\n'` means: \n, \r, \t, \\ and \x00 are as in Python."""
    known = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\"}
    raw = text.encode("utf-8", "surrogateescape")
    return re.sub(rb"\\(?:x([0-9a-fA-F]{2})|([nrt\\]))", lambda m: known.get(m[2]) or bytes([int(m[1], 16)]), raw)


@contextlib.contextmanager
def _told(failed: str, needy: str = "", extra: str = "notebooks") -> Iterator[None]:
    """What goes wrong inside is the user's to mend: a line about it. Raises UsageError."""
    try:
        yield
    except BrokenPipeError:  # of our own output: see main
        raise
    except OSError as e:
        raise UsageError(f"{failed}: {e.strerror or e}") from e
    except ImportError as e:
        needs = f"{needy} needs {e.name}: pip install 'skynet_lite[{extra}]'"
        raise UsageError(needs if e.name else str(e)) from e  # who raised it without a name has said the same
    except ValueError as e:
        raise UsageError(str(e)) from e


def console(address: str) -> int:
    """Talk to a debug console. Raises UsageError."""
    from .course import console as client

    with _told(f"cannot reach a console at {address}", "the console on a terminal", "console"):
        return client.run(address)


def top(address: str, every: float) -> int:
    """Watch a node by its debug console. Raises UsageError."""
    from .course.console import Connection, address_of
    from .top import run

    with _told(f"cannot watch {address}", "top", "top"):
        host, port = address_of(address)
        run(lambda show: Connection(host, port, show), f"{host}:{port}", every)
    return 0


def cluster(options: argparse.Namespace) -> int:
    """Start, list or trace the nodes of a file. Raises UsageError, SkynetError."""
    path = _file(options.file, (".toml",), "CONFIG.toml")
    with _told("it failed", "this", "top"):
        return int(options.part(path, options, _console))


def _console(port: int, seconds: float) -> Callable[[Callable[[str], Any]], Any]:
    from .course.console import Connection

    return functools.partial(Connection, "127.0.0.1", port, seconds=seconds)


def attach(options: argparse.Namespace) -> int:
    """Look once at a node by its debug console. Raises UsageError."""
    from .attach import run
    from .course.console import Connection, address_of

    with _told(f"cannot attach to {options.address}"):
        host, port = address_of(options.address)
        connect = functools.partial(Connection, host, port, trusted=False)
        return run(connect, f"{host}:{port}", options.out, options.shown, options.source, options.wait)


def grade(options: argparse.Namespace) -> int:
    """Check a class's copies. Raises LearnError."""
    from .course import grade

    return grade.grade(options.folder, options.csv, options.timeout, options.jobs)


def learn(options: argparse.Namespace) -> int:
    """Open the course, or look whether it could be. Raises LearnError."""
    from .course import doctor, learn

    if options.doctor:
        return doctor.doctor()
    if options.check:
        return learn.check()
    if options.student is not None:
        return learn.student_copies(options.student)
    return learn.open_course(options.dir, options.port, options.browser, options.lang)


def probe(folder: str) -> int:
    """Write the probe for a real skynet, and say what to do with it. Raises UsageError."""
    from . import probe

    with _told(f"cannot write the probe into {folder}"):
        print(probe.told(probe.write(folder)), end="")
    return 0


def new(name: str) -> int:
    """Write a project. Raises SkynetError, UsageError."""
    from .course import begin

    with _told(f"cannot write {name}"):
        begin.new(name)
    return 0


def examples(name: str | None, folder: str | None) -> int:
    """Name the examples, or write one. Raises SkynetError, UsageError."""
    from .course import begin

    with _told(f"cannot write {folder or name}"):
        begin.copy(name, folder) if name else print(begin.listing())
    return 0


def diff(options: argparse.Namespace) -> int:
    """Compare two saved traces; 1 if they differ. Raises UsageError."""
    found = _loaded(options.left).diff(_loaded(options.right))
    if options.html:
        _write(found, options.html, ".html", None)
    print(found.text(width=options.width, context=options.context), flush=True)
    return 0 if found.same else 1


def _loaded(file: str) -> Trace:
    from .trace import Trace

    with _told(f"cannot read {file}"):
        return Trace.load(file)


def _outputs(options: argparse.Namespace) -> list[tuple[str, str]]:
    """Files to write, and the suffix that says what each is to be; asked before the run, not after it."""
    from .trace.export import PICTURES, kind_of

    with _told(""):
        files = [(file, kind_of(file)) for file in [*options.save, *([options.png] if options.png else [])]]
    if options.png and files[-1][1] not in PICTURES:
        raise UsageError(f"--png {options.png}: a picture ends in {', '.join(PICTURES)}")
    return files + [(file, kind) for file, kind in ((options.html, ".html"), (options.chrome, ".chrome.json")) if file]


def _write(what: Trace | Diff, file: str, kind: str, title: str | None) -> None:
    from .trace.export import save

    with _told(f"cannot write {file}", file):
        save(what, file, kind, **({"title": title} if title else {}))


def _file(program: str, suffixes: tuple[str, ...], wanted: str) -> Path:
    path = Path(program)
    if path.suffix not in suffixes:
        raise UsageError(f"{program!r} is no program: give {wanted}")
    if not path.is_file():
        raise UsageError(f"no such file: {program}")
    return path


def _node(path: Path, **keys: Any) -> tuple[Node, _Log]:
    """The node for a program; services and modules beside it are found, as `python FILE` would."""
    from .node.config import ENV_PREFIX, Config, load
    from .node.node import Node

    folder = path.resolve().parent
    sys.path.insert(0, str(folder))
    config = path if path.suffix == ".toml" else None
    if config is None and f"{ENV_PREFIX}LUASERVICE" not in os.environ:
        keys["luaservice"] = f"{folder}/?.py;{folder}/service/?.py;{Config.luaservice}"
    log = _Log()
    to_file = load(config, keys).logger is not None
    return Node(config, log=None if to_file else log.write, **keys), log


def _launched(node: Node, program: str, args: list[str]) -> Scheduler:
    with node.births(node.service_name(program)) as born:
        node.newservice(program, *args, wait=False)
    return born[0]  # with several workers it may have ended already


def _configured(node: Node) -> Scheduler:
    """The service that the bootstrap has started."""
    with node.births(node.env.get("start") or "") as born:
        node.run_until_idle()
    return born[-1]


class _Log:
    """Lines for stderr, held back until `release`."""

    def __init__(self) -> None:
        self.held: list[str] | None = []

    def write(self, line: str) -> None:
        if self.held is None:
            with contextlib.suppress(OSError):  # a pipe that nobody reads any more: `run ... 2>&1 | head`
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
    service.server.node.run_until_idle()  # for the last lines of the log
    failure = service.ctx.failure
    assert failure is not None and failure.cause is not None
    text = format_error(failure.cause, service.name, service.file)
    places = re.findall(r"^  (\S+:\d+) in ", text, re.MULTILINE)
    if isinstance(failure.cause, CallError):
        log.release()  # why the other service failed stands there only
    at = f" (at {places[-1]})" if places else ""
    raise UsageError(f"service {service.name} {failure.reason}{at}")


class _Stop(threading.Event):
    """Set by the first Ctrl-C or SIGTERM, from before the start on; the second signal kills, also during shutdown.

    From the first on the node has the seconds of the key `shutdown`. After half of them a handler that holds it up is
    broken off. (Node.run_forever has handlers of its own, but only once the service has started.)
    """

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node
        self._end: float | None = None
        self._late = contextlib.ExitStack()

    def asked(self, signum: int, frame: object) -> None:
        for s in (signal.SIGINT, signal.SIGTERM):
            signal.signal(s, signal.SIG_DFL)
        self.set()
        self._end = time.monotonic() + self._node.config.shutdown
        self._late.enter_context(broken_off(self._node.config.shutdown / 2))
        self._node.stop()

    def left(self) -> float | None:
        """The node has come back. Seconds that are left for its services; None if nobody has asked."""
        self._late.close()
        return None if self._end is None else max(0.0, self._end - time.monotonic())


@contextlib.contextmanager
def _stop_signals(node: Node) -> Iterator[_Stop]:
    stop = _Stop(node)
    before = {s: signal.signal(s, stop.asked) for s in (signal.SIGINT, signal.SIGTERM)}
    if hasattr(signal, "SIGHUP") and (node.config.logger or node.config.daemon):
        before[signal.SIGHUP] = signal.signal(signal.SIGHUP, lambda *_: node.reopen_log())
    if hasattr(signal, "SIGUSR1") and node.config.recorder:
        before[signal.SIGUSR1] = signal.signal(signal.SIGUSR1, lambda *_: node.flight())
    try:
        yield stop
    finally:
        stop.left()
        for s, handler in before.items():
            signal.signal(s, handler)
