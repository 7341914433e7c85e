"""The socket library: what a service's coroutines get back, and what the log says."""

from __future__ import annotations

import os
import socket as pysocket
from collections.abc import Callable
from typing import Any

import pytest
from socket_harness import TIMEOUT, Serving, accept, in_service, peer_listener, readable, received

from skynet_lite import Node, SocketError, skynet, socket
from skynet_lite.core.errors import DriveTimeout

LIMIT = 131072


def sink(id: int) -> None:
    """Start a connection and do nothing with it."""


def returns(*reads: Callable[[int], Any]) -> tuple[list[Any], Callable[[int], None]]:
    """A handler that performs `reads` one after the other, and the list of their results."""
    results: list[Any] = []

    def handler(id: int) -> None:
        for read in reads:
            results.append(read(id))

    return results, handler


# ---- reading


@pytest.mark.parametrize(
    ("reads", "data", "expected"),
    [
        ([lambda id: socket.read(id, 3), socket.read], b"abcdef", [b"abc", b"def"]),
        ([socket.readline, socket.readline, socket.readall], b"one\ntwo\nrest", [b"one", b"two", b"rest"]),
        ([lambda id: socket.readline(id, b"--"), socket.read], b"a--b", [b"a", b"b"]),
        ([socket.block, socket.read], b"x", [True, b"x"]),
        ([lambda id: socket.read(id, 0), socket.read], b"x", [b"", b"x"]),
        ([socket.readline, socket.readline], b"\n\n", [b"", b""]),
    ],
)  # fmt: skip
def test_reads_that_get_what_they_want(reads: Any, data: bytes, expected: list[Any]) -> None:
    """By size, by line, by separator, whatever is there, and everything."""
    results, handler = returns(*reads)
    with Serving(handler) as s:
        client = s.client()
        client.send(data)
        client.close()
        s.run()
        assert results == expected


@pytest.mark.parametrize(
    ("reads", "data", "expected"),
    [
        ([lambda id: socket.read(id, 10), socket.readall], b"abc", [None, b"abc"]),
        ([socket.read, socket.disconnected, socket.invalid, socket.read], b"", [None, True, False, None]),
        ([socket.readline, socket.readall], b"part", [None, b"part"]),
        ([socket.readall, socket.readall], b"whole", [b"whole", b""]),
        ([socket.block], b"", [False]),
        ([socket.readline, socket.readline, socket.readline, socket.readall], b"one\ntwo\nrest", [b"one", b"two", None, b"rest"]),
    ],
)  # fmt: skip
def test_reads_that_the_peer_cuts_short(reads: Any, data: bytes, expected: list[Any]) -> None:
    """None, and what did arrive is left for readall; complete lines that came before are still delivered."""
    results, handler = returns(*reads)
    with Serving(handler) as s:
        client = s.client()
        if data:
            client.send(data)
        client.close()
        s.run()
        assert results == expected
        assert s.log() == []


def test_a_separator_across_two_messages() -> None:
    """Found wherever the pieces were cut."""
    results, handler = returns(*[lambda id: socket.readline(id, b"\r\n")] * 2)
    with Serving(handler) as s:
        client = s.client()
        for piece in (b"one\r", b"\ntwo", b"\r", b"\n"):
            client.send(piece)
            s.run()
        assert results == [b"one", b"two"]


def test_reset_while_reading() -> None:
    """As when the peer closes, and a line in the log."""
    results, handler = returns(lambda id: socket.read(id, 5), socket.disconnected)
    with Serving(handler) as s:
        s.client().reset()
        s.run()
        assert results == [None, True]
        assert s.log() == ["socket: error on 2 Connection reset by peer"]


