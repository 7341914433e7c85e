"""Ask a console again and again, from a thread of its own, and come back when the connection was lost.

One idea: whoever shows it never waits. The thread may hang for as long as a service or a node
does; what it finds is told as it comes, an error as well.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from ..lualib.console import CONTROLS, ERROR, MANY, WELCOME, rows
from .answers import Parked, Service, parked, services

GONE = "the node has closed the connection"
RETRY = 2.0  # seconds between two attempts to connect
PATIENCE = 50  # ticks that `stat` waits for services; a look takes so long if one is busy


class Connection(Protocol):
    """What is needed of course/console.py's."""

    closed: bool

    def say(self, line: str, seconds: float | None = None) -> bool: ...
    def close(self) -> None: ...


Connect = Callable[[Callable[[str], Any]], Connection]
"""`connect(show)`. Raises OSError."""


class Refused(Exception):
    """The console has answered <CMD Error>; the text is what it said."""


class Console:
    """A connection that is asked one command after the other."""

    def __init__(self, connect: Connect) -> None:
        self._lines: deque[str] = deque()  # filled by the thread that reads
        self._connection = connect(lambda line: None if line == WELCOME else self._lines.append(line))

    def ask(self, command: str, seconds: float | None = None) -> list[str]:
        """The lines of the answer. Raises Refused, ConnectionError; TimeoutError, and there is no connection then."""
        self.take()
        self._say(command, seconds)
        *lines, end = self.take()
        if end == ERROR:
            raise Refused(" ".join(lines).strip())
        return lines

    def stream(self, command: str) -> Callable[[], list[str]]:
        """For a command whose answer does not end: a function that gives what has come since it was last asked."""
        self._say(command)
        return self.take

    def take(self) -> list[str]:
        """What has come since. Raises ConnectionError if nothing more will."""
        lines = []
        while self._lines:
            lines.append(self._lines.popleft().translate(CONTROLS))  # a service chose them; skynet escapes nothing
        if self._connection.closed and not lines:
            raise ConnectionError(GONE)
        return lines

    def _say(self, command: str, seconds: float | None = None) -> None:
        if not self._connection.say(command, seconds):
            raise ConnectionError(GONE)

    def close(self) -> None:
        self._connection.close()


def once(connect: Connect, command: str, told: Callable[[Any], Any]) -> threading.Thread:
    """Ask one command, in a thread and a connection of its own; `told` gets the lines of its answer, or the error."""

    def asking() -> None:
        try:
            console = Console(connect)
            try:
                told(console.ask(command))
            finally:
                console.close()
        except (OSError, Refused) as e:
            told(e)

    thread = threading.Thread(target=asking, name="top", daemon=True)
    thread.start()
    return thread


class Watch(threading.Thread):
    """`begin(console)` gives the look that is done every `every` seconds; `told` gets what it returns, or the error.

    Both are called in this thread. After an OSError it connects anew, and begins again.
    """

    def __init__(
        self, connect: Connect, begin: Callable[[Console], Callable[[], Any]], told: Callable[[Any], Any], every: float,
        retry: float = RETRY,
    ) -> None:  # fmt: skip
        super().__init__(name="top", daemon=True)
        self._connect, self._begin, self._told, self._every, self._retry = connect, begin, told, every, retry
        self._over, self._telling = threading.Event(), threading.Lock()
        self._console: Console | None = None
        self.start()

    def run(self) -> None:
        while not self._over.is_set():
            try:
                self._watch()
            except OSError as e:
                self._tell(ConnectionError(e.strerror or str(e)))
            self._over.wait(self._retry)

    def _watch(self) -> None:
        self._console = console = Console(self._connect)
        try:
            look = None
            while not self._over.is_set():
                try:
                    look = look or self._begin(console)
                    self._tell(look())
                except (Refused, ValueError) as e:  # an answer that is none, too
                    self._tell(e)
                self._over.wait(self._every)
        finally:
            console.close()

    def _tell(self, what: Any) -> None:
        with self._telling:
            if not self._over.is_set():
                self._told(what)

    def stop(self) -> None:
        """It tells nothing more; a question that is open is given up."""
        with self._telling:  # or whom it tells would be gone meanwhile
            self._over.set()
        if self._console is not None:
            self._console.close()


@dataclass(slots=True)
class Look:
    """All services at one moment."""

    ours: bool  # a node of skynet_lite: its console knows more
    services: list[Service]
    sockets: int
    memory: int  # bytes of the process (ours) or of C (skynet, with jemalloc); 0: not known
    verdicts: list[str]
    took: float  # seconds to ask


class Looks:
    """Looks at the services; figures that count up become rates, from the second look on.

    What a look itself costs each service (a message for `stat`, one for `mem`) is not counted.
    """

    def __init__(self, console: Console) -> None:
        self._ask = console.ask
        self.ours = any(line.startswith("verdicts\t") for line in console.ask("help"))
        self._asked = 0  # messages that each service has had of us
        self._before: dict[str, tuple[float, int, float, int]] = {}  # address → time, messages, cpu, asked

    def __call__(self) -> Look:
        began = time.monotonic()
        listed, stat = self._ask("list"), self._ask(f"stat {PATIENCE}")
        at = time.monotonic()
        self._asked += 1
        netstat, cmem = self._ask("netstat"), dict(rows(self._ask("cmem")))
        mem = [] if self.ours else self._ask(f"mem {PATIENCE}")  # ours would walk through all objects
        found = services(listed, stat, netstat, mem)
        before, self._before = self._before, {}
        for service in found:
            self._rates(service, at, before.get(service.address))
        self._asked += not self.ours
        verdicts = self._ask("verdicts") if self.ours and len(found) <= MANY else []
        sockets = sum(1 for _ in rows(netstat))
        return Look(self.ours, found, sockets, int(cmem.get("total", 0)), verdicts, time.monotonic() - began)

    def _rates(self, service: Service, at: float, before: tuple[float, int, float, int] | None) -> None:
        if service.messages is not None:
            if before is not None:
                then, messages, cpu, asked = before
                service.rate = max(0, service.messages - messages - (self._asked - asked)) / (at - then)
                service.load = None if service.cpu is None else (service.cpu - cpu) / (at - then)
            before = at, service.messages, service.cpu or 0.0, self._asked
        if before is not None:
            self._before[service.address] = before


@dataclass(slots=True)
class Inside:
    """One service from inside."""

    parked: list[Parked]
    info: list[str]


class Insides:
    """Looks into one service."""

    def __init__(self, address: str, console: Console) -> None:
        self._address, self._ask = address, console.ask

    def __call__(self) -> Inside:
        tasks = parked(self._ask(f"task {self._address}"))
        try:
            info = self._ask(f"info {self._address}")
        except Refused as e:  # what the service's own function raised
            info = [str(e)]
        return Inside(tasks, info)


def traced(address: str, console: Console) -> Callable[[], list[str]]:
    """The trace of one service: the lines since the last time."""
    return console.stream(f"trace on {address}")
