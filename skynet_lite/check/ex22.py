"""Exercises of notebook 22: frames, calls and their ends, between two nodes in this process."""

from collections.abc import Callable
from functools import partial
from typing import Any

from .. import cluster, skynet
from ..course.nodes import NOTHING, Nodes, frames
from .engine import Hints, choice, exercise, hint, plain
from .programs import a_function

choice("22.1", [2, 4, 1, 3], {
    (1, 2, 3, 4): "fork", (1, 3, 2, 4): "overtake", (2, 1, 4, 3): "whole", (2, 4, 3, 1): "first", (4, 2, 3, 1): "first",
})  # fmt: skip


@exercise("22.2")
def _decode(answer: Any) -> Hints:
    yield (not isinstance(answer, list | tuple) or len(answer) != 4) and "form"
    address, session, name, amount = plain(answer)
    yield address in (0x0D000000, 0x2A000000, 16, 0) and "order"
    yield address not in (13, ":0000000d") and "address"
    yield session == 0x2A000000 and "order"
    yield session != 42 and "session"
    yield name != "ann" and "name"
    yield amount == 0xE803 and "order"
    yield amount != 1000 and "amount"


def _bank(heard: list[tuple[int, Any]]) -> Callable[[], None]:
    """A service that answers twice what it is told, after so many ticks if that is asked for."""

    def bank() -> None:
        cluster.register("bank")
        skynet.dispatch("lua", handle)

    def handle(session: int, source: int, cmd: str, amount: int) -> None:
        heard.append((session, amount))
        if cmd == "after":
            skynet.sleep(amount)
        if session:
            skynet.retpack(amount * 2)

    return bank


def _errors(two: Nodes, name: str) -> list[str]:
    return [str(e["error"]).strip().splitlines()[-1] for e in two.traces[name] if e["e"] == "co_error"]


@exercise("22.3")
def _both(both: Any) -> Hints:
    a_function(both)
    with Nodes("front", "game") as two:
        two.start("game", _bank([]))

        def after(ticks: int) -> Any:
            return partial(cluster.call, "game", "@bank", "after", ticks)

        for first, second in (30, 10), (10, 30):
            before = _requests(two)
            answers = two.ask("front", partial(both, after(first), after(second)))
            two.advance(5)
            yield (errors := _errors(two, "front")) and hint("ends", error=errors[0])
            asked = _requests(two) - before
            yield asked == 0 and "none"
            yield (answers[0] != NOTHING and asked == 2) and "early"
            yield asked == 1 and "turn"
            two.advance(40)
            found = answers[0]
            yield found == NOTHING and "never"
            yield (isinstance(found, str) and "Error" in found) and hint("ends", error=found)
            yield (not isinstance(found, list | tuple)) and hint("pair", found=found)
            yield (list(found) == [second * 2, first * 2]) and "order"
            yield (list(found) != [first * 2, second * 2]) and hint("pair", found=found)


def _requests(two: Nodes) -> int:
    """How many have come."""
    try:
        return sum(not frame.answer for frame in frames(two.trace()))
    except ValueError:  # they share no connection yet
        return 0


@exercise("22.4")
def _silent(program: Any) -> Hints:
    a_function(program)
    with Nodes("front", "game") as two:
        two.start("game", program)
        answers = two.ask("front", lambda: cluster.call("game", "@silent", 1))
        two.advance(200)
        yield (errors := _errors(two, "game")) and hint("raises", error=errors[0])
        yield (isinstance(answers[0], str) and "Invalid name" in answers[0]) and "unknown"
        yield (isinstance(answers[0], str) and answers[0] != NOTHING) and hint("error", error=answers[0])
        yield answers[0] != NOTHING and hint("answered", answer=answers[0])
        complaints = [line for line in two.log("game") if "forgot" in line or "error" in line.lower()]
        yield complaints and hint("logged", line=complaints[0])
        alive = two.ask("front", lambda: cluster.query("game", "silent"))
        yield type(alive[0]) is not int and "gone"


@exercise("22.5")
def _stand_in(program: Any) -> Hints:
    a_function(program)
    heard: list[tuple[int, Any]] = []
    with Nodes("front", "game") as two:
        two.start("game", _bank(heard))
        addr = two.start("front", program)
        yield (errors := _errors(two, "front")) and hint("ends", error=errors[0])
        doubled = two.ask("front", lambda: skynet.call(addr, "lua", "double", 21))[0]
        yield (errors := _errors(two, "front")) and hint("ends", error=errors[0])
        yield not heard and "here"
        yield doubled == NOTHING and "silent"
        yield doubled != 42 and hint("value", answer=doubled)
        heard.clear()
        two.ask("front", lambda: skynet.send(addr, "lua", "note", 5))
        yield (errors := _errors(two, "front")) and hint("ends", error=errors[0])
        yield not heard and "lost"
        yield (heard[0][0] != 0) and "push"
        two["game"].close()
        two.run()
        after = two.ask("front", lambda: skynet.call(addr, "lua", "double", 21))[0]
        yield after == NOTHING and "silent-after"
        yield after is not None and hint("fails", answer=after)


@exercise("22.6")
def _who(who: Any) -> Hints:
    a_function(who)
    with Nodes("front", "game") as two:
        addr = two.start("game", _bank([]))

        def lobby() -> None:
            skynet.fork(cluster.call, "game", "@bank", "after", 50)

        def shop() -> None:
            skynet.fork(cluster.call, "game", "@bank", "double", 7)

        def janitor() -> None:
            skynet.send(addr, "lua", "note", 1)

        two.start("front", lobby)
        two.start("front", shop)
        two.start("game", janitor)
        trace = two.trace()
    for name, amount in (("lobby", 50), ("shop", 7), (None, 1)):
        i = next(n for n, e in enumerate(trace) if e["e"] == "message" and e.get("body", [None])[-1] == amount
                 and trace.names()[e["service"]] == "bank")  # fmt: skip
        found = who(trace, i)
        yield found == "clustersender" and "sender"
        yield (name is not None and found in ("clusteragent", "gate", "clusterd")) and "here"
        yield (name is None and found is not None) and hint("local", found=found)
        yield found != name and hint("other", found=found, name=name)
