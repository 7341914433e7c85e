"""Exercises of notebook 11: programs that hang."""

from typing import Any

from .. import skynet
from ..core.errors import CallError, DriveTimeout
from ..node.recording import mark
from .engine import Hint, Hints, exercise, hint, no_list, plain
from .programs import Run, a_function, run


def _circle(found: Run) -> Hint | None:
    circle = next(iter(found.trace.waits().circles()), ())
    return hint("circle", path=" → ".join(f"{wait.co} ({wait.on})" for wait in circle)) if circle else None


@exercise("11.1")
def _grades(answer: Any) -> Hints:
    given = plain(answer)
    yield no_list(given, 5) and "five-words"
    for k, right in enumerate(["fault", "suspicion", "nothing", "suspicion", "fault"]):
        yield given[k] not in ("fault", "suspicion", "nothing") and hint("word", value=given[k])
        yield given[k] != right and str(k + 1)


@exercise("11.2")
def _ring(answer: Any) -> Hints:
    yield no_list(answer, 2) and "form"
    deadlock, parked = plain(answer)
    yield deadlock != "no" and "circle"
    yield parked == 3 and "three"
    yield (parked != 2 or type(parked) is bool) and "otherwise"


@exercise("11.3")
def _bank(program: Any) -> Hints:
    a_function(program)
    answers: list[Any] = []
    busy, most = [0], [0]

    def ledger() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, amount: int) -> None:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
            limit = skynet.call(source, "lua", "limit")
            skynet.sleep(2)
            busy[0] -= 1
            skynet.retpack(min(amount, limit))

    def customers() -> None:
        bank = skynet.newservice(program, skynet.newservice(ledger))
        mark("started")
        for amount in (250, 30):
            skynet.fork(lambda amount: answers.append(skynet.call(bank, "lua", "pay", amount)), amount)

    found = run(customers, lambda r: r.node.advance(20))
    yield "started" not in found.marks and "no-start"
    yield _circle(found) or found.raised("look-at-log")
    yield len(answers) < 2 and hint("no-answer", n=2 - len(answers))
    yield most[0] > 1 and "both"
    yield sorted(answers) != [30, 100] and hint("answers", answers=answers)


@exercise("11.4")
def _store(program: Any) -> Hints:
    script = [("set", "x", 1), ("get", "x"), ("set", "x", 2), ("get", "x"), ("get", "y"), ("get", "x")]
    expected = [None, 1, 1, 2, None, 2]
    said: list[Hint] = []

    def ask(r: Run) -> None:
        for words in script:
            try:
                r.said.append(r.node.call(r.addr, "lua", *words))
            except (DriveTimeout, CallError) as e:
                said.append(hint("fails" if isinstance(e, CallError) else "no-answer", words=words))
                return

    found = run(program, ask)
    yield said and said[0]
    yield "answered twice" in [v.kind for v in found.trace.verdicts()] and "twice"
    for words, got, wanted in zip(script, found.said, expected, strict=True):
        yield got != wanted and hint("otherwise", words=words, got=got, wanted=wanted)
    yield found.raised("look-at-log")


@exercise("11.5")
def _jobs(program: Any) -> Hints:
    for jobs in ((5, 6), (1, 2), (1,), (3,), (), (2, 40)):
        found = run(program, lambda r: r.node.advance(100), *jobs)
        yield found.raised("look-at-log")
        yield "all done" not in found.marks and hint("no-mark", jobs=jobs)
        n = found.trace.find("mark", text="all done")
        tick, last = found.trace.ticks()[n], max((3, *jobs))
        yield max(jobs, default=0) <= tick < 3 and hint("short", jobs=jobs, tick=tick)
        wrong = len(found.marks) != 1 or tick < last
        yield wrong and hint("marks", jobs=jobs, marks=found.marks, tick=tick, last=last)
        yield tick > last and hint("late", jobs=jobs, last=last, tick=tick)
        sleeps = found.count("yield", command="SLEEP")
        yield sleeps > len(jobs) + 4 and hint("polls", jobs=jobs, n=sleeps)


@exercise("11.6")
def _reader(program: Any) -> Hints:
    def script(r: Run) -> None:
        a, b = r.client(), r.client()
        r.node.advance(5)
        for c, text in ((a, b"one\n"), (b, b"two\n"), (a, b"three\n")):
            c.send(text)
            r.node.advance(5)
            r.said.append(r.heard(c))
        a.close()
        r.node.advance(5)
        r.said += [r.marks.count("gone"), [state for state, _ in r.node.tables()["sockets"].values()]]

    found = run(program, script)
    yield any("one reader for each socket" in error for error in found.errors) and "two-readers"
    yield found.raised("look-at-log")
    *lines, gone, sockets = found.said
    yield lines != [b"one\n", b"two\n", b"three\n"] and hint("lines", lines=lines)
    yield gone != 1 and hint("gone", gone=gone)
    yield sorted(sockets) != ["connected", "listen"] and hint("sockets", sockets=sockets)


@exercise("11.7")
def _twice(program: Any) -> Hints:
    def script(r: Run) -> None:
        def customer(name: str, n: int) -> None:
            r.said.append((name, skynet.call(r.addr, "lua", name, n)))

        r.node.newservice(lambda: [skynet.fork(customer, *call) for call in (("twice", 10), ("add", 1))])
        r.node.advance(20)

    found = run(program, script)
    yield _circle(found)
    answers = dict(found.said)
    yield found.raised("look-at-log")
    yield len(answers) < 2 and hint("answered", names=sorted(answers))
    yield answers != {"twice": 20, "add": 21} and hint("between", twice=answers["twice"], add=answers["add"])
    yield not found.count("table", table="queue", op="push") and "no-section"
