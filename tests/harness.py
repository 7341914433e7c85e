"""Plays a scenario against a live node, with the client steps of its recording.

To add a recording: put its JSON file into tests/golden/traces, or traces-today, and a
function of the same name into scenarios.py.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import select
import shutil
import socket as pysocket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from scenarios import SCENARIOS, Chunk

from skynet_lite import Node, Trace, socket
from skynet_lite.trace.kinds import each

DOCS = Path(__file__).parent.parent / "docs"
TRACES = Path(__file__).parent / "golden" / "traces"
FOLDERS = {"1.1": TRACES, "1.8": TRACES.parent / "traces-today"}  # by dialect
EXAMPLES = int(os.environ.get("FUZZ", 100))
"""Of each test that edits files at random: some in the suite, many where somebody asks for a long run."""
TIMEOUT = 10.0  # real seconds, for what should take none
LIMIT = 30.0  # the same, where other threads or processes have to get their turn first


def seeds(cases: int) -> range:
    """So many cases; FUZZ=10000 in the environment makes a long run of it, FUZZ_SEED begins elsewhere."""
    first = int(os.environ.get("FUZZ_SEED", 1))
    return range(first, first + int(os.environ.get("FUZZ", cases)))


def recording(name: str, skynet: str = "1.1") -> dict[str, Any]:
    data: dict[str, Any] = json.loads((FOLDERS[skynet] / f"{name}.json").read_text())
    return data


def expected(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A recorded list without what depends on the system, or on how a pooled coroutine gets its function.

    skynet resumes such a coroutine once more, to hand it the function; here it is laid
    on the coroutine (tests/golden/traces/README.md allows dropping both events).
    """
    kept = []
    for event in events:
        if event["e"] == "resume" and event["by"] == "co_create":
            continue
        if event["e"] == "yield" and event["command"] is None:
            continue
        kept.append(comparable(event))
    return kept


def comparable(event: dict[str, Any]) -> dict[str, Any]:
    if event["e"] == "message" and event.get("type") == "ERROR":
        return {k: v for k, v in event.items() if k != "info"}
    return event


Watched = list[tuple[int, dict[str, Any]]]


def watch(node: Node) -> Watched:
    """The live tables of a node after each time that it tells something from now on, and how many events that was."""
    seen: Watched = []
    node.look(lambda: node.recording.add(lambda told: seen.append((len(list(each(told))), node.tables()))))
    return seen


def assert_live(trace: Trace, seen: Watched) -> None:
    """Trace.state(i) is what Node.tables() was.

    An event is told when it has happened, or is about to; several are told at once if they come at once. Nothing
    comes in between, so what was not right then shows when the next one is told.
    """
    first, states = 0, [trace.tables().view(), *(trace.state(i) for i in range(len(trace)))]
    for count, live in seen:
        if first >= len(trace):  # the recording is over, and we still look
            break
        assert live in states[first : first + count + 1], "\n".join(trace.text().splitlines()[first : first + count])
        first += count
    assert first == len(trace)


