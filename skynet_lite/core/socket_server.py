"""The socket server: owner of every descriptor, author of every socket message.

Services never touch a descriptor. They name a socket by its id, leave commands
here, and get messages in their mailbox: CONNECT, DATA, CLOSE, ACCEPT, ERROR, UDP,
WARNING. Commands are carried out in order by `poll`, before readiness is looked
at; only a write to an idle connection goes to the kernel at once.

    reserve ─ listen ──► plisten ─ start ─► listen
    reserve ─ connect ─► connecting ──────► connected ─► halfclose_read ─► (gone)
    accept ────────────► paccept ─ start ─► connected
    reserve ─ bind ────► bind               reserve ─ udp ─► udp

After skynet-src/socket_server.c; its table of sockets is in socket_slots.py, writing
in socket_send.py, datagrams in socket_udp.py. Where v1.1.0 and newer differ: half
close as in the newer, an ERROR that ends a socket is followed by one CLOSE (unless
one came before), close of an unknown id says nothing, listen posts no CONNECT.
"""

from __future__ import annotations

import errno
import os
import socket as pysocket
from collections.abc import Callable
from functools import cache
from typing import Any

from .errors import SocketError, error_text, shown
from .locks import guarded
from .message import SOCKET_ACCEPT, SOCKET_CLOSE, SOCKET_CONNECT, SOCKET_DATA, SOCKET_ERROR
from .outside import Descriptor, is_numeric, join, reason, told
from .poller import ERROR, HANGUP, READ, WRITE
from .socket_send import AGAIN
from .socket_udp import Udp

from .socket_slots import (  # isort: skip
    BIND, CONNECTED, CONNECTING, HALFCLOSE_READ, INVALID, LISTEN, PACCEPT, PLISTEN, RESERVE, UDP, Socket,
)  # fmt: skip

MIN_READ, LARGE_READ, MAX_READ = 4096, 64 * 1024, 1024 * 1024  # what is asked for at once
ACCEPTS_PER_POLL = 64
_STARTED = {PACCEPT: CONNECTED, PLISTEN: LISTEN, CONNECTED: CONNECTED, UDP: UDP}


@cache  # once is enough
def keep_freed_memory() -> None:
    """Have glibc keep what a large read frees for the next, which else has to fault 250 pages in for each MiB.

    It gives memory back above twice the largest block that was ever freed (M_MMAP_THRESHOLD in mallopt(3)), and a
    read of many pieces needs its size twice. So a larger block comes and goes here; nobody touches it.
    """
    bytes(4 * MAX_READ)


def _order(name: str) -> Callable[[SocketServer, int, int], None]:
    """The method for a command that needs nothing but a socket: `start(opaque, id)`."""
    return guarded(lambda self, opaque, id: self._command(name, id, opaque))


