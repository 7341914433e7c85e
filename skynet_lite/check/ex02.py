"""Exercises of notebook 02: the wait in socket.start."""

from typing import Any

from ..skynet import socket
from .engine import Hints, choice, exercise, hint, plain
from .programs import run

choice("02.1", 3, {1: "start-function", 2: "sleep", 4: "listen"})


@exercise("02.2")
def _way(answer: Any) -> Hints:
    given = [str(name).removeprefix("socket.").removeprefix("skynet.") for name in plain(answer)]
    right = ["start", "connect", "suspend", "wait", "coroutine_yield"]
    yield sorted(given) != sorted(right) and "form"
    yield given[-1] != "coroutine_yield" and "yield-last"
    yield given[0] != "start" and "start-first"
    yield given.index("wait") < given.index("suspend") and "wait-late"
    yield given != right and "pool-first"


choice("02.3", "skynet.suspend", {"socket.suspend": "frozen", "connect": "connect", "dispatch_wakeup": "later"})


@exercise("02.4")
def _twice(program: Any) -> Hints:
    found = run(program)
    yield found.raised("ends")
    starts = found.count("driver", command="start")
    if found.marks == ["refused", "ok"]:
        yield starts != 1 and hint("commands", n=starts)
        return
    yield found.marks == ["ok", "refused"] and "too-late"
    yield "refused" not in found.marks and hint("none-refused", marks=found.marks)
    yield hint("otherwise", marks=found.marks)


@exercise("02.5")
def _careful(program: Any) -> Hints:
    found = run(lambda: program([socket.listen("127.0.0.1:0"), 77, socket.listen("127.0.0.1:0"), 78, 1]))
    wanted = ["1 works", "77 fails", "2 works", "78 fails", "1 fails"]
    if found.marks == wanted and not found.errors:
        return
    yield (found.marks[:2] == ["1 works"] or not found.marks) and hint("over", marks=found.marks)
    yield sorted(found.marks) == sorted(wanted) and hint("order", marks=found.marks)
    yield found.marks == [*wanted[:4], "1 works"] and "second-start"
    yield hint("otherwise", marks=found.marks, wanted=wanted)
