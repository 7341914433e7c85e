"""Exercises of notebook 09: call, ret, response."""

from itertools import chain
from typing import Any

from .. import skynet
from .engine import Hints, choice, exercise, hint, plain
from .programs import FAILED, NOTHING, Run, a_function, run


@exercise("09.1")
def _middle(answer: Any) -> Hints:
    by_id, watching, debt, sleep, later = plain(answer)
    yield (by_id, watching) == (7, 7) and "own-question"
    yield by_id != 3 and "by-id"
    yield watching != 3 and "watching"
    yield debt != 7 and "debt"
    yield sleep != 0 and "sleep"
    yield later != 0 and "unresponse"


choice("09.2", ["ask", "begin", "answered", "got x", "begin", "answered"], {
    ("ask", "begin", "got x", "answered", "begin", "answered"): "goes-on",
    ("ask", "begin", "answered", "got x"): "second",
    ("ask", "begin", "answered", "end", "got x", "begin", "answered", "end"): "no-time",
    ("ask", "begin", "answered", "got x", "begin", "answered", "end", "end"): "no-time",
    ("ask", "begin", "answered", "got x", "begin"): "sent",
})  # fmt: skip


@exercise("09.3")
def _repaired(program: Any) -> Hints:
    requests = [("get", "x"), ("set", "x", 1), ("set", "x", 2), ("get", "x"), ("pop", "x"), ("pop", "x"), ("jump", "x"),
                ("get", "x")]  # fmt: skip
    expected = [None, None, 1, 2, 2, None, FAILED, None]
    found = run(program, lambda r: r.said.append(r.ask(*requests)))
    answers = found.said[0]
    yield found.said_twice() and "twice"
    for request, wanted, got in zip(requests, expected, answers, strict=True):
        if got == wanted and type(got) is type(wanted):
            continue
        call = " ".join(map(str, request))
        if request[0] == "jump":
            yield "jump-waits" if got == NOTHING else hint("jump", got=got)
        yield got == NOTHING and hint("no-answer", call=call)
        yield hint("otherwise", requests=requests, answers=answers, call=call, wanted=wanted)


def _backend(tries: dict[int, int]) -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: int) -> None:
        tries[n] = tries.get(n, 0) + 1
        if n == 8:
            skynet.sleep(5)
        if n == 9 or (n == 1 and tries[n] == 1):
            raise ValueError("not this time")
        skynet.retpack(n * 10)


@exercise("09.4")
def _careful(program: Any) -> Hints:
    a_function(program)
    tries: dict[int, int] = {}

    def script(r: Run) -> None:
        r.said += [r.ask((2,)), r.ask((1,)), r.ask((9,))]
        answers = r.ask((8,), (3,))
        r.said.append(list(answers))
        r.node.advance(10)
        r.said.append(answers)

    found = run(lambda: program(skynet.newservice(lambda: _backend(tries))), script)
    yield found.said_twice() and "twice"
    plainly, once, never, early, late = found.said
    yield plainly != [20] and hint("plainly", got=plainly[0])
    yield once != [10] and hint("once", got=once[0])
    yield never != ["sorry"] and hint("never", got=never[0])
    yield (tries[9] != 2 or tries[2] != 1) and hint("tries", nine=tries[9], two=tries[2])
    yield early != [NOTHING, 30] and hint("slow", got=early)
    yield late != [80, 30] and hint("late", got=late)


@exercise("09.5")
def _trio(program: Any) -> Hints:
    waits: list[int] = []

    def one_by_one(r: Run) -> list[list[Any]]:
        answers = []
        for _ in range(3):
            answers.append(r.ask(()))
            waits.append(len(r.node.service(r.addr).session_id_coroutine))
        return answers

    def script(r: Run) -> None:
        def mayfly() -> None:
            skynet.fork(lambda: skynet.call(r.addr, "lua"))
            skynet.timeout(1, skynet.exit)

        two = [r.ask(()), r.ask(())]
        r.said.append([list(a) for a in two])
        waits.append(len(r.node.service(r.addr).session_id_coroutine))
        two.append(r.ask(()))
        r.said += [two, one_by_one(r)]
        first = r.ask(())
        r.node.newservice(mayfly)
        r.node.advance(2)
        second = r.ask(())
        r.said.append([list(first), list(second)])
        third = r.ask(())
        r.said.append([first, second, third])

    found = run(program, script)
    yield found.raised()
    yield found.said_twice() and "twice"
    early, three, again, dead, living = found.said
    yield early != [[NOTHING], [NOTHING]] and hint("early", got=list(chain(*early)))
    yield three != [[1], [2], [3]] and hint("three", got=list(chain(*three)))
    yield any(waits) and "parked"
    yield again != [[1], [2], [3]] and hint("again", got=list(chain(*again)))
    yield dead != [[NOTHING], [NOTHING]] and hint("dead", got=list(chain(*dead)))
    yield living != [[1], [2], [3]] and hint("living", got=list(chain(*living)))
