"""Wrong answers to the exercises of notebook 05 that a reader might well give, and a word of the hint."""

from __future__ import annotations

from skynet_lite import mark, skynet


def no_wakeup() -> None:
    def consume() -> None:
        skynet.wait()

    skynet.fork(consume)


def wrong_token() -> None:
    items: list[str] = []

    def consume() -> None:
        while True:
            while not items:
                skynet.wait()
            mark(f"got {items.pop(0)}")

    skynet.fork(consume)

    def put(item: str) -> None:
        items.append(item)
        skynet.wakeup(consume)

    skynet.timeout(1, lambda: put("x"))
    skynet.timeout(2, lambda: put("y"))


def only_once() -> None:
    items: list[str] = []

    def consume() -> None:
        skynet.wait()
        mark(f"got {items.pop(0)}")

    consumer = skynet.fork(consume)

    def put(item: str) -> None:
        items.append(item)
        skynet.wakeup(consumer)

    skynet.timeout(1, lambda: put("x"))
    skynet.timeout(2, lambda: put("y"))


def polls() -> None:
    items: list[str] = []

    def consume() -> None:
        me = skynet.fork(lambda: None)
        while True:
            while not items:
                skynet.sleep(2)
                skynet.wakeup(me)
            mark(f"got {items.pop(0)}")

    skynet.fork(consume)
    skynet.timeout(1, lambda: items.append("x"))
    skynet.timeout(2, lambda: items.append("y"))


def _gate(order: list[int], raising: int, timer: int = 1) -> None:
    def guest(n: int) -> None:
        mark(f"waits {n}")
        skynet.wait()
        mark(f"through {n}")
        if n == raising:
            raise RuntimeError("boom")

    waiting = {n: skynet.fork(guest, n) for n in (1, 2, 3)}

    def open_gate() -> None:
        for n in order:
            skynet.wakeup(waiting[n])

    skynet.timeout(timer, open_gate)


def in_order() -> None:
    _gate([1, 2, 3], 0)


def chain_breaks() -> None:
    _gate([3, 2, 1], 2)


def too_late() -> None:
    _gate([3, 2, 1], 0, timer=9)


def nobody_raises() -> None:
    _gate([3, 2, 1], 0)


WRONG = {
    "05.1": [
        (["a", "b", "c"], "began to wait"),
        (["a", "c", "b"], "first in, first out"),
        (["c", "b", "a"], "before or after the sleep"),
        ("c a b", "list of three letters"),
    ],
    "05.2": [("wakeup", "in both tables"), ("the EXIT of the waker", "waker's yield"), ("dispatch_wakeup", "another table"),
             ("suspend", "makes the entry"), ("never", "which coroutine does it")],
    "05.3": [(1, "gone round its loop"), (3, "How many entries"), (0, "while entries"), ("two", "a number")],
    "05.4": [(no_wakeup, "Nothing is woken"), (wrong_token, "puts nothing"), (only_once, "should be got x"),
             (polls, "puts nothing"), ("x", "another form")],
    "05.5": [(in_order, "should pass first"), (chain_breaks, "has ended its suspend"),
             (too_late, "None of them is through"), (nobody_raises, "should raise")],
}  # fmt: skip
