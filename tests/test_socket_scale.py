"""Five thousand connections at once: it works, it is not quadratic, and nothing is left behind."""

from __future__ import annotations

import gc
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest
from harness import Process, skip
from socket_harness import descriptors

from skynet_lite import Node, skynet, socket

CONNECTIONS = 5_000
NEEDED = 8_000  # descriptors of the node's process

CLIENTS = """
import resource, select, socket, sys
port, n, rounds = map(int, sys.argv[1:])
resource.setrlimit(resource.RLIMIT_NOFILE, (n + 500, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(n)]
for turn in range(rounds):
    for i, s in enumerate(socks):
        s.sendall(b"%d of turn %d\\n" % (i, turn))
    for i, s in enumerate(socks):
        line = b"%d of turn %d\\n" % (i, turn)
        got = b""
        while len(got) < len(line):
            more = s.recv(100)
            assert more, (i, got)
            got += more
        assert got == line, (i, got)
print("echoed", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < NEEDED:
        skip(f"the hard limit of this machine is {hard} descriptors, {NEEDED} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, NEEDED), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def listening(ports: list[int]) -> None:
    def accept(id: int, peer: str) -> None:
        socket.start(id)
        while (line := socket.readline(id)) is not None:
            socket.write(id, line + b"\n")
        socket.close(id)

    lid = socket.listen("127.0.0.1", 0, 1024)
    ports.append(socket.sockname(lid)[1])
    socket.start(lid, accept)


def echoes(n: int, rounds: int = 2) -> float:
    """Echo over `n` connections from another process; CPU seconds of this one, per connection."""
    ports: list[int] = []
    with Node(log=list) as node:
        node.newservice(lambda: listening(ports))
        command = [sys.executable, "-c", CLIENTS, str(ports[0]), str(n), str(rounds)]
        with Process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as clients:
            assert clients.stdin is not None and clients.stdout is not None
            out, said = clients.stdout.fileno(), []
            node.newservice(lambda: said.append(socket.readline(socket.bind(out))), wait=False)
            begin = time.process_time()
            node.run(until=lambda: said, timeout=60)
            spent = time.process_time() - begin
            assert said == [b"echoed"]
            assert sum(state == "connected" for state, _ in node.socket_server.table().values()) == n
            clients.stdin.close()
            node.run(until=lambda: len(node.socket_server._sockets) == 1, timeout=60)
            assert clients.wait(10) == 0
        assert not [line for line in node.log_lines if "rror" in line and "May overload" not in line]
        return spent / n


def test_five_thousand_connections(many_descriptors: None) -> None:
    """Every one of them echoes two lines; a connection costs about what it costs among five hundred."""
    few = echoes(500)
    many = echoes(CONNECTIONS)
    assert many < 4 * few, (few, many)


def test_close_leaves_nothing_behind(many_descriptors: None) -> None:
    """The node is closed with a thousand open connections, some with unsent bytes: no descriptor, no thread remains."""
    gc.collect()
    before, threads = descriptors(), threading.active_count()
    ports: list[int] = []

    def opener() -> None:
        for i in range(500):
            id = socket.open("localhost" if i % 10 == 0 else "127.0.0.1", ports[0])
            socket.write(id, b"no line end" if i % 50 else bytes(8 << 20))
        socket.udp(lambda data, address: None, "127.0.0.1", 0)
        skynet.wait()

    node = Node(clock="virtual", log=list)
    node.newservice(lambda: listening(ports))
    addr = node.newservice(opener, wait=False)
    node.run(until=lambda: len(node.socket_server._sockets) >= 1002, timeout=60)
    assert len(node.service(addr).socket_pool or ()) >= 500
    node.close()
    assert node.socket_server.table() == {}
    assert (descriptors(), threading.active_count()) == (before, threads)
