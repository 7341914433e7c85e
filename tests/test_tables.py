"""No table of the runtime grows with what has come and gone."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

from skynet_lite import CallError, Node, datacenter, multicast, service, sharedata, skynet
from skynet_lite.skynet.scheduler import Scheduler

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


def pooled(of: Callable[[Node], int], wait: Callable[[int], None], **keys: Any) -> int:
    """How many entries a table of a service has when 300 others have waited there, and were killed."""

    def waits(n: int) -> None:
        skynet.fork(wait, n)

    def main() -> None:
        for n in range(300):
            addr = skynet.newservice(waits, n)
            skynet.sleep(1)
            skynet.kill(addr)

    with Node(clock="virtual", log=list, **keys) as node:
        node.newservice(main)
        return of(node)


def table(node: Node, service: str, name: str) -> Any:
    s = next(s.state for s in node.handles.contexts.values() if s.name == service)
    assert s.namespace is not None
    return s.namespace[name]


def parked(node: Node, service: str) -> int:
    s = next(s.state for s in node.handles.contexts.values() if s.name == service)
    assert isinstance(s, Scheduler)
    return max(len(s.coroutines), len(s.session_id_coroutine), len(s.unresponse))


def test_waiters_of_the_datacenter_that_were_killed() -> None:
    """At the same path and at paths of their own: they are thrown out whenever as many have come as were left."""

    def same(n: int) -> None:
        datacenter.wait("a", "b")

    def own(n: int) -> None:
        datacenter.wait("c", n)

    for wait in (same, own):
        assert pooled(lambda node: parked(node, "datacenterd"), wait) < 80
    assert pooled(lambda node: len(table(node, "datacenterd", "wait_queue").get("c", ())), own) < 80


def test_waiters_of_the_service_manager_that_were_killed() -> None:
    """Their coroutines end."""
    assert pooled(lambda node: parked(node, "service_mgr"), lambda n: skynet.queryservice("gate")) < 80


def test_waiters_of_the_service_provider_that_were_killed() -> None:
    """`service.query` of what nobody makes."""
    assert pooled(lambda node: parked(node, "service_provider"), lambda n: service.query("never")) < 80
    assert pooled(lambda node: len(table(node, "service_provider", "queue")), lambda n: service.query(f"n{n}")) < 80


def test_subscribers_of_a_channel_that_were_killed() -> None:
    """Also where nothing is published."""
    numbers = []

    def subscribe(n: int) -> None:
        if not numbers:
            numbers.append(multicast.new().channel)
        multicast.new(numbers[0], dispatch=print).subscribe()
        skynet.wait()

    assert pooled(lambda node: len(table(node, "multicastd", "channel")[numbers[0]]), subscribe) < 80


def test_watchers_of_shared_data_that_were_killed() -> None:
    """Each service that has a view waits for the next version."""

    def query(n: int) -> None:
        if n == 0:
            sharedata.new("table", {"a": 1})
        sharedata.query("table")
        skynet.wait()

    assert pooled(lambda node: parked(node, "sharedatad"), query) < 80


def test_the_launcher_forgets_who_was_killed_by_name() -> None:
    """As it forgets those that were killed by number; in v1.1.0 a name leaves its entry."""

    def named() -> None:
        skynet.register(".named")

    def main() -> None:
        for addr in (".named", ":{:08x}"):
            handle = skynet.newservice(named)
            skynet.kill(addr.format(handle))
        skynet.kill(".nobody")
        assert "snlua named" not in skynet.call(".launcher", "lua", "LIST").values()

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)


def test_calls_leave_nothing() -> None:
    """Twenty thousand of them, answered, failed, given up by `select` and by `killthread`."""
    grown = []

    def other() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, what: str) -> None:
            if what == "fail":
                raise ValueError(what)
            skynet.retpack(what)

    def main() -> None:
        addr = skynet.newservice(other)

        def round(n: int) -> None:
            for _ in range(n):
                for _ in range(17):
                    skynet.call(addr, "lua", "answer")
                with pytest.raises(CallError):
                    skynet.call(addr, "lua", "fail")
                for _ in skynet.select((addr, "lua", "answer"), (addr, "lua", "late"), timeout=1):
                    break
                skynet.killthread(skynet.timeout(1, print))
                asking = skynet.fork(skynet.call, addr, "lua", "answer")
                skynet.fork(skynet.killthread, asking)
                skynet.sleep(2)

        def size() -> tuple[int, ...]:
            both = (skynet.running().service, node.service(addr))
            tables = [(s.session_id_coroutine, s.watching_session, s.coroutines, s.unresponse, s.queues) for s in both]
            gc.collect()
            return (*(len(table) for each in tables for table in each), len(node.timer))

        round(10)
        before = size()
        round(1000)
        grown.extend([before, size()])

    with Node(clock="virtual", log=lambda line: None) as node:
        node.newservice(main)
    assert grown[0] == grown[1]


def test_tags_whose_request_never_came() -> None:
    """Who sends PTYPE_TRACE by himself, and ends, leaves no more than a few of them."""

    def traced() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.retpack(skynet.tracetag()))

    def sends(to: int) -> None:
        skynet.register_protocol(name="trace", id=12)
        skynet.rawsend(to, "trace", f"tag {skynet.self()}")

    def main() -> None:
        addr = skynet.newservice(traced)
        for _ in range(200):
            skynet.kill(skynet.newservice(sends, addr))
        left.append(len(node.service(addr).libs["trace"].source))

    left: list[int] = []
    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
    assert left == [64]
