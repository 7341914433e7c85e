"""Wrong answers to the exercises of notebook 19 that a reader might well give, and a word of the hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skynet_lite import Node, mark, skynet, socket

OLD, NEW = ["a", "b", "timer", "c"], ["a", "b", "c", "timer"]


# ---- 19.4: doors


def _door(knock: Callable[[dict[str, Any], str], None], names: tuple[str, ...] = ("ann", "ann", "bob")) -> None:
    door: dict[str, Any] = {}

    def guest(name: str) -> None:
        door[name] = skynet.running()
        skynet.wait()
        mark(f"{name} is in")

    for name in ("ann", "bob"):
        skynet.fork(guest, name)
    skynet.timeout(1, lambda: [knock(door, name) for name in names])


def as_it_was() -> None:
    _door(lambda door, name: skynet.wakeup(door[name]))


def forgets_and_stumbles() -> None:
    _door(lambda door, name: skynet.wakeup(door.pop(name)))


def wakes_nobody() -> None:
    _door(lambda door, name: None)


def a_wakeup_in_a_fork() -> None:
    _door(lambda door, name: skynet.fork(skynet.wakeup, door[name]))


def bob_first() -> None:
    _door(lambda door, name: skynet.wakeup(door[name]), ("bob", "ann", "ann"))


def twice_at_the_end() -> None:
    _door(lambda door, name: skynet.wakeup(door[name]), ("ann", "bob", "ann"))


def a_set() -> None:
    woken = set()

    def knock(door: dict[str, Any], name: str) -> None:
        if name not in woken:
            woken.add(name)
            skynet.wakeup(door[name])

    _door(knock)


# ---- 19.5: porters


def _porter(port: Callable[[Any], int]) -> None:
    found = socket.listen("127.0.0.1", 0)
    skynet.dispatch("lua", lambda session, source, *args: skynet.retpack(port(found)))


def for_the_old_one() -> None:
    _porter(lambda found: socket.sockname(found)[1])


def for_the_new_one() -> None:
    _id, _host, port = socket.listen("127.0.0.1", 0)
    skynet.dispatch("lua", lambda session, source, *args: skynet.retpack(port))


def the_id_itself() -> None:
    _porter(lambda found: found if isinstance(found, int) else found[0])


def listens_not() -> None:
    skynet.dispatch("lua", lambda session, source, *args: skynet.retpack(0))


def asks_the_type() -> None:
    _porter(lambda found: socket.sockname(found)[1] if isinstance(found, int) else found[2])


# ---- 19.6: tests


def _moved(ticks: int, versions: tuple[str, str], what: Callable[[Any], Any]) -> Callable[[Any], bool]:
    def moved(program: Any) -> bool:
        found = []
        for version in versions:
            with Node(clock="virtual", log=list, skynet=version) as node, node.record() as trace:
                node.newservice(program)
                node.advance(ticks)
            found.append(what(trace))
        return bool(found[0] != found[1])

    return moved


def texts(trace: Any) -> list[str]:
    return [e["text"] for e in trace if e["e"] == "mark"]


WRONG = {
    "19.1": [([NEW, OLD], "not in their places"), ([NEW, NEW], "Under 1.1 nothing looks"), ([OLD, OLD], "long before tick 5"),
             ([["a", "b", "timer"], NEW], "not lost"), (OLD, "two lists of marks")],
    "19.2": [(["stale", "listen", "error"], "older than 1.3.0"), (["stale", "fork", "listen"], "1.3.0 itself"),
             (["listen"], "wakeup_queue"), (["stale"], "about sockets"), ("stale", "some of the words")],
    "19.3": [([1, 1], "not forgotten"), ([1, 2], "other way round"), ([2, 2], "To whom"), ([0, 0], "is a message"),
             ([3, 2], "Log lines"), (3, "two numbers")],
    "19.4": [(as_it_was, "Under 1.1 the marks"), (forgets_and_stumbles, "must do no harm"), (wakes_nobody, "Nobody is woken"),
             (bob_first, "in this order"), (twice_at_the_end, "still stale"), ("ann", "another form")],
    "19.5": [(for_the_old_one, "Under 1.8 a coroutine ends"), (for_the_new_one, "Under 1.1 a coroutine ends"),
             (the_id_itself, "the port is"), (listens_not, "listens"), (8000, "another form")],
    "19.6": [(_moved(10, ("1.1", "1.8"), lambda trace: [e["e"] for e in trace]), "Compare the marks"),
             (_moved(10, ("1.1", "1.1"), texts), "Does it run"), (_moved(1, ("1.1", "1.8"), texts), "enough time"),
             (lambda program: None, "True or False"), (True, "another form")],
}  # fmt: skip

RIGHT = {
    "19.2": [["listen", "stale"], ("stale", "listen")],
    "19.4": [a_set, a_wakeup_in_a_fork],
    "19.5": [asks_the_type],
    "19.6": [_moved(20, ("1.8", "1.1"), texts)],
}
