"""The table of sockets: what the socket server knows of each, and how one comes and goes.

One idea: a service names a socket by a number that is no descriptor, so that a
number it kept too long means nothing, instead of somebody else's connection.

After skynet-src/socket_server.c (struct socket, reserve_id, new_fd, force_close,
socket_server_info).
"""

from __future__ import annotations

import socket as pysocket
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from .errors import SocketError, shown
from .locks import guarded
from .message import SOCKET_CLOSE, SOCKET_ERROR
from .outside import Descriptor, Outside, join, reason
from .poller import READ, WRITE

MAX_SOCKET = 1 << 16
MAX_INFO = 128

RESERVE, PLISTEN, LISTEN, CONNECTING, CONNECTED, HALFCLOSE_READ, PACCEPT, BIND, UDP, INVALID = (
    "reserve", "plisten", "listen", "connecting", "connected", "halfclose_read", "paccept", "bind", "udp", "invalid",
)  # fmt: skip
_INFO = {LISTEN: "LISTEN", CONNECTED: "TCP", HALFCLOSE_READ: "CLOSING", BIND: "BIND", UDP: "UDP"}

Post = Callable[[int, int, int, int, Any], None]


@dataclass(slots=True, eq=False)
class Socket:
    """One socket. Written by the socket server only."""

    id: int
    state: str = RESERVE
    opaque: int = 0  # handle of the service that gets the messages
    sock: Any = None
    family: int = pysocket.AF_INET
    fd: int = -1
    reading: bool = False  # this, and `writing`, is what the poller is asked for
    writing: bool = False
    closing: bool = False  # close was called, queued bytes are still on their way
    close_sent: bool = False  # the one CLOSE of a socket's life
    # Bytes of the write that the kernel cut short. They come before everything queued, and
    # are not counted before the socket is writable again (dw_buffer in the original).
    direct: memoryview | None = None
    high: deque[Any] | None = None
    low: deque[Any] | None = None
    pending: int = 0  # send commands not carried out yet
    wb_size: int = 0
    warn_size: int = 0
    opening: bool = False  # counted in Slots.connecting
    untried: list[Any] = field(default_factory=list)  # addresses still to try while connecting
    udp: bool = False
    udp_peer: Any = None  # default destination
    read_size: int = 4096  # bytes to ask for; grows while they come, and shrinks again
    peer: str = ""  # "ip:port" of the other side
    read_bytes: int = 0
    write_bytes: int = 0
    rtime: int = 0
    wtime: int = 0

    def unsent(self) -> bool:
        return self.direct is not None or bool(self.high) or bool(self.low)


def _address(side: str) -> Callable[[Slots, int], tuple[str, int]]:
    """The method that says (host, port) of our side or of the other, for a socket's id. It raises SocketError."""

    def address(self: Slots, id: int) -> tuple[str, int]:
        s = self._sockets.get(id)
        if s is None or s.sock is None or isinstance(s.sock, Descriptor):
            raise SocketError(f"{side}: socket {id} is not open, or is no network socket")
        try:
            host, port, *_ = getattr(self.outside, side)(s.sock)
        except OSError as e:
            raise SocketError(f"{side}: socket {id}: {e.strerror}") from None
        return host, port

    return guarded(address)