class SocketServer(Udp):
    """All sockets of one node: what services call, and the poll that does it."""

    # ---- what services call (through the functions of socket.py)

    @guarded
    def listen(self, opaque: int, host: str, port: int, backlog: int) -> int:
        """Bind and listen now, accept after `start`. Raises SocketError("Listen error..."). DOC: server-listen"""
        at = host or "0.0.0.0", port
        s = self._reserve(opaque, told("Listen error", at, self._bind_socket, *at, pysocket.SOCK_STREAM, backlog))
        self._command("listen", s.id, opaque)
        return s.id

    @guarded
    def connect(self, opaque: int, host: str, port: int) -> int:
        s = self._reserve(opaque, None)
        s.opening = True
        self.connecting += 1
        self._command("connect", s.id, opaque, host, port)
        return s.id

    @guarded
    def bind(self, opaque: int, fd: int) -> int:
        """Adopt a descriptor; it is never closed here. Raises SocketError."""
        try:
            s = self._reserve(opaque, self.outside.adopt(fd))
        except (OSError, OverflowError, TypeError) as e:
            raise SocketError(f"bind: {shown(fd)} is no open descriptor: {e}") from None
        self._command("bind", s.id, opaque)
        return s.id

    start, pause, close, shutdown, nodelay = map(_order, ("start", "pause", "close", "shutdown", "nodelay"))

    # ---- the poll

    def poll(self, timeout: float | None) -> int:
        """Carry out commands, then readiness; wait at most `timeout` seconds if there is none.

        Returns how much was done. DOC: socket-server-poll
        """
        done = 0
        while self.commands:
            command = self.commands.popleft()
            try:
                self._carry_out(command)
            except Exception as e:
                self._trouble(self._sockets.get(command[1]), e)
            done += 1
        events = self._wait(0 if done else timeout)
        if self.stamp is not None:
            self.stamp()
        socket_of = self._by_fd.get
        ready = [(s.id, mask, s) for fd, mask in events if (s := socket_of(fd)) is not None]
        if ready:  # else nobody wants to know the time, and a replay, which finds the same, would not ask
            ready.sort()  # by id: the kernel's order is that of arrival, which two runs need not share
            self.time = self._now()
            done += len(ready)
        for _, mask, s in ready:
            if s.state is not INVALID:  # an earlier event of this round may have closed it
                try:
                    self._ready(s, mask)
                except Exception as e:
                    self._trouble(s, e)
        for s, result in self.outside.lookups():
            try:
                self._looked_up(s, result)
            except Exception as e:
                self._trouble(s, e)
            done += 1
        return done

    def _trouble(self, s: Socket | None, error: Exception) -> None:
        """What does not fail has failed, a system call mostly: it costs this socket, unless it listens."""
        self._log(f"socket-server error: {error_text(error)}")
        if s is not None and s.state is not LISTEN and self._sockets.get(s.id) is s:
            self._fail(s, error_text(error))

    def _wait(self, timeout: float | None) -> list[tuple[int, int]]:
        try:
            return self.outside.poll(timeout)
        except InterruptedError:
            return []

    @guarded
    def release(self) -> None:
        """Close everything, say nothing."""
        self.commands.clear()
        for s in list(self._sockets.values()):
            self._force_close(s)
        self.outside.close()

    # ---- commands

    def _carry_out(self, command: tuple[Any, ...]) -> None:
        """One command of a service. DOC: server-command"""
        name, id, opaque, *rest = command
        s = self._sockets.get(id)
        if name == "start":
            self._start(s, id, opaque)
        elif s is None:
            return  # pause, nodelay, close, shutdown, send of an unknown id: nothing
        elif name == "send" or name == "send_low":
            self._append(s, rest[0], name == "send_low")
        elif name == "connect":
            self._open(s, *rest)
        elif name == "close" or name == "shutdown":
            self._close(s, name == "shutdown")
        elif name == "listen":
            self._attach(s, PLISTEN, False)
        elif name == "udp":
            self._attach(s, UDP, True)
        elif name == "udp_send":
            self._sendto(s, *rest)
        elif name == "pause":
            self._enable(s, False, s.writing)
        elif name == "nodelay":
            if not s.udp and s.sock is not None and not isinstance(s.sock, Descriptor):
                self.outside.setsockopt(s.sock, pysocket.IPPROTO_TCP, pysocket.TCP_NODELAY, 1)
        elif name == "bind" and self._attach(s, BIND, True):
            self._post(s.opaque, SOCKET_CONNECT, s.id, 0, "binding")

    def _start(self, s: Socket | None, id: int, opaque: int) -> None:
        """Read it from now on, and tell the service that asked: it is the owner now. DOC: server-start"""
        if s is None:
            self._post(opaque, SOCKET_ERROR, id, 0, "invalid socket")
            if not 0 < id <= self._alloc_id:  # else it is one that has gone, and its CLOSE was posted then
                self._post(opaque, SOCKET_CLOSE, id, 0, "")
            return
        if s.state is HALFCLOSE_READ or s.closing:
            self._post(opaque, SOCKET_ERROR, id, 0, "socket closed")
            return
        started = _STARTED.get(s.state)
        if started is None:
            return
        s.opaque = opaque
        if self._enable(s, True, s.writing):
            what = "transfer" if s.state is started else "start"
            self._set_state(s, started)
            self._post(opaque, SOCKET_CONNECT, id, 0, what)

    def _close(self, s: Socket, at_once: bool) -> None:
        """Close now, or when the last byte is written. DOC: server-close"""
        self._say_close(s)
        if at_once or not s.unsent():
            self._force_close(s)
            return
        s.closing = True
        if s.state is not RESERVE and s.state is not CONNECTING:  # those are still to be connected
            if s.state is not HALFCLOSE_READ:
                self._set_state(s, HALFCLOSE_READ)
            self._enable(s, False, True)

    # ---- connecting

    def _open(self, s: Socket, host: str, port: int) -> None:
        if is_numeric(host):
            self._looked_up(s, self.outside.answer(host, port, pysocket.SOCK_STREAM))
        else:
            self.outside.lookup(s, host, port, pysocket.SOCK_STREAM)

    def _looked_up(self, s: Socket, result: Any) -> None:
        if s.state is RESERVE:  # else closed in the meantime
            failed = isinstance(result, OSError)
            s.untried = [] if failed else list(result)
            self._try_next(s, reason(result) if failed else "no address")

    def _try_next(self, s: Socket, error: str) -> None:
        """Connect to the next address of the name; the error of the last one counts."""
        while s.untried:
            family, kind, _, _, address = s.untried.pop(0)
            try:
                sock = self.outside.socket(family, kind)
            except OSError as e:
                error = reason(e)
                continue
            self.outside.setsockopt(sock, pysocket.SOL_SOCKET, pysocket.SO_KEEPALIVE, 1)
            code = self.outside.connect(sock, address)
            if code not in (0, errno.EINPROGRESS, errno.EINTR):  # interrupted: it goes on in the kernel
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
            address = self.outside.peername(s.sock)
        except OSError as e:  # reset before we looked
            self._fail(s, reason(e))
            return
        s.peer = join(address)
        if s.closing:  # closed before it was open, with bytes to deliver
            self._set_state(s, HALFCLOSE_READ)
            self._enable(s, False, True)
        else:
            self._set_state(s, CONNECTED)
            self._enable(s, True, s.unsent())
            self._post(s.opaque, SOCKET_CONNECT, s.id, 0, address[0])

    # ---- readiness

    def _ready(self, s: Socket, mask: int) -> None:
        state = s.state
        if state is CONNECTED and mask == READ:  # nearly always
            self._read(s)
        elif state is CONNECTING:
            self._report_connect(s)
        elif state is LISTEN:
            self._report_accept(s)
        elif (mask & READ and s.reading) or (mask & WRITE and s.writing):
            if mask & READ and s.reading:
                (self._read_udp if s.udp else self._read)(s)
            if mask & WRITE and s.writing:
                (self._flush_udp if s.udp else self._flush)(s)
        elif mask & ERROR:
            code = self.outside.socket_error(s.sock)
            self._fail(s, os.strerror(code) if code else "Unknown error")
        elif mask & HANGUP:
            self._say_close(s)
            self._force_close(s)

    def _read(self, s: Socket) -> None:
        """Whatever is there, as one DATA message. No bytes: the other side has finished. DOC: server-read"""
        asked = s.read_size
        try:
            data = self.outside.recv(s.sock, asked)
        except OSError as e:
            if e.errno not in AGAIN:
                self._fail(s, reason(e))
            return
        if data:
            size = len(data)
            s.read_bytes += size
            s.rtime = self.time
            if size == asked < MAX_READ:
                s.read_size = asked * 2
                if s.read_size == LARGE_READ:
                    keep_freed_memory()
            elif asked > MIN_READ and size * 2 < asked:
                s.read_size = asked // 2
            self._post(s.opaque, SOCKET_DATA, s.id, size, data)
        else:
            # The other side has finished writing; ours stays open until close.
            self._set_state(s, HALFCLOSE_READ)
            self._enable(s, False, s.writing)
            self._say_close(s)

    def _report_accept(self, s: Socket) -> None:
        for _ in range(ACCEPTS_PER_POLL):
            try:
                conn, address = self.outside.accept(s.sock)
            except OSError as e:
                if e.errno in (errno.EMFILE, errno.ENFILE):
                    self._post(s.opaque, SOCKET_ERROR, s.id, 0, reason(e))
                    self._tell_client(self.outside.accept_and_drop(s.sock))
                return  # nobody left, or a client that went before we came
            try:
                new = self._reserve(s.opaque, conn)
            except SocketError:
                self._tell_client(address)
                return
            self.outside.setsockopt(conn, pysocket.SOL_SOCKET, pysocket.SO_KEEPALIVE, 1)
            new.peer = join(address)
            self._tell_client(address, new)
            if self._attach(new, PACCEPT, False):
                s.read_bytes += 1
                s.rtime = self.time
                self._post(s.opaque, SOCKET_ACCEPT, s.id, new.id, new.peer)
