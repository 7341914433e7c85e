"""The pipeline on one worker, where each run is the same; on four it is the same program."""

from __future__ import annotations

import gzip
import random
import select
import socket as pysocket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

CONFIG = Path(__file__).parent / "config.toml"
pytestmark = pytest.mark.skynet(config=CONFIG, thread=1, record=False, env={"port": 0, "pool": 4})
NOISE = random.Random(1).randbytes(1_000_000)  # what cannot be packed takes as much room behind as before


class Client:
    """Sends and receives only what goes at once: the test says when, and the node runs in between."""

    def __init__(self, node: Any, data: bytes) -> None:
        node.run_until_idle()
        self.node, self.unsent, self.answer = node, memoryview(data), bytearray()
        self.socket = pysocket.socket()
        for buffer in (pysocket.SO_SNDBUF, pysocket.SO_RCVBUF):  # else the kernel holds some megabytes for us
            self.socket.setsockopt(pysocket.SOL_SOCKET, buffer, 65536)
        self.socket.connect(("127.0.0.1", node.call(".pipeline", "lua", "port")))
        self.socket.setblocking(False)

    def send(self) -> bool:
        """Whether anything went."""
        before = len(self.unsent)
        with suppress(BlockingIOError):
            while self.unsent:
                self.unsent = self.unsent[self.socket.send(self.unsent) :]
        self.node.run_until_idle()
        return len(self.unsent) < before

    def receive(self) -> bool:
        """False at the end."""
        with suppress(BlockingIOError):
            while data := self.socket.recv(1 << 20):
                self.answer += data
            return False
        self.node.run_until_idle()
        return True

    def finish(self) -> bytes:
        """Send what is unsent, and take all that comes back."""
        while self.unsent:
            self.send()
            self.receive()
        self.socket.shutdown(pysocket.SHUT_WR)
        self.node.run_until_idle()
        while self.receive():
            assert select.select([self.socket], [], [], 30)[0], "nothing comes any more, and it is not the end"
        self.socket.close()
        return bytes(self.answer)


@pytest.mark.parametrize("size", [0, 1, 262_144, 1_000_000])
def test_what_goes_in_comes_out(node: Any, size: int) -> None:
    """An empty file, a byte, a whole block, some blocks and a rest."""
    assert gzip.decompress(Client(node, NOISE[:size]).finish()) == NOISE[:size]


def test_who_does_not_read_is_not_read(node: Any) -> None:
    """Sixteen megabytes do not go in; they do when their sender takes what comes back."""
    client = Client(node, NOISE * 16)
    while client.send():
        pass
    assert client.unsent
    assert gzip.decompress(client.finish()) == NOISE * 16


def test_a_client_that_breaks_off_leaves_nothing(node: Any) -> None:
    """Reset in the middle of it: the job ends, and the pool has all its packers for the next one."""
    client = Client(node, NOISE)
    client.send()
    client.socket.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.socket.close()
    node.run_until_idle()
    assert sorted(services(node)) == ["packer"] * 4 + ["pool"]
    assert gzip.decompress(Client(node, NOISE).finish()) == NOISE


def services(node: Any) -> Iterator[str]:
    for name in node.call(".launcher", "lua", "LIST").values():
        if (word := name.split()[1]) in ("pool", "job", "packer"):
            yield word
