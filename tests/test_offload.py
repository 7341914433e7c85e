"""Blocking code runs in a thread, and parks one coroutine only; what comes back enters between two messages.

No test waits for a time: a function that blocks does so until the test lets it go on.
"""

from __future__ import annotations

import sqlite3
import threading
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from harness import LIMIT, Gate, opened, until

from skynet_lite import CallError, DriveTimeout, Node, SkynetError, skynet
from skynet_lite.trace import Trace

DRIVERS = pytest.mark.parametrize(
    "keys", [{}, {"clock": "virtual"}, {"thread": 4}, {"thread": 4, "clock": "virtual"}], ids=str
)


def double(n: int) -> int:
    return 2 * n


def offloads(f: Any) -> Any:
    """A service that has `f` done in a thread for each request; "ping" it answers itself."""

    def service() -> None:
        @skynet.dispatch("lua")
        def _(session: int, source: int, *args: Any) -> None:
            skynet.retpack("pong" if args == ("ping",) else skynet.offload(f, *args))

    return service


@DRIVERS
@pytest.mark.parametrize("served", [False, True])
def test_it_returns_what_the_function_returns_and_raises_what_it_raises(keys: Any, served: bool) -> None:
    """With one worker or many, driven or served, under both clocks."""

    def half(n: int) -> int:
        if n % 2:
            raise ValueError("odd", n)
        return n // 2

    with Node(log=list, **keys) as node:
        if served:
            node.serve()
        addr = node.newservice(offloads(half))
        assert node.call(addr, "lua", 8, timeout=LIMIT) == 4
        with pytest.raises(CallError, match="odd") as e:
            node.call(addr, "lua", 3, timeout=LIMIT)
    assert isinstance(e.value.__cause__, ValueError)
    functions = [frame.name for frame in e.value.__cause__.__traceback__ and traceback(e.value.__cause__)]
    assert functions[0] == "_" and functions[-1] == "half"  # from the coroutine down into the thread


def traceback(error: BaseException) -> Any:
    import traceback

    return [f for f in traceback.extract_tb(error.__traceback__) if "skynet_lite/skynet" not in f.filename]


def test_only_the_coroutine_is_parked() -> None:
    """Other messages of the same service are handled meanwhile; the tables say what it waits for."""
    gate = Gate()
    with opened(gate), Node(log=list) as node:
        addr = node.newservice(offloads(gate))
        node.send(addr, "lua", 1)
        node.run(until=gate.entered.is_set, timeout=LIMIT)
        assert node.call(addr, "lua", "ping", timeout=LIMIT) == "pong"
        (wait,) = [w for w in node.waits() if w.service == f":{addr:08x}"]
        assert (wait.kind, wait.on) == ("offload", "offload Gate, in a thread")
        assert node.verdicts() == []
        gate.open.set()
        node.run_until_idle()
        assert not node.waits()


def test_nothing_is_over_while_a_thread_works() -> None:
    """Who drives waits for it: it is no DriveTimeout, no idleness, and the virtual clock does not jump past it."""
    gate, seen = Gate(), list[Any]()

    def main() -> None:
        skynet.timeout(100, lambda: seen.append("timer"))
        skynet.fork(lambda: seen.append((skynet.offload(gate, "thread"), skynet.now())))

    with opened(gate), Node(log=list, clock="virtual") as node:
        node.newservice(main)
        node.run(until=gate.entered.is_set, timeout=LIMIT)
        assert node.future() and node.step() is None and seen == []
        gate.open.set()
        node.run_until_idle()
        assert seen == [("thread", 0)]
        node.run()
        assert seen == [("thread", 0), "timer"]


def test_the_virtual_clock_makes_an_order() -> None:
    """Results come in the order in which the jobs began, when nothing else can run: ten runs, one trace."""

    def main() -> None:
        gates = [threading.Event() for _ in range(3)]

        def job(n: int) -> int:
            assert n == 2 or gates[n + 1].wait(LIMIT)  # so the last to begin ends first
            gates[n].set()
            return n

        def asks(n: int) -> None:
            skynet.error(skynet.offload(job, n))

        for n in range(3):
            skynet.fork(asks, n)
        skynet.fork(lambda: [skynet.yield_() for _ in range(50)])

    texts = set()
    for _ in range(10):
        with Node(log=list, clock="virtual", record=True) as node:
            node.newservice(main)
            node.run_until_idle()
            assert [line[-1] for line in node.log_lines[-3:]] == ["0", "1", "2"]
            texts.add(node.trace.text())
    assert len(texts) == 1


def test_a_job_may_wait_for_a_younger_one() -> None:
    """The oldest is waited for `patience` seconds only; else such a program would stand still for ever."""
    second = threading.Event()

    def main() -> None:
        def younger() -> None:
            skynet.offload(double, 1)
            second.set()

        skynet.fork(skynet.offload, second.wait, LIMIT)
        skynet.fork(younger)

    with opened(), Node(log=list, clock="virtual") as node:
        node.patience = 0.01
        node.newservice(main)
        node.run_until_idle()
    assert second.is_set()