class Play:
    """One run of one scenario. `trace` and `addresses` are there afterwards."""

    def __init__(
        self, name: str, folder: Path, watch: Callable[[Node], list[Any]] | None = None, record: bool = False,
        skynet: str = "1.1", thread: int = 1,
    ) -> None:  # fmt: skip
        self.data = recording(name, skynet)
        self.addresses: dict[str, int] = {}
        self.port = 0
        self.trace: Trace
        self.watched: list[Any] = []
        self._watch = watch
        self._keys: Any = {"record": record, "skynet": skynet, "thread": thread}
        self._folder = folder
        self._clients: dict[str, Any] = {}
        self._listening = SCENARIOS[name](self)
        self._run()

    # what scenarios use
    def addr(self, label: str) -> int:
        return self.addresses[label]

    def later(self, label: str, address: int) -> None:
        self.addresses[label] = address

    def events(self, label: str, detail: bool = True) -> list[dict[str, Any]]:
        names = {a: name for name, a in self.addresses.items() if name != label}
        if label not in self.addresses:
            return []
        return [comparable(e) for e in self.trace.golden(self.addresses[label], detail=detail, names=names)]

    def _run(self) -> None:
        steps = self.data.get("client") or []
        if steps and steps[0][0] == "listen":
            self._listen(steps[0][1])
        elif not steps:
            self.port = free_port()
        with Node(clock="virtual", log=list, luaservice=str(self._folder / "?.py"), **self._keys) as node:
            self.node = node
            try:
                node.run_until_idle()  # the boot
                with node.record() as self.trace:
                    if self._watch is not None:
                        self.watched = self._watch(node)
                    for label in self.data["services"]:
                        self._start(label)
                    for step in steps:
                        getattr(self, "_" + step[0])(*step[1:])
                    count = len(expected(self.data["events"]))
                    node.run(until=lambda: len(self.events("A")) >= count, timeout=TIMEOUT)
                    node.run(timeout=TIMEOUT)
            finally:
                for c in self._clients.values():
                    c.close()
            self.log = node.log_lines

    def _start(self, label: str) -> None:
        service = self._listening[label]
        before = set(self.node.handles.contexts)
        if isinstance(service, Chunk):
            CHUNKS[label] = service.run
            (self._folder / f"{label}.py").write_text(f"import harness\nharness.CHUNKS[{label!r}]()\n")
            service = label
        self.addresses[label] = self.node.newservice(service, wait=False)
        assert self.addresses[label] not in before
        if label == self.data["services"][-1]:
            return  # its start may wait for what the client does
        s = self.node.service(self.addresses[label])
        self.node.run(until=lambda: s.start_state not in ("loading", "starting"), timeout=TIMEOUT)

    # ---- client steps

    def _wait(self, label: str, pattern: dict[str, Any], n: int = 1) -> None:
        def seen() -> bool:
            return sum(all(e.get(k) == v for k, v in pattern.items()) for e in self.events(label)) >= n

        self.node.run(until=seen, timeout=TIMEOUT)

    def _settle(self) -> None:
        self.node.run_until_idle()

    def _connect(self, c: str) -> None:
        self._clients[c] = self.node.client(self.port)

    def _send(self, c: str, text: str) -> None:
        client = self._clients[c]
        (client.sendall if isinstance(client, pysocket.socket) else client.send)(text.encode())

    def _expect(self, c: str, text: str) -> None:
        client = self._clients[c]
        if isinstance(client, pysocket.socket):
            self._readable(client)
            assert client.recv(len(text)) == text.encode()
        else:
            client.expect(text.encode())

    def _expect_eof(self, c: str) -> None:
        self._clients[c].expect_eof()

    def _close(self, c: str) -> None:
        self._clients[c].close()

    def _reset(self, c: str) -> None:
        self._clients[c].reset()

    def _listen(self, listener: str) -> None:
        if listener not in self._clients:
            sock = pysocket.create_server(("127.0.0.1", 0))
            self._clients[listener] = sock
            self.port = sock.getsockname()[1]

    def _accept(self, listener: str, c: str) -> None:
        self._readable(self._clients[listener])
        self._clients[c], _ = self._clients[listener].accept()

    def _udp_open(self, u: str) -> None:
        self._clients[u] = pysocket.socket(type=pysocket.SOCK_DGRAM)
        self._clients[u].bind(("127.0.0.1", 0))

    def _udp_send(self, u: str, text: str) -> None:
        self._clients[u].sendto(text.encode(), ("127.0.0.1", self.port))

    def _udp_expect(self, u: str, text: str) -> None:
        self._readable(self._clients[u])
        assert self._clients[u].recv(65536) == text.encode()

    def _readable(self, sock: pysocket.socket) -> None:
        self.node.run(until=lambda: bool(select.select([sock], [], [], 0)[0]), timeout=TIMEOUT)


CHUNKS: dict[str, Callable[[], None]] = {}


