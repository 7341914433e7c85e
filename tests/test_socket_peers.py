"""Peers that misbehave, one kind after the other: each costs its own connection only, and leaves nothing behind."""

from __future__ import annotations

import gc
import socket as pysocket
import struct
from collections.abc import Callable

import pytest
from socket_harness import TIMEOUT, descriptors, received

from skynet_lite import Node, SkynetError, skynet, socket

MB = 1024 * 1024
Peer = Callable[["Echo", pysocket.socket], None]
PEERS: dict[str, Peer] = {}


class Echo:
    """A service that echoes lines, and `grow` as a megabyte; it throws out who sends or hoards too much."""

    def __init__(self, thread: int = 1) -> None:
        self.node = Node(log=list, thread=thread)
        self.wait_before_start = 0

        def serve(id: int, peer: str) -> None:
            skynet.sleep(self.wait_before_start)
            try:
                socket.start(id)
            except SkynetError:  # it has gone already
                return
            socket.limit(id, 64 * 1024)
            socket.warning(id, lambda id, size: socket.shutdown(id) if size > 4096 else None)
            while (line := socket.readline(id)) is not None:
                if not socket.write(id, b"x" * MB if line == b"grow" else line + b"\n"):
                    break
            socket.close(id)

        def main() -> None:
            listening = socket.listen("127.0.0.1", 0, 256)
            self.port = socket.sockname(listening)[1]
            socket.start(listening, serve)

        self.me = self.node.newservice(main)

    def connect(self) -> pysocket.socket:
        return pysocket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT)

    def drive(self) -> None:
        self.node.run_until_idle()

    def gone(self) -> None:
        """Wait until only the listening socket is left, here and in the service, and no coroutine is parked."""
        service, sockets = self.node.service(self.me), self.node.socket_server
        self.node.run(
            until=lambda: len(sockets.table()) == len(service.socket_pool) == 1 and not service.sleep_session,
            timeout=TIMEOUT,
        )

    def echoes(self) -> None:
        with self.connect() as client:
            client.sendall(b"canary\n")
            assert received(self.node, client, 7) == b"canary\n"
        self.gone()


def peer(f: Peer) -> Peer:
    PEERS[f.__name__.replace("_", " ")] = f
    return f


def reset(s: pysocket.socket) -> None:
    s.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_LINGER, struct.pack("ii", 1, 0))
    s.close()


@peer
def says_nothing(echo: Echo, s: pysocket.socket) -> None:
    echo.drive()


@peer
def resets_at_once(echo: Echo, s: pysocket.socket) -> None:
    reset(s)


@peer
def resets_when_it_is_accepted(echo: Echo, s: pysocket.socket) -> None:
    echo.drive()
    reset(s)


@peer
def leaves_before_it_is_started(echo: Echo, s: pysocket.socket) -> None:
    echo.wait_before_start = 2
    echo.drive()
    s.close()


@peer
def resets_before_it_is_started(echo: Echo, s: pysocket.socket) -> None:
    echo.wait_before_start = 2
    echo.drive()
    reset(s)


@peer
def speaks_and_leaves_before_it_is_started(echo: Echo, s: pysocket.socket) -> None:
    echo.wait_before_start = 2
    s.sendall(b"hello\nhalf")
    s.close()


@peer
def sends_half_a_line(echo: Echo, s: pysocket.socket) -> None:
    s.sendall(b"half a line")
    echo.drive()


@peer
def sends_half_a_line_and_resets(echo: Echo, s: pysocket.socket) -> None:
    s.sendall(b"half a line")
    echo.drive()
    reset(s)


@peer
def finishes_writing_and_reads_on(echo: Echo, s: pysocket.socket) -> None:
    s.sendall(b"a\nb\n")
    s.shutdown(pysocket.SHUT_WR)
    assert received(echo.node, s, 4) == b"a\nb\n"


@peer
def finishes_reading(echo: Echo, s: pysocket.socket) -> None:
    s.shutdown(pysocket.SHUT_RD)
    s.sendall(b"a\nb\n")
    echo.drive()


@peer
def finishes_both_at_once(echo: Echo, s: pysocket.socket) -> None:
    s.shutdown(pysocket.SHUT_RDWR)
    echo.drive()


