"""Exercises of notebook 03: socket messages."""

from typing import Any

from .engine import Hints, among, choice, exercise, hint, plain
from .programs import Run, run


@exercise("03.1")
def _types(answer: Any) -> Hints:
    ptype, kind = plain(answer)
    yield (ptype, kind) == (1, 6) and "swapped"
    yield among(ptype, 6, {1: "response"}, "first")
    yield among(kind, 1, {2: "connect"}, "second")


@exercise("03.2")
def _touches(answer: Any) -> Hints:
    pool, state = plain(answer)
    yield among(pool, "connecting", {"connected": "connected"}, "first")
    yield among(state, "listen", {"plisten": "plisten"}, "second")


@exercise("03.3")
def _owner(answer: Any) -> Hints:
    connect, data = plain(answer)
    yield among((connect, data), ("b", "b"), {("a", "a"): "accept", ("b", "a"): "one-word", ("a", "b"): "answer"})


choice("03.4", "it waits for ever", {"it is refused": "refused", "it is accepted, and then closed": "closed"})


@exercise("03.5")
def _reception(program: Any) -> Hints:
    def visit(r: Run) -> None:
        if r.port() is None:
            return
        r.said += [r.heard(r.client()) for _ in range(2)]
        r.said.append([owner for state, owner in r.node.tables()["sockets"].values() if state == "connected"])

    found = run(program, visit)
    yield found.raised()
    yield not found.said and "no-port"
    *said, owners = found.said
    yield not any(said) and "silence"
    yield said != [b"hello from a worker\n"] * 2 and hint("hears", said=said)
    yield f":{found.addr:08x}" in owners and "owner"
    yield len(set(owners)) < 2 and "same-worker"
