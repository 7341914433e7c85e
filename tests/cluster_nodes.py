"""A node of ours and a real skynet side by side, each in what it has of its own: a thread, a process."""

from __future__ import annotations

import socket as pysocket
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE
from typing import Any

from cluster_wire import INTEROP, Callee, Job, Outcome
from harness import Process, free_port, until
from real_skynet import Real

from skynet_lite import CallError, cluster, seri, skynet


class LuaError(Exception):
    """What a piece of Lua has raised."""


class Piece:
    """A piece of Lua under way in a real skynet."""

    def __init__(self, client: pysocket.socket, text: str) -> None:
        self.client = client
        data = text.encode("utf-8", "surrogateescape")
        client.sendall(struct.pack("<I", len(data)) + data)

    def answer(self) -> Any:
        size = struct.unpack("<I", self._read(4))[0]
        ok, *values = seri.unpack(self._read(size))
        if not ok:
            raise LuaError(values[0])
        return values[0] if len(values) == 1 else tuple(values) or None

    def _read(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = self.client.recv(min(size - len(data), 1 << 20))
            assert more, "the node has gone"
            data += more
        return bytes(data)


class Theirs:
    """The real node: pieces of Lua run in it, one after another or, each over a connection of its own, at once."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self.cluster_port = free_port()
        self.node = Real(folder, INTEROP, snax="./?.lua")
        self.address = f"127.0.0.1:{self.cluster_port}"
        self._clients = list[pysocket.socket]()

    @contextmanager
    def running(self) -> Iterator[Theirs]:
        """From its start until it is killed."""
        try:
            with self.node.running():
                self._main = self._connect()
                self._open()
                yield self
        finally:
            for client in self._clients:
                client.close()

    def kill(self) -> None:
        self.node.kill()

    def _connect(self) -> pysocket.socket:
        self._clients.append(self.node.connect(self.node.port))
        return self._clients[-1]

    def _open(self) -> None:
        self.ask(f'cluster.reload {{ theirs = "{self.address}" }} cluster.open "theirs"')
        self.echo = self.ask('cluster.register("echo", echo) return echo')
        self.new = self.ask("return cluster.unregister ~= nil")  # not 1.1.0

    def begin(self, text: str) -> Piece:
        return Piece(self._connect(), text)

    def ask(self, text: str) -> Any:
        return Piece(self._main, text).answer()

    def said(self) -> str:
        return self.node.log.read_text(errors="replace")


class Ours(Callee):
    """Our node, in a thread of its own."""

    ready = False

    def boot(self) -> None:
        super().boot()
        self.ready = True

    def begin(self) -> None:
        self.node.serve()
        until(lambda: self.ready)

    def do(self, job: Job) -> Any:
        return self.wait(self.start(job))

    def wait(self, outcome: Outcome) -> Any:
        until(lambda: outcome.times)
        if outcome.error is not None:
            raise outcome.error
        return outcome.value

    def call(self, address: Any, *args: Any) -> Any:
        return self.do(lambda: cluster.call("theirs", address, *args))

    @property
    def echo(self) -> int:
        return self.handles["echo"]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


def introduce(ours: Ours, theirs: Theirs) -> None:
    ours.do(lambda: cluster.reload({"theirs": theirs.address}))
    theirs.ask(f'cluster.reload {{ ours = "{ours.address}" }} ours = {ours.echo}')


@contextmanager
def peer(port: int) -> Iterator[Process]:
    """A node of ours in another process, which listens."""
    with Process([sys.executable, INTEROP / "peer.py", str(port)], stdout=PIPE, text=True) as node:
        assert node.stdout is not None and node.stdout.readline()
        yield node


class Storm:
    """Many calls at once from one service; after some answers something happens. What became of each of them."""

    def __init__(self, ours: Ours, node: str, address: int | str, count: int) -> None:
        self.ours, self.node, self.address, self.count = ours, node, address, count
        self.outcomes = [list[Any]() for _ in range(count)]
        self.answered = 0

    def args(self, i: int) -> tuple[Any, ...]:
        """Some are answered at once, some in a while, some are large; the last ones wait till the end."""
        return "SLEEP", i * 7 % 4 if i < self.count - 10 else 100_000, i, "z" * (40_000 if i % 50 == 0 else i % 40)

    def run(self, after: int, happens: Callable[[], Any]) -> None:
        """Returns when nobody waits any more; raises AssertionError if somebody does for ever."""

        def ask(i: int) -> None:
            try:
                got = cluster.call(self.node, self.address, *self.args(i))
            except CallError as e:
                self.outcomes[i].append(e)
                return
            self.outcomes[i].append(got)
            self.answered += 1
            if self.answered == after:
                happens()

        def all_of_them() -> None:
            for i in range(self.count):
                skynet.fork(ask, i)

        self.ours.do(all_of_them)
        until(lambda: all(self.outcomes))
        assert "unknown session" not in self.ours.said()  # nor has anybody answered twice
        for i, outcome in enumerate(self.outcomes):
            assert len(outcome) == 1, f"call {i}: {outcome}"
            assert isinstance(outcome[0], CallError) or outcome[0] == self.args(i)[2:], f"call {i}: {outcome}"
