"""TLS as a stream: the same reads and writes, encrypted; and HTTPS on it, with curl."""

from __future__ import annotations

import json
import socket as pysocket
import ssl
import threading
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from contrib_harness import Listening, certificates, run, run_service
from harness import needs
from socket_harness import TIMEOUT

from skynet_lite import Node, SocketError, skynet, socket
from skynet_lite.contrib import httpc, httpd, tls
from skynet_lite.contrib.stream import Stream

pytestmark = needs("openssl")


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, Path]:
    return certificates(tmp_path_factory.mktemp("pem"))


@pytest.fixture(scope="module")
def server(pem: tuple[Path, Path, Path]) -> ssl.SSLContext:
    return tls.server_context(str(pem[1]), str(pem[2]))


@pytest.fixture(scope="module")
def trusting(pem: tuple[Path, Path, Path]) -> ssl.SSLContext:
    return tls.client_context(str(pem[0]))


def both(server: ssl.SSLContext, client: ssl.SSLContext, serve: Any, ask: Any, host: str = "localhost") -> Any:
    """`serve(stream)` at one end, `ask(stream)` at the other, both in one node; what `ask` returns."""

    def accept(id: int) -> None:
        stream = tls.accept(id, server, 500)
        try:
            serve(stream)
        finally:
            stream.close()

    def body() -> Any:
        stream = tls.connect(host, s.port, client, 500)
        try:
            return ask(stream)
        finally:
            stream.close()

    with Listening(accept) as s:
        answer = run_service(s.node, body)
        s.node.run_until_idle()
        assert s.node.service(s.addr).socket_pool.keys() == {1}
        assert not [line for line in s.log() if "rror" in line], s.log()
        return answer


