"""Wrong answers to the exercises of notebook 09."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skynet_lite import CallError, skynet


def broken() -> None:
    values: dict[str, Any] = {}

    @skynet.dispatch("lua")
    def handle(session: int, source: int, what: str, key: str, value: Any = None) -> None:
        if what == "get":
            if key in values:
                skynet.retpack(values[key])
        elif what == "set":
            values[key] = value
        elif what == "pop":
            if key not in values:
                skynet.retpack(None)
            skynet.retpack(values.pop(key, None))


def _store(before: bool = True, unknown: str = "raise", pops: bool = True, sets: bool = True) -> Callable[[], None]:
    def program() -> None:
        values: dict[str, Any] = {}

        @skynet.dispatch("lua")
        def handle(session: int, source: int, what: str, key: str, value: Any = None) -> None:
            old = values.get(key)
            if what == "set":
                values[key] = value
                if not sets:
                    return
            elif what == "pop":
                if pops:
                    values.pop(key, None)
            elif what != "get":
                if unknown == "end":
                    return
                if unknown == "raise":
                    raise ValueError(what)
            skynet.retpack(old if before else values.get(key))

    return program


def twice() -> None:
    values: dict[str, Any] = {}

    @skynet.dispatch("lua")
    def handle(session: int, source: int, what: str, key: str, value: Any = None) -> None:
        skynet.retpack(values.get(key))
        if what == "pop":
            skynet.retpack(values.pop(key, None))
        values[key] = value


def _careful(tries: int, last: Any = "sorry", queue: bool = False, eager: bool = False) -> Callable[[int], None]:
    def program(addr: int) -> None:
        lock = skynet.queue()

        @skynet.dispatch("lua")
        def handle(session: int, source: int, n: int) -> None:
            answer = last
            for _ in range(tries):
                try:
                    answer = lock(skynet.call, addr, "lua", n) if queue else skynet.call(addr, "lua", n)
                    if not eager:
                        break
                except CallError:
                    pass
            skynet.retpack(answer)

    return program


def passes_on(addr: int) -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: int) -> None:
        skynet.retpack(skynet.call(addr, "lua", n))


def answers_in_the_loop(addr: int) -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: int) -> None:
        for _ in range(2):
            try:
                skynet.retpack(skynet.call(addr, "lua", n))
            except CallError:
                skynet.retpack("sorry")


def parks() -> None:
    waiting: list[Any] = []

    @skynet.dispatch("lua")
    def handle(session: int, source: int) -> None:
        waiting.append(skynet.running())
        number = len(waiting)
        if number == 3:
            for co in waiting[:2]:
                skynet.wakeup(co)
            waiting.clear()
        else:
            skynet.wait()
        skynet.retpack(number)


def _trio(clear: bool = True, backwards: bool = False, same: bool = False) -> Callable[[], None]:
    def program() -> None:
        waiting: list[Any] = []

        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            waiting.append(skynet.response())
            if len(waiting) == 3:
                for number, answer in enumerate(reversed(waiting) if backwards else waiting, 1):
                    answer(True, 3 if same else number)
                if clear:
                    waiting.clear()

    return program


def at_once() -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int) -> None:
        skynet.retpack(1)


def both() -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int) -> None:
        skynet.response()
        skynet.retpack(1)


WRONG = {
    "09.1": [
        ([7, 7, 3, 0, 0], "its own request"),
        ([3, 7, 7, 0, 0], "the same number"),
        ([3, 3, 3, 0, 0], "what B owes"),
        ([3, 3, 7, 3, 0], "not SLEEP"),
        ([3, 3, 7, 0, 7], "Only skynet.response"),
    ],
    "09.2": [
        (["ask", "begin", "got x", "answered", "begin", "answered"], "between retpack and the next line"),
        (["ask", "begin", "answered", "got x"], "Does it have to wait"),
        (["ask", "begin", "answered", "end", "got x", "begin", "answered", "end"], "No tick passes"),
        (["ask", "begin", "answered", "got x", "begin"], "returns False"),
        (["begin"], "dispatch by dispatch"),
    ],
    "09.3": [(broken, "answered twice"), (twice, "answered twice"), (_store(before=False), "should be"),
             (_store(unknown="end"), "waits forever"), (_store(unknown="answer"), "it should fail"),
             (_store(pops=False), "`pop x` should be"), (_store(sets=False), "never gets an answer")],
    "09.4": [(passes_on, "Where do you catch CallError"), (_careful(1), "Where do you catch CallError"),
             (_careful(3), "twice for 9 and once"), (_careful(2, last=None), "instead of sorry"),
             (_careful(2, eager=True), "twice for 9 and once"), (_careful(2, queue=True), "Does 3 wait for 8"),
             (answers_in_the_loop, "answered twice")],
    "09.5": [(parks, "are parked"), (_trio(), "The one that exited was counted"), (_trio(clear=False), "left over from the first three"),
             (_trio(backwards=True), "order in which they came"), (_trio(same=True), "order in which they came"),
             (at_once, "Neither should have an answer"), (both, "replaces skynet.ret")],
}  # fmt: skip