class Slots:
    """All sockets of one node, and the commands that wait for the next poll."""

    def __init__(self, outside: Outside, post: Post, log: Callable[[str], None], now: Callable[[], int]) -> None:
        self.outside = outside
        self.stamp: Callable[[], None] | None = None  # called when a wait is over, while somebody notes the time
        self._post = post  # puts a message into a mailbox: (handle, type, id, ud, data)
        self._log = log  # takes the server's own complaints
        self._now = now
        self.time = 0  # of this poll, in ticks: for rtime
        self._sockets: dict[int, Socket] = {}
        self._slots: set[int] = set()  # ids modulo MAX_SOCKET that are taken
        self._by_fd: dict[int, Socket] = {}
        self._alloc_id = 0
        self.commands: deque[tuple[Any, ...]] = deque()
        self.awaited: dict[int, Socket | None] = {}  # by port of a client that wants to know its socket
        self.connecting = 0  # connects and lookups under way: the world owes us an answer
        self.writers = 0  # sockets that wait for the kernel to take bytes (or for a connect)

    # ---- what may be asked at any time

    sockname, peername = map(_address, ("sockname", "peername"))

    @guarded
    def netstat(self) -> list[dict[str, Any]]:
        """A row for each socket, from the highest slot to the lowest (socket_server_info)."""
        rows = []
        shown = [s for s in self._sockets.values() if s.state in _INFO]
        for s in sorted(shown, key=lambda s: s.id % MAX_SOCKET, reverse=True):
            row: dict[str, Any] = {"id": s.id, "address": s.opaque, "type": _INFO[s.state]}
            if s.state == LISTEN:
                row |= {"accept": s.read_bytes, "rtime": s.rtime, "sock": join(self.outside.sockname(s.sock))}
            else:
                row |= {
                    "read": s.read_bytes, "write": s.write_bytes, "wbuffer": s.wb_size, "rtime": s.rtime,
                    "wtime": s.wtime, "reading": s.reading, "writing": s.writing,
                }  # fmt: skip
                if s.udp_peer or s.peer:
                    row["peer"] = join(s.udp_peer) if s.udp_peer else s.peer
            rows.append(row)
        return rows

    @guarded
    def table(self) -> dict[int, tuple[str, int]]:
        """id → (state, owner), for looking at."""
        return {id: (s.state, s.opaque) for id, s in sorted(self._sockets.items())}

    @guarded
    def listener(self, port: int) -> Socket | None:
        """The listening socket (started or not) on `port`. The driver asks, so that it is no matter of the outside."""
        found = (s for s in self._sockets.values() if s.state in (PLISTEN, LISTEN))
        return next((s for s in found if s.sock.getsockname()[1] == port), None)

    def id_of(self, fd: int) -> int:
        """The id of the socket that `poll` names by its descriptor."""
        return self._by_fd[fd].id

    @guarded
    def fd_of(self, id: int) -> int | None:
        """The other way round; None for a socket that is not there, or not watched."""
        s = self._sockets.get(id)
        return None if s is None or self._by_fd.get(s.fd) is not s else s.fd

    def flushing(self) -> bool:
        """Whether bytes of ours still wait for the kernel to take them."""
        return self.writers > 0

    def active(self) -> bool:
        """Whether a poll could find anything at all."""
        return bool(self.commands or self._by_fd or self.connecting)

    # ---- coming and going

    def _command(self, name: str, id: int, opaque: int, *rest: Any) -> None:
        if type(id) is not int:
            raise SocketError(f"a socket id is a number, not {shown(id)}: use what listen, open or accept gave you")
        self.commands.append((name, id, opaque, *rest))

    def _reserve(self, opaque: int, sock: Any) -> Socket:
        for _ in range(MAX_SOCKET):
            self._alloc_id = self._alloc_id % 0x7FFFFFFF + 1
            slot = self._alloc_id % MAX_SOCKET
            if slot not in self._slots:
                self._slots.add(slot)
                s = self._sockets[self._alloc_id] = Socket(self._alloc_id, opaque=opaque, sock=sock)
                return s
        if sock is not None:
            sock.close()
        raise SocketError(f"reach skynet socket number limit: {MAX_SOCKET} sockets are open; close some")

    def _attach(self, s: Socket, state: str, reading: bool, writing: bool = False) -> bool:
        """Show the descriptor to the poller. False: it cannot be watched, and the socket is gone."""
        fd = s.sock.fileno()
        try:
            self.outside.watch(fd, (READ if reading else 0) | (WRITE if writing else 0))
        except OSError as e:
            self._fail(s, reason(e))
            return False
        s.fd, s.reading, s.writing = fd, reading, writing
        self.writers += writing
        self._by_fd[fd] = s
        self._set_state(s, state)
        return True

    def _detach(self, s: Socket) -> None:
        if self._by_fd.get(s.fd) is s:  # an adopted descriptor may be closed, and its number used again
            del self._by_fd[s.fd]
            self.outside.unwatch(s.fd)
        self.writers -= s.writing
        s.reading = s.writing = False

    def _enable(self, s: Socket, reading: bool, writing: bool) -> bool:
        """Say what readiness matters now. False: the descriptor is no more, and so the socket."""
        if (reading is s.reading and writing is s.writing) or self._by_fd.get(s.fd) is not s:
            return True
        self.writers += writing - s.writing
        s.reading, s.writing = reading, writing
        try:
            self.outside.rewatch(s.fd, (READ if reading else 0) | (WRITE if writing else 0))
        except OSError as e:
            self._fail(s, reason(e))
            return False
        return True

    def _set_state(self, s: Socket, state: str) -> None:
        s.state = state

    def _settle(self, s: Socket) -> None:
        if s.opening:
            s.opening = False
            self.connecting -= 1

    def _fail(self, s: Socket, text: str) -> None:
        """The socket is lost: ERROR, then its CLOSE. One that is closing goes quietly."""
        if not s.closing:
            self._post(s.opaque, SOCKET_ERROR, s.id, 0, text[:MAX_INFO])
            self._say_close(s)
        self._force_close(s)

    def _say_close(self, s: Socket) -> None:
        if not s.close_sent:
            s.close_sent = True
            self._post(s.opaque, SOCKET_CLOSE, s.id, 0, "")

    def _force_close(self, s: Socket) -> None:
        self._settle(s)
        self._detach(s)
        if s.sock is not None:
            s.sock.close()
        s.direct = s.high = s.low = None
        del self._sockets[s.id]
        self._slots.discard(s.id % MAX_SOCKET)
        self._set_state(s, INVALID)

    def _bind_socket(self, host: str, port: int, kind: int, backlog: int | None = None) -> pysocket.socket:
        family, _, _, _, address = self.outside.resolve(host, port, kind)[0]
        sock = self.outside.socket(family, kind)
        try:
            self.outside.setsockopt(sock, pysocket.SOL_SOCKET, pysocket.SO_REUSEADDR, 1)
            self.outside.bind(sock, address)
            if backlog is not None:
                self.outside.listen(sock, backlog)
        except OSError:
            sock.close()
            raise
        return sock

    def _tell_client(self, address: Any, s: Socket | None = None) -> None:
        """Node.client wants to know what became of its connection; without `s`: nothing."""
        if address is not None and address[1] in self.awaited:
            self.awaited[address[1]] = s or Socket(0, INVALID)
