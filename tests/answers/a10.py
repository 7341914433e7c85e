"""Wrong answers to the exercises of notebook 10."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from skynet_lite import skynet


def _bank(lock: str, fixed: bool = False, check: str = "behind", office: bool = True) -> Callable[[], None]:
    """`lock`: "none", "one", "giver", "two"; `check`: "before" or "behind" the sleep, or "no"; `fixed`: a fixed order."""

    def program() -> None:
        accounts = {"ann": 100, "bob": 100, "cid": 100, "dan": 100}
        whole = skynet.queue()
        locks = {name: skynet.queue() for name in accounts}

        def transfer(giver: str, taker: str, n: int) -> bool:
            a, b = accounts[giver], accounts[taker]
            if check == "before" and a < n:
                return False
            if office:
                skynet.sleep(1)
            if lock == "none":
                accounts[giver], accounts[taker] = a - n, b + n
                return True
            if check == "behind" and accounts[giver] < n:
                return False
            accounts[giver] -= n
            accounts[taker] += n
            return True

        @skynet.dispatch("lua")
        def handle(session: int, source: int, what: str, *args: Any) -> None:
            if what != "transfer":
                skynet.retpack(accounts)
                return
            names = sorted(args[:2]) if fixed else args[:2]
            first: Any = whole if lock == "one" else locks[names[0]] if lock in ("two", "giver") else nullcontext()
            with first:
                if lock == "two" and not fixed:
                    skynet.yield_()
                with locks[names[1]] if lock == "two" else nullcontext():
                    answer = transfer(*args)
            skynet.retpack(answer)

    return program


def no_section() -> Any:
    return lambda f, *args: f(*args)


def library() -> Any:
    return skynet.queue()


def forgets_the_error() -> Any:
    inside: list[Any] = []

    def cs(f: Callable[..., Any], *args: Any) -> Any:
        inside.append(skynet.running())
        if len(inside) > 1:
            skynet.wait()
        result = f(*args)
        inside.pop(0)
        if inside:
            skynet.wakeup(inside[0])
        return result

    return cs


def barges() -> Any:
    busy = False
    waiting: list[Any] = []

    def cs(f: Callable[..., Any], *args: Any) -> Any:
        nonlocal busy
        while busy:
            waiting.append(skynet.running())
            skynet.wait()
        busy = True
        try:
            return f(*args)
        finally:
            busy = False
            if waiting:
                skynet.wakeup(waiting.pop(0))

    return cs


def _section(last: bool = False, wake: bool = True, returns: bool = True, swallow: bool = False) -> Callable[[], Any]:
    def make() -> Any:
        owner: Any = None
        waiting: list[Any] = []

        def cs(f: Callable[..., Any], *args: Any) -> Any:
            nonlocal owner
            me = skynet.running()
            if owner is not None:
                waiting.append(me)
                skynet.wait()
            owner = me
            result = None
            try:
                result = f(*args)
            except ValueError:
                if not swallow:
                    raise
            finally:
                owner = waiting.pop(-1 if last else 0) if waiting else None
                if owner is not None and wake:
                    skynet.wakeup(owner)
            return result if returns else None

        return cs

    return make


def returns_nothing() -> None:
    pass


WRONG = {
    "10.1": [
        (["timer", "a", "c", "message", "b"], "the timer of 0 ticks is a message"),
        (["a", "b", "c", "timer", "message"], "yields before it marks b"),
        (["a", "timer", "message", "c", "b"], "also those that a fork has made"),
        (["a", "c", "message", "timer", "b"], "first in the mailbox"),
        (["a", "c", "b", "timer", "message"], "in the mailbox already"),
        (["a"], "list of the five"),
    ],
    "10.2": [([3, 3], "before or after the call"), ([2, 2], "left to right"), ([3, 2], "other way round"),
             ([1, 3], "Who writes last"), ([0, 0], "two numbers")],
    "10.3": [([6, 2], "still running while it forks"), ([6, 1], "is not in the pool either"), ([5, 0], "at the call of fork"),
             ([12, 7], "sleeps have ended"), ([11, 6], "sleeps have ended"), ([1, 1], "Write down the pool")],
    "10.4": [(_bank("none"), "read before the sleep"), (_bank("one"), "one section for the whole bank"),
             (_bank("two"), "always in the same order"), (_bank("none", office=False), "has not been asked"),
             (_bank("two", fixed=True, check="no"), "one True and one False"),
             (_bank("free", check="before"), "same side of the sleep"), (returns_nothing, "the office")],
    "10.5": [(no_section, "is inside"), (library, "Without skynet.queue"), (forgets_the_error, "on the way out of an error"),
             (barges, "who was waiting"), (_section(last=True), "They asked in the order"), (_section(wake=False), "wake the next"),
             (_section(returns=False), "should return what f returns"), (_section(swallow=True), "does not hear of it"),
             (returns_nothing, "ends with")],
}  # fmt: skip