def test_misuse_of_read() -> None:
    """A closed id, a str separator, no separator, a negative size: each says what is wrong."""

    def handler(id: int) -> None:
        with pytest.raises(TypeError, match=r"bytes, not str: use \.encode\(\)"):
            socket.readline(id, "\n")  # type: ignore[arg-type]
        with pytest.raises(SocketError, match="at least one byte"):
            socket.readline(id, b"")
        with pytest.raises(SocketError, match="0 or more, not -1"):
            socket.read(id, -1)
        socket.close(id)
        for use in (socket.read, socket.readline, socket.readall, lambda id: socket.limit(id, 1)):
            with pytest.raises(SocketError, match=f"socket {id} is not open in this service"):
                use(id)
        assert socket.block(id) is False
        assert socket.write(id, b"x") is False
        assert (socket.invalid(id), socket.disconnected(id)) == (True, None)
        done.append(id)

    done: list[int] = []
    with Serving(handler) as s:
        s.client().expect_eof()
        assert done == [2]


def test_second_reader_is_refused() -> None:
    """One reader for each socket; the first is not disturbed."""
    results: list[Any] = []

    def handler(id: int) -> None:
        skynet.fork(second, id)
        results.append(socket.readline(id))

    def second(id: int) -> None:
        with pytest.raises(SocketError, match=r"co\d+ reads from it already; one reader for each socket"):
            socket.read(id)
        results.append("refused")

    with Serving(handler) as s:
        s.client().send(b"line\n")
        s.run()
        assert results == ["refused", b"line"]


def test_close_while_another_coroutine_reads() -> None:
    """The reader gets None first, then close returns."""
    results: list[Any] = []

    def handler(id: int) -> None:
        skynet.fork(closer, id)
        results.append(socket.read(id, 5))

    def closer(id: int) -> None:
        socket.close(id)
        results.append("closed")

    with Serving(handler) as s:
        s.client().expect_eof()
        assert results == [None, "closed"]


def test_the_reader_takes_what_is_there_before_close_returns() -> None:
    """close waits for the last read, so that it can still drain the buffer."""
    results: list[Any] = []

    def handler(id: int) -> None:
        skynet.fork(closer, id)
        results.append(socket.read(id, 5))
        results.append(socket.readall(id))

    def closer(id: int) -> None:
        skynet.sleep(1)
        socket.close(id)
        results.append("closed")

    with Serving(handler) as s:
        s.client().send(b"abc")
        s.node.run()
        assert results == [None, b"abc", "closed"]


def test_abandon_wakes_who_is_still_opening() -> None:
    """A coroutine in start learns that the socket was given away meanwhile. (From `close` it does not: test_claims.)"""
    results: list[Any] = []

    def body() -> None:
        lid = socket.listen("127.0.0.1", 0)

        def starter() -> None:
            with pytest.raises(SocketError, match="was closed while it was being opened"):
                socket.start(lid, lambda id, peer: None)
            results.append("told")

        skynet.fork(starter)
        skynet.fork(socket.abandon, lid)

    with Node(clock="virtual", log=list) as node:
        in_service(node, body)
        node.run_until_idle()
        assert results == ["told"]


# ---- pause, resume, limit


@pytest.mark.parametrize("extra", [0, 1])
def test_more_than_the_limit_unread_pauses(extra: int) -> None:
    """131072 unread bytes do not pause, 131073 do; the log says how many there were."""
    with Serving(sink) as s:
        client = s.client()
        client.send(bytes(LIMIT))
        s.run()
        assert s.log() == []
        if extra:
            client.send(b"x")
            s.run()
        assert s.log() == ["Pause socket (2) size : 131073"][:extra]
        assert s.node.socket_server.netstat()[0]["reading"] is not bool(extra)


def test_only_a_read_that_must_wait_resumes() -> None:
    """Emptying the buffer does not; the read that finds too little does, and gets the rest."""
    results: list[Any] = []

    def handler(id: int) -> None:
        socket.pause(id)
        skynet.fork(reader, id)

    def reader(id: int) -> None:
        results.append(socket.read(id, 3))
        skynet.sleep(1)
        socket.pause(id)
        skynet.sleep(1)
        results.append(socket.read(id, 3))
        results.append(socket.readline(id))

    with Serving(handler) as s:
        client = s.client()
        client.send(b"abc")
        s.run()
        assert (results, s.log()) == ([b"abc"], ["Pause socket (2)", "Resume socket (2)"])
        s.node.advance(1)
        client.send(b"def")
        s.run()
        s.node.advance(1)
        assert results == [b"abc", b"def"]
        assert s.log()[2:] == ["Pause socket (2)", "Resume socket (2)"]
        client.send(b"line\n")
        s.run()
        assert results[2:] == [b"line"]


