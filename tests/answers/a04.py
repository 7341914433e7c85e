"""Wrong answers to the exercises of notebook 04."""

from __future__ import annotations

from skynet_lite import mark, skynet


def side_by_side() -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: int) -> None:
        mark(f"in {n}")
        skynet.sleep(1)
        mark(f"out {n}")
        skynet.retpack(n)


def no_sleep() -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: int) -> None:
        mark(f"in {n}")
        mark(f"out {n}")
        skynet.retpack(n)


def no_handler() -> None:
    pass


def locks_out() -> None:
    busy = False

    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: int) -> None:
        nonlocal busy
        if busy:
            skynet.wait()
        busy = True
        mark(f"in {n}")
        skynet.sleep(1)
        mark(f"out {n}")
        skynet.retpack(n)


def forgets_answer() -> None:
    critical = skynet.queue()

    @skynet.dispatch("lua")
    def handle(session: int, source: int, n: int) -> None:
        def work() -> None:
            mark(f"in {n}")
            skynet.sleep(1)
            mark(f"out {n}")

        critical(work)
        skynet.retpack("done")


def _counter(before: bool, down: bool, late: bool) -> None:
    inside = 0

    @skynet.dispatch("lua")
    def handle(session: int, source: int) -> None:
        nonlocal inside
        inside += 1
        seen = inside
        skynet.sleep(1)
        skynet.retpack(seen if before else inside)
        if down:
            inside -= 1


def counts_arrivals() -> None:
    _counter(True, True, False)


def never_down() -> None:
    _counter(False, False, False)


def counts_alone() -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int) -> None:
        inside = 1
        skynet.sleep(1)
        skynet.retpack(inside)


def answers_at_once() -> None:
    inside = 0

    @skynet.dispatch("lua")
    def handle(session: int, source: int) -> None:
        nonlocal inside
        inside += 1
        skynet.retpack(inside)
        inside -= 1


WRONG = {
    "04.1": [(4, "still busy"), (5, "takes part"), (2, "What does quick get"), (1, "not in the pool"), ("3", "a number")],
    "04.2": [([True, 4], "is the pool empty"), ([False, 2], "How many were made"), ([False, 1], "How many"),
             (["no", 3], "True or False")],
    "04.3": [
        (["create", "create", "create", "neither", "find"], "timer sends"),
        (["find", "find", "create", "neither", "find"], "is a request"),
        (["create", "find", "find", "neither", "find"], "socket message"),
        (["create", "find", "create", "find", "find"], "BREAK"),
        (["create", "find", "create", "neither", "create"], "waits for it"),
        (["create"], "Five words"),
    ],
    "04.4": [(side_by_side, "in 2 comes before out 1"), (no_sleep, "skynet.sleep(1)"), (no_handler, "Nothing is marked"),
             (locks_out, "never get in"), (forgets_answer, "answered with n")],
    "04.5": [(counts_arrivals, "had come in"), (never_down, "count down"), (counts_alone, "before the sleep"),
             (answers_at_once, "before the sleep")],
}  # fmt: skip
