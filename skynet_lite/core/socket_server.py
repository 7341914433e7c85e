"""The socket server: owner of every descriptor, author of every socket message.

Services never touch a descriptor. They name a socket by its id, leave commands
here, and get messages in their mailbox: CONNECT, DATA, CLOSE, ACCEPT, ERROR, UDP,
WARNING. Commands are carried out in order by `poll`, before readiness is looked
at; only a write to an idle connection goes to the kernel at once.

    reserve ─ listen ──► plisten ─ start ─► listen
    reserve ─ connect ─► connecting ──────► connected ─► halfclose_read ─► (gone)
    accept ────────────► paccept ─ start ─► connected
    reserve ─ bind ────► bind

After skynet-src/socket_server.c. Where v1.1.0 and newer differ: half close as in
the newer, an ERROR that ends a socket is followed by one CLOSE (unless one came
before), close of an unknown id says nothing, listen posts no CONNECT.
"""

from __future__ import annotations

import errno
import os
import socket as pysocket
from collections import deque
from collections.abc import Callable
from typing import Any

from .errors import SocketError
from .message import (
    SOCKET_ACCEPT, SOCKET_CLOSE, SOCKET_CONNECT, SOCKET_DATA, SOCKET_ERROR, SOCKET_UDP, SOCKET_WARNING,
)  # fmt: skip
from .outside import Descriptor, Outside, is_numeric
from .poller import ERROR, HANGUP, READ, WRITE

MAX_SOCKET = 1 << 16
READ_SIZE = 65536
ACCEPTS_PER_POLL = 64
WARNING_SIZE = 1024 * 1024
MAX_INFO = 128
MAX_UDP_PACKAGE = 65535

RESERVE, PLISTEN, LISTEN, CONNECTING, CONNECTED, HALFCLOSE_READ, PACCEPT, BIND, INVALID = (
    "reserve", "plisten", "listen", "connecting", "connected", "halfclose_read", "paccept", "bind", "invalid",
)  # fmt: skip

_INFO = {LISTEN: "LISTEN", CONNECTED: "TCP", HALFCLOSE_READ: "CLOSING", BIND: "BIND"}
_AGAIN = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR)
_NO_DESCRIPTOR = (errno.EMFILE, errno.ENFILE)

Post = Callable[[int, int, int, int, Any], None]
Emit = Callable[[tuple[Any, ...]], Any]


class Socket:
    """One slot. Written by the server only."""

    __slots__ = (
        "close_sent", "closing", "direct", "family", "fd", "high", "id", "low", "opaque", "opening", "peer",
        "protocol", "read_bytes", "reading", "rtime", "sock", "state", "udp_peer", "untried", "warn_size",
        "wb_size", "write_bytes", "writing", "wtime",
    )  # fmt: skip

    def __init__(self, id: int) -> None:
        self.id = id
        self.state = RESERVE
        self.opaque = 0  # handle of the service that gets the messages
        self.protocol = "tcp"
        self.family = pysocket.AF_INET
        self.sock: Any = None
        self.fd = -1
        self.reading = self.writing = False  # what the poller is asked for
        self.closing = False  # close was called, queued bytes are still on their way
        self.close_sent = False  # the one CLOSE of a socket's life
        # Bytes of the write that the kernel cut short. They come before everything queued, and
        # are not counted before the socket is writable again (dw_buffer in the original).
        self.direct: memoryview | None = None
        self.high: deque[Any] | None = None
        self.low: deque[Any] | None = None
        self.wb_size = 0
        self.warn_size = 0
        self.opening = False  # counted in SocketServer.connecting
        self.untried: list[Any] = []  # addresses still to try while connecting
        self.udp_peer: Any = None
        self.peer = ""  # "ip:port" of the other side
        self.read_bytes = self.write_bytes = self.rtime = self.wtime = 0

    def unsent(self) -> bool:
        return self.direct is not None or bool(self.high) or bool(self.low)


