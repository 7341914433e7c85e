"""Whatever the other side sends: it is answered or cut, nothing is left over, and the next one is served.

Each case is sound protocol that is bent a little, from a seed: `FUZZ` says how many there are of each kind
(a few in the suite), `FUZZ_SEED` where they begin. A case that fails names its seed.
"""

from __future__ import annotations

import base64
import hashlib
import random
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import dns.flags
import dns.message
import pytest
from contrib_harness import Listening, until_eof
from harness import seeds
from test_contrib_dns import wire
from test_contrib_http import BYE, GET
from test_contrib_websocket import (
    BINARY,
    CLOSE,
    MORE,
    OFFER,
    PING,
    SWITCHED,
    TEXT,
    UPGRADE,
    closing,
    deflated,
    frame,
    reply,
)  # fmt: skip

from skynet_lite import Node, SkynetError, SocketError, skynet, socket
from skynet_lite.contrib import dns as skynet_dns, httpc, httpd, redis, tls, websocket
from skynet_lite.contrib.redis import RedisError
from skynet_lite.contrib.stream import ProtocolError

SEEDS = seeds(60)


# ---- how sound bytes are bent


def bent(r: random.Random, data: bytes, words: tuple[bytes, ...]) -> bytes:
    """`data` with up to six mishaps: bytes lost, doubled, changed, swapped, or words of the protocol at a wrong place."""
    out = bytearray(data)
    for _ in range(r.choice((0, 1, 1, 1, 2, 3, 6))):
        at = r.randrange(len(out) + 1)
        end = min(len(out), at + r.choice((1, 1, 2, 8, 40)))
        mishap = r.randrange(7)
        if mishap == 0:
            del out[at:end]
        elif mishap == 1:
            out[at:at] = out[at:end]
        elif mishap == 2:
            out[at:end] = r.randbytes(end - at)
        elif mishap == 3 and at < len(out):
            out[at] ^= 1 << r.randrange(8)
        elif mishap == 4:
            del out[at:]
        else:
            out[at : at if mishap == 5 else end] = r.choice(words)
    return bytes(out)


def pieces(r: random.Random, data: bytes) -> Iterator[bytes]:
    """As the network might cut it."""
    cuts = sorted(r.randrange(len(data) + 1) for _ in range(r.choice((0, 0, 1, 3))))
    for begin, end in zip([0, *cuts], [*cuts, len(data)], strict=True):
        if begin < end:
            yield data[begin:end]


def told(node: Node, since: int) -> list[str]:
    """Log lines that are no plain line: a traceback, or the dispatch of a service that has failed."""
    return [line for line in node.log_lines[since:] if "Traceback" in line or "lua call" in line]


# ---- our servers, their clients


class Served:
    """A server with two ports: HTTP, with a WebSocket at /ws; and WebSockets only."""

    def __init__(self) -> None:
        self.node = Node(clock="virtual", log=list)
        self.http = Listening(lambda id: httpd.serve(id, self.answer, timeout=100, body_limit=5000), self.node)
        self.ws = Listening(lambda id: self.echo(websocket.accept(id, timeout=100, limit=5000)), self.node)

    def answer(self, request: httpd.Request) -> Any:
        if request.path.startswith("/chat"):
            return self.echo(websocket.accept(request, timeout=100, limit=5000))
        return iter(("a", "b")) if request.query else str(len(request.body))

    @staticmethod
    def echo(ws: websocket.WebSocket | None) -> None:
        if ws is not None:
            ws.stream.within(200)
            with suppress(SocketError):  # it took too long
                while (message := ws.read()) is not None:
                    ws.write(message)

    def suffers(self, s: Listening, r: random.Random, data: bytes) -> bytes:
        """What comes back to a client that sends `data`; then all is as it was."""
        since = len(self.node.log_lines)
        client = s.client()
        answer = b""
        try:
            for piece in pieces(r, data):
                client.send(piece)
                self.node.run_until_idle()
            end = r.choice(("finish", "finish", "wait", "reset", "close"))
            if end == "finish":
                client.shutdown()
            if end in ("finish", "wait"):
                answer = until_eof(client)
            else:
                getattr(client, end)()
        except (SocketError, OSError):
            pass  # we were cut before we had said all
        finally:
            client.close()
        self.node.run_until_idle()
        self.node.advance(1000)  # no patience is longer
        canary = self.http.client(GET)
        assert canary.recv_line() == b"HTTP/1.1 200 OK\r"
        canary.close()
        self.node.run_until_idle()
        for service in (self.http, self.ws):
            assert self.node.service(service.addr).socket_pool.keys() == {self.listener(service)}
        assert told(self.node, since) == []
        return answer

    def listener(self, s: Listening) -> int:
        return next(row["id"] for row in self.node.socket_server.netstat() if str(row["sock"]).endswith(f":{s.port}"))


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    served = Served()
    yield served
    served.node.close()


