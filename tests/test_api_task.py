"""Who is parked, where, and how to end it: task, uniqtask, killthread, trace_timeout."""

from __future__ import annotations

from typing import Any

import pytest
from test_skynet import marks, run

from skynet_lite import CallError, Node, SkynetError, mark, skynet


def say(*words: Any) -> None:
    mark(" ".join(map(str, words)))


def test_task_names_coroutine_session_and_line() -> None:
    """The table of a console: "co3 session: 5", and the user's own lines below it."""
    seen: dict[str, str] = {}

    def main() -> None:
        def sleeper() -> None:
            skynet.sleep(5)

        skynet.fork(sleeper)
        skynet.timeout(9, sleeper)
        skynet.yield_()
        skynet.task(seen)

    run(main)
    line = main.__code__.co_firstlineno + 2
    assert list(seen) == ["co3 session: 2", "co2 session: 4"]
    assert seen["co2 session: 4"].splitlines() == [
        "stack traceback:",
        f"  main:{line} in sleeper",
        "    skynet.sleep(5)",
    ]
    assert seen["co3 session: 2"] == "stack traceback:"  # it has not begun


def test_task_init_shows_the_start_function_until_it_ends() -> None:
    """A service that hangs in its start is found by task("init")."""
    seen: list[Any] = []

    def main() -> None:
        skynet.timeout(1, lambda: seen.append(skynet.task("init")))
        skynet.sleep(2)
        skynet.timeout(1, lambda: seen.append(skynet.task("init")))
        seen.append(skynet.task("init").splitlines()[1])

    run(main)
    assert "in main\n    skynet.sleep(2)" in seen[0]
    assert seen[1].startswith("  main:") and seen[1].endswith(" in main")
    assert seen[2] is None


def test_uniqtask_counts_equal_stacks() -> None:
    """A thousand coroutines at one line are one entry, with the first nine sessions."""
    seen: dict[str, str] = {}

    def main() -> None:
        def sleeper() -> None:
            skynet.sleep(5)

        for _ in range(12):
            skynet.fork(sleeper)
        skynet.yield_()
        seen.update(skynet.uniqtask())

    run(main)
    assert list(seen) == ["12\tsessions:[3,4,5,6,7,8,9,10,11...]\n"]
    assert "skynet.sleep(5)" in seen.popitem()[1]


def test_trace_timeout_shows_who_set_the_timer() -> None:
    """A timer that has not fired has no stack; with trace_timeout it has that of its maker."""
    seen: list[str] = []

    def main() -> None:
        skynet.timeout(50, lambda: None)
        skynet.trace_timeout(True)
        skynet.sleep(3)
        skynet.timeout(7, lambda: seen.append("fired"))
        for session in (2, 4):
            seen.append(skynet.task(session))
        skynet.trace_timeout(False)
        seen.append(skynet.task(4))

    run(main)
    plain, traced, off, fired = seen
    assert plain == off == "stack traceback:"
    assert traced.startswith("TIMER 3+7 : \nstack traceback:\n  main:")
    assert "skynet.timeout(7" in traced
    assert fired == "fired"


# ---- killthread


def test_kill_a_sleeper_runs_its_finally_and_drops_the_late_timer() -> None:
    """What it waited for comes too late, and is thrown away without a word."""

    def main() -> None:
        def sleeper() -> None:
            try:
                skynet.sleep(5)
            finally:
                say("finally", skynet.now())

        co = skynet.fork(sleeper)
        skynet.sleep(2)
        say(skynet.killthread(co) is co, skynet.task(), skynet.killthread(co))
        skynet.sleep(5)
        say("after", skynet.now(), skynet.task())

    with Node(clock="virtual", log=list) as node:
        with node.record() as trace:
            addr = node.newservice(main)
            node.run()
        assert [e["text"] for e in trace if e["e"] == "mark"] == ["finally 2", "True 0 None", "after 7 0"]
        assert node.service(addr).session_id_coroutine == {}
        assert trace.state(-1)["services"][":00000008"] == node.tables()["services"][":00000008"]
    assert not [line for line in node.log_lines if "Unknown" in line]


def test_kill_a_waiter_leaves_nothing_behind() -> None:
    """Nobody will answer the session of a wait, so it is not kept."""

    def main() -> None:
        co = skynet.fork(skynet.wait, "token")
        skynet.yield_()
        skynet.killthread(co)
        say(skynet.task({}) or len(skynet.running().service.session_id_coroutine), skynet.wakeup("token"))
        skynet.fork(skynet.wait, "token")  # the token is free again
        skynet.yield_()
        say(skynet.wakeup("token"))

    assert marks(main) == ["0 False", "True"]


