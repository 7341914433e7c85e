"""What the course says of skynet, v1.1.0 and today's, run: each test names the sentence, and where it stands.

All were found false once by somebody who uses skynet every day, and were tried on the real one, both versions.
"""

from __future__ import annotations

import re
import struct
import threading
from collections.abc import Callable
from socket import SO_LINGER, SOL_SOCKET, create_connection
from typing import Any

import pytest
from socket_harness import TIMEOUT, readable

from skynet_lite import Node, SkynetError, SocketError, Trace, mark, skynet, socket

BOTH = pytest.mark.parametrize("dialect", ["1.1", "1.8"])


def quiet(dialect: str = "1.1", **keys: Any) -> Node:
    node = Node(clock="virtual", log=list, skynet=dialect, **keys)
    node.run_until_idle()
    return node


def marks(trace: Trace) -> list[str]:
    return [e["text"] for e in trace if e["e"] == "mark"]


def heard(trace: Trace, id: int) -> list[str]:
    """The types of the messages about a socket, in the order of their dispatch."""
    return [e["type"] for e in trace if e["e"] == "message" and e.get("id") == id]


def yields(trace: Trace) -> list[tuple[str, str]]:
    """Command, and what it is for, of each yield in a service."""
    return [(e["command"], e.get("what", e["command"])) for e in trace if e["e"] == "yield"]


def accepts_nothing(id: int, peer: str) -> None:
    """An accept function."""


# ---- 02, docs/skynet_api.md: who waits in `start` for a socket that is closed meanwhile


@BOTH
def test_start_never_returns_when_the_socket_is_closed_meanwhile(dialect: str) -> None:
    """Neither skynet wakes it. In v1.1.0 the port even stays open, for `close` does nothing before it is connected."""

    def hasty() -> None:
        lid = socket.listening("127.0.0.1:0")
        skynet.fork(lambda: mark(f"close returns {socket.close(lid)}"))
        socket.start(lid, accepts_nothing)
        mark("start returns")

    with quiet(dialect) as node, node.record() as trace:
        node.newservice(hasty, wait=False)
        node.run(timeout=TIMEOUT)
        assert marks(trace) == ["close returns None"]
        fault = trace.verdicts().faults[0]
        assert (fault.kind, fault.co) == ("closed under a wait", "co1")
        assert re.search(r"socket 1 was closed while co1 of hasty :00000008 .* waited for it in start", str(fault))
        assert heard(trace, 1) == {"1.1": ["CONNECT"], "1.8": ["CONNECT", "CONNECT", "CLOSE"]}[dialect]
        assert [state for state, _ in node.tables()["sockets"].values()] == {"1.1": ["listen"], "1.8": []}[dialect]


@BOTH
def test_open_never_returns_either(dialect: str) -> None:
    """`open` waits in the same function. That the socket is closed is the same, too: since v1.5.0 only."""

    def main() -> None:
        lid = socket.listening("127.0.0.1:0")
        socket.start(lid, accepts_nothing)
        skynet.fork(socket.close, lid + 1)
        socket.open(*socket.sockname(lid))
        mark("open returns")

    with quiet(dialect) as node, node.record() as trace:
        node.newservice(main, wait=False)
        node.run(timeout=TIMEOUT)
        assert marks(trace) == []
        assert trace.verdicts().kinds().count("fault closed under a wait") == 1
        assert (2 in node.tables()["sockets"]) == (dialect == "1.1")


def test_a_socket_that_was_only_listened_on_is_closed_in_both() -> None:
    """01: in v1.1.0 `close` knows nothing of it, and the port stays open. We do as newer versions do."""

    def main() -> None:
        socket.close(socket.listening("127.0.0.1:0"))

    for dialect in ("1.1", "1.8"):
        with quiet(dialect) as node:
            node.newservice(main)
            node.run_until_idle()
            assert node.tables()["sockets"] == {}


# ---- 03: a listening socket without an accept function


