"""WebSocket on skynet sockets: frame by frame, then with a browser and other people's libraries."""

from __future__ import annotations

import asyncio
import os
import shutil
import socket as pysocket
import threading
import zlib
from collections.abc import Iterator
from contextvars import ContextVar
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from contrib_harness import Listening, certificates, run_service, until_eof
from harness import needs
from socket_harness import TIMEOUT

from skynet_lite import DriveTimeout, Node, SkynetError, SocketError, skynet, socket
from skynet_lite.contrib import httpd, tls, websocket
from skynet_lite.contrib.stream import ProtocolError, TimedOut

UPGRADE = (
    b"GET /chat?room=1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
)
SWITCHED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)  # the key and the answer of RFC 6455
PAGE = b"HTTP/1.1 200 OK\r\ndate: Sun, 09 Sep 2001 01:46:40 GMT\r\ncontent-length: 6\r\n\r\na page"
TEXT, BINARY, CLOSE, PING, PONG, MORE = 1, 2, 8, 9, 10, 0


def frame(opcode: int, data: bytes, fin: bool = True, mask: bytes | None = b"abcd", rsv1: bool = False) -> bytes:
    """A frame as RFC 6455 draws it; a client masks, a server does not."""
    first = bytes([fin << 7 | rsv1 << 6 | opcode])
    masked = 0 if mask is None else 0x80
    if len(data) < 126:
        length = bytes([masked | len(data)])
    elif len(data) < 65536:
        length = bytes([masked | 126]) + len(data).to_bytes(2, "big")
    else:
        length = bytes([masked | 127]) + len(data).to_bytes(8, "big")
    if mask is None:
        return first + length + data
    return first + length + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(data))


def reply(opcode: int, data: bytes) -> bytes:
    return frame(opcode, data, mask=None)


def closing(code: int, reason: str = "") -> bytes:
    return code.to_bytes(2, "big") + reason.encode()


def echo(ws: websocket.WebSocket | None) -> None:
    while ws is not None and (message := ws.read()) is not None:
        ws.write(message)


def echoing(**options: Any) -> Listening:
    return Listening(lambda id: echo(websocket.accept(id, **options)))


def connected(s: Listening, more: bytes = b"") -> Any:
    """A client that speaks frames itself."""
    client = s.client(UPGRADE + more + b"\r\n")
    switched(client)
    return client


def switched(client: Any) -> None:
    # The one word that wsproto began to write in another case.
    assert client.recv(len(SWITCHED)).replace(b"WebSocket\r", b"websocket\r") == SWITCHED


# ---- the server, frame by frame


def test_an_echo() -> None:
    """The handshake of RFC 6455; text comes back as text, bytes as bytes; the farewell is answered, then TCP ends."""
    with echoing() as s:
        client = connected(s)
        for opcode, data in ((TEXT, "häl".encode()), (BINARY, b"\x00\xff"), (TEXT, b""), (BINARY, b"x" * 70_000)):
            client.send(frame(opcode, data))
            client.expect(reply(opcode, data))
        client.send(frame(CLOSE, closing(1000, "done")))
        client.expect(reply(CLOSE, closing(1000, "done")))
        client.expect_eof()
        s.node.run_until_idle()
        assert s.log() == []


@pytest.mark.parametrize("through_http", [False, True])
def test_a_message_that_comes_with_the_handshake(through_http: bool) -> None:
    """A client should wait for the answer. One that does not loses nothing, and does not hang."""

    def accept(id: int) -> None:
        if through_http:
            httpd.serve(id, lambda request: echo(websocket.accept(request)))
        else:
            echo(websocket.accept(id))

    with Listening(accept) as s:
        client = s.client(UPGRADE + b"\r\n" + frame(TEXT, b"early") + frame(CLOSE, closing(1000)))
        switched(client)
        client.expect(reply(TEXT, b"early") + reply(CLOSE, closing(1000)))
        client.expect_eof()


def test_a_message_in_pieces() -> None:
    """Frames of one message, with a ping between them, in single bytes on the wire: one message for the reader."""
    with echoing() as s:
        client = connected(s)
        first, second, third = "ä".encode()[:1], "ä".encode()[1:] + b"b", b"c"  # a character cut in two
        pieces = frame(TEXT, first, fin=False) + frame(PING, b"?") + frame(MORE, second, fin=False) + frame(MORE, third)
        for byte in pieces:
            client.send(bytes([byte]))
            s.node.run_until_idle()
        client.expect(reply(PONG, b"?"))
        client.expect(reply(TEXT, "äbc".encode()))


