"""HTTP on skynet sockets: byte for byte, then with curl and wrk."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from contrib_harness import Listening, run, run_service, until_eof
from harness import needs
from socket_harness import TIMEOUT, accept, peer_listener, readable

from skynet_lite import Node, Outside, SkynetError, SocketError, skynet, socket
from skynet_lite.contrib import httpc, httpd
from skynet_lite.contrib.stream import ProtocolError, TimedOut

GET = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n"
BYE = b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"


def web(handler: httpd.Handler, **options: Any) -> Listening:
    return Listening(lambda id: httpd.serve(id, handler, **options))


def hello(request: httpd.Request) -> Any:
    return "hello"


def show(request: httpd.Request) -> Any:
    return json.dumps([request.method, request.path, request.query, request.body.decode()])


def head(*lines: bytes, code: bytes = b"200 OK", after: int = 0) -> bytes:
    """Status and header of an answer that was made so many seconds after the beginning of a virtual clock."""
    date = formatdate(1_000_000_000 + after, usegmt=True).encode()
    return b"".join(line + b"\r\n" for line in (b"HTTP/1.1 " + code, b"date: " + date, *lines)) + b"\r\n"


def ok(body: bytes, *lines: bytes, after: int = 0) -> bytes:
    return head(*lines, after=after) + body


HELLO = ok(b"hello", b"content-length: 5")


# ---- the server, byte for byte


def test_an_answer_is_written_in_one_piece() -> None:
    """Status line, header and body of a small answer leave in one write."""
    with web(hello) as s, s.node.record() as trace:
        client = s.client(GET)
        client.expect(HELLO)
        writes = [e for e in trace.events if e["e"] == "write"]
        assert [e["size"] for e in writes] == [len(HELLO)]


def test_keep_alive_and_pipelining() -> None:
    """One connection serves one request after the other, also those that came before the first was answered."""
    with web(show) as s:
        client = s.client(b"GET /a HTTP/1.1\r\nhost: x\r\n\r\nGET /b HTTP/1.1\r\nhost: x\r\n\r\nGET /c HT")
        client.expect(ok(b'["GET", "/a", {}, ""]', b"content-length: 21"))
        client.expect(ok(b'["GET", "/b", {}, ""]', b"content-length: 21"))
        client.send(b"TP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        assert until_eof(client) == ok(b'["GET", "/c", {}, ""]', b"content-length: 21", b"Connection: close")
        assert s.log() == []


def test_a_request_in_single_bytes() -> None:
    """How the bytes are cut up on the way means nothing."""
    with web(show) as s:
        client = s.client()
        for byte in b"POST /p?a=1&b=2&a=3 HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\n\r\nxyz":
            client.send(bytes([byte]))
            s.node.run_until_idle()
        body = b'["POST", "/p", {"a": ["1", "3"], "b": "2"}, "xyz"]'
        client.expect(ok(body, b"content-length: %d" % len(body)))


def test_http_1_0_has_one_request() -> None:
    """The old version says nothing of keeping a connection, and knows no chunks."""
    with web(lambda r: iter(["a", "b"])) as s:
        assert s.exchange(b"GET / HTTP/1.0\r\n\r\n") == ok(b"ab", b"Connection: close")


def test_chunks_in() -> None:
    """A body whose length is not known before its end; a trailer after it."""
    with web(show) as s:
        head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
        client = s.client(head + b"3\r\nabc\r\n5;ext=1\r\ndefgh\r\n0\r\nx-sum: 1\r\n\r\n" + BYE)
        client.expect(ok(b'["POST", "/", {}, "abcdefgh"]', b"content-length: 29"))
        assert b'["GET"' in until_eof(client)


def test_chunks_out() -> None:
    """A body that is made while it is sent: each piece goes when it is there. Empty pieces are none."""

    def pieces(request: httpd.Request) -> Any:
        def body() -> Iterator[str | bytes]:
            yield "one"
            skynet.sleep(100)
            yield b""
            yield b"three"

        return body()

    with web(pieces) as s:
        client = s.client(GET)
        client.expect(ok(b"3\r\none\r\n", b"Transfer-Encoding: chunked"))
        s.node.run_until_idle()
        assert client.recv_until(lambda: True) == b""  # the rest is a second away
        client.expect(b"5\r\nthree\r\n0\r\n\r\n")
        client.send(GET)
        client.expect(ok(b"3\r\none\r\n", b"Transfer-Encoding: chunked", after=1))


@pytest.mark.parametrize(
    ("answer", "lines", "body"),
    [
        ("text é", [b"content-length: 7"], "text é".encode()),
        (b"bytes", [b"content-length: 5"], b"bytes"),
        (None, [b"content-length: 0"], b""),
        ((200, "x", {"X-A": "1", "set-cookie": ["a=1", "b=2"]}),
         [b"X-A: 1", b"set-cookie: a=1", b"set-cookie: b=2", b"content-length: 1"], b"x"),
        ((200, ["a", b"bc"]), [b"Transfer-Encoding: chunked"], b"1\r\na\r\n2\r\nbc\r\n0\r\n\r\n"),
        ((200, "x", {"Content-Length": "9"}), [b"content-length: 1"], b"x"),
    ],
)  # fmt: skip
def test_what_a_handler_may_return(answer: Any, lines: list[bytes], body: bytes) -> None:
    """A body, a code and a body, or these and a header; the length is ours to say."""
    with web(lambda request: answer) as s:
        client = s.client(GET)
        client.expect(ok(body, *lines))
        client.send(GET)
        client.expect(ok(body, *lines))


@pytest.mark.parametrize("code", [204, 304])
def test_answers_that_have_no_body(code: int) -> None:
    """204 and 304 end with their header: the next answer of the connection follows at once."""
    with web(lambda request: (code, "ignored")) as s:
        client = s.client(GET + GET)
        for _ in range(2):
            assert client.recv_line().startswith(b"HTTP/1.1 %d " % code)
            assert client.recv_line().startswith(b"date: ") and client.recv_line() == b"\r"


def test_head_is_get_without_the_body() -> None:
    """The length is that of the body that GET would bring; a body that is made on the way is not made at all."""
    made: list[int] = []

    def handler(request: httpd.Request) -> Any:
        return "12345" if request.path == "/" else map(made.append, [1])

    with web(handler) as s:
        client = s.client(GET.replace(b"GET", b"HEAD"))
        client.expect(ok(b"", b"content-length: 5"))
        client.send(GET.replace(b"GET /", b"HEAD /x"))
        client.expect(ok(b"", b"Transfer-Encoding: chunked"))
        client.send(GET)
        client.expect(ok(b"12345", b"content-length: 5"))
        assert made == []


def test_100_continue() -> None:
    """A client that asks first is told to go on; one whose body is too large is told that, and sends nothing."""
    ask = b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: %d\r\n\r\n"
    with web(show, body_limit=10) as s:
        client = s.client(ask % 3)
        client.expect(b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"xyz")
        client.expect(ok(b'["POST", "/", {}, "xyz"]', b"content-length: 24"))
        client = s.client(ask % 11)
        assert client.recv_line().startswith(b"HTTP/1.1 413 ")  # and not 100
        client.close()


BAD = [
    (b"nonsense\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\n\r\n", 400),  # no host
    (b"GET / HTTP/1.1\r\nhost: x\r\nbad header\r\n\r\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 1x\r\n\r\n", 400),
    (b"GET / HTTP/2.0\r\nhost: x\r\n\r\n", 505),
    (b"HEAD / HTTP/2.0\r\nhost: x\r\n\r\n", 505),  # whose answer has no body either
    (b"\x16\x03\x01\x02\x00\x01", 400),  # TLS
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: gzip\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 100001\r\n\r\n", 413),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n1ffff\r\n" + b"x" * 0x1FFFF, 413),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\nhost: x\r\n" + b"a: b\r\n" * 3000 + b"\r\n", 431),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nxy", 400),  # ends in the middle
    # Two programs in a row could read two messages in each of these: one of them smuggles its own past the other.
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + GET, 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ncontent-length: 0\r\n\r\n0\r\n\r\n" + GET, 400),
    (b"POST / HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n" + GET, 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\n\tTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + GET, 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n" + GET, 400),
    (b"GET / HTTP/1.1\nhost: x\n more\n\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\nHost: y\r\n\r\n", 400),
]


@pytest.mark.parametrize(("data", "code"), BAD)
def test_bad_requests(data: bytes, code: int) -> None:
    """What breaks the rules or the limits is answered, and the connection ends; others do not notice."""
    with web(hello, body_limit=100_000) as s:
        good = s.client(GET)
        answer = s.exchange(data)
        assert answer.startswith(b"HTTP/1.1 %d " % code) and b"\r\nconnection: close\r\n" in answer.lower()
        assert answer.count(b"HTTP/1.1 ") == 1  # whatever stood behind it
        good.expect(HELLO)
        good.send(GET)
        good.expect(HELLO)
        (line,) = s.log()
        assert line.startswith(f"httpd: socket 3 : {code} ") or line.startswith(f"httpd: socket 2 : {code} ")


@pytest.mark.parametrize("line", [b"Transfer-Encoding:\tchunked", b"transfer-encoding: chunked\t "])
def test_blanks_around_a_value(line: bytes) -> None:
    """They belong to nothing; and a line of a body may begin as it likes."""
    with web(show) as s:
        client = s.client(b"POST / HTTP/1.1\r\nhost: x\r\n" + line + b"\r\n\r\n4\r\n\n\tab\r\n0\r\n\r\n")
        client.expect(ok(rb'["POST", "/", {}, "\n\tab"]', b"content-length: 27"))


def test_when_an_answer_was_made() -> None:
    """The header Date, by the clock of the node; a handler that has a date of its own keeps it."""
    with web(lambda request: "hello" if request.path == "/" else (200, "x", {"Date": "then"})) as s:
        client = s.client(GET)
        client.expect(ok(b"hello", b"content-length: 5"))
        s.node.advance(200)
        client.send(GET + GET.replace(b"/", b"/then", 1))
        client.expect(ok(b"hello", b"content-length: 5", after=2))
        client.expect(b"HTTP/1.1 200 OK\r\nDate: then\r\ncontent-length: 1\r\n\r\nx")


def test_contextvars_of_a_request() -> None:
    """A connection that is kept serves many requests in one coroutine: none finds what one before it has set.

    The pieces of a body, and what the handler forks, belong to the request.
    """
    user: ContextVar[str] = ContextVar("user", default="nobody")
    forked: list[str] = []

    def handler(request: httpd.Request) -> Any:
        before = user.get()
        user.set(request.path)
        skynet.fork(lambda: forked.append(user.get()))
        return (part() for part in (lambda: before, user.get))

    def accept(id: int) -> None:
        user.set("connection")
        httpd.serve(id, handler)

    with Listening(accept) as s:
        client = s.client()
        for path in (b"/a", b"/b"):
            client.send(GET.replace(b"/", path, 1))
            client.expect(ok(b"a\r\nconnection\r\n2\r\n" + path + b"\r\n0\r\n\r\n", b"Transfer-Encoding: chunked"))
        assert forked == ["/a", "/b"]


def test_the_answer_to_a_bad_request_outlives_what_is_still_being_sent() -> None:
    """Closing with bytes unread would be a reset, which takes the answer away again: they are read and forgotten."""
    with web(hello, body_limit=1000) as s:
        client = s.client(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 3000000\r\n\r\n")
        client.send(b"x" * 3_000_000)
        client.shutdown()
        assert until_eof(client).startswith(b"HTTP/1.1 413 ")


def test_a_handler_that_fails() -> None:
    """500 for the client, the traceback for the log; the connection and the service go on."""

    def fails(request: httpd.Request) -> Any:
        if request.path == "/bad":
            raise KeyError("oops")
        if request.path == "/exit":  # no program ends by what one request does: that is said by skynet.abort
            sys.exit(3)
        return {"/dict": {"a": 1}, "/line": (200, "x", {"a": "b\r\nc: d"}), "/code": (99, "x")}.get(
            request.path, "fine"
        )

    with web(fails) as s:
        client = s.client()
        for path in (b"/bad", b"/exit", b"/dict", b"/line", b"/code"):
            client.send(GET.replace(b"/", path, 1))
            client.expect(head(b"content-length: 22", code=b"500 Internal Server Error") + b"Internal Server Error\n")
        client.send(GET)
        client.expect(ok(b"fine", b"content-length: 4"))
        log = "\n".join(s.log())
        assert log.count("httpd: GET") == 5 and "KeyError: 'oops'" in log and "in fails" in log
        assert "a body is str, bytes, None or an iterable of them, not dict" in log


def test_a_body_that_fails_on_the_way() -> None:
    """The answer has begun: all that can be done is to break it off, so that the client sees it is not whole."""

    def body() -> Iterator[bytes]:
        yield b"some"
        raise RuntimeError("no more")

    with web(lambda request: body()) as s:
        client = s.client(GET)
        assert until_eof(client) == ok(b"4\r\nsome\r\n", b"Transfer-Encoding: chunked")
        assert "RuntimeError: no more" in s.log()[0]


def test_slow_clients_are_cut() -> None:
    """A request has a time to arrive whole, however lively its bytes drip in; so has a connection with nothing to ask."""
    with web(hello, timeout=500) as s:
        silent, drip = s.client(), s.client()
        for byte in GET[:9]:
            drip.send(bytes([byte]))
            s.node.run_until_idle()
            if byte != GET[8]:
                s.node.advance(60)
        assert [until_eof(client) for client in (silent, drip)] == [b"", b""]
        client = s.client(GET)
        client.expect(ok(b"hello", b"content-length: 5", after=5))
        s.node.advance(499)
        client.send(GET)
        client.expect(ok(b"hello", b"content-length: 5", after=9))
        client.expect_eof()
        assert s.log() == []


def test_a_slow_handler_is_not_cut() -> None:
    """The time is the client's. What the handler takes is its own affair."""

    def slow(request: httpd.Request) -> str:
        skynet.sleep(100_000)
        return "hello"

    with web(slow, timeout=500) as s:
        client = s.client(GET)
        client.expect(ok(b"hello", b"content-length: 5", after=1000))
        client.send(GET)
        client.expect(ok(b"hello", b"content-length: 5", after=2000))


