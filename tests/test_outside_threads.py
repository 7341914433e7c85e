"""What a program outside of a node may ask of it: from another thread, from an asyncio loop.

Answers, wakeups and messages enter between two messages, in the order in which they were asked.
"""

from __future__ import annotations

import asyncio
import re
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from harness import DOCS, LIMIT, assert_page_passes, auntil, in_thread, until

from skynet_lite import AddressError, CallError, DriveTimeout, Node, SkynetError, skynet

pytest_plugins = ["pytester"]

WAYS = pytest.mark.parametrize(("thread", "served"), [(1, False), (1, True), (4, False), (4, True)])


def node_of(thread: int, served: bool, **keys: Any) -> Node:
    node = Node(log=list, thread=thread, **keys)
    if served:
        node.serve()
    return node


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads are switched as often as they can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def echo() -> None:
    skynet.dispatch("lua", lambda session, source, *args: skynet.retpack(*args))


# ---- a response function, and wakeup


@WAYS
def test_a_thread_answers_a_request(thread: int, served: bool) -> None:
    """Values, a refusal, and what may not travel: that is raised in the thread."""
    said: list[Any] = []
    threads: list[threading.Thread] = []

    def main() -> None:
        @skynet.dispatch("lua")
        def _(session: int, source: int, what: str) -> None:
            threads.append(in_thread(answer, skynet.response(), what))

    def answer(response: Any, what: str) -> None:
        said.append(response("TEST"))
        if what == "refuse":
            said.append(response(False, "not today"))
        else:
            with pytest.raises(TypeError, match="may not travel"):
                response(True, threading.Lock())
            rows = [what]
            said.append(response(True, rows, 1))
            rows.append("changed")  # it was packed by then

    with node_of(thread, served) as node:
        addr = node.newservice(main)
        assert node.call(addr, "lua", "x", timeout=LIMIT) == (["x"], 1)
        with pytest.raises(CallError, match="refused: not today"):
            node.call(addr, "lua", "refuse", timeout=LIMIT)
        for one in threads:
            one.join()
        assert said == [True] * 4
        assert node.service(addr).unresponse == {}


@WAYS
def test_the_second_answer_of_two_threads_is_told(thread: int, served: bool) -> None:
    """The first that is left is sent; the other stands in the log, or is refused at once if it comes later."""

    def main() -> None:
        @skynet.dispatch("lua")
        def _(session: int, source: int) -> None:
            response = skynet.response()

            def both() -> None:
                response(True, "first")
                response(True, "second")

            in_thread(both).join()

    with node_of(thread, served) as node:
        addr = node.newservice(main)
        assert node.call(addr, "lua", timeout=LIMIT) == "first"
        node.driver.see_logged()
        assert "a thread answers session 2 of :00000000, and that has been answered" in node.log_lines[-1]


@WAYS
def test_a_thread_wakes_a_coroutine(thread: int, served: bool) -> None:
    """The coroutine itself, which `skynet.running` gives; who sleeps without an end, or for a while."""

    def main() -> None:
        @skynet.dispatch("lua")
        def _(session: int, source: int, ticks: int | None) -> None:
            woken = in_thread(skynet.wakeup, skynet.running())
            how = skynet.wait() if ticks is None else skynet.sleep(ticks)
            woken.join()
            skynet.retpack(how)

    with node_of(thread, served) as node:
        addr = node.newservice(main)
        assert node.call(addr, "lua", None, timeout=LIMIT) is None
        assert node.call(addr, "lua", 360_000, timeout=LIMIT) == "BREAK"


def test_a_replay_hears_of_what_threads_have_asked() -> None:
    """Answers and wakeups enter again at the same places, without a thread."""

    def main(threads: Callable[..., Any]) -> Callable[[], None]:
        def main() -> None:
            @skynet.dispatch("lua")
            def _(session: int, source: int) -> None:
                threads(skynet.wakeup, skynet.running())
                skynet.wait()
                threads(skynet.response(), True, ["an", {"answer": 1}])

        return main

    with Node(log=list, record=True) as node:
        addr = node.newservice(main(in_thread))
        assert node.call(addr, "lua", timeout=LIMIT) == ["an", {"answer": 1}]
    again = Node.replay(node.trace, main(lambda *args: None))
    assert again.same, str(again)
    assert again.trace.text() == node.trace.text()


