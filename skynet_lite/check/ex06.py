"""Exercises of notebook 06: the whole run, beside a recording of the real skynet."""

import json
from itertools import pairwise
from typing import Any

from ..course.lab import recording
from .engine import Hints, among, exercise, first_wrong, hint, plain
from .programs import Run, run

FRAMES = (
    "driver start", "SLEEP of co1", "CONNECT in the mailbox", "co_create co2", "wakeup", "EXIT of co2", "BREAK",
    "resume of co1 by dispatch_wakeup",
)  # fmt: skip


@exercise("06.1")
def _order(answer: Any) -> Hints:
    given, right = plain(answer), plain(FRAMES)
    yield sorted(map(str, given)) != sorted(right) and "form"
    place = {name: given.index(name) for name in right}
    names = ("command-first", "turn", "message-first", "wakeup", "exit", "break", "resume")
    for (before, after), name in zip(pairwise(right), names, strict=True):
        yield place[before] > place[after] and name


@exercise("06.2")
def _functions(answer: Any) -> Hints:
    given = [str(name).removeprefix("skynet.") for name in plain(answer)]
    right = ["suspend", "dispatch_wakeup", "wait", "wakeup", "dispatch_wakeup"]
    yield first_wrong(given, right)


@exercise("06.3")
def _resumes(answer: Any) -> Hints:
    count, functions = answer
    yield among(count, 3, {2: "two"}, "count")
    yield among(functions, 2, {3: "three"}, "functions")


@exercise("06.4")
def _forged(program: Any) -> Hints:
    found = run(program, lambda r: r.node.advance(50))
    wanted = ["start", "listened", "started", "done"]
    yield found.marks != wanted and hint("marks", marks=found.marks, wanted=wanted)
    started = (e for e in found.trace if e["e"] == "command" and e["command"] == "start")
    yield not any(started) and "no-socket"
    yield found.count("fork") and "fork"
    yield found.trace.diff(recording("listen_start")).same and "same"


@exercise("06.5")
def _echo(program: Any) -> Hints:
    def visit(r: Run) -> None:
        if r.port() is None:
            return
        c = r.client()
        r.node.run_until_idle()
        r.said.append(r.answer(c, b"hello\n"))

    found = run(program, visit)
    yield not found.said and "no-port"
    yield found.raised()
    yield found.said != [b"hello\n"] and hint("hears", heard=found.said[0])
    real = recording("accept_echo_line")
    wanted = [e["text"] for e in real if e["e"] == "mark"]
    yield found.marks != wanted and hint("marks", marks=found.marks, wanted=wanted)
    parted = found.trace.diff(real)
    yield (
        not parted.same and hint("events", where=json.dumps(parted.first), difference=parted.summary().splitlines()[0])
    )
