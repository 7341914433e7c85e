"""A world that misbehaves: everything enters a node through one object, and here it is replaced."""

from __future__ import annotations

import errno
import os
import socket as pysocket
import threading
from typing import Any

import pytest
from socket_harness import TIMEOUT, Limited, Serving, Spied, accept, in_service, peer_listener, received

from skynet_lite import Node, SocketError, skynet, socket
from skynet_lite.core.outside import LOOKUP_THREADS, AddressInfo, Outside


def failure(code: int) -> OSError:
    return OSError(code, os.strerror(code))


def echo(id: int) -> None:
    while (line := socket.readline(id)) is not None:
        socket.write(id, line + b"\n")
    socket.close(id)


class Scripted(Outside):
    """Each call of `method` first looks into `script[method]`: an errno fails it, None lets it pass."""

    def __init__(self, **script: list[int | None]) -> None:
        super().__init__()
        self.script = script

    def _trouble(self, method: str) -> int | None:
        steps = self.script.get(method)
        return steps.pop(0) if steps else None

    def recv(self, sock: Any, size: int) -> bytes:
        if code := self._trouble("recv"):
            raise failure(code)
        return super().recv(sock, size)

    def send(self, sock: Any, data: bytes | memoryview) -> int:
        if code := self._trouble("send"):
            raise failure(code)
        return super().send(sock, data)

    def accept(self, sock: pysocket.socket) -> tuple[pysocket.socket, Any]:
        if code := self._trouble("accept"):
            raise failure(code)
        return super().accept(sock)

    def socket(self, family: int, kind: int) -> pysocket.socket:
        if code := self._trouble("socket"):
            raise failure(code)
        return super().socket(family, kind)

    def connect(self, sock: pysocket.socket, address: Any) -> int:
        code = self._trouble("connect")
        if code == errno.EINTR:
            super().connect(sock, address)  # interrupted, but under way
        return code or super().connect(sock, address)

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        if code := self._trouble("poll"):
            raise failure(code)
        return super().poll(timeout)

    def sendto(self, sock: pysocket.socket, data: bytes, address: Any) -> int:
        if code := self._trouble("sendto"):
            raise failure(code)
        return super().sendto(sock, data, address)

    def recvfrom(self, sock: pysocket.socket, size: int) -> tuple[bytes, Any]:
        if code := self._trouble("recvfrom"):
            raise failure(code)
        return super().recvfrom(sock, size)


class Dribble(Outside):
    """The kernel takes three bytes at a time, and gives two."""

    def send(self, sock: Any, data: bytes | memoryview) -> int:
        return super().send(sock, data[:3])

    def recv(self, sock: Any, size: int) -> bytes:
        return super().recv(sock, 2)


def test_short_writes_and_short_reads() -> None:
    """Pieces of any size make the same lines."""
    with Serving(echo, Dribble()) as s:
        client = s.client()
        client.send(b"a line that is long\nand another\n")
        client.expect(b"a line that is long\nand another\n")
        client.close()
        s.run()
        assert list(s.node.socket_server.table()) == [1]


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EINTR])
def test_try_again_is_no_error(code: int) -> None:
    """EAGAIN and EINTR, wherever they come up, only delay."""
    trouble: list[int | None] = [code, code, None, code]
    outside = Scripted(recv=trouble[:], send=trouble[:], accept=trouble[:])
    with Serving(echo, outside) as s:
        client = s.client()
        for line in (b"hello\n", b"again\n"):
            client.send(line)
            client.expect(line)
        s.client()
        assert not any(outside.script.values())
        assert s.log() == []


def test_an_interrupted_poll_is_polled_again() -> None:
    """EINTR of the poller itself."""
    with Serving(echo, Scripted(poll=[errno.EINTR] * 3)) as s:
        client = s.client()
        client.send(b"hello\n")
        client.expect(b"hello\n")


def test_a_read_that_fails_ends_the_socket() -> None:
    """ERROR with the system's text, one CLOSE, and the descriptor is gone."""
    outside = Scripted()
    with Spied(outside) as w:
        _, port = w.listen()
        id, client = w.connected(port)
        outside.script["recv"] = [errno.ETIMEDOUT]
        client.send(b"x")
        assert w.take() == [("ERROR", id, 0, "Connection timed out"), ("CLOSE", id, 0, "")]
        assert w.row(id) is None


