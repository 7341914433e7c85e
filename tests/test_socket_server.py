"""The socket server alone: which messages a service gets, with which fields, in which order."""

from __future__ import annotations

import os
import resource
import socket as pysocket
import struct
from typing import Any

import pytest
from socket_harness import Limited, Spied, accept, peer_listener, readable, received

from skynet_lite import SocketError
from skynet_lite.core.socket_slots import MAX_SOCKET
from skynet_lite.core.socket_udp import pack_udp_address, unpack_udp_address

KB = 1024
MB = 1024 * 1024
REFUSED, RESET, PIPE = "Connection refused", "Connection reset by peer", "Broken pipe"


def option(w: Spied, id: int, level: int, name: int) -> int:
    value: int = w.ss._sockets[id].sock.getsockopt(level, name)
    return value


# ---- listen, accept, start


def test_listen_says_nothing_and_start_opens_the_door() -> None:
    """listen posts no message (as v1.1.0); start answers CONNECT "start"; only then clients are accepted."""
    with Spied() as w:
        id = w.ss.listen(w.me, "127.0.0.1", 0, 32)
        assert w.take() == []
        assert w.ss.table() == {1: ("plisten", w.me)}
        client = w.node.client(w.ss.sockname(id)[1])
        assert w.take() == []
        w.ss.start(w.me, id)
        assert w.take() == [("CONNECT", id, 0, "start"), ("ACCEPT", id, 2, f"127.0.0.1:{client._port}")]


def test_accepted_connection_is_not_read_before_start() -> None:
    """Data waits in the kernel until a service starts the connection; a second start says "transfer"."""
    with Spied() as w:
        _, port = w.listen()
        id, client = w.accepted(port)
        client.send(b"hello")
        assert w.take() == []
        w.ss.start(w.me, id)
        assert w.take() == [("CONNECT", id, 0, "start"), ("DATA", id, 5, b"hello")]
        w.ss.start(w.me, id)
        assert w.take() == [("CONNECT", id, 0, "transfer")]


def test_start_takes_the_connection_over() -> None:
    """Messages go to whoever called start last."""
    with Spied() as w:
        _, port = w.listen()
        id, client = w.connected(port)
        others: list[Any] = []
        other = w.spy(others)
        w.ss.start(other, id)
        client.send(b"for the other")
        assert w.take() == []
        assert others == [("CONNECT", id, 0, "transfer"), ("DATA", id, 13, b"for the other")]


@pytest.mark.parametrize("backlog", [5, 32, 200])
def test_backlog_reaches_the_kernel_unchanged(backlog: int) -> None:
    """The kernel reports the backlog of a listening socket in TCP_INFO."""
    with Spied() as w:
        id = w.ss.listen(w.me, "127.0.0.1", 0, backlog)
        info = w.ss._sockets[id].sock.getsockopt(pysocket.IPPROTO_TCP, pysocket.TCP_INFO, 32)
        assert struct.unpack_from("I", info, 28)[0] == backlog


def test_socket_options() -> None:
    """SO_REUSEADDR on listeners, keepalive on connections of both kinds, TCP_NODELAY only by request."""
    with Spied() as w:
        listener, port = w.listen()
        assert option(w, listener, pysocket.SOL_SOCKET, pysocket.SO_REUSEADDR)
        incoming, _ = w.connected(port)
        peer, peer_port = peer_listener()
        outgoing = w.ss.connect(w.me, "127.0.0.1", peer_port)
        w.take()
        for id in (incoming, outgoing):
            assert option(w, id, pysocket.SOL_SOCKET, pysocket.SO_KEEPALIVE)
            assert not option(w, id, pysocket.IPPROTO_TCP, pysocket.TCP_NODELAY)
            w.ss.nodelay(w.me, id)
            w.take()
            assert option(w, id, pysocket.IPPROTO_TCP, pysocket.TCP_NODELAY)
        peer.close()


