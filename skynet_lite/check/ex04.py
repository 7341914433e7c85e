"""Exercises of notebook 04: one message, one coroutine."""

from typing import Any

from .. import skynet
from ..node.recording import mark
from .engine import Hints, choice, exercise, first_wrong, hint, plain
from .programs import Run, run

choice("04.1", 3, {4: "quick", 5: "start-function", 2: "slow", 1: "sleeper"})


@exercise("04.2")
def _afterwards(answer: Any) -> Hints:
    more, pool = answer
    yield (more not in (True, False) or type(pool) is not int) and "form"
    yield more and "empty"
    yield pool != 3 and "back"


@exercise("04.3")
def _half(answer: Any) -> Hints:
    given, right = plain(answer), ["create", "find", "create", "neither", "find"]
    yield (len(given) != 5 or not set(given) <= {"create", "find", "neither"}) and "form"
    yield first_wrong(given, right)


def _ask(r: Run, *calls: tuple[Any, ...]) -> None:
    def asker() -> None:
        for call in calls:
            skynet.fork(lambda call=call: mark(f"answer {skynet.call(r.addr, 'lua', *call)}"))

    r.node.newservice(asker)
    r.node.advance(10)
    r.node.run_until_idle()


def _split(found: Run) -> tuple[list[str], list[str]]:
    """Marks of the program, and answers that the asker has got."""
    answers = [m.removeprefix("answer ") for m in found.marks if m.startswith("answer ")]
    return [m for m in found.marks if not m.startswith("answer ")], answers


@exercise("04.4")
def _stubborn(program: Any) -> Hints:
    found = run(program, lambda r: _ask(r, (1,), (2,), (3,)))
    marks, answers = _split(found)
    yield not marks and "no-marks"
    yield found.raised()
    yield not any(e["e"] == "timer_set" and e["tick"] for e in found.trace) and "no-sleep"
    yield marks[:2] == ["in 1", "in 2"] and "both-in"
    yield marks != ["in 1", "out 1", "in 2", "out 2", "in 3", "out 3"] and hint("marks", marks=marks)
    yield answers != ["1", "2", "3"] and hint("answers", answers=answers)


@exercise("04.5")
def _counting(program: Any) -> Hints:
    def ask(r: Run) -> None:
        _ask(r, (), (), ())
        _ask(r, ())

    found = run(program, ask)
    _, answers = _split(found)
    yield found.raised()
    yield answers == ["1", "1", "1", "1"] and "before"
    yield answers[:3] == ["3", "3", "3"] and "count-down"
    yield answers[:3] == ["1", "2", "3"] and "came-in"
    if answers != ["3", "2", "1", "1"]:
        down = answers[:3] == ["3", "2", "1"]
        yield hint("not-zero", last=answers[3:]) if down else hint("otherwise", answers=answers)
