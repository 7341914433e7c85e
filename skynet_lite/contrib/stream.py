"""A connection as an object, so that TLS can stand where a plain socket stood.

One idea: HTTP and WebSocket ask for `read` and `write` and nothing else. Whoever has
these two (and `close`) is a stream: a socket here, a TLS session in tls.py.

What a protocol needs besides is patience with an end: `within` cuts a peer that takes
too long, `flush` waits for one that reads too slowly.

After lualib/http/sockethelper.lua.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Callable
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any

from .. import skynet
from ..core.errors import SkynetError, SocketError
from ..core.timer import ticks as whole
from ..lualib.library import kept
from ..skynet import socket
from ..skynet.coroutine import Coroutine, inherit, running

TIMEOUT = 3000
"""What servers and clients wait for the other side, unless told otherwise: ticks, so 30 seconds."""
LINGER = 100  # ticks for a peer that is refused to read why
UNREAD = 65536
"""Bytes of answers for which a peer may ask before we look whether it takes them."""


class TimedOut(SocketError):
    """The other side took longer than it was given."""


class ProtocolError(SkynetError):
    """The other side does not speak the protocol, or breaks its rules."""


class Stream:
    """One connection of this service. `id`: its socket."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.timed_out = False
        self._deadlines = _deadlines()
        self._patience: int | None = None  # in how many ticks the socket is cut, see within
        self._backlog = 0  # kilobytes that the other side has not taken, once they are many
        self._flushing: list[Coroutine] = []
        self._written = 0  # bytes since the last flush
        socket.nodelay(id)  # questions and answers: nobody has more to send before the other side has
        socket.warning(id, self._on_warning)
        socket.onclose(id, self._wake)

    # ---- the face of a socket

    def read(self, size: int | None = None) -> bytes | None:
        """`size` bytes, or whatever is there; None at the end. Raises TimedOut."""
        return self._timely(socket.read(self.id, size))

    def readline(self, sep: bytes = b"\n") -> bytes | None:
        """A line without its separator, or None at the end. Raises TimedOut."""
        return self._timely(socket.readline(self.id, sep))

    def readall(self) -> bytes:
        """Everything up to the end of the connection. Raises TimedOut."""
        data = socket.readall(self.id)
        self._timely(None)
        return data

    def write(self, data: bytes) -> bool:
        """Send; does not wait. False: the connection is gone."""
        self._written += len(data)
        return socket.write(self.id, data)

    def close(self) -> None:
        """Close; what was written is still delivered."""
        self.within(None)
        socket.close(self.id)

    def linger(self, ticks: int) -> None:
        """Let the other side read our last words: a close with bytes unread would be a reset, and take them away."""
        self.within(ticks)
        with suppress(SocketError):
            while self.read():
                pass

    def _timely(self, data: bytes | None) -> bytes | None:
        if data is None and self.timed_out:
            raise TimedOut(f"socket {self.id}: the other side took too long")
        return data

    # ---- patience

    def within(self, ticks: int | None) -> None:
        """Cut the connection in so many ticks, unless this is called again before; None: never. DOC: stream-within

        The coroutine that reads then gets TimedOut.
        """
        ticks = None if ticks is None else whole(ticks)
        if self._patience is not None:
            self._deadlines.drop(self._patience, self._cut)
        self._patience = ticks
        if ticks is not None:
            self._deadlines.put(ticks, self._cut)

    def _cut(self) -> None:
        self.timed_out = True
        socket.shutdown(self.id)
        self._wake()

    def flush(self) -> None:
        """Let others run; then, while more than a megabyte waits to be sent, wait until all is. Raises TimedOut."""
        self._written = 0
        skynet.yield_()
        # The empty write asks whether there is still a socket: a peer that is gone takes nothing any more.
        while self._backlog and not self.timed_out and socket.write(self.id, b""):
            self._flushing.append(skynet.running())
            skynet.wait()
        self._timely(None)

    def ease(self) -> None:
        """`flush` now and then: after each answer that a peer can ask for without reading those before."""
        if self._written > UNREAD:
            self.flush()

    def _on_warning(self, id: int, kilobytes: int) -> None:
        self._backlog = kilobytes
        if kilobytes == 0:
            self._wake()

    def _wake(self, *_: int) -> None:
        waiting, self._flushing = self._flushing, []
        for co in waiting:
            skynet.wakeup(co)


class Deadlines:
    """Who of a service has until when: one coroutine and one timer for all, not for each connection or request.

    Those who have the same time run out in the order in which they came, so each length has a queue.
    """

    def __init__(self) -> None:
        self._queues: dict[int, OrderedDict[Any, int]] = defaultdict(OrderedDict)  # ticks → what is called then, when
        self._alarm: int | None = None  # tick at which the guard looks; None: there is no guard

    def put(self, ticks: int, late: Callable[[], Any]) -> None:
        """Call `late`, which may not block, in so many ticks, unless it is dropped before."""
        due = skynet.now() + ticks
        self._queues[ticks][late] = due
        if self._alarm is None:
            skynet.fork(self._guard)
        elif due < self._alarm:
            skynet.wakeup(self)
        self._alarm = min(due, self._alarm or due)

    def drop(self, ticks: int, late: Callable[[], Any]) -> None:
        if ticks in self._queues:
            self._queues[ticks].pop(late, None)

    def _guard(self) -> None:
        inherit(running(), Context())  # it lives longer than the task that needed it first
        while True:
            now = skynet.now()
            for ticks, queue in list(self._queues.items()):
                while queue and next(iter(queue.values())) <= now:
                    queue.popitem(last=False)[0]()
                if not queue:
                    del self._queues[ticks]
            if not self._queues:
                break
            self._alarm = min(next(iter(queue.values())) for queue in self._queues.values())
            skynet.sleep(self._alarm - now, self)
        self._alarm = None


_deadlines = partial(kept, "deadlines", Deadlines)


def connect(host: str, port: int, timeout: int | None = None) -> int:
    """`socket.open` that gives up after `timeout` ticks. Raises SocketError, TimedOut."""
    if timeout is None:
        return socket.open(host, port)
    timeout = whole(timeout)  # refused before anything is opened
    token = object()
    found, waiting = list[int | SocketError](), True

    def opening() -> None:
        try:
            found.append(socket.open(host, port))
        except SocketError as e:
            found.append(e)
        if waiting:
            skynet.wakeup(token)
        elif isinstance(found[0], int):
            socket.close(found[0])  # too late: nobody wants it any more

    late = partial(skynet.wakeup, token)
    skynet.fork(opening)
    _deadlines().put(timeout, late)
    try:
        skynet.wait(token)
    finally:
        waiting = False
        _deadlines().drop(timeout, late)
    (end,) = found or [TimedOut(f"{host}:{port} could not be reached within {timeout} ticks")]
    if isinstance(end, SocketError):
        raise end
    return end
