"""The graceful end: who is asked, in which order, what he may do meanwhile, and that nobody can hold a node up."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from harness import LIMIT, in_thread, said

from skynet_lite import ConfigError, Node, SkynetError, skynet
from skynet_lite.core import locks, outside, server, socket_server
from skynet_lite.drive import driver, loop, workers
from skynet_lite.testing import NodeUnderTest


def node_of(keys: dict[str, Any]) -> Node:
    node = Node(log=list, **{key: value for key, value in keys.items() if key != "serve"})
    if keys.get("serve"):
        node.serve()
    return node


def store() -> None:
    """A service that others need at their end."""

    @skynet.dispatch("lua")
    def _(session: int, source: int, what: str) -> None:
        skynet.sleep(10)
        skynet.retpack(f"{what} is saved")

    skynet.on_stop(lambda: skynet.error("store is closed"))


def agent(store: int, name: str) -> None:
    @skynet.on_stop
    def end() -> None:
        skynet.error(skynet.call(store, "lua", name))


def program() -> None:
    addr = skynet.newservice(store)
    for name in ("ann", "bob"):
        skynet.newservice(agent, addr, name)


WAYS: list[dict[str, Any]] = [
    {"clock": "virtual"}, {"clock": "virtual", "thread": 3}, {}, {"thread": 4}, {"serve": True},
]  # fmt: skip


@pytest.mark.parametrize("keys", WAYS, ids=str)
def test_the_youngest_goes_first_and_may_wait(keys: dict[str, Any]) -> None:
    """Who came later may need who was there before: an agent saves by a call, and the store goes last."""
    node = node_of(keys)
    node.newservice(program)
    assert node.shutdown() and node.closed
    assert said(node) == ["bob is saved", "ann is saved", "store is closed"]


def test_a_service_with_nothing_to_do_is_there_to_the_end(node: NodeUnderTest) -> None:
    """It is not asked, so the older one finds it: a program's first service uses those that it has started."""

    def helper() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.retpack("here"))

    def first() -> None:
        addr = skynet.newservice(helper)
        skynet.on_stop(lambda: skynet.error("the younger one is", skynet.call(addr, "lua")))

    node.newservice(first)
    node.shutdown()
    assert said(node) == ["the younger one is here"]


def test_the_last_function_runs_first_and_one_that_fails_is_logged(node: NodeUnderTest) -> None:
    """As with `atexit`: what was opened last is closed first."""

    def opens() -> None:
        skynet.on_stop(lambda: skynet.error("one"))

        @skynet.on_stop
        def _() -> None:
            skynet.error("two")
            skynet.on_stop(lambda: skynet.error("given at the end"))
            raise ValueError("no disk")

    node.newservice(opens)
    assert node.shutdown()
    lines = said(node)
    assert [lines[0], *lines[2:]] == ["two", "given at the end", "one"]
    assert lines[1].startswith("on_stop failed: Traceback") and lines[1].endswith("ValueError: no disk")


def test_who_is_born_meanwhile_is_asked_too(node: NodeUnderTest) -> None:
    """There may be more to do at the end than there was at the beginning."""

    def late() -> None:
        skynet.on_stop(lambda: skynet.error("late"))

    def first() -> None:
        @skynet.on_stop
        def _() -> None:
            skynet.newservice(late)
            skynet.error("first")

    node.newservice(first)
    assert node.shutdown()
    assert said(node) == ["first", "late"]


@pytest.mark.skynet(faults=True, shutdown=3)
def test_one_deadline_for_all_and_the_log_says_who_missed_it(node: NodeUnderTest) -> None:
    """Two seconds for the one leave one for the next; the third is not asked any more, and the node ends all the same."""

    def slow(seconds: int) -> None:
        @skynet.on_stop
        def waits() -> None:
            skynet.sleep(100 * seconds)
            skynet.error(f"{seconds} s at {skynet.now()}")

    oldest, stuck, _ = (node.newservice(slow, seconds) for seconds in (1, 2, 2))
    assert not node.shutdown() and node.closed
    assert said(node) == [
        "2 s at 200",
        f"stop: :{stuck:08x} slow has not come to its end in 3 s; not asked any more: :{oldest:08x} slow",
    ]


@pytest.mark.parametrize("keys", [{}, {"thread": 3}, {"serve": True}], ids=str)
def test_a_handler_that_never_returns_is_broken_off(keys: dict[str, Any]) -> None:
    """No message reaches it any more: `patience` seconds after the deadline it gets an exception."""

    def loops() -> None:
        @skynet.on_stop
        def _() -> None:
            while True:
                pass

    node = node_of(keys)
    node.patience = 0.1
    addr = node.newservice(loops)
    assert not node.shutdown(0.1) and node.closed
    text = "\n".join(said(node))
    assert "NodeClosed" in text and f":{addr:08x}" in next(line for line in said(node) if line.startswith("stop: "))


