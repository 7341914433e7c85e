"""The debug console on a node with several workers: what one worker cannot show."""

from __future__ import annotations

import re
import socket as pysocket
from collections.abc import Iterator

import pytest
from console import token_of

from skynet_lite import Node, skynet


class Lines:
    """A connection to the console, from outside."""

    def __init__(self, port: int) -> None:
        self.sock = pysocket.create_connection(("127.0.0.1", port), timeout=20)
        self.file = self.sock.makefile("r", newline="\n")
        assert self.file.readline() == "Welcome to skynet console\n"
        assert self.ask(f"token {token_of(port)}") == "<CMD OK>\n"

    def say(self, line: str) -> None:
        self.sock.sendall(line.encode() + b"\n")

    def ask(self, line: str) -> str:
        self.say(line)
        lines = []
        while not lines or lines[-1] not in ("<CMD OK>\n", "<CMD Error>\n"):
            lines.append(self.file.readline())
        return "".join(lines)

    def until(self, end: str) -> str:
        text = ""
        while not text.endswith(end):
            text += self.file.read(1)
        return text

    def close(self) -> None:
        self.file.close()
        self.sock.close()


def loop() -> None:
    skynet.register(".busy")

    def dispatch(session: int, source: int, word: str = "") -> None:
        while word == "spin":
            pass
        skynet.retpack(word)

    skynet.dispatch("lua", dispatch)


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(thread=4, log=list) as node:
        for _ in range(4):
            node.newservice(loop)
        node.newservice("debug_console", 0)
        yield node


@pytest.fixture
def console(node: Node) -> Iterator[Lines]:
    (listening,) = [id for id, (state, _) in node.socket_server.table().items() if state == "listen"]
    lines = Lines(node.socket_server.sockname(listening)[1])
    yield lines
    lines.close()


def test_an_endless_loop_is_seen_and_broken(node: Node, console: Lines) -> None:
    """stat shows TIMEOUT for the service, signal 0 breaks its loop, and it answers again."""
    launcher = 3
    victim = next(h for h in _loops(node) if h % 4 not in (_console(node) % 4, launcher % 4))
    node.server.push(node.handles.contexts[victim], (10, 0, 0, ("spin",)), "outside")
    assert f":{victim:08x}\tTIMEOUT\n" in console.ask("stat 30")
    assert console.ask(f"signal {victim:x}") == "<CMD OK>\n"
    assert re.search(f":{victim:08x}\tcpu:[\\d.e-]+\tmessage:", console.ask("stat 200"))
    log = "\n".join(node.log_lines)
    assert f"[:{victim:08x}] recv a signal 0" in log and "SignalError" in log


def _console(node: Node) -> int:
    return next(h for h, c in node.handles.contexts.items() if c.name == "debug_console")


def _loops(node: Node) -> list[int]:
    return [h for h, c in node.handles.contexts.items() if c.name == "loop"]


def test_looking_and_tracing_across_workers(node: Node, console: Lines) -> None:
    """waits, verdicts, a trace and the message log of services that live on other workers."""
    for handle in _loops(node):
        console.ask(f"trace on {handle:x}")
    text = "".join(console.ask(f'call {handle:x} "x"') for handle in _loops(node)) + console.ask("trace off")
    assert text.count("1\tx\nn\t1\n<CMD OK>\n") == 4
    for handle in _loops(node):
        lines = re.findall(rf"^ *(\d+) :{handle:08x} .*(?:push|message) +lua", text, re.MULTILINE)
        assert lines == ["0", "1"] and f"--- trace of :{handle:08x} ends: 9 lines\n" in text
    assert console.ask("waits").endswith("<CMD OK>\n")
    assert console.ask("verdicts").endswith("<CMD OK>\n")
    assert node.recording._sinks == []


def test_a_coroutine_of_another_worker_is_stopped_in_a_line(node: Node, console: Lines) -> None:
    """Python's trace function is the thread's: each worker has its own."""
    other = Lines(console.sock.getpeername()[1])
    for handle in _loops(node):
        prompt = f":{handle:08x}>"
        console.say(f"debug {handle:x}")
        console.until(prompt)
        console.say('watch("lua")')
        console.until(prompt)
        other.say(f'call {handle:x} "x"')
        stop = console.until(">")
        assert re.fullmatch(r"loop\(\d+\)>", stop)
        console.say("word")
        assert console.until(">").startswith("'x'")
        console.say("c")
        console.until(prompt)
        assert other.ask("").startswith("1\tx\n")
        assert console.ask("cont") == "<CMD OK>\n"
    other.close()