def test_reading_the_buffer_leaves_the_pause() -> None:
    """After a pause by size: reads from the buffer say nothing, the first that waits resumes."""
    results: list[Any] = []

    def handler(id: int) -> None:
        skynet.sleep(1)
        results.append(len(socket.read(id, 100) or b""))
        results.append(len(socket.read(id) or b"") > 0)
        results.append("empty")
        results.append(len(socket.read(id, 1) or b""))

    with Serving(handler) as s:
        client = s.client()
        client.send(bytes(200_000))
        s.run()
        assert len(s.log()) == 1 and s.log()[0].startswith("Pause socket (2) size : ")
        s.node.advance(1)
        assert results[:3] == [100, True, "empty"]
        client.send(b"x")
        s.run()
        assert results[3:] == [1]
        assert s.log()[1:] == ["Resume socket (2)"]


@pytest.mark.parametrize("by_line", [False, True])
def test_no_pause_while_a_read_waits_for_more(by_line: bool) -> None:
    """A sized read or a line above the limit is collected whole; the pause comes when it is satisfied."""
    sizes: list[int] = []

    def handler(id: int) -> None:
        sizes.append(len((socket.readline(id) if by_line else socket.read(id, 300_000)) or b""))
        skynet.wait()

    with Serving(handler) as s:
        client = s.client()
        client.send(bytes(299_999))
        s.run()
        assert s.log() == []
        client.send(b"x\n" if by_line else b"x")
        s.run()
        assert sizes == [300_000]
        assert s.log() == [f"Pause socket (2) size : {300_000 + by_line}"]


@pytest.mark.parametrize("n", [999, 1000, 1001])
def test_limit(n: int) -> None:
    """MORE than the limit unread: a line in the log, the bytes are thrown away, and the socket is closed."""
    results: list[Any] = []

    def handler(id: int) -> None:
        socket.limit(id, 1000)
        skynet.sleep(1)
        results.append((len(socket.read(id) or b""), socket.disconnected(id)))

    with Serving(handler) as s:
        client = s.client()
        client.send(bytes(n))
        s.run()
        if n > 1000:
            client.expect_eof()
        assert s.log() == [f"socket buffer overflow: fd=2 size={n}"] * (n > 1000)
        s.node.advance(1)
        assert results == [(0, True) if n > 1000 else (n, False)]


def test_limit_and_those_who_wait() -> None:
    """A waiting readline does not protect; a waiting sized read does."""
    results: list[Any] = []

    def handler(id: int) -> None:
        socket.limit(id, 1000)
        if id == 2:
            results.append(socket.readline(id))
            results.append(len(socket.readall(id)))
        else:
            results.append(len(socket.read(id, 3000) or b""))

    with Serving(handler) as s:
        s.client().send(bytes(3000))
        s.run()
        assert results == [None, 0]
        assert s.log() == ["socket buffer overflow: fd=2 size=3000"]
        s.client().send(bytes(3000))
        s.run()
        assert results[2:] == [3000]
        assert len(s.log()) == 1


# ---- writing


def test_write_takes_bytes_only() -> None:
    """bytes, bytearray, memoryview; a str is told to encode, and a bytearray may be changed afterwards."""

    def handler(id: int) -> None:
        changing = bytearray(b"array ")
        for data in (b"bytes ", changing, memoryview(b"view "), b""):
            assert socket.write(id, data) is True
        changing[:] = b"gone!!"
        socket.lwrite(id, b"low")
        with pytest.raises(TypeError, match=r"a socket carries bytes, not str: use \.encode\(\)"):
            socket.write(id, "text")  # type: ignore[arg-type]
        with pytest.raises(TypeError, match="bytes, not int"):
            socket.write(id, 5)  # type: ignore[arg-type]

    with Serving(handler) as s:
        s.client().expect(b"bytes array view low")
        assert s.log() == []