def test_empty_host_means_every_address() -> None:
    """ "" listens on 0.0.0.0."""
    with Spied() as w:
        id = w.ss.listen(w.me, "", 0, 32)
        assert w.ss.sockname(id)[0] == "0.0.0.0"


def test_ipv6_peers_appear_without_brackets() -> None:
    """An IPv6 peer is "::1:PORT"."""
    with Spied() as w:
        id, port = w.listen("::1")
        client = w.node.client(("::1", port))
        assert w.take() == [("ACCEPT", id, 2, f"::1:{client._port}")]
        assert w.ss.peername(2) == ("::1", client._port)


def test_ids_count_from_one_and_are_no_descriptors() -> None:
    """One counter for all kinds; the number of a closed socket is not used again."""
    with Spied() as w:
        _, port = w.listen()
        ids = [w.connected(port)[0] for _ in range(3)]
        assert ids == [2, 3, 4]
        w.ss.close(w.me, 3)
        w.take()
        assert w.connected(port)[0] == 5
        assert w.ss.udp(w.me, None, 0) == 6


def test_ids_wrap_and_skip_slots_in_use() -> None:
    """65536 slots: an id whose number modulo 65536 is taken is passed over; after 2**31-1 comes 1."""
    with Spied() as w:
        first = w.ss.udp(w.me, None, 0)
        assert first == 1
        w.ss._alloc_id = MAX_SOCKET - 1
        assert w.ss.udp(w.me, None, 0) == MAX_SOCKET
        assert w.ss.udp(w.me, None, 0) == MAX_SOCKET + 2
        w.ss._alloc_id = 0x7FFFFFFF
        assert w.ss.udp(w.me, None, 0) == 3


def test_errors_of_listen() -> None:
    """A used port, an address that is not ours, and no address at all: "Listen error" at once."""
    with Spied() as w:
        _, port = w.listen()
        for host, number in (("127.0.0.1", port), ("999.1.1.1", 0), ("192.0.2.1", 0), ("a..b", 0)):
            with pytest.raises(SocketError, match=r"^Listen error: .* \(" + host.replace(".", r"\.")):
                w.ss.listen(w.me, host, number, 32)
        assert len(w.ss.table()) == 1


# ---- connect


def test_connect_needs_no_start() -> None:
    """CONNECT carries the peer's address without the port; reading and writing begin at once."""
    with Spied() as w:
        listener, port = peer_listener()
        id = w.ss.connect(w.me, "127.0.0.1", port)
        assert w.take() == [("CONNECT", id, 0, "127.0.0.1")]
        peer = accept(w.node, listener)
        assert w.ss.send(w.me, id, b"hi")
        assert received(w.node, peer, 2) == b"hi"
        peer.send(b"yo")
        w.until(lambda: w.messages)
        assert w.take() == [("DATA", id, 2, b"yo")]
        w.ss.start(w.me, id)
        assert w.take() == [("CONNECT", id, 0, "transfer")]
        peer.close()
        w.until(lambda: w.messages)
        assert w.take() == [("CLOSE", id, 0, "")]
        listener.close()


def test_refused_connect_is_an_error_and_one_close() -> None:
    """ERROR ends the socket, one CLOSE follows, and the id means nothing any more."""
    with Spied() as w:
        listener, port = peer_listener()
        listener.close()
        id = w.ss.connect(w.me, "127.0.0.1", port)
        assert w.take() == [("ERROR", id, 0, REFUSED), ("CLOSE", id, 0, "")]
        assert w.ss.send(w.me, id, b"x") is False
        assert w.ss.table() == {}


def test_writes_before_connect_are_queued() -> None:
    """A port may queue what the real thing must not be given yet: it is sent when the connection is there."""
    with Spied() as w:
        listener, port = peer_listener()
        id = w.ss.connect(w.me, "127.0.0.1", port)
        assert w.ss.send(w.me, id, b"early ")
        w.take()
        assert w.ss.send(w.me, id, b"late")
        with accept(w.node, listener) as peer:
            assert received(w.node, peer, 10) == b"early late"
        listener.close()


