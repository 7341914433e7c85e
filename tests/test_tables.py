"""No table of the runtime grows with what has come and gone."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from skynet_lite import Node, skynet

answered: list[list[bool]] = []


def server() -> None:
    """Keeps the answers to "later" until "now" comes."""
    kept: list[Any] = []

    @skynet.dispatch("lua")
    def handle(session: int, source: int, what: str) -> None:
        if what == "later":
            kept.append(skynet.response())
        elif what == "now":
            answered.append([answer(True, "late") for answer in kept])
            kept.clear()
        else:
            skynet.retpack(what)


def test_dead_service_forgets_whom_nothing_is_owed() -> None:
    """In v1.1.0 everybody who ends while he waits for us stays in dead_service: here only while it matters."""

    def caller(to: int) -> None:
        skynet.fork(skynet.call, to, "lua", "later")
        skynet.fork(skynet.exit)

    answered.clear()
    with Node(clock="virtual", log=list) as node:
        to = node.newservice(server)
        node.newservice(caller, to)
        node.run_until_idle()
        assert len(node.service(to).dead_service) == 1
        node._post(to, ("now",), False)
        node.run_until_idle()
        for _ in range(300):
            handle = node.newservice(caller, to)
            node.run_until_idle()
            node._post(to, ("now",), False)
            node.run_until_idle()
        dead = node.service(to).dead_service
        assert handle in dead
        assert len(dead) <= 70


def test_a_new_service_with_the_number_of_a_dead_one_gets_answers() -> None:
    """What it asks is answered; what the dead one has asked is not, and does not reach it."""
    got: list[Any] = []

    def first(to: int) -> None:
        skynet.fork(skynet.call, to, "lua", "later")
        skynet.fork(skynet.exit)

    def second(to: int) -> None:
        got.append(skynet.call(to, "lua", "hello"))
        got.append(skynet.call(to, "lua", "later"))

    answered.clear()
    with Node(clock="virtual", log=list) as node:
        to = node.newservice(server)
        handle = node.newservice(first, to)
        node.run_until_idle()
        assert handle in node.service(to).dead_service
        node.handles.next_handle = handle  # they have wrapped
        assert node.newservice(second, to, wait=False) == handle
        node.run_until_idle()
        assert got == ["hello"]
        node._post(to, ("now",), False)
        node.run_until_idle()
    assert answered == [[False, True]]
    assert got == ["hello", "late"]


def made() -> Callable[[], None]:
    def inner() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.retpack(inner.__name__))

    return inner


def test_births_of_inner_functions() -> None:
    """Of a service that was made from a function of its own nothing is left: no name, no scheduler, no coroutine."""

    def main() -> None:
        @skynet.dispatch("lua")
        def many(session: int, source: int, n: int) -> None:
            for _ in range(n):
                skynet.kill(skynet.newservice(made()))
            skynet.retpack()

    def left(n: int) -> tuple[int, ...]:
        node.call(addr, "lua", n)
        node.run_until_idle()
        gc.collect()
        kinds = [type(thing).__name__ for thing in gc.get_objects()]
        names = len(node.registry._functions) + len(node.registry._names) + len(node.registry._given)
        return kinds.count("Scheduler"), kinds.count("Coroutine"), kinds.count("Context"), names

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(main)
        assert left(3) == left(200)
        assert node.log_lines[-1].endswith(f"KILL :{node.handles.next_handle - 1:x}")
        launched = [line for line in node.log_lines if "LAUNCH snlua inner" in line]
        assert launched[0].endswith("LAUNCH snlua inner")
        assert launched[-1].endswith("LAUNCH snlua inner-203")


def test_a_function_keeps_its_name_and_a_service_its_function() -> None:
    """Ended and started again it is the same; and what only a service holds is found by its name."""

    def main() -> None:
        pass

    with Node(clock="virtual", log=list) as node:
        for _ in range(2):
            node.call(".launcher", "lua", "KILL", node.newservice(main))
            gc.collect()
        assert [line.split()[-1] for line in node.log_lines if line.endswith("main")] == ["main", "main"]
        first = node.newservice(made())
        gc.collect()
        second = node.newservice("inner")
        assert node.service(second).main is node.service(first).main
        assert node.call(second, "lua") == "inner"


def test_a_method_and_a_callable_object_are_services() -> None:
    """The one has no weak reference that lasts, the other no hash."""

    class Both:
        def start(self) -> None:
            skynet.dispatch("lua", lambda session, source: skynet.retpack(id(self)))

        __call__ = start
        __hash__ = None  # type: ignore[assignment]

        def __eq__(self, other: object) -> bool:
            return self is other

    both = Both()
    with Node(clock="virtual", log=list) as node:
        assert node.service_name(both.start) == node.service_name(both.start) == "start"
        assert node.service_name(both) == node.service_name(both) == "Both"
        assert node.service_name(Both().start) == "start-2"
        gc.collect()
        for name in ("start", "Both"):
            assert node.call(node.newservice(name), "lua") == id(both)


def test_a_recording_knows_the_code_of_those_that_came_and_went() -> None:
    """Places are named after services, also of those that lived before it, or during it only."""

    def main() -> None:
        skynet.sleep(1)
        skynet.exit()

    with Node(clock="virtual", log=list) as node:
        node.newservice(main, wait=False)
        node.run_until_idle()
        with node.record() as trace:
            node.newservice(main, wait=False)
            node.run()
        assert len(node._snlua._places) == 0
        slept = [e["at"].partition(":")[0] for e in trace.events if e["e"] == "yield" and e["command"] == "SLEEP"]
    assert slept == ["main"]


def test_names_go_with_their_service() -> None:
    """Without a look at the names of others."""

    def named(name: str) -> None:
        skynet.register(name)
        skynet.name(".shared", skynet.self())

    with Node(clock="virtual", log=list) as node:
        a, b = node.newservice(named, ".a"), node.newservice(named, ".b")
        names = node.handles.names
        assert (names["a"], names["b"], names["shared"]) == (a, b, a)
        node.call(".launcher", "lua", "KILL", a)
        assert "a" not in names
        assert "shared" not in names
        assert names["b"] == b
        node.newservice(named, ".a")
        assert names["shared"] == names["a"]