def test_a_write_that_fails_is_told_when_the_socket_is_looked_at() -> None:
    """The direct write is accepted whatever happens; the queued one fails, with ERROR and one CLOSE."""
    outside = Scripted()
    with Spied(outside) as w:
        _, port = w.listen()
        id, client = w.connected(port)
        outside.script["send"] = [errno.ECONNRESET, errno.ECONNRESET]
        assert w.ss.send(w.me, id, b"x") is True
        assert w.take() == [("ERROR", id, 0, "Connection reset by peer"), ("CLOSE", id, 0, "")]
        client.expect_eof()


def test_texts_are_cut() -> None:
    """No text of a message is longer than 128."""

    class Wordy(Outside):
        def resolve(self, host: str, port: int, kind: int) -> list[AddressInfo]:
            raise OSError(1, "long " * 100)

    with Spied(Wordy()) as w:
        id = w.ss.connect(w.me, "somewhere", 80)
        assert w.take() == [("ERROR", id, 0, ("long " * 100)[:128]), ("CLOSE", id, 0, "")]


# ---- connecting


class SlowConnect(Outside):
    """Connections are EINPROGRESS until `ready`."""

    def __init__(self) -> None:
        super().__init__()
        self.ready = False
        self._begun: dict[int, tuple[pysocket.socket, Any]] = {}

    def connect(self, sock: pysocket.socket, address: Any) -> int:
        self._begun[sock.fileno()] = (sock, address)
        return errno.EINPROGRESS

    def poll(self, timeout: float | None) -> list[tuple[int, int]]:
        if self.ready:
            for sock, address in self._begun.values():
                sock.connect_ex(address)
            self._begun.clear()
        return [event for event in super().poll(timeout) if event[0] not in self._begun]


def test_a_slow_connect_stops_nobody() -> None:
    """Other services go on, and idleness and virtual time wait for the answer that the world owes."""
    outside = SlowConnect()
    listener, port = peer_listener()
    done: list[str] = []

    def opener() -> None:
        id = socket.open("127.0.0.1", port)
        done.append("connected")
        socket.write(id, b"hi")

    def other() -> None:
        for _ in range(3):
            skynet.yield_()
        done.append("other")
        skynet.sleep(1000)
        done.append("time moved")
        skynet.wait()

    with Node(clock="virtual", log=list, outside=outside) as node:
        node.newservice(opener, wait=False)
        node.newservice(other, wait=False)
        node.run(until=lambda: done == ["other"], timeout=TIMEOUT)
        for _ in range(50):
            node.step()
        assert node.clock.now() == 0
        outside.ready = True
        with accept(node, listener) as peer:
            assert received(node, peer, 2) == b"hi"
        node.run(until=lambda: len(done) == 3, timeout=TIMEOUT)
        assert done == ["other", "connected", "time moved"]
    listener.close()


def test_an_interrupted_connect_goes_on() -> None:
    """EINTR from connect means that the kernel carries on."""
    listener, port = peer_listener()
    with Spied(Scripted(connect=[errno.EINTR])) as w:
        id = w.ss.connect(w.me, "127.0.0.1", port)
        w.until(lambda: w.messages)
        assert w.take() == [("CONNECT", id, 0, "127.0.0.1")]
    listener.close()


def test_a_connect_that_needs_no_waiting() -> None:
    """Some systems connect to themselves at once: CONNECT comes in the same poll, once."""

    class AtOnce(Outside):
        def connect(self, sock: pysocket.socket, address: Any) -> int:
            sock.setblocking(True)
            code = super().connect(sock, address)
            sock.setblocking(False)
            return code

    listener, port = peer_listener()
    with Spied(AtOnce()) as w:
        id = w.ss.connect(w.me, "127.0.0.1", port)
        assert w.take() == [("CONNECT", id, 0, "127.0.0.1")]
        assert w.ss.connecting == 0 and not w.ss.flushing()
    listener.close()


