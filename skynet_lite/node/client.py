"""A plain TCP client for notebooks and tests, that drives the node while it waits.

What it does appears in the trace under its name (client#1). And the node knows what
it has done but the socket server has not seen yet: that counts as work, so that
`run_until_idle` means the same on a busy machine.
"""

from __future__ import annotations

import errno
import select
import socket
import struct
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from ..core.errors import DriveTimeout, SkynetError, SocketError
from ..core.server import Server
from ..core.socket_slots import INVALID, LISTEN
from ..drive.served import Served
from ..drive.workers import Workers


class Client(AbstractContextManager["Client"]):
    """Made by `node.client(port)`. Every wait has a limit of `timeout` real seconds."""

    def __init__(
        self, server: Server, driver: Served | Workers, tell: Callable[[tuple[Any, ...]], Any],
        address: tuple[str, int], label: str, timeout: float,
    ) -> None:  # fmt: skip
        """`tell`: for recordings. Raises SocketError."""
        if not driver.served():
            driver.run_until(lambda: True, None, "the boot")  # that waits for idleness, which a waiting client forbids
        self._server = server
        self._driver = driver
        self._tell = tell
        self._timeout = timeout
        self.label = label
        self._peer: Any = None  # the node's end of this connection, once accepted
        self._received = bytearray()
        self._sent = self._total = 0  # bytes sent, and received
        self._eof = self._finished = self._reset = self._waiting = False
        self.closed = False
        self._server_port = address[1]
        self._sock = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        self._port = 0
        self._emit("connect")
        try:
            server.clients[self] = server.unsettled[self] = None
            self._sock.setblocking(False)
            self._sock.bind(("::1" if ":" in address[0] else "127.0.0.1", 0))
            self._port = self._sock.getsockname()[1]
            server.socket_server.awaited[self._port] = None
            code = self._sock.connect_ex(address)
            if code == errno.EINPROGRESS:
                self._wait(self._writable, "the connection")
                code = self._sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                why = errno.errorcode.get(code, code)
                raise SocketError(f"{label}: cannot connect to port {address[1]}: {why}; does a service listen?")
        except BaseException:
            self.abandon()
            raise

    def send(self, data: bytes) -> None:
        """Write all of `data`, driving the node while the connection is full."""
        if isinstance(data, str):
            raise TypeError("a socket carries bytes, not str: use .encode()")
        self._check_open()
        view = memoryview(data)
        self._emit("send", f"{len(data)} bytes")
        while view:
            try:
                n = self._sock.send(view)
                self._sent += n
                self._server.unsettled[self] = None
                view = view[n:]
            except BlockingIOError:
                self._wait(self._writable, "room to send")
            except OSError as e:
                raise SocketError(f"{self.label}: cannot send: {e.strerror}") from None

    def recv(self, n: int) -> bytes:
        """Exactly `n` bytes. Raises SocketError if the connection ends before."""
        self._wait(lambda: self._fill() and (len(self._received) >= n or self._eof), f"{n} bytes")
        if len(self._received) < n:
            got = bytes(self._received)
            raise SocketError(f"{self.label}: the connection ended after {len(got)} of {n} bytes: {got!r}")
        return self._take(n)

    def recv_line(self) -> bytes:
        """A line without its line feed. Raises SocketError if the connection ends before."""
        self._wait(lambda: self._fill() and (b"\n" in self._received or self._eof), "a line")
        end = self._received.find(b"\n")
        if end < 0:
            raise SocketError(f"{self.label}: the connection ended within a line: {bytes(self._received)!r}")
        return self._take(end + 1)[:-1]

    def recv_until(self, over: Callable[[], bool]) -> bytes:
        """Drive the node until `over()`, then all that it has written to us by now; b"" if nothing."""
        self._wait(lambda: self._fill() and over() and not self._behind(), "the end of the run")
        return self._take(len(self._received)) if self._received else b""

    def expect(self, data: bytes) -> None:
        """Receive exactly `data`; raises AssertionError if it is something else."""
        got = self.recv(len(data))
        if got != data:
            raise AssertionError(f"{self.label}: expected {data!r}, got {got!r}")

    def expect_eof(self) -> None:
        """Wait for the end of the stream; raises AssertionError if bytes come instead."""
        self._wait(lambda: self._fill() and (bool(self._received) or self._eof), "the end of the stream")
        if self._received:
            raise AssertionError(f"{self.label}: expected the end of the stream, got {bytes(self._received)!r}")
        self._emit("eof")

    def shutdown(self) -> None:
        """Finish writing (half close); reading goes on."""
        self._check_open()
        self._emit("shutdown")
        self._finished = True
        self._server.unsettled[self] = None
        self._sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close the connection."""
        if not self.closed:
            self._emit("reset" if self._reset else "close")
            self._finished = self.closed = True
            self._server.unsettled[self] = None
            self._sock.close()

    def reset(self) -> None:
        """Close with a reset, so that the other side gets an error."""
        if not self.closed:
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._reset = True
            self.close()

    def abandon(self) -> None:
        """Drop it without a word in the trace; done for all clients when the node is closed."""
        self.closed = True
        self._sock.close()
        self._server.clients.pop(self, None)
        self._server.unsettled.pop(self, None)
        self._server.socket_server.awaited.pop(self._port, None)

    def _node_end(self) -> Any:
        """The socket at the other end of this connection, None before it is accepted."""
        self._peer = self._peer or self._server.socket_server.awaited.get(self._port)
        return self._peer

    def _behind(self) -> bool:
        """Whether the kernel still has bytes to us: a busy machine may take a moment for that."""
        peer = self._node_end()
        return peer is not None and peer.write_bytes > self._total and not self._eof

    def unseen(self) -> bool:
        """Whether something is on its way between us and the socket server, so that idleness must wait."""
        peer, waiting = self._node_end(), self._waiting and not self._eof
        settled = peer is not None and (peer.state is INVALID or peer.read_bytes == self._sent)
        if settled and not (self._waiting or self._finished or self._reset):
            self._server.unsettled.pop(self, None)  # and is asked no more, until it does something
        if peer is None and (listener := self._server.socket_server.listener(self._server_port)) is not None:
            if listener.state is LISTEN and listener.reading:
                return True  # to be accepted
            waiting = False
        if peer is None or peer.state is INVALID:
            if self.closed:
                self.abandon()
            return waiting  # what another program, or another node, has for us can come at any time
        if peer.write_bytes > self._total and (self.closed or waiting):
            return True  # bytes to us; after a close the kernel answers them with a reset
        return self._reset or (peer.reading and (peer.read_bytes < self._sent or self._finished))

    def _writable(self) -> bool:
        poll = select.poll()  # select() refuses descriptors above 1023
        poll.register(self._sock, select.POLLOUT)
        return bool(poll.poll(0))

    def _fill(self) -> bool:
        """Take what has arrived; True, for use in conditions."""
        self._check_open()
        try:
            while not self._eof:
                data = self._sock.recv(65536)
                self._eof = not data
                self._total += len(data)
                self._received += data
        except BlockingIOError:
            pass
        except OSError as e:
            raise SocketError(f"{self.label}: {e.strerror}") from None
        return True

    def _take(self, n: int) -> bytes:
        data = bytes(self._received[:n])
        del self._received[:n]
        self._emit("recv", f"{n} bytes")
        return data

    def _wait(self, until: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + self._timeout
        if self._driver.served():
            while not until():
                time.sleep(0.001)
                if time.monotonic() > end:
                    raise DriveTimeout(f"{self.label}: {what} did not come in {self._timeout} s")
            return
        self._waiting = True
        self._server.unsettled[self] = None
        try:
            self._driver.run_until(until, self._timeout, "what run() waits for", budget=1)
        except DriveTimeout as e:
            raise DriveTimeout(f"{self.label}: {what} did not come in {self._timeout} s; {e}") from None
        finally:
            self._waiting = False

    def _emit(self, action: str, detail: str = "") -> None:
        self._tell(("client", 0, self.label, action, detail))

    def _check_open(self) -> None:
        if self.closed:
            raise SkynetError(f"{self.label} is closed")

    def __exit__(self, *exc: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<{self.label}{' closed' if self.closed else ''}>"
