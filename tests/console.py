"""A node with a debug console, and what talks to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from skynet_lite import Node
from skynet_lite.core.outside import secret_file

DATA = Path(__file__).parent / "data" / "console"
END = (b"<CMD OK>\n", b"<CMD Error>\n", b">")


def console_node(**keys: Any) -> Node:
    """The node of the recording: console :00000009, .demo :0000000a, echo :0000000b."""
    node = Node(clock="virtual", log=list, luaservice=f"{DATA}/?.py", start="dcmain", **keys)
    node.run_until_idle()
    return node


def port_of(node: Node) -> int:
    """Where the console listens: nobody else does."""
    listening = [id for id, (state, _) in node.socket_server.table().items() if state == "listen"]
    return node.socket_server.sockname(listening[0])[1]


def token_of(port: int) -> str:
    """What the console at this port wants to hear before it runs code."""
    return Path(secret_file(f"console-{port}")).read_text()


@contextmanager
def served(*services: Callable[[], Any]) -> Iterator[int]:
    """A node with its own thread and the real clock, and the port of its console."""
    with Node(log=list) as node:
        node.serve()
        node.newservice("debug_console", 0)
        for service in services:
            node.newservice(service)
        yield port_of(node)


class Asking:
    """One connection. `ask` sends bytes, and drives the node until it has nothing to do."""

    def __init__(self, node: Node, trusted: bool = True) -> None:
        self.node = node
        self.client = node.client(port_of(node))
        node.run_until_idle()
        self.client.expect(b"Welcome to skynet console\n")
        if trusted:
            assert self.ask(f"token {token_of(port_of(node))}\n") == "<CMD OK>\n"

    def ask(self, said: str, ticks: int = 0) -> str:
        self.client.send(said.encode())
        self.node.run_until_idle()
        if ticks:
            self.node.advance(ticks)
        return self.client.recv_until(lambda: True).decode()

    def rows(self, said: str) -> dict[str, str]:
        """The table that a command answers."""
        *lines, end = self.ask(said + "\n").splitlines()
        assert end == "<CMD OK>", (said, lines, end)
        return dict(line.split("\t", 1) for line in lines)
