"""The wall, by clients that are services of the same node. The Redis is one of the test's own, on a free port."""

from __future__ import annotations

import json
import shutil
import socket as pysocket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from skynet_lite.contrib import httpc, websocket

CONFIG = Path(__file__).parent / "config.toml"
pytestmark = pytest.mark.skipif(
    not shutil.which("redis-server"), reason="redis-server is missing: apt-get install redis-server, and this test runs"
)


@pytest.fixture
def redis_port() -> Iterator[int]:
    with pysocket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert server.stdout is not None
    try:
        assert any("Ready to accept connections" in line for line in server.stdout), "redis-server has ended"
        yield port
    finally:
        server.kill()
        server.communicate()


@pytest.fixture
def web(redis_port: int, request: pytest.FixtureRequest) -> tuple[Any, str]:
    """The node with the program in it, and its address. Redis lives outside, so the clock is the real one."""
    env = {"port": 0, "redis": redis_port}
    request.node.add_marker(pytest.mark.skynet(config=CONFIG, clock="real", env=env))
    node = request.getfixturevalue("node")
    return node, f"http://127.0.0.1:{node.call('.web', 'lua', 'port')}"


def texts(url: str) -> list[str]:
    return [note["text"] for note in json.loads(httpc.get(url, "/wall").body)]


def news(ws: websocket.WebSocket) -> str:
    return str(json.loads(ws.read() or "")["text"])


def test_page_and_wall(web: tuple[Any, str]) -> None:
    """What curl would see."""
    node, url = web

    def visit() -> None:
        status, page, header = httpc.get(url, "/")
        assert (status, header["content-type"]) == (200, "text/html; charset=utf-8")
        assert b"<title>A wall</title>" in page
        for note in ("one", "two"):
            assert httpc.request("POST", url, "/wall", content=note).status == 201
        assert texts(url) == ["two", "one"]
        assert httpc.request("POST", url, "/wall", content=" ").status == 400
        assert httpc.get(url, "/else").status == 404

    node.do(visit)


def test_news_reach_all_who_follow(web: tuple[Any, str]) -> None:
    """By WebSocket or by POST: everybody sees it, the writer too, and it stays on the wall."""
    node, url = web

    def follow() -> None:
        a, b = (websocket.connect(f"{url.replace('http', 'ws')}/news") for _ in range(2))
        a.write("hello")
        assert (news(a), news(b)) == ("hello", "hello")
        httpc.request("POST", url, "/wall", content="from curl")
        assert (news(a), news(b)) == ("from curl", "from curl")
        a.close()
        b.close()
        assert texts(url) == ["from curl", "hello"]

    node.do(follow)
