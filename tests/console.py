"""A node with a debug console, and what talks to it."""

from __future__ import annotations

import json
import re
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from skynet_lite import Node
from skynet_lite.core.outside import secret_file
from skynet_lite.lualib.console import WELCOME

DATA = Path(__file__).parent / "data" / "console"
ANSWERS: dict[str, list[str]] = json.loads((Path(__file__).parent / "golden" / "top.json").read_text())["answers"]
"""What a real skynet's console has answered, by command."""
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


class Recorded:
    """A console that answers as the recorded one did: the n-th answer the n-th time, then the last one for `ever`.

    If not, the last look stays what it was: a figure that counts up no more has the rate 0 one look later.
    It writes a line and its end apart, as skynet does. What was not recorded it does not answer.
    """

    def __init__(self, port: int = 0, answers: dict[str, list[str]] = ANSWERS, ever: bool = True) -> None:
        self._answers, self._ever = answers, ever
        self._listening = socket.create_server(("127.0.0.1", port))
        self.port: int = self._listening.getsockname()[1]
        self.asked: list[str] = []
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listening.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._clients.append(client)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with suppress(OSError), client, client.makefile("r") as lines:
            client.sendall(f"{WELCOME}\n".encode())
            for line in map(str.strip, lines):
                answers = self._answers.get(line, [""])
                self.asked.append(line)
                if not self._ever and self.asked.count(line) > len(answers):
                    continue
                answer = answers[min(self.asked.count(line), len(answers)) - 1]
                for part in re.findall(r"[^\n]+|\n", answer):
                    client.sendall(part.encode())

    def close(self) -> None:
        """As if the node had ended."""
        for each in (self._listening, *self._clients):
            with suppress(OSError):  # it is closed already
                each.shutdown(socket.SHUT_RDWR)  # the thread that waits for it goes on
        self._listening.close()