@pytest.mark.parametrize("own", [False, True])
def test_warnings_go_to_the_log_or_to_a_function(own: bool) -> None:
    """1, 2, 4, 8 MB, then 0 when all is sent."""
    sizes: list[int] = []

    def handler(id: int) -> None:
        if own:
            socket.warning(id, lambda id, size: sizes.append(size))
        socket.write(id, bytes(16 << 20))  # more than any kernel takes at once: the rest is not counted
        for _ in range(12):
            socket.write(id, bytes(1 << 20))

    with Serving(handler) as s:
        client = s.client()
        client.recv(28 << 20)
        s.run()
        expected = [1024, 2048, 4096, 8192, 0]
        assert sizes == (expected if own else [])
        assert s.log() == ([] if own else [f"WARNING: {n} K bytes need to send out (fd = 2)" for n in expected])


# ---- handing over, abandoning, onclose


def test_abandoned_data_is_logged() -> None:
    """After abandon the service knows the socket no more; data that still comes is dropped with a line."""
    with Serving(socket.abandon) as s:
        client = s.client()
        client.send(b"nobody home")
        s.run()
        assert s.log() == ["socket: drop package from 2"]


def test_abandon_wakes_the_reader() -> None:
    """Who reads in another coroutine gets None."""
    results: list[Any] = []

    def handler(id: int) -> None:
        skynet.fork(socket.abandon, id)
        results.append(socket.read(id))

    with Serving(handler) as s:
        s.client()
        assert results == [None]


def test_onclose() -> None:
    """The function gets the id with the CLOSE message, once, whoever closes."""
    closed: list[int] = []

    def handler(id: int) -> None:
        socket.onclose(id, closed.append)
        if id == 3:
            socket.close(id)
        elif id == 4:
            socket.onclose(id, None)

    with Serving(handler) as s:
        for _ in range(3):
            client = s.client()
            client.close()
            s.run()
        assert closed == [2, 3]


def test_starting_with_an_onclose_function_is_refused() -> None:
    """It would belong to an older life of that number."""

    def accept(id: int, peer: str) -> None:
        socket.onclose(id, lambda id: None)
        with pytest.raises(SocketError, match="set it after start"):
            socket.start(id)
        socket.onclose(id, None)
        socket.start(id)
        socket.write(id, b"ok")

    def body() -> int:
        lid = socket.listen("127.0.0.1", 0)
        socket.start(lid, accept)
        return socket.sockname(lid)[1]

    with Node(clock="virtual", log=list) as node:
        node.client(in_service(node, body)).expect(b"ok")


def test_start_twice_is_refused() -> None:
    """A socket that is in the pool already is not started again."""
    errors: list[str] = []

    def handler(id: int) -> None:
        with pytest.raises(SocketError, match="was started or opened here already"):
            socket.start(id)
        errors.append("refused")

    with Serving(handler) as s:
        s.client()
        assert errors == ["refused"]


def test_close_fd_is_for_what_was_not_started() -> None:
    """An accepted connection, or a listening socket without start, is closed without waiting."""

    def accept(id: int, peer: str) -> None:
        socket.close_fd(id)

    def body() -> int:
        socket.close_fd(socket.listen("127.0.0.1", 0))
        lid = socket.listen("127.0.0.1", 0)
        socket.start(lid, accept)
        with pytest.raises(SocketError, match=r"use socket\.close instead"):
            socket.close_fd(lid)
        return socket.sockname(lid)[1]

    with Node(clock="virtual", log=list) as node:
        node.client(in_service(node, body)).expect_eof()
        assert list(node.socket_server.table()) == [2]