@BOTH
def test_without_an_accept_function_the_dispatch_raises_and_the_client_hangs(dialect: str) -> None:
    """Skynet: attempt to call a nil value (field 'callback'). The connection stays, and nobody reads it."""

    def deaf() -> None:
        lid = socket.listening("127.0.0.1:0")
        socket.start(lid)
        ports.append(socket.sockname(lid)[1])

    ports: list[int] = []
    with quiet(dialect) as node, node.record() as trace:
        node.newservice(deaf)
        with create_connection(("127.0.0.1", ports[0])) as client:
            client.sendall(b"hello?\n")
            node.run(until=lambda: "error" in node.log_lines[-1], timeout=TIMEOUT)
            assert "socket 1 has no accept function" in node.log_lines[-1] and "start(1, accept)" in node.log_lines[-1]
            assert trace.verdicts().kinds() == ["suspicion never started", "fault raised"]
            assert node.tables()["sockets"][2] == ["paccept", ":00000008"]
            assert not readable(client), "neither an answer nor an end"


# ---- 00, 01: does `listen` yield?


@BOTH
def test_listen_yields_since_1_6(dialect: str) -> None:
    """Before 1.6.0 its id is there at once."""

    def main() -> None:
        socket.listen("127.0.0.1:0")

    with quiet(dialect) as node, node.record() as trace:
        me = node.newservice(main)
    parked = [what for _, what in yields(trace.only(service=me)) if what != "EXIT"]
    assert parked == {"1.1": [], "1.8": ["SLEEP"]}[dialect]


# ---- 05: the wakeup queue, errors, commands


def wakes(*entries: int, fails: bool = False) -> Callable[[], None]:
    """A service with three sleepers, of whom those numbers are woken in one dispatch; the first may raise."""

    def main() -> None:
        def sleeper(n: int) -> None:
            skynet.wait()
            mark(f"{n} is back")
            if fails and n == 0:
                raise RuntimeError("boom")

        sleepers = [skynet.fork(sleeper, n) for n in range(3)]
        skynet.timeout(1, lambda: [skynet.wakeup(sleepers[n]) for n in entries])
        skynet.timeout(5, lambda: mark("another message"))

    return main


@BOTH
@pytest.mark.parametrize(("entries", "fails"), [((0, 0, 1), False), ((0, 1), True)], ids=["stale", "error"])
def test_what_stands_behind_a_stale_entry_or_an_error(dialect: str, entries: tuple[int, ...], fails: bool) -> None:
    """In v1.1.0 it waits for the next message. A stale entry is passed over since 1.4.0, an error since 1.2.0."""
    with quiet(dialect) as node, node.record() as trace:
        node.newservice(wakes(*entries, fails=fails))
        node.run(timeout=TIMEOUT)
    back = {"1.1": ["0 is back", "another message", "1 is back"], "1.8": ["0 is back", "1 is back", "another message"]}
    assert marks(trace) == back[dialect]


@BOTH
def test_a_stale_entry_is_told_where_it_keeps_somebody_waiting(dialect: str) -> None:
    """The verdict says that what stood behind it waits for the next message: in v1.1.0."""
    with quiet(dialect) as node, node.record() as trace:
        node.newservice(wakes(0, 0, 1))
        node.advance(2)
        found = trace.verdicts().kinds()
    assert found == {"1.1": ["suspicion woken twice", "suspicion left in wakeup_queue"], "1.8": []}[dialect]


@BOTH
def test_commands_have_become_suspend(dialect: str) -> None:
    """CALL, SLEEP, RETURN and EXIT are what v1.1.0 yields; since 1.2.0 a coroutine that waits says SUSPEND."""

    def server() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            skynet.sleep(1)
            skynet.retpack()

    def asks(to: int) -> None:
        skynet.call(to, "lua")

    with quiet(dialect) as node, node.record() as trace:
        to = node.newservice(server)
        me = node.newservice(asks, to)
    told = {command for address in (me, to) for command, _ in yields(trace.only(service=address))}
    assert told == {"1.1": {"CALL", "SLEEP", "RETURN", "EXIT"}, "1.8": {"SUSPEND"}}[dialect]


