"""Same program, same trace: on an idle machine, and with every core kept busy."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from skynet_lite import CallError, Node, SocketError, mark, skynet, socket

RUNS = 20


def line_server(work: Callable[[bytes], bytes]) -> Callable[[], None]:
    """A service that answers each line of each client; its port is answered to "lua" calls."""

    def main() -> None:
        def client(id: int) -> None:
            socket.start(id)
            while (line := socket.readline(id)) is not None:
                socket.write(id, work(line) + b"\n")
            socket.close(id)

        listening = socket.listen("127.0.0.1:0")
        socket.start(listening, lambda id, peer: skynet.fork(client, id))
        skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.sockname(listening)[1]))

    return main


def echo_two_clients(node: Node) -> None:
    port = node.call(node.newservice(line_server(bytes.upper)), "lua")
    a, b = node.client(port), node.client(port)
    for i in range(3):
        for c in (b, a):
            c.send(b"line %d\n" % i)
            assert c.recv_line() == b"LINE %d" % i
    a.close()
    b.close()
    node.run_until_idle()


def sleeping_server(node: Node) -> None:
    def work(line: bytes) -> bytes:
        skynet.sleep(30)
        return line[::-1]

    port = node.call(node.newservice(line_server(work)), "lua")
    clients = [node.client(port) for _ in range(3)]
    for c in clients:
        c.send(b"abc\n")
        node.run_until_idle()
    for c in clients:
        assert c.recv_line() == b"cba"
        c.reset()
        node.run_until_idle()


def half_close(node: Node) -> None:
    def main() -> None:
        def accept(id: int, peer: str) -> None:
            socket.start(id)
            data = socket.readall(id)
            socket.write(id, data * 2)
            socket.close(id)

        id = socket.listen("127.0.0.1:0")
        socket.start(id, accept)
        skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.sockname(id)[1]))

    c = node.client(node.call(node.newservice(main), "lua"))
    c.send(b"ab")
    c.shutdown()
    assert c.recv(4) == b"abab"
    c.expect_eof()
    c.close()
    node.run_until_idle()


def connects_to_itself(node: Node) -> None:
    def main() -> None:
        def accept(id: int, peer: str) -> None:
            socket.start(id)
            socket.write(id, b"welcome\n")
            socket.close(id)

        listening = socket.listen("127.0.0.1:0")
        socket.start(listening, accept)
        port = socket.sockname(listening)[1]
        for _ in range(3):
            id = socket.open("127.0.0.1", port)
            mark(str(socket.readline(id)))
            socket.close(id)
        socket.close(listening)
        try:
            socket.open("127.0.0.1", port)
        except SocketError as e:
            mark(str(e))

    node.newservice(main)
    node.run_until_idle()


def big_transfer_by_calls(node: Node) -> None:
    def main() -> None:
        skynet.dispatch("lua", lambda session, source, data: skynet.retpack(len(data), data[:3]))

    addr = node.newservice(main)
    for n in (1, 1000, 1_000_000):
        assert node.call(addr, "lua", b"abc" * n) == (3 * n, b"abc")


def timers_and_sleeps(node: Node) -> None:
    def main() -> None:
        for i in range(20):
            skynet.timeout(i * 7 % 11, lambda i=i: mark(f"t{i}"))
            skynet.fork(lambda i=i: (skynet.sleep(i * 5 % 13), mark(f"s{i}")))

    node.newservice(main)
    node.run()


def calls_in_a_ring(node: Node) -> None:
    def member(n: int) -> None:
        def handle(session: int, source: int, following: list[int], count: int) -> None:
            skynet.retpack(count if not following else skynet.call(following[0], "lua", following[1:], count + 1))

        skynet.dispatch("lua", handle)

    ring = [node.newservice(member, n) for n in range(10)]
    assert node.call(ring[0], "lua", ring[1:], 0) == 9


def errors_and_exits(node: Node) -> None:
    def fragile() -> None:
        def handle(session: int, source: int, what: str) -> None:
            if what == "raise":
                raise ValueError(what)
            skynet.exit()

        skynet.dispatch("lua", handle)

    def main() -> None:
        for what in ("raise", "exit"):
            for _ in range(3):
                try:
                    skynet.call(skynet.newservice(fragile), "lua", what)
                except CallError as e:
                    mark(f"{what}: {e}")

    node.newservice(main)
    node.run()


def a_queue_of_workers(node: Node) -> None:
    def main() -> None:
        q = skynet.queue()
        for i in range(10):
            skynet.fork(lambda i=i: q(lambda: (mark(f"in {i}"), skynet.sleep(i % 3), mark(f"out {i}"))))

    node.newservice(main)
    node.run()


def killed_in_the_middle(node: Node) -> None:
    def victim() -> None:
        def handle(session: int, source: int, n: int) -> None:
            try:
                skynet.sleep(100)
            finally:
                mark(f"closed {n}")

        skynet.dispatch("lua", handle)

    v = node.newservice(victim)

    def main() -> None:
        for n in range(5):
            skynet.send(v, "lua", n)
        skynet.sleep(1)
        skynet.kill(v)

    node.newservice(main)
    node.run()


PROGRAMS = [
    echo_two_clients, sleeping_server, half_close, connects_to_itself, big_transfer_by_calls, timers_and_sleeps,
    calls_in_a_ring, errors_and_exits, a_queue_of_workers, killed_in_the_middle,
]  # fmt: skip


def one_run(program: Callable[[Node], None]) -> tuple[str, list[str]]:
    with Node(clock="virtual", log=list) as node:
        with node.record() as trace:
            program(node)
        return trace.text(), node.log_lines


def spin() -> None:
    while True:
        pass


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core busy with processes of our own."""
    context = multiprocessing.get_context("spawn")
    spinners = [context.Process(target=spin, daemon=True) for _ in range(os.cpu_count() or 1)]
    for p in spinners:
        p.start()
    try:
        yield
    finally:
        for p in spinners:
            p.kill()
            p.join()


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_twenty_runs_one_trace(program: Callable[[Node], None]) -> None:
    """Trace and log are the same twenty times."""
    first: Any = one_run(program)
    assert len(first[0].splitlines()) > 20
    for _ in range(RUNS - 1):
        assert one_run(program) == first


def test_busy_machine_same_traces() -> None:
    """With every core busy the world is late; what the program sees is the same."""
    first = [one_run(program) for program in PROGRAMS]
    with busy_cores():
        for _ in range(RUNS):
            for program, expected in zip(PROGRAMS, first, strict=True):
                assert one_run(program) == expected, program.__name__