def test_shutdown_then_close() -> None:
    """shutdown throws the queue away; close afterwards returns at once."""
    done: list[bool] = []

    def handler(id: int) -> None:
        socket.write(id, bytes(12 << 20))
        socket.shutdown(id)
        socket.close(id)
        done.append(socket.invalid(id))

    with Serving(handler) as s:
        client = s.client()
        s.node.run(until=lambda: client._fill() and client._eof, timeout=TIMEOUT)
        assert done == [True]
        assert client._total < 12 << 20


# ---- services that end


@pytest.mark.parametrize("end", ["exit", "kill"])
def test_sockets_of_a_service_end_with_it(end: str) -> None:
    """Connections and listeners are closed, started or not, what was written is delivered, `finally` may close too."""

    def handler(id: int) -> None:
        try:
            socket.write(id, b"bye")
            socket.readline(id)
        finally:
            socket.write(id, b"!")
            socket.close(id)

    def main() -> None:
        lid = socket.listen("127.0.0.1", 0)
        ports.append(socket.sockname(lid)[1])
        socket.start(lid, lambda id, peer: (socket.start(id), handler(id)))
        socket.listen("127.0.0.1", 0)
        skynet.dispatch("lua", lambda session, source: skynet.exit())

    ports: list[int] = []
    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(main)
        client = node.client(ports[0])
        client.expect(b"bye")
        if end == "exit":
            with pytest.raises(Exception, match="call failed"):
                node.call(addr, "lua")
        else:
            in_service(node, lambda: skynet.kill(addr))
        client.expect(b"!")
        client.expect_eof()
        node.run_until_idle()
        assert node.socket_server.table() == {}
        with pytest.raises(SocketError, match="cannot connect"):
            node.client(ports[0])
        assert not [line for line in node.log_lines if "rror" in line or "closed" in line]


def test_a_connection_handed_over_survives_its_acceptor() -> None:
    """Accepted and not started, it belongs to whoever starts it, also after the listener's service has ended."""

    def accept(id: int, peer: str) -> None:
        ids.append(id)
        skynet.exit()

    def acceptor() -> None:
        lid = socket.listen("127.0.0.1", 0)
        socket.start(lid, accept)
        ports.append(socket.sockname(lid)[1])

    def heir() -> None:
        socket.start(ids[0])
        socket.write(ids[0], b"mine now")
        socket.close(ids[0])

    ids: list[int] = []
    ports: list[int] = []
    with Node(clock="virtual", log=list) as node:
        node.newservice(acceptor)
        client = node.client(ports[0])
        node.run_until_idle()
        in_service(node, heir)
        client.expect(b"mine now")
        client.expect_eof()


# ---- opening: names and addresses


def test_open_refused() -> None:
    """The text of the ERROR message; the service goes on."""
    listener, port = peer_listener()
    listener.close()
    with Node(clock="virtual", log=list) as node:
        error = in_service(node, lambda: socket.open("127.0.0.1", port))
        assert isinstance(error, SocketError) and str(error) == "Connection refused"
        assert node.socket_server.table() == {}


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_open_by_address_and_by_name(host: str) -> None:
    """IPv4, IPv6 and a name, as two arguments or as "host:port"; a name tries all its addresses."""
    listener, port = peer_listener(pysocket.AF_INET6 if host == "::1" else pysocket.AF_INET)
    with Node(clock="virtual", log=list) as node:
        for address in ((host, port), (f"[{host}]:{port}" if ":" in host else f"{host}:{port}",)):

            def body(address: Any = address) -> int:
                id = socket.open(*address)
                socket.write(id, b"hi")
                return id

            assert isinstance(in_service(node, body), int)
            with accept(node, listener) as peer:
                assert received(node, peer, 2) == b"hi"
    listener.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost"])
def test_listen_by_address_and_by_name(host: str) -> None:
    """The three kinds of hosts can be listened on."""
    with Serving(lambda id: socket.write(id, b"hi"), host=host) as s:
        name = in_service(s.node, lambda: socket.sockname(1))[0]
        s.node.client((name, s.port)).expect(b"hi")


