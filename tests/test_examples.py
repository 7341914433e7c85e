"""The example as a whole: gate, watchdog, an agent for each client, and clients that speak packets."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import Process
from socket_harness import TIMEOUT, Limited

import skynet_lite
from skynet_lite import Node, netpack

EXAMPLES = Path(skynet_lite.__file__).parent / "examples"


class Example:
    """The example under the virtual clock, on a free port."""

    def __init__(self, outside: Any = None, **env: Any) -> None:
        settings = {"address": "127.0.0.1", "port": 0, "heartbeat": 500, **env}
        self.node = Node(EXAMPLES / "config.toml", clock="virtual", log=list, outside=outside, env=settings)
        self.node.run_until_idle()
        (self.port,) = (int(line.rsplit(":", 1)[1]) for line in self.node.log_lines if "Watchdog listen on" in line)

    def client(self) -> Player:
        return Player(self)

    def log(self, words: str) -> list[str]:
        self.node.run_until_idle()
        return [line[12:] for line in self.node.log_lines if words in line]

    def alive(self, name: str) -> list[int]:
        self.node.run_until_idle()
        return [handle for handle, ctx in self.node.handles.contexts.items() if ctx.name == name]


class Player:
    """A client: requests go out as packets, answers come back as texts."""

    def __init__(self, example: Example) -> None:
        self.tcp = example.node.client(example.port)
        example.node.run_until_idle()

    def send(self, *texts: str) -> None:
        self.tcp.send(b"".join(netpack.pack(text.encode()) for text in texts))

    def receive(self) -> str:
        return netpack.tostring(self.tcp.recv(int.from_bytes(self.tcp.recv(2), "big")))

    def ask(self, text: str) -> str:
        self.send(text)
        return self.receive()


@contextmanager
def example(**options: Any) -> Iterator[Example]:
    e = Example(**options)
    with e.node:
        yield e


def test_clients_share_a_database() -> None:
    """Each has an agent of its own, all agents the database; what an agent cannot do it answers, and goes on."""
    with example() as e:
        a, b = e.client(), e.client()
        assert a.ask("handshake") == "ok Welcome to skynet, I will send heartbeat every 5 sec."
        assert a.ask("get hello") == "ok"
        assert a.ask("set hello wide world") == "ok"
        assert b.ask("get hello") == "ok wide world"
        assert b.ask("frobnicate") == "error unknown request 'frobnicate'; there are handshake, get, set, quit"
        assert b.ask("set hello") == "error set takes 2 words, not 1"
        assert b.ask("get hello") == "ok wide world"
        assert len(e.alive("agent")) == 2
        assert e.log("failed") == e.log("error :") == []


def test_quit_ends_connection_and_agent() -> None:
    """The agent asks the watchdog, which has the gate close and the agent end; others stay."""
    with example() as e:
        a, b = e.client(), e.client()
        a.send("quit")
        a.tcp.expect_eof()
        assert len(e.alive("agent")) == 1
        assert b.ask("get x") == "ok"


def test_a_client_that_leaves_or_breaks_takes_its_agent_along() -> None:
    """A FIN is told as close, a reset as error and close: the agent ends either way, once."""
    with example() as e:
        e.client().tcp.close()
        e.client().tcp.reset()
        assert e.alive("agent") == []
        assert [text.rsplit(" ", 1)[0] for text in e.log("socket close")] == ["socket close"] * 2
        assert [re.sub(r"\d+", "N", text) for text in e.log("socket error")] == [
            "socket error N Connection reset by peer"
        ]
        assert [row["type"] for row in e.node.socket_server.netstat()] == ["LISTEN"], "nothing is left"


def test_the_watchdog_can_kick() -> None:
    """CMD.close of the watchdog, as an operator would call it."""
    with example() as e:
        a = e.client()
        (watchdog,) = e.alive("watchdog")
        fd = max(row["id"] for row in e.node.socket_server.netstat())
        assert e.node.call(watchdog, "lua", "close", fd) is None
        a.tcp.expect_eof()
        assert e.alive("agent") == []


def test_heartbeats_reach_everybody() -> None:
    """Every five seconds of virtual time, whatever else is going on; an agent that ended sends none."""
    with example() as e:
        a, b = e.client(), e.client()
        for _ in range(3):
            e.node.advance(500)
            assert [a.receive(), b.receive()] == ["heartbeat"] * 2
        b.send("quit")
        b.tcp.expect_eof()
        e.node.advance(500)
        assert a.receive() == "heartbeat"


def test_a_slow_client_is_dropped_and_nobody_else_notices() -> None:
    """A client that asks for much and reads nothing: warned about at 1 MB, dropped, its agent ended."""
    world = Limited()
    with example(outside=world, maxwbuffer=1024) as e:
        slow, quick = e.client(), e.client()
        assert slow.ask("set big " + "x" * 60_000) == "ok"
        world.room = 0
        for _ in range(19):
            slow.send("get big")
            e.node.run_until_idle()
        world.room = None
        assert [text.rsplit(" ", 2)[-1] for text in e.log("socket warning")][:1] == ["1055"]
        assert len(e.log("Drop slow client fd")) == 1
        assert len(e.alive("agent")) == 1
        assert quick.ask("get nothing") == "ok"


def test_maxclient() -> None:
    """One less than maxclient get in, as with the real gate; a place that is left is given again."""
    with example(maxclient=3) as e:
        a, b = e.client(), e.client()
        e.client().tcp.expect_eof()
        a.send("quit")
        a.tcp.expect_eof()
        assert e.client().ask("get x") == b.ask("get x") == "ok"


def test_packets_of_one_segment_are_served_at_the_same_time() -> None:
    """Each packet is a message of its own: one that waits for the database is overtaken by one that does not."""
    with example() as e:
        a = e.client()
        a.send("get x", "handshake")
        assert a.receive().startswith("ok Welcome")
        assert a.receive() == "ok"


def test_run_from_the_shell(tmp_path: Path) -> None:
    """skynet-lite run CONFIG.toml, and client.py in another process: the transcript, and a clean end on SIGTERM."""
    config = tmp_path / "config.toml"
    text = (EXAMPLES / "config.toml").read_text()
    config.write_text(text.replace('"./?.py"', f'"{EXAMPLES}/?.py"').replace("port = 8888", "port = 0"))
    serve = [sys.executable, "-m", "skynet_lite", "run", str(config)]
    with Process(serve, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            lines = iter(server.stderr.readline, "")
            port = next(line for line in lines if "Watchdog listen on" in line).rsplit(":", 1)[1].strip()
            command = [sys.executable, str(EXAMPLES / "client.py"), port]
            with Process(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as client:
                assert client.stdin is not None and client.stdout is not None
                heard = [client.stdout.readline().strip() for _ in range(4)]
                assert sorted(heard[:2]) == ["Request: handshake", "Request: set hello world"]
                assert heard[2].startswith("Received: ok Welcome") and heard[3] == "Received: ok"
                client.stdin.write("hello\n")
                client.stdin.flush()
                assert [client.stdout.readline().strip() for _ in range(2)] == [
                    "Request: get hello",
                    "Received: ok world",
                ]
                client.stdin.write("quit\n")
                client.stdin.flush()
                rest = client.stdout.read().splitlines()
                assert (rest[0], rest[-1]) == ("Request: quit", "Server closed")
                assert client.wait(TIMEOUT) == 0
            server.send_signal(signal.SIGTERM)
            assert server.wait(TIMEOUT) == 0
            assert [line for line in lines if "fail" in line or "Traceback" in line] == []
        finally:
            server.kill()


@pytest.mark.parametrize("name", ["main", "watchdog", "agent", "simpledb"])
def test_the_example_keeps_skynets_names(name: str) -> None:
    """Who knows examples/*.lua finds the same files, and says so in each."""
    assert f"examples/{name}.lua" in (EXAMPLES / f"{name}.py").read_text()
