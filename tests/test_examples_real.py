"""The three programs of skynet_lite/examples, by the clients they are for; each has tests of its own beside it.

One idea: a program is tried as its users will: two hundred players at once, wrk and a browser, a file of some megabytes
for four workers. A thread drives the node, and the test waits for bytes, never for time.
"""

from __future__ import annotations

import socket as pysocket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pytest
import test_browser
from contrib_harness import run
from harness import needs
from playwright.sync_api import Browser, expect
from redis_harness import RedisServer
from test_browser import browser as browser, chromium as chromium, complaints

import skynet_lite
from skynet_lite.testing import NodeUnderTest

EXAMPLES = Path(skynet_lite.__file__).parent / "examples"
with_browser = test_browser.pytestmark
SECONDS = 30.0  # for what takes less than one; a test that hangs is to fail


def connected(port: int) -> tuple[pysocket.socket, BinaryIO]:
    client = pysocket.create_connection(("127.0.0.1", port), timeout=SECONDS)
    return client, client.makefile("rb")


def serving(node: NodeUnderTest, name: str) -> int:
    """Have a thread drive the node; the port of its program, for a call waits until that has started."""
    node.serve()
    return int(node.call(name, "lua", "port"))


class Player:
    """A client of the lobby, of the system's sockets alone."""

    def __init__(self, port: int) -> None:
        self.socket, self._lines = connected(port)

    def say(self, text: str) -> None:
        self.socket.sendall(text.encode() + b"\n")

    def hear(self) -> str:
        return self._lines.readline().decode().strip()

    def until(self, begin: str) -> str:
        """The next line that begins so; the others are of other players."""
        while not (line := self.hear()).startswith(begin):
            assert line, f"the lobby has closed, and nothing began with {begin!r}"
        return line

    def close(self) -> None:
        self._lines.close()
        self.socket.close()


PLAYERS, ROOMS = 200, 20
HOUR = 360_000  # ticks


@pytest.mark.skynet(
    config=EXAMPLES / "lobby" / "config.toml", clock="real", record=False, env={"port": 0, "patience": HOUR}
)
def test_a_lobby_of_two_hundred(node: NodeUnderTest) -> None:
    """All are there at once, each hears the nine others of its room, all play, and nothing is left of them."""
    port = serving(node, ".lobby")
    players = [Player(port) for _ in range(PLAYERS)]
    for n, player in enumerate(players):
        player.say(f"name p{n}\njoin room{n % ROOMS}")
    for n, player in enumerate(players):
        assert player.until("welcome") == f"welcome p{n}"
        player.until("joined")
    for player in players:
        player.say("say hello")
    for n, player in enumerate(players):
        heard = {player.until("p") for _ in range(PLAYERS // ROOMS)}
        assert heard == {f"p{k}: hello" for k in range(n % ROOMS, PLAYERS, ROOMS)}
    for player in players:
        player.say("match")
    for player in players:
        player.until("match against")
        player.say("play rock")
    for player in players:
        assert player.until("over") == "over: rock twice, nobody wins"
    assert len(agents(node)) == PLAYERS
    for player in players:
        player.say("quit")
    for player in players:
        while player.hear():
            pass
        player.close()
    end = time.monotonic() + SECONDS
    while agents(node):  # a client sees the end a few messages before its agent is gone
        assert time.monotonic() < end


@pytest.fixture
def wall(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[tuple[NodeUnderTest, int]]:
    """The web program, served, beside a Redis of the test's own."""
    with RedisServer(tmp_path) as server:
        keys = {"config": EXAMPLES / "web" / "config.toml", "clock": "real", "record": False}
        request.node.add_marker(pytest.mark.skynet(**keys, env={"port": 0, "redis": server.port}))
        node = request.getfixturevalue("node")
        yield node, serving(node, ".web")


@needs("redis-server", "wrk")
def test_wrk_asks_for_page_and_wall(wall: tuple[NodeUnderTest, int]) -> None:
    """Twenty connections without a pause, to what stands in a file and to what Redis is asked for: no error."""
    node, port = wall
    for path in ("", "wall"):
        told = run("wrk", "-t1", "-c20", "-d1", "--timeout", "30s", f"http://127.0.0.1:{port}/{path}").stdout.decode()
        assert int(told.split(" requests in")[0].split()[-1]) > 0
        assert "Non-2xx" not in told and "Socket errors" not in told, told
    assert not [line for line in node.log_lines if "Traceback" in line]


@with_browser
@needs("redis-server")
def test_two_windows_see_the_same_wall(browser: Browser, wall: tuple[NodeUnderTest, int]) -> None:
    """What one writes the other sees, at once, as text; who comes later finds it there."""
    _, port = wall
    url = f"http://127.0.0.1:{port}/"
    contexts = [browser.new_context() for _ in range(3)]
    a, b, later = (context.new_page() for context in contexts)
    found = [complaints(page) for page in (a, b, later)]
    for page in (a, b):
        page.goto(url)
    for page, text in ((a, "hello"), (b, "<b>bold</b>")):
        page.fill("input", text)
        page.click("button:enabled")
        for seen in (a, b):
            expect(seen.locator("li").first).to_have_text(text, timeout=30_000)
    later.goto(url)
    expect(later.locator("li")).to_have_text(["<b>bold</b>", "hello"], timeout=30_000)
    assert found == [[], [], []]
    for context in contexts:
        context.close()


@needs("nc", "gzip")
@pytest.mark.skynet(config=EXAMPLES / "pipeline" / "config.toml", clock="real", record=False, env={"port": 0})
def test_three_files_through_four_workers(node: NodeUnderTest, tmp_path: Path) -> None:
    """Three times nc at once: gzip itself unpacks what comes back, and every packer, on its own worker, had its share."""
    port = serving(node, ".pipeline")
    files = [tmp_path / f"{n}.log" for n in range(3)]
    for n, file in enumerate(files):
        file.write_text("".join(f"{n} line {k} of a log that says little\n" for k in range(100_000)))
    running = []
    for file in files:
        with file.open("rb") as data, open(f"{file}.gz", "wb") as packed:
            running.append(subprocess.Popen(["nc", "-N", "127.0.0.1", str(port)], stdin=data, stdout=packed))
    for file, process in zip(files, running, strict=True):
        assert process.wait(SECONDS) == 0
        assert run("gzip", "-dc", f"{file}.gz").stdout == file.read_bytes()
    packers = [address for address, name in node.call(".launcher", "lua", "LIST").items() if "packer" in name]
    assert len({node.worker(int(address[1:], 16)) for address in packers}) == 4
    told = node.call(".launcher", "lua", "STAT")
    assert min(told[address]["message"] for address in packers) > 10


def agents(node: NodeUnderTest) -> list[str]:
    """Those of the list that the launcher keeps, as the debug console shows it."""
    return [name for name in node.call(".launcher", "lua", "LIST").values() if "agent" in name]