def test_a_replay_needs_no_thread(tmp_path: Path) -> None:
    """What came back is in the recording, in memory and in a file: values, and exceptions by class and arguments."""
    calls: list[str] = []

    def work(what: str) -> Any:
        calls.append(what)
        if what == "value":
            return {"rows": [(1, "a"), (2, None)], "raw": b"\xff"}
        if what == "builtin":
            raise FileNotFoundError(2, "No such file", "x")
        raise sqlite3.IntegrityError("UNIQUE constraint failed")

    def main() -> None:
        for what in ("value", "builtin", "library"):
            try:
                found = skynet.offload(work, what)
                found["rows"].append("changed")  # its own, not the recording's
            except (FileNotFoundError, sqlite3.IntegrityError) as e:
                found = f"{type(e).__name__} {e}"
            skynet.error(found)

    with Node(log=list, record=True) as node:
        node.newservice(main)
        trace = node.trace
    assert calls == ["value", "builtin", "library"]
    trace.save(tmp_path / "run.json")
    for recording in (trace, Trace.load(tmp_path / "run.json"), trace):
        again = Node.replay(recording, main)
        assert again.same, str(again)
        assert again.trace.text() == trace.text()
    assert len(calls) == 3


def test_an_error_that_nobody_catches_is_the_same_in_a_replay() -> None:
    """Its traceback in the log lacks the lines of the thread there, and that is no difference."""

    def bad() -> None:
        raise ZeroDivisionError("in the thread")

    def main() -> None:
        skynet.fork(skynet.offload, bad)

    with Node(log=list, record=True) as node:
        node.newservice(main)
        node.run_until_idle()
    assert "in bad" in node.log_lines[-1]
    assert Node.replay(node.trace, main).same


def test_a_replay_says_what_a_recording_cannot_hold() -> None:
    """A run does not end because it is recorded; its replay stops where the value is missing, and says how to help."""

    def main() -> None:
        skynet.offload(threading.Lock)

    with Node(log=list, record=True) as node:
        node.newservice(main)
    again = Node.replay(node.trace, main)
    assert again.divergence is not None
    assert "what a thread came back with is in no recording: PackError: cannot send argument 1: a _thread" in str(again)
    assert "register_type" in str(again)


def test_a_replay_of_a_changed_program_stops() -> None:
    """It asks for another function, so what came back then is no answer."""

    def runs(f: Any) -> Any:
        def main() -> None:
            skynet.offload(f, 1)

        return main

    with Node(log=list, record=True) as node:
        node.newservice(runs(double))
    again = Node.replay(node.trace, runs(abs))
    said = str(again)
    assert "watching_session set 2 offload double" in said and "watching_session set 2 offload abs" in said


@DRIVERS
def test_a_service_that_is_killed_does_not_wait(keys: Any) -> None:
    """Its `finally` blocks run at once; what its thread finds is thrown away, and one that has not begun never does."""
    gate, ended, begun = Gate(), list[str](), list[str]()

    def main() -> None:
        def waits(f: Any) -> None:
            try:
                skynet.offload(f, "late")
            finally:
                ended.append("closed")

        for f in (gate, begun.append):
            skynet.fork(waits, f)

    with opened(gate), Node(log=list, offload=1, **keys) as node:
        addr = node.newservice(main)
        node.run(until=gate.entered.is_set, timeout=LIMIT)
        node.newservice(lambda: skynet.kill(addr))
        node.run_until_idle()
        assert ended == ["closed", "closed"] and not node.future()
        gate.open.set()
    assert begun == [] and not node.log_lines[-1].count("error")


def test_killthread_gives_a_job_up() -> None:
    """Nothing stays in the tables, and no message comes."""
    gate = Gate()

    def main() -> None:
        co = skynet.fork(skynet.offload, gate)
        skynet.dispatch("lua", lambda session, source: skynet.retpack(skynet.killthread(co) is co))

    with opened(gate), Node(log=list, clock="virtual") as node:
        addr = node.newservice(main)
        node.run(until=gate.entered.is_set, timeout=LIMIT)
        assert node.call(addr, "lua") is True
        assert node.service(addr).tables()["session_id_coroutine"] == {}
        gate.open.set()
        node.run_until_idle()
        assert node.service(addr).tables()["watching_session"] == {}


