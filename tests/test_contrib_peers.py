"""Peers that misbehave: whatever one does, it is over in its time, nothing of it stays, and the others are served."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from contrib_harness import Listening
from test_contrib_http import GET
from test_contrib_websocket import (
    BINARY,
    CLOSE,
    MORE,
    OFFER,
    PING,
    TEXT,
    UPGRADE,
    closing,
    deflated,
    echo,
    frame,
    reply,
)  # fmt: skip

from skynet_lite import DriveTimeout, Node, SocketError
from skynet_lite.contrib import httpd, websocket

LIMIT = 100_000
Peer = Callable[[Any, Node], Any]


def answer(request: httpd.Request) -> Any:
    if request.path.startswith("/chat"):
        return echo(websocket.accept(request, timeout=100, limit=LIMIT))
    return bytes(1_000_000) if request.path == "/big" else "hello"


@pytest.fixture(scope="module")
def server() -> Iterator[Listening]:
    with Listening(lambda id: httpd.serve(id, answer, timeout=100, body_limit=LIMIT)) as s:
        yield s


def floods(data: bytes) -> Peer:
    """Sends and sends, and reads nothing, until it is cut or not read any more."""

    def flood(client: Any, node: Node) -> None:
        client._timeout = 0.2
        for _ in range(30):
            client.send(data)

    return flood


def drips(data: bytes) -> Peer:
    def drip(client: Any, node: Node) -> None:
        for byte in data:
            client.send(bytes([byte]))
            node.run_until_idle()
            node.advance(10)

    return drip


def says(*pieces: bytes) -> Peer:
    def say(client: Any, node: Node) -> None:
        for piece in pieces:
            client.send(piece)
            node.run_until_idle()

    return say


HELLO = UPGRADE + b"\r\n"
POST = b"POST / HTTP/1.1\r\nhost: x\r\n"
PEERS: dict[str, Peer] = {
    "says nothing": says(),
    "says one byte": says(b"G"),
    "says an empty line for ever": floods(b"\r\n" * 5000),
    "says half a request": says(b"GET / HTTP/1.1\r\nhost"),
    "drips": drips(GET + b"x" * 20),
    "speaks TLS": says(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500)),
    "speaks HTTP/2": says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", bytes(9)),
    "speaks HTTP/0.9": says(b"GET /\r\n"),
    "speaks Redis": says(b"*1\r\n$4\r\nPING\r\n"),
    "says zeros": floods(bytes(65536)),
    "has a header without end": floods(b"a: " + b"b" * 1000 + b"\r\n"),
    "has a target without end": floods(b"GET /" + b"x" * 65536),
    "has a body that never comes": says(POST + b"content-length: 5\r\n\r\n", b"ab"),
    "has a body without end": floods(POST + b"transfer-encoding: chunked\r\n\r\n" + b"ffff\r\n" + bytes(0xFFFF) + b"\r\n"),
    "has a chunk with a length without end": floods(POST + b"transfer-encoding: chunked\r\n\r\n" + b"0" * 65536),
    "has a chunk with an extension without end": floods(POST + b"transfer-encoding: chunked\r\n\r\n1;" + b"x" * 65536),
    "has trailers without end": floods(POST + b"transfer-encoding: chunked\r\n\r\n0\r\n" + b"a: b\r\n" * 10000),
    "expects to be told to go on": says(POST + b"expect: 100-continue\r\ncontent-length: 5\r\n\r\n"),
    "asks for much and reads nothing": floods(b"GET /big HTTP/1.1\r\nhost: x\r\n\r\n" * 100),
    "asks twice and is gone": lambda client, node: (client.send(GET * 2), client.reset())[0],
    "is gone within a request": lambda client, node: (client.send(GET[:20]), client.reset())[0],
    "is gone at once": lambda client, node: client.reset(),
    "finishes at once": lambda client, node: client.shutdown(),
    "is a WebSocket that says nothing": lambda client, node: (client.send(HELLO), client.shutdown())[0],
    "is gone after the handshake": lambda client, node: (client.send(HELLO), client.reset())[0],
    "sends frames that are not masked": says(HELLO, reply(TEXT, b"hi")),
    "sends frames of no kind": says(HELLO, frame(3, b"hi"), frame(11, b"")),
    "sends half a frame": lambda client, node: (client.send(HELLO + frame(TEXT, b"hello")[:4]), client.shutdown())[0],
    "has a message without end": floods(HELLO + frame(TEXT, b"x" * 60000, fin=False) + frame(MORE, b"x" * 60000, fin=False)),
    "has a frame as long as the world": says(HELLO, b"\x82\xff" + b"\x7f" * 8 + b"abcd" + bytes(200_000)),
    "begins a message within a message": says(HELLO, frame(TEXT, b"a", fin=False) + frame(TEXT, b"b")),
    "sends text that is none": says(HELLO, frame(TEXT, b"\xff\xfe")),
    "packs what was not agreed": says(HELLO, frame(TEXT, deflated(b"x"), rsv1=True)),
    "packs a bomb": says(UPGRADE + OFFER + b"\r\n", frame(BINARY, deflated(bytes(10_000_000)), rsv1=True)),
    "packs nonsense": says(UPGRADE + OFFER + b"\r\n", frame(TEXT, b"\xff" * 20, rsv1=True)),
    "pings and reads nothing": floods(HELLO + frame(PING, b"x" * 125) * 500),
    "echoes and reads nothing": floods(HELLO + frame(BINARY, bytes(50_000))),
    "leaves with half a reason": says(HELLO, frame(CLOSE, b"\x03")),
    "leaves with a code that is none": says(HELLO, frame(CLOSE, closing(1005))),
    "goes on after its farewell": says(HELLO, frame(CLOSE, closing(1000)) + frame(TEXT, b"more") * 100),
}  # fmt: skip


@pytest.mark.parametrize("peer", PEERS)
def test_a_peer_that(server: Listening, peer: str) -> None:
    """While it misbehaves others are served; afterwards no socket, no task and no traceback is left of it."""
    node = server.node
    lines, client = len(node.log_lines), server.client()
    try:
        PEERS[peer](client, node)
    except (SocketError, DriveTimeout):
        pass  # it was cut, or nobody reads what it says
    canary(server)
    node.advance(300)
    if not client.closed:
        client.close()
    node.run_until_idle()
    node.advance(300)
    canary(server)
    s = node.service(server.addr)
    assert s.socket_pool.keys() == {1}
    assert len(node.socket_server.netstat()) == 1
    assert sum(co is not None and co != "BREAK" for co in s.session_id_coroutine.values()) <= 1  # the guard
    assert not [line for line in node.log_lines[lines:] if "Traceback" in line]


def canary(server: Listening) -> None:
    client = server.client(GET)
    assert client.recv_line() == b"HTTP/1.1 200 OK\r"
    client.close()
    server.node.run_until_idle()