def test_kill_one_that_serves_tells_its_caller() -> None:
    """The call that the coroutine served fails; the answer to its own call is thrown away."""

    def slow() -> None:
        skynet.dispatch("lua", lambda *request: (skynet.sleep(10), skynet.retpack("late")))

    def middle() -> None:
        slow_addr = skynet.newservice(slow)

        def handle(session: int, source: int, what: str) -> None:
            if what == "kill":
                skynet.retpack(skynet.killthread(what_to_kill[0]) is not None)
            else:
                what_to_kill.append(skynet.running())
                skynet.retpack(skynet.call(slow_addr, "lua"))

        what_to_kill: list[Any] = []
        skynet.dispatch("lua", handle)

    def main() -> None:
        addr = skynet.newservice(middle)

        def ask() -> None:
            with pytest.raises(CallError):
                skynet.call(addr, "lua", "work")
            say("failed at", skynet.now())

        skynet.fork(ask)
        skynet.sleep(3)
        say(skynet.call(addr, "lua", "kill"))
        skynet.sleep(20)

    with Node(clock="virtual", log=list) as node:
        with node.record() as trace:
            node.newservice(main)
            node.run()
        assert [e["text"] for e in trace if e["e"] == "mark"] == ["failed at 3", "True"]
        assert trace.state(-1) == node.tables()
        assert not [line for line in node.log_lines if "Unknown" in line or "Traceback" in line]


def test_kill_what_has_not_begun() -> None:
    """A fork and a timer end before their first line."""

    def main() -> None:
        forked = skynet.fork(say, "never")
        timed = skynet.timeout(2, lambda: say("never"))
        say(skynet.killthread(forked) is forked, skynet.killthread(timed) is timed)
        skynet.sleep(5)
        say(skynet.task())

    assert marks(main) == ["True True", "0"]


def test_kill_by_name() -> None:
    """As a console does: the name that task shows, or a part of that text."""

    def main() -> None:
        for _ in range(11):
            skynet.fork(skynet.sleep, 9)
        skynet.yield_()
        say(skynet.killthread("co2").label, skynet.killthread("co12").label, skynet.killthread("session: 5").label)
        say(skynet.killthread("co2"), skynet.killthread("nobody"), skynet.killthread("co1"))
        say(skynet.killthread(skynet.running()))  # oneself: not parked

    # co1 runs; as a part of a text it is found in co10.
    assert marks(main)[0] == "co2 co12 co4"
    assert marks(main)[1:] == ["None None <co10 of main>", "None"]


def test_kill_inside_a_critical_section_lets_the_next_one_in() -> None:
    """Leaving is a finally of the section, so a killed holder does not lock it for ever."""

    def main() -> None:
        section = skynet.queue()
        holder = skynet.fork(section, skynet.sleep, 100)
        skynet.fork(section, lambda: say("in at", skynet.now()))
        skynet.sleep(1)
        skynet.killthread(holder)
        skynet.sleep(1)

    assert marks(main)[0] == "in at 1"


def test_a_killed_waiter_of_a_critical_section_is_passed_over() -> None:
    """Who stands in the queue and is killed leaves the queue; the one behind it gets in."""

    def main() -> None:
        section = skynet.queue()
        skynet.fork(section, skynet.sleep, 3)
        waiter = skynet.fork(section, lambda: say("never"))
        skynet.fork(section, lambda: say("in at", skynet.now()))
        skynet.sleep(1)
        skynet.killthread(waiter)
        skynet.sleep(9)
        say(section.busy())

    assert marks(main) == ["in at 3", "False"]


def test_a_victim_that_resists() -> None:
    """It may catch its end, but not block any more; in the end it is gone all the same."""

    def main() -> None:
        def stubborn() -> None:
            try:
                skynet.sleep(5)
            finally:
                try:
                    skynet.sleep(5)
                except SkynetError as e:
                    say("being closed" in str(e))

        def deaf() -> None:
            try:
                skynet.sleep(5)
            except BaseException:
                say("caught")

        first, second = skynet.fork(stubborn), skynet.fork(deaf)
        skynet.yield_()
        skynet.killthread(first)
        skynet.killthread(second)
        say(first.dead, second.dead, first in skynet.running().service.coroutine_pool)
        skynet.fork(say, "a coroutine of its own")
        skynet.sleep(9)

    assert marks(main) == ["True", "caught", "True True False", "a coroutine of its own"]