def test_close_before_connect_still_delivers() -> None:
    """open, write, close in one go: CLOSE at once, no CONNECT, and the bytes arrive."""
    with Spied() as w:
        listener, port = peer_listener()
        id = w.ss.connect(w.me, "127.0.0.1", port)
        w.ss.send(w.me, id, b"bye")
        w.ss.close(w.me, id)
        assert w.take() == [("CLOSE", id, 0, "")]
        with accept(w.node, listener) as peer:
            assert received(w.node, peer, 4) == b"bye"
        assert w.ss.table() == {}
        listener.close()


# ---- the end of a connection


def test_half_close() -> None:
    """The peer finishes writing: DATA, one CLOSE; ours stays writable and listed until close, which says nothing."""
    with Spied() as w:
        _, port = w.listen()
        id, client = w.connected(port)
        client.send(b"0123456789")
        client.shutdown()
        assert w.take() == [("DATA", id, 10, b"0123456789"), ("CLOSE", id, 0, "")]
        row = w.row(id)
        assert row is not None and (row["type"], row["reading"]) == ("CLOSING", False)
        assert w.ss.send(w.me, id, b"after fin")
        client.expect(b"after fin")
        w.ss.start(w.me, id)
        assert w.take() == [("ERROR", id, 0, "socket closed")]
        w.ss.close(w.me, id)
        client.expect_eof()
        assert w.take() == []
        assert w.row(id) is None


def test_broken_pipe_after_the_peer_has_gone() -> None:
    """After a half close a full close is silent; the first write is accepted and brings ERROR, and no second CLOSE."""
    with Spied() as w:
        _, port = w.listen()
        id, client = w.connected(port)
        client.shutdown()
        assert w.take() == [("CLOSE", id, 0, "")]
        client.close()
        assert w.take() == []
        assert w.ss.send(w.me, id, b"x") is True
        assert w.take() == [("ERROR", id, 0, PIPE)]
        assert w.ss.send(w.me, id, b"x") is False
        w.ss.close(w.me, id)
        assert w.take() == []


@pytest.mark.parametrize("how", ["reset", "close with unread bytes"])
def test_reset(how: str) -> None:
    """ERROR, then CLOSE, by themselves; a close with unread bytes looks the same on the wire."""
    with Spied() as w:
        _, port = w.listen()
        id, client = w.connected(port)
        if how == "reset":
            client.reset()
        else:
            w.ss.send(w.me, id, b"never read")
            w.take()
            client.close()
        assert w.take() == [("ERROR", id, 0, RESET), ("CLOSE", id, 0, "")]
        assert w.ss.send(w.me, id, b"x") is False
        w.ss.shutdown(w.me, id)
        assert w.take() == []


def test_reset_reaches_who_does_not_read() -> None:
    """Paused or not started: a reset is reported all the same, to the owner."""
    with Spied() as w:
        _, port = w.listen()
        waiting, first = w.accepted(port)
        paused, second = w.connected(port)
        w.ss.pause(w.me, paused)
        w.take()
        first.reset()
        second.reset()
        messages = [
            (name, id, ud, data)
            for id in (waiting, paused)
            for name, ud, data in (("ERROR", 0, RESET), ("CLOSE", 0, ""))
        ]
        assert w.take() == messages


@pytest.mark.parametrize("command", ["close", "shutdown"])
def test_close_of_an_idle_connection(command: str) -> None:
    """One CLOSE, the client sees the end; a second close does nothing."""
    with Spied() as w:
        _, port = w.listen()
        id, client = w.connected(port)
        getattr(w.ss, command)(w.me, id)
        getattr(w.ss, command)(w.me, id)
        client.expect_eof()
        assert w.take() == [("CLOSE", id, 0, "")]
        assert w.ss.send(w.me, id, b"x") is False


