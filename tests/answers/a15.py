"""Wrong answers to the exercises of notebook 15 that a reader might well give, and a word of the hint."""

from __future__ import annotations

from typing import Any

from skynet_lite import skynet


def _silent() -> None:
    """Keeps the worker before it has answered."""

    def forever() -> None:
        while True:
            pass

    @skynet.dispatch("lua")
    def handle(session: int, source: int) -> None:
        forever()
        skynet.retpack("hello")


def _parked() -> None:
    """Waits, instead of working: no worker is held up by that."""

    def forever() -> None:
        skynet.wait()

    @skynet.dispatch("lua")
    def handle(session: int, source: int) -> None:
        skynet.retpack("hello")
        forever()


def _named() -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int) -> None:
        skynet.retpack("hello")
        while True:
            pass


def _at_start() -> None:
    while True:
        pass


def _sums(more: int = 0, late: bool = False) -> Any:
    """The sum in one piece; `late`: with a pause when it is all done."""

    def service() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, n: Any) -> None:
            if n == "ping":
                skynet.retpack("pong")
                return
            total = sum(k * k for k in range(n + more))
            if late:
                skynet.yield_()
            skynet.retpack(total)

    return service


def _crashes() -> None:
    skynet.dispatch("lua", lambda session, source, n: skynet.retpack(sum(k * k for k in range(n))))


WRONG = {
    "15.1": [([0, 1, 2, 3], "0, 1 and 2"), ([0, 1, 2, 0], "order of their birth"), ([3, 2, 3, 1], "counted from 0"),
             ([1, 1, 1, 1], "modulo")],
    "15.2": [(["yes", "yes", "no", "no", "no", "yes"], "1: a service"), (["no", "no", "no", "no", "no", "yes"], "2: what"),
             (["no", "yes", "yes", "no", "no", "yes"], "3: the worker"), (["no", "yes", "no", "yes", "no", "yes"], "4: both"),
             (["no", "yes", "no", "no", "yes", "yes"], "5: is 1"), (["no", "yes", "no", "no", "no", "no"], "6: who"), ("no", "six words")],
    "15.3": [("ABABABAAAAAA", "weight -1"), ("AAAAAAAABBAB", "weight 0"), ("AAAAABBAAAAB", "first 4 are right"), ("AAAA", "nine A")],
    "15.4": [(_silent, "no answer"), (_parked, "free again"), (_named, "forever is wanted"), (_at_start, "start function")],
    "15.5": [(_sums(), "answered after the sum"), (_sums(late=True), "pieces are too long"), (_sums(more=1), "are wanted"),
             (_crashes, "coroutine ends")],
    "15.6": [([2, 2], "both read"), ([2, 1], "other way round"), ([1, 1], "one mailbox"), (7, "Two numbers")],
}  # fmt: skip
