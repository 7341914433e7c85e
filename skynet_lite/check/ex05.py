"""Exercises of notebook 05: the wakeup queue."""

import inspect
import re
from typing import Any

from .engine import Hints, among, choice, exercise, hint
from .programs import run

choice("05.1", ["c", "a", "b"], {("a", "b", "c"): "waiting", ("a", "c", "b"): "calls", ("c", "b", "a"): "after-sleep"})

choice("05.2", "wait", {
    "wakeup": "wakeup", "the exit of the waker": "exit", "dispatch_wakeup": "dispatch", "suspend": "suspend",
})  # fmt: skip


@exercise("05.3")
def _twice(answer: Any) -> Hints:
    yield type(answer) is not int and "form"
    yield among(answer, 2, {1: "round", 0: "emptied"}, "otherwise")


@exercise("05.4")
def _repaired(program: Any) -> Hints:
    found = run(program, lambda r: r.node.advance(1))
    first, errors = found.marks, found.errors
    found = run(program, lambda r: r.node.advance(5))
    yield (found.errors or errors) and hint("look-at-log", error=found.errors[0])
    yield not found.count("wakeup") and "no-wakeup"
    yield not found.count("wakeup", queued=True) and "none-queued"
    yield found.marks != ["got x", "got y"] and hint("marks", marks=found.marks)
    yield first != ["got x"] and hint("first-tick", marks=first)


@exercise("05.5")
def _gate(program: Any) -> Hints:
    found = run(program, lambda r: r.node.advance(1))
    waits = [m for m in found.marks if m.startswith("waits")]
    through = [m for m in found.marks if m.startswith("through")]
    yield waits != ["waits 1", "waits 2", "waits 3"] and hint("waits", waits=waits)
    yield not through and "none-through"
    yield through[0] != "through 3" and hint("first", mark=through[0])
    yield through != ["through 3", "through 2", "through 1"] and hint("chain", through=through)
    yield not re.search(r"\braise\b", inspect.getsource(program)) and "no-raise"