@pytest.mark.parametrize(
    ("address", "text"),
    [
        (("127.0.0.1",), "Invalid address 127.0.0.1."),
        (("127.0.0.1", 0), "Invalid port"),
        (("127.0.0.1:",), "Invalid port in address 127.0.0.1:."),
        (("127.0.0.1:abc",), "Invalid port in address 127.0.0.1:abc."),
        (("127.0.0.1:99999",), "Invalid port in address 127.0.0.1:99999."),
        (("127.0.0.1:-1",), "Invalid port in address 127.0.0.1:-1."),
        (("127.0.0.1:" + "9" * 5000,), "Invalid port in address 127.0.0.1:999"),
        (("127.0.0.1:\u00b2",), "Invalid port in address 127.0.0.1:\u00b2."),
        (("[::1]",), "Invalid address [::1]."),
        (("[::1:80",), "Invalid address [::1:80."),
        (("127.0.0.1", 65536), "Invalid port 65536"),
        ((8001,), "Invalid address 8001"),
        (("127.0.0.1", "80"), "Invalid address '127.0.0.1', '80'"),
    ],
)  # fmt: skip
def test_bad_addresses(address: Any, text: str) -> None:
    """Refused before anything is done, with the address in the text."""
    with Node(clock="virtual", log=list) as node:
        error = in_service(node, lambda: socket.open(*address))
        assert isinstance(error, SocketError) and str(error).startswith(text)
        if address != ("127.0.0.1", 0):
            error = in_service(node, lambda: socket.listen(*address))
            assert isinstance(error, SocketError) and str(error).startswith(text)


def test_listen_on_a_used_port() -> None:
    """The error names the reason and the address; the first listener goes on."""
    with Serving(lambda id: socket.write(id, b"hi")) as s:
        error = in_service(s.node, lambda: socket.listen("127.0.0.1", s.port))
        assert isinstance(error, SocketError)
        assert str(error) == f"Listen error: Address already in use (127.0.0.1:{s.port})"
        s.client().expect(b"hi")


def test_an_accept_function_that_raises_harms_nobody_else() -> None:
    """Its traceback goes to the log; the next connection, and other services, are served."""

    def accept(id: int, peer: str) -> None:
        if id == 2:
            raise RuntimeError("no, thanks")
        socket.start(id)
        socket.write(id, b"welcome")

    def body() -> int:
        lid = socket.listen("127.0.0.1", 0)
        socket.start(lid, accept)
        return socket.sockname(lid)[1]

    with Node(clock="virtual", log=list) as node:
        port = in_service(node, body)
        node.client(port)
        node.client(port).expect(b"welcome")
        assert any("RuntimeError: no, thanks" in line for line in node.log_lines)
        assert not any(os.sep + "tests" in line for line in node.log_lines)


def test_outside_of_a_coroutine_and_of_a_service() -> None:
    """Blocking calls need a coroutine, all calls a service; each says so."""
    with pytest.raises(Exception, match="inside a service only"):
        socket.listen("127.0.0.1", 0)
    with pytest.raises(Exception, match="inside a service only"):
        socket.write(1, b"x")


# ---- descriptors, UDP, looking


def test_bind_a_pipe_and_read_lines() -> None:
    """A descriptor of one's own is read like a connection; it stays open after close."""
    r, w = os.pipe()

    def body() -> list[Any]:
        id = socket.bind(r)
        os.write(w, b"one\ntwo\n")
        lines: list[Any] = [socket.readline(id), socket.readline(id)]
        os.close(w)
        lines.append(socket.readline(id))
        socket.close(id)
        return lines

    with Node(clock="virtual", log=list) as node:
        assert in_service(node, body) == [b"one", b"two", None]
    os.close(r)


def test_stdin_is_descriptor_zero() -> None:
    """stdin() binds descriptor 0, here a pipe put in its place."""
    r, w = os.pipe()
    kept = os.dup(0)
    os.dup2(r, 0)
    try:
        os.write(w, b"typed\n")
        with Node(clock="virtual", log=list) as node:
            assert in_service(node, lambda: socket.readline(socket.stdin())) == b"typed"
    finally:
        os.dup2(kept, 0)
        for fd in (kept, r, w):
            os.close(fd)


