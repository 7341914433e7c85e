"""Nodes of a cluster in one process, driven in turn: what one writes, the other reads at its next turn."""

from __future__ import annotations

import socket as pysocket
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from cluster_wire import Echo
from harness import LIMIT

from skynet_lite import Node, cluster, netpack, seri, skynet
from skynet_lite.lualib import clustercore


class Pair:
    """Nodes `a`, which calls, and `b`, which has the service @echo (handle `echo`) and listens on `port`."""

    def __init__(self, **keys: Any) -> None:
        self.b, self.a = (Node(clock="virtual", log=list, **keys) for _ in range(2))
        self.nodes = [self.b, self.a]
        self.service = Echo()
        self.echo, self.port = self.on(self.b, self._listen)
        self.on(self.a, cluster.reload, {"b": f"127.0.0.1:{self.port}"})

    def _listen(self) -> tuple[int, int]:
        def service() -> None:
            self.service.service()
            cluster.register("echo")

        return skynet.newservice(service), cluster.open(0)[1]

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *exc: Any) -> None:
        for node in self.nodes:
            node.close()

    def start(self, node: Node, f: Callable[..., Any], *args: Any) -> list[Any]:
        """Run `f` in a service of its own; the list gets ("ok", value), or ("error", what it raised), in the end."""
        outcome: list[Any] = []

        def runs() -> None:
            def body() -> None:
                try:
                    outcome.append(("ok", f(*args)))
                except Exception as e:
                    outcome.append(("error", e))

            skynet.fork(body)

        node.newservice(runs, wait=False)
        return outcome

    def turn(self) -> None:
        for node in self.nodes:
            node.run_until_idle()

    def until(self, done: Callable[[], Any]) -> None:
        """Drive all until it is true."""
        end = time.monotonic() + LIMIT
        while not done():
            self.turn()
            assert time.monotonic() < end, "it does not come true"

    def on(self, node: Node, f: Callable[..., Any], *args: Any) -> Any:
        """What `f(*args)` returns in a service of `node`."""
        outcome = self.start(node, f, *args)
        self.until(lambda: outcome)
        how, value = outcome[0]
        if how == "error":
            raise value
        return value

    def call(self, address: Any, *args: Any) -> Any:
        return self.on(self.a, cluster.call, "b", address, *args)

    def notes(self) -> list[Any]:
        """What @echo was told by NOTE, so far."""
        return self.service.notes

    def logs(self, node: Node, text: str) -> list[str]:
        return [line for line in self.log(node) if text in line]

    def log(self, node: Node) -> list[str]:
        return [str(line) for line in node.log_lines]

    def bare(self) -> pysocket.socket:
        """A connection to b that no node has made."""
        return pysocket.create_connection(("127.0.0.1", self.port), timeout=LIMIT)


def request(session: int, *values: Any, address: int | str = "@echo") -> bytes:
    return clustercore.packrequest(address, session, seri.pack(*values))[0]


def answers(pair: Pair, sock: Any, count: int) -> list[tuple[Any, ...]]:
    """So many frames from b."""
    unpacker, found = netpack.Unpacker(), list[Any]()
    sock.setblocking(False)

    def enough() -> bool:
        with suppress(BlockingIOError):
            found.extend(map(clustercore.unpackresponse, unpacker.feed(sock.recv(1 << 20))))
        return len(found) >= count

    pair.until(enough)
    return found


def ended(pair: Pair, sock: Any) -> bool:
    """b has closed this connection."""
    sock.setblocking(False)

    def closed() -> bool:
        try:
            return sock.recv(1 << 16) == b""
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True

    pair.until(closed)
    return True
