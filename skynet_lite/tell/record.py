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
from collections.abc import Callable
from hashlib import sha256
from types import NoneType
from typing import Any

from ..core.clock import Clock
from ..core.message import pack, unpack
from ..core.outside import Lookup, Outside
from ..skynet.offload import kept
from ..trace.world import ANSWERS, INPUTS, TELLING, World, failure, said

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

    def reached(self, log: list[list[Any]]) -> tuple[int, int]:
        """The same, for an entry of `log`. What stands there or behind has no meaning: the driver looked around."""
        n, k = self()
        while log and log[-1][0] == n and log[-1][1] >= k:
            log.pop()
        return n, k


_USUAL: dict[str, Any] = {method: None if kind is NoneType else NotImplemented for method, kind in ANSWERS.items()}
_USUAL |= {"connect": errno.EINPROGRESS, "socket_error": 0}


def usual(method: str, args: tuple[Any, ...]) -> Any:
    """The answer that needs no writing down; NotImplemented where none is usual."""
    return len(args[0]) if method in WRITING else _USUAL[method]


def _asks(method: str, *about: None) -> Any:
    return lambda self, *args: self.ask(method, *about, *args)


def _passes(method: str) -> Any:
    return lambda self, *args: getattr(self.inner, method)(*args)


class Asked(Outside):
    """An outside that hands every question to `ask`, with the socket it is about, or None."""

    def ask(self, method: str, sock: Any, *args: Any) -> Any:
        raise NotImplementedError

    accept, accept_and_drop = _asks("accept"), _asks("accept_and_drop")
    bind, listen, connect = _asks("bind"), _asks("listen"), _asks("connect")
    recv, recvfrom = _asks("recv"), _asks("recvfrom")
    send, sendto = _asks("send"), _asks("sendto")
    setsockopt, socket_error = _asks("setsockopt"), _asks("socket_error")
    sockname, peername = _asks("sockname"), _asks("peername")
    watch, rewatch = _asks("watch", None), _asks("rewatch", None)
    socket, adopt, resolve = _asks("socket", None), _asks("adopt", None), _asks("resolve", None)
    secret, nodename = _asks("secret", None), _asks("nodename", None)


class NotedClock:
    """A real clock; what it says is noted when that has changed, and the one who drives has asked."""

    virtual = False

    def __init__(self, clock: Clock, world: World, place: Position, drives: Callable[[], bool]) -> None:
        self._clock, self._world, self._place, self._drives = clock, world, place, drives
        self.starttime, self.seconds_until = clock.starttime, clock.seconds_until

    def now(self) -> int:
        return self._noted(self._clock.now(), self._world.ticks)

    def hpc(self) -> int:
        return self._noted(self._clock.hpc(), self._world.hpc)

    def _noted(self, value: int, log: list[list[int]]) -> int:
        if self._drives():  # else somebody looks in from beside
            n, k = self._place.reached(log)
            if not log or log[-1][2] != value:
                log.append([n, k, value])
        return value


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
        self._masks: list[tuple[bytes, bytes]] = []  # what comes in as the first, the node reads as the second
        self._thread = 0  # the one that drives
        self._poll: list[Any] | None = None  # the poll that is under way

    # ---- what the driver does

    def note(self, kind: str, *values: Any) -> None:
        """Something enters of its own accord, now."""
        if kind not in INPUTS:  # set for the whole node
            self._tells("note", kind, *values)
            return self.inner.note(kind, *values)
        if kind in ("call", "offload"):  # as values, which are the same on every machine
            values = (*values[:2], unpack(values[2]) if kind == "call" else kept(values[2]))
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
        clock = self.inner.clock(virtual)
        self.world.config["starttime"] = clock.starttime
        if clock.virtual:
            return clock
        self._places.append(Position(self._events))
        return NotedClock(clock, self.world, self._places[-1], lambda: threading.get_ident() == self._thread)

    def ask(self, method: str, sock: Any, *args: Any) -> Any:
        answers = self.world.answers
        n, k = self._place.reached(answers)
        number = 0 if sock is None else self._made.get(sock.fileno(), 0)
        told = [said(args)] if method in TELLING else []
        f = getattr(self.inner, method)
        try:
            result = f(*args) if sock is None else f(sock, *args)
        except Exception as e:
            answers.append([n, k, method, number, failure(e), *told])
            raise
        answer = result = self._masked(method, result)
        if method in ("socket", "adopt", "accept"):
            new, answer = result if method == "accept" else (result, None)
            self._count += 1
            self._made[new.fileno()] = self._count
        if told or answer != usual(method, args):
            answers.append([n, k, method, number, answer, *told])
        return result

    def _masked(self, method: str, result: Any) -> Any:
        """A secret stays outside: the node, and so the recording, knows another word, which nobody there can say."""
        if method == "secret" and result[1][:1] != "x":  # else it is such a word: of a recording that runs again
            word = "x" + sha256(result[1].encode()).hexdigest()[1 : len(result[1])]
            self._masks += (word.encode(), b"?" * len(word)), (result[1].encode(), word.encode())
            return result[0], word
        for outside, heard in self._masks if method == "recv" else ():
            result = result.replace(outside, heard)
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

    monotonic_ns, cpu_time, unwatch = map(_passes, ("monotonic_ns", "cpu_time", "unwatch"))
    wake, close, offload = map(_passes, ("wake", "close", "offload"))

    def lookup(self, token: Any, host: str, port: int, kind: int) -> None:
        self._tells("lookup", host, port, kind)
        self.inner.lookup(token, host, port, kind)

    def _tells(self, method: str, *args: Any) -> None:
        self.world.answers.append([*self._place.reached(self.world.answers), method, 0, None, said(args)])
