"""Supervisors: who is started again, in which order, and when it is enough. All in virtual time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from harness import assert_page_passes, said

from skynet_lite import CallError, Node, SkynetError, skynet, supervisor
from skynet_lite.testing import NodeUnderTest

pytest_plugins = ["pytester"]


def worker(name: str, *last: str) -> None:
    """Says when it comes and when it goes; a request ends it in one way or another."""
    skynet.error(f"+{name}")
    skynet.on_stop(lambda: skynet.error(f"-{name}"))

    @skynet.dispatch("lua")
    def _(session: int, source: int, how: str) -> None:
        if how == "exit":
            skynet.exit()
        if how == "fail":
            supervisor.fail("lost its disk")
        skynet.retpack(skynet.self())


def family(names: str = "abc", **options: Any) -> int:
    return supervisor.start(*(supervisor.child(name, worker, name) for name in names), **options)


def dies(addr: int, how: str) -> None:
    """End a service in one of the ways, and let its supervisor see to it."""
    if how == "kill":
        skynet.kill(addr)
    else:
        with pytest.raises(CallError):
            skynet.call(addr, "lua", how)
    skynet.sleep(1)


def births(node: Node) -> list[str]:
    return [line for line in said(node) if line[0] in "+-"]


@pytest.mark.parametrize(
    ("strategy", "then"),
    [
        ("one_for_one", ["+b"]),
        ("rest_for_one", ["-c", "+b", "+c"]),
        ("one_for_all", ["-c", "-a", "+a", "+b", "+c"]),
    ],
)
def test_who_else_is_started_again_is_the_strategy(node: NodeUnderTest, strategy: str, then: list[str]) -> None:
    """Nobody; those behind it, who may need it; or all. They end from the last to the first, and come in their order."""

    def main() -> None:
        sup = family(strategy=strategy)
        before = supervisor.which_children(sup)
        assert list(before) == ["a", "b", "c"]
        dies(before["b"] or 0, "kill")
        after = supervisor.which_children(sup)
        assert [n for n in "abc" if before[n] != after[n]] == sorted({line[1] for line in then if line[0] == "+"})

    node.do(main)
    assert births(node) == ["+a", "+b", "+c", *then]


@pytest.mark.parametrize(
    ("restart", "exits", "fails", "killed"),
    [("permanent", 1, 1, 1), ("transient", 0, 1, 1), ("temporary", 0, 0, 0)],
)
def test_after_which_end_it_is_started_again(
    node: NodeUnderTest, restart: str, exits: int, fails: int, killed: int
) -> None:
    """`skynet.exit` says that the work is done; `supervisor.fail` and a kill say that it is not."""

    def main() -> None:
        for how, again in (("exit", exits), ("fail", fails), ("kill", killed)):
            sup = supervisor.start(supervisor.child("w", worker, how, restart=restart))
            addr = supervisor.query(sup, "w")
            dies(addr, how)
            found = supervisor.which_children(sup)
            assert (found.get("w") not in (None, addr)) is bool(again), how
            assert ("w" in found) is (restart != "temporary")

    node.do(main)


def test_one_that_fails_at_once_is_known_to_have_failed(node: NodeUnderTest) -> None:
    """It has gone before anybody could watch it; the reason is there all the same."""

    def hasty(how: str) -> None:
        skynet.fork(skynet.exit if how == "exit" else lambda: supervisor.fail("could not wait"))

    def main() -> None:
        for how in ("exit", "fail"):
            supervisor.start(supervisor.child(how, hasty, how, restart="transient"), intensity=1)
            skynet.sleep(10)

    node.do(main)
    assert said(node) == [
        "supervisor: fail ended (could not wait), it is started again",
        "supervisor: gives up: fail ended (could not wait), and 1 restarts in 5 s are enough",
    ]


def test_work_that_is_done_in_the_start_function(node: NodeUnderTest) -> None:
    """A job: it has ended before its start was over, which is no failure of it."""

    def job() -> None:
        skynet.error("done")
        skynet.exit()

    def main() -> None:
        sup = supervisor.start(supervisor.child("job", job, restart="transient"))
        assert supervisor.which_children(sup) == {"job": None}
        assert supervisor.restart_child(sup, "job") is None
        assert supervisor.start_child(sup, supervisor.child("once", job, restart="temporary")) is None
        skynet.sleep(1)
        assert supervisor.which_children(sup) == {"job": None}

    node.do(main)
    assert said(node) == ["done", "done", "done"]


def test_a_name_is_given_anew(node: NodeUnderTest) -> None:
    """Whoever calls by name finds the new one; a call that was under way fails, and says why."""

    def main() -> None:
        supervisor.start(supervisor.child(".db", worker, "db"))
        first = skynet.call(".db", "lua", "who")
        with pytest.raises(CallError, match="lost its disk"):
            skynet.call(".db", "lua", "fail")
        skynet.sleep(1)
        assert skynet.call(".db", "lua", "who") == skynet.localname(".db") != first

    node.do(main)


def test_query_waits_for_one_that_is_coming(node: NodeUnderTest) -> None:
    """Between two lives there is no address; who asks then gets the next one."""

    def slow() -> None:
        skynet.sleep(50)

    def main() -> None:
        sup = supervisor.start(supervisor.child("slow", slow))
        first, asked = supervisor.query(sup, "slow"), skynet.now()
        skynet.kill(first)
        skynet.sleep(10)
        assert supervisor.query(sup, "slow") != first and skynet.now() - asked == 50

    node.do(main)


def test_enough_is_enough(node: NodeUnderTest) -> None:
    """With no restart allowed the first end is one too many: the others end, the last first, and then it ends itself."""

    def watch() -> None:
        sup = family("ab", intensity=0)
        skynet.fork(lambda: skynet.kill(supervisor.query(sup, "a")))
        with pytest.raises(CallError, match=r"gave up: a ended \(was killed\), and 0 restarts in 5 s are enough"):
            skynet.call(sup, "debug", "LINK")

    node.do(watch)
    assert births(node) == ["+a", "+b", "-b"]


def test_old_restarts_are_forgotten(node: NodeUnderTest) -> None:
    """The intensity is of a period: one restart a second goes on for ever where two a second are borne."""

    def main() -> None:
        sup = family("a", intensity=1, period=100)
        for _ in range(5):
            dies(supervisor.query(sup, "a"), "kill")
            skynet.sleep(99)
        skynet.kill(supervisor.query(sup, "a"))
        skynet.sleep(50)
        skynet.kill(supervisor.query(sup, "a"))
        with pytest.raises(CallError, match="gave up"):
            skynet.call(sup, "debug", "LINK")

    node.do(main)


@pytest.mark.skynet(faults=True)
def test_a_start_that_fails_counts_as_a_restart(node: NodeUnderTest) -> None:
    """The fault may be over the next time; if it is not, the supervisor gives up, and never turns in a circle."""
    starts: list[int] = []

    def flaky(good: int) -> None:
        starts.append(len(starts))
        if len(starts) - 1 not in (0, good):
            raise OSError("no disk")

    def main(good: int) -> None:
        starts.clear()
        sup = supervisor.start(supervisor.child("flaky", flaky, good))
        skynet.kill(supervisor.query(sup, "flaky"))
        if good < 4:
            assert supervisor.query(sup, "flaky")
        else:
            with pytest.raises(CallError, match="gave up: flaky ended .*no disk"):
                skynet.call(sup, "debug", "LINK")

    node.do(main, 3)
    assert starts == [0, 1, 2, 3]
    node.do(main, 99)
    assert starts == [0, 1, 2, 3]  # three restarts, and no fourth


def test_a_supervisor_that_gives_up_is_a_child_that_has_failed(node: NodeUnderTest) -> None:
    """The fault goes up the tree, until somebody can begin anew from far enough below."""

    def main() -> None:
        inner = supervisor.tree("inner", supervisor.child(".w", worker, "w"), intensity=1)
        top = supervisor.start(supervisor.child("first", worker, "first"), inner)
        before = supervisor.which_children(top)
        for _ in range(2):
            dies(skynet.localname(".w") or 0, "kill")
        after = supervisor.which_children(top)
        assert before["first"] == after["first"] and before["inner"] != after["inner"] and skynet.localname(".w")

    node.do(main)
    assert [line for line in said(node) if line[0] == "s"] == [
        "supervisor: .w ended (was killed), it is started again",
        "supervisor: gives up: .w ended (was killed), and 1 restarts in 5 s are enough",
        "supervisor: inner ended (gave up: .w ended (was killed), and 1 restarts in 5 s are enough), "
        "it is started again",
    ]


def test_children_come_and_go_by_messages(node: NodeUnderTest) -> None:
    """What runs need not be known at the start."""

    def main() -> None:
        sup = family("a")
        addr = supervisor.start_child(sup, supervisor.child("b", worker, "b"))
        assert supervisor.which_children(sup)["b"] == addr == supervisor.query(sup, "b")
        supervisor.terminate_child(sup, "b")
        assert supervisor.which_children(sup)["b"] is None
        assert supervisor.restart_child(sup, "b") not in (None, addr)
        for wrong, match in (
            (lambda: supervisor.start_child(sup, supervisor.child("b", worker, "b")), "there is a child b already"),
            (lambda: supervisor.delete_child(sup, "b"), "b runs: terminate_child comes first"),
            (lambda: supervisor.restart_child(sup, "b"), "b runs"),
            (lambda: supervisor.query(sup, "c"), "no child is called c; there are a, b"),
        ):
            with pytest.raises(CallError, match=match):
                wrong()
        supervisor.terminate_child(sup, "b")
        supervisor.delete_child(sup, "b")
        assert list(supervisor.which_children(sup)) == ["a"]

    node.do(main)
    assert births(node) == ["+a", "+b", "-b", "+b", "-b"]


@pytest.mark.skynet(faults=True)
def test_a_child_that_does_not_stop_is_killed(node: NodeUnderTest) -> None:
    """Its time is up after `shutdown` ticks; 0 asks nobody."""

    def stays() -> None:
        skynet.on_stop(lambda: skynet.wait())

    def main() -> None:
        sup = supervisor.start(
            supervisor.child("stays", stays, shutdown=70), supervisor.child("now", stays, shutdown=0)
        )
        before = skynet.now()
        for name in ("now", "stays"):
            supervisor.terminate_child(sup, name)
        assert skynet.now() - before == 70

    node.do(main)
    assert said(node) == ["supervisor: stays has not come to its end in 0.7 s: killed"]


@pytest.mark.skynet(faults=True)
def test_a_start_that_fails_leaves_nothing(node: NodeUnderTest) -> None:
    """Children before it are ended, the last first, and whoever started the supervisor is told."""

    def broken() -> None:
        raise OSError("no disk")

    def main() -> None:
        children = [supervisor.child(name, worker, name) for name in "ab"]
        with pytest.raises(CallError, match="no disk"):
            supervisor.start(*children, supervisor.child("c", broken))

    node.do(main)
    assert births(node) == ["+a", "+b", "-b", "-a"]


@pytest.mark.parametrize("thread", [1, 3])
def test_a_killed_supervisor_leaves_no_orphans(thread: int) -> None:
    """It gets no word in; its children end with it, and the launcher knows."""

    def main() -> None:
        skynet.name(".sup", family())

    with Node(clock="virtual", log=list, thread=thread) as node:
        node.newservice(main)
        before = len(node.handles.contexts)
        sup = node.handles.query(".sup")
        node.call(".launcher", "lua", "KILL", sup)
        node.run_until_idle()
        assert len(node.handles.contexts) == before - 4
        assert "worker" not in str(node.call(".launcher", "lua", "LIST"))


@pytest.mark.parametrize("thread", [1, 3])
def test_a_node_that_stops_leaves_the_order_to_its_supervisors(thread: int) -> None:
    """Children are asked by their supervisor, from the last to the first, though a restart has made `a` the youngest;
    and nobody is started again any more."""

    def main() -> None:
        sup = family()
        skynet.on_stop(lambda: skynet.error("-main"))
        skynet.kill(supervisor.query(sup, "a"))
        skynet.sleep(1)

    node = Node(clock="virtual", log=list, thread=thread)
    node.newservice(main)
    assert node.shutdown()
    assert births(node) == ["+a", "+b", "+c", "+a", "-c", "-b", "-a", "-main"]


def test_a_supervised_program_has_no_verdicts(node: NodeUnderTest) -> None:
    """A supervisor waits for nobody: an end comes as a message."""

    def main() -> None:
        sup = family()
        dies(supervisor.query(sup, "b"), "kill")

    node.newservice(main)
    node.run_until_idle()
    assert node.verdicts().kinds() == []


def test_the_same_program_makes_the_same_trace() -> None:
    """Restarts, too: nothing of it depends on how long anything takes."""

    def main() -> None:
        sup = family(strategy="rest_for_one")
        for name in "abc":
            dies(supervisor.query(sup, name), "kill")

    def run() -> str:
        with NodeUnderTest() as node:
            node.newservice(main)
            node.run()
            return node.trace.text()

    assert run() == run()


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (lambda: supervisor.child("", worker), "the name of a child is a str, not ''"),
        (lambda: supervisor.child("a", worker, restart="always"), "use one of permanent, transient, temporary"),
        (lambda: supervisor.child("a", worker, shutdown=-1), "shutdown is -1: a whole number is needed, 0 or more"),
        (lambda: supervisor.start(strategy="all"), "use one of one_for_one, one_for_all, rest_for_one"),
        (lambda: supervisor.start(intensity=0.5), "intensity is 0.5: a whole number"),
        (lambda: supervisor.start(period=0), "period is 0: a whole number is needed, 1 or more"),
        (lambda: supervisor.start(worker), "a child is made by supervisor.child or supervisor.tree, not <function"),
        (lambda: supervisor.start(supervisor.child("a", "nosuch")), "no service 'nosuch'"),
        (lambda: supervisor.start(*[supervisor.child("a", worker, "a")] * 2), "two children are called a"),
    ],
)
@pytest.mark.skynet(faults=True)
def test_what_is_wrong_is_said(node: NodeUnderTest, wrong: Callable[[], Any], match: str) -> None:
    """Where it is given, with what would be right."""

    def main() -> None:
        with pytest.raises(SkynetError, match=match):
            wrong()

    node.do(main)


@pytest.mark.skynet(faults=True)
def test_a_name_that_is_taken_is_no_child_s(node: NodeUnderTest) -> None:
    """skynet keeps the first owner of a name without a word: the child would be there, and nobody would reach it."""

    def main() -> None:
        skynet.register(".db")
        with pytest.raises(CallError, match=r"the name .db is that of :0000000\w already"):
            supervisor.start(supervisor.child(".db", worker, "db"))

    node.do(main)


def test_on_several_workers() -> None:
    """Who ends on another worker has said so a moment before its name is free."""

    def main() -> None:
        supervisor.start(
            *(supervisor.child(f".{name}", worker, name) for name in "abcd"), intensity=100, strategy="one_for_all"
        )
        for _ in range(10):
            for name in "abcd":
                while skynet.localname(f".{name}") is None:
                    skynet.sleep(1)
                skynet.kill(f".{name}")
                skynet.sleep(2)
        skynet.sleep(10)

    with Node(clock="virtual", log=list, thread=4) as node:
        node.newservice(main)
        assert not [line for line in said(node) if "already" in line or "gives up" in line]
        assert all(node.handles.query(f".{name}") for name in "abcd")


def test_the_page_on_supervision_is_true(pytester: pytest.Pytester) -> None:
    """Its programs are one test file, and pass."""
    assert_page_passes(pytester, "supervision.md", 3)