HEADS = (
    GET, BYE, b"HEAD /?a=1 HTTP/1.1\r\nhost: x\r\n\r\n", b"GET /?a=b&c HTTP/1.0\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
    b"PUT / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 3\r\n\r\nabc",
    UPGRADE + b"\r\n" + frame(TEXT, b"hi"), UPGRADE + OFFER + b"\r\n" + frame(TEXT, deflated(b"hi"), rsv1=True),
)  # fmt: skip
HTTP_WORDS = (
    b"\r\n", b"\n", b"\r", b"\n\t", b" ", b"\0", b"\xff", b":", b"0\r\n\r\n", b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0",
    b"Transfer-Encoding: chunked\r\n", b"transfer-encoding:\tchunked\r\n", b"Content-Length: 5\r\n",
    b"content-length: 99999999999999999999\r\n", b"content-length: -1\r\n", b"Connection: close\r\n",
    b"Upgrade: websocket\r\n", b"Upgrade: h2c\r\n", b"Connection: upgrade\r\n", b"Expect: 100-continue\r\n",
    b"Host: \xe4\r\n", b"Host: xn--a\r\n", b"CONNECT", b"HEAD", b"%", b"?", b"ffffffffffffffff\r\n", b"x" * 3000,
    b"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=abc\r\n", b"; client_max_window_bits=8",
    b"Sec-WebSocket-Protocol: \xc3\xa4\r\n", b"Sec-WebSocket-Version: 13\r\n", b"Sec-WebSocket-Key: \r\n",
)  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_requests(served: Served, seed: int) -> None:
    """Bent requests, some behind one another: all that comes back is HTTP, and the server serves on."""
    r = random.Random(seed)
    data = bent(r, b"".join(r.choices(HEADS, k=r.choice((1, 1, 2, 3)))), HTTP_WORDS)
    answer = served.suffers(served.http if r.random() < 0.8 else served.ws, r, data)
    assert answer[:9] in (b"", b"HTTP/1.1 ")


FRAMES = (
    frame(TEXT, b"hello"), frame(BINARY, bytes(range(256)) * 3), frame(PING, b"?"), frame(CLOSE, closing(1000, "bye")),
    frame(TEXT, b"a", fin=False) + frame(PING, b"") + frame(MORE, b"b", fin=False) + frame(MORE, b"c"),
    frame(TEXT, deflated(b"hello " * 50), rsv1=True), frame(BINARY, deflated(bytes(3000)), rsv1=True),
    frame(TEXT, "ä€😀".encode()), reply(TEXT, b"not masked"),
)  # fmt: skip
FRAME_WORDS = (
    b"\x80\x80abcd", b"\x89\x80abcd", b"\x8a\xff", b"\xff" * 10, b"\x00\x80abcd", b"\x88\x80abcd", b"\x88\x81abcda",
    b"\x81\xfe\x00\x05abcd", b"\x82\xff" + b"\x7f" * 8 + b"abcd", b"\xc1\x85abcd\0\0\xff\xff\0", b"\xf0\x9f",
    zlib.compress(b"x"), frame(BINARY, deflated(bytes(200_000)), rsv1=True), b"\x83\x80abcd", b"\x09\x80abcd",
)  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_frames(served: Served, seed: int) -> None:
    """Bent frames behind a sound handshake, packed or not: echoed, refused with a code, or cut."""
    r = random.Random(seed)
    data = bent(r, b"".join(r.choices(FRAMES, k=r.choice((1, 2, 4)))), FRAME_WORDS)
    hello = UPGRADE + (OFFER if r.random() < 0.7 else b"") + b"\r\n"
    served.suffers(served.http if r.random() < 0.5 else served.ws, r, hello + data)


