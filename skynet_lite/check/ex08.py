"""Exercises of notebook 08: time."""

from typing import Any

from .. import skynet
from .engine import Hints, among, exercise, hint, plain
from .programs import Run, a_function, run


@exercise("08.1")
def _soon(answer: Any) -> Hints:
    given = plain(answer)
    marks = ["fork", "fork of zero", "message", "yielded", "zero"]
    yield (not isinstance(given, list) or sorted(map(str, given)) != marks) and "five-marks"
    yield given[0] != "fork" and hint("first", first=given[0])
    yield given.index("fork of zero") != given.index("zero") + 1 and "fork-of-zero"
    yield given.index("zero") > given.index("message") and "zero"
    yield given[-1] != "yielded" and "last"


@exercise("08.2")
def _race(answer: Any) -> Hints:
    slept, woke, broken = answer
    hints = {
        ("break", True, True): "two-timers",
        (None, True, True): "whom",
        (None, False, True): "break",
        ("break", False, False): "sleep",
    }
    yield among(tuple(plain([slept, woke, broken])), (None, False, False), hints)


def _timed(found: Run, what: str = "") -> list[tuple[str, int]]:
    """The marks that begin with `what`, each with its tick."""
    ticks = found.trace.ticks()
    first = int(found.trace.snapshot.get("now", 0))
    return [
        (e["text"], ticks[i] - first)
        for i, e in enumerate(found.trace)
        if e["e"] == "mark" and e.get("service") and e["text"].startswith(what)
    ]


@exercise("08.3")
def _steady(program: Any) -> Hints:
    found = run(program, lambda r: r.node.advance(45))
    yield found.raised()
    yield not found.marks and "no-marks"
    yield found.marks == ["at 10", "at 23", "at 36"] and "apart"
    yield found.marks != ["at 10", "at 20", "at 30", "at 40"] and hint("marks", marks=found.marks)
    real = [tick for _, tick in _timed(found)]
    yield real != [10, 20, 30, 40] and hint("ticks", ticks=real)
    ticks = found.trace.ticks()
    worked = {ticks[i] for i, e in enumerate(found.trace) if e["e"] == "table" and e["table"] == "sleep_session"
              and e["op"] == "clear"}  # fmt: skip
    yield not {13, 23, 33, 43} <= worked and "no-work"


def _answering() -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: int) -> None:
        skynet.sleep(n)
        skynet.retpack(n)


@exercise("08.4")
def _patient(program: Any) -> Hints:
    a_function(program)
    found = run(lambda: program(skynet.newservice(_answering)), lambda r: r.node.advance(60))
    marks = _timed(found)
    yield found.raised()
    yield not marks and "no-marks"
    yield marks[0] != ("2: 2", 2) and hint("first", mark=marks[0][0], tick=marks[0][1])
    yield len(marks) > 1 and marks[1] == ("8: 8", 10) and "waited"
    wanted = [("2: 2", 2), ("8: no answer", 7), ("4: 4", 11)]
    yield marks[:2] == wanted[:2] and len(marks) > 2 and marks[2][1] == 10 and hint("late", mark=marks[2][0])
    yield marks != wanted and hint("otherwise", marks=marks)


@exercise("08.5")
def _alarms(program: Any) -> Hints:
    def script(r: Run) -> None:
        r.tell(("set", "a", 5), ("set", "b", 3), ("set", "c", 4), ("set", "d", 10), ("set", "e", 4))
        r.node.advance(1)
        r.tell(("cancel", "b"), ("set", "c", 7), ("set", "d", 2), ("cancel", "e"), ("set", "e", 9), ("cancel", "z"))
        r.node.advance(30)
        r.tell(("cancel", "a"))

    found = run(program, script)
    yield found.raised("ends")
    rings = _timed(found, "ring")
    yield not rings and "no-ring"
    expected = [("ring d", 3), ("ring a", 5), ("ring c", 8), ("ring e", 10)]
    for name, tick in (("b", 3), ("c", 4), ("e", 4), ("d", 10)):
        yield (f"ring {name}", tick) in rings and name
    ring, tick = next((ring for ring in expected if ring not in rings), ("", 0))
    yield rings != expected and hint("missing", ring=ring, tick=tick, rings=rings)
