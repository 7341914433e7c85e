"""Wrong answers to the exercises of notebook 11 that a reader might well give, and a word of the hint."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from skynet_lite import mark, skynet, socket

# ---- 11.3


def still_careful(ledger: int) -> None:
    section = skynet.queue()

    @skynet.dispatch("lua")
    def handle(session: int, source: int, command: str, *args: Any) -> None:
        with section:
            skynet.retpack(100 if command == "limit" else skynet.call(ledger, "lua", *args))


def no_section(ledger: int) -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, command: str, *args: Any) -> None:
        skynet.retpack(100 if command == "limit" else skynet.call(ledger, "lua", *args))


def section_too_short(ledger: int) -> None:
    section = skynet.queue()

    @skynet.dispatch("lua")
    def handle(session: int, source: int, command: str, *args: Any) -> None:
        if command == "limit":
            skynet.retpack(100)
            return
        with section:
            pass
        skynet.retpack(skynet.call(ledger, "lua", *args))


def sends(ledger: int) -> None:
    section = skynet.queue()

    @skynet.dispatch("lua")
    def handle(session: int, source: int, command: str, *args: Any) -> None:
        if command == "limit":
            skynet.retpack(100)
        else:
            with section:
                skynet.send(ledger, "lua", *args)


def no_argument() -> None:
    pass


# ---- 11.4


def _store(answer: Callable[[dict[str, Any], str, str, tuple[Any, ...]], None]) -> Callable[[], None]:
    def store() -> None:
        data: dict[str, Any] = {}
        skynet.dispatch("lua", lambda session, source, command, key, *value: answer(data, command, key, value))

    return store


def _set_forgets(data: dict[str, Any], command: str, key: str, value: tuple[Any, ...]) -> None:
    if command == "set":
        data[key] = value[0]
    else:
        skynet.retpack(data.get(key))


def _missing_forgets(data: dict[str, Any], command: str, key: str, value: tuple[Any, ...]) -> None:
    before = data.get(key)
    if command == "set":
        data[key] = value[0]
        skynet.retpack(before)
    elif before is not None:
        skynet.retpack(before)


def _raises(data: dict[str, Any], command: str, key: str, value: tuple[Any, ...]) -> None:
    before = data.get(key) if command == "set" else data[key]
    if command == "set":
        data[key] = value[0]
    skynet.retpack(before)


def _new_value(data: dict[str, Any], command: str, key: str, value: tuple[Any, ...]) -> None:
    if command == "set":
        data[key] = value[0]
    skynet.retpack(data.get(key))


def _twice(data: dict[str, Any], command: str, key: str, value: tuple[Any, ...]) -> None:
    before = data.get(key)
    skynet.retpack(before)
    if command == "set":
        data[key] = value[0]
        skynet.retpack(before)


# ---- 11.5


def _boss(wait: Callable[[list[int]], Any], before: Callable[[], Any], wakes: bool = True) -> Callable[..., None]:
    def program(*jobs: int) -> None:
        def boss() -> None:
            me, left = skynet.running(), list(jobs)

            def work(ticks: int) -> None:
                skynet.sleep(ticks)
                left.remove(ticks)
                if not left and wakes:
                    skynet.wakeup(me)

            for ticks in jobs:
                skynet.fork(work, ticks)
            before()
            wait(left)
            mark("all done")

        skynet.fork(boss)

    return program


def _if(left: list[int]) -> None:
    if left:
        skynet.wait()


def _while(left: list[int]) -> None:
    while left:
        skynet.wait()


def _poll(left: list[int]) -> None:
    while left:
        skynet.sleep(1)


hangs = _boss(lambda left: skynet.wait(), lambda: skynet.sleep(3))
interrupted = _boss(_while, lambda: skynet.sleep(3))
forgets_its_ticks = _boss(_while, lambda: None)
polls = _boss(_poll, lambda: None, wakes=False)
does_not_wait = _boss(lambda left: None, lambda: skynet.sleep(3))
never_woken = _boss(_if, lambda: None, wakes=False)


# ---- 11.6


def _server(serve: Callable[[int], None]) -> Callable[[], None]:
    def program() -> None:
        lid = socket.listen("127.0.0.1:0")
        socket.start(lid, lambda id, addr: skynet.fork(serve, id))

    return program


def _two_readers(id: int) -> None:
    def watch() -> None:
        while socket.read(id) is not None:
            pass
        mark("gone")

    socket.start(id)
    skynet.fork(watch)
    while (line := socket.readline(id)) is not None:
        socket.write(id, line + b"\n")
    socket.close(id)


def _no_mark(id: int) -> None:
    socket.start(id)
    while (line := socket.readline(id)) is not None:
        socket.write(id, line + b"\n")
    socket.close(id)


def _no_close(id: int) -> None:
    socket.start(id)
    while (line := socket.readline(id)) is not None:
        socket.write(id, line + b"\n")
    mark("gone")


def _watch_only(id: int) -> None:
    socket.start(id)
    while socket.read(id) is not None:
        pass
    mark("gone")
    socket.close(id)


def _marks_twice(id: int) -> None:
    socket.start(id)
    socket.onclose(id, lambda id: mark("gone"))
    while (line := socket.readline(id)) is not None:
        socket.write(id, line + b"\n")
    mark("gone")
    socket.close(id)


# ---- 11.7


def _counter(inside: bool, direct: bool, guarded: bool = True) -> Callable[[], None]:
    def program() -> None:
        section, count = skynet.queue(), {"total": 0}

        def add(n: int) -> int:
            if guarded:
                with section:
                    return bare(n)
            return bare(n)

        def bare(n: int) -> int:
            total = count["total"] + n
            skynet.sleep(1)
            count["total"] = total
            return total

        def again(n: int) -> Any:
            once = add if direct else (lambda n: skynet.call(skynet.self(), "lua", "add", n))
            once(n)
            return once(n)

        def twice(n: int) -> Any:
            return section(again, n) if inside else again(n)

        calls = {"add": add, "twice": twice}
        skynet.dispatch("lua", lambda session, source, name, n: skynet.retpack(calls[name](n)))

    return program


def not_answered() -> None:
    section = skynet.queue()
    skynet.dispatch("lua", lambda session, source, name, n: section(lambda: name == "add" and skynet.retpack(n)))


WRONG = {
    "11.1": [
        (["suspicion", "suspicion", "nothing", "suspicion", "fault"], "1: the trace has the error"),
        (["fault", "fault", "nothing", "suspicion", "fault"], "2: may a service"),
        (["fault", "suspicion", "suspicion", "suspicion", "fault"], "3: a server waits"),
        (["fault", "suspicion", "nothing", "fault", "fault"], "4: the session is not lost"),
        (["fault", "suspicion", "nothing", "suspicion", "suspicion"], "5: draw the waits"),
        (["deadlock"] * 5, "none of fault"), ("fault", "list of five words"),
    ],
    "11.2": [(["yes", 2], "not a circle of coroutines"), (["no", 3], "handles 0 parked"), (["no", 6], "Which numbers"),
             ("no", "a word and a number")],
    "11.3": [(still_careful, "still a circle"), (no_section, "at the same time"), (section_too_short, "at the same time"),
             (sends, "get no answer"), (no_argument, "does not start"), (3, "another form")],
    "11.4": [(_store(_set_forgets), "gets no answer"), (_store(_missing_forgets), "gets no answer"),
             (_store(_raises), "its handler raised"), (_store(_new_value), "that it replaces"),
             (_store(_twice), "answers twice")],
    "11.5": [(hangs, "what does the boss wait for"), (interrupted, "did not get its three ticks"),
             (forgets_its_ticks, "did not get its three ticks"), (polls, "again and again"),
             (does_not_wait, "not before tick"), (never_woken, "who would wake it")],
    "11.6": [(_server(_two_readers), "two readers"), (_server(_no_mark), "After which line"),
             (_server(_no_close), "not closed"), (_server(_watch_only), "Which coroutine has read"),
             (_server(_marks_twice), "2 marks gone")],
    "11.7": [(_counter(True, False), "still a circle"), (_counter(False, True), "came between"),
             (_counter(False, False), "came between"), (_counter(True, True, guarded=False), "came between"),
             (not_answered, "only")],
}  # fmt: skip