class Process(subprocess.Popen[Any]):
    """`with Process(...)`: one that ends with its block, or a test that fails in there would wait for it for ever."""

    def __exit__(self, *raised: Any) -> None:
        self.kill()
        super().__exit__(*raised)


def free_port() -> int:
    with pysocket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


def echo_trace(dialect: str = "1.1") -> Trace:
    """The article's listing, and one client that has a line echoed."""
    ports = []

    def accept(id: int, addr: str) -> None:
        socket.start(id)
        socket.write(id, (socket.readline(id) or b"") + b"\n")
        socket.close(id)

    def main() -> None:
        lid = socket.listening("127.0.0.1:0")
        ports.append(socket.sockname(lid)[1])
        socket.start(lid, accept)

    with Node(clock="virtual", log=list, skynet=dialect) as node, node.record() as trace:
        node.newservice(main, wait=False)
        node.run_until_idle()
        client = node.client(ports[0])
        node.run_until_idle()
        client.send(b"hello\n")
        assert client.recv_line() == b"hello"
        client.expect_eof()
        client.close()
        node.run_until_idle()
    return trace


def until(true: Callable[[], Any], limit: float = LIMIT) -> Any:
    """Wait for what another thread or process does, and give it; a test that would wait for ever fails."""
    end = time.monotonic() + limit
    while not (what := true()):
        assert time.monotonic() < end, "it did not come in time"
        time.sleep(0.001)
    return what


async def auntil(true: Callable[[], Any]) -> None:
    """The same in an asyncio loop, which runs meanwhile."""
    async with asyncio.timeout(LIMIT):
        while not true():
            await asyncio.sleep(0)


def in_thread(f: Callable[..., Any], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=f, args=args)
    thread.start()
    return thread


class Gate:
    """Blocks its thread until it is opened."""

    def __init__(self) -> None:
        self.entered, self.open = threading.Event(), threading.Event()

    def __call__(self, value: Any = None) -> Any:
        self.entered.set()
        assert self.open.wait(LIMIT)
        return value


@contextmanager
def opened(*gates: Gate) -> Iterator[None]:
    """No thread outlives its test."""
    try:
        yield
    finally:
        for gate in gates:
            gate.open.set()


def said(node: Node) -> list[str]:
    """What services have logged themselves: the line without who, and without what the node says of births and ends."""
    lines = [line.partition("] ")[2] for line in node.log_lines]
    return [line for line in lines if not line.startswith(("LAUNCH", "KILL"))]


def programs(page: str) -> list[str]:
    """The blocks of Python in the text of a page."""
    return re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def assert_page_passes(pytester: pytest.Pytester, name: str, passed: int) -> None:
    """The programs of a page of docs/ are one test file, and its tests pass."""
    pytester.makepyfile("\n".join(programs((DOCS / name).read_text(encoding="utf-8"))))
    pytester.runpytest_subprocess("-p", "no:cacheprovider", "-p", "no:xdist").assert_outcomes(passed=passed)


REQUIRED = os.environ.get("BROWSER_TESTS") == "required"
"""As in .ci/run, which installs all that tests need: what is missing there is an error."""


def skip(reason: str) -> None:
    """Skip a test for what this machine has not; where all is required, fail."""
    (pytest.fail if REQUIRED else pytest.skip)(reason)


PACKAGES = {
    "nc": "netcat-openbsd",
    "redis-cli": "redis-tools",
    "systemd-analyze": "systemd",
}  # of Debian, where the name is another


def needs(*programs: str) -> pytest.MarkDecorator:
    """Skip where a program is missing, with the reason; with BROWSER_TESTS=required, as in .ci/run, the test runs, and fails."""
    missing = [PACKAGES.get(program, program) for program in programs if shutil.which(program) is None]
    return pytest.mark.skipif(
        bool(missing) and not REQUIRED,
        reason=f"a program is missing: apt-get install {' '.join(missing)}, and this test runs",
    )