class SocketServer:
    """All sockets of one node.

    `post(handle, type, id, ud, data)` puts a message into a mailbox, `log` takes the
    server's own complaints, `emit` the events of a recording (None: nobody looks).
    """

    def __init__(self, outside: Outside, post: Post, log: Callable[[str], None], now: Callable[[], int]) -> None:
        self.outside = outside
        self.emit: Emit | None = None
        self._post = post
        self._log = log
        self._now = now
        self._slots: dict[int, Socket] = {}  # by id modulo MAX_SOCKET
        self._by_fd: dict[int, Socket] = {}
        self._alloc_id = 0
        self.commands: deque[tuple[Any, ...]] = deque()
        self.awaited: dict[int, Socket | None] = {}  # by port of a client that wants to know its socket
        self.connecting = 0  # connects and lookups under way: the world owes us an answer

    # ---- what services call (through the driver functions of socket.py)

    def listen(self, opaque: int, host: str, port: int, backlog: int) -> int:
        """Bind and listen now; accept nothing before `start`. Raises SocketError("Listen error...")."""
        try:
            sock = self._bind_socket(host, port, pysocket.SOCK_STREAM)
            try:
                sock.listen(backlog)
            except OSError:
                sock.close()
                raise
        except OSError as e:
            raise SocketError(f"Listen error: {_reason(e)} ({host or '0.0.0.0'}:{port})") from None
        s = self._reserve(opaque, sock)
        self._command("listen", s.id, opaque)
        return s.id

    def connect(self, opaque: int, host: str, port: int) -> int:
        s = self._reserve(opaque, None)
        s.opening = True
        self.connecting += 1
        self._command("connect", s.id, opaque, host, port)
        return s.id

    def bind(self, opaque: int, fd: int) -> int:
        s = self._reserve(opaque, None)
        self._command("bind", s.id, opaque, fd)
        return s.id

    def start(self, opaque: int, id: int) -> None:
        self._command("start", id, opaque)

    def pause(self, opaque: int, id: int) -> None:
        self._command("pause", id, opaque)

    def close(self, opaque: int, id: int) -> None:
        self._command("close", id, opaque)

    def shutdown(self, opaque: int, id: int) -> None:
        self._command("shutdown", id, opaque)

    def nodelay(self, opaque: int, id: int) -> None:
        self._command("nodelay", id, opaque)

    def send(self, opaque: int, id: int, data: bytes, low: bool = False) -> bool:
        """True: taken over. False: no such socket, or it is closing (socket_server_send)."""
        s = self._get(id)
        if s is None or s.closing:
            return False
        if s.state is not CONNECTED or s.unsent() or self.commands or s.protocol != "tcp":
            # Anything but an idle connection: keep the order of the commands.
            if s.protocol != "tcp" and s.udp_peer is None:
                self._log(f"socket-server : set udp ({id}) error: address first.")
                return False
            self._command("send_low" if low else "send", id, opaque, data)
            return True
        try:
            sent = self.outside.send(s.sock, data)
        except OSError:
            sent = 0  # whatever it was, it comes again when the socket is looked at
        if self.emit is not None:
            self.emit(("write", opaque, id, sent, len(data)))
        s.write_bytes += sent
        s.wtime = self._now()
        if sent != len(data):
            s.direct = memoryview(data)[sent:]
            self._enable(s, s.reading, True)
        return True

    def udp(self, opaque: int, host: str | None, port: int, error: str = "udp init failed") -> int:
        """A UDP socket, bound if `host` or `port` is given."""
        try:
            if host is None and port == 0:
                sock = self.outside.socket(pysocket.AF_INET, pysocket.SOCK_DGRAM)
            else:
                sock = self._bind_socket(host or "", port, pysocket.SOCK_DGRAM)
        except OSError as e:
            raise SocketError(f"{error}: {_reason(e)} ({host or '0.0.0.0'}:{port})") from None
        s = self._reserve(opaque, sock)
        s.protocol, s.family = "udp", sock.family
        self._command("udp", s.id, opaque)
        return s.id

    def udp_listen(self, opaque: int, host: str, port: int) -> int:
        if port == 0:
            raise SocketError("udp listen host failed: a port is needed, 0 is none")
        return self.udp(opaque, host, port, "udp listen host failed")

    def udp_dial(self, opaque: int, host: str, port: int) -> int:
        """A UDP socket with a default destination, not bound."""
        try:
            family, _, _, _, address = self.outside.resolve(host, port, pysocket.SOCK_DGRAM)[0]
            sock = self.outside.socket(family, pysocket.SOCK_DGRAM)
        except OSError as e:
            raise SocketError(f"udp dial host failed: {_reason(e)} ({host}:{port})") from None
        s = self._reserve(opaque, sock)
        s.protocol, s.family, s.udp_peer = "udp", family, address
        self._command("udp", s.id, opaque)
        return s.id

    def udp_connect(self, opaque: int, id: int, host: str, port: int) -> None:
        """Set the default destination; datagrams from others still arrive."""
        s = self._get(id)
        if s is None or s.protocol != "udp":
            raise SocketError(f"udp connect failed: socket {id} is no UDP socket")
        try:
            family, _, _, _, address = self.outside.resolve(host, port, pysocket.SOCK_DGRAM)[0]
        except OSError as e:
            raise SocketError(f"udp connect failed: {_reason(e)} ({host}:{port})") from None
        if family != s.family:
            raise SocketError(f"udp connect failed: protocol mismatch, socket {id} and {host} differ in IP version")
        s.udp_peer = address

    def udp_send(self, opaque: int, id: int, address: bytes, data: bytes) -> bool:
        """Send one datagram to a packed address; False for a foreign or wrong kind of address."""
        s = self._get(id)
        target = unpack_udp_address(address, strict=True)
        if s is None or s.protocol != "udp" or target is None:
            return False
        if (s.family == pysocket.AF_INET6) != (address[0] == 2):
            return False
        self._command("udp_send", id, opaque, target, data)
        return True

    # ---- what may be asked at any time

    def sockname(self, id: int) -> tuple[str, int]:
        return self._address(id, "sockname", lambda sock: sock.getsockname())

    def peername(self, id: int) -> tuple[str, int]:
        return self._address(id, "peername", lambda sock: sock.getpeername())

    def netstat(self) -> list[dict[str, Any]]:
        """A row for each socket, from the highest slot to the lowest (socket_server_info)."""
        rows = []
        for _, s in sorted(self._slots.items(), reverse=True):
            kind = "UDP" if s.protocol == "udp" and s.state is CONNECTED else _INFO.get(s.state)
            if kind is None:
                continue
            row: dict[str, Any] = {"id": s.id, "address": s.opaque, "type": kind}
            if kind == "LISTEN":
                row |= {"accept": s.read_bytes, "rtime": s.rtime, "sock": _join(s.sock.getsockname())}
            else:
                row |= {
                    "read": s.read_bytes, "write": s.write_bytes, "wbuffer": s.wb_size, "rtime": s.rtime,
                    "wtime": s.wtime, "reading": s.reading, "writing": s.writing,
                }  # fmt: skip
                peer = _join(s.udp_peer) if s.udp_peer else s.peer
                if peer:
                    row["peer"] = peer
            rows.append(row)
        return rows

    def table(self) -> dict[int, tuple[str, int]]:
        """id → (state, owner), for looking at."""
        return {s.id: (s.state, s.opaque) for s in sorted(self._slots.values(), key=lambda s: s.id)}

    def find(self, state: str, port: int) -> bool:
        """Whether a socket in `state` has the local port `port`."""
        return any(s.state is state and s.sock.getsockname()[1] == port for s in self._slots.values())

    def alive(self, s: Socket) -> bool:
        return s.state is not INVALID

    def flushing(self) -> bool:
        """Whether bytes of ours still wait for the kernel to take them."""
        return any(s.writing and s.unsent() for s in self._by_fd.values())

    def active(self) -> bool:
        """Whether a poll could find anything at all."""
        return bool(self.commands or self._by_fd or self.connecting)

    # ---- the poll

    def poll(self, timeout: float | None) -> int:
        """Carry out commands, then readiness; wait at most `timeout` seconds if there is none.

        Returns how much was done. DOC: socket-server-poll
        """
        done = 0
        while self.commands:
            self._carry_out(self.commands.popleft())
            done += 1
        if done:
            timeout = 0
        events = self.outside.poll(timeout)
        if len(events) > 1:
            # The kernel's order is that of arrival, which two runs need not share.
            events.sort(key=lambda event: self._by_fd[event[0]].id)
        for fd, mask in events:
            s = self._by_fd.get(fd)
            if s is not None:  # an earlier event of this round may have closed it
                self._ready(s, mask)
                done += 1
        for s, result in self.outside.lookups():
            self._looked_up(s, result)
            done += 1
        return done

    def release(self) -> None:
        """Close everything, say nothing."""
        self.commands.clear()
        for s in list(self._slots.values()):
            self._force_close(s)
        self.outside.close()

    # ---- commands

    def _command(self, name: str, id: int, opaque: int, *rest: Any) -> None:
        self.commands.append((name, id, opaque, *rest))
        if self.emit is not None:
            self.emit(("driver", opaque, name, id))

    def _carry_out(self, command: tuple[Any, ...]) -> None:
        name, id, opaque, *rest = command
        if self.emit is not None:
            self.emit(("command", opaque, name, id))
        s = self._get(id)
        if name == "start":
            self._start(s, id, opaque)
        elif s is None:
            return  # pause, nodelay, close, shutdown, send of an unknown id: nothing
        elif name in ("send", "send_low"):
            self._append(s, rest[0], name == "send_low")
        elif name == "connect":
            self._open(s, *rest)
        elif name == "close" or name == "shutdown":
            self._close(s, name == "shutdown")
        elif name == "listen":
            self._attach(s, PLISTEN, False)
        elif name == "udp":
            self._attach(s, CONNECTED, True)
        elif name == "udp_send":
            self._sendto(s, *rest)
        elif name == "pause":
            self._enable(s, False, s.writing)
        elif name == "nodelay":
            if s.protocol == "tcp" and s.sock is not None:
                s.sock.setsockopt(pysocket.IPPROTO_TCP, pysocket.TCP_NODELAY, 1)
        elif name == "bind":
            try:
                s.sock = Descriptor(rest[0])
            except OSError as e:
                self._fail(s, e.strerror)
                return
            if self._attach(s, BIND, True):
                self._post(s.opaque, SOCKET_CONNECT, s.id, 0, "binding")

    def _start(self, s: Socket | None, id: int, opaque: int) -> None:
        if s is None:
            self._post(opaque, SOCKET_ERROR, id, 0, "invalid socket")
            self._post(opaque, SOCKET_CLOSE, id, 0, "")
            return
        if s.state is HALFCLOSE_READ:
            self._post(opaque, SOCKET_ERROR, id, 0, "socket closed")
            return
        if s.state is PACCEPT or s.state is PLISTEN:
            s.opaque = opaque
            self._set_state(s, CONNECTED if s.state is PACCEPT else LISTEN)
            info = "start"
        elif s.state is CONNECTED:
            s.opaque = opaque
            if self.emit is not None:
                self.emit(("socket", opaque, s.id, s.state))
            info = "transfer"
        else:
            return
        self._enable(s, True, s.writing)
        self._post(opaque, SOCKET_CONNECT, id, 0, info)

    def _close(self, s: Socket, at_once: bool) -> None:
        if at_once or not s.unsent():
            self._say_close(s)
            self._force_close(s)
            return
        s.closing = True
        self._say_close(s)
        if s.state is CONNECTED:
            self._set_state(s, HALFCLOSE_READ)
        self._enable(s, False, True)

    # ---- connecting

    def _open(self, s: Socket, host: str, port: int) -> None:
        if is_numeric(host):
            try:
                self._looked_up(s, self.outside.resolve(host, port, pysocket.SOCK_STREAM))
            except OSError as e:
                self._looked_up(s, e)
        else:
            self.outside.lookup(s, host, port, pysocket.SOCK_STREAM)

    def _looked_up(self, s: Socket, result: Any) -> None:
        if s.state is not RESERVE:
            return  # closed in the meantime
        if isinstance(result, OSError):
            self._fail(s, _reason(result))
            return
        s.untried = list(result)
        self._try_next(s, "no address")

    def _try_next(self, s: Socket, error: str) -> None:
        """Connect to the next address of the name; the error of the last one counts."""
        while s.untried:
            family, kind, _, _, address = s.untried.pop(0)
            try:
                sock = self.outside.socket(family, kind)
            except OSError as e:
                error = e.strerror
                continue
            sock.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_KEEPALIVE, 1)
            code = self.outside.connect(sock, address)
            if code not in (0, errno.EINPROGRESS):
                sock.close()
                error = os.strerror(code)
                continue
            s.sock, s.family = sock, family
            if self._attach(s, CONNECTING, True, writing=True) and code == 0:
                self._connected(s)
            return
        self._fail(s, error)

    def _report_connect(self, s: Socket) -> None:
        code = self.outside.socket_error(s.sock)
        if code == 0:
            self._connected(s)
            return
        self._detach(s)
        s.sock.close()
        s.sock = None
        self._set_state(s, RESERVE)
        self._try_next(s, os.strerror(code))

    def _connected(self, s: Socket) -> None:
        self._settle(s)
        try:
            address = s.sock.getpeername()
        except OSError as e:  # reset before we looked
            self._fail(s, e.strerror)
            return
        s.peer = _join(address)
        self._set_state(s, CONNECTED)
        self._enable(s, True, s.unsent())
        self._post(s.opaque, SOCKET_CONNECT, s.id, 0, address[0])

    # ---- readiness

    def _ready(self, s: Socket, mask: int) -> None:
        if self.emit is not None:
            self.emit(("ready", s.opaque, s.id, mask))
        if s.state is CONNECTING:
            self._report_connect(s)
        elif s.state is LISTEN:
            self._report_accept(s)
        elif mask & READ and s.reading:
            if s.protocol == "udp":
                self._read_udp(s)
            else:
                self._read(s)
            if mask & WRITE and s.state is not INVALID and s.writing:
                self._flush(s)
        elif mask & WRITE:
            self._flush(s)
        elif mask & ERROR:
            code = self.outside.socket_error(s.sock)
            self._fail(s, os.strerror(code) if code else "Unknown error")
        elif mask & HANGUP:
            self._say_close(s)
            self._force_close(s)

    def _read(self, s: Socket) -> None:
        try:
            data = self.outside.recv(s.sock, READ_SIZE)
        except OSError as e:
            if e.errno not in _AGAIN:
                self._fail(s, e.strerror)
            return
        if data:
            s.read_bytes += len(data)
            s.rtime = self._now()
            self._post(s.opaque, SOCKET_DATA, s.id, len(data), data)
        else:
            # The other side has finished writing; ours stays open until close.
            if s.state is CONNECTED:
                self._set_state(s, HALFCLOSE_READ)
            self._enable(s, False, s.writing)
            self._say_close(s)

    def _read_udp(self, s: Socket) -> None:
        try:
            data, address = self.outside.recvfrom(s.sock, MAX_UDP_PACKAGE)
        except OSError as e:
            if e.errno not in _AGAIN:
                self._fail(s, e.strerror)
            return
        s.read_bytes += len(data)
        s.rtime = self._now()
        self._post(s.opaque, SOCKET_UDP, s.id, len(data), (data, pack_udp_address(s.family, address)))

    def _report_accept(self, s: Socket) -> None:
        for _ in range(ACCEPTS_PER_POLL):
            try:
                conn, address = self.outside.accept(s.sock)
            except OSError as e:
                if e.errno in _NO_DESCRIPTOR:
                    self._post(s.opaque, SOCKET_ERROR, s.id, 0, e.strerror)
                    self.outside.accept_and_drop(s.sock)
                return  # nobody left, or a client that went before we came
            try:
                new = self._reserve(s.opaque, conn)
            except SocketError:
                return
            conn.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_KEEPALIVE, 1)
            new.peer = _join(address)
            if address[1] in self.awaited:
                self.awaited[address[1]] = new
            if not self._attach(new, PACCEPT, False):
                continue
            s.read_bytes += 1
            s.rtime = self._now()
            self._post(s.opaque, SOCKET_ACCEPT, s.id, new.id, new.peer)

    # ---- writing

    def _append(self, s: Socket, data: bytes, low: bool) -> None:
        """Queue behind what waits (send_socket)."""
        if s.closing or s.state is PACCEPT or s.state is RESERVE:
            return
        if s.state is PLISTEN or s.state is LISTEN:
            self._log(f"socket-server error: write to listen fd {s.id}.")
            return
        if s.protocol == "udp":
            self._sendto(s, s.udp_peer, data)
            return
        if low and (s.high or s.low):
            if s.low is None:
                s.low = deque()
            s.low.append(memoryview(data))
        else:
            if s.high is None:
                s.high = deque()
            s.high.append(memoryview(data))
        s.wb_size += len(data)
        if s.state is not CONNECTING:
            self._enable(s, s.reading, True)
        if s.wb_size >= WARNING_SIZE and s.wb_size >= s.warn_size:
            s.warn_size = s.warn_size * 2 if s.warn_size else WARNING_SIZE * 2
            self._post(s.opaque, SOCKET_WARNING, s.id, -(-s.wb_size // 1024), "")

    def _flush(self, s: Socket) -> None:
        """Write until the kernel takes no more (send_buffer): high first, then low."""
        if s.direct is not None:
            if s.high is None:
                s.high = deque()
            s.high.appendleft(s.direct)
            s.wb_size += len(s.direct)
            s.direct = None
        for queue in (s.high, s.low):
            while queue:
                data = queue[0]
                try:
                    sent = self.outside.send(s.sock, data)
                except OSError as e:
                    if e.errno not in _AGAIN:
                        self._fail(s, e.strerror)
                    return
                if self.emit is not None:
                    self.emit(("write", s.opaque, s.id, sent, len(data)))
                s.write_bytes += sent
                s.wtime = self._now()
                s.wb_size -= sent
                if sent == len(data):
                    queue.popleft()
                    continue
                queue[0] = data[sent:]
                if queue is s.low:
                    # Begun is begun: nothing may come between the two halves.
                    s.high = deque((queue.popleft(),))
                return
        if s.closing:
            self._force_close(s)
            return
        self._enable(s, s.reading, False)
        if s.warn_size:
            s.warn_size = 0
            self._post(s.opaque, SOCKET_WARNING, s.id, 0, "")

    def _sendto(self, s: Socket, address: Any, data: bytes) -> None:
        if s.state is not CONNECTED:
            return
        try:
            s.write_bytes += self.outside.sendto(s.sock, data, address)
            s.wtime = self._now()
        except OSError as e:
            if e.errno not in _AGAIN:  # a full buffer drops a datagram, as the network may
                self._log(f"socket-server : udp ({s.id}) sendto error {e.strerror}.")

    # ---- slots

    def _reserve(self, opaque: int, sock: Any) -> Socket:
        for _ in range(MAX_SOCKET):
            self._alloc_id = self._alloc_id % 0x7FFFFFFF + 1
            if self._alloc_id % MAX_SOCKET not in self._slots:
                s = self._slots[self._alloc_id % MAX_SOCKET] = Socket(self._alloc_id)
                s.opaque, s.sock = opaque, sock
                if sock is not None:
                    s.family = sock.family
                if self.emit is not None:
                    self.emit(("socket", opaque, s.id, s.state))
                return s
        if sock is not None:
            sock.close()
        raise SocketError(f"reach skynet socket number limit: {MAX_SOCKET} sockets are open; close some")

    def _get(self, id: int) -> Socket | None:
        s = self._slots.get(id % MAX_SOCKET)
        return s if s is not None and s.id == id else None

    def _attach(self, s: Socket, state: str, reading: bool, writing: bool = False) -> bool:
        s.fd = s.sock.fileno()
        s.reading, s.writing = reading, writing
        try:
            self.outside.poller.add(s.fd, (READ if reading else 0) | (WRITE if writing else 0))
        except OSError as e:
            self._fail(s, e.strerror)
            return False
        self._by_fd[s.fd] = s
        self._set_state(s, state)
        return True

    def _detach(self, s: Socket) -> None:
        if self._by_fd.pop(s.fd, None) is not None:
            self.outside.poller.remove(s.fd)

    def _set_state(self, s: Socket, state: str) -> None:
        s.state = state
        if self.emit is not None:
            self.emit(("socket", s.opaque, s.id, state))

    def _enable(self, s: Socket, reading: bool, writing: bool) -> None:
        if (reading, writing) != (s.reading, s.writing) and s.fd in self._by_fd:
            s.reading, s.writing = reading, writing
            self.outside.poller.enable(s.fd, (READ if reading else 0) | (WRITE if writing else 0))

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

    def _settle(self, s: Socket) -> None:
        if s.opening:
            s.opening = False
            self.connecting -= 1

    def _force_close(self, s: Socket) -> None:
        self._settle(s)
        self._detach(s)
        if s.sock is not None:
            s.sock.close()
        s.direct = s.high = s.low = None
        del self._slots[s.id % MAX_SOCKET]
        self._set_state(s, INVALID)

    def _bind_socket(self, host: str, port: int, kind: int) -> pysocket.socket:
        family, _, _, _, address = self.outside.resolve(host or "0.0.0.0", port, kind)[0]
        sock = self.outside.socket(family, kind)
        try:
            sock.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_REUSEADDR, 1)
            sock.bind(address)
        except OSError:
            sock.close()
            raise
        return sock

    def _address(self, id: int, what: str, ask: Callable[[Any], Any]) -> tuple[str, int]:
        s = self._get(id)
        if s is None or s.sock is None or isinstance(s.sock, Descriptor):
            raise SocketError(f"{what}: socket {id} is not open")
        try:
            address = ask(s.sock)
        except OSError as e:
            raise SocketError(f"{what}: socket {id}: {e.strerror}") from None
        return address[0], address[1]


def pack_udp_address(family: int, address: Any) -> bytes:
    """1 byte kind (1: IPv4, 2: IPv6), 2 bytes port, 4 or 16 bytes address (gen_udp_address)."""
    host = address[0].split("%")[0]
    kind = b"\x02" if family == pysocket.AF_INET6 else b"\x01"
    return kind + int(address[1]).to_bytes(2, "big") + pysocket.inet_pton(family, host)


def unpack_udp_address(packed: bytes, strict: bool = False) -> tuple[str, int] | None:
    """`(ip, port)`, by length alone unless `strict`; None for what is no address."""
    if len(packed) not in (7, 19) or (strict and packed[0] != (1 if len(packed) == 7 else 2)):
        return None
    family = pysocket.AF_INET if len(packed) == 7 else pysocket.AF_INET6
    return pysocket.inet_ntop(family, packed[3:]), int.from_bytes(packed[1:3], "big")


def _join(address: Any) -> str:
    return f"{address[0]}:{address[1]}"


def _reason(e: OSError) -> str:
    return e.strerror or str(e)
