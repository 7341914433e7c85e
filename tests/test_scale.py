"""Large numbers: nothing recurses, nothing is quadratic.

No clock is read. What would recurse overflows the stack here, and what would be
quadratic does not end within the patience of whoever waits.
"""

from __future__ import annotations

import sys
from collections import Counter

from views import lobby

from skynet_lite import Node, skynet
from skynet_lite.trace.state import Tables


def test_ten_thousand_wakeups_in_one_dispatch() -> None:
    """One coroutine wakes 10,000; all run in the same dispatch, in order."""
    order: list[int] = []

    def main() -> None:
        def sleeper(i: int) -> None:
            skynet.wait()
            order.append(i)

        sleepers = [skynet.fork(sleeper, i) for i in range(10_000)]
        skynet.yield_()
        for co in sleepers:
            skynet.wakeup(co)

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(main)
        assert node.service(addr).mailbox.popped == 3  # the launch, the start, the yield: no message more
    assert order == list(range(10_000))


def test_a_chain_of_ten_thousand_wakeups() -> None:
    """Each wakes the next: the chain is a loop, not a stack."""
    woken = [0]

    def main() -> None:
        def sleeper(i: int) -> None:
            skynet.wait(i)
            woken[0] += 1
            skynet.wakeup(i + 1)

        for i in range(10_000):
            skynet.fork(sleeper, i)
        skynet.yield_()
        skynet.wakeup(0)

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
    assert woken == [10_000]


def test_hundred_thousand_parked_coroutines() -> None:
    """All wait at once; all go on; the pool keeps them."""
    count = [0]

    def main() -> None:
        def sleeper() -> None:
            skynet.sleep(100)
            count[0] += 1

        for _ in range(100_000):
            skynet.fork(sleeper)
        skynet.yield_()
        assert skynet.task() == 100_000

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        node.run()
    assert count == [100_000]


def test_ten_thousand_services() -> None:
    """Started, called and closed."""

    def small(n: int) -> None:
        skynet.dispatch("lua", lambda session, source, x: skynet.retpack(n + x))

    with Node(clock="virtual", log=list, bootstrap=False) as node:
        handles = [node.newservice(small, n) for n in range(10_000)]
        assert len(set(handles)) == 10_000
        assert node.call(handles[9_999], "lua", 1) == 10_000
        assert len(node.handles.contexts) == 10_001


def test_hundred_thousand_timers() -> None:
    """Set in one go, they fire in the order of their deadlines."""
    fired: list[int] = []

    def main() -> None:
        for i in range(100_000):
            skynet.timeout(1 + (i * 7919) % 1000, lambda i=i: fired.append(i))

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        node.run()
    deadlines = [(i * 7919) % 1000 for i in fired]
    assert len(fired) == 100_000
    assert deadlines == sorted(deadlines)


def test_a_mailbox_of_hundred_thousand_messages() -> None:
    """Sent in one dispatch, served in order."""
    got: list[int] = []

    def main() -> None:
        skynet.dispatch("lua", lambda session, source, n: got.append(n))
        for n in range(100_000):
            skynet.send(skynet.self(), "lua", n)

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        node.run_until_idle()
    assert got == list(range(100_000))


def test_ten_thousand_callers_of_a_service_that_ends() -> None:
    """All are told, in the order in which they began to wait."""
    failed: list[int] = []

    def callee() -> None:
        def handle(session: int, source: int, what: str) -> None:
            if what == "end":
                skynet.exit()
            skynet.wait()

        skynet.dispatch("lua", handle)

    def main(to: int) -> None:
        def ask(i: int) -> None:
            try:
                skynet.call(to, "lua", "ask")
            except skynet.CallError:
                failed.append(i)

        for i in range(10_000):
            skynet.fork(ask, i)
        skynet.yield_()
        skynet.send(to, "lua", "end")

    with Node(clock="virtual", log=list) as node:
        node.newservice(main, node.newservice(callee))
        node.run_until_idle()
    assert failed == list(range(10_000))


def test_the_tables_of_any_event_are_near_a_checkpoint() -> None:
    """Once the run was walked through, no more events are applied than lie between two checkpoints."""
    trace = lobby(9000, agents=30)
    n = len(trace)
    calls: Counter[object] = Counter()

    def count(frame: object, event: str, arg: object) -> None:
        if event == "call":
            calls[frame.f_code] += 1  # type: ignore[attr-defined]

    applied = []
    for i in (n - 1, n - 1, n // 2, 0):
        calls.clear()
        sys.setprofile(count)
        try:
            trace.state(i)
        finally:
            sys.setprofile(None)
        applied.append(calls[Tables.apply.__code__])
    assert applied[0] == n > 4 * 2048 and max(applied[1:]) < 2048
