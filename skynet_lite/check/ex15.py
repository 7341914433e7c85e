"""Exercises of notebook 15: many workers, and the monitor."""

import threading
import time
from typing import Any

from ..core.errors import CallError, DriveTimeout
from ..node.node import Node
from .engine import Hints, choice, exercise, first_wrong, hint, no_list, plain
from .programs import Run, a_function, run

PATIENCE = 2.0
"""Seconds of real time in which a program must do what a moment is enough for."""


choice("15.1", [2, 1, 2, 0], {
    (0, 1, 2, 3): "three", (0, 1, 2, 0): "birth", (2, 2, 0, 1): "hexadecimal", (3, 2, 3, 1): "from-zero",
})  # fmt: skip


@exercise("15.2")
def _may_it_be(answer: Any) -> Hints:
    given = plain(answer)
    yield (no_list(given, 6) or not set(given) <= {"yes", "no"}) and "form"
    yield first_wrong(given, ["no", "yes", "no", "no", "no", "yes"])


@exercise("15.3")
def _turn(answer: Any) -> Hints:
    letters = (
        answer if isinstance(answer, str) else "".join(map(str, answer)) if isinstance(answer, list | tuple) else ""
    )
    given = "".join(plain(letters).split())
    yield sorted(given) != ["a"] * 8 + ["b"] * 4 and "form"
    right = _order(8, 4, 1)
    yield given == _order(8, 4, -1) and "minus-one"
    yield given == _order(8, 4, 0) and "zero"
    yield given.startswith("aaaab") and "half"
    k = next((k for k, (a, b) in enumerate(zip(given, right, strict=True)) if a != b), None)
    yield k is not None and hint("otherwise", k=k)


def _order(a: int, b: int, weight: int) -> str:
    """skynet_context_message_dispatch on two mailboxes."""
    left, queue, taken = {"a": a, "b": b}, ["a", "b"], ""
    while queue:
        name = queue.pop(0)
        turn = 1 if weight < 0 else max(1, (left[name] - 1) >> weight)
        taken += name * turn
        left[name] -= turn
        queue += [name] if left[name] else []
    return taken


@exercise("15.4")
def _hog(program: Any) -> Hints:
    a_function(program)
    node = Node(thread=2, clock="virtual", log=list)
    node.patience = 0.2
    try:
        yield from _watch(node, program)
    finally:
        node.close()


def _watch(node: Node, program: Any) -> Hints:
    address = node.newservice(program, wait=False)
    worker = node.worker(address)
    end = time.monotonic() + PATIENCE
    s = node.service(address)
    while s.start_state in ("loading", "starting"):
        time.sleep(0.002)
        yield time.monotonic() > end and "no-start"
    try:
        answer = node.call(address, "lua", timeout=PATIENCE)
    except (DriveTimeout, CallError) as e:
        yield "fails" if isinstance(e, CallError) else "no-answer"
    yield answer != "hello" and hint("another", answer=answer)
    assert node.monitor is not None
    end = time.monotonic() + 0.5
    while worker.monitor.destination == address and time.monotonic() < end:
        time.sleep(0.01)
    node.monitor.check()
    time.sleep(0.05)  # else a worker that goes on from message to message could be caught in one of them twice
    found = [report for report in node.monitor.check() if report.service == address]
    yield not found and "came-back"
    place, function = found[0].place, found[0].function
    yield function != "forever" and hint("place", place=place, function=function)


N = 5000
SQUARES = sum(k * k for k in range(N))
PIECES = 5


@exercise("15.5")
def _pieces(program: Any) -> Hints:
    before = threading.active_count()
    answers: list[Any] = []
    found = run(program, lambda r: answers.extend(r.ask((N,), ("ping",)) + r.ask((10,))))
    total, pong, small = answers
    yield found.raised()
    yield threading.active_count() > before and "thread"
    yield (total, small) != (SQUARES, 285) and hint("sums", n=N, total=total, small=small, squares=SQUARES)
    yield pong != "pong" and hint("pong", pong=pong)
    sum_at, ping_at, lets_go = _times(found)
    yield sum_at < ping_at and "ping-late"
    yield lets_go < PIECES - 1 and hint("long", n=PIECES - 1, lets_go=lets_go)


def _times(found: Run) -> tuple[int, int, int]:
    """When the sum and ping were answered; how often the service went on with the sum by another message before."""
    me = f":{found.addr:08x}"
    taken = [(i, e) for i, e in enumerate(found.trace) if e["e"] == "message" and e["service"] == me]
    asked = [(i, e) for i, e in taken if e["ptype"] == "lua" and e["session"] and e["source"] != me]
    sum_at, ping_at = (
        next(i for i, e in enumerate(found.trace) if e["e"] == "send" and (e["to"], e["session"]) == whom)
        for whom in [(e["source"], e["session"]) for _, e in asked[:2]]
    )
    began = asked[0][0]
    # Answers and what it sends to itself: a request to itself is answered, and counted then.
    lets_go = sum(began < i < sum_at and not (e["ptype"] == "lua" and e["session"]) for i, e in taken)
    return sum_at, ping_at, lets_go


choice("15.6", [1, 2], {(2, 2): "both-read", (2, 1): "swapped", (1, 1): "one-mailbox", (0, 2): "both-write"})