# ---- their servers, our clients


class Script:
    """A node with a server that answers what it is told, whatever it is asked, and a service that asks."""

    def __init__(self) -> None:
        self.node = Node(clock="virtual", log=list)
        self.answers: list[Any] = []  # bytes, or what makes them of the question
        self.server = Listening(self.serve, self.node)
        self.outcome: list[Any] = []

        def main() -> None:
            skynet.dispatch("lua", lambda session, source, n: skynet.retpack(self.attempt()))

        self.task: Callable[[], Any] = lambda: None
        self.asker = self.node.newservice(main)

    def serve(self, id: int) -> None:
        stream = tls.accept(id)
        stream.within(100)  # a client may wait for more than there is
        with suppress(SocketError):
            while self.answers and (question := stream.read()) is not None:
                answer = self.answers.pop(0)
                stream.write(answer(question) if callable(answer) else answer)
                skynet.yield_()
        stream.close()

    def attempt(self) -> str:
        """What the client makes of it: a value, or an error that a user can be told."""
        try:
            return f"value {self.task()!r:.80}"
        except (SocketError, ProtocolError, RedisError) as e:
            return f"error {e}"

    def asked(self, task: Callable[[], Any], *answers: Any) -> str:
        since = len(self.node.log_lines)
        self.answers[:], self.task = answers, task
        outcome: str = self.node.call(self.asker, "lua", 0, timeout=5)
        self.node.advance(1000)
        self.node.run_until_idle()
        assert not self.node.service(self.asker).socket_pool
        assert told(self.node, since) == []
        return outcome


@pytest.fixture(scope="module")
def script() -> Iterator[Script]:
    script = Script()
    yield script
    script.node.close()


ANSWERS = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", b"HTTP/1.1 200 OK\r\n\r\nuntil the end",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\na: b\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.0 404 Not Found\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
)  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_answers(script: Script, seed: int) -> None:
    """Bent answers to our HTTP client, and to our WebSocket."""
    r = random.Random(seed)
    host = f"127.0.0.1:{script.server.port}"

    def ask() -> Any:
        if r.random() < 0.3:
            ws = websocket.connect(f"ws://{host}/", timeout=100)
            return ws.read(), ws.close()
        return httpc.get(f"http://{host}", timeout=100)

    script.asked(ask, bent(r, r.choice(ANSWERS), HTTP_WORDS), bent(r, r.choice(FRAMES), FRAME_WORDS))


