"""Wrong answers to the exercises of notebook 22 that a reader might well give, and a word of the hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skynet_lite import CallError, cluster, skynet

Call = Callable[[], Any]


# ---- 22.3: two calls that meet


def one_by_one(first: Call, second: Call) -> Any:
    return first(), second()


def only_begun(first: Call, second: Call) -> Any:
    skynet.fork(first)
    skynet.fork(second)


def asks_nobody(first: Call, second: Call) -> Any:
    return 1, 2


def as_they_come(first: Call, second: Call) -> Any:
    results: list[Any] = []
    token = object()

    def run(f: Call) -> None:
        results.append(f())
        if len(results) == 2:
            skynet.wakeup(token)

    skynet.fork(run, first)
    skynet.fork(run, second)
    skynet.wait(token)
    return results


def never_woken(first: Call, second: Call) -> Any:
    skynet.fork(second)
    skynet.fork(first)
    skynet.wait()


def one_of_two(first: Call, second: Call) -> Any:
    skynet.fork(second)
    return first()


def raises(first: Call, second: Call) -> Any:
    raise KeyError("no")


def both_forked(first: Call, second: Call) -> Any:
    results: dict[int, Any] = {}
    token = object()

    def run(n: int, f: Call) -> None:
        results[n] = f()
        if len(results) == 2:
            skynet.wakeup(token)

    skynet.fork(run, 2, second)
    skynet.fork(run, 1, first)
    skynet.wait(token)
    return [results[1], results[2]]


# ---- 22.4: nobody notices


def unknown() -> None:
    skynet.dispatch("lua", lambda session, source, *values: skynet.wait())


def answers() -> None:
    cluster.register("silent")
    skynet.dispatch("lua", lambda session, source, *values: skynet.retpack())


def fails() -> None:
    def handle(session: int, source: int, *values: Any) -> None:
        raise ValueError("no")

    cluster.register("silent")
    skynet.dispatch("lua", handle)


def forgets() -> None:
    cluster.register("silent")
    skynet.dispatch("lua", lambda session, source, *values: None)


def leaves() -> None:
    cluster.register("silent")
    skynet.dispatch("lua", lambda session, source, *values: skynet.exit())


def dreams() -> None:
    """A sleep that outlasts everybody."""
    cluster.register("silent")
    skynet.dispatch("lua", lambda session, source, *values: skynet.sleep(10**8))


# ---- 22.5: proxies


def _proxy(
    hand_on: Callable[..., Any], push: Callable[..., Any] | None = None, answer: Callable[..., Any] = skynet.retpack
) -> None:
    def handle(session: int, source: int, *values: Any) -> None:
        if session == 0 and push is not None:
            push("game", "@bank", *values)
        else:
            answer(hand_on("game", "@bank", *values))

    skynet.dispatch("lua", handle)


def passes_failures() -> None:
    def handle(session: int, source: int, *values: Any) -> None:
        if session == 0:
            cluster.send("game", "@bank", *values)
            return
        try:
            skynet.retpack(cluster.call("game", "@bank", *values))
        except CallError:
            skynet.retpack("gone")

    skynet.dispatch("lua", handle)


def always_calls() -> None:
    def handle(session: int, source: int, *values: Any) -> None:
        answer = cluster.call("game", "@bank", *values) if session else None
        if session:
            skynet.retpack(answer)
        else:
            skynet.fork(cluster.call, "game", "@bank", "double", values[-1])

    skynet.dispatch("lua", handle)


def drops_pushes() -> None:
    _proxy(cluster.call, push=lambda *values: None)


def keeps_the_answer() -> None:
    _proxy(cluster.call, push=cluster.send, answer=lambda answer: skynet.wait())


def answers_itself() -> None:
    _proxy(lambda node, address, cmd, amount: amount * 2)


def adds_one() -> None:
    _proxy(lambda *values: cluster.call(*values) + 1, push=cluster.send)


def the_ready_one() -> None:
    """What cluster.proxy does, called for each message."""
    proxy = cluster.proxy("game", "@bank")

    def handle(session: int, source: int, *values: Any) -> None:
        if session == 0:
            skynet.send(proxy, "lua", *values)
            return
        try:
            answer = skynet.call(proxy, "lua", *values)
        except CallError:
            answer = None
        skynet.retpack(answer)

    skynet.dispatch("lua", handle)


# ---- 22.6: from over there


def _elsewhere(trace: Any, i: int) -> list[str]:
    here = trace[i]["service"].partition(":")[0]
    services = [trace[n].get("service", "") for n in trace.causes(i)]
    return [trace.names()[s] for s in services if s and not s.startswith(f"{here}:")]


def the_sender(trace: Any, i: int) -> Any:
    return next(iter(_elsewhere(trace, i)), None)


def its_source(trace: Any, i: int) -> Any:
    return trace.names().get(trace[i]["source"])


def never_here(trace: Any, i: int) -> Any:
    return "shop"


WRONG = {
    "22.1": [([1, 2, 3, 4], "before or after"), ([1, 3, 2, 4], "overtake"), ([2, 1, 4, 3], "yield between"),
             ([2, 4, 3, 1], "first in"), (24, "four numbers")],
    "22.2": [([0x0D000000, 42, "ann", 1000], "lowest byte"), ([13, 0x2A000000, "ann", 1000], "lowest byte"),
             ([13, 42, "ann", 59395], "lowest byte"), ([13, 0, "ann", 1000], "2a 00"), ([8, 42, "ann", 1000], "third byte"),
             ([13, 42, "1cann", 1000], "three bytes"), ([13, 42, "ann", 12], "12 e8 03"), (13, "a list of four")],
    "22.3": [(one_by_one, "after the first answer"), (only_begun, "before the answers"), (asks_nobody, "No request"),
             (as_they_come, "order of the arguments"), (never_woken, "skynet.wakeup"), (one_of_two, "a pair"),
             (raises, "It fails"), (3, "another form")],
    "22.4": [(unknown, "cluster.register"), (answers, "never"), (fails, "It raises"), (forgets, "must not end"),
             (leaves, "a failure"), (4, "another form")],
    "22.5": [(passes_failures, "None is wanted"), (always_calls, "cluster.send"), (drops_pushes, "does not reach"),
             (keeps_the_answer, "no answer"), (answers_itself, "does not reach"), (adds_one, "43"), (5, "another form")],
    "22.6": [(the_sender, "one step further"), (its_source, "same node"), (never_here, "'lobby'"),
             (6, "another form")],
}  # fmt: skip

RIGHT = {
    "22.1": [(2, 4, 1, 3)],
    "22.2": [[":0000000d", 42, "ann", 1000]],
    "22.3": [both_forked],
    "22.4": [dreams],
    "22.5": [the_ready_one],
}
