"""What an attack has tried and not broken: it stays so."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from bench.soak import soak

from skynet_lite import CallError, Node, skynet, socket


@contextmanager
def frames(n: int) -> Iterator[None]:
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(n)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def test_fifty_thousand_frames() -> None:
    """A coroutine may be parked, answered and fail that deep, also while it is recorded; the node goes on."""

    def main() -> None:
        def down(n: int, what: str) -> int:
            if n:
                return down(n - 1, what) + 1
            skynet.sleep(1)
            if what == "raise":
                raise ValueError(what)
            return skynet.call(skynet.self(), "lua", "here")  # type: ignore[no-any-return]

        @skynet.dispatch("lua")
        def handle(session: int, source: int, what: str) -> None:
            skynet.retpack(0 if what == "here" else down(50_000, what))

    with frames(60_000), Node(clock="virtual", log=list, record=True) as node:
        address = node.newservice(main)
        assert node.call(address, "lua", "answer") == 50_000
        with pytest.raises(CallError):
            node.call(address, "lua", "raise")
        assert node.call(address, "lua", "here") == 0
        assert len(node.trace.text().splitlines()) == len(node.trace)


def test_a_storm_of_signals() -> None:
    """System calls are interrupted again and again; every line comes back."""
    came = [0]

    def count(signum: int, frame: Any) -> None:
        came[0] += 1

    def main() -> None:
        def accept(id: int, peer: str) -> None:
            socket.start(id)
            while (line := socket.readline(id)) is not None:
                socket.write(id, line + b"\n")
            socket.close(id)

        listening = socket.listen("127.0.0.1", 0)
        socket.start(listening, accept)
        skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.sockname(listening)[1]))

    def storm() -> None:
        while not over.is_set():
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    over, before = threading.Event(), signal.signal(signal.SIGUSR1, count)
    thread = threading.Thread(target=storm)
    try:
        with Node(log=list) as node:
            client = node.client(node.call(node.newservice(main), "lua"))
            thread.start()
            for n in range(50):
                client.send(b"line %d\n" % n)
                assert client.recv_line() == b"line %d" % n
            while came[0] < 100:
                client.send(b"more\n")
                assert client.recv_line() == b"more"
            assert not [line for line in node.log_lines if "error" in line]
    finally:
        over.set()
        thread.join()
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("thread", [1, 4])
def test_what_has_ended_leaves_nothing(thread: int) -> None:
    """Births, exits, kills, errors, waits that are given up, connections cut and reset: no container that can be reached
    from the node grows, no descriptor, no greenlet. `python tests/bench/soak.py --seconds 600` is the long one."""
    found = soak(thread, rounds=1, moments=3)
    assert found["strange"] == []
    assert [path for path in found["grown"] if not path.startswith(("memory", "objects of"))] == []
    assert len(set(found["descriptors"])) == len(set(found["threads"])) == 1
