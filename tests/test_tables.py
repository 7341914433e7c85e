"""No table of the runtime grows with what has come and gone."""

from __future__ import annotations

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
