"""Wrong answers to the exercises of notebook 20 that a reader might well give, and a word of the hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skynet_lite import skynet

LINES = {"preload": "/srv/game/probe/probe.lua", "probe_only": "^agent", "probe_events": 10000, "probe_data": True}


# ---- 20.2: who holds the worker


def the_last(trace: Any) -> int | None:
    timed = [n for n in range(len(trace)) if trace[n]["e"] == "message" and trace.took(n) is not None]
    return timed[-1] if timed else None


def any_event(trace: Any) -> int | None:
    timed = [n for n in range(len(trace)) if trace.took(n) is not None and trace[n]["e"] == "resume"]
    return timed[0] if timed else None


def of_the_whole(trace: Any) -> int | None:
    """The number that the whole has for it, not the part."""
    timed = {n: trace.took(k) for k, (n, e) in enumerate(trace.numbered()) if e["e"] == "message"}
    return max((n for n in timed if timed[n] is not None), key=lambda n: timed[n] or 0, default=None)


def first_of_all(trace: Any) -> int:
    return next(n for n in range(len(trace)) if trace[n]["e"] == "message")


# ---- 20.4: locks


def _ledger() -> None:
    def handle(session: int, source: int, amount: int) -> None:
        skynet.retpack(min(amount, skynet.call(source, "lua", "limit")))

    skynet.dispatch("lua", handle)


def _bank(lock: Callable[[Callable[[], Any]], Any], limit: int = 100) -> None:
    book = skynet.newservice(_ledger)

    def handle(session: int, source: int, command: str, *args: Any) -> None:
        def inside() -> None:
            skynet.retpack(limit if command == "limit" else skynet.call(book, "lua", *args))

        lock(inside)

    skynet.dispatch("lua", handle)


def no_lock() -> None:
    _bank(lambda inside: inside())


def a_section() -> None:
    section = skynet.queue()

    def lock(inside: Callable[[], Any]) -> None:
        with section:
            inside()

    _bank(lock)


def _made(limit: int = 100, start: bool = False) -> None:
    busy, line = [start], []

    def lock(inside: Callable[[], Any]) -> None:
        while busy[0]:
            line.append(skynet.running())
            skynet.wait()
        busy[0] = True
        inside()
        busy[0] = False
        if line:
            skynet.wakeup(line.pop(0))

    _bank(lock, limit)


def never_open() -> None:
    _made(start=True)


def generous() -> None:
    _made(limit=1000)


def a_token() -> None:
    """A token for each that waits."""
    busy, line = [False], []

    def lock(inside: Callable[[], Any]) -> None:
        while busy[0]:
            token = object()
            line.append(token)
            skynet.wait(token)
        busy[0] = True
        inside()
        busy[0] = False
        if line:
            skynet.wakeup(line.pop(0))

    _bank(lock)


def forgets() -> None:
    """No lock at all: it asks nobody, and never answers a payment."""

    def handle(session: int, source: int, command: str, *args: Any) -> None:
        if command == "limit":
            skynet.retpack(100)
        else:
            skynet.wait()

    skynet.dispatch("lua", handle)


WRONG = {
    "20.1": [({**LINES, "probe_only": "agent"}, "anywhere"), ({**LINES, "probe_only": "agent*"}, "wildcard"),
             ({**LINES, "preload": "probe.lua"}, "before its own code"), ({**LINES, "probe_events": 1000}, "ring"),
             ({**LINES, "probe_data": False}, "unless"), ({k: LINES[k] for k in ("preload", "probe_data")}, "which services"),
             ({**LINES, "probe_start": True}, "Four lines"), ("preload", "a dict")],
    "20.2": [(the_last, "there is one of"), (any_event, "Only messages"), (of_the_whole, "counts from 0"),
             (first_of_all, "None is expected"), (3, "another form")],
    "20.3": [([5, 6], "without"), ([42, 6], "percent"), ([4, 108], "3,600"), ([4, 0], "one second"),
             ([4, 110], "17 events"), ([2, 6], "lines of the program"), ([4, 7], "6.48"), (4, "two whole numbers")],
    "20.4": [(no_lock, "comes back with 100"), (a_section, "still has a circle"), (never_open, "gets no answer"),
             (generous, "gets 1000"), (forgets, "not at a lock"), ("lock", "another form")],
    "20.5": [(["no", "no", "yes", "no", "no"], "main:14"), (["yes", "yes", "yes", "no", "no"], "socket thread"),
             (["yes", "no", "no", "no", "no"], "three streams"), (["yes", "no", "yes", "yes", "no"], "worker thread"),
             (["yes", "no", "yes", "no", "yes"], "default"), ("yes", "five words")],
}  # fmt: skip

RIGHT = {
    "20.1": [{**LINES, "probe_events": "10000", "probe_data": "true", "probe_only": "^agent "}],
    "20.3": [(4, 6)],
    "20.4": [a_token, _made],
}
