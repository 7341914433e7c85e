"""What enters a node, written down: the outside of a node that is recorded from birth.

It stands between the node and its real outside, and keeps a World (trace/world.py).
An answer is filed under how many events were recorded before the question, and how
many questions came since. That place means the same in a replay, although the driver
asks too (how late is it? which port?) and polls in vain: every message begins with an
event, and what the driver begins counts from a number that no service reaches.

`Asked` is the node's side of it alone: every question to the world as one call of `ask`.
"""

from __future__ import annotations

import errno
import threading
import zlib
from collections.abc import Callable
from functools import partial
from typing import Any

from ..core.clock import Clock
from ..core.message import pack, unpack
from ..core.outside import Lookup, Outside
from ..trace.world import ANSWERS, World, failure

DRIVER = 1 << 40
WRITING = ("send", "sendto")


class Position:
    """Where in a run something was asked: after how many events, and how many times since."""

    def __init__(self, events: Callable[[], int]) -> None:
        self._events = events
        self._n = self._k = -1

    def __call__(self) -> tuple[int, int]:
        n = self._events()
        self._k = self._k + 1 if n == self._n else 0
        self._n = n
        return n, self._k

    def reset(self) -> None:
        """The driver begins something: what it asked in vain before does not count."""
        self._n, self._k = self._events(), DRIVER - 1


class Asked(Outside):
    """An outside that hands every question to `ask`, with the socket it is about."""

    def ask(self, method: str, sock: Any, *args: Any) -> Any:
        raise NotImplementedError


_USUAL: dict[str, Any] = {method: None if kind == () else NotImplemented for method, kind in ANSWERS.items()}
_USUAL |= {"connect": errno.EINPROGRESS, "socket_error": 0}


def usual(method: str, args: tuple[Any, ...]) -> Any:
    """The answer that needs no writing down; NotImplemented where none is usual."""
    return len(args[0]) if method in WRITING else _USUAL[method]


def _asking(method: str, *about: None) -> Callable[..., Any]:
    return lambda self, *args: self.ask(method, *about, *args)


for _method in ANSWERS:
    _of_socket = _method not in ("watch", "rewatch", "socket", "adopt", "resolve")
    setattr(Asked, _method, _asking(_method) if _of_socket else _asking(_method, None))


class Recorded(Asked):
    """The real outside `inner`, and what came from there since the node was born (`world`).

    `events()`: how many were recorded so far; `socket_id`: of a descriptor.
    """

    def __init__(
        self, inner: Outside, world: World, events: Callable[[], int], socket_id: Callable[[int], int]
    ) -> None:
        self.inner = inner
        self.world = world
        self._events = events
        self._socket_id = socket_id
        self._place = Position(events)
        self._places = [self._place]  # and that of the clock, if it is a real one
        self._made: dict[int, int] = {}  # descriptor → how many sockets were made before it, and it
        self._count = 0
        self._thread = 0  # the one that drives
        self._poll: list[Any] | None = None  # the poll that is under way
        for name in ("monotonic_ns", "cpu_time", "wall_time", "unwatch", "lookup", "wake", "close"):
            setattr(self, name, getattr(inner, name))  # what only passes

    # ---- what the driver does

    def note(self, kind: str, *values: Any) -> None:
        """Something enters of its own accord, now."""
        if kind == "call":  # as values, which are the same on every machine
            values = (*values[:2], unpack(values[2]))
        elif kind == "launch":
            values = (values[0], unpack(pack(values[1])))
        self._begin()
        self.world.inputs.append([self._events(), kind, *values])

    def poll_begins(self) -> None:
        self._begin()
        self._poll = [self._events(), "poll", [], []]

    def poll_ends(self) -> None:
        """Keep it, if anything came of it."""
        if self._poll is not None and self._events() != self._poll[0]:
            self.world.inputs.append(self._poll)
        self._poll = None

    def _begin(self) -> None:
        self._thread = threading.get_ident()
        for place in self._places:
            place.reset()

    # ---- what the world answers

    def clock(self, virtual: bool) -> Clock:
        """A real clock notes what it says, when that has changed."""
        clock = self.inner.clock(virtual)
        self.world.config["starttime"] = clock.starttime
        if not clock.virtual:
            self._places.append(Position(self._events))
            for name, log in (("now", self.world.ticks), ("hpc", self.world.hpc)):
                setattr(clock, name, partial(self._read, getattr(clock, name), self._places[-1], log))
        return clock

    def _read(self, read: Callable[[], int], place: Position, log: list[list[int]]) -> int:
        value = read()
        if threading.get_ident() == self._thread:  # else somebody looks in from beside
            n, k = _reached(place, log)
            if not log or log[-1][2] != value:
                log.append([n, k, value])
        return value

    def ask(self, method: str, sock: Any, *args: Any) -> Any:
        answers = self.world.answers
        n, k = _reached(self._place, answers)
        number = 0 if sock is None else self._made.get(sock.fileno(), 0)
        # What the program wrote is no answer, but the first thing that a change changes.
        written = [zlib.crc32(args[0])] if method in WRITING else []
        f = getattr(self.inner, method)
        try:
            result = f(*args) if sock is None else f(sock, *args)
        except Exception as e:
            answers.append([n, k, method, number, failure(e), *written])
            raise
        answer = result
        if method in ("socket", "adopt", "accept"):
            new, answer = result if method == "accept" else (result, None)
            self._count += 1
            self._made[new.fileno()] = self._count
        if written or answer != usual(method, args):
            answers.append([n, k, method, number, answer, *written])
        return result

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        try:
            events = self.inner.poll(timeout)
        except BaseException as e:  # Ctrl-C, say
            if self._poll is not None:
                self._poll[2] = failure(e if isinstance(e, OSError) else OSError(errno.ECANCELED, "interrupted"))
                if not isinstance(e, InterruptedError):
                    self.poll_ends()
            raise
        if self._poll is not None:
            self._poll[2] = [[self._socket_id(fd), mask] for fd, mask in events]
        return events

    def lookups(self) -> list[Lookup]:
        found = self.inner.lookups()
        if self._poll is not None:
            self._poll[3] = [[s.id, failure(x) if isinstance(x, OSError) else x] for s, x in found]
        return found


def _reached(place: Position, log: list[list[Any]]) -> tuple[int, int]:
    """The place of a question. What stands there or behind came while the driver looked around: it has no meaning."""
    n, k = place()
    while log and log[-1][0] == n and log[-1][1] >= k:
        log.pop()
    return n, k
