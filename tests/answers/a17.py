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
    ],
}