def test_close_before_start_and_close_of_a_listener() -> None:
    """Both are answered with a CLOSE of that id."""
    with Spied() as w:
        listener, port = w.listen()
        id, client = w.accepted(port)
        w.ss.close(w.me, id)
        w.ss.close(w.me, listener)
        assert w.take() == [("CLOSE", id, 0, ""), ("CLOSE", listener, 0, "")]
        client.expect_eof()
        with pytest.raises(SocketError, match="cannot connect"):
            w.node.client(port)


def test_unknown_ids() -> None:
    """start answers ERROR and one CLOSE; close, shutdown, pause, nodelay say nothing; send is False."""
    with Spied() as w:
        w.ss.start(w.me, 12345)
        assert w.take() == [("ERROR", 12345, 0, "invalid socket"), ("CLOSE", 12345, 0, "")]
        for command in (w.ss.close, w.ss.shutdown, w.ss.pause, w.ss.nodelay):
            command(w.me, 12345)
        assert w.take() == []
        assert w.ss.send(w.me, 12345, b"x") is False
        with pytest.raises(SocketError, match="a socket id is a number, not 'x'"):
            w.ss.close(w.me, "x")  # type: ignore[arg-type]


@pytest.mark.parametrize("end", ["reset", "close", "shutdown"])
def test_a_socket_that_has_gone_has_no_second_close(end: str) -> None:
    """start that comes too late answers ERROR alone: the one CLOSE of that socket has been posted."""
    with Spied() as w:
        _, port = w.listen()
        id, client = w.accepted(port)
        client.reset() if end == "reset" else getattr(w.ss, end)(w.me, id)
        assert [m[0] for m in w.take()] == (["ERROR", "CLOSE"] if end == "reset" else ["CLOSE"])
        other: list[tuple[Any, ...]] = []
        for handle in (w.me, w.spy(other)):
            w.ss.start(handle, id)
        assert w.take() == other == [("ERROR", id, 0, "invalid socket")]


