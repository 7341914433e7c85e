"""The second poller: the same interface on the module `selectors`, for systems without epoll."""

from __future__ import annotations

import os
import selectors
import socket as pysocket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Play, expected
from socket_harness import Serving, Spied

from skynet_lite.core.outside import POLLERS, Bell, Outside
from skynet_lite.core.poller import ERROR, HANGUP, READ, WRITE, EpollPoller, Poller
from skynet_lite.core.selector_poller import SelectorPoller

KINDS = ["EpollSelector", "PollSelector", "SelectSelector"]


@pytest.fixture(params=["epoll", *KINDS])
def poller(request: pytest.FixtureRequest) -> Iterator[Poller]:
    made: Poller = EpollPoller() if request.param == "epoll" else SelectorPoller(getattr(selectors, request.param)())
    yield made
    made.close()


def test_readiness_is_told_while_it_lasts(poller: Poller) -> None:
    """Level triggered; what is watched for can be changed; what is removed is not told of."""
    a, b = pysocket.socketpair()
    with a, b:
        poller.add(a.fileno(), READ)
        assert poller.wait(0) == []
        b.send(b"x")
        assert poller.wait(1) == poller.wait(1) == [(a.fileno(), READ)]
        poller.enable(a.fileno(), READ | WRITE)
        assert poller.wait(1) == [(a.fileno(), READ | WRITE)]
        poller.enable(a.fileno(), WRITE)
        assert poller.wait(1) == [(a.fileno(), WRITE)]
        poller.enable(a.fileno(), 0)
        assert poller.wait(0) == []
        poller.enable(a.fileno(), READ)
        assert poller.wait(1) == [(a.fileno(), READ)]
        poller.remove(a.fileno())
        poller.remove(a.fileno())
        assert poller.wait(0) == []
        with pytest.raises(OSError):
            poller.enable(a.fileno(), READ)


def test_the_end_shows_also_on_what_is_watched_for_nothing(poller: Poller) -> None:
    """A paused connection whose other side is gone: HANGUP, as epoll says without being asked."""
    a, b = pysocket.socketpair()
    with a:
        poller.add(a.fileno(), 0)
        b.close()
        (fd, mask) = poller.wait(1)[0]
        assert fd == a.fileno() and mask & (HANGUP | ERROR)
        poller.remove(fd)


def test_what_cannot_be_watched_is_refused(poller: Poller) -> None:
    """A plain file is always ready; a closed number is nothing."""
    with open(__file__, "rb") as file, pytest.raises(PermissionError):
        poller.add(file.fileno(), READ)
    r, w = os.pipe()
    os.close(r)
    os.close(w)
    with pytest.raises(OSError):
        poller.add(r, READ)


def test_a_descriptor_that_its_owner_has_closed_is_told_or_forgotten(poller: Poller) -> None:
    """It must not stop the others: epoll forgets it, select() says which one it was."""
    r, w = os.pipe()
    a, b = pysocket.socketpair()
    with a, b:
        poller.add(r, READ)
        poller.add(a.fileno(), READ)
        os.close(r)
        os.close(w)
        first = poller.wait(0)
        assert [mask for fd, mask in first if fd == r] in ([], [ERROR], [READ])
        poller.remove(r)
        b.send(b"x")
        assert poller.wait(1) == [(a.fileno(), READ)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_during_a_wait_counts_from_the_next_on(kind: str) -> None:
    """A worker writes while the socket thread waits: `Outside.rewatch` ends a wait that would not hear of it."""
    outside = Outside(SelectorPoller(getattr(selectors, kind)()))
    a, b = pysocket.socketpair()
    found: list[list[tuple[int, int]]] = []
    with a, b:
        outside.watch(a.fileno(), READ)
        thread = threading.Thread(target=lambda: found.extend([outside.poll(20), outside.poll(20)]))
        thread.start()
        while not outside.poller.deaf:
            pass
        outside.rewatch(a.fileno(), READ | WRITE)
        thread.join(20)
        assert found == [[], [(a.fileno(), WRITE)]] or found[0] == [(a.fileno(), WRITE)]
        outside.unwatch(a.fileno())
    outside.close()


def test_a_bell_rings_until_it_is_heard(poller: Poller) -> None:
    """And it never blocks who rings, however often."""
    bell = Bell()
    poller.add(bell.fd, READ)
    for _ in range(100_000):
        bell.ring()
    assert poller.wait(1) == poller.wait(1) == [(bell.fd, READ)]
    while poller.wait(0):
        bell.quiet()
    bell.ring()
    assert poller.wait(1) == [(bell.fd, READ)]
    bell.close()


@pytest.mark.parametrize("name", ["accept_echo_line", "remote_close_while_reading", "data_before_start"])
@pytest.mark.parametrize("kind", KINDS)
def test_recordings_of_skynet_are_the_same_on_each_poller(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few of them always; all with TEST_POLLER=selectors, poll or select (conftest.py)."""
    monkeypatch.setitem(POLLERS, "", lambda: SelectorPoller(getattr(selectors, kind)()))
    play = Play(name, tmp_path)
    assert isinstance(play.node.outside.poller, SelectorPoller)
    assert play.events("A") == expected(play.data["events"])


@pytest.mark.parametrize("kind", KINDS)
def test_an_echo_server_on_each_poller(kind: str) -> None:
    """More than the kernel takes at once, both ways; then a close."""
    from skynet_lite import socket

    def handler(id: int) -> None:
        while (data := socket.read(id)) is not None:
            socket.write(id, data)
        socket.close(id)

    with Serving(handler, outside=Outside(SelectorPoller(getattr(selectors, kind)()))) as s:
        c = s.client()
        data = os.urandom(2_000_000)
        c.send(data)
        assert c.recv(len(data)) == data
        c.shutdown()
        c.expect_eof()


@pytest.mark.parametrize("kind", KINDS)
def test_a_reset_on_each_poller(kind: str) -> None:
    """ERROR and CLOSE, also for a connection that was never started, and so is watched for nothing."""
    with Spied(outside=Outside(SelectorPoller(getattr(selectors, kind)()))) as w:
        _, port = w.listen()
        id, client = w.accepted(port)
        client.reset()
        w.until(lambda: w.row(id) is None and w.ss.table().get(id) is None)
        assert [name for name, *_ in w.take()] == ["ERROR", "CLOSE"]