def test_a_coroutine_is_killed_while_its_answer_is_on_its_way() -> None:
    """It lies in the mailbox behind the message that kills: it is thrown away like any answer that comes too late."""
    gate = Gate()

    def main() -> None:
        co = skynet.fork(skynet.offload, gate)
        skynet.dispatch("lua", lambda session, source: skynet.killthread(co) and None)

    with opened(gate), Node(log=list) as node:
        addr = node.newservice(main)
        node.run(until=gate.entered.is_set, timeout=LIMIT)
        node.send(addr, "lua")
        gate.open.set()
        until(lambda: node.driver.jobs)
        node.run_until_idle()
        assert node.service(addr).tables()["session_id_coroutine"] == {}
        assert not any("error" in line for line in node.log_lines)


@DRIVERS
def test_close_does_not_wait_for_a_thread_that_blocks(keys: Any) -> None:
    """The coroutine ends; a thread that is done is joined, one that blocks is left; skynet.exit is the same."""
    gate, ended = Gate(), list[str]()

    def main() -> None:
        try:
            skynet.offload(gate)
        finally:
            ended.append("closed")

    def leaves() -> None:
        skynet.fork(main)
        skynet.fork(skynet.exit)

    before = set(threading.enumerate())
    with opened(gate):
        with Node(log=list, **keys) as node:
            node.newservice(main, wait=False)
            node.newservice(leaves, wait=False)
            node.run(until=lambda: gate.entered.is_set() and ended == ["closed"], timeout=LIMIT)
        assert ended == ["closed", "closed"]
    for thread in set(threading.enumerate()) - before:
        if thread.name.startswith("skynet_lite offload"):
            thread.join(LIMIT)
    assert not set(threading.enumerate()) - before


def test_so_many_run_at_once_as_the_key_says() -> None:
    """The pool is the node's, made at the first use; a node that offloads nothing has no thread more."""
    gate, begun, ended = Gate(), list[int](), list[int]()

    def job(n: int) -> None:
        begun.append(n)
        gate()
        ended.append(n)

    def main() -> None:
        for n in range(20):
            skynet.fork(skynet.offload, job, n)

    before = threading.active_count()
    with opened(gate), Node(log=list, offload=2, clock="virtual") as node:
        node.newservice(lambda: None)
        assert threading.active_count() == before
        node.newservice(main)
        node.run(until=lambda: len(begun) == 2 and len(node.waits()) == 20, timeout=LIMIT)
        assert threading.active_count() == before + 2, "nobody is there to begin a third"
        gate.open.set()
        node.run_until_idle()
        assert sorted(begun) == sorted(ended) == list(range(20)) and threading.active_count() == before + 2
    assert threading.active_count() == before
    with pytest.raises(SkynetError, match="offload"):
        Node(offload=0)


def test_a_thread_has_the_contextvars_and_no_skynet() -> None:
    """Which of them it may call says the error of all others."""
    user: ContextVar[str] = ContextVar("user", default="nobody")
    seen: list[Any] = []

    def job() -> str:
        for f in (skynet.self, skynet.now, partial(skynet.sleep, 1), partial(skynet.offload, job)):
            with pytest.raises(SkynetError, match="inside a service only"):
                f()
        with pytest.raises(SkynetError, match="a thread wakes a coroutine, which .* and no token"):
            skynet.wakeup("token")
        return user.get()

    def main() -> None:
        user.set("alice")
        seen.append(skynet.offload(job))

    with Node(log=list) as node:
        node.newservice(main)
    assert seen == ["alice"]


def test_misuse_is_told_where_it_happens() -> None:
    """Outside of services and coroutines, and for what a call would not run."""

    async def unrun() -> None: ...

    with pytest.raises(SkynetError, match="inside a service only"):
        skynet.offload(double, 1)
    said: list[str] = []

    def main() -> None:
        with suppress(SkynetError):
            skynet.offload(unrun)
        try:
            skynet.offload(unrun)
        except SkynetError as e:
            said.append(str(e))

    with Node(log=list) as node:
        node.newservice(main)
    assert "no plain function" in said[0]


def test_the_trace_tells_the_wait_and_its_end() -> None:
    """Who waits for what stands in the text, in sentences, and as the cause of the message."""

    def main() -> None:
        skynet.offload(double, 1)

    with Node(log=list, clock="virtual") as node, node.record(boot=True) as trace:
        node.newservice(main)
    text = trace.text()
    assert "watching_session set 2 offload double" in text and "push      response session 2 by offload" in text
    (push,) = [e for e in trace if e.get("by") == "offload"]
    assert trace.events[push["cause"]]["address"] == "offload double"
    story = trace.describe()
    assert "it parks until offload double has ended in its thread" in story
    assert "a thread has come back" in story.lower()
    assert trace.verdicts() == []


def test_a_call_that_cannot_end_is_still_told() -> None:
    """A node whose threads are all back says so as ever."""
    with Node(log=list) as node:
        addr = node.newservice(offloads(double))
        assert node.call(addr, "lua", 1) == 2
        with pytest.raises(DriveTimeout, match="nothing is left that could run"):
            node.run(until=lambda: False)
