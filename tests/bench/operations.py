"""One operation, many times, with nothing else in the process: what bytecodes.py and instructions.py count.

`python operations.py NAME N` does it and prints how many it has done. Whoever counts does so for two N: the
difference, divided by the operations that it is made of, is the price of one. All that happens once (imports,
the boot) drops out.

The clock is virtual, so that no tick comes in between; but not while recording, which looks at a real clock
before and after each message, and that is a part of its price. The clients of servers are plain non-blocking sockets
in the same thread: the kernel has what they sent before the node is driven, so the polls find the same each
time. They are counted too, but are a few calls into C. Nothing collects garbage: when it would depends on all
that ever was made.
"""

from __future__ import annotations

import contextlib
import gc
import os
import socket
from collections.abc import Callable

from peer_lite import bench, serve
from worker import BATCH, MIB, WARM, arguments

from skynet_lite import Node

Over = Callable[[int], object]
LINE = b"x" * 63 + b"\n"
GET = b"GET / HTTP/1.1\r\nhost: bench\r\nuser-agent: bench\r\naccept: */*\r\n\r\n"


def inside(node: Node, metric: str, n: int, over: Over, batch: int = 1) -> None:
    """As `timed` does it (worker.py), with its tenth before the clock."""
    node.call(node.newservice(bench), "lua", metric, n)
    over(sum(k // batch * batch for k in (n, max(1, n // WARM))))


def recorded(node: Node, metric: str, n: int, over: Over) -> None:
    with node.record():
        inside(node, metric, n, over)


def requests(node: Node, kind: str, request: bytes, n: int, over: Over, connections: int = 50) -> None:
    """A request on each connection, then the answers, and again."""
    port = serve(node, kind)
    with contextlib.ExitStack() as stack:
        socks = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(connections)]
        for sock in socks:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setblocking(False)
        for _ in range(n // connections):
            for sock in socks:
                rest = memoryview(request)
                while rest:
                    rest = rest[patient(node, sock.send, rest) :]
            node.run_until_idle()
            for sock in socks:
                if not patient(node, sock.recv, 65536):
                    raise SystemExit("the server closed a connection")
        over(n // connections * connections)


def patient(node: Node, act: Callable[..., int | bytes], argument: object) -> int | bytes:
    """What `act` gives, which never waits: the node is driven instead."""
    while True:
        try:
            return act(argument)
        except BlockingIOError:
            node.run_until_idle()


OPERATIONS: dict[str, Callable[[Node, int, Over], None]] = {
    "call": lambda node, n, over: inside(node, "call", n, over),
    "send": lambda node, n, over: inside(node, "send", n, over, BATCH),
    "fork": lambda node, n, over: inside(node, "fork", n, over, BATCH),
    "yield": lambda node, n, over: inside(node, "yield", n, over),
    "wait": lambda node, n, over: inside(node, "wait", n, over),
    "birth": lambda node, n, over: inside(node, "birth", n, over),
    "recorded call": lambda node, n, over: recorded(node, "call", n, over),
    "echo": lambda node, n, over: requests(node, "echo", LINE, n, over),
    "http": lambda node, n, over: requests(node, "http", GET, n, over),
    "bulk": lambda node, n, over: requests(node, "bulk", bytes(MIB), n, over, 1),
}


def run(name: str, n: int, over: Over) -> None:
    """Do an operation about `n` times; `over` is told how many it were, before anything is taken down."""
    gc.disable()
    with Node(clock="real" if name.startswith("recorded") else "virtual", log=list) as node:
        OPERATIONS[name](node, n, over)


def leave(done: int) -> None:
    print(done, flush=True)
    os._exit(0)


if __name__ == "__main__":
    run(*arguments(), leave)