def test_udp_echo() -> None:
    """func(data, address) for each datagram; sendto answers; udp_address opens the address."""
    seen: list[tuple[str, int]] = []

    def main() -> None:
        def heard(data: bytes, address: bytes) -> None:
            seen.append(socket.udp_address(address))
            socket.sendto(id, address, data.upper())

        id = socket.udp(heard, "127.0.0.1", 0)
        ports.append(socket.sockname(id)[1])

    ports: list[int] = []
    with Node(clock="virtual", log=list) as node, pysocket.socket(type=pysocket.SOCK_DGRAM) as peer:
        node.newservice(main)
        peer.bind(("127.0.0.1", 0))
        peer.sendto(b"hello", ("127.0.0.1", ports[0]))
        node.run(until=lambda: readable(peer), timeout=TIMEOUT)
        assert peer.recv(100) == b"HELLO"
        assert seen == [peer.getsockname()]


def test_udp_address_goes_by_length() -> None:
    """7 bytes are IPv4, 19 are IPv6, whatever the first byte says; nothing else is an address."""
    assert socket.udp_address(b"\1\0\x50\x7f\0\0\1") == ("127.0.0.1", 80)
    assert socket.udp_address(b"\x09\x1f\x90\x0a\0\0\2") == ("10.0.0.2", 8080)
    assert socket.udp_address(b"\2\0\0" + bytes(15) + b"\1") == ("::1", 0)
    for bad in (b"", b"abc", b"\1\0\x50\x7f\0\0"):
        with pytest.raises(SocketError, match="^Invalid udp address"):
            socket.udp_address(bad)


def test_udp_between_two_services() -> None:
    """udp_dial writes to a default destination; udp_connect sets one later; a wrong id is refused."""
    heard: list[bytes] = []

    def server() -> int:
        id = socket.udp_listen("127.0.0.1", 0, lambda data, address: heard.append(data))
        return socket.sockname(id)[1]

    def client() -> None:
        dialled = socket.udp_dial("127.0.0.1", port, lambda data, address: None)
        assert socket.write(dialled, b"dialled")
        plain = socket.udp(lambda data, address: None)
        assert socket.write(plain, b"x") is False
        socket.udp_connect(plain, "127.0.0.1", port)
        assert socket.write(plain, b"connected")
        socket.close(plain)
        with pytest.raises(SocketError, match="is no UDP socket"):
            socket.udp_connect(plain, "127.0.0.1", port)
        with pytest.raises(SocketError, match="^udp listen host failed"):
            socket.udp_listen("192.0.2.1", 0, lambda data, address: None)  # no address of this machine

    with Node(clock="virtual", log=list) as node:
        port = in_service(node, server)
        assert in_service(node, client) is None
        node.run(until=lambda: len(heard) == 2, timeout=TIMEOUT)
        assert heard == [b"dialled", b"connected"]


def test_netstat_names_and_nodelay_from_a_service() -> None:
    """What a service can ask about its sockets."""
    seen: list[Any] = []

    def handler(id: int) -> None:
        socket.nodelay(id)
        seen.append([row["type"] for row in socket.netstat()])
        seen.append(socket.peername(id)[1])

    with Serving(handler) as s:
        client = s.client()
        assert seen == [["TCP", "LISTEN"], client._port]


def test_a_read_that_nobody_answers_is_a_timeout_not_a_hang() -> None:
    """run_until_idle returns while a coroutine reads; a client that waits in vain says for what."""
    with Serving(socket.readline) as s:
        client = s.node.client(s.port, timeout=0.05)
        s.run()
        with pytest.raises(DriveTimeout, match=r"client#1: a line did not come in 0\.05 s"):
            client.recv_line()