def test_a_body_waits_for_a_client_that_does_not_read() -> None:
    """A gigabyte is not piled up in memory: some megabytes, then its making waits; and not longer than the timeout."""
    made: list[int] = []
    closed: list[bool] = []

    def endless() -> Iterator[bytes]:
        try:
            for i in range(16_000):
                made.append(i)
                yield b"x" * 65536
        finally:
            closed.append(True)

    with web(lambda request: endless(), timeout=500) as s:
        client = s.client(GET)
        s.node.run_until_idle()
        first = len(made)
        assert 16 <= first < 400
        s.node.advance(100)
        assert len(made) == first
        client.recv(20_000_000)
        s.node.run_until_idle()
        assert len(made) > first
        s.node.advance(600)  # now it reads nothing for longer than it may
        s.node.run_until_idle()
        assert closed == [True] and len(made) < 16_000
        assert s.node.service(s.addr).socket_pool.keys() == {1}


def test_answers_wait_for_a_client_that_only_asks() -> None:
    """30 KB of requests ask for a gigabyte: the next answer is made when the last ones are taken, or never."""
    made: list[int] = []

    def big(request: httpd.Request) -> bytes:
        made.append(1)
        return bytes(1_000_000)

    with web(big, timeout=500) as s:
        client = s.client(GET * 1000)
        s.node.run_until_idle()
        first = len(made)
        assert first <= 30
        client.recv(20_000_000)
        s.node.run_until_idle()
        assert first < len(made) <= first + 50
        s.node.advance(600)
        s.node.run_until_idle()
        assert s.node.service(s.addr).socket_pool.keys() == {1} and len(made) < 100


