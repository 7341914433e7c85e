"""Both nodes in this process, driven in turn: what one writes, the other one reads at its next turn."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from skynet_lite import Node

CONFIG = Path(__file__).parent / "config.toml"


class Both:
    """The two nodes, at free ports."""

    def __init__(self, stack: ExitStack) -> None:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        self.table = {name: f"127.0.0.1:{s.getsockname()[1]}" for name, s in zip(("front", "game"), held, strict=True)}
        for s in held:
            s.close()
        self.stack, self.nodes = stack, dict[str, Node]()

    def start(self, name: str) -> Node:
        env = {"address": "127.0.0.1", "port": 0}
        node = Node(CONFIG, node=name, clock="virtual", log=list, cluster=self.table, env=env)
        self.nodes[name] = self.stack.enter_context(node)
        self.turn()
        return node

    def client(self) -> Any:
        node = self.nodes["front"]
        (port,) = re.findall(r"clients at port (\d+)", "\n".join(node.log_lines))
        return self.stack.enter_context(node.client(int(port)))

    def turn(self, over: Callable[[], bool] = lambda: True) -> None:
        """At least once, and until it is so."""
        for _ in range(10_000):
            for node in self.nodes.values():
                node.run_until_idle()
            if over():
                return
        raise AssertionError("it does not come")

    def hears(self, client: Any, lines: int) -> list[str]:
        heard = bytearray()

        def enough() -> bool:
            heard.extend(client.recv_until(lambda: True))
            return heard.count(b"\n") >= lines

        self.turn(enough)
        return heard.decode().splitlines()


@pytest.fixture
def both() -> Iterator[Both]:
    with ExitStack() as stack:
        yield Both(stack)


def test_a_line_goes_through_both_nodes_and_back(both: Both) -> None:
    """The call to the game and its answer; and, the other way, what it says to all."""
    both.start("game"), both.start("front")
    ann, bob = both.client(), both.client()
    both.turn()
    ann.send(b"ann\n")
    assert sorted(both.hears(ann, 2)) == ["* ann leads", "ann has 1"]
    assert both.hears(bob, 1) == ["* ann leads"]
    bob.send(b"ann\nbob\n")
    assert both.hears(bob, 2) == ["ann has 2", "bob has 1"]


def test_a_front_without_a_game_says_so_and_finds_it_later(both: Both) -> None:
    """A call to a node that is not there fails; the next one tries again."""
    both.start("front")
    client = both.client()
    client.send(b"ann\n")
    (answer,) = both.hears(client, 1)
    assert answer.startswith("error: ") and "game" in answer
    both.start("game")
    client.send(b"ann\n")
    assert "ann has 1" in both.hears(client, 2)
