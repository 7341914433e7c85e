"""Contextvars: what one task sets, no other finds, unless it was made by that task."""

from __future__ import annotations

from collections.abc import Iterator
from contextvars import ContextVar, copy_context
from decimal import Decimal, getcontext
from pathlib import Path
from typing import Any

import pytest

from skynet_lite import CallError, Node, coroutine, skynet

USER: ContextVar[str] = ContextVar("user", default="nobody")


@pytest.fixture
def node() -> Iterator[Node]:
    with Node(clock="virtual", log=list) as node:
        yield node


def answers() -> None:
    """Says who the user is, and sets him: for whoever comes next."""

    @skynet.dispatch("lua")
    def handle(session: int, source: int, name: str) -> None:
        before = USER.get()
        USER.set(name)
        skynet.sleep(1)
        skynet.retpack(f"{before} {USER.get()}")


def test_a_request_does_not_know_who_asked_before(node: Node) -> None:
    """A coroutine of the pool keeps nothing of its last task, and tasks that take turns do not mix."""
    addr = node.newservice(answers)
    got: list[Any] = []

    def main() -> None:
        def ask(name: str) -> None:
            got.append(skynet.call(addr, "lua", name))

        for name in ("ann", "bob", "eve"):  # at once: three coroutines
            skynet.fork(ask, name)
        skynet.sleep(10)
        ask("dan")  # from the pool
        ask("joe")

    node.newservice(main)
    assert got == [f"nobody {name}" for name in ("ann", "bob", "eve", "dan", "joe")]
    assert node.service(addr).created == 3  # they are used again


def test_a_task_that_fails_leaves_nothing_either(node: Node) -> None:
    """Its coroutine has died; the next one begins without."""

    def main() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, fails: bool) -> None:
            before = USER.get()
            USER.set("failed")
            if fails:
                raise ValueError(before)
            skynet.retpack(before)

    addr = node.newservice(main)
    with pytest.raises(CallError):
        node.call(addr, "lua", True)
    assert node.call(addr, "lua", False) == node.call(addr, "lua", False) == "nobody"


def made_by(how: str, task: Any) -> None:
    if how == "fork":
        skynet.fork(task)
    elif how == "timeout":
        skynet.timeout(5, task)
    else:
        coroutine.wrap(task)()


@pytest.mark.parametrize("how", ["fork", "timeout", "coroutine"])
def test_what_a_task_makes_begins_with_a_copy(node: Node, how: str) -> None:
    """As it was when it was made; and a copy: what is set there is not seen here."""
    seen = []

    def task() -> None:
        seen.append(USER.get())
        USER.set("the task's")

    def main() -> None:
        made_by(how, task)
        USER.set("ann")
        made_by(how, task)
        seen.append("here: " + USER.get())
        USER.set("bob")
        skynet.sleep(10)
        seen.append("here: " + USER.get())
        skynet.fork(copy_context().run, task)  # it is in a Context of its own, if one is given
        skynet.sleep(1)
        skynet.fork(task)
        skynet.sleep(1)

    node.newservice(main)
    assert sorted(seen) == ["ann", "bob", "bob", "here: ann", "here: bob", "nobody"]


@pytest.mark.parametrize("how", ["fork", "timeout", "coroutine"])
def test_what_is_made_inside_the_run_of_a_context(node: Node, how: str) -> None:
    """begins with a copy of that one, which stays as it is; so does what is made by it."""
    seen = []

    def task(depth: int = 1) -> None:
        seen.append(USER.get())
        USER.set("the task's")
        if depth:
            made_by(how, lambda: task(0))

    def main() -> None:
        USER.set("ann")
        context = copy_context()
        context.run(USER.set, "bob")
        context.run(made_by, how, task)
        skynet.sleep(20)
        seen.append(f"{USER.get()} {context[USER]}")

    node.newservice(main)
    assert seen == ["bob", "the task's", "ann bob"]


def test_a_child_of_a_child(node: Node) -> None:
    """From task to task, through coroutines of the pool that had other ones."""
    seen = []

    def child(depth: int) -> None:
        seen.append(USER.get())
        USER.set(f"{USER.get()}.{depth}")
        if depth:
            skynet.fork(child, depth - 1)

    def main() -> None:
        for name in ("a", "b"):
            USER.set(name)
            skynet.fork(child, 2)
            skynet.sleep(1)

    node.newservice(main)
    assert seen == ["a", "a.2", "a.2.1", "b", "b.2", "b.2.1"]


def test_decimal_is_one_of_them(node: Node) -> None:
    """Its precision is a contextvar: one request that wants two digits does not round the next one's money."""

    def main() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, precision: int) -> None:
            if precision:
                getcontext().prec = precision
            skynet.retpack(str(Decimal(1) / 3))

    addr = node.newservice(main)
    assert [node.call(addr, "lua", n) for n in (2, 0, 3, 0)] == ["0.33", "0." + "3" * 28, "0.333", "0." + "3" * 28]


def test_the_file_of_a_service(tmp_path: Path) -> None:
    """Its start function finds what the file set while it was loaded; the next service does not."""
    source = """
from decimal import getcontext
from skynet_lite import skynet

before = getcontext().prec
getcontext().prec = 5

@skynet.start
def main():
    at_start = getcontext().prec
    skynet.dispatch("lua", lambda session, source: skynet.retpack(before, at_start, getcontext().prec))
"""
    for name in ("one", "two"):
        (tmp_path / f"{name}.py").write_text(source)
    with Node(clock="virtual", log=list, luaservice=f"{tmp_path}/?.py") as node:
        for name in ("one", "two"):
            assert node.call(node.newservice(name), "lua") == (28, 5, 28)  # a message is nobody's child