def test_patience_is_one_timer_for_all() -> None:
    """Requests and connections leave no timer behind, and no coroutine: there is one of each in a service."""
    with web(hello, timeout=3000) as s:
        for _ in range(50):
            assert s.exchange(BYE).endswith(b"hello")
        assert len(s.node.timer) == 1

        def ask() -> int:
            for _ in range(50):
                assert httpc.get(f"http://127.0.0.1:{s.port}").body == b"hello"
            return skynet.task()

        assert run_service(s.node, ask) == 1
        assert len(s.node.timer) == 2  # one here, one there


def test_a_client_that_goes_away_ends_the_making_of_its_body() -> None:
    """The generator is closed, so that its files and locks are let go."""
    closed: list[bool] = []

    def endless() -> Iterator[bytes]:
        try:
            while True:
                skynet.sleep(10)
                yield b"tick\n"
        finally:
            closed.append(True)

    with web(lambda request: endless()) as s:
        client = s.client(GET)
        client.expect(ok(b"", b"Transfer-Encoding: chunked"))
        client.reset()
        s.node.run(until=lambda: bool(closed), timeout=TIMEOUT)
        assert s.log()[:1] in ([], ["socket: error on 2 Connection reset by peer"])


def test_many_connections() -> None:
    """Three hundred at once, each served by coroutines of its own, in the middle of requests of others."""
    with web(show) as s:
        clients = [s.client(b"GET /%d HTTP/1.1\r\nhos" % n) for n in range(300)]
        for client in clients:
            client.send(b"t: x\r\n\r\n")
        for n, client in enumerate(clients):
            body = b'["GET", "/%d", {}, ""]' % n
            client.expect(ok(body, b"content-length: %d" % len(body)))
            client.close()
        s.node.run_until_idle()
        assert s.node.service(s.addr).socket_pool.keys() == {1}


