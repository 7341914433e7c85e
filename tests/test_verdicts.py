"""Verdicts: each finding has a program that deserves it, and one that looks alike and does not."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Callable
from pathlib import Path
from string import Formatter
from typing import Any

import pytest
from chinese import foreign, said
from harness import TRACES, Play
from matplotlib.patches import FancyBboxPatch
from test_determinism import PROGRAMS
from test_timeline import check_readable

from skynet_lite import Node, Outside, Trace, service, sharedata, skynet, socket
from skynet_lite.trace import language, verdicts
from skynet_lite.trace.language import speaking
from skynet_lite.trace.verdicts import FAULT, Verdicts
from skynet_lite.trace.waits import Wait, Waits

NAMES = sorted(path.stem for path in TRACES.glob("*.json"))

EXPECTED = {
    "call_fails_others_live": ["fault raised"],
    "error_through_chain": ["fault raised", "fault raised"],
    "fork_error_others_run": ["fault raised"],
    "handler_error": ["fault raised"],
    "handler_error_after_sleep": ["fault raised"],
    "handler_error_on_send": ["fault raised"],
    "pool_drops_failed": ["fault raised"],
    "ret_twice": ["fault answered twice"],
    "start_error": ["fault did not start"],
    "timeout_function_raises": ["fault raised"],
    "wakeup_before_sleep_is_lost": ["suspicion wakeup of nobody"],
    "wakeup_not_sleeping": ["suspicion wakeup of nobody"],
    "woken_raises_rest_delayed": ["fault raised"],
}
"""What is found in each of the 79 scenarios; all others are healthy, and nothing may be found in them."""


@pytest.mark.parametrize("name", NAMES)
def test_the_scenarios_have_the_verdicts_they_deserve(name: str, tmp_path: Path) -> None:
    """Programs that raise, answer twice or wake nobody say so; all others are found healthy."""
    assert Play(name, tmp_path).trace.verdicts().kinds() == EXPECTED.get(name, [])


@pytest.mark.parametrize("name", NAMES)
def test_recordings_of_the_real_skynet_are_judged_alike(name: str) -> None:
    """They tell less (no lines of code, not all services), so the kinds count and not the number."""
    expected = set(EXPECTED.get(name, []))
    found = set(Trace.load(TRACES / f"{name}.json").verdicts().kinds())
    assert found <= expected
    # The service that raises was not recorded; a start that has failed looks like one that exits.
    if name not in ("call_fails_others_live", "start_error"):
        assert found == expected


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_no_fault_on_healthy_programs(program: Callable[[Node], None]) -> None:
    """Servers, clients, rings, queues and kills: a fault here would be a false accusation."""
    with Node(clock="virtual", log=list) as node, node.record() as trace:
        program(node)
    faults = trace.verdicts().faults
    if program.__name__ == "errors_and_exits":
        assert [v.kind for v in faults] == ["raised"] * 3, "three services raise, once each"
    else:
        assert faults == []


# ---- each finding, and its double


def run(*services: Callable[..., Any], drive: Callable[[Node, list[int]], None] | None = None) -> tuple[Trace, Node]:
    """Start the services one after the other (each gets the addresses of those before), and run to rest."""
    with Node(clock="virtual", log=list) as node, node.record() as trace:
        addresses: list[int] = []
        for service in services:
            addresses.append(node.newservice(service, *addresses))
        node.run_until_idle()
        if drive is not None:
            drive(node, addresses)
        live = node.verdicts()
        kept = trace.verdicts()
        # What stands at the end is the same, read from the trace or from the live tables.
        standing = {
            "start not ended",
            "circle",
            "call to oneself in a critical section",
            "never started",
            "half closed",
            "response kept",
        }
        assert [v.kind for v in live if v.kind in standing] == [v.kind for v in kept if v.kind in standing]
        assert str(node.waits()) == str(trace.waits())
    return trace, node


def kinds(trace: Trace) -> list[str]:
    """Grade and kind of each finding; in Chinese they are the same, and so is all but the words."""
    found = trace.verdicts()
    with speaking("zh"):
        told = trace.verdicts()
        text, waits = str(told), str(trace.waits())
    assert told.kinds() == found.kinds()
    for a, b in zip(found, told, strict=True):
        assert (a.event, a.service, a.co, a.place, bool(a.excuse)) == (
            b.event,
            b.service,
            b.co,
            b.place,
            bool(b.excuse),
        )
    assert (
        foreign(text + waits, said(trace, trace.names()) + "ret ignoreret close call") == []
        and "。。" not in text
        and "  " not in text
    )
    return found.kinds()


def answers(*values: Any) -> Callable[..., None]:
    def server(*others: int) -> None:
        skynet.dispatch("lua", lambda session, source, *args: skynet.retpack(*values))

    return server


def test_a_circle_of_calls() -> None:
    """A calls B from inside its critical section; B calls A back, whose handler wants to enter it: nobody goes on."""

    def b() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.retpack(skynet.call(source, "lua", "back")))

    def a(b: int) -> None:
        section = skynet.queue()

        @skynet.dispatch("lua")
        def back(session: int, source: int, word: str) -> None:
            with section:
                skynet.retpack(word)

        def outer() -> None:
            with section:
                skynet.call(b, "lua")

        skynet.fork(outer)

    trace, _ = run(b, a)
    (fault,) = trace.verdicts()
    assert (fault.grade, fault.kind) == (FAULT, "circle")
    for words in ("of a :0000000a (at a:", "of b :00000008 (at b:", "critical section 1, co2 is inside"):
        assert words in fault.text
    assert trace.events[fault.event or 0]["e"] == "yield"

    def patient(b: int) -> None:
        """Looks alike: it calls before it enters."""
        section = skynet.queue()

        @skynet.dispatch("lua")
        def back(session: int, source: int, word: str) -> None:
            with section:
                skynet.retpack(word)

        skynet.fork(lambda: (skynet.call(b, "lua"), section(skynet.yield_)))

    trace, _ = run(b, patient)
    assert kinds(trace) == []


def test_a_call_to_oneself_in_a_critical_section() -> None:
    """The handler of the own call waits for the section that the caller is in."""

    def service(inside: bool) -> Callable[[], None]:
        def a() -> None:
            section = skynet.queue()

            @skynet.dispatch("lua")
            def handle(session: int, source: int) -> None:
                section(skynet.retpack)

            def caller() -> None:
                if inside:
                    section(skynet.call, skynet.self(), "lua")
                else:
                    skynet.call(skynet.self(), "lua")

            skynet.fork(caller)

        return a

    trace, _ = run(service(inside=True))
    assert kinds(trace) == ["fault call to oneself in a critical section"]
    assert "a :00000008 calls itself inside a critical section" in trace.verdicts()[0].text
    trace, _ = run(service(inside=False))
    assert kinds(trace) == []


def test_a_handler_that_forgot_to_answer() -> None:
    """It ends without ret: the line of its definition is named, and the caller stays parked."""

    def server() -> None:
        skynet.dispatch("lua", lambda session, source: None)

    def caller(server: int) -> None:
        skynet.fork(lambda: skynet.call(server, "lua"))

    trace, _ = run(server, caller)
    (fault,) = trace.verdicts()
    assert (fault.grade, fault.kind) == (FAULT, "no answer")
    assert fault.place.startswith("server:") and "although caller :0000000a waits for session 2" in fault.text
    assert trace.events[fault.event or 0]["command"] == "EXIT"
    assert [wait.state for wait in trace.waits()] == ["nobody"]

    def sender(server: int) -> None:
        """Looks alike: nobody waits for an answer to what is sent."""
        skynet.send(server, "lua")

    trace, _ = run(server, sender)
    assert kinds(trace) == []


def test_a_call_that_nobody_can_answer_any_more() -> None:
    """The service was killed while it served the call; one that exits tells its callers, and is no fault."""

    def server() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.wait())

    def killer(server: int) -> None:
        skynet.fork(lambda: skynet.call(server, "lua"))
        skynet.timeout(1, lambda: skynet.kill(server))

    trace, _ = run(server, killer, drive=lambda node, addresses: node.advance(2))
    (fault,) = trace.verdicts()
    assert (fault.grade, fault.kind) == (FAULT, "unanswered")
    assert ":00000008 was killed while it served it" in fault.text

    def leaving() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.exit())

    def asking(server: int) -> None:
        def ask() -> None:
            with pytest.raises(skynet.CallError):
                skynet.call(server, "lua")

        skynet.fork(ask)

    trace, _ = run(leaving, asking)
    assert kinds(trace) == []


def test_a_session_that_was_given_away() -> None:
    """After ignoreret somebody else may answer by hand: a suspicion, and none once it is answered."""

    def server() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.ignoreret())

    def caller(server: int) -> None:
        skynet.fork(lambda: skynet.call(server, "lua"))

    trace, _ = run(server, caller)
    assert kinds(trace) == ["suspicion unanswered"]
    assert "skynet.ignoreret" in trace.verdicts()[0].text

    def passing() -> None:
        def handle(session: int, source: int) -> None:
            skynet.ignoreret()
            skynet.redirect(source, skynet.self(), "response", session, skynet.pack("done"))

        skynet.dispatch("lua", handle)

    trace, _ = run(passing, caller)
    assert kinds(trace) == []


def test_a_response_function_that_nobody_uses() -> None:
    """It is open and its caller waits: something may still hold it, so this is no more than a suspicion."""

    def server(late: bool) -> Callable[[], None]:
        def server() -> None:
            def handle(session: int, source: int) -> None:
                answer = skynet.response()
                if late:
                    skynet.timeout(5, lambda: answer(True))

            skynet.dispatch("lua", handle)

        return server

    def caller(server: int) -> None:
        skynet.fork(lambda: skynet.call(server, "lua"))

    trace, _ = run(server(late=False), caller)
    (found,) = trace.verdicts()
    assert (found.kind, found.grade) == ("response kept", "suspicion")
    assert found.place.startswith("server:") and "holds it" in found.excuse
    trace, _ = run(server(late=True), caller)
    assert kinds(trace) == []
    trace, _ = run(server(late=True), caller, drive=lambda node, addresses: node.advance(6))
    assert kinds(trace) == []


def listener(accept: Callable[[int], Any]) -> Callable[[], None]:
    def server() -> None:
        id = socket.listen("127.0.0.1:0")
        socket.start(id, lambda new, peer: accept(new))
        skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.sockname(id)[1]))

    return server


def visit(finish: bool) -> Callable[[Node, list[int]], None]:
    def drive(node: Node, addresses: list[int]) -> None:
        client = node.client(node.call(addresses[0], "lua"))
        node.run_until_idle()
        if finish:
            client.shutdown()
            node.run_until_idle()

    return drive


def test_an_accepted_socket_that_nobody_starts() -> None:
    """The client is connected, and nobody will ever read what it sends."""
    trace, _ = run(listener(lambda id: None), drive=visit(finish=False))
    (found,) = trace.verdicts()
    assert (found.kind, found.grade, found.service) == ("never started", "suspicion", ":00000008")
    trace, _ = run(listener(socket.start), drive=visit(finish=False))
    assert kinds(trace) == []
    trace, _ = run(listener(socket.close_fd), drive=visit(finish=False))
    assert kinds(trace) == []


def test_a_half_closed_socket_that_nobody_closes() -> None:
    """The peer has finished; the descriptor stays open until close."""

    def forgets(id: int) -> None:
        socket.start(id)
        socket.readall(id)

    def closes(id: int) -> None:
        forgets(id)
        socket.close(id)

    trace, _ = run(listener(forgets), drive=visit(finish=True))
    assert kinds(trace) == ["suspicion half closed"]
    trace, _ = run(listener(closes), drive=visit(finish=True))
    assert kinds(trace) == []


def test_a_wakeup_that_finds_nobody_sleeping() -> None:
    """It is not remembered: the line that called it is named."""

    def early() -> None:
        co = skynet.fork(skynet.wait)
        skynet.wakeup(co)

    trace, _ = run(early)
    (found,) = trace.verdicts()
    assert (found.kind, found.grade) == ("wakeup of nobody", "suspicion")
    assert found.place.startswith("early:")

    def in_time() -> None:
        co = skynet.fork(skynet.wait)
        skynet.yield_()
        skynet.wakeup(co)

    trace, _ = run(in_time)
    assert kinds(trace) == []


def test_a_coroutine_that_is_woken_twice() -> None:
    """The second entry of wakeup_queue finds it awake, and ends the chain: the next one has to wait."""

    def twice() -> None:
        first, second = skynet.fork(skynet.wait), skynet.fork(skynet.wait)
        skynet.yield_()
        for co in (first, first, second):
            skynet.wakeup(co)

    trace, _ = run(twice)
    assert kinds(trace) == ["suspicion woken twice", "suspicion left in wakeup_queue"]

    def once() -> None:
        first, second = skynet.fork(skynet.wait), skynet.fork(skynet.wait)
        skynet.yield_()
        for co in (first, second):
            skynet.wakeup(co)

    trace, _ = run(once)
    assert kinds(trace) == []


def test_a_woken_coroutine_that_an_error_left_behind() -> None:
    """v1.1.0: an error ends the dispatch, and the rest of wakeup_queue waits for the next message."""

    def fails() -> None:
        def boom() -> None:
            skynet.wait()
            raise ValueError("boom")

        first, second = skynet.fork(boom), skynet.fork(skynet.wait)
        skynet.timeout(1, lambda: (skynet.wakeup(first), skynet.wakeup(second)))

    trace, _ = run(fails, drive=lambda node, addresses: node.advance(2))
    assert kinds(trace) == ["fault raised", "suspicion left in wakeup_queue"]


def test_a_mailbox_that_grows() -> None:
    """More comes than is worked off: seen at the quarters of the trace. A burst that is worked off is no finding."""

    def slow() -> None:
        skynet.dispatch("lua", lambda session, source: None)

    def flood(slow: int) -> None:
        for _ in range(400):
            skynet.send(slow, "lua")
            skynet.yield_()

    with Node(clock="virtual", log=list) as node:
        target = node.newservice(slow)
        # Its mailbox is out of the global queue, as if a worker were busy with one of its messages.
        node.service(target).mailbox.in_global = True
        with node.record() as trace:
            node.newservice(flood, target)
            assert [v.kind for v in node.verdicts()] == ["mailbox grows"]
        assert trace.verdicts().kinds() == ["suspicion mailbox grows"]
        node.service(target).mailbox.in_global = False
    trace, _ = run(slow, flood)
    assert kinds(trace) == []


class Watch(Outside):
    """A clock that jumps a second each time somebody reads it."""

    step = 1_000_000_000

    def __init__(self) -> None:
        super().__init__()
        self.ns = 0

    def monotonic_ns(self) -> int:
        self.ns += self.step
        return self.ns


@pytest.mark.parametrize(("step", "expected"), [(1_000_000_000, True), (1, False)])
def test_a_dispatch_that_takes_too_long(step: int, expected: bool) -> None:
    """Durations count under the real clock only, and never appear in the canonical text."""
    outside = Watch()
    outside.step = step
    with Node(log=list, outside=outside) as node, node.record() as trace:
        addr = node.newservice(answers("pong"))
        node.call(addr, "lua")
    assert ("suspicion slow dispatch" in kinds(trace)) is expected
    assert "slow dispatch" not in trace.verdicts(slow=1e9).kinds()
    assert " s." not in trace.text()


def test_a_ring_of_calls_that_stands_still() -> None:
    """A calls B, B calls A back, and there a coroutine waits for a wakeup: it may come, so this is no fault."""

    def b() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.retpack(skynet.call(source, "lua")))

    def a(b: int) -> None:
        skynet.dispatch("lua", lambda session, source: (skynet.wait(), skynet.retpack()))
        skynet.fork(lambda: skynet.call(b, "lua"))

    trace, _ = run(b, a)
    assert kinds(trace) == ["suspicion ring of calls"]
    assert "a → b → a" in trace.verdicts()[0].text

    def sleepy(b: int) -> None:
        """Looks alike: a timer will move it on."""
        skynet.dispatch("lua", lambda session, source: (skynet.sleep(5), skynet.retpack()))
        skynet.fork(lambda: skynet.call(b, "lua"))

    trace, _ = run(b, sleepy)
    assert kinds(trace) == []


def test_a_service_that_did_not_start() -> None:
    """Its start function raised, or its code: the line and the error are named; one that exits has not failed."""

    def bad() -> None:
        raise ValueError("bad seat")

    def main(service: Any) -> Callable[[], None]:
        def main() -> None:
            with pytest.raises(skynet.CallError):
                skynet.newservice(service)

        return main

    trace, _ = run(main(bad))
    assert kinds(trace) == ["fault did not start"]
    (fault,) = trace.verdicts()
    assert "bad :0000000a did not start: ValueError: bad seat (at bad:" in fault.text
    assert trace.events[fault.event or 0]["reason"] == "did not start: ValueError: bad seat"

    def leaving() -> None:
        skynet.exit()

    trace, _ = run(main(leaving))
    assert kinds(trace) == []


def test_what_a_service_writes_into_the_log_is_not_believed() -> None:
    """Verdicts follow from what the runtime did. Words of the log that sound like its own prove nothing."""

    def talks() -> None:
        for words in (
            "init service failed: ValueError: x",
            "load talks failed : x",
            "lua call [0 to :8 : 0] error : x",
        ):
            skynet.error(words)

        def handle(session: int, source: int) -> None:
            talks()
            skynet.exit()

        skynet.dispatch("lua", handle)

    def main(addr: int) -> None:
        skynet.send(addr, "lua")

    trace, _ = run(talks, main)
    assert kinds(trace) == []


def test_the_reason_of_an_end_is_recorded() -> None:
    """As a CallError says it, with the line where it was raised."""

    def bad() -> None:
        raise ValueError("bad\nseat")

    def stays() -> None:
        pass

    def main() -> None:
        with pytest.raises(skynet.CallError):
            skynet.newservice(bad)
        skynet.kill(skynet.newservice(stays))
        skynet.fork(skynet.exit)

    trace, _ = run(main)
    ends = [(e["label"], e["reason"], "at" in e) for e in trace.events if e["e"] == "exit" and e["label"] != "harbor"]
    assert ends == [
        ("snlua bad", "did not start: ValueError: bad", True), ("snlua stays", "was killed", False),
        ("snlua main", "exited", False),
    ]  # fmt: skip


def test_code_that_does_not_load(tmp_path: Path) -> None:
    """The same of a file whose code raises before it has said what to start."""
    (tmp_path / "broken.py").write_text("from skynet_lite import skynet\nskynet.nosuch()\n")
    with Node(clock="virtual", log=list, luaservice=str(tmp_path / "?.py")) as node, node.record() as trace:
        with pytest.raises(skynet.CallError):
            node.newservice("broken")
    assert trace.verdicts().kinds() == ["fault did not start"]
    assert "AttributeError" in trace.verdicts()[0].text and trace.verdicts()[0].place == "broken:2"


def test_a_message_that_nobody_takes() -> None:
    """A send without a handler, an answer that nobody waits for, an unpack that raises: no coroutine was to blame."""

    def silent() -> None:
        pass

    def main(silent: int) -> None:
        skynet.send(silent, "lua", "hello")

    trace, _ = run(silent, main)
    assert kinds(trace) == ["fault not dispatched"]
    text = trace.verdicts()[0].text
    assert "silent :00000008 could not take the message lua session 0 of main :0000000a" in text
    assert "set a handler with skynet.dispatch" in text

    def stray(silent: int) -> None:
        skynet.redirect(silent, 0, "response", 77, skynet.pack(1))

    trace, _ = run(silent, stray)
    assert kinds(trace) == ["fault not dispatched"]
    assert "response session 77" in trace.verdicts()[0].text and "nobody waits" in trace.verdicts()[0].text

    def handled() -> None:
        skynet.dispatch_unknown_request(lambda *args: None)
        skynet.dispatch_unknown_response(lambda *args: None)

    for other in (main, stray):
        trace, _ = run(handled, other)
        assert kinds(trace) == []


def test_two_services_that_wait_for_each_others_start() -> None:
    """Through uniqueservice: the circle has both names, and does not end at the launcher."""

    def first() -> None:
        skynet.uniqueservice("second")

    def second() -> None:
        skynet.uniqueservice("first")

    def main() -> None:
        for start in (first, second):
            skynet.running().service.server.node.service_name(start)
        skynet.fork(skynet.uniqueservice, "first")

    trace, _ = run(main)
    assert kinds(trace) == ["fault circle"]
    text = trace.verdicts()[0].text
    assert "of first :" in text and "of second :" in text and "which starts" in text

    def patient() -> None:
        """Looks alike: it asks when it has started."""
        skynet.fork(skynet.uniqueservice, "first")

    def other() -> None:
        skynet.running().service.server.node.service_name(first)
        skynet.running().service.server.node.registry.give("second", patient)
        skynet.fork(skynet.uniqueservice, "first")

    trace, _ = run(other)
    assert kinds(trace) == []


def first_by_name() -> None:
    service.new("second", second_by_name)


def second_by_name() -> None:
    service.new("first", first_by_name)


def test_two_services_that_wait_for_each_other_by_service_new() -> None:
    """service_provider keeps the request of the second until the first has been launched: that closes the circle."""

    def main() -> None:
        skynet.fork(service.new, "first", first_by_name)

    trace, _ = run(main)
    assert trace.verdicts().kinds() == ["fault circle"]
    text = trace.verdicts()[0].text
    assert text.count("of service_cell :") == 2 and text.count("of service_provider :") == 2


def test_a_start_that_calls_back_into_its_launchers_section() -> None:
    """Through newservice: who launches is inside a critical section that the start of the other needs."""

    def inner(outer: int) -> None:
        skynet.call(outer, "lua")

    def outer() -> None:
        section = skynet.queue()
        skynet.dispatch("lua", lambda session, source: section(skynet.retpack))
        skynet.fork(lambda: section(skynet.newservice, inner, skynet.self()))

    trace, _ = run(outer)
    assert kinds(trace) == ["fault circle"]
    text = trace.verdicts()[0].text
    assert "of outer :00000008" in text and "of inner :0000000a" in text and "starts inner :0000000a" in text


def test_a_start_that_does_not_end() -> None:
    """Who launches waits for its start function, wherever that is parked; the launcher is not to blame."""

    def stuck() -> None:
        skynet.wait()

    def main() -> None:
        skynet.fork(skynet.newservice, stuck)

    trace, _ = run(main)
    (found,) = trace.verdicts()
    assert kinds(trace) == ["suspicion start not ended"]
    assert "stuck :0000000a is still starting: co1 of stuck :0000000a (at stuck:" in found.text

    def slow() -> None:
        """Looks alike: a timer moves it on."""
        skynet.sleep(5)

    def other() -> None:
        skynet.fork(skynet.newservice, slow)

    trace, _ = run(other)
    assert kinds(trace) == []


def test_waiting_for_news_of_a_shared_table_is_nothing_to_suspect() -> None:
    """sharedatad keeps the requests of those who want to hear of an update, which may never come."""

    def main() -> None:
        sharedata.new("t", {"a": 1})
        sharedata.query("t")

    trace, _ = run(main)
    assert kinds(trace) == []


def test_a_wakeup_that_comes_too_late() -> None:
    """Two wakeups of one sleep: the second breaks whatever the coroutine waits for next."""

    def twice(again: bool) -> Callable[[], None]:
        def twice() -> None:
            def sleeper() -> None:
                skynet.wait()
                skynet.sleep(100)

            co = skynet.fork(sleeper)
            skynet.yield_()
            skynet.wakeup(co)
            if again:
                skynet.wakeup(co)

        return twice

    trace, _ = run(twice(True))
    assert kinds(trace) == ["suspicion late wakeup"]
    found = trace.verdicts()[0]
    assert "called wakeup(co2)" in found.text and "this wakeup broke the wrong sleep (at twice:" in found.text
    trace, _ = run(twice(False))
    assert kinds(trace) == []


def test_the_wakeups_of_the_runtime_are_no_suspicion() -> None:
    """Several answers may wake one select: it looks at what has come."""

    def server() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.retpack())

    def asker(server: int) -> None:
        skynet.fork(lambda: [skynet.yield_() for _ in skynet.select(*[(server, "lua")] * 5)])

    trace, _ = run(server, asker)
    assert kinds(trace) == []


def test_an_answer_and_an_error() -> None:
    """The handler has answered, and then raises: its caller is sent both. Who exits after its answer is no suspect."""

    def server(end: Callable[[], Any]) -> Callable[[], None]:
        def server() -> None:
            def handle(session: int, source: int) -> None:
                skynet.retpack("done")
                end()

            skynet.dispatch("lua", handle)

        return server

    def boom() -> None:
        raise ValueError("late")

    def caller(server: int) -> None:
        skynet.call(server, "lua")

    trace, _ = run(server(boom), caller)
    assert "fault raised" in kinds(trace)
    sent = [e["ptype"] for e in trace.events if e["e"] == "send" and e["to"] == ":0000000a" and e["session"]]
    assert ("suspicion answered and failed" in kinds(trace)) is ("error" in sent)
    trace, _ = run(server(skynet.exit), caller)
    assert kinds(trace) == []

    def twofold() -> None:
        def handle(session: int, source: int) -> None:
            skynet.redirect(source, 0, "response", session, skynet.pack("done"))
            raise ValueError("late")

        skynet.dispatch("lua", handle)

    trace, _ = run(twofold, caller)
    assert kinds(trace) == ["fault raised", "suspicion answered and failed"]


def test_two_answers() -> None:
    """The scheduler refuses the second one; for a message that was sent, ret does nothing, twice."""

    def server() -> None:
        skynet.dispatch("lua", lambda session, source: (skynet.retpack(1), skynet.retpack(2)))

    def caller(server: int) -> None:
        skynet.call(server, "lua")

    trace, _ = run(server, caller)
    assert kinds(trace) == ["fault answered twice"]

    def sender(server: int) -> None:
        skynet.send(server, "lua")

    trace, _ = run(server, sender)
    assert kinds(trace) == []


# ---- the graph


def test_waits_say_what_each_coroutine_waits_for() -> None:
    """A call, a timer, a wakeup, a socket, a critical section: each with the line it is parked at."""

    def server() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.wait())

    def many(server: int) -> None:
        section = skynet.queue()
        skynet.fork(lambda: skynet.call(server, "lua"))
        skynet.fork(lambda: skynet.sleep(50))
        skynet.fork(lambda: skynet.wait())
        skynet.fork(lambda: section(lambda: skynet.wait()))
        skynet.fork(lambda: section(lambda: None))
        id = socket.listen("127.0.0.1:0")
        socket.start(id)
        skynet.fork(lambda: socket.read(id))

    trace, node = run(server, many)
    waits = trace.waits()
    assert [(w.co, w.kind, w.on) for w in waits if w.service == ":0000000a"] == [
        ("co2", "call", "its call to server :00000008, served by co1"),
        ("co3", "timer", "its timer, at tick 50"),
        ("co4", "sleep", "a wakeup"),
        ("co5", "sleep", "a wakeup"),
        ("co6", "queue", "critical section 1, co5 is inside"),
        ("co7", "socket", "socket 1, in read"),
    ]
    assert all(w.place.startswith("many:") for w in waits if w.service == ":0000000a")
    assert waits.circles() == []
    assert len(trace.waits(0)) == 0
    call = waits.of(":0000000a", "co2")
    assert call is not None and call.target == (":00000008", "co1")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for dark in (False, True):
            figure = waits.draw(dark=dark)
            check_readable(figure)
            assert figure.summary == "waits: 7 parked coroutines, 0 circles"


def test_a_circle_that_others_wait_for_moves_as_a_whole() -> None:
    """Its boxes stand right of whoever waits for one of them, and none lies on another."""
    follows = {"a": "b", "b": "c", "c": "a", "d": "a"}
    edges = [Wait(x, "co1", 1, "call", "served", (y, "co1"), y) for x, y in follows.items()]
    waits = Waits({"services": {x: {"name": x} for x in follows}}, edges=edges)
    figure = waits.draw()
    check_readable(figure)
    corners = [(box.get_x(), box.get_y()) for box in figure.axes[0].patches if isinstance(box, FancyBboxPatch)]
    assert len(corners) == len(set(corners)) == 4


def test_an_empty_graph_draws_too() -> None:
    assert str(Trace().waits()) == "nobody waits"
    check_readable(Trace().waits().draw())
    assert Trace().verdicts() == Verdicts()
    assert str(Trace().verdicts()) == "nothing found"


def test_the_verdicts_of_a_part() -> None:
    """What shows in the part, with the numbers of the whole."""

    def early() -> None:
        skynet.wakeup(skynet.fork(skynet.wait))

    trace, _ = run(early)
    (found,) = trace.verdicts()
    assert found.event is not None
    assert trace[found.event : found.event + 1].verdicts() == [found]
    assert trace[: found.event].verdicts() == []


def test_a_served_node_can_be_asked() -> None:
    """waits and verdicts run on the thread that drives."""
    with Node(log=list) as node:
        node.serve()
        node.newservice(answers(1))
        assert node.verdicts() == []
        assert all(wait.service != ":00000008" for wait in node.waits())


def test_both_languages_say_the_same() -> None:
    """Each sentence of words.toml has two forms with the same fields, and each suspicion its excuse."""
    words = tomllib.loads(Path(language.__file__).with_name("words.toml").read_text(encoding="utf-8"))
    for forms in (forms for section in words.values() for forms in section.values()):
        english, chinese = forms
        fields = [sorted(field for _, field, _, _ in Formatter().parse(form) if field) for form in (english, chinese)]
        assert fields[0] == fields[1], forms
    suspicions = words["verdict"].keys() - set(verdicts._FAULTS)
    guessed = {"circle", "call to oneself in a critical section"}  # faults, unless what they rest on is no proof
    assert words["excuse"].keys() == suspicions | {"unanswered"} | guessed