@pytest.mark.parametrize("seed", SEEDS)
def test_frames_of_a_server(script: Script, seed: int) -> None:
    """The same after a handshake that is sound: whoever reads gets messages, the end, or a SocketError."""
    r = random.Random(seed)
    kinds, contents = (
        (TEXT, TEXT, BINARY, PING, CLOSE, MORE),
        (b"", b"hi", "ä".encode(), closing(1000), deflated(b"hello")),
    )
    data = b"".join(frame(r.choice(kinds), r.choice(contents), mask=None, rsv1=r.random() < 0.3) for _ in range(3))
    data = bent(r, data, FRAME_WORDS)

    def switch(question: bytes) -> bytes:
        key = question.partition(b"Sec-WebSocket-Key: ")[2].partition(b"\r")[0]
        token = base64.b64encode(hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest())
        return SWITCHED.replace(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", token)[:-2] + OFFER + b"\r\n" + data

    def ask() -> Any:
        ws = websocket.connect(f"ws://127.0.0.1:{script.server.port}/", timeout=100)
        ws.stream.within(100)
        return [ws.read(), ws.read(), ws.read(), ws.read()], ws.close()

    script.asked(ask, switch)


REPLIES = (
    b"+OK\r\n", b"-ERR no\r\n", b":42\r\n", b"$5\r\nhello\r\n", b"$-1\r\n", b"*-1\r\n", b"*2\r\n$1\r\na\r\n:1\r\n",
    b"*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n", b"*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n",
    b"*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$2\r\nhi\r\n", b"*1\r\n*1\r\n*1\r\n+deep\r\n", b"%1\r\n+a\r\n:1\r\n",
    b"*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n", b"_\r\n", b"#t\r\n", b",1.5\r\n", b"(12345678901234567890\r\n",
)  # fmt: skip
REPLY_WORDS = (
    b"\r\n", b"*1\r\n" * 12, b"$99999999999\r\n", b"*-2\r\n", b"$-2\r\n", b":1e9\r\n", b"!", b"HTTP/1.1 400 Bad Request\r\n",
    b"\xff", b"\0", b"*1000000\r\n", b">2\r\n+push\r\n+x\r\n", b"~1\r\n+a\r\n", b"%1\r\n*0\r\n:1\r\n", b"=8\r\ntxt:text\r\n", b"99999999999999999999",
)  # fmt: skip


@pytest.mark.parametrize("seed", SEEDS)
def test_replies(script: Script, seed: int) -> None:
    """Bent replies of a Redis server, to commands, pipelines and subscriptions."""
    r = random.Random(seed)
    replies = [bent(r, b"".join(r.choices(REPLIES, k=r.choice((1, 1, 2, 3)))), REPLY_WORDS) for _ in range(3)]
    subscribes, pipelines = r.random() < 0.4, r.random() < 0.3

    def ask() -> Any:
        found: list[Any] = []
        if subscribes:
            w = redis.watch("127.0.0.1", script.server.port)
            try:
                w.subscribe("c")
                w.psubscribe("*")
                found.append(w.message())
            finally:
                w.disconnect()
        else:
            db = redis.connect("127.0.0.1", script.server.port)
            try:
                for _ in range(3):
                    found.append(db.pipeline([("GET", "k"), ("PING",)]) if pipelines else db.get("k"))
            finally:
                db.disconnect()
        return found

    script.asked(ask, *replies)


DNS_WORDS = (
    b"\xc0\x0c",
    b"\xc0\xff",
    b"\xff\xff",
    b"\0",
    b"\x3f" + b"x" * 63,
    b"\0\x05\0\x01",
    b"\0\x29",
    b"\x01a\xc0\x0c",
)


@pytest.mark.parametrize("seed", SEEDS)
def test_datagrams(seed: int, name_server: Any) -> None:
    """Bent answers of a name server, most with the number that was asked for: an address, or a SocketError."""
    r = random.Random(seed)
    node, ask = name_server
    name = r.choice(("one.test", "two.test", "alias.test", "six.test", "none.test"))

    def respond(query: bytes, send: Callable[[bytes], Any]) -> None:
        for _ in range(r.choice((1, 1, 2))):
            data = wire(query)
            if r.random() < 0.2:
                message = dns.message.make_response(dns.message.from_wire(query))
                message.flags |= dns.flags.TC
                data = message.to_wire()
            data = bent(r, data, DNS_WORDS)
            send(query[:2] + data[2:] if r.random() < 0.8 else data)

    since = len(node.log_lines)
    answer = ask(respond, name)
    assert isinstance(answer, str) or (isinstance(answer, tuple) and answer[0] in answer[1])
    assert told(node, since) == []


@pytest.fixture(scope="module")
def name_server() -> Iterator[Any]:
    node = Node(clock="virtual", log=list)
    respond: list[Any] = [None, 0]

    def serves() -> None:
        def asked(data: bytes, source: bytes) -> None:
            respond[0](data, lambda reply: socket.sendto(id, source, reply))

        id = socket.udp(asked, "127.0.0.1", 0)
        respond[1] = socket.sockname(id)[1]

    def asks() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, name: str) -> None:
            try:
                skynet_dns.server("127.0.0.1", respond[1])
                skynet_dns.flush()
                skynet.retpack(*skynet_dns.resolve(name))
            except SkynetError as e:
                skynet.retpack(str(e))

    node.newservice(serves)
    asker = node.newservice(asks)

    def ask(answering: Any, name: str) -> Any:
        respond[0] = answering
        return node.call(asker, "lua", name, timeout=5)

    yield node, ask
    node.close()