def test_agents_by_hand_over() -> None:
    """One service listens and hands the ids out, others serve: examples/simpleweb.lua."""

    def agent() -> None:
        me = skynet.address(skynet.self())
        skynet.dispatch("lua", lambda session, source, id: httpd.serve(id, lambda request: me))

    def main() -> int:
        agents = [skynet.newservice(agent) for _ in range(2)]
        turn = iter(agents * 10)
        lid = socket.listen("127.0.0.1", 0)
        socket.start(lid, lambda id, addr: skynet.send(next(turn), "lua", id))
        ports.append(socket.sockname(lid)[1])
        return lid

    ports: list[int] = []
    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        answers = []
        for _ in range(4):
            client = node.client(ports[0])
            client.send(BYE)
            answers.append(until_eof(client)[-9:])
        assert answers == [b":0000000a", b":0000000b", b":0000000a", b":0000000b"]
        assert not [line for line in node.log_lines if "error" in line]


def test_the_end_of_a_service_ends_its_connections() -> None:
    """Whoever is in the middle of a request then sees the end of the stream."""

    def waits(request: httpd.Request) -> None:
        skynet.wait()

    with web(waits) as s:
        client = s.client(GET)
        s.node.run_until_idle()
        run_service(s.node, lambda: skynet.kill(s.addr))
        client.expect_eof()