@pytest.mark.parametrize("thread", [1, 4])
def test_many_threads_at_once(thread: int, hasty: None) -> None:
    """Each answer, wakeup and message comes once, and those of one thread in their order."""
    n, threads = 100, 4
    got: list[list[int]] = [[] for _ in range(threads)]

    def main() -> None:
        @skynet.dispatch("lua")
        def _(session: int, source: int, what: str, *args: Any) -> None:
            if what == "note":
                got[args[0]].append(args[1])
            elif what == "later":
                response = skynet.response()
                works.append(lambda: response(True, *args))
            else:
                co = skynet.running()
                works.append(lambda: skynet.wakeup(co))
                skynet.wait()
                skynet.retpack(*args)

    works: list[Callable[[], Any]] = []
    over = threading.Event()

    def work() -> None:
        while not over.is_set() or works:
            try:
                works.pop()()
            except IndexError:
                over.wait(0.0001)

    def ask(who: int) -> None:
        for k in range(n):
            node.send(addr, "lua", "note", who, k)
            results.append(node.call(addr, "lua", ("later", "wait")[k % 2], k, timeout=LIMIT) == k)

    results: list[bool] = []
    with node_of(thread, True) as node:
        addr = node.newservice(main)
        workers = [in_thread(work) for _ in range(2)]
        for asker in [in_thread(ask, who) for who in range(threads)]:
            asker.join()
        over.set()
        for worker in workers:
            worker.join()
        assert results == [True] * n * threads
        assert got == [list(range(n))] * threads


# ---- node.call and node.send


def test_a_call_of_another_thread_is_served_by_the_owner() -> None:
    """A node that is not served is driven by its owner, now and then: a call waits for that; its limit holds."""
    answers: list[Any] = []

    def ask() -> None:
        for addr in (echo_at, 99):
            try:
                answers.append(node.call(addr, "lua", "x"))
            except AddressError as e:
                answers.append(str(e))

    def too_late() -> None:
        with pytest.raises(DriveTimeout, match="did not come in time"):
            node.call(echo_at, "lua", timeout=0.01)
        answers.append("late")

    with Node(log=list) as node:
        echo_at = node.newservice(echo)
        in_thread(too_late).join()
        asks = in_thread(ask)
        node.run(until=lambda: len(answers) == 3, timeout=LIMIT)
        asks.join()
        assert answers == ["late", "x", "call to invalid address :00000063"]
        assert node.server.calls == {}


def test_a_call_that_the_end_of_its_node_meets_hears_of_it() -> None:
    """Its owner closes the node and has not driven it."""
    said: list[str] = []

    def ask() -> None:
        try:
            node.call(addr, "lua", "x")
        except (SkynetError, CallError) as e:
            said.append(str(e))

    node = Node(log=list)
    addr = node.newservice(echo)
    asks = in_thread(ask)
    until(lambda: node.driver.jobs)
    node.close()
    asks.join(LIMIT)
    assert len(said) == 1 and "closed" in said[0]


@WAYS
def test_send_waits_for_nothing(thread: int, served: bool) -> None:
    """In the order of its calls, from any thread; what cannot be sent is said at once."""
    got: list[int] = []

    def main() -> None:
        @skynet.dispatch("lua")
        def _(session: int, source: int, n: int) -> None:
            skynet.retpack() if n < 0 else got.append(n)

    with node_of(thread, served) as node:
        addr = node.newservice(main)

        def sends() -> None:
            for n in range(5):
                node.send(addr, "lua", n)

        in_thread(sends).join()
        sends()
        node.call(addr, "lua", -1, timeout=LIMIT)
        assert got == [*range(5), *range(5)]
        with pytest.raises(AddressError, match="send to invalid address :00000063"):
            node.send(99, "lua")
        with pytest.raises(TypeError, match="may not travel"):
            node.send(addr, "lua", node)
        with pytest.raises(SkynetError, match='of type "lua"'):
            node.send(addr, "text", "x")


# ---- asyncio


@pytest.mark.parametrize("keys", [{}, {"thread": 4}, {"skynet": "1.8"}], ids=str)
def test_who_waits_hears_of_abort(keys: dict[str, Any]) -> None:
    """Nobody drives the services to their ends any more, and so the node answers for them."""

    def sleeper() -> None:
        @skynet.dispatch("lua")
        def _(session: int, source: int, ends: bool) -> None:
            if ends:
                skynet.abort()
            skynet.sleep(10_000)

    async def ask() -> list[Any]:
        first = asyncio.create_task(node.acall(addr, "lua", False))
        await auntil(lambda: node.server.calls)
        return await asyncio.gather(first, node.acall(addr, "lua", True), return_exceptions=True)

    with Node(log=list, **keys) as node:
        node.serve()
        addr = node.newservice(sleeper)
        found = asyncio.run(asyncio.wait_for(ask(), LIMIT))
    assert ["was ended with the node" in str(e) for e in found] == [True, True]
    with pytest.raises(SkynetError, match="this node is closed"):
        asyncio.run(node.acall(addr, "lua", False))


