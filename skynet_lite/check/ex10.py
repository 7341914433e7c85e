"""Exercises of notebook 10: many coroutines in one service."""

from itertools import pairwise
from typing import Any

from .. import skynet
from ..node.recording import mark
from .engine import Hints, among, choice, exercise, hint, plain
from .programs import NOTHING, Run, a_function, run


@exercise("10.1")
def _order(answer: Any) -> Hints:
    given = plain(answer)
    marks = ["a", "b", "c", "message", "timer"]
    yield (not isinstance(given, list) or sorted(map(str, given)) != marks) and "five-marks"
    yield given[0] != "a" and hint("first", first=given[0])
    yield among(given[1], "c", {"b": "yields"}, "fork-of-fork")
    yield given.index("timer") > given.index("message") and "timer"
    yield given[-1] != "b" and "last"


choice("10.2", [2, 3], {(3, 3): "read-before", (2, 2): "operands", (3, 2): "swapped", (1, 3): "last-writer"})

choice("10.3", [7, 2], {
    (6, 2): "start-function", (6, 1): "handler", (5, 0): "when-taken", (12, 7): "sleepers", (11, 6): "sleepers",
})  # fmt: skip


@exercise("10.4")
def _repaired(program: Any) -> Hints:
    def script(r: Run) -> None:
        def later(*transfers: tuple[Any, ...], ticks: int = 5) -> list[Any]:
            answers = r.ask(*(("transfer", *t) for t in transfers))
            r.node.advance(ticks)
            return answers

        asked = r.ask(("transfer", "ann", "bob", 10), ("transfer", "bob", "cid", 50))
        r.said.append(list(asked))
        r.node.advance(5)
        r.said += [asked, r.ask(("show",))[0]]
        r.said.append(list(later(("ann", "bob", 1), ("cid", "dan", 1), ticks=1)))
        r.node.advance(5)
        r.said.append(list(later(("ann", "bob", 1), ("bob", "ann", 1), ("cid", "ann", 1), ("ann", "cid", 1))))
        r.said += [later(("dan", "ann", 70), ("dan", "bob", 70)), later(("ann", "ann", 5)), r.ask(("show",))[0]]

    found = run(program, script)
    at_once, two, accounts, strangers, crossed, poor, itself, final = found.said
    yield found.said_twice() and "twice"
    yield at_once != [NOTHING, NOTHING] and "at-once"
    yield two != [True, True] and hint("two", two=two)
    yield accounts != {"ann": 90, "bob": 60, "cid": 150, "dan": 100} and hint("lost-update", accounts=accounts)
    yield strangers != [True, True] and hint("strangers", strangers=strangers)
    yield NOTHING in crossed and hint("crossed", crossed=crossed)
    yield sorted(poor, key=str) != [False, True] and hint("poor", poor=poor)
    yield itself != [True] and hint("itself", got=itself[0])
    expected = {"ann": 89, "bob": 61, "cid": 149, "dan": 31}
    expected["ann" if poor[0] else "bob"] += 70
    yield final != expected and hint("final", final=final, expected=expected)


@exercise("10.5")
def _section(make: Any) -> Hints:
    a_function(make)

    def whole() -> None:
        cs = make()

        def body(n: int) -> int:
            mark(f"in {n}")
            skynet.sleep(2)
            mark(f"out {n}")
            if n == 2:
                raise ValueError("2 fails")
            return n * 10

        def guest(*numbers: int) -> None:
            for n in numbers:
                try:
                    mark(f"got {cs(body, n)}")
                except ValueError:
                    mark(f"failed {n}")

        for numbers in ((1, 6), (2,), (3,)):
            skynet.fork(guest, *numbers)
        skynet.timeout(1, lambda: skynet.fork(guest, 4))
        skynet.timeout(30, lambda: skynet.fork(guest, 5))

    found = run(whole, lambda r: r.node.advance(31))
    moves = [m for m in found.marks if m.startswith(("in", "out"))]
    entered = [m[3:] for m in moves if m.startswith("in")]
    yield found.raised("ends")
    yield found.count("table", table="queue") and "queue"
    for first, second in pairwise(moves):
        yield first.startswith("in") and second.startswith("in") and hint("inside", second=second, first=first)
    yield "failed 2" in found.marks and entered == ["1", "2"] and "stuck"
    yield "failed 2" not in found.marks and "out 2" in found.marks and "swallowed"
    yield len(entered) < 6 and hint("no-wakeup", entered=entered)
    yield entered[1] == "6" and "overtaken"
    yield entered != ["1", "2", "3", "4", "6", "5"] and hint("order", entered=entered)
    got = [m for m in found.marks if m.startswith("got")]
    yield got[:1] != ["got 10"] and hint("result", got=got[:1])