def test_connect_fails_at_once() -> None:
    """An error of connect itself, and one of making the socket."""
    outside = Scripted(connect=[errno.ENETUNREACH])
    with Spied(outside) as w:
        id = w.ss.connect(w.me, "127.0.0.1", 9)
        assert w.take() == [("ERROR", id, 0, "Network is unreachable"), ("CLOSE", id, 0, "")]
        outside.script["socket"] = [errno.EMFILE]
        id = w.ss.connect(w.me, "127.0.0.1", 9)
        assert w.take() == [("ERROR", id, 0, "Too many open files"), ("CLOSE", id, 0, "")]
        assert w.ss.connecting == 0


def test_listen_out_of_descriptors() -> None:
    """The error names the reason and the address."""
    with Spied(Scripted(socket=[errno.EMFILE])) as w:
        with pytest.raises(SocketError, match=r"^Listen error: Too many open files \(127\.0\.0\.1:0\)$"):
            w.ss.listen(w.me, "127.0.0.1", 0, 32)


def test_accept_out_of_descriptors_is_logged_and_the_node_idles_again() -> None:
    """The dropped client sees the end; run_until_idle does not wait for it to be accepted."""
    with Serving(echo, Scripted(accept=[errno.EMFILE])) as s:
        dropped = s.node.client(s.port)
        s.run()
        assert s.log() == ["socket: accept error: Too many open files"]
        dropped.expect_eof()
        client = s.client()
        client.send(b"next\n")
        client.expect(b"next\n")


# ---- names


class Names(Outside):
    """Names known to the test; each lookup waits for `gate`."""

    def __init__(self, **names: list[tuple[int, tuple[Any, ...]]]) -> None:
        super().__init__()
        self.names = names
        self.gate = threading.Event()

    def resolve(self, host: str, port: int, kind: int) -> list[AddressInfo]:
        if host[:1].isdigit():
            return super().resolve(host, port, kind)
        assert self.gate.wait(TIMEOUT)
        if host not in self.names:
            raise pysocket.gaierror(pysocket.EAI_NONAME, "Name or service not known")
        return [(family, kind, 0, "", address) for family, address in self.names[host]]


def test_a_slow_lookup_stops_nobody() -> None:
    """The node answers calls while a name is being looked up in a thread."""
    listener, port = peer_listener()
    outside = Names(there=[(pysocket.AF_INET, ("127.0.0.1", port))])
    done: list[Any] = []

    def opener() -> None:
        done.append(socket.open("there", port))

    def answering() -> None:
        skynet.dispatch("lua", lambda session, source, x: skynet.retpack(x))

    with Node(clock="virtual", log=list, outside=outside) as node:
        node.newservice(opener, wait=False)
        addr = node.newservice(answering)
        assert [node.call(addr, "lua", i) for i in range(5)] == list(range(5))
        assert done == [] and node.socket_server.connecting == 1
        outside.gate.set()
        node.run(until=lambda: done, timeout=TIMEOUT)
        assert done == [1] and node.socket_server.connecting == 0
    listener.close()


def test_all_addresses_of_a_name_are_tried() -> None:
    """The first refuses, the second answers: one CONNECT, from there. If all refuse, the last error counts."""
    listener, port = peer_listener()
    closed, bad = peer_listener()
    closed.close()
    refuses, answers = (pysocket.AF_INET, ("127.0.0.1", bad)), (pysocket.AF_INET, ("127.0.0.1", port))
    outside = Names(good=[refuses, answers], bad=[refuses, refuses])
    outside.gate.set()
    with Spied(outside) as w:
        id = w.ss.connect(w.me, "good", port)
        assert w.take() == [("CONNECT", id, 0, "127.0.0.1")]
        assert w.ss.peername(id) == ("127.0.0.1", port)
        id = w.ss.connect(w.me, "bad", port)
        assert w.take() == [("ERROR", id, 0, "Connection refused"), ("CLOSE", id, 0, "")]
    listener.close()


