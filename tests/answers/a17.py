"""Wrong answers to the exercises of notebook 17 that a reader might well give, and a word of the hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skynet_lite import skynet


def _queue(info: str = "", order: int = 0, forgets: bool = True) -> Callable[[], None]:
    """A queue with an info function that is "none", "names", "early", and callers taken from the end or never let go."""

    def queue() -> None:
        values: list[Any] = []
        callers: list[Any] = []

        @skynet.dispatch("lua")
        def handle(session: int, source: int, command: str, x: Any = None) -> None:
            if command == "take":
                callers.append(skynet.response())
            else:
                values.append(x)
            while values and [c for c in callers if c is not None]:
                open = [k for k, c in enumerate(callers) if c is not None]
                answer = callers[open[order]]
                callers[open[order]] = None
                answer(True, values.pop(0))
                if forgets:
                    callers[:] = [c for c in callers if c is not None]

        early = {"waiting": len(values), "asking": len(callers)}
        if info == "names":
            skynet.info_func(lambda: (len(values), len(callers)))
        elif info == "early":
            skynet.info_func(lambda: early)
        elif info != "none":
            skynet.info_func(lambda: {"waiting": len(values), "asking": len(callers)})

    return queue


def _polls() -> None:
    """A caller looks again each tick, instead of being answered by the next put."""
    values: list[Any] = []
    asking = 0

    @skynet.dispatch("lua")
    def handle(session: int, source: int, command: str, x: Any = None) -> None:
        nonlocal asking
        if command == "put":
            values.append(x)
            return
        asking += 1
        while not values:
            skynet.sleep(1)
        asking -= 1
        skynet.retpack(values.pop(0))

    skynet.info_func(lambda: {"waiting": len(values), "asking": asking})


def _nothing() -> None:
    pass


def _wakes() -> None:
    """The caller's coroutine waits, and a put wakes it."""
    values: list[Any] = []
    callers: list[object] = []

    @skynet.dispatch("lua")
    def handle(session: int, source: int, command: str, x: Any = None) -> None:
        if command == "put":
            values.append(x)
            if callers:
                skynet.wakeup(callers.pop(0))
            return
        if not values:
            token = object()
            callers.append(token)
            skynet.wait(token)
        skynet.retpack(values.pop(0))

    skynet.info_func(lambda: {"waiting": len(values), "asking": len(callers)})


HANDLER = """
@skynet.dispatch("lua")
def handle(session, source, n):
    global total
    total += n
    skynet.retpack(total)
"""
IMPORT = "from skynet_lite import skynet\n"


WRONG: dict[str, list[tuple[Any, str]]] = {
    "17.1": [
        ([5, 1], "in the list too"),
        ([7, 1], "Which service asks the others"),
        ([6, 0], "Which service does it ask"),
        ([6, 2], "All that follows is debug"),
        ([12, 1], "Count the requests only"),
        ([2, 1], "three services of the boot"),
        ([1, 6], "swapped them"),
    ],
    "17.2": [
        (["task", "stat", "task", "netstat", "inject"], "who waits for whom"),
        (["waits", "list", "task", "netstat", "inject"], "mqlen"),
        (["waits", "stat", "info", "netstat", "inject"], "stacks of the parked"),
        (["waits", "stat", "task", "stat", "inject"], "one row for each socket"),
        (["waits", "stat", "task", "netstat", "start"], "without the state"),
        ("waits", "five words"),
    ],
    "17.3": [
        (_queue(info="none"), "skynet.info_func"),
        (_queue(info="names"), "a dict with waiting and asking"),
        (_queue(info="early"), "when it was made"),
        (_queue(order=-1), "belongs to the caller who asked first"),
        (_queue(forgets=False), "no longer counts"),
        (_polls, "not a timer"),
        (_nothing, "skynet.info_func"),
    ],
    "17.4": [
        (["no", "no", "yes", "no"], "a message of its own"),
        (["yes", "yes", "yes", "no"], "two people who set the variables"),
        (["yes", "no", "no", "no"], "what has arrived"),
        (["yes", "no", "yes", "yes"], "says cont"),
    ],
    "17.5": [
        ("nonsense()\n", "NameError"),
        (IMPORT + HANDLER, "must exist when it runs"),
        ("_P['lua']['total'] //= 2\n", "Which function installs a new one"),
        (IMPORT + "total = 0\n" + HANDLER, "starts again from 0"),
        (IMPORT + "total = _P['lua']['total']\n" + HANDLER, "halve it"),
        (
            IMPORT
            + "total = _P['lua']['total'] // 2\nskynet.dispatch('lua', lambda session, source, n: skynet.retpack(total + n))\n",
            "the sum is not kept",
        ),
        (IMPORT + "total = 7\n" + HANDLER, "should be 6 and 16"),
        (
            IMPORT + HANDLER.replace("total", "_P['lua']['total']").replace("    global _P['lua']['total']\n", ""),
            "gone by then",
        ),
        (IMPORT + "total = 5\n" + HANDLER.replace("    skynet.retpack(total)\n", ""), "no answer"),
        (IMPORT + "skynet.dispatch('lua', lambda n: skynet.retpack(n))\n", "takes 1 positional"),
        ("def counter():\n    total = 0\n" + HANDLER.replace("\n", "\n    "), "do you call it"),
        (IMPORT + "skynet.exit()\n", "never reaches its end"),
        (IMPORT + "skynet.wait()\n", "never reaches its end"),
    ],
}

RIGHT: dict[str, list[Any]] = {
    "17.2": [["verdicts", "stat", "uniqtask .room", "netstat", "inject"]],
    "17.3": [_wakes],
    "17.5": [
        IMPORT
        + "kept = _P['lua']\nkept['total'] //= 2\n"
        + HANDLER.replace("total", "kept['total']").replace("    global kept['total']\n", ""),
        "total = [_P['lua']['total'] // 2]\n" + HANDLER.replace("    global total\n", "").replace("total", "total[0]"),
    ],
}
"""Right answers of another shape than that of the solution."""