def test_close_is_at_once(node: NodeUnderTest) -> None:
    """Nobody is asked: `finally` blocks run, on_stop functions do not. So `with Node()` ends as it always has."""

    def service() -> None:
        skynet.on_stop(lambda: skynet.error("asked"))
        try:
            skynet.wait()
        finally:
            skynet.error("finally")

    node.newservice(service, wait=False)
    node.run_until_idle()
    node.close()
    assert said(node) == ["finally"]
    assert node.shutdown()  # a second end has nothing to do


def test_asked_twice_it_ends_once(node: NodeUnderTest) -> None:
    """The second who asks waits for the same end, and does not cut the first short."""

    def service() -> None:
        @skynet.on_stop
        def _() -> None:
            skynet.sleep(5)
            skynet.error("saved")

    addr = node.newservice(service)

    def ask() -> int:
        for _ in skynet.select((addr, "debug", "STOP"), (addr, "debug", "STOP")):
            pass
        return skynet.now()

    assert node.do(ask) == 5
    assert said(node) == ["saved"]


def saver(ticks: int = 20) -> None:
    @skynet.on_stop
    def _() -> None:
        skynet.sleep(ticks)
        skynet.error("saved")


@pytest.mark.parametrize("thread", [1, 4])
def test_two_shutdowns_at_once_are_one(thread: int) -> None:
    """A service that is at its end already is waited for by the second, too; each has the same outcome."""
    node = Node(log=list, thread=thread)
    node.serve()
    node.newservice(saver)
    found: list[bool] = []
    others = [threading.Thread(target=lambda: found.append(node.shutdown())) for _ in range(3)]
    for other in others:
        other.start()
    for other in others:
        other.join()
    assert found == [True] * 3 and said(node) == ["saved"]


@pytest.mark.parametrize("thread", [1, 4])
@pytest.mark.parametrize("how", ["run_forever", "run"])
def test_a_signal_handler_may_shut_down(thread: int, how: str) -> None:
    """Also while the main thread drives: what drives comes back, and does not wait for a node that is closed."""
    node, runs = Node(log=list, thread=thread), threading.Event()

    def asks() -> bool:  # in the thread that drives, between two messages
        if not node.closed:
            signal.raise_signal(signal.SIGALRM)
        return False

    def driven() -> None:
        while not node.driver.serving:
            skynet.sleep(1)
        skynet.sleep(1)
        runs.set()

    def sends() -> None:
        assert runs.wait(LIMIT)
        os.kill(os.getpid(), signal.SIGALRM)
        node.driver.wake()  # a signal that comes just before the poll does not interrupt it

    node.newservice(saver)
    before = signal.signal(signal.SIGALRM, lambda *_: node.shutdown())
    try:
        if how == "run":
            with pytest.raises(SkynetError, match="was closed in the meantime"):
                node.run(until=asks, timeout=LIMIT)
        else:
            node.newservice(lambda: skynet.fork(driven) and None)
            sender = in_thread(sends)
            node.run_forever()
            sender.join()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert node.closed and node.shutdown() and said(node) == ["saved"]


TRACED = {
    module.__file__ for module in (driver, loop, workers, outside, locks, server, socket_server, threading)
}  # fmt: skip


def outside_services(frame: Any) -> bool:
    while frame is not None and frame.f_code is not Node.run_forever.__code__:
        frame = frame.f_back
    return frame is not None


def driven_with_a_signal(thread: int, place: tuple[str, int] | None) -> set[tuple[str, int]]:
    """Drive until a service ends that, or a signal that comes when the main thread is there first; all places seen."""
    node, seen = Node(log=list, thread=thread), set()

    def looks(frame: Any, event: str, arg: Any) -> Any:
        if event != "line":
            return looks if frame.f_code.co_filename in TRACED and outside_services(frame) else None
        here = frame.f_code.co_filename, frame.f_lineno
        if here == place and here not in seen and not node.closed:
            signal.raise_signal(signal.SIGALRM)
        seen.add(here)
        return looks

    def ticks() -> None:
        for _ in range(3):
            skynet.sleep(1)
        skynet.offload(node.stop)

    node.newservice(saver, 1)
    node.newservice(lambda: skynet.fork(ticks) and None)
    before, tracer = signal.signal(signal.SIGALRM, lambda *_: node.shutdown()), sys.gettrace()
    try:
        sys.settrace(looks)
        node.run_forever()
    except SkynetError as e:
        assert "closed: make a new one" in str(e)  # it came before the node was driven
    finally:
        sys.settrace(tracer)
        signal.signal(signal.SIGALRM, before)
    assert node.shutdown() and node.closed and said(node) == ["saved"]
    return seen