@BOTH
def test_a_call_with_its_answer_has_two_switches_less_today(dialect: str) -> None:
    """14: six in v1.1.0, of which `ret` has two; four since 1.2.0."""

    def server() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.retpack())

    def asks(to: int, times: int) -> None:
        for _ in range(times):
            skynet.call(to, "lua")

    switches = []
    with quiet(dialect) as node:
        to = node.newservice(server)
        for times in (10, 20):
            with node.record() as trace:
                node.newservice(asks, to, times)
            switches.append(sum(e["e"] in ("resume", "yield") for e in trace))
    assert switches[1] - switches[0] == 10 * {"1.1": 6, "1.8": 4}[dialect]


# ---- 02: how `start` fails, and what comes behind an ERROR


@BOTH
def test_what_skynet_returns_as_nil_and_a_text_is_raised(dialect: str) -> None:
    """`socket.start(99)` is `nil, "invalid socket"` in Lua; the text is the same. `listen` raises there, too."""

    def ghost() -> None:
        with pytest.raises(SocketError, match="^invalid socket$"):
            socket.start(99)
        mark("raised")

    with quiet(dialect) as node, node.record() as trace:
        node.newservice(ghost)
        node.run_until_idle()
    assert marks(trace) == ["raised"]
    assert heard(trace, 99) == {"1.1": ["ERROR", "CLOSE"], "1.8": ["ERROR"]}[dialect]


@BOTH
def test_a_connection_that_breaks_is_closed_in_both(dialect: str) -> None:
    """Only who never had one, or an unknown id, gets no CLOSE behind its ERROR today."""

    def main() -> None:
        def accept(id: int, peer: str) -> None:
            socket.start(id)
            mark(f"read {socket.read(id)}")

        lid = socket.listening("127.0.0.1:0")
        socket.start(lid, accept)
        ports.append(socket.sockname(lid)[1])

    ports: list[int] = []
    with quiet(dialect) as node, node.record() as trace:
        node.newservice(main)
        peer = create_connection(("127.0.0.1", ports[0]))
        node.run(until=lambda: "CONNECT" in heard(trace, 2), timeout=TIMEOUT)
        peer.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
        peer.close()  # with a reset
        node.run(until=lambda: "CLOSE" in heard(trace, 2), timeout=TIMEOUT)
    assert heard(trace, 2) == ["CONNECT", "ERROR", "CLOSE"]


# ---- docs/skynet_api.md: skynet.term


@BOTH
def test_term_in_a_handler_forgets_its_request_today(dialect: str) -> None:
    """It does what an error message does, and that begins with `ignoreret` since 1.2.0."""

    def server() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            skynet.term(0x99)
            try:
                skynet.retpack("answered")
            except SkynetError as error:
                mark(str(error))

    def asks(to: int) -> None:
        skynet.fork(lambda: mark(skynet.call(to, "lua")))

    with quiet(dialect) as node, node.record() as trace:
        node.newservice(asks, node.newservice(server))
        node.run_until_idle()
        assert len(node.waits()) == {"1.1": 0, "1.8": 1}[dialect]
        (told,) = marks(trace)
    assert told.partition(";")[0] == {"1.1": "answered", "1.8": "skynet.retpack: no session"}[dialect]


# ---- 04: watching_service


def test_watching_service_counts_every_message_that_is_being_handled() -> None:
    """Calls, sends and socket messages alike, by source, until the coroutine yields EXIT. Responses: not at all."""

    def slow() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            skynet.sleep(5)
            if session:
                skynet.retpack()

        def accept(id: int, peer: str) -> None:
            skynet.sleep(5)

        lid = socket.listening("127.0.0.1:0")
        socket.start(lid, accept)
        ports.append(socket.sockname(lid)[1])

    def asks(to: int) -> None:
        skynet.fork(skynet.call, to, "lua")
        skynet.send(to, "lua")
        skynet.send(to, "lua")

    ports: list[int] = []
    with quiet() as node:
        me = node.newservice(slow)
        other = node.newservice(asks, me)
        node.client(ports[0])
        node.run_until_idle()
        watched = node.service(me).tables()["watching_service"]
        assert watched == {skynet.address(other): 3, ":00000000": 1}
        node.advance(5)
        assert node.service(me).tables()["watching_service"] == {}


