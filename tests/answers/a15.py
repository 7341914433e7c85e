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


def _yields() -> None:
    """Never done, but the worker takes other messages in between."""

    def forever() -> None:
        while True:
            skynet.yield_()

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


def _sums(more: int = 0, late: bool = False, queue: bool = False) -> Any:
    """The sum in one piece; `late`: with a pause when it is all done; `queue`: with pauses, and ping is kept out."""

    def service() -> None:
        section = skynet.queue()

        def answer(n: Any) -> None:
            if n == "ping":
                skynet.retpack("pong")
                return
            if queue:
                for _ in range(9):
                    skynet.yield_()
            total = sum(k * k for k in range(n + more))
            if late:
                skynet.yield_()
            skynet.retpack(total)

        @skynet.dispatch("lua")
        def handle(session: int, source: int, n: Any) -> None:
            if queue:
                section(answer, n)
            else:
                answer(n)

    return service


def _elsewhere(size: int) -> Any:
    """Another service does the sum, in pieces of `size`."""

    def part() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, first: int, last: int) -> None:
            skynet.retpack(sum(k * k for k in range(first, last)))

    def service() -> None:
        helper = skynet.newservice(part)

        @skynet.dispatch("lua")
        def handle(session: int, source: int, n: Any) -> None:
            if n == "ping":
                skynet.retpack("pong")
                return
            skynet.retpack(sum(skynet.call(helper, "lua", k, min(k + size, n)) for k in range(0, n, size)))

    return service


def _by_timer() -> None:
    """The rest by a timer of no time; the answer by a response that was kept."""

    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: Any) -> None:
        if n == "ping":
            skynet.retpack("pong")
            return
        answer = skynet.response()

        def piece(first: int, total: int) -> None:
            last = min(first + 1000, n)
            total += sum(k * k for k in range(first, last))
            if last < n:
                skynet.timeout(0, lambda: piece(last, total))
            else:
                answer(True, total)

        piece(0, 0)


def _asks_itself() -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: Any, *part: int) -> None:
        if n == "ping":
            skynet.retpack("pong")
        elif n == "part":
            skynet.retpack(sum(k * k for k in range(*part)))
        else:
            me = skynet.self()
            skynet.retpack(sum(skynet.call(me, "lua", "part", k, min(k + 500, n)) for k in range(0, n, 500)))


def _forks() -> None:
    """The loop in a fork: it runs in the turn of the message that made it."""

    def forever() -> None:
        while True:
            pass

    @skynet.dispatch("lua")
    def handle(session: int, source: int) -> None:
        skynet.fork(forever)
        skynet.retpack("hello")


def _crashes() -> None:
    skynet.dispatch("lua", lambda session, source, n: skynet.retpack(sum(k * k for k in range(n))))


WRONG = {
    "15.1": [([0, 1, 2, 3], "0, 1 and 2"), ([0, 1, 2, 0], "order of birth"), ([3, 2, 3, 1], "counted from 0"),
             ([1, 1, 1, 1], "modulo")],
    "15.2": [(["yes", "yes", "no", "no", "no", "yes"], "1: a service"), (["no", "no", "no", "no", "no", "yes"], "2: what"),
             (["no", "yes", "yes", "no", "no", "yes"], "3: the worker"), (["no", "yes", "no", "yes", "no", "yes"], "4: both"),
             (["no", "yes", "no", "no", "yes", "yes"], "5: is 1"), (["no", "yes", "no", "no", "no", "no"], "6: does"), ("no", "six words")],
    "15.3": [("ABABABABAAAA", "weight -1"), ("AAAAAAABBBAB", "weight 0"), ("AAAABBAABABA", "not half of eight"),
             ("AAABBAAABABA", "first 4 are right"), ("AAAA", "eight A")],
    "15.4": [(_silent, "no answer"), (_parked, "has come back"), (_yields, "has come back"), (_named, "should be in forever"),
             (_at_start, "start function")],
    "15.5": [(_sums(), "answered after the sum"), (_sums(late=True), "pieces are too long"), (_sums(more=1), "they should be"),
             (_crashes, "coroutine ends"), (_sums(queue=True), "answered after the sum"), (_elsewhere(5000), "was free 1")],
    "15.6": [([2, 2], "both read"), ([2, 1], "other way round"), ([1, 1], "one mailbox"), (7, "Two numbers")],
}  # fmt: skip

RIGHT = {
    "15.1": [(2, 1, 2, 0)],
    "15.3": ["aaab aab ab ab a", list("AAABAABABABA")],
    "15.4": [_forks],
    "15.5": [_by_timer, _asks_itself, _elsewhere(1000)],
}
"""Right answers of another shape than that of the solution."""
