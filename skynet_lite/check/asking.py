"""Asking a reader's service from another one: calls that are made at once, and what became of each."""

from __future__ import annotations

from typing import Any

from .. import skynet
from ..core.errors import CallError
from .engine import Run

NOTHING = "no answer"
FAILED = "failed"


def ask(r: Run, *requests: tuple[Any, ...]) -> list[Any]:
    """A service that makes all these calls at once, and is driven until nothing can run.

    The answers stand in the list as soon as they are there; NOTHING before, FAILED for a call that failed.
    """
    answers: list[Any] = [NOTHING] * len(requests)

    def one(i: int) -> None:
        try:
            answers[i] = skynet.call(r.addr, "lua", *requests[i])
        except CallError:
            answers[i] = FAILED

    def asker() -> None:
        for i in range(len(requests)):
            skynet.fork(one, i)

    r.node.newservice(asker)
    r.node.run_until_idle()
    return answers


def said_twice(found: Run) -> bool:
    """Whether a request was answered a second time."""
    return any("a second time" in line or "has answered already" in line for line in found.node.log_lines)
