"""Exercises of notebook 14: what operations cost."""

from typing import Any

from .. import skynet
from ..core.errors import CallError, DriveTimeout
from ..node.recording import mark
from .engine import Hint, Hints, among, exercise, hint, no_list
from .programs import Run, a_function, run


@exercise("14.1")
def _relay(answer: Any) -> Hints:
    yield no_list(answer, 2) and "two-numbers"
    messages, switches = answer
    yield among(messages, 4, {2: "two"}, "messages")
    yield among(switches, 12, {6: "six", 8: "eight"}, "switches")


@exercise("14.2")
def _created(answer: Any) -> Hints:
    yield no_list(answer, 2) and "two-numbers"
    first, second = answer
    yield among(first, 26, {50: "at-once", 51: "at-once", 25: "last"}, "first")
    yield second != 26 and "second"


@exercise("14.3")
def _batch(program: Any) -> Hints:
    a_function(program)
    got: list[int] = []

    def adder() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, *numbers: int) -> None:
            got.append(len(numbers))
            skynet.retpack(sum(numbers))

    found = run(lambda: skynet.newservice(program, skynet.newservice(adder)))
    yield found.raised("look-at-log")
    yield not got and "unasked"
    yield found.marks != ["total 499500"] and hint("marks", marks=found.marks)
    yield len(got) > 10 and hint("messages", n=len(got))
    yield sum(got) < 1000 and hint("numbers", n=sum(got))


@exercise("14.4")
def _careless(program: Any) -> Hints:
    problem: list[Hint] = []

    def script(r: Run) -> None:
        for text, wanted in [("12", 12), ("no number", None), ("", None), ("-3", -3)] * 25:
            try:
                got = r.node.call(r.addr, "lua", text)
            except (CallError, DriveTimeout) as e:
                problem.append(hint("raises" if isinstance(e, CallError) else "no-answer", text=text))
                return
            if got != wanted or type(got) is not type(wanted):
                problem.append(hint("answer", text=text, got=got, wanted=wanted))
                return

    found = run(program, script)
    yield problem and problem[0]
    made = found.count("co_create", how="new")
    yield (found.errors or made > 2) and hint("ends", n=len(found.errors), made=made)


@exercise("14.5")
def _gather(program: Any) -> Hints:
    a_function(program)

    def slow(ticks: int) -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            skynet.sleep(ticks)
            skynet.retpack(ticks * 10)

    for times in ((5, 9, 2, 7), (3,), (4, 4, 4)):

        def stage(times: tuple[int, ...] = times) -> None:
            addresses = [skynet.newservice(slow, ticks) for ticks in times]
            mark("begin")
            skynet.newservice(program, *addresses)

        found = run(stage, lambda r: r.node.advance(100))
        yield found.raised("look-at-log")
        marks = found.marks[1:]
        wanted = str([ticks * 10 for ticks in times])
        yield not marks and hint("no-marks", times=times)
        yield marks != [wanted] and hint("marks", times=times, marks=marks, wanted=wanted)
        ticks = found.trace.ticks()
        begin, end = (ticks[found.trace.find("mark", text=text)] for text in ("begin", wanted))
        late = end - begin > max(times)
        yield late and hint("slow", times=times, ticks=end - begin, slowest=max(times))