def test_a_ping_is_answered_while_nothing_else_happens() -> None:
    """The pong comes from whoever reads, with no line of the user's code."""
    with echoing() as s:
        client = connected(s)
        client.send(frame(PING, b"alive?"))
        client.expect(reply(PONG, b"alive?"))


def test_our_farewell_and_theirs() -> None:
    """close() waits for the answer; what still comes before it is not delivered."""
    ended: list[Any] = []

    def accept(id: int) -> None:
        ws = websocket.accept(id)
        assert ws is not None
        ws.close(4000, "enough")
        ended.append((ws.code, ws.reason, ws.read(), ws.write("x")))

    with Listening(accept) as s:
        client = connected(s)
        client.expect(reply(CLOSE, closing(4000, "enough")))
        client.send(frame(TEXT, b"too late"))
        s.node.run_until_idle()
        assert ended == []
        client.send(frame(CLOSE, closing(4000)))
        client.expect_eof()
        s.node.run_until_idle()
        assert ended == [(4000, "", None, False)]


def test_a_farewell_that_is_not_answered() -> None:
    """Five seconds, then TCP ends it."""
    ended: list[int] = []

    def accept(id: int) -> None:
        ws = websocket.accept(id)
        assert ws is not None
        ws.close()
        ended.append(skynet.now())

    with Listening(accept) as s:
        client = connected(s)
        client.expect(reply(CLOSE, closing(1000)))
        began = s.node.clock.now()
        client.expect_eof()
        s.node.run_until_idle()
        assert [end - began for end in ended] == [500]


def test_close_while_another_coroutine_reads() -> None:
    """Then the reader sees the connection to its end."""
    ended: list[Any] = []

    def accept(id: int) -> None:
        ws = websocket.accept(id)
        assert ws is not None
        skynet.timeout(100, lambda: ws.close(1001))
        ended.append((ws.read(), ws.code))

    with Listening(accept) as s:
        client = connected(s)
        client.expect(reply(CLOSE, closing(1001)))
        client.send(frame(CLOSE, closing(1001)))
        client.expect_eof()
        s.node.run_until_idle()
        assert ended == [(None, 1001)]


BROKEN = [
    (frame(TEXT, b"\xff\xfe"), 1007),  # no UTF-8
    (frame(TEXT, b"x", mask=None), 1002),  # a client has to mask
    (frame(3, b"x"), 1002),  # no such opcode
    (frame(TEXT, b"x", rsv1=True), 1002),  # packed, and nobody agreed on that
    (frame(PING, b"x" * 126), 1002),  # control frames are short
    (frame(PING, b"x", fin=False), 1002),  # and whole
    (frame(MORE, b"x"), 1002),  # more of what?
    (frame(TEXT, b"x", fin=False) + frame(TEXT, b"y"), 1002),
    (frame(CLOSE, closing(1005)), 1002),  # a code that may not be sent
    (frame(BINARY, b"x" * 1001), 1009),
    (frame(BINARY, b"x" * 600, fin=False) + frame(MORE, b"x" * 600), 1009),
]


@pytest.mark.parametrize(("data", "code"), BROKEN)
def test_what_breaks_the_rules(data: bytes, code: int) -> None:
    """The connection ends with the code that says why, and the reader gets nothing; others do not notice."""
    ended: list[Any] = []

    def accept(id: int) -> None:
        ws = websocket.accept(id, limit=1000)
        assert ws is not None
        echo(ws)
        ended.append(ws.code)

    with Listening(accept) as s:
        good, client = connected(s), connected(s)
        client.send(data)
        client.shutdown()
        answer = until_eof(client)
        assert answer[0] == 0x88 and int.from_bytes(answer[2:4], "big") == code, answer
        assert ended == [code]
        good.send(frame(TEXT, b"well?"))
        good.expect(reply(TEXT, b"well?"))
        assert s.log() == []


def test_an_end_without_a_farewell() -> None:
    """1006: no code came."""
    ended: list[Any] = []

    def accept(id: int) -> None:
        ws = websocket.accept(id)
        assert ws is not None
        ended.append((ws.read(), ws.code))

    with Listening(accept) as s:
        connected(s).close()
        s.node.run_until_idle()
        assert ended == [(None, 1006)]
        assert s.node.service(s.addr).socket_pool.keys() == {1}


