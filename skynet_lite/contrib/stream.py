"""A connection as an object, so that TLS can stand where a plain socket stood.

One idea: HTTP and WebSocket ask for `read` and `write` and nothing else. Whoever has
these two (and `close`) is a stream: a socket here, a TLS session in tls.py.

What a protocol needs besides is patience with an end: `within` cuts a peer that takes
too long, `flush` waits for one that reads too slowly.

After lualib/http/sockethelper.lua.
"""

from __future__ import annotations

from .. import skynet
from ..core.errors import SkynetError, SocketError
from ..core.timer import ticks as whole
from ..skynet import socket
from ..skynet.coroutine import Coroutine

TIMEOUT = 3000
"""What servers and clients wait for the other side, unless told otherwise: ticks, so 30 seconds."""


class TimedOut(SocketError):
    """The other side took longer than it was given."""


class ProtocolError(SkynetError):
    """The other side does not speak the protocol, or breaks its rules."""


class Stream:
    """One connection of this service. `id`: its socket."""

    def __init__(self, id: int) -> None:
        self.id = id
        self.timed_out = False
        self._due: int | None = None  # tick at which the socket is cut
        self._alarm: int | None = None  # tick at which the guard looks; None: there is no guard
        self._backlog = 0  # kilobytes that the other side has not taken, once they are many
        self._flushing: list[Coroutine] = []
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
        return socket.write(self.id, data)

    def close(self) -> None:
        """Close; what was written is still delivered."""
        self.within(None)
        if self._alarm is not None:
            skynet.wakeup(self)  # let the guard go
        socket.close(self.id)

    def _timely(self, data: bytes | None) -> bytes | None:
        if data is None and self.timed_out:
            raise TimedOut(f"socket {self.id}: the other side took too long")
        return data

    # ---- patience

    def within(self, ticks: int | None) -> None:
        """Cut the connection in so many ticks, unless this is called again before; None: never. DOC: stream-within

        The coroutine that reads then gets TimedOut.
        """
        self._due = None if ticks is None else skynet.now() + whole(ticks)
        if self._due is None:
            return
        if self._alarm is None:
            self._alarm = self._due
            skynet.fork(self._guard)
        elif self._due < self._alarm:
            skynet.wakeup(self)

    def _guard(self) -> None:
        # One coroutine for each connection, not one for each request: it looks again when its time has come.
        while self._due is not None and (left := self._due - skynet.now()) > 0:
            self._alarm = self._due
            skynet.sleep(left, self)
        self._alarm = None
        if self._due is not None:
            self.timed_out = True
            socket.shutdown(self.id)
            self._wake()

    def flush(self) -> None:
        """Let others run; then, while more than a megabyte waits to be sent, wait until all is. Raises TimedOut."""
        skynet.yield_()
        # The empty write asks whether there is still a socket: a peer that is gone takes nothing any more.
        while self._backlog and not self.timed_out and socket.write(self.id, b""):
            self._flushing.append(skynet.running())
            skynet.wait()
        self._timely(None)

    def _on_warning(self, id: int, kilobytes: int) -> None:
        self._backlog = kilobytes
        if kilobytes == 0:
            self._wake()

    def _wake(self, *_: int) -> None:
        waiting, self._flushing = self._flushing, []
        for co in waiting:
            skynet.wakeup(co)


def connect(host: str, port: int, timeout: int | None = None) -> int:
    """`socket.open` that gives up after `timeout` ticks. Raises SocketError, TimedOut."""
    if timeout is None:
        return socket.open(host, port)
    timeout = whole(timeout)  # refused before anything is opened
    token = object()
    found: list[int | SocketError] = []
    waiting = True

    def opening() -> None:
        try:
            found.append(socket.open(host, port))
        except SocketError as e:
            found.append(e)
        if waiting:
            skynet.wakeup(token)
        elif isinstance(found[0], int):
            socket.close(found[0])  # too late: nobody wants it any more

    skynet.fork(opening)
    skynet.sleep(timeout, token)
    waiting = False
    if not found:
        raise TimedOut(f"{host}:{port} could not be reached within {timeout} ticks")
    if isinstance(found[0], SocketError):
        raise found[0]
    return found[0]