@pytest.mark.parametrize("thread", [1, 4])
def test_a_signal_may_come_at_any_line(thread: int) -> None:
    """Locks may be held at that moment, and a bell be half rung: a handler that ends the node waits for threads which
    need them, and its own cannot go on before that."""
    for place in sorted(driven_with_a_signal(thread, None)):
        driven_with_a_signal(thread, place)


@pytest.mark.parametrize("thread", [1, 4])
def test_an_abort_ends_a_shutdown(thread: int) -> None:
    node = Node(log=list, thread=thread)
    node.serve()
    node.newservice(saver)
    node.newservice(lambda: skynet.on_stop(skynet.abort))
    assert not node.shutdown() and node.closed and said(node) == []


@pytest.mark.parametrize("thread", [1, 4])
def test_what_is_offloaded_may_shut_down(thread: int) -> None:
    """Its thread is among those that the end waits for, and cannot wait for itself."""
    node, found = Node(log=list, thread=thread), threading.Event()
    node.serve()

    def service() -> None:
        skynet.fork(skynet.offload, lambda: node.shutdown() and found.set())

    node.newservice(saver)
    node.newservice(service)
    assert found.wait(LIMIT) and node.closed and said(node) == ["saved"]


def test_a_replay_ends_in_the_same_way(node: NodeUnderTest) -> None:
    """The end is part of the recording: the program of a bug report is run again to its last line."""
    node.newservice(program)
    node.shutdown()
    assert Node.replay(node.trace, program, store, agent).same


def test_what_is_wrong_is_said_where_it_is_given(node: NodeUnderTest) -> None:
    """A time that is none, a function that would not run, and a service that wants to end its own node."""

    async def never() -> None: ...

    def inside() -> str:
        with pytest.raises(SkynetError, match="neither async"):
            skynet.on_stop(never)
        with pytest.raises(SkynetError, match="inside a service"):
            node.shutdown()
        return "refused"

    assert node.do(inside) == "refused"
    bad: Any = "soon"
    with pytest.raises(SkynetError, match="a number of seconds, 0 or more, not 'soon'"):
        Node(log=list).shutdown(bad)
    with pytest.raises(ConfigError, match="'shutdown' is -1: a number of seconds"):
        Node(shutdown=-1)


# ---- as a program

PROGRAM = """\
from skynet_lite import skynet

@skynet.start
def main():
    @skynet.on_stop
    def end():
        print("saving", flush=True)
        skynet.sleep(%s)
        print("saved", flush=True)
    print("up", flush=True)
    %s
"""


def started(tmp_path: Path, sleep: str, then: str, *options: str) -> subprocess.Popen[str]:
    (tmp_path / "program.py").write_text(PROGRAM % (sleep, then))
    words = [sys.executable, "-m", "skynet_lite", "run", *options, str(tmp_path / "program.py")]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None and process.stdout.readline() == "up\n"
    return process


@pytest.mark.parametrize("options", [[], ["--thread", "3"]], ids=["one", "three"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_sigterm_ends_a_program_gracefully(tmp_path: Path, number: signal.Signals, options: list[str]) -> None:
    """What systemd, docker and a terminal send first."""
    process = started(tmp_path, "5", "skynet.timeout(1000000, print)", *options)
    process.send_signal(number)
    assert process.communicate(timeout=60)[0] == "saving\nsaved\n" and process.returncode == 0


def test_a_handler_that_never_returns_does_not_hold_up_the_stop(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one worker it holds up everybody: it is broken off, and the services still save what they have."""
    monkeypatch.setenv("SKYNET_LITE_SHUTDOWN", "6")
    spins = (
        "def spin():\n        print('loops', flush=True)\n        while True:\n            pass\n    skynet.fork(spin)"
    )
    process = started(tmp_path, "5", spins)
    assert process.stdout is not None and process.stdout.readline() == "loops\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == "saving\nsaved\n" and process.returncode == 0


def test_a_second_sigterm_ends_it_at_once(tmp_path: Path) -> None:
    """Whoever cannot wait says so."""
    process = started(tmp_path, "1000000", "skynet.timeout(1000000, print)")
    process.send_signal(signal.SIGTERM)
    assert process.stdout is not None and process.stdout.readline() == "saving\n"
    process.send_signal(signal.SIGTERM)
    assert process.communicate(timeout=60)[0] == "" and process.returncode == -signal.SIGTERM


def test_a_program_that_has_nothing_left_to_do_ends_in_the_same_way(tmp_path: Path) -> None:
    """Nobody has asked it to; its services still have something to save."""
    process = started(tmp_path, "5", "pass")
    assert process.communicate(timeout=60)[0] == "saving\nsaved\n" and process.returncode == 0