def test_the_same_requests_make_the_same_trace() -> None:
    """h11 knows no time and no chance, and neither does what stands around it."""

    def once() -> str:
        with web(show, timeout=500) as s, s.node.record() as trace:
            client = s.client(GET + GET)
            client.recv(100)
            client.send(b"nonsense\r\n\r\n")
            until_eof(client)
            s.node.run_until_idle()
        return str(trace.text())

    assert once() == once()


# ---- the client


def with_server(handler: httpd.Handler, body: Callable[[str], Any], **options: Any) -> Any:
    """What `body("http://127.0.0.1:port")` returns, in a service beside one that serves; it leaves no socket open."""

    def asking(host: str) -> tuple[Any, list[int]]:
        return body(host), list(skynet.running().service.socket_pool)

    with web(handler, **options) as s:
        result, left = run_service(s.node, lambda: asking(f"http://127.0.0.1:{s.port}"))
        assert left == []
        return result


def test_get_post_head() -> None:
    """Status, body and header; a form as browsers send it; names of headers in lower case."""

    def handler(request: httpd.Request) -> Any:
        return 201, show(request), {"X-Kind": request.header.get("content-type", "none")}

    def body(host: str) -> None:
        status, data, header = httpc.get(host, "/a%20b?x=1", {"X-Mine": "2"})
        assert (status, json.loads(data), header["x-kind"]) == (201, ["GET", "/a b", {"x": "1"}, ""], "none")
        status, data, header = httpc.post(host, "/form", {"a": "1 2", "b": ["x", "y"]})
        assert json.loads(data) == ["POST", "/form", {}, "a=1+2&b=x&b=y"]
        assert header["x-kind"] == "application/x-www-form-urlencoded"
        status, data, header = httpc.head(host)
        assert (status, data, header["content-length"]) == (201, b"", str(len('["HEAD", "/", {}, ""]')))
        assert httpc.request("PUT", host, "/", None, (piece for piece in [b"a", b"", b"bc"])).body.endswith(b'"abc"]')

    with_server(handler, body)


