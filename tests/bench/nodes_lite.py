"""skynet_lite's part of nodes.py: a worker node, a gate in front of several, a node that only calls.

    python nodes_lite.py worker PORT
    python nodes_lite.py gate WORKERS-PORT...         clients come to the port that is printed
    python nodes_lite.py threads N                    the same in one process: N work services, Node(thread=N)
    python nodes_lite.py caller N OUTSTANDING PORT    N calls to a worker, so many at a time
    python nodes_lite.py inside N OUTSTANDING THREADS the same to a service of its own process

Each prints `RESULT port` when it is ready to be asked, and those that call `START` and `RESULT n` around it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from itertools import cycle
from typing import Any

from worker import LOOPS, WARM, result, work

from skynet_lite import Node, cluster, skynet, socket


def answers() -> None:
    """A number of loops is work to do; another message comes back as it is."""

    @skynet.dispatch("lua")
    def handle(session: int, source: int, what: str, n: int) -> None:
        skynet.retpack(work(n) if what == "work" else n)


def worker(port: int) -> None:
    addr = skynet.newservice(answers)
    cluster.register("work", addr)
    cluster.open(port)
    result(port)


def serve(ask: Callable[[], Any]) -> None:
    def accept(id: int, address: str) -> None:
        socket.start(id)
        while (line := socket.readline(id)) is not None:
            ask()
            socket.write(id, line + b"\n")
        socket.close(id)

    id = socket.listen("127.0.0.1", 0)
    socket.start(id, accept)
    result(socket.sockname(id)[1])


def gate(*ports: int) -> None:
    cluster.reload({f"w{k}": f"127.0.0.1:{port}" for k, port in enumerate(ports)})
    turn = cycle([f"w{k}" for k in range(len(ports))])
    serve(lambda: cluster.call(next(turn), "@work", "work", LOOPS))


def threads(n: int) -> None:
    turn = cycle([skynet.newservice(answers) for _ in range(n)])
    serve(lambda: skynet.call(next(turn), "lua", "work", LOOPS))


def calls(n: int, outstanding: int, call: Callable[[int], Any]) -> None:
    """So many calls, of which `outstanding` are under way at any time."""
    for count in (max(outstanding, n // WARM), n):
        left, running = iter(range(count)), outstanding

        def run(left: Any = left) -> None:
            nonlocal running
            for i in left:
                call(i)
            running -= 1
            if not running:
                skynet.wakeup("all")

        for _ in range(outstanding):
            skynet.fork(run)
        skynet.wait("all")
        print("START" if count != n else f"RESULT {n}", flush=True)


def caller(n: int, outstanding: int, port: int) -> None:
    cluster.reload({"w0": f"127.0.0.1:{port}"})
    skynet.fork(calls, n, outstanding, lambda i: cluster.call("w0", "@work", "echo", i))


def inside(n: int, outstanding: int, threads: int) -> None:
    addr = skynet.newservice(answers)
    skynet.fork(calls, n, outstanding, lambda i: skynet.call(addr, "lua", "echo", i))


ROLES = {f.__name__: f for f in (worker, gate, threads, caller, inside)}


def main() -> None:
    role, *args = sys.argv[1], *map(int, sys.argv[2:])
    thread = args[-1] if role in ("threads", "inside") else 1
    with Node(thread=thread, log=list) as node:
        if thread > 1:
            node.serve()
            node.newservice(ROLES[role], *args)
            sys.stdin.read()
        else:
            node.newservice(ROLES[role], *args)
            node.run_forever()


if __name__ == "__main__":
    main()