@pytest.mark.parametrize("thread", [1, 4])
def test_a_loop_awaits_calls(thread: int) -> None:
    """Many at once, and the loop goes on meanwhile: none of them blocks it."""

    def main() -> None:
        waiting: list[Any] = []

        @skynet.dispatch("lua")
        def _(session: int, source: int, *args: Any) -> None:
            if args == ("go",):
                for response, n in waiting:
                    response(True, n)
                skynet.retpack()
            else:
                waiting.append((skynet.response(), *args))

    async def app(node: Node, addr: int) -> list[Any]:
        asked = [asyncio.create_task(node.acall(addr, "lua", n)) for n in range(10)]
        await auntil(lambda: len(node.server.calls) == 10)  # the loop runs, while all of them wait
        assert await node.acall(addr, "lua", "go") is None
        return await asyncio.gather(*asked)

    with node_of(thread, True) as node:
        assert asyncio.run(app(node, node.newservice(main))) == list(range(10))


def test_acall_raises_as_call_does() -> None:
    """A service that fails, an address that is none, a time that is over, a value that may not travel."""

    def main() -> None:
        @skynet.dispatch("lua")
        def _(session: int, source: int, what: str) -> None:
            if what == "never":
                skynet.response()
            else:
                raise ValueError(what)

    async def app(node: Node, addr: int) -> None:
        with pytest.raises(CallError, match="ValueError: bad") as e:
            await node.acall(addr, "lua", "bad")
        assert isinstance(e.value.__cause__, ValueError)
        with pytest.raises(AddressError, match="call to invalid address :00000063"):
            await node.acall(99, "lua")
        with pytest.raises(TypeError, match="may not travel"):
            await node.acall(addr, "lua", node)
        with pytest.raises(SkynetError, match='of type "lua"'):
            await node.acall(addr, "text", "x")
        with pytest.raises(DriveTimeout, match="the answer of :00000008 did not come in time"):
            await node.acall(addr, "lua", "never", timeout=0.01)
        assert node.server.calls == {}

    with node_of(1, True) as node:
        asyncio.run(app(node, node.newservice(main)))


def test_a_task_that_is_cancelled_gives_its_call_up() -> None:
    """Nothing stays behind, and the late answer is thrown away."""

    def main() -> None:
        kept: list[Any] = []

        @skynet.dispatch("lua")
        def _(session: int, source: int, what: str) -> None:
            if what == "later":
                kept.append(skynet.response())
            else:
                skynet.retpack(kept.pop()(True, "late"))

    async def app(node: Node, addr: int) -> None:
        task = asyncio.create_task(node.acall(addr, "lua", "later"))
        await auntil(lambda: node.server.calls)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert node.server.calls == {}
        async with asyncio.timeout(LIMIT):
            assert await node.acall(addr, "lua", "now") is True

    with node_of(1, True) as node:
        asyncio.run(app(node, node.newservice(main)))


def test_acall_needs_a_node_that_runs() -> None:
    """Who would answer else? And a node that is closed meanwhile says so."""

    def silent() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.response() and None)

    async def app(node: Node, addr: int) -> None:
        task = asyncio.create_task(node.acall(addr, "lua"))
        await auntil(lambda: node.server.calls)
        in_thread(node.close).join()
        with pytest.raises(CallError, match="closed before it had answered"):
            await task

    with Node(log=list) as node, pytest.raises(SkynetError, match=r"call serve\(\) first"):
        asyncio.run(node.acall(node.newservice(echo), "lua"))
    with node_of(1, True) as node:
        asyncio.run(app(node, node.newservice(silent)))


# ---- the page that says so


def test_the_page_from_asyncio_is_true(pytester: pytest.Pytester) -> None:
    """Its programs are one test file, and pass; every function of ours in its table is there."""
    text = (DOCS / "from_asyncio.md").read_text(encoding="utf-8")
    for module, name in re.findall(r"`(?:with |cs = )?(skynet|node)\.(\w+)", text):
        assert hasattr(skynet if module == "skynet" else Node, name), name
    assert_page_passes(pytester, "from_asyncio.md", 3)
