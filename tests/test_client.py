"""node.client: a client that drives the node while it waits, and whose deeds count as work."""

from __future__ import annotations

import socket as pysocket
import threading
import time
from typing import Any

import pytest
from socket_harness import Serving, Spied, descriptors, in_service

from skynet_lite import Node, SkynetError, SocketError, skynet, socket
from skynet_lite.core.errors import DriveTimeout
from skynet_lite.core.outside import Outside


def echo(id: int) -> None:
    while (line := socket.readline(id)) is not None:
        socket.write(id, line + b"\n")
    socket.write(id, b"rest: " + socket.readall(id))
    socket.close(id)


def test_the_whole_of_a_conversation() -> None:
    """send, recv, recv_line, expect, shutdown, expect_eof, close."""
    with Serving(echo) as s:
        with s.client() as client:
            client.send(b"one\ntwo\nthree\n")
            assert client.recv_line() == b"one"
            assert client.recv(4) == b"two\n"
            client.expect(b"three\n")
            client.send(b"tail")
            client.shutdown()
            client.expect(b"rest: tail")
            client.expect_eof()
        assert client.closed and repr(client) == "<client#1 closed>"


class Late(Outside):
    """A busy kernel: what it has taken it delivers at the third poll after that."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: list[list[Any]] = []

    def send(self, sock: Any, data: bytes | memoryview) -> int:
        self.under_way.append([3, sock, bytes(data)])
        return len(data)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        for entry in self.under_way:
            entry[0] -= 1
        for _, sock, data in [entry for entry in self.under_way if entry[0] <= 0]:
            super().send(sock, data)
        self.under_way = [entry for entry in self.under_way if entry[0] > 0]
        return super().poll(timeout)


def test_all_that_was_written_is_heard() -> None:
    """What the kernel still holds is waited for: a client hears the same on a busy machine."""

    def handler(id: int) -> None:
        socket.write(id, b"good ")
        socket.write(id, b"morning")

    with Serving(handler, Late()) as s:
        client = s.client()
        assert client.recv_until(lambda: True) == b"good morning"
        assert client.recv_until(lambda: True) == b""


def test_what_is_wrong_is_said() -> None:
    """Other bytes, an end too early, bytes instead of the end, a reset, a str, a closed client."""

    def handler(id: int) -> None:
        socket.write(id, b"abc")
        socket.close(id)

    with Serving(handler) as s:
        client = s.client()
        with pytest.raises(AssertionError, match=r"expected b'xy', got b'ab'"):
            client.expect(b"xy")
        with pytest.raises(AssertionError, match=r"expected the end of the stream, got b'c'"):
            client.expect_eof()
        with pytest.raises(SocketError, match="ended within a line: b'c'"):
            client.recv_line()
        with pytest.raises(SocketError, match="ended after 1 of 5 bytes: b'c'"):
            client.recv(5)
        with pytest.raises(TypeError, match=r"use \.encode\(\)"):
            client.send("text")
        client.close()
        client.close()
        with pytest.raises(SkynetError, match="client#1 is closed"):
            client.send(b"x")
        with pytest.raises(SkynetError, match="client#1 is closed"):
            client.recv(1)


def test_nobody_listens() -> None:
    """The error asks the right question, and nothing is left of the client."""
    with Spied() as w:
        listener, port = w.listen()
        w.ss.close(w.me, listener)
        w.take()
        before = descriptors()
        with pytest.raises(
            SocketError, match=f"client#1: cannot connect to port {port}: ECONNREFUSED; does a service listen"
        ):
            w.node.client(port)
        with pytest.raises(OverflowError):
            w.node.client(70000)
        assert w.node.clients == {} and w.ss.awaited == {} and descriptors() == before


@pytest.mark.parametrize("how", ["send", "shutdown", "close", "reset"])
def test_deeds_count_as_work(how: str) -> None:
    """run_until_idle returns only when the socket server has seen what the client did."""
    for _ in range(20):
        with Spied() as w:
            _, port = w.listen()
            id, client = w.connected(port)
            getattr(client, how)(*[b"x"] * (how == "send"))
            expected = {
                "send": [("DATA", id, 1, b"x")],
                "shutdown": [("CLOSE", id, 0, "")],
                "close": [("CLOSE", id, 0, "")],
                "reset": [("ERROR", id, 0, "Connection reset by peer"), ("CLOSE", id, 0, "")],
            }
            assert w.take() == expected[how]


def test_a_client_that_leaves_before_it_is_accepted() -> None:
    """It is accepted all the same, and its end is seen when it is started."""
    with Spied() as w:
        listener, port = w.listen()
        client = w.node.client(port)
        client.send(b"hello and goodbye")
        client.close()
        assert [message[0] for message in w.take()] == ["ACCEPT"]
        w.ss.start(w.me, 2)
        assert w.take() == [("CONNECT", 2, 0, "start"), ("DATA", 2, 17, b"hello and goodbye"), ("CLOSE", 2, 0, "")]
        w.ss.close(w.me, 2)
        assert w.take() == []
        assert w.node.clients == {} and w.ss.awaited == {}


def test_clients_leave_nothing_behind() -> None:
    """After a hundred conversations nothing is remembered of them."""
    with Serving(echo) as s:
        before = descriptors()
        for _ in range(100):
            client = s.client()
            client.send(b"x\n")
            client.expect(b"x\n")
            client.close()
        s.run()
        assert s.node.clients == {} and s.node.socket_server.awaited == {}
        assert descriptors() == before


@pytest.mark.parametrize("paused", [False, True])
def test_a_listener_that_does_not_accept_is_no_work(paused: bool) -> None:
    """Never started, or paused: the kernel connects, idleness does not wait, and a wait ends with its timeout."""
    with Spied() as w:
        id = w.ss.listen(w.me, "127.0.0.1", 0, 32)
        if paused:
            w.ss.start(w.me, id)
            w.ss.pause(w.me, id)
        w.take()
        client = w.node.client(w.ss.sockname(id)[1], timeout=0.05)
        client.send(b"x")
        assert w.take() == []
        with pytest.raises(DriveTimeout, match=r"client#1: 1 bytes did not come in 0\.05 s"):
            client.recv(1)
        client.close()
        assert w.take() == []
        assert w.node.clients == {} and w.ss.awaited == {}


def test_time_moves_for_a_listener_that_is_started_later() -> None:
    """A client waits, nothing can run: virtual time jumps to the start of the listener."""

    def main() -> None:
        def accept(id: int, peer: str) -> None:
            socket.start(id)
            socket.write(id, b"at last\n")

        lid = socket.listen("127.0.0.1", 0)
        ports.append(socket.sockname(lid)[1])
        skynet.fork(lambda: (skynet.sleep(500), socket.start(lid, accept)))

    ports: list[int] = []
    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        assert node.client(ports[0]).recv_line() == b"at last"
        assert node.clock.now() == 500


def test_a_port_of_somebody_else_is_no_work() -> None:
    """Nothing to wait for in run_until_idle; but a client that waits is not kept waiting longer than needed."""
    with Node(clock="virtual", log=list) as node, pysocket.create_server(("127.0.0.1", 0)) as server:
        client = node.client(server.getsockname()[1])
        conn, _ = server.accept()
        node.run_until_idle()
        helper = threading.Thread(target=conn.sendall, args=(b"from outside\n",))
        begin = time.monotonic()
        helper.start()
        assert client.recv_line() == b"from outside"
        assert time.monotonic() - begin < 3
        helper.join()
        conn.close()
        client.expect_eof()
        client.close()
        node.run_until_idle()
        assert node.clients == {}


def test_a_port_of_another_node() -> None:
    """Two nodes in a process: the other one is served by its thread."""
    ports: list[int] = []

    def main() -> None:
        lid = socket.listen("127.0.0.1", 0)
        ports.append(socket.sockname(lid)[1])
        socket.start(lid, lambda id, peer: (socket.start(id), echo(id)))

    with Node(log=list) as served, Node(clock="virtual", log=list) as node:
        served.serve()
        served.newservice(main)
        client = node.client(ports[0])
        client.send(b"hello\n")
        client.expect(b"hello\n")
        own = served.client(ports[0])
        own.send(b"hello\n")
        own.expect(b"hello\n")


def test_a_full_connection_is_waited_for() -> None:
    """send() drives the node while there is no room; megabytes go through both ways."""

    def handler(id: int) -> None:
        while data := socket.read(id):
            received[0] += len(data)
        socket.write(id, b"%d" % received[0])

    received = [0]
    with Serving(handler) as s:
        client = s.client()
        client.send(bytes(20_000_000))
        client.shutdown()
        client.expect(b"20000000")


def test_a_client_appears_in_the_trace() -> None:
    """Its actions stand beside the events of the node, under its name."""
    with Serving(echo) as s, s.node.record() as trace:
        client = s.client()
        client.send(b"hello\n")
        client.expect(b"hello\n")
        client.reset()
        s.run()
    actions = [(e["client"], e["action"], e["detail"]) for e in trace.events if e["e"] == "client"]
    assert actions == [("client#1", "connect", ""), ("client#1", "send", "6 bytes"),
                       ("client#1", "recv", "6 bytes"), ("client#1", "reset", "")]  # fmt: skip


def test_the_same_every_time() -> None:
    """Live sockets and several clients: one trace."""

    def play() -> str:
        with Serving(echo) as s, s.node.record() as trace:
            clients = [s.node.client(s.port) for _ in range(5)]
            for client in reversed(clients):
                client.send(client.label.encode() + b"\n")
            for client in clients:
                client.expect(client.label.encode() + b"\n")
            clients[0].shutdown()
            clients[1].close()
            clients[2].reset()
            s.run()
        text: str = trace.text()
        for client in (s.port, *[c._port for c in clients]):
            text = text.replace(str(client), "PORT")
        return text

    first = play()
    assert "ACCEPT" in first
    assert all(play() == first for _ in range(10))


def test_ipv6_client() -> None:
    """(host, port) instead of a port."""
    with Serving(lambda id: socket.write(id, b"six"), host="::1") as s:
        s.node.client(("::1", s.port)).expect(b"six")


def test_a_client_inside_a_service_is_refused() -> None:
    """It would have to drive the node that is running it."""
    with Serving(echo) as s:
        outcome: Any = in_service(s.node, lambda: s.node.client(s.port).recv(1))
        assert isinstance(outcome, SkynetError)
        s.run()