# ---- 04: when a service goes back into the global queue


def test_a_mailbox_goes_back_only_while_it_holds_messages() -> None:
    """The last message leaves it out of the queue of all services; the next push enters it again."""

    def idle() -> None:
        skynet.dispatch("lua", lambda session, source: None)

    def sends(to: int) -> None:
        for _ in range(2):
            skynet.send(to, "lua")

    with quiet() as node, node.record() as trace:
        me = node.newservice(idle)
        node.newservice(sends, me)
        node.run_until_idle()
    told = [(e["e"], e.get("queued")) for e in trace.only(service=me) if e["e"] == "requeue" or e.get("ptype") == "lua"]
    assert told[-5:] == [("push", True), ("push", False), ("message", None), ("requeue", None), ("message", None)]


def test_one_message_then_the_next_service() -> None:
    """So does a worker of weight -1, and our one loop. (test_threads.py: those that take `len >> weight` in a turn.)"""

    def counts(name: str) -> Callable[[], None]:
        return lambda: skynet.dispatch("lua", lambda session, source: mark(name)) and None

    def sends(*to: int) -> None:
        for address in to:
            for _ in range(2):
                skynet.send(address, "lua")

    with quiet() as node, node.record() as trace:
        both = [node.newservice(counts(name)) for name in "ab"]
        node.newservice(sends, *both)
        node.run_until_idle()
    assert marks(trace) == ["a", "b", "a", "b"]


# ---- 00: the first message of a service


def test_the_message_of_the_launch_is_a_text_of_session_0() -> None:
    """Type 0, PTYPE_TEXT, from the service to itself (launch_cb of service_snlua.c asserts it)."""

    def main() -> None:
        pass

    with quiet() as node, node.record() as trace:
        me = skynet.address(node.newservice(main))
    push = trace[trace.find("push", service=me)]
    assert (push["ptype"], push["session"], push["source"], push["by"]) == ("text", 0, me, "launch")


# ---- 01, 02: threads


def test_services_have_no_thread_of_their_own() -> None:
    """Ten services, one worker: one thread runs them all. With two workers there are two for all."""
    seen: dict[int, set[int]] = {}
    for workers in (1, 2):
        with Node(log=list, thread=workers) as node:
            threads = seen[workers] = set()
            for _ in range(10):
                node.newservice(lambda: threads.add(threading.get_ident()))
    assert (len(seen[1]), len(seen[2])) == (1, 2)


def test_i_live_first_is_the_order_of_this_loop() -> None:
    """One loop looks at the sockets when no mailbox holds a message, so the call is first, each time the same.

    In skynet the socket thread pushes CONNECT while a worker dispatches the call: either may be first.
    """

    def asked() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.retpack("I live"))
        socket.start(socket.listening("127.0.0.1:0"), accepts_nothing)
        mark("after start")

    def asker(to: int) -> None:
        mark(skynet.call(to, "lua"))

    for _ in range(3):
        with quiet() as node, node.record() as trace:
            me = node.newservice(asked, wait=False)
            for _ in range(3):
                node.step()
            node.newservice(asker, me)
            node.run_until_idle()
        assert marks(trace) == ["I live", "after start"]
    with Node(log=list, thread=2) as node, node.record() as trace:
        me = node.newservice(asked, wait=False)
        node.newservice(asker, me)
        node.run(until=lambda: len(marks(trace)) == 2, timeout=TIMEOUT)
    assert sorted(marks(trace)) == ["I live", "after start"]