def test_unknown_names() -> None:
    """A failed lookup is the error of open; so is a name that no resolver would take."""
    outside = Names()
    outside.gate.set()
    with Node(clock="virtual", log=list, outside=outside) as node:
        error = in_service(node, lambda: socket.open("nowhere", 80))
        assert isinstance(error, SocketError) and str(error) == "Name or service not known"
    with Node(clock="virtual", log=list) as node:
        for host in ("a..b", "x" * 300, "nul\0", ""):
            error = in_service(node, lambda host=host: socket.open(host, 80))
            assert isinstance(error, SocketError) and str(error) == "Name or service not known", host


def test_close_during_a_lookup() -> None:
    """CLOSE at once; the answer, when it comes, finds nobody."""
    outside = Names(there=[(pysocket.AF_INET, ("127.0.0.1", 9))])
    with Spied(outside) as w:
        id = w.ss.connect(w.me, "there", 9)
        w.ss.close(w.me, id)
        assert w.take() == [("CLOSE", id, 0, "")]
        assert w.ss.connecting == 0
        outside.gate.set()
        assert w.take() == []


def test_many_lookups_share_a_few_threads() -> None:
    """Two hundred names at once start no two hundred threads, and none is left afterwards."""
    listener, port = peer_listener()
    listener.listen(200)
    outside = Names(there=[(pysocket.AF_INET, ("127.0.0.1", port))])
    before = threading.active_count()
    with Spied(outside) as w:
        ids = [w.ss.connect(w.me, "there", port) for _ in range(200)]
        w.ss.poll(0)
        assert threading.active_count() - before <= LOOKUP_THREADS
        outside.gate.set()
        assert {(name, id) for name, id, _, _ in w.take()} == {("CONNECT", id) for id in ids}
    assert threading.active_count() == before
    listener.close()


# ---- UDP


def test_udp_without_room_waits() -> None:
    """EAGAIN keeps the datagrams in order; an error of another kind drops one, with a line."""
    outside = Scripted()
    with Spied(outside) as w, pysocket.socket(type=pysocket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        id = w.ss.udp_dial(w.me, "127.0.0.1", peer.getsockname()[1])
        w.take()
        outside.script["sendto"] = [errno.EAGAIN, errno.EINTR, None, errno.EPERM]
        for data in (b"one", b"two", b"three"):
            assert w.ss.send(w.me, id, data)
        assert received(w.node, peer, 3) == b"one"
        assert received(w.node, peer, 5) == b"three"
        assert w.lines()[-1] == f"[:00000000] socket-server : udp ({id}) sendto error Operation not permitted."
        row = w.row(id)
        assert row is not None and (row["wbuffer"], row["writing"]) == (0, False)
        outside.script["sendto"] = [errno.EAGAIN]
        w.ss.send(w.me, id, b"last")
        w.ss.close(w.me, id)
        assert received(w.node, peer, 4) == b"last"
        assert w.take() == [("CLOSE", id, 0, "")] and w.row(id) is None


def test_udp_that_cannot_receive() -> None:
    """EAGAIN is nothing; another error ends the socket."""
    outside = Scripted()
    with Spied(outside) as w, pysocket.socket(type=pysocket.SOCK_DGRAM) as peer:
        id = w.ss.udp(w.me, "127.0.0.1", 0)
        w.take()
        outside.script["recvfrom"] = [errno.EAGAIN, None, errno.ENOMEM]
        peer.sendto(b"heard", w.ss.sockname(id))
        w.until(lambda: w.messages)
        assert w.take()[0][3][0] == b"heard"
        peer.sendto(b"lost", w.ss.sockname(id))
        w.until(lambda: w.messages)
        assert w.take() == [("ERROR", id, 0, "Cannot allocate memory"), ("CLOSE", id, 0, "")]


def test_timers_wait_for_unsent_bytes() -> None:
    """Virtual time does not jump while the kernel still has to take something; a real deadline still ends it."""
    outside = Limited()
    with Serving(lambda id: (socket.write(id, b"wait for me"), skynet.sleep(10), socket.write(id, b".")), outside) as s:
        outside.room = 4
        client = s.client()
        client.expect(b"wait")
        s.run()
        assert s.node.clock.now() == 0
        outside.room = None
        client.expect(b" for me.")
        assert s.node.clock.now() == 10