def test_what_the_client_sends() -> None:
    """Byte for byte, to a server that only listens in."""
    heard: list[bytes | None] = []

    def listens(id: int) -> None:
        socket.start(id)
        heard.append(socket.readline(id, b"\r\n\r\n"))
        socket.write(id, b"HTTP/1.1 200 OK\r\n\r\nuntil the end")
        socket.close(id)

    with Listening(listens) as s:
        host = f"127.0.0.1:{s.port}"
        answer = run_service(s.node, lambda: httpc.get(host, "/x?y", {"Accept": "*/*"}))
        assert answer == (200, b"until the end", {})
        head = f"GET /x?y HTTP/1.1\r\nhost: {host}\r\naccept: */*\r\ncontent-length: 0"
        assert heard == [head.encode()]


def test_a_connection_is_kept() -> None:
    """Two requests, one connection; when the server has closed it in between, a new one is made."""

    def body(host: str) -> list[str]:
        with httpc.Connection(host) as c:
            found = [c.request("GET").body.decode() for _ in range(2)]
            skynet.sleep(600)  # longer than the server waits
            return [*found, c.request("GET").body.decode()]

    first, second, third = with_server(lambda request: str(request.stream.id), body, timeout=500)
    assert first == second != third


def test_a_body_in_pieces() -> None:
    """request_stream hands out what comes as it comes; who stops listening closes the connection."""

    def numbers(request: httpd.Request) -> Iterator[str]:
        for n in range(3):
            skynet.sleep(100)
            yield str(n)

    def body(host: str) -> list[tuple[int, bytes]]:
        with httpc.Connection(host) as c:
            began = skynet.now()
            _, _, pieces = c.request_stream("GET")
            found = [((skynet.now() - began) // 100, piece) for piece in pieces]
            _, _, pieces = c.request_stream("GET")
            assert next(pieces) == b"0"
        return found

    assert with_server(numbers, body) == [(1, b"0"), (2, b"1"), (3, b"2")]


def test_a_body_that_is_too_long_for_the_client() -> None:
    """A server may send for ever: the limit ends it, whether the length was told or not; in pieces there is none."""

    def handler(request: httpd.Request) -> Any:
        return b"x" * 5000 if request.path == "/told" else (b"x" * 100 for _ in range(50))

    def body(host: str) -> int:
        for path in ("/told", "/pieces"):
            assert len(httpc.get(host, path, body_limit=5000).body) == len(httpc.get(host, path).body) == 5000
            assert len(httpc.get(host, path, body_limit=None).body) == 5000
            with httpc.Connection(host, body_limit=4999) as c:
                with pytest.raises(ProtocolError, match="a body of more than 4999 bytes: give another body_limit"):
                    c.request("GET", path)
                assert sum(map(len, c.request_stream("GET", path)[2])) == 5000
        return 1

    assert with_server(handler, body) == 1


def test_timeouts_of_the_client() -> None:
    """A whole answer has its time; one that is taken in pieces has it for each."""

    def stuck(request: httpd.Request) -> Iterator[str]:
        yield "begin"
        skynet.sleep(10_000)

    def body(host: str) -> None:
        began = skynet.now()
        with pytest.raises(TimedOut, match="took too long"):
            httpc.get(host, timeout=200)
        assert skynet.now() - began == 200
        with httpc.Connection(host, timeout=200) as c:
            _, _, pieces = c.request_stream("GET")
            assert next(pieces) == b"begin"
            with pytest.raises(TimedOut):
                next(pieces)

    with_server(stuck, body)


class SlowNames(Outside):
    """Names are looked up when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Any, ...]] = []

    def lookup(self, *what: Any) -> None:
        self.asked.append(what)


def test_a_connection_that_does_not_come() -> None:
    """Connecting has its time, too; a connection that comes about later is closed."""
    outcome: list[str] = []
    outside = SlowNames()

    def asking() -> None:
        try:
            httpc.get(f"some.host:{port}", timeout=10)
        except TimedOut as e:
            outcome.append(str(e))

    listener, port = peer_listener()
    with listener, Node(log=list, outside=outside) as node:  # a virtual clock stands while a name is looked up
        node.newservice(lambda: skynet.fork(asking))
        node.run(until=lambda: bool(outcome), timeout=TIMEOUT)
        assert outcome == [f"some.host:{port} could not be reached within 10 ticks"]
        token, _, port, kind = outside.asked[0]
        Outside.lookup(outside, token, "localhost", port, kind)
        with accept(node, listener) as late:
            node.run(until=lambda: readable(late), timeout=TIMEOUT)
            assert late.recv(10) == b""


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (b"nonsense\r\n\r\n", "illegal status line"),
        (b"", "ended before an answer came"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf", "without sending complete message body"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n", "without sending complete"),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 4\r\n\r\n0\r\n\r\n",
            "with a content-length",
        ),
    ],
)
def test_answers_that_are_none(answer: bytes, text: str) -> None:
    """Whoever asked learns what was wrong; half a body is never taken for a whole one."""

    def answers(id: int) -> None:
        socket.start(id)
        socket.readline(id, b"\r\n\r\n")
        socket.write(id, answer)
        socket.close(id)

    with Listening(answers) as s, pytest.raises(ProtocolError, match=text):
        run_service(s.node, lambda: httpc.get(f"127.0.0.1:{s.port}"))


@pytest.mark.parametrize("text", ["x\r\nset-cookie: a=1", "x\nset-cookie: a=1", "x\r\n\r\n<script>", "x\0", "x\x0b"])
def test_no_header_within_a_header(text: str) -> None:
    """What somebody else wrote may stand in a header and stays one there: a line of its own is refused, both ways."""
    with web(lambda request: (200, "x", {"location": text})) as s:
        answer = s.exchange(GET)
        assert answer.startswith(b"HTTP/1.1 500 ") and b"set-cookie" not in answer and b"script" not in answer

        def ask() -> list[str]:
            found = []
            for url, header in (("/", {"user": text}), (f"/{text}", None), ("/", {text: "x"})):
                try:
                    found.append(f"sent {httpc.get(f'http://127.0.0.1:{s.port}', url, header)}")
                except SkynetError as e:
                    found.append(type(e).__name__)
            return found + list(skynet.running().service.socket_pool or ())

        assert run_service(s.node, ask) == ["SkynetError"] * 3


def test_addresses_of_the_client() -> None:
    """What is no address is said before anything is done; nobody there: the reason of the socket server."""
    with Node(clock="virtual", log=list) as node:
        for wrong in ("ftp://x", "http://", "ws://x"):
            with pytest.raises(SkynetError, match="is no address for http or https"):
                run_service(node, lambda wrong=wrong: httpc.get(wrong))
        with pytest.raises(SocketError, match="Connection refused"):
            run_service(node, lambda: httpc.get("127.0.0.1:1"))


def test_without_the_extra() -> None:
    """The error says what to install."""
    code = "import sys; sys.modules['{0}'] = None; import skynet_lite.contrib.{1}"
    for library, module in (("h11", "httpd"), ("h11", "httpc"), ("wsproto", "websocket"), ("dns", "dns")):
        done = subprocess.run([sys.executable, "-c", code.format(library, module)], capture_output=True, text=True)
        assert done.returncode == 1 and "pip install 'skynet_lite[contrib]'" in done.stderr, (library, done.stderr)


# ---- other people's programs


@pytest.fixture(params=[1, 4], ids=["one worker", "four workers"])
def served(request: pytest.FixtureRequest) -> Iterator[str]:
    """A node with threads of its own, and the address of the service in it."""

    def handler(request: httpd.Request) -> Any:
        if request.path == "/big":
            return 200, (b"x" * 10_000 for _ in range(500)), {"content-type": "text/plain"}
        return 200, show(request), {"content-type": "application/json"}

    node = Node(log=list, thread=request.param)
    node.serve()
    with Listening(lambda id: httpd.serve(id, handler, body_limit=8_000_000), node) as s:
        yield f"http://127.0.0.1:{s.port}"
    left = "socket: error on"  # wrk does not wait for the last answers
    complaints = [line for line in node.log_lines if ("error" in line or "httpd" in line) and left not in line]
    assert not complaints, complaints


@needs("curl")
def test_curl(served: str, tmp_path: Path) -> None:
    """GET, POST, HEAD, chunks both ways, 100-continue, and keep-alive."""
    assert json.loads(run("curl", "-sS", f"{served}/a?b=c").stdout) == ["GET", "/a", {"b": "c"}, ""]
    assert json.loads(run("curl", "-sS", "-d", "x=1", f"{served}/p").stdout) == ["POST", "/p", {}, "x=1"]
    head = run("curl", "-sS", "-I", f"{served}/").stdout
    assert head.startswith(b"HTTP/1.1 200 OK\r\n") and b"content-length: 21" in head
    assert run("curl", "-sS", f"{served}/big").stdout == b"x" * 5_000_000
    big = tmp_path / "big"
    big.write_bytes(b"y" * 5_000_000)
    up = run("curl", "-sS", "-T", "-", "-H", "Expect: 100-continue", f"{served}/up", input=big.read_bytes())
    assert json.loads(up.stdout)[3] == "y" * 5_000_000
    up = run("curl", "-sS", "-v", "--data-binary", f"@{big}", f"{served}/up")
    assert json.loads(up.stdout)[3] == "y" * 5_000_000 and b"HTTP/1.1 100 Continue" in up.stderr
    done = run("curl", "-sS", "-v", f"{served}/1", f"{served}/2")
    assert done.stdout == b'["GET", "/1", {}, ""]["GET", "/2", {}, ""]'
    assert done.stderr.count(b"Connected to") == 1 and b"e-using existing" in done.stderr


@needs("wrk")
def test_wrk(served: str) -> None:
    """Twenty connections that ask without a pause: no error, whatever the number."""
    told = run("wrk", "-t1", "-c20", "-d1", served).stdout.decode()
    assert int(told.split(" requests in")[0].split()[-1]) > 0
    assert "Non-2xx" not in told and "Socket errors" not in told, told


def test_the_client_and_another_server() -> None:
    """Python's own http.server at the other end."""
    import threading
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self.send_response(200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[::-1])

        def log_message(self, *args: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()

        def body() -> list[bytes]:
            with httpc.Connection(f"http://127.0.0.1:{server.server_port}") as c:
                return [c.request("POST", "/", None, text).body for text in ("abc", "", "xyz" * 100_000)]

        try:
            with Node(log=list) as node:
                assert run_service(node, body) == [b"cba", b"", b"zyx" * 100_000]
        finally:
            server.shutdown()
            thread.join()