def test_twelve_megabytes_queued_at_close_arrive_completely() -> None:
    """CLOSE at once, no more reading, writes refused; the socket goes when everything is written."""
    data = bytes(range(256)) * (12 * MB // 256)
    with Spied() as w:
        _, port = w.listen()
        id, client = w.connected(port)
        assert w.ss.send(w.me, id, data)
        w.ss.close(w.me, id)
        assert w.take() == [("CLOSE", id, 0, "")]
        row = w.row(id)
        assert row is not None and (row["type"], row["reading"], row["writing"]) == ("CLOSING", False, True)
        assert w.ss.send(w.me, id, b"x") is False
        w.ss.close(w.me, id)
        assert client.recv(len(data)) == data
        client.expect_eof()
        assert w.take() == []
        assert w.row(id) is None


def test_peer_that_leaves_ends_a_closing_socket_quietly() -> None:
    """Closing with a full queue, and the client goes away: no message, no socket left."""
    with Spied() as w:
        _, port = w.listen()
        id, client = w.connected(port)
        w.ss.send(w.me, id, bytes(12 * MB))
        w.ss.close(w.me, id)
        assert w.take() == [("CLOSE", id, 0, "")]
        client.close()
        assert w.take() == []
        assert w.row(id) is None


def test_shutdown_throws_the_queue_away() -> None:
    """Only what the kernel had taken already arrives."""
    with Spied() as w:
        _, port = w.listen()
        id, client = w.connected(port)
        w.ss.send(w.me, id, bytes(12 * MB))
        w.ss.shutdown(w.me, id)
        assert w.take() == [("CLOSE", id, 0, "")]
        w.until(lambda: client._fill() and client._eof)
        assert 0 < client._total < 12 * MB


# ---- pause


def test_pause_and_resume() -> None:
    """No message for pause, nothing is read; start resumes with CONNECT "transfer"."""
    with Spied() as w:
        _, port = w.listen()
        id, client = w.connected(port)
        w.ss.pause(w.me, id)
        assert w.take() == []
        client.send(b"paused")
        assert w.take() == []
        w.ss.start(w.me, id)
        assert w.take() == [("CONNECT", id, 0, "transfer"), ("DATA", id, 6, b"paused")]


# ---- out of descriptors


def test_out_of_descriptors_the_client_is_accepted_and_dropped() -> None:
    """A spare descriptor takes the client off the queue; ERROR carries the id of the listener, once per attempt."""
    with Spied() as w:
        listener, port = w.listen()
        clients = [pysocket.create_connection(("127.0.0.1", port)) for _ in range(3)]
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (free, hard))
        try:
            w.until(lambda: len(w.messages) >= 3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert w.take() == [("ERROR", listener, 0, "Too many open files")] * 3
        assert [client.recv(1) for client in clients] == [b"", b"", b""]
        w.connected(port)
        for client in clients:
            client.close()


# ---- the write queue


def test_warnings_at_exact_sizes() -> None:
    """Only what is queued counts: from 1 MB on, at most one a write, thresholds double; 0 when all is drained."""
    outside = Limited()
    with Spied(outside) as w:
        _, port = w.listen()
        id, client = w.connected(port)
        outside.room = 0

        def queue(n: int) -> list[Any]:
            assert w.ss.send(w.me, id, bytes(n))
            return [message[2] for message in w.take()]

        assert queue(6 * MB) == []  # direct: neither counted nor warned about
        row = w.row(id)
        assert row is not None and row["wbuffer"] == 0
        assert queue(MB - 1) == []
        assert queue(1) == [1024]
        assert queue(1) == []
        assert queue(MB - 2) == []
        assert queue(1) == [2048]
        assert queue(3_000_000) == [4978]
        row = w.row(id)
        assert row is not None and row["wbuffer"] == 5_097_152
        outside.room = None
        client.recv(6 * MB + 5_097_152)
        assert w.take() == [("WARNING", id, 0, "")]
        outside.room = 0
        assert queue(MB) == [] and queue(MB) == [1024]  # the threshold has begun anew


def test_a_partly_drained_queue_keeps_its_threshold() -> None:
    """Below the next threshold nothing is said, as long as the queue was never empty."""
    outside = Limited()
    with Spied(outside) as w:
        _, port = w.listen()
        id, client = w.connected(port)
        outside.room = 0
        w.ss.send(w.me, id, b"x")
        w.ss.send(w.me, id, bytes(2 * MB))
        assert [m[2] for m in w.take()] == [2048]
        outside.room = MB
        client.recv(MB)
        w.ss.send(w.me, id, bytes(MB // 2))
        assert w.take() == []
        outside.room = None
        client.recv(1 + 2 * MB + MB // 2 - MB)
        assert w.take() == [("WARNING", id, 0, "")]


def test_low_priority_waits_behind_high() -> None:
    """Low goes after all high, however late that came; a message that has begun is finished first."""
    outside = Limited()
    with Spied(outside) as w:
        _, port = w.listen()
        id, client = w.connected(port)
        outside.room = 0
        for data in (b"first ", b"high1 "):
            w.ss.send(w.me, id, data)
        w.ss.send(w.me, id, b"low1 ", True)
        w.ss.send(w.me, id, b"low2 ", True)
        w.ss.send(w.me, id, b"high2 ")
        w.take()
        outside.room = len("first high1 high2 lo")
        client.expect(b"first high1 high2 lo")
        w.ss.send(w.me, id, b"high3 ")
        w.take()
        outside.room = None
        client.expect(b"w1 high3 low2 ")


def test_writes_that_go_nowhere() -> None:
    """Accepted, not started: True and thrown away. Listening: True and a log line."""
    with Spied() as w:
        listener, port = w.listen()
        id, client = w.accepted(port)
        assert w.ss.send(w.me, id, b"lost") is True
        w.take()
        w.ss.start(w.me, id)
        w.take()
        w.ss.send(w.me, id, b"kept")
        client.expect(b"kept")
        assert w.ss.send(w.me, listener, b"x") is True
        assert w.lines()[-1] == f"[:00000000] socket-server error: write to listen fd {listener}."


def test_other_sockets_do_not_turn_a_write_into_a_queued_one() -> None:
    """Whatever others have asked for, a write to an idle connection goes to the kernel at once."""
    with Spied() as w:
        listener, port = w.listen()
        id, client = w.connected(port)
        w.ss.pause(w.me, listener)
        assert w.ss.send(w.me, id, b"now")
        assert client._sock.recv(3) == b"now"
        assert [command[0] for command in w.ss.commands] == ["pause"]


# ---- UDP


def udp_peer(family: int = pysocket.AF_INET) -> tuple[pysocket.socket, int, bytes]:
    """A UDP socket of the test's own: the socket, its port, its packed address."""
    sock = pysocket.socket(family, pysocket.SOCK_DGRAM)
    sock.bind(("::1" if family == pysocket.AF_INET6 else "127.0.0.1", 0))
    return sock, sock.getsockname()[1], pack_udp_address(family, sock.getsockname())


def test_udp_datagrams_and_answers() -> None:
    """Creation says nothing; each datagram, also an empty one, is one message with the sender's packed address."""
    with Spied() as w:
        peer, port, address = udp_peer()
        id = w.ss.udp(w.me, "127.0.0.1", 0)
        assert w.take() == []
        assert address == b"\x01" + port.to_bytes(2, "big") + b"\x7f\0\0\1"
        for data in (b"hello", b"", bytes(60000)):
            peer.sendto(data, w.ss.sockname(id))
            w.until(lambda: w.messages)
            assert w.take() == [("UDP", id, len(data), (data, address))]
        assert w.ss.udp_send(w.me, id, address, b"reply") is True
        assert received(w.node, peer, 5) == b"reply"
        w.ss.close(w.me, id)
        assert w.take() == [("CLOSE", id, 0, "")]
        peer.close()


def test_udp_default_destination() -> None:
    """No peer: False and a log line. udp_connect only sets where write goes; strangers are still heard."""
    with Spied() as w:
        peer, port, _ = udp_peer()
        stranger, _, strange = udp_peer()
        id = w.ss.udp(w.me, "127.0.0.1", 0)
        w.take()
        assert w.ss.send(w.me, id, b"x") is False
        assert w.lines()[-1] == f"[:00000000] socket-server : set udp ({id}) error: address first."
        w.ss.udp_connect(w.me, id, "127.0.0.1", port)
        assert w.ss.send(w.me, id, b"connected")
        assert received(w.node, peer, 9) == b"connected"
        stranger.sendto(b"stranger", w.ss.sockname(id))
        w.until(lambda: w.messages)
        assert w.take() == [("UDP", id, 8, (b"stranger", strange))]
        with pytest.raises(SocketError, match="protocol mismatch"):
            w.ss.udp_connect(w.me, id, "::1", port)
        peer.close()
        stranger.close()


def test_udp_dial_and_listen() -> None:
    """dial has a destination from the start; listen finds a free port for 0; two sockets may share one."""
    with Spied() as w:
        peer, port, _ = udp_peer()
        id = w.ss.udp_dial(w.me, "127.0.0.1", port)
        assert w.ss.send(w.me, id, b"dialled")
        assert received(w.node, peer, 7) == b"dialled"
        first = w.ss.udp_listen(w.me, "127.0.0.1", 0)
        second = w.ss.udp_listen(w.me, *w.ss.sockname(first))
        assert w.ss.sockname(first) == w.ss.sockname(second)
        peer.close()


def test_udp_over_ipv6() -> None:
    """19 bytes of address; an IPv4 address on an IPv6 socket is refused, as is one of an unknown kind."""
    with Spied() as w:
        peer, port, address = udp_peer(pysocket.AF_INET6)
        id = w.ss.udp(w.me, "::1", 0)
        peer.sendto(b"six", w.ss.sockname(id))
        w.until(lambda: w.messages)
        assert w.take() == [("UDP", id, 3, (b"six", address))]
        assert address == b"\x02" + port.to_bytes(2, "big") + bytes(15) + b"\1"
        assert unpack_udp_address(address) == ("::1", port)
        four = pack_udp_address(pysocket.AF_INET, ("127.0.0.1", 9))
        assert w.ss.udp_send(w.me, id, four, b"x") is False
        assert w.ss.udp_send(w.me, id, b"\x09" + address[1:], b"x") is False
        assert w.ss.udp_send(w.me, id, b"abc", b"x") is False
        assert w.ss.udp_send(w.me, 999, address, b"x") is False
        peer.close()


def test_a_datagram_too_long_is_logged() -> None:
    """What no network takes is dropped with a line of the socket server; the socket lives on."""
    with Spied() as w:
        peer, port, _ = udp_peer()
        id = w.ss.udp_dial(w.me, "127.0.0.1", port)
        assert w.ss.send(w.me, id, bytes(70000)) is True
        assert w.lines()[-1] == f"[:00000000] socket-server : udp ({id}) sendto error Message too long."
        w.ss.send(w.me, id, b"short")
        assert received(w.node, peer, 5) == b"short"
        peer.close()


# ---- looking


def test_netstat() -> None:
    """Rows from the highest slot down, each kind with its own fields; what is not open yet is not listed."""
    with Spied() as w:
        listener, port = w.listen()
        id, client = w.connected(port)
        udp = w.ss.udp(w.me, "127.0.0.1", 0)
        dialled = w.ss.udp_dial(w.me, "127.0.0.1", port)
        w.take()
        w.node.advance(76)
        client.send(b"12345")
        w.ss.send(w.me, id, b"123")
        client.expect(b"123")
        w.take()
        w.accepted(port)
        w.ss.listen(w.me, "127.0.0.1", 0, 32)
        still = {"read": 0, "write": 0, "wbuffer": 0, "rtime": 0, "wtime": 0, "reading": True, "writing": False}
        assert w.ss.netstat() == [
            {"id": dialled, "address": w.me, "type": "UDP", **still, "peer": f"127.0.0.1:{port}"},
            {"id": udp, "address": w.me, "type": "UDP", **still},
            {"id": id, "address": w.me, "type": "TCP", **still, "read": 5, "write": 3, "rtime": 76, "wtime": 76,
             "peer": f"127.0.0.1:{client._port}"},
            {"id": listener, "address": w.me, "type": "LISTEN", "accept": 2, "rtime": 76, "sock": f"127.0.0.1:{port}"},
        ]  # fmt: skip


def test_names_of_both_sides() -> None:
    """sockname and peername are (host, port); what has none is an error that says so."""
    with Spied() as w:
        listener, port = w.listen()
        id, client = w.connected(port)
        assert w.ss.sockname(id) == ("127.0.0.1", port)
        assert w.ss.peername(id) == ("127.0.0.1", client._port)
        with pytest.raises(SocketError, match=f"peername: socket {listener}"):
            w.ss.peername(listener)
        with pytest.raises(SocketError, match="sockname: socket 99 is not open"):
            w.ss.sockname(99)


# ---- descriptors of others


def test_bind_a_pipe() -> None:
    """CONNECT "binding"; data comes as from a connection; close leaves the descriptor open, blocking as before."""
    with Spied() as w:
        r, wr = os.pipe()
        reader, writer = w.ss.bind(w.me, r), w.ss.bind(w.me, wr)
        assert w.take() == [("CONNECT", reader, 0, "binding"), ("CONNECT", writer, 0, "binding")]
        assert w.ss.send(w.me, writer, b"through")
        assert w.take() == [("DATA", reader, 7, b"through")]
        row = w.row(reader)
        assert row is not None and row["type"] == "BIND" and "peer" not in row
        w.ss.close(w.me, writer)
        assert w.take() == [("CLOSE", writer, 0, "")]
        assert os.get_blocking(wr)
        os.close(wr)
        assert w.take() == [("CLOSE", reader, 0, "")]
        os.close(r)
        assert w.ss.table() == {}


def test_a_pipe_that_nobody_reads() -> None:
    """The other end goes away: Broken pipe, as on a connection."""
    with Spied() as w:
        r, wr = os.pipe()
        writer = w.ss.bind(w.me, wr)
        w.take()
        os.close(r)
        error, close = w.take()
        assert close == ("CLOSE", writer, 0, "")
        assert error[:3] == ("ERROR", writer, 0)
        assert error[3] == PIPE or "TEST_POLLER" in os.environ  # selectors say: it can be read
        os.close(wr)


def test_descriptors_that_cannot_be_adopted() -> None:
    """A closed number is refused at once; a plain file by the poller, as an ERROR."""
    with Spied() as w:
        for bad in (-1, 10**6, 2**70, "stdin"):
            with pytest.raises(SocketError, match="is no open descriptor"):
                w.ss.bind(w.me, bad)  # type: ignore[arg-type]
        with open(__file__, "rb") as file:
            id = w.ss.bind(w.me, file.fileno())
            assert w.take() == [("ERROR", id, 0, "Operation not permitted"), ("CLOSE", id, 0, "")]
        assert w.ss.table() == {}


def test_an_adopted_descriptor_closed_by_its_owner_harms_nobody() -> None:
    """Its number may be used again by another socket, which must not be touched when the first one goes."""
    with Spied() as w:
        listener, port = w.listen()
        r, wr = os.pipe()
        old = w.ss.bind(w.me, r)
        w.take()
        os.close(r)
        os.close(wr)
        client = pysocket.create_connection(("127.0.0.1", port))
        w.until(lambda: w.messages)
        new = w.take()[-1][2]
        w.ss.start(w.me, new)
        for command in (w.ss.pause, w.ss.close):
            command(w.me, old)
        w.take()
        client.send(b"alive")
        w.until(lambda: w.messages)
        assert w.take() == [("DATA", new, 5, b"alive")]
        assert not readable(client)
        client.close()


def test_the_last_slot() -> None:
    """65536 sockets are the limit: opening says so, a client that comes then is let go, nothing leaks."""
    with Spied() as w:
        _, port = w.listen()
        free = w.ss._slots.copy()
        w.ss._slots.update(range(MAX_SOCKET))
        before = len(os.listdir("/proc/self/fd"))
        for open_one in (lambda: w.ss.listen(w.me, "127.0.0.1", 0, 32), lambda: w.ss.udp(w.me, None, 0)):
            with pytest.raises(SocketError, match="socket number limit: 65536 sockets are open; close some"):
                open_one()
        assert len(os.listdir("/proc/self/fd")) == before
        client = w.node.client(port)
        client.expect_eof()
        assert w.take() == []
        w.ss._slots = free
        w.connected(port)


def test_errors_of_udp() -> None:
    """What was tried, why it failed, and with which address."""
    with Spied() as w:
        tries = [
            (lambda: w.ss.udp(w.me, "192.0.2.1", 0), r"^udp init failed: .* \(192\.0\.2\.1:0\)"),
            (lambda: w.ss.udp_listen(w.me, "192.0.2.1", 9), r"^udp listen host failed: .* \(192\.0\.2\.1:9\)"),
            (lambda: w.ss.udp_dial(w.me, "a..b", 9), r"^udp dial host failed: Name or service not known \(a\.\.b:9\)"),
        ]
        for attempt, text in tries:
            with pytest.raises(SocketError, match=text):
                attempt()
        assert w.ss.table() == {}