REFUSED = [
    (UPGRADE.replace(b"GET", b"POST") + b"\r\n", 400),
    (UPGRADE.replace(b"Upgrade: websocket\r\n", b"") + b"\r\n", 400),
    (UPGRADE.replace(b"Version: 13", b"Version: 8") + b"\r\n", 426),
    (UPGRADE.replace(b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", b"") + b"\r\n", 400),
    (b"nonsense\r\n\r\n", 400),
    (UPGRADE.replace(b"1.1\r\nHost: x", b"1.0") + b"\r\n", 400),
    (UPGRADE.replace(b"Host: x", b"Host: \xff") + b"\r\n", 400),
    (UPGRADE.replace(b"Host: x", b"Host: xn--a") + b"\r\n", 400),  # no name in Punycode
    (UPGRADE + b"Sec-WebSocket-Protocol: \xff\r\n\r\n", 400),
    (UPGRADE + b"Sec-WebSocket-Extensions: \xc3\xa4\r\n\r\n", 400),
    (UPGRADE.replace(b"Connection: keep-alive, ", b"Connection: \xff, ") + b"\r\n", 400),
]


@pytest.mark.parametrize("through_http", [False, True])
@pytest.mark.parametrize(("data", "code"), REFUSED)
def test_handshakes_that_are_refused(data: bytes, code: int, through_http: bool) -> None:
    """With the code of HTTP that says why, a line in the log, and None for the service."""
    got: list[Any] = []

    def accept(id: int) -> None:
        if through_http:
            httpd.serve(id, lambda request: got.append(websocket.accept(request)), timeout=100)
        else:
            got.append(websocket.accept(id, timeout=100))

    with Listening(accept) as s:
        answer = s.exchange(data)
        assert answer.startswith(b"HTTP/1.1 %d " % code), answer
        s.node.run_until_idle()
        assert got == ([None] if data != b"nonsense\r\n\r\n" or not through_http else [])
        assert len(s.log()) == 1
        assert s.node.service(s.addr).socket_pool.keys() == {1}


def test_a_handshake_function_that_raises() -> None:
    """500 for the client, the traceback for the log, and no socket that stays behind; nor from one whose coroutine is
    ended while it waits. A SocketError of its own is no end of this connection.
    """
    threads: list[Any] = []

    def handshake(ws: websocket.WebSocket, header: dict[str, Any], url: str) -> bool:
        threads.append(skynet.running())
        if url == "/waits":
            skynet.wait()
        if url == "/kills":
            skynet.killthread(threads[-2])
        raise (SocketError if url == "/database" else RuntimeError)("the handshake fails")

    with Listening(lambda id: websocket.accept(id, SimpleNamespace(handshake=handshake))) as s:
        for path in (b"/", b"/database"):
            client = s.client(UPGRADE.replace(b"/chat?room=1", path) + b"\r\n")
            assert until_eof(client).startswith(b"HTTP/1.1 500 ")
        waits = s.client(UPGRADE.replace(b"/chat?room=1", b"/waits") + b"\r\n")
        s.node.run_until_idle()
        assert s.node.service(s.addr).socket_pool.keys() == {1, 4}
        until_eof(s.client(UPGRADE.replace(b"/chat?room=1", b"/kills") + b"\r\n"))
        waits.expect_eof()
        s.node.run_until_idle()
        assert s.node.service(s.addr).socket_pool.keys() == {1}
        log = [line.rstrip().rpartition("\n")[2] for line in s.log()]
        assert log == ["RuntimeError: the handshake fails", "SocketError: the handshake fails", log[0]], s.log()


@pytest.mark.parametrize(
    "packing", [b"server_max_window_bits=abc", b"client_max_window_bits=", b"server_max_window_bits=8"]
)
def test_an_offer_that_makes_no_sense_is_declined(packing: bytes) -> None:
    """RFC 7692: such an offer is not taken, and the connection goes on without packing."""
    with echoing() as s:
        client = connected(s, b"Sec-WebSocket-Extensions: permessage-deflate; " + packing + b"\r\n")
        client.send(frame(TEXT, b"plain"))
        client.expect(reply(TEXT, b"plain"))
        client.send(frame(TEXT, deflated(b"packed"), rsv1=True))
        client.expect(reply(CLOSE, closing(1002, "Reserved bit set unexpectedly")))


def test_pongs_wait_for_a_peer_that_does_not_read() -> None:
    """Whoever sends pings without end and reads nothing is not read any more: what he costs is bounded."""
    with echoing() as s:
        client = connected(s)
        flood, sent = frame(PING, b"x" * 125) * 500, 0
        with pytest.raises(DriveTimeout):
            client._timeout = 0.5
            while sent < 400:  # 26 MB
                client.send(flood)
                sent += 1
        s.node.run_until_idle()
        (row,) = (row for row in s.node.socket_server.netstat() if row["type"] == "TCP")
        assert row["wbuffer"] < 3_000_000


def test_a_handle_waits_for_a_peer_that_does_not_read() -> None:
    """A handle that answers each message is not asked for more while more than a megabyte waits to be taken."""
    asked: list[str] = []

    def message(ws: websocket.WebSocket, data: str, kind: str) -> None:
        asked.append(data)
        ws.write(bytes(100_000))

    with Listening(lambda id: websocket.accept(id, SimpleNamespace(message=message))) as s:
        client = connected(s)
        client.send(frame(TEXT, b"more") * 1000)
        s.node.run_until_idle()
        first = len(asked)
        assert first < 100
        client.recv(20_000_000)
        s.node.run_until_idle()
        assert first < len(asked) < 400


def test_who_does_not_get_through_the_handshake() -> None:
    """Silence has its time; going away is no news."""
    with Listening(lambda id: echo(websocket.accept(id, timeout=200))) as s:
        silent, gone = s.client(), s.client(UPGRADE)
        gone.close()
        silent.expect_eof()
        assert [line.rpartition(" : ")[2] for line in s.log()] == [
            "peer unexpectedly closed connection",
            "socket 2: the other side took too long",
        ]


class Handle:
    """Notes what it is told, as examples/simplewebsocket.lua does."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    def handshake(self, ws: websocket.WebSocket, header: dict[str, Any], url: str) -> bool:
        self.told.append(("handshake", header["host"], url))
        return "forbidden" not in url

    def message(self, ws: websocket.WebSocket, data: str | bytes, kind: str) -> None:
        if data == "fail":
            raise ValueError("the handle fails")
        self.told.append(("message", data, kind))
        ws.write(data)

    def ping(self, ws: websocket.WebSocket) -> None:
        self.told.append("ping")

    def pong(self, ws: websocket.WebSocket) -> None:
        self.told.append("pong")

    def close(self, ws: websocket.WebSocket, code: int, reason: str) -> None:
        self.told.append(("close", code, reason))

    def error(self, ws: websocket.WebSocket, why: str) -> None:
        self.told.append(("error", why))


def test_a_handle_as_in_skynet() -> None:
    """An object with functions is told of everything; accept returns when it is over."""
    handle = Handle()
    with Listening(lambda id: websocket.accept(id, handle)) as s:
        client = connected(s)
        client.send(frame(TEXT, b"a") + frame(BINARY, b"b") + frame(PING, b"") + frame(PONG, b""))
        client.expect(reply(TEXT, b"a") + reply(BINARY, b"b") + reply(PONG, b""))
        client.send(frame(CLOSE, closing(1000, "bye")))
        client.expect(reply(CLOSE, closing(1000, "bye")))
        client.expect_eof()
        s.node.run_until_idle()
        assert handle.told == [
            ("handshake", "x", "/chat?room=1"), ("message", "a", "text"), ("message", b"b", "binary"), "ping", "pong",
            ("close", 1000, "bye"),
        ]  # fmt: skip


def test_a_handle_that_refuses_or_fails() -> None:
    """False from handshake is 403 for the client; an error is logged, and 1011 for it."""
    handle = Handle()
    with Listening(lambda id: websocket.accept(id, handle)) as s:
        client = s.client(UPGRADE.replace(b"/chat?room=1", b"/forbidden") + b"\r\n")
        assert until_eof(client).startswith(b"HTTP/1.1 403 ")
        client = connected(s)
        client.send(frame(TEXT, b"fail") + frame(TEXT, b"not delivered"))
        client.expect(reply(CLOSE, closing(1011)))
        client.send(frame(CLOSE, closing(1011)))
        client.expect_eof()
        s.node.run_until_idle()
        assert handle.told[2:] == [("close", 1011, "")]
        log = "\n".join(s.log())
        assert "the handle refuses it" in log and "ValueError: the handle fails" in log


def test_contextvars_of_a_message() -> None:
    """Each function of a handle begins with what the handshake has left; none finds what another has set."""
    user: ContextVar[str] = ContextVar("user", default="nobody")
    forked: list[str] = []

    def message(ws: websocket.WebSocket, data: str, kind: str) -> None:
        before = user.get()
        user.set(data)
        skynet.fork(lambda: forked.append(user.get()))
        ws.write(f"{before} {user.get()}")

    def close(ws: websocket.WebSocket, code: int, reason: str) -> None:
        forked.append(f"close {user.get()}")

    handle = SimpleNamespace(handshake=lambda *args: user.set("ann") and None, message=message, close=close)
    with Listening(lambda id: websocket.accept(id, handle)) as s:
        client = connected(s)
        client.send(frame(TEXT, b"a") + frame(TEXT, b"b") + frame(CLOSE, closing(1000)))
        client.expect(reply(TEXT, b"ann a") + reply(TEXT, b"ann b") + reply(CLOSE, closing(1000)))
        s.node.run_until_idle()
        assert sorted(forked) == ["a", "b", "close ann"]


def test_only_the_functions_a_handle_has() -> None:
    """A handle may leave functions out, as in skynet: what they would hear of is passed over."""
    heard: list[Any] = []
    handle = SimpleNamespace(message=lambda ws, data, kind: heard.append(data))
    with Listening(lambda id: websocket.accept(id, handle)) as s:
        client = connected(s)
        client.send(frame(PING, b"") + frame(TEXT, b"hi"))
        client.expect(reply(PONG, b""))
        client.reset()
        s.node.run_until_idle()
        assert heard == ["hi"]


def test_behind_an_http_server() -> None:
    """Pages and sockets at one port: the handler of a request hands its connection over."""

    def handler(request: httpd.Request) -> Any:
        if request.path == "/chat":
            ws = websocket.accept(request)
            assert ws is not None and ws.url == "/chat?room=1" and request.query == {"room": "1"}
            echo(ws)
            return None
        return "a page"

    with Listening(lambda id: httpd.serve(id, handler)) as s:
        client = s.client(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        client.expect(PAGE)
        client.send(UPGRADE + b"\r\n")
        switched(client)
        client.send(frame(TEXT, b"hello"))
        client.expect(reply(TEXT, b"hello"))
        client.send(frame(CLOSE, closing(1000)))
        client.expect(reply(CLOSE, closing(1000)))
        client.expect_eof()
        s.node.run_until_idle()
        client = s.client(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n")
        client.expect(PAGE)  # nobody has to upgrade


# ---- packed messages


def deflated(data: bytes) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (packer.compress(data) + packer.flush(zlib.Z_SYNC_FLUSH))[:-4]


OFFER = b"Sec-WebSocket-Extensions: permessage-deflate\r\n"


def test_packed_messages() -> None:
    """permessage-deflate, when the client offers it and we want it."""
    with echoing() as s:
        client = s.client(UPGRADE + OFFER + b"\r\n")
        head = b""
        while not head.endswith(b"\n\r\n"):
            head += client.recv_line() + b"\n"
        assert b"Sec-WebSocket-Extensions: permessage-deflate" in head
        client.send(frame(TEXT, deflated(b"na" * 500), rsv1=True))
        first, length = client.recv(2)
        assert (first, length < 100) == (0xC1, True)
        assert zlib.decompressobj(-15).decompress(client.recv(length) + b"\x00\x00\xff\xff") == b"na" * 500
    with echoing(deflate=False) as s:
        client = connected(s, OFFER)
        client.send(frame(TEXT, b"plain"))
        client.expect(reply(TEXT, b"plain"))


def test_a_packed_bomb() -> None:
    """A hundred megabytes in a hundred kilobytes: refused when it grows over the limit, not when it has grown."""
    import tracemalloc

    bomb = frame(BINARY, deflated(bytes(100_000_000)), rsv1=True)
    assert len(bomb) < 120_000
    with echoing() as s:
        client = s.client(UPGRADE + OFFER + b"\r\n")
        s.node.run_until_idle()
        client.recv_until(lambda: True)
        tracemalloc.start()
        tracemalloc.reset_peak()
        client.send(bomb)
        client.shutdown()
        answer = until_eof(client)
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert answer[:1] == b"\x88" and answer[2:4] == closing(1009)
        assert peak < 20_000_000


def test_a_bomb_of_half_a_gigabyte() -> None:
    """In pieces of a message, and in one frame whose packed bytes come one network read after another."""
    packer, parts = zlib.compressobj(9, zlib.DEFLATED, -15), []
    for _ in range(500):
        parts.append(packer.compress(bytes(1_000_000)))
    packed = b"".join(parts) + packer.flush(zlib.Z_SYNC_FLUSH)
    with echoing() as s:
        client = s.client(UPGRADE + OFFER + b"\r\n" + frame(BINARY, packed, rsv1=True))
        client.shutdown()
        answer = until_eof(client)
        assert answer.endswith(closing(1009, "a message of more than 262144")), (len(packed), answer)
        (row,) = s.node.socket_server.netstat()  # the listening one
        assert s.node.service(s.addr).socket_pool.keys() == {row["id"]}


def test_empty_pieces() -> None:
    """They are no message and cost no memory: what counts is what is kept."""
    with echoing() as s:
        client = connected(s)
        client.send(frame(TEXT, b"", fin=False) + frame(MORE, b"", fin=False) * 20_000 + frame(MORE, b"end"))
        client.expect(reply(TEXT, b"end"))


# ---- the client


def test_client_and_server() -> None:
    """Text, bytes, long ones, packed or not; ping; both farewells."""

    def body() -> None:
        ws = websocket.connect(f"ws://127.0.0.1:{s.port}/a/b?c=d", {"X-Mine": "1"})
        for message in ("text", b"bytes", "", "ü" * 100_000, bytes(200_000)):
            assert ws.write(message)
            assert ws.read() == message
        assert ws.ping(b"1")
        ws.write("after the ping")
        assert ws.read() == "after the ping"
        ws.close(1000, "thanks")
        assert (ws.code, ws.read()) == (1000, None)
        seen.append(ws.url)

    def accept(id: int) -> None:
        ws = websocket.accept(id)
        assert ws is not None
        seen.append((ws.url, ws.header["x-mine"]))
        echo(ws)
        seen.append((ws.code, ws.reason))

    seen: list[Any] = []
    with Listening(accept) as s:
        run_service(s.node, body)
        assert seen == [("/a/b?c=d", "1"), (1000, "thanks"), "/a/b?c=d"]
        assert s.log() == []


def test_subprotocols() -> None:
    """The first that the client names and the server speaks."""
    with echoing(subprotocols=("chat.v2", "chat.v1")) as s:

        def body() -> list[str | None]:
            found = []
            for offer in (["x", "chat.v1", "chat.v2"], ["x"], []):
                ws = websocket.connect(f"ws://127.0.0.1:{s.port}", subprotocols=offer)
                found.append(ws.subprotocol)
                ws.close()
            return found

        assert run_service(s.node, body) == ["chat.v1", None, None]


def test_a_client_that_is_refused() -> None:
    """What the server says instead of 101; no server at all; no address of a WebSocket."""
    with Listening(lambda id: httpd.serve(id, lambda request: (404, "no"))) as s:
        url = f"ws://127.0.0.1:{s.port}/"
        with pytest.raises(ProtocolError, match="answers 404 instead of 101"):
            run_service(s.node, lambda: websocket.connect(url))
        with pytest.raises(SocketError, match="Connection refused"):
            run_service(s.node, lambda: websocket.connect("ws://127.0.0.1:1/"))
        with pytest.raises(SkynetError, match="is no address for ws or wss"):
            run_service(s.node, lambda: websocket.connect("http://127.0.0.1/"))


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (SWITCHED, "Bad accept token"),  # right for another key
        (b"nonsense\r\n\r\n", "Bad HTTP message"),
    ],
)
def test_a_server_that_is_none(answer: bytes, text: str) -> None:
    """Whoever shakes hands is told what was wrong with the other hand."""

    def accept(id: int) -> None:
        socket.start(id)
        socket.readline(id, b"\r\n\r\n")
        socket.write(id, answer)
        socket.close(id)

    with Listening(accept) as s, pytest.raises(ProtocolError, match=text):
        run_service(s.node, lambda: websocket.connect(f"ws://127.0.0.1:{s.port}/"))


def test_a_server_that_says_nothing() -> None:
    """A connection that is taken and never answered ends with the time limit."""
    with Listening(lambda id: socket.start(id)) as s, pytest.raises(TimedOut):
        run_service(s.node, lambda: websocket.connect(f"ws://127.0.0.1:{s.port}/", timeout=300))


def test_two_readers() -> None:
    """One of them would get half of the other's message: the second is refused."""

    def accept(id: int) -> None:
        ws = websocket.accept(id)
        assert ws is not None
        skynet.fork(ws.read)
        skynet.sleep(10)
        with pytest.raises(SocketError, match="another coroutine reads it"):
            ws.read()
        refused.append(True)

    refused: list[bool] = []
    with Listening(accept) as s:
        client = connected(s)
        s.node.advance(20)
        assert refused == [True]
        client.close()


def test_the_same_messages_make_the_same_trace() -> None:
    """On the server's side nothing is random (masks and keys are the client's)."""

    def once() -> str:
        with echoing() as s, s.node.record() as trace:
            client = connected(s)
            client.send(frame(TEXT, b"hello") + frame(PING, b""))
            client.expect(reply(TEXT, b"hello") + reply(PONG, b""))
            client.send(frame(CLOSE, closing(1000)))
            client.expect(reply(CLOSE, closing(1000)))
            client.expect_eof()
            s.node.run_until_idle()
        return str(trace.text())

    assert once() == once()


# ---- wss, and other people's programs


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return certificates(tmp_path_factory.mktemp("pem"))


@needs("openssl")
def test_wss(pem: tuple[Path, Path, Path]) -> None:
    """The same over TLS; a write while the reader waits; the other end cut off without TLS's farewell."""
    ca, cert, key = pem
    server = tls.server_context(str(cert), str(key))

    def body() -> None:
        ws = websocket.connect(f"wss://localhost:{s.port}/", context=tls.client_context(str(ca)))
        for message in ("text", bytes(200_000)):
            ws.write(message)
            assert ws.read() == message
        ws.write("cut")
        with pytest.raises(SocketError, match="without a farewell"):
            ws.read()
        assert (ws.code, ws.read(), ws.write("x")) == (1006, None, False)

    def accept(id: int) -> None:
        ws = websocket.accept(id, context=server)
        assert ws is not None
        while (message := ws.read()) != "cut":
            ws.write(message or "")
        socket.close(id)

    with Listening(accept) as s:
        run_service(s.node, body)


@pytest.fixture
def served(pem: tuple[Path, Path, Path]) -> Iterator[tuple[int, int]]:
    """A node with a thread of its own: the ports of an echo, plain and by TLS, behind an HTTP server with a page."""
    page = """<!DOCTYPE html><link rel="icon" href="data:,"><title>page</title><p>a page"""

    def handler(request: httpd.Request) -> Any:
        if request.path == "/echo":
            return echo(websocket.accept(request))
        if request.path == "/post":
            return 200, request.body[::-1], {"content-type": "application/octet-stream"}
        if request.path == "/slow":
            return 200, pieces(), {"content-type": "text/plain"}
        return 200, page, {"content-type": "text/html; charset=utf-8"}

    def pieces() -> Iterator[str]:
        for n in range(3):
            skynet.sleep(1)
            yield f"{n};"

    context = tls.server_context(str(pem[1]), str(pem[2]))
    node = Node(log=list)
    node.serve()
    with Listening(lambda id: httpd.serve(id, handler), node) as plain:
        secure = Listening(lambda id: httpd.serve(id, handler, context=context), node)
        yield plain.port, secure.port
    # A browser may leave with a reset, which the socket library logs; no handler may have raised.
    complaints = [line for line in node.log_lines if "] error : " in line or "httpd" in line or "websocket" in line]
    assert not complaints, complaints


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

SCRIPT = """async ([scheme, host]) => {
    const found = {};
    found.post = await (await fetch("/post", {method: "POST", body: "abc"})).text();
    found.slow = await (await fetch("/slow")).text();
    found.many = await Promise.all([...Array(20).keys()].map(async (i) =>
        (await (await fetch("/post", {method: "POST", body: `1${i}`})).text())));
    const ws = new WebSocket(`${scheme}://${host}/echo`);
    ws.binaryType = "arraybuffer";
    const messages = [];
    await new Promise((resolve, reject) => {
        ws.onopen = () => {
            ws.send("häl"); ws.send(new Uint8Array([1, 2, 255])); ws.send("x".repeat(100000)); ws.send("end");
        };
        ws.onmessage = (event) => {
            const d = event.data;
            messages.push(typeof d !== "string" ? [...new Uint8Array(d)] : d.length > 100 ? d.length : d);
            if (d === "end") ws.close(3000, "enough");
        };
        ws.onclose = (event) => { found.close = [event.code, event.wasClean]; resolve(); };
        ws.onerror = () => reject("error");
    });
    found.messages = messages;
    found.extensions = ws.extensions;
    return found;
}"""


@needs("openssl")
@pytest.mark.skipif(
    CHROMIUM is None and os.environ.get("BROWSER_TESTS") != "required",
    reason="no Chromium here: apt-get install chromium, and this test runs",
)
def test_a_browser(served: tuple[int, int]) -> None:
    """A page that our service served asks it with fetch, and talks to it by WebSocket; then all again by TLS."""
    from playwright.sync_api import sync_playwright
    from test_browser import FLAGS

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, "--ignore-certificate-errors"])
        for scheme, ws, host, port in (
            ("http", "ws", "127.0.0.1", served[0]),
            ("https", "wss", "localhost", served[1]),
        ):
            page = browser.new_page(ignore_https_errors=True)
            complaints: list[str] = []
            page.on("console", lambda message, complaints=complaints: complaints.append(message.text))
            page.on("pageerror", lambda error, complaints=complaints: complaints.append(str(error)))
            page.goto(f"{scheme}://{host}:{port}/")
            assert page.inner_text("p") == "a page"
            found = page.evaluate(SCRIPT, [ws, f"{host}:{port}"])
            assert found.pop("extensions").startswith("permessage-deflate")
            assert found == {
                "post": "cba", "slow": "0;1;2;", "many": [f"1{i}"[::-1] for i in range(20)],
                "messages": ["häl", [1, 2, 255], 100_000, "end"], "close": [3000, True],
            }  # fmt: skip
            assert complaints == []
            page.close()
        browser.close()


