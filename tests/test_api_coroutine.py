"""Coroutines of the user's own that block in skynet: skynet.coroutine."""

from __future__ import annotations

from typing import Any

import pytest
from test_skynet import marks

from skynet_lite import CallError, Node, SkynetError, coroutine, mark, skynet


def say(*words: Any) -> None:
    mark(" ".join(map(str, words)))


def test_values_go_both_ways() -> None:
    """resume hands in, yield_ hands out; the end is a value too, and then it is dead."""

    def main() -> None:
        def f(a: int, b: int) -> tuple[str, int]:
            c = coroutine.yield_(a + b)
            d = coroutine.yield_(c, c)
            say(d)
            return "end", 1

        co = coroutine.create(f)
        say(coroutine.status(co), coroutine.resume(co, 1, 2), coroutine.resume(co, "c"), coroutine.status(co))
        say(coroutine.resume(co, 7, 8), coroutine.status(co))
        say(*coroutine.resume(co))

    assert marks(main) == [
        "suspended (True, 3) (True, 'c', 'c') suspended",
        "(7, 8)",
        "(True, 'end', 1) dead",
        "False cannot resume dead coroutine",
    ]


def test_it_blocks_in_skynet_and_its_resumer_waits() -> None:
    """A sleep or a call inside parks the whole thread; others run meanwhile, and see it blocked."""

    def answer() -> None:
        skynet.dispatch("lua", lambda session, source, n: (skynet.sleep(3), skynet.retpack(n + 1)))

    def main() -> None:
        addr = skynet.newservice(answer)

        def outer() -> str:
            def inner() -> None:
                skynet.sleep(2)
                coroutine.yield_("slept")
                coroutine.yield_(skynet.call(addr, "lua", 41))

            step = coroutine.wrap(inner)
            coroutine.yield_(step())
            coroutine.yield_(step())
            return "over"

        co = coroutine.create(outer)
        skynet.fork(lambda: say(coroutine.status(co), *coroutine.resume(co)))
        say(*coroutine.resume(co), skynet.now())
        say(*coroutine.resume(co), skynet.now())
        say(*coroutine.resume(co), coroutine.status(co))

    assert marks(main) == [
        "blocked False cannot resume a skynet coroutine suspend by skynet framework",
        "True slept 2",
        "True 42 5",
        "True over dead",
    ]


def test_who_is_who() -> None:
    """running, normal, thread, isyieldable: inside and outside."""

    def main() -> None:
        thread = skynet.running()

        def f(other: Any) -> None:
            me = coroutine.running()
            say(coroutine.status(me), coroutine.status(other), coroutine.status(thread), coroutine.isyieldable())
            say(coroutine.thread() == (thread, False), coroutine.isskynetcoroutine(), coroutine.resume(other)[1])

        say(coroutine.thread() == (thread, True), coroutine.isskynetcoroutine(), coroutine.isyieldable())
        outer = coroutine.create(lambda: coroutine.wrap(f)(coroutine.running()))
        coroutine.resume(outer)
        say(coroutine.resume(thread)[1])

    assert marks(main) == [
        "True False True",
        "running normal normal True",
        "True True cannot resume non-suspended coroutine",
        "cannot resume none skynet coroutine",
    ]


def test_errors() -> None:
    """resume returns what was raised, wrap raises it; a stray yield says what is wrong."""

    def main() -> None:
        def broken() -> None:
            raise ValueError("mine")

        co = coroutine.create(broken)
        ok, error = coroutine.resume(co)
        say(ok, repr(error), coroutine.status(co))
        with pytest.raises(ValueError, match="mine"):
            coroutine.wrap(broken)()
        with pytest.raises(SkynetError, match="out of skynet.coroutine.resume"):
            coroutine.yield_(1)

    assert marks(main) == ["False ValueError('mine') dead"]


def test_a_stray_yield_in_a_handler_fails_its_call() -> None:
    """In skynet the caller would wait for ever; here it is told."""

    def server() -> None:
        skynet.dispatch("lua", lambda session, source: coroutine.yield_())

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(server)
        with pytest.raises(CallError):
            node.call(addr, "lua")
    assert any("Call skynet.coroutine.yield out of skynet.coroutine.resume" in line for line in node.log_lines)


def test_it_answers_for_its_thread() -> None:
    """ret, context, fork and wakeup inside act for the request that the thread serves."""

    def server() -> None:
        def handle(session: int, source: int, what: str) -> None:
            def work() -> None:
                say(skynet.context() == (session, source))
                skynet.fork(skynet.wakeup, coroutine.running())
                skynet.wait()
                coroutine.yield_("half")
                skynet.retpack(what * 2)

            co = coroutine.create(work)
            say(*coroutine.resume(co))
            say(*coroutine.resume(co))

        skynet.dispatch("lua", handle)

    def main() -> None:
        say(skynet.call(skynet.newservice(server), "lua", "ab"))

    assert marks(main) == ["True", "True half", "True", "abab"]


def test_close_runs_finally_blocks() -> None:
    """A suspended one can be closed, and may not block then; a running or blocked one cannot."""

    def main() -> None:
        def f() -> None:
            try:
                coroutine.yield_()
            finally:
                try:
                    skynet.sleep(1)
                except SkynetError as e:
                    say("being closed" in str(e))

        co = coroutine.create(f)
        coroutine.resume(co)
        say(coroutine.close(co), coroutine.status(co), coroutine.resume(co)[1])
        fresh = coroutine.create(f)
        say(coroutine.close(fresh), coroutine.status(fresh))
        with pytest.raises(SkynetError, match="cannot close a running coroutine"):
            coroutine.close(coroutine.running())
        blocked = coroutine.create(lambda: skynet.sleep(3))
        skynet.fork(coroutine.resume, blocked)
        skynet.yield_()
        with pytest.raises(SkynetError, match="cannot close a blocked coroutine"):
            coroutine.close(blocked)

    assert marks(main) == ["True", "True dead cannot resume dead coroutine", "True dead"]


def test_the_end_of_a_service_ends_them_too() -> None:
    """Blocked ones from the inside out, then those that were left suspended, the oldest first."""

    def main() -> None:
        def f(name: str, block: bool) -> None:
            try:
                skynet.sleep(100) if block else coroutine.yield_()
            finally:
                ended.append(name)

        def nested() -> None:
            try:
                coroutine.wrap(f)("inner", True)
            finally:
                ended.append("outer")

        kept.extend(coroutine.create(f) for _ in range(2))
        coroutine.resume(kept[0], "first", False)
        coroutine.resume(kept[1], "second", False)
        skynet.fork(coroutine.wrap(nested))

    ended: list[str] = []
    kept: list[Any] = []
    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        node.run_until_idle()
    assert ended == ["inner", "outer", "first", "second"]


def test_a_killed_thread_takes_them_with_it() -> None:
    """killthread closes the thread, and so whatever is blocked inside."""

    def main() -> None:
        def f() -> None:
            try:
                skynet.sleep(100)
            finally:
                say("inner ends")

        co = skynet.fork(coroutine.wrap(f))
        skynet.yield_()
        say("in f" in skynet.task(skynet.task(co)))  # the stack is that of the innermost
        skynet.killthread(co)

    assert marks(main) == ["True", "inner ends"]