def test_the_same_face(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """read, readline, readall and write do what they do on a socket, whatever records the bytes travel in."""

    def serve(stream: Stream) -> None:
        assert stream.readline() == b"one"
        assert stream.read(3) == b"two"
        assert stream.readline(b"--") == b"three"
        stream.write(b"x" * 300_000)
        assert stream.readall() == b"the rest"

    def ask(stream: Stream) -> Any:
        for byte in b"one\ntwothree-":
            stream.write(bytes([byte]))
        stream.write(b"-")
        big = stream.read(300_000)
        stream.write(b"the rest")
        return big

    assert both(server, trusting, serve, ask) == b"x" * 300_000


def test_an_end_is_announced(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """TLS has a farewell of its own, so a clean end is None, as on a socket."""

    def serve(stream: Stream) -> None:
        stream.write(b"bye")

    def ask(stream: Stream) -> Any:
        return stream.read(), stream.read(), stream.readline(), stream.readall()

    assert both(server, trusting, serve, ask) == (b"bye", None, None, b"")


def test_an_end_without_a_farewell_is_a_cut(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """Somebody on the way could end a connection early; TLS lets us tell."""

    def serve(stream: Stream) -> None:
        stream.write(b"half of ")
        socket.close(stream.id)

    def ask(stream: Stream) -> Any:
        assert stream.read() == b"half of "
        with pytest.raises(SocketError, match="without a farewell"):
            stream.read()

    both(server, trusting, serve, ask)


def test_one_reads_while_another_writes(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """A coroutine that waits for bytes holds nobody up; closing under it is an end to it."""

    def serve(stream: Stream) -> None:
        while (data := stream.read()) is not None:
            stream.write(data)

    def ask(stream: Stream) -> Any:
        heard: list[Any] = []
        reader = skynet.running()

        def reads() -> None:
            while (data := stream.read()) is not None:
                heard.append(data)
            heard.append(None)
            skynet.wakeup(reader)

        skynet.fork(reads)
        for word in (b"a", b"b"):
            skynet.sleep(10)
            stream.write(word)
        skynet.sleep(10)
        stream.close()
        skynet.sleep(10)
        assert stream.write(b"c") is False
        return heard

    assert both(server, trusting, serve, ask) == [b"a", b"b", None]


@pytest.mark.parametrize(
    ("host", "known", "why"),
    [
        ("localhost", True, None),
        ("127.0.0.1", True, None),
        ("localhost", False, "unable to get local issuer certificate|self-signed certificate in certificate chain"),
        ("127.0.0.2", True, "IP address mismatch, certificate is not valid for '127.0.0.2'"),
    ],
)
def test_certificates_and_names_are_checked(
    pem: tuple[Path, Path, Path], server: ssl.SSLContext, host: str, known: bool, why: str | None
) -> None:
    """By default: against the authorities that are trusted, and for the name that was asked for."""
    context = tls.client_context(str(pem[0])) if known else None

    def accept(id: int) -> None:
        with pytest.raises(SocketError, match="(?i)alert|farewell") if why else nullcontext():
            tls.accept(id, server, 500).close()
        outcome.append("served")

    outcome: list[str] = []
    with Listening(accept, host="0.0.0.0") as s:
        if why is None:
            run_service(s.node, lambda: tls.connect(host, s.port, context).close())
        else:
            with pytest.raises(SocketError, match=why):
                run_service(s.node, lambda: tls.connect(host, s.port, context))
        s.node.run(until=lambda: bool(outcome), timeout=TIMEOUT)
        s.node.run_until_idle()
        assert s.node.service(s.addr).socket_pool.keys() == {1}


def test_who_is_no_tls_client(server: ssl.SSLContext) -> None:
    """Plain HTTP at the door of HTTPS, silence, and going away: a line in the log, nothing else."""
    with Listening(lambda id: httpd.serve(id, lambda r: "x", context=server, timeout=300)) as s:
        plain = s.client(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        plain.recv_until(lambda: plain._eof)
        gone = s.client()
        gone.close()
        silent = s.client()
        silent.expect_eof()
        log = s.log()
        assert [line.split(" : ")[0] for line in log] == ["httpd: no connection"] * 3
        assert "HTTP_REQUEST" in log[0] and "without a farewell" in log[1] and "took too long" in log[2]


def hello(version: int) -> bytes:
    """A ClientHello without extensions, of SSL 3.0 (0x300) or TLS 1.0 to 1.2 (0x301 to 0x303)."""
    body = version.to_bytes(2, "big") + bytes(32) + b"\0" + b"\0\x04\xc0\x2f\0\x2f" + b"\x01\0"
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return b"\x16\x03\x01" + len(message).to_bytes(2, "big") + message


@pytest.mark.parametrize("version", [0x300, 0x301, 0x302])
def test_old_versions_are_refused(server: ssl.SSLContext, version: int) -> None:
    """SSL 3.0, TLS 1.0 and 1.1 get an alert, a line in the log, and the end of the connection."""
    with Listening(lambda id: httpd.serve(id, lambda r: "x", context=server, timeout=300)) as s:
        answer = s.exchange(hello(version))
        assert answer[:1] == b"\x15" and answer[5:] in (b"\x02\x46", b"\x02\x28")  # fatal: version, or handshake
        (line,) = s.log()
        assert "UNSUPPORTED_PROTOCOL" in line or "VERSION" in line
        assert s.node.service(s.addr).socket_pool.keys() == {1}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_new_versions_are_spoken(pem: tuple[Path, Path, Path], server: ssl.SSLContext, version: ssl.TLSVersion) -> None:
    """TLS 1.2 and 1.3, by a client that knows nothing else."""
    client = ssl.create_default_context(cafile=str(pem[0]))
    client.minimum_version = client.maximum_version = version

    def ask(stream: Any) -> Any:
        stream.write(b"hi")
        return stream.read(2), stream.ssl.version()

    said = both(server, client, lambda stream: stream.write(stream.read(2)), ask)
    assert said == (b"hi", version.name.replace("_", "."))


@pytest.mark.parametrize("host", [".127.0.0.1", "127.0.0.1\0x"])
def test_a_host_that_cannot_be_one(trusting: ssl.SSLContext, host: str) -> None:
    """What the ssl module refuses leaves no socket behind."""
    with Listening(lambda id: tls.accept(id).close()) as s:

        def body() -> Any:
            id = socket.open("127.0.0.1", s.port)
            try:
                tls._agreed(id, trusting, 100, host)
            except (ValueError, TypeError, SocketError):
                pass
            return list(skynet.running().service.socket_pool)

        assert run_service(s.node, body) == []


def test_a_handshake_is_reads_and_writes(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """Client hello, server's answer, client's finish: what SSLObject asks for, in that order, is all that happens."""
    with Listening(lambda id: tls.accept(id, server, 500).close()) as s, s.node.record() as trace:
        run_service(s.node, lambda: tls.connect("127.0.0.1", s.port, trusting).close())
        s.node.run_until_idle()
    server_side = f":{s.addr:08x}"
    steps = [
        "server" if e["service"] == server_side else "client" for e in trace.events if e["e"] == "write" and e["size"]
    ]
    assert steps[:3] == ["client", "server", "client"]


def test_https(server: ssl.SSLContext, trusting: ssl.SSLContext) -> None:
    """Server and client of HTTP do not know that they are encrypted."""

    def handler(request: httpd.Request) -> Any:
        return (piece * 1000 for piece in ("a", "b"))

    with Listening(lambda id: httpd.serve(id, handler, context=server)) as s:

        def body() -> Any:
            with httpc.Connection(f"https://localhost:{s.port}", context=trusting) as c:
                return [c.request("GET").body for _ in range(2)]

        assert run_service(s.node, body) == [b"a" * 1000 + b"b" * 1000] * 2


def test_text_instead_of_tls(trusting: ssl.SSLContext) -> None:
    """An HTTP server at the address where TLS was expected."""

    def plain(id: int) -> None:
        socket.start(id)
        socket.read(id)
        socket.write(id, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        socket.readall(id)
        socket.close(id)

    with Listening(plain) as s, pytest.raises(SocketError, match="(?i)wrong.version|record.layer"):
        run_service(s.node, lambda: httpc.get(f"https://localhost:{s.port}", context=trusting))


def test_pythons_own_client_and_server(pem: tuple[Path, Path, Path], server: ssl.SSLContext) -> None:
    """The ssl module on real sockets, at either end."""
    ca, cert, key = pem
    node = Node(log=list)
    node.serve()

    def echo(id: int) -> None:
        stream = tls.accept(id, server, 500)
        while (data := stream.read()) is not None:
            stream.write(data)
        stream.close()

    with Listening(echo, node) as s:
        context = ssl.create_default_context(cafile=str(ca))
        with (
            pysocket.create_connection(("127.0.0.1", s.port), TIMEOUT) as raw,
            context.wrap_socket(raw, server_hostname="localhost") as sock,
        ):
            data = b"0123456789" * 20_000
            sock.sendall(data)  # not in a thread of its own: an SSLSocket is for one thread at a time
            got = b""
            while len(got) < len(data):
                got += sock.recv(65536)
            assert got == data
            sock.unwrap()

    listener = pysocket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]

    def theirs() -> None:
        raw, _ = listener.accept()
        with listener, server.wrap_socket(raw, server_side=True) as sock:
            while data := sock.recv(65536):
                sock.sendall(data)

    thread = threading.Thread(target=theirs)
    thread.start()

    def asks() -> bytes | None:
        stream = tls.connect("localhost", port, tls.client_context(str(ca)), 1000)
        stream.write(b"y" * 100_000)
        data = stream.read(100_000)
        stream.close()
        return data

    with Node(log=list) as node:
        assert run_service(node, asks) == b"y" * 100_000
    thread.join()


@needs("curl")
def test_curl_https(pem: tuple[Path, Path, Path], server: ssl.SSLContext) -> None:
    """With our own authority: GET, upload, keep-alive; without it curl refuses us, and we go on."""
    node = Node(log=list)
    node.serve()
    with Listening(
        lambda id: httpd.serve(id, lambda r: json.dumps([r.method, len(r.body)]), context=server), node
    ) as s:
        url = f"https://localhost:{s.port}/"
        assert run("curl", "-sS", "--cacert", pem[0], url, url).stdout == b'["GET", 0]["GET", 0]'
        up = run("curl", "-sS", "--cacert", pem[0], "-T", "-", url, input=b"z" * 900_000)
        assert up.stdout == b'["PUT", 900000]'
        with pytest.raises(AssertionError, match="SSL certificate problem"):
            run("curl", "-sS", url)
        assert run("curl", "-sS", "--cacert", pem[0], "--tls-max", "1.2", url).stdout == b'["GET", 0]'