@peer
def sends_byte_by_byte(echo: Echo, s: pysocket.socket) -> None:
    s.setsockopt(pysocket.IPPROTO_TCP, pysocket.TCP_NODELAY, 1)
    for i in range(50):
        s.sendall(b"slow"[i % 4 : i % 4 + 1])
        echo.drive()
    s.sendall(b"\n")
    assert len(received(echo.node, s, 51)) == 51


@peer
def sends_without_an_end(echo: Echo, s: pysocket.socket) -> None:
    s.setblocking(False)
    try:
        for _ in range(200):
            s.send(b"x" * 65536)
            echo.drive()
    except (BlockingIOError, ConnectionError):
        pass


@peer
def asks_for_much_and_does_not_read(echo: Echo, s: pysocket.socket) -> None:
    s.sendall(b"grow\n" * 64)
    echo.node.run(until=lambda: len(echo.node.socket_server.table()) == 1, timeout=TIMEOUT)


@peer
def asks_for_much_and_leaves(echo: Echo, s: pysocket.socket) -> None:
    s.sendall(b"grow\n" * 3)
    echo.drive()


@peer
def asks_for_much_and_resets(echo: Echo, s: pysocket.socket) -> None:
    s.sendall(b"grow\n" * 3)
    reset(s)


@peer
def has_hardly_room(echo: Echo, s: pysocket.socket) -> None:
    s.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_RCVBUF, 4096)
    s.sendall(b"grow\n")
    assert len(received(echo.node, s, 10_000)) == 10_000


@peer
def leaves_with_answers_unread(echo: Echo, s: pysocket.socket) -> None:
    s.sendall(b"unread\n" * 100)
    echo.drive()


@peer
def sends_urgent_data(echo: Echo, s: pysocket.socket) -> None:
    s.send(b"!", pysocket.MSG_OOB)
    s.sendall(b"line\n")
    assert received(echo.node, s, 5) in (b"line\n", b"!line")


@peer
def sends_what_is_no_text(echo: Echo, s: pysocket.socket) -> None:
    s.sendall(b"\0\xff\xfe\r\x1b\n")
    assert received(echo.node, s, 6) == b"\0\xff\xfe\r\x1b\n"


@peer
def sends_ten_thousand_lines_at_once(echo: Echo, s: pysocket.socket) -> None:
    s.sendall(b"\n" * 10_000)
    assert received(echo.node, s, 10_000) == b"\n" * 10_000


@peer
def comes_a_hundred_times(echo: Echo, s: pysocket.socket) -> None:
    others = [echo.connect() for _ in range(100)]
    echo.drive()
    for i, other in enumerate(others):
        reset(other) if i % 2 else other.close()


@pytest.mark.parametrize("thread", [1, 4])
@pytest.mark.parametrize("kind", PEERS)
def test_a_peer_that(kind: str, thread: int) -> None:
    """Whatever it does, the next one is served, and no socket, coroutine or descriptor of it remains."""
    echo = Echo(thread)
    with echo.node:
        echo.echoes()
        before = descriptors()
        with echo.connect() as s:
            PEERS[kind](echo, s)
        echo.gone()
        echo.echoes()
        assert descriptors() == before
        assert not [line for line in echo.node.log_lines if "Traceback" in line]


def test_short_connections_leave_nothing() -> None:
    """A thousand and a half, a third reset: no table, descriptor or object more than after the first five hundred."""

    def come_and_go(n: int) -> None:
        for i in range(n):
            with echo.connect() as s:
                s.sendall(b"x\n")
                if i % 3 == 0:
                    reset(s)
                else:
                    assert received(echo.node, s, 2) == b"x\n"
        echo.gone()

    def size() -> tuple[int, ...]:
        gc.collect()
        ss, service = echo.node.socket_server, echo.node.service(echo.me)
        tables = service.tables()
        tables.pop("session", None)
        return (
            descriptors(),
            len(ss._slots),
            len(ss._by_fd),
            len(ss.awaited),
            len(service.libs),
            len(str(tables)) // 1000,
        )

    echo = Echo()
    with echo.node:
        come_and_go(500)
        echo.node.log_lines.clear()
        before, objects = size(), len(gc.get_objects())
        come_and_go(1000)
        lines = len(echo.node.log_lines)
        assert size() == before
        assert len(gc.get_objects()) - objects < 100, "lines of the log are no such objects"
        assert lines < 1000
