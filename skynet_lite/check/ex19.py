"""Exercises of notebook 19: one program, two dialects."""

from typing import Any

from .. import skynet
from ..node.recording import mark
from ..skynet import socket
from .engine import Hints, choice, exercise, hint, no_list, plain
from .programs import Run, a_function, run

OLD, NEW = ["a", "b", "timer", "c"], ["a", "b", "c", "timer"]
choice("19.1", [OLD, NEW], {
    (tuple(NEW), tuple(OLD)): "swapped", (tuple(NEW), tuple(NEW)): "error-first", (tuple(OLD), tuple(OLD)): "forked",
    (("a", "b", "timer"), tuple(NEW)): "lost",
})  # fmt: skip


@exercise("19.2")
def _as_before(answer: Any) -> Hints:
    given = plain(answer)
    words = {"error", "stale", "ret", "fork", "listen"}
    yield (not isinstance(given, list) or not words.issuperset(map(str, given))) and "form"
    yield {"error", "ret"} & set(given) and "two"
    yield "fork" in given and "three"
    yield "stale" not in given and "four"
    yield "listen" not in given and "six"


choice("19.3", [2, 1], {(1, 1): "error", (1, 2): "swapped", (2, 2): "forgets", (0, 0): "answered", (3, 2): "asker"})


@exercise("19.4")
def _repaired(program: Any) -> Hints:
    for version in ("1.1", "1.8"):
        found = run(program, lambda r: r.node.advance(1), dialect=version)
        yield found.raised("raises")
        yield not found.count("wakeup", queued=True) and "no-wakeup"
        yield found.marks != ["ann is in", "bob is in"] and hint("marks", version=version, marks=found.marks)
        yield found.count("wakeup_skip") and "stale"


@exercise("19.5")
def _porter(program: Any) -> Hints:
    def script(r: Run) -> None:
        sockets = r.node.tables()["sockets"]
        ids = [id for id, (state, _) in sockets.items() if state in ("plisten", "listen")]
        r.said += [r.node.socket_server.sockname(ids[0])[1] if ids else None, *r.ask(("port",), ("port",))]

    for version in ("1.1", "1.8"):
        found = run(program, script, dialect=version)
        yield found.raised() and hint("raises", version=version, error=found.errors[0])
        port, *answers = found.said
        yield port is None and "listens"
        yield answers != [port, port] and hint("answers", version=version, answers=answers, port=port)


@exercise("19.6")
def _moved(moved: Any) -> Hints:
    a_function(moved)

    def quiet() -> None:
        mark("one")
        skynet.timeout(1, lambda: mark("two"))

    def listens() -> None:
        skynet.timeout(0, lambda: mark("timer"))
        socket.listen("127.0.0.1:0")
        mark("listened")

    def later() -> None:
        skynet.timeout(3, lambda: skynet.fork(_error_and_wakeup))

    answers = [moved(program) for program in (quiet, listens, later)]
    yield (no_list(answers, 3, bool)) and hint("truth", answers=answers)
    yield answers[0] and "always"
    yield not answers[1] and "never"
    yield not answers[2] and "time"


def _error_and_wakeup() -> None:
    def first() -> None:
        skynet.wait()
        raise RuntimeError("boom")

    def second() -> None:
        skynet.wait()
        mark("second")

    a, b = skynet.fork(first), skynet.fork(second)
    skynet.timeout(1, lambda: (skynet.wakeup(a), skynet.wakeup(b)))
    skynet.timeout(3, lambda: mark("timer"))
