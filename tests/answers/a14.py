"""Wrong answers to the exercises of notebook 14 that a reader might well give, and a word of the hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skynet_lite import mark, skynet

# ---- 14.3


def sends_each(adder: int) -> None:
    for k in range(1000):
        skynet.send(adder, "lua", k)
    mark("total 499500")


def all_at_once(adder: int) -> None:
    me, left, total = skynet.running(), [1000], [0]

    def ask(k: int) -> None:
        answer = skynet.call(adder, "lua", k)
        total[0] += answer
        left[0] -= 1
        if not left[0]:
            skynet.wakeup(me)

    for k in range(1000):
        skynet.fork(ask, k)
    skynet.wait()
    mark(f"total {total[0]}")


def reads_before_it_waits(adder: int) -> None:
    me, left, total = skynet.running(), [1000], [0]

    def ask(k: int) -> None:
        total[0] += skynet.call(adder, "lua", k)
        left[0] -= 1
        if not left[0]:
            skynet.wakeup(me)

    for k in range(1000):
        skynet.fork(ask, k)
    skynet.wait()
    mark(f"total {total[0]}")


def sums_itself(adder: int) -> None:
    mark(f"total {skynet.call(adder, 'lua', sum(range(1000)))}")


def never_asks(adder: int) -> None:
    mark(f"total {sum(range(1000))}")


def sends_a_list(adder: int) -> None:
    mark(f"total {skynet.call(adder, 'lua', list(range(1000)))}")


def forgets_the_answer(adder: int) -> None:
    skynet.call(adder, "lua", *range(1000))
    mark("total 0")


# ---- 14.4


def _asked(answer: Callable[[str], Any]) -> Callable[[], None]:
    def service() -> None:
        skynet.dispatch("lua", lambda session, source, text: answer(text))

    return service


def _silent(text: str) -> None:
    if text.isdigit():
        skynet.retpack(int(text))


def _digits_only(text: str) -> None:
    skynet.retpack(int(text) if text.isdigit() else None)


def _after(text: str) -> None:
    skynet.retpack(int(text) if text.lstrip("-").isdigit() else None)
    int(text)


def _zero(text: str) -> None:
    skynet.retpack(int(text) if text.lstrip("-").isdigit() else 0)


# ---- 14.5


def one_by_one(*addresses: int) -> None:
    mark(str([skynet.call(addr, "lua") for addr in addresses]))


def in_order_of_coming(*addresses: int) -> None:
    me = skynet.running()
    found: list[Any] = []

    def ask(addr: int) -> None:
        found.append(skynet.call(addr, "lua"))
        skynet.wakeup(me)

    for addr in addresses:
        skynet.fork(ask, addr)
    while len(found) < len(addresses):
        skynet.wait()
    mark(str(found))


def first_only(*addresses: int) -> None:
    me = skynet.running()
    found: dict[int, Any] = {}

    def ask(addr: int) -> None:
        found[addr] = skynet.call(addr, "lua")
        skynet.wakeup(me)

    for addr in addresses:
        skynet.fork(ask, addr)
    skynet.wait()
    mark(str([found.get(addr) for addr in addresses]))


def nobody_wakes(*addresses: int) -> None:
    found: dict[int, Any] = {}

    def ask(addr: int) -> None:
        found[addr] = skynet.call(addr, "lua")

    for addr in addresses:
        skynet.fork(ask, addr)
    while len(found) < len(addresses):
        skynet.wait()
    mark(str([found[addr] for addr in addresses]))


def marks_each(*addresses: int) -> None:
    for addr in addresses:
        skynet.fork(lambda addr: mark(str([skynet.call(addr, "lua")])), addr)


WRONG = {
    "14.1": [([2, 12], "messages of one call"), ([4, 6], "Six is one call"), ([4, 8], "a pair of switches of its own"),
             ([4, 10], "Count for each coroutine"), ([3, 12], "every message with its type"), (12, "list of two numbers")],
    "14.2": [([50, 50], "before or after their EXIT"), ([25, 25], "another one is needed"), ([26, 52], "where are its coroutines"),
             ([2, 2], "parked at the same time"), (26, "list of two numbers")],
    "14.3": [(sends_each, "gets 1000 messages"), (all_at_once, "gets 1000 messages"),
             (reads_before_it_waits, "is wanted once"), (sums_itself, "made elsewhere"),
             (never_asks, "not asked at all"), (sends_a_list, "A coroutine ends with"), (forgets_the_answer, "is wanted once"),
             (3, "another form")],
    "14.4": [(_asked(lambda text: skynet.retpack(int(text))), "still makes the handler raise"), (_asked(_silent), "gets no answer"),
             (_asked(_digits_only), "wanted is -3"), (_asked(_zero), "wanted is None"), (_asked(_after), "after the answer")],
    "14.5": [(one_by_one, "the slowest alone"), (in_order_of_coming, "order of the addresses"), (first_only, "order of the addresses"),
             (nobody_wakes, "nothing is marked"), (marks_each, "once")],
}  # fmt: skip
