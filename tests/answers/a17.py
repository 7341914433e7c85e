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
        ([5, 1], "stands in the list, too"),
        ([7, 1], "Who asks the services"),
        ([6, 0], "Whom does it ask"),
        ([6, 2], "all that follows is debug"),
        ([12, 1], "count the requests only"),
        ([2, 1], "three of the boot"),
        ([1, 6], "other way round"),
    ],
    "17.2": [
        (["task", "stat", "task", "netstat", "inject"], "who waits for whom"),
        (["waits", "list", "task", "netstat", "inject"], "mqlen"),
        (["waits", "stat", "info", "netstat", "inject"], "stacks of the parked"),
        (["waits", "stat", "task", "stat", "inject"], "a row for each socket"),
        (["waits", "stat", "task", "netstat", "start"], "without the state"),
        ("waits", "five words"),
    ],
    "17.3": [
        (_queue(info="none"), "skynet.info_func"),
        (_queue(info="names"), "a table with waiting and asking"),
        (_queue(info="early"), "when it was made"),
        (_queue(order=-1), "goes to who asked first"),
        (_queue(forgets=False), "asks no more"),
        (_polls, "no timer"),
        (_nothing, "skynet.info_func"),
    ],
    "17.4": [
        (["no", "no", "yes", "no"], "a message of its own"),
        (["yes", "yes", "yes", "no"], "two who set the variables"),
        (["yes", "no", "no", "no"], "what has come"),
        (["yes", "no", "yes", "yes"], "says cont"),
    ],
    "17.5": [
        ("nonsense()\n", "NameError"),
        (IMPORT + HANDLER, "must be there when it runs"),
        ("_P['lua']['total'] //= 2\n", "Which function puts a new one"),
        (IMPORT + "total = 0\n" + HANDLER, "begins again from 0"),
        (IMPORT + "total = _P['lua']['total']\n" + HANDLER, "is to be halved"),
        (
            IMPORT
            + "total = _P['lua']['total'] // 2\nskynet.dispatch('lua', lambda session, source, n: skynet.retpack(total + n))\n",
            "the sum is not kept",
        ),
        (IMPORT + "total = 7\n" + HANDLER, "6 and 16 are wanted"),
        (
            IMPORT + HANDLER.replace("total", "_P['lua']['total']").replace("    global _P['lua']['total']\n", ""),
            "gone by then",
        ),
        (IMPORT + "total = 5\n" + HANDLER.replace("    skynet.retpack(total)\n", ""), "no answer"),
        (IMPORT + "skynet.dispatch('lua', lambda n: skynet.retpack(n))\n", "takes 1 positional"),
        ("def counter():\n    total = 0\n" + HANDLER.replace("\n", "\n    "), "is it called"),
        (IMPORT + "skynet.exit()\n", "come to its end"),
        (IMPORT + "skynet.wait()\n", "come to its end"),
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