@needs("openssl")
def test_another_client(served: tuple[int, int], pem: tuple[Path, Path, Path]) -> None:
    """The library websocket-client (it comes with Jupyter), plain and by TLS."""
    import websocket as library

    for url in (f"ws://127.0.0.1:{served[0]}/echo", f"wss://localhost:{served[1]}/echo"):
        client = library.create_connection(url, timeout=TIMEOUT, sslopt={"ca_certs": str(pem[0])})
        client.send("text")
        assert client.recv() == "text"
        client.send_binary(bytes(range(256)) * 500)
        assert client.recv() == bytes(range(256)) * 500
        client.ping("x")
        client.send("after")
        opcode, frame_ = client.recv_data_frame(True)
        assert (opcode, frame_.data) == (PONG, b"x")
        assert client.recv() == "after"
        client.close(1000, b"bye")


def test_another_server() -> None:
    """Our client and Tornado's WebSocket (it comes with Jupyter), packed and not."""
    from tornado import web
    from tornado.websocket import WebSocketHandler

    class Echo(WebSocketHandler):
        def get_compression_options(self) -> dict[str, Any]:
            return {}

        def on_message(self, message: str | bytes) -> None:
            if message == "bye":
                self.close(4001, "as you wish")
            else:
                self.write_message(message, binary=isinstance(message, bytes))

    ports: list[int] = []
    ready, stop = threading.Event(), None

    async def serve() -> None:
        nonlocal stop
        sock = pysocket.create_server(("127.0.0.1", 0))
        sock.setblocking(False)
        ports.append(sock.getsockname()[1])
        from tornado.httpserver import HTTPServer

        server = HTTPServer(web.Application([("/echo", Echo)]))
        server.add_socket(sock)
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop = lambda: loop.call_soon_threadsafe(over.set)  # noqa: E731
        ready.set()
        await over.wait()
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(TIMEOUT)

    def body() -> list[Any]:
        found: list[Any] = []
        for deflate in (True, False):
            ws = websocket.connect(f"ws://127.0.0.1:{ports[0]}/echo", deflate=deflate)
            for message in ("text", bytes(100_000), "ü" * 1000):
                ws.write(message)
                found.append(ws.read() == message)
            ws.write("bye")
            found += [ws.read(), ws.code, ws.reason]
        return found

    try:
        with Node(log=list) as node:
            assert run_service(node, body) == [True, True, True, None, 4001, "as you wish"] * 2
    finally:
        assert stop is not None
        stop()
        thread.join()
