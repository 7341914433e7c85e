"""Wrong answers to the exercises of notebook 08."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skynet_lite import mark, skynet


def _ticker(first: bool = False, period: int = 10, work: int = 3, lie: bool = False) -> Callable[[], None]:
    def program() -> None:
        began = skynet.now()
        times = 0

        def tick() -> None:
            nonlocal times
            times += 1
            if first:
                skynet.timeout(period, tick)
            mark(f"at {times * 10 if lie else skynet.now() - began}")
            if work:
                skynet.sleep(work)
            if not first:
                skynet.timeout(period, tick)

        skynet.timeout(10, tick)

    return program


def never() -> None:
    pass


def plain_call(addr: int) -> None:
    for n in (2, 8, 4):
        mark(f"{n}: {skynet.call(addr, 'lua', n)}")


def sleeps_through(addr: int) -> None:
    for n in (2, 8, 4):
        box: list[Any] = []
        skynet.fork(lambda n=n, box=box: box.append(skynet.call(addr, "lua", n)))
        skynet.sleep(5)
        mark(f"{n}: {box[0] if box else 'no answer'}")


def wakes_the_wrong_sleep(addr: int) -> None:
    me = skynet.running()

    def ask(n: int, box: list[Any]) -> None:
        box.append(skynet.call(addr, "lua", n))
        skynet.wakeup(me)

    for n in (2, 8, 4):
        box: list[Any] = []
        skynet.fork(ask, n, box)
        skynet.sleep(5)
        mark(f"{n}: {box[0] if box else 'no answer'}")


def one_box(addr: int) -> None:
    box: list[Any] = []

    def ask(n: int, token: object) -> None:
        box.append(skynet.call(addr, "lua", n))
        skynet.wakeup(token)

    for n in (2, 8, 4):
        token = object()
        skynet.fork(ask, n, token)
        skynet.sleep(5, token)
        mark(f"{n}: {box.pop(0) if box else 'no answer'}")


def _alarms(cancel: str, move: bool = False) -> Callable[[], None]:
    """`cancel`: what a cancel does; `move`: setting a name again replaces its alarm."""

    def program() -> None:
        current: dict[str, Any] = {}

        @skynet.dispatch("lua")
        def handle(session: int, source: int, what: str, name: str, ticks: int = 0) -> None:
            if what == "cancel":
                if cancel == "delete":
                    del current[name]
                elif cancel == "flag":
                    current[name] = None
                return
            order = object() if move else True
            current[name] = order

            def ring() -> None:
                if current.get(name) is order:
                    mark(f"ring {name}")

            skynet.timeout(ticks, ring)

    return program


def cancels_for_good() -> None:
    dead: set[str] = set()
    current: dict[str, object] = {}

    @skynet.dispatch("lua")
    def handle(session: int, source: int, what: str, name: str, ticks: int = 0) -> None:
        if what == "cancel":
            dead.add(name)
            return
        order = current[name] = object()
        skynet.timeout(ticks, lambda: mark(f"ring {name}") if current[name] is order and name not in dead else None)


def latest_time() -> None:
    """Keeps a deadline for each name, and believes a timer that comes at that tick or later."""
    due: dict[str, int] = {}

    @skynet.dispatch("lua")
    def handle(session: int, source: int, what: str, name: str, ticks: int = 0) -> None:
        if what == "cancel":
            due[name] = 10**9
            return
        due[name] = skynet.now() + ticks
        skynet.timeout(ticks, lambda: mark(f"ring {name}") if skynet.now() >= due[name] else None)


WRONG = {
    "08.1": [
        (["zero", "fork of zero", "message", "fork", "yielded"], "before it takes its next message"),
        (["fork", "zero", "message", "fork of zero", "yielded"], "right after it"),
        (["fork", "message", "zero", "fork of zero", "yielded"], "that of the calls"),
        (["fork", "yielded", "zero", "fork of zero", "message"], "is sleep(0)"),
        (["fork", "zero"], "list of the five"),
    ],
    "08.2": [
        (["BREAK", True, True], "was set first"),
        ([None, True, True], "does wakeup find it"),
        ([None, False, True], "Is there one"),
        (["BREAK", False, False], "has brought back"),
        ([0, 1, 2], "Three values"),
    ],
    "08.3": [(_ticker(), "When is the next timer set"), (_ticker(first=True, work=0), "The work is missing"),
             (_ticker(lie=True), "they should be"), (_ticker(first=True, period=7), "they should be"), (never, "Nothing is marked")],
    "08.4": [(plain_call, "let another coroutine"), (sleeps_through, "Who ends the sleep"),
             (wakes_the_wrong_sleep, "this sleep is another one"), (one_box, "they should be"), (never, "Nothing is marked")],
    "08.5": [(_alarms("nothing"), "b was cancelled"), (_alarms("delete"), "ends with"), (_alarms("flag"), "two timers"),
             (cancels_for_good, "is missing"), (latest_time, "rings at 10, too"), (never, "No alarm")],
}  # fmt: skip
