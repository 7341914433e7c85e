"""What the socket tests share: a service that only listens in, one that serves, and worlds that misbehave."""

from __future__ import annotations

import errno
import os
import select
import socket as pysocket
from collections.abc import Callable
from typing import Any

from skynet_lite import Node, skynet, socket
from skynet_lite.core.message import PTYPE_SOCKET, SOCKET_NAMES
from skynet_lite.core.outside import Outside

TIMEOUT = 20.0  # real seconds, for what should take none


class Spied:
    """A bare node with one service that notes its socket messages; the test calls the socket server itself."""

    def __init__(self, outside: Outside | None = None) -> None:
        self.messages: list[tuple[Any, ...]] = []
        self.node = Node(clock="virtual", log=list, bootstrap=False, outside=outside)
        self.ss = self.node.socket_server
        self.me = self.spy()

    def spy(self, messages: list[tuple[Any, ...]] | None = None) -> int:
        """One more service that listens in; its handle."""
        notes = self.messages if messages is None else messages

        def dispatch(session: int, source: int, type: int, *fields: Any) -> None:
            notes.append((SOCKET_NAMES[type], *fields))

        def main() -> None:
            skynet.register_protocol(name="socket", id=PTYPE_SOCKET, dispatch=dispatch)

        return self.node.newservice(main)

    def take(self) -> list[tuple[Any, ...]]:
        """Run until idle; the messages since the last time."""
        self.node.run_until_idle()
        taken = self.messages[:]
        self.messages.clear()
        return taken

    def until(self, condition: Callable[[], Any]) -> None:
        self.node.run(until=condition, timeout=TIMEOUT)

    def listen(self, host: str = "127.0.0.1") -> tuple[int, int]:
        """A started listening socket: id and port."""
        id = self.ss.listen(self.me, host, 0, 32)
        self.ss.start(self.me, id)
        assert self.take() == [("CONNECT", id, 0, "start")]
        return id, self.ss.sockname(id)[1]

    def accepted(self, port: int) -> tuple[int, Any]:
        """A client, and the id of its connection, which is not started yet."""
        client = self.node.client(port)
        ((name, _, id, peer),) = self.take()
        assert (name, peer) == ("ACCEPT", f"127.0.0.1:{client._port}")
        return id, client

    def connected(self, port: int) -> tuple[int, Any]:
        """The same, started."""
        id, client = self.accepted(port)
        self.ss.start(self.me, id)
        assert self.take() == [("CONNECT", id, 0, "start")]
        return id, client

    def row(self, id: int) -> dict[str, Any] | None:
        return next((row for row in self.ss.netstat() if row["id"] == id), None)

    def lines(self) -> list[str]:
        self.node.run_until_idle()
        return [line for line in self.node.log_lines if "LAUNCH" not in line]

    def __enter__(self) -> Spied:
        return self

    def __exit__(self, *exc: object) -> None:
        self.node.close()


class Serving:
    """A node with a service that runs `handler(id)` for each connection, started."""

    def __init__(self, handler: Callable[[int], Any], outside: Outside | None = None, host: str = "127.0.0.1") -> None:
        self.node = Node(clock="virtual", log=list, outside=outside)

        def accept(id: int, peer: str) -> None:
            socket.start(id)
            handler(id)

        def main() -> None:
            self.listener = socket.listen(host, 0)
            socket.start(self.listener, accept)
            self.port = socket.sockname(self.listener)[1]

        self.addr = self.node.newservice(main)

    def client(self) -> Any:
        client = self.node.client(self.port)
        self.node.run_until_idle()
        return client

    def run(self) -> None:
        self.node.run_until_idle()

    def log(self) -> list[str]:
        """What the service said, without its address."""
        self.node.run_until_idle()
        head = f"[:{self.addr:08x}] "
        return [
            line.removeprefix(head) for line in self.node.log_lines if line.startswith(head) and "LAUNCH" not in line
        ]

    def __enter__(self) -> Serving:
        return self

    def __exit__(self, *exc: object) -> None:
        self.node.close()


class Limited(Outside):
    """The kernel takes `room` more bytes, then says EAGAIN; None: as many as it likes."""

    def __init__(self) -> None:
        super().__init__()
        self.room: int | None = None

    def send(self, sock: Any, data: bytes | memoryview) -> int:
        if self.room is None:
            return super().send(sock, data)
        if self.room == 0:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        sent = super().send(sock, data[: self.room])
        self.room -= sent
        return sent

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        # A kernel without room does not say "writable" either.
        events = super().poll(timeout)
        return events if self.room != 0 else [(fd, mask & ~2) for fd, mask in events if mask & ~2]


def in_service(node: Node, body: Callable[[], Any]) -> Any:
    """Run `body` in a service of its own; what it returned, or its exception."""
    outcome: list[Any] = []

    def main() -> None:
        try:
            outcome.append(body())
        except Exception as e:
            outcome.append(e)

    node.newservice(main)
    return outcome[0]


def peer_listener(family: int = pysocket.AF_INET) -> tuple[pysocket.socket, int]:
    """A listening socket of the test's own, outside of the node: the socket and its port."""
    sock = pysocket.create_server(("::1" if family == pysocket.AF_INET6 else "127.0.0.1", 0), family=family)
    sock.setblocking(False)
    return sock, sock.getsockname()[1]


def readable(sock: pysocket.socket) -> bool:
    return bool(select.select([sock], [], [], 0)[0])


def accept(node: Node, listener: pysocket.socket) -> pysocket.socket:
    """Accept on a listener of the test's own, driving the node."""
    node.run(until=lambda: readable(listener), timeout=TIMEOUT)
    return listener.accept()[0]


def received(node: Node, sock: pysocket.socket, n: int) -> bytes:
    """`n` bytes on a socket of the test's own, driving the node."""
    sock.setblocking(False)
    data = bytearray()

    def enough() -> bool:
        while len(data) < n and readable(sock):
            more = sock.recv(n - len(data))
            if not more:
                return True
            data.extend(more)
        return len(data) >= n

    node.run(until=enough, timeout=TIMEOUT)
    return bytes(data)


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))