def test_messages_for_sockets_the_service_does_not_know() -> None:
    """Abandoned sockets that still speak: a line for each kind, and what cannot be kept is closed."""

    def main() -> None:
        def accept(id: int, peer: str) -> None:
            socket.start(id)
            socket.abandon(id)

        lid = socket.listen("127.0.0.1", 0)
        socket.start(lid, accept)
        ports.append(socket.sockname(lid)[1])
        datagrams = socket.udp(lambda data, address: None, "127.0.0.1", 0)
        ports.append(socket.sockname(datagrams)[1])
        socket.abandon(datagrams)
        skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.abandon(lid)))

    ports: list[int] = []
    with Node(clock="virtual", log=list) as node, pysocket.socket(type=pysocket.SOCK_DGRAM) as peer:
        addr = node.newservice(main)
        client = node.client(ports[0])
        node.run_until_idle()
        client.reset()
        node.run_until_idle()
        peer.sendto(b"x", ("127.0.0.1", ports[1]))
        node.run(until=lambda: "drop udp" in node.log_lines[-1], timeout=TIMEOUT)
        assert [line.partition("] ")[2] for line in node.log_lines if "socket:" in line] == [
            "socket: error on unknown 3 Connection reset by peer",
            "socket: drop udp package from 2",
        ]
        node.call(addr, "lua")
        node.client(ports[0]).expect_eof()


def test_only_one_closes_at_a_time() -> None:
    """While close waits for a reader, a second close and a new reader are refused; the first goes through."""
    results: list[Any] = []

    def handler(id: int) -> None:
        skynet.fork(socket.close, id)
        skynet.fork(second, id)
        results.append(socket.read(id))

    def second(id: int) -> None:
        for use in (socket.close, socket.block):
            with pytest.raises(SocketError, match=r"is being closed by co\d+|co\d+ reads from it already"):
                use(id)
        results.append("refused")

    with Serving(handler) as s:
        s.client().expect_eof()
        assert results == ["refused", None]


def test_close_does_not_wait_for_a_reader_that_was_killed() -> None:
    """The reader would have woken it; killed, it does so as well."""
    results: list[Any] = []

    def handler(id: int) -> None:
        reader = skynet.fork(socket.read, id, 5)
        skynet.sleep(1)
        skynet.fork(lambda: (socket.close(id), results.append("closed")))
        skynet.yield_()
        skynet.killthread(reader)

    with Serving(handler) as s:
        client = s.client()
        s.node.advance(1)
        client.expect_eof()
        assert results == ["closed"]
        assert list(s.node.service(s.addr).socket_pool or {}) == [s.listener]


def test_who_closes_is_killed() -> None:
    """The socket goes all the same; a reader that close has waited for hears of the end."""
    results: list[Any] = []

    def handler(id: int) -> None:
        if results:
            skynet.fork(lambda: results.append(socket.read(id, 5)))
            skynet.yield_()
        results.append("closes")
        skynet.fork(skynet.killthread, skynet.fork(socket.close, id))

    with Serving(handler) as s:
        for _ in range(2):
            s.client().expect_eof()
        assert results == ["closes", "closes", None]
        assert list(s.node.service(s.addr).socket_pool or {}) == [s.listener]


def test_a_socket_is_closed_with_the_coroutine_that_opens_it() -> None:
    """Killed in start or open, before the CONNECT has come: nobody else knows the socket, so it does not stay."""

    def kill(*what: Any) -> None:
        skynet.fork(skynet.killthread, skynet.fork(*what))

    with Node(clock="virtual", log=list) as node:
        ports: list[int] = []

        def server() -> None:
            listening = socket.listen("127.0.0.1", 0)
            ports.append(socket.sockname(listening)[1])
            socket.start(listening, lambda id, peer: kill(socket.start, id))

        addr = node.newservice(server)
        node.client(ports[0]).expect_eof()
        opener = node.newservice(lambda: kill(socket.open, "127.0.0.1", ports[0]))
        node.run_until_idle()
        assert list(node.socket_server.table().values()) == [("listen", addr)]
        assert len(node.service(addr).socket_pool or ()) == 1 and node.service(opener).socket_pool == {}
