"""What sockets cost, without a clock: bytes are searched and copied once, memory stays, an idle node polls once."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Callable
from random import Random
from typing import Any

import pytest
from harness import seeds
from socket_harness import TIMEOUT, in_service

from skynet_lite import Node, skynet, socket
from skynet_lite.core.outside import Outside
from skynet_lite.skynet import socketpool
from skynet_lite.skynet.scheduler import current
from skynet_lite.skynet.socketbuffer import SocketBuffer

# ---- the buffer


def put(s: SocketBuffer, data: bytes) -> None:
    s.pieces.append(data)
    s.size += len(data)


@pytest.mark.parametrize("seed", seeds(50))
def test_the_buffer_is_what_its_bytes_are(seed: int) -> None:
    """However a stream is cut and taken out: the same as one string of bytes."""
    r = Random(seed)
    sep = r.choice([b"\n", b"\r\n", b"aa", b"\n\n\n", b"ab\n"])
    s, whole = SocketBuffer(), b""
    for _ in range(200):
        if r.random() < 0.5:
            unsearched = sep not in whole  # a reader waits for `sep` only if there was none
            data = bytes(r.choices(b"ab\r\n", k=r.randrange(1, 5)))
            put(s, data)
            whole += data
            if unsearched:
                assert s.find_new(sep) == whole.find(sep)
        elif whole and r.random() < 0.5:
            found = s.find(sep)
            assert max(found, -1) == whole.find(sep)
            if found >= 0:
                assert s.take(found, len(sep)) == whole[:found]
                whole = whole[found + len(sep) :]
        else:
            size = r.randrange(len(whole) + 1)
            assert s.take(size) == whole[:size]
            whole = whole[size:]
        assert s.size == len(whole)


def test_a_long_line_is_searched_once() -> None:
    """While its end has not come, its pieces are neither joined nor looked at again; only the seams are."""
    s, line = SocketBuffer(), []
    for i in range(1000):
        line.append(b"x" * 1000 + b"\r")
        put(s, line[-1])
        assert s.find_new(b"\r\n") == -1
        assert len(s.pieces) == i + 1 and s.pieces[0] is line[0]
    put(s, b"\nmore")
    assert s.find_new(b"\r\n") == 1_000_999
    assert s.take(1_000_999, 2) == b"".join(line)[:-1]
    assert s.pieces == [b"\nmore"] and s.take(s.size) == b"more"


def test_what_is_left_is_not_copied() -> None:
    """A read takes what it asked for: the piece in which it ends stays as it came."""
    s, last = SocketBuffer(), b"y" * 1000
    put(s, b"x" * 1000)
    put(s, last)
    assert s.take(1001) == b"x" * 1000 + b"y"
    assert s.pieces[0] is last and (s.pos, s.size) == (1, 999)


def connected(id: int) -> Callable[[bytes], socketpool.PoolSocket]:
    """A connection without a network, of the current service: what it returns has bytes come on it."""
    service = current()
    s = socketpool.pool_of(service)[id] = socketpool.PoolSocket(service, id, None)
    s.connected, s.connecting = True, False

    def come(data: bytes) -> socketpool.PoolSocket:
        socketpool._on_data(service, s, id, len(data), data)
        return s

    return come


def test_a_reader_that_is_woken_finds_what_another_has_left() -> None:
    """Between the message that wakes a reader and its turn, somebody else may read: then it looks for itself."""
    got: list[Any] = []

    def body() -> None:
        come = connected(99)
        skynet.fork(lambda: got.append(socket.readline(99)))
        skynet.yield_()
        s = come(b"one\ntwo\n3")
        got.append(socket.readline(99))
        skynet.yield_()
        assert got == [b"one", b"two"] and s.size == 1

    with Node(clock="virtual", log=list, bootstrap=False) as node:
        in_service(node, body)


def test_a_separator_may_be_any_kind_of_bytes() -> None:
    """A bytearray, too, also when the reader has to wait for it."""
    got: list[Any] = []

    def body() -> None:
        come = connected(99)
        skynet.fork(lambda: got.append(socket.readline(99, bytearray(b"\r\n"))))  # type: ignore[arg-type]
        skynet.yield_()
        come(b"on\r\n")
        skynet.yield_()
        assert got == [b"on"]

    with Node(clock="virtual", log=list, bootstrap=False) as node:
        in_service(node, body)


# ---- memory

FAULTS = """
import resource
from skynet_lite.core.socket_server import keep_freed_memory

size = 65536

def faults(rounds):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(rounds):
        pieces = [b"x" * size for _ in range(16)]
        whole = b"".join(pieces)
        asked = b"x" * len(whole)
        del pieces, whole, asked
    return (resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // rounds

keep_freed_memory()
faults(10)
print(faults(50))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other allocators keep memory by other rules")
def test_a_large_read_finds_the_memory_of_the_one_before() -> None:
    """A MiB in 16 pieces, joined, while one more is asked for: 736 pages without `keep_freed_memory` (glibc 2.36)."""
    out = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, timeout=60)
    assert out.returncode == 0, out.stderr
    assert int(out.stdout) < 20


# ---- the poll


class Counted(Outside):
    """Notes for how long each poll would wait."""

    def __init__(self) -> None:
        super().__init__()
        self.timeouts: list[float | None] = []

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        self.timeouts.append(timeout)
        return super().poll(timeout)


def test_a_node_with_nothing_to_do_polls_once() -> None:
    """Under the real clock the poll that waits is the one that looks, too; none goes before it in vain."""
    outside = Counted()

    def main() -> None:
        socket.start(socket.listen("127.0.0.1:0"), lambda id, address: None)
        skynet.sleep(1)
        outside.timeouts.clear()
        for _ in range(3):
            skynet.sleep(2)
        done.append(outside.timeouts[:])

    done: list[Any] = []
    with Node(log=list, outside=outside) as node:
        node.newservice(main, wait=False)
        node.run(until=lambda: done, timeout=TIMEOUT)
    assert len(done[0]) >= 3 and 0 not in done[0]


def test_a_bell_is_looked_for_only_while_it_rings() -> None:
    """Whoever rings ends a wait, and is not reported; a full bell is emptied in the end."""
    outside = Outside()
    for _ in range(10_000):
        outside.wake()
    polls = 0
    while outside._bell.ringing:
        assert outside.poll(20) == []
        polls += 1
    assert polls and outside.poller.wait(0) == []
    outside.wake()
    assert outside.poll(20) == [] and not outside._bell.ringing
    outside.close()
