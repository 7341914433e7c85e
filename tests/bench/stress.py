"""A mixed load on a node of several workers, and an account of every message of it.

    python tests/bench/stress.py --seconds 60 --thread 4

Calls, numbered sends, sockets with checksums, timers, services that come and go, errors. At the
end every count must agree with its opposite, and nothing may be left: no thread, no descriptor.
"""

from __future__ import annotations

import os
import random
import threading
import time
import zlib
from collections.abc import Callable
from typing import Any

from skynet_lite import CallError, Node, skynet, socket
from skynet_lite.core.errors import AddressError

Counts = dict[str, int]


def serve(commands: dict[str, Callable[..., Any]]) -> None:
    @skynet.dispatch("lua")
    def handle(session: int, source: int, what: str, *args: Any) -> None:
        answer = commands[what](source, *args)
        if session:
            skynet.retpack(answer)


def sink() -> None:
    """Takes numbered notes, and counts those that are not the next of their sender."""
    last: dict[int, int] = {}
    counts: Counts = {"notes": 0, "out of order": 0}

    def note(source: int, n: int) -> None:
        counts["out of order"] += n != last.get(source, 0) + 1
        last[source] = n
        counts["notes"] += 1

    def fail(source: int) -> None:
        raise ValueError("as asked")

    def echo(source: int, *args: Any) -> list[Any]:
        skynet.sleep(args[0] % 2)
        return list(args)

    serve({"note": note, "echo": echo, "fail": fail, "report": lambda source: counts, "last": lambda source: last})


def producer(over: Callable[[], bool], sinks: list[int], seed: int) -> None:
    """Sends to all sinks in turn, calls, and lets handlers fail."""
    chance = random.Random(seed)
    counts: Counts = {"sent": 0, "calls": 0, "wrong answers": 0, "failed as asked": 0, "failed otherwise": 0}

    def run() -> None:
        n = 0
        while not over():
            n += 1
            for to in sinks:
                counts["sent"] += skynet.send(to, "lua", "note", n) == 0
            to = chance.choice(sinks)
            counts["calls"] += 1
            if n % 7:
                counts["wrong answers"] += skynet.call(to, "lua", "echo", n, "x" * (n % 50), {"n": [n]}) != [
                    n, "x" * (n % 50), {"n": [n]},
                ]  # fmt: skip
            else:
                try:
                    skynet.call(to, "lua", "fail")
                    counts["failed otherwise"] += 1
                except CallError:
                    counts["failed as asked"] += 1
        counts["last"] = n
        done.append(1)

    done: list[int] = []
    skynet.fork(run)
    serve({"done": lambda source: bool(done), "report": lambda source: counts})


def timers(over: Callable[[], bool], seed: int) -> None:
    """Every timer fires once, not before its time, and those of one tick in their order."""
    chance = random.Random(seed)
    counts: Counts = {"timers set": 0, "timers fired": 0, "too early": 0, "slept": 0}

    def fire(due: int) -> None:
        counts["timers fired"] += 1
        counts["too early"] += skynet.now() < due

    def run() -> None:
        while not over():
            for _ in range(10):
                ticks = chance.randrange(4)
                counts["timers set"] += 1
                due = skynet.now() + ticks
                skynet.timeout(ticks, lambda due=due: fire(due))  # type: ignore[misc]
            skynet.sleep(1)
            counts["slept"] += 1
        skynet.sleep(10)
        done.append(1)

    done: list[int] = []
    skynet.fork(run)
    serve({"done": lambda source: bool(done), "report": lambda source: counts})


def mayfly(how: int) -> None:
    """Answers one call, then ends: by itself, or never having answered."""

    def live(source: int) -> int:
        if how == 0:
            skynet.fork(skynet.exit)
            return 1
        skynet.exit()
        return 0

    serve({"live": live})


def spawner(over: Callable[[], bool]) -> None:
    """Services are born, called, and gone: each call has exactly one outcome."""
    counts: Counts = {"born": 0, "answered": 0, "ended unanswered": 0, "killed": 0}

    def run() -> None:
        n = 0
        while not over():
            n += 1
            address = skynet.newservice(mayfly, n % 2)
            counts["born"] += 1
            if n % 5 == 0:
                skynet.kill(address)
                counts["killed"] += 1
                try:
                    skynet.call(address, "lua", "live")
                    counts["answered"] += 1
                except AddressError:
                    pass
                continue
            try:
                counts["answered"] += skynet.call(address, "lua", "live")
            except CallError:
                counts["ended unanswered"] += 1
        done.append(1)

    done: list[int] = []
    skynet.fork(run)
    serve({"done": lambda source: bool(done), "report": lambda source: counts})


def agent(id: int) -> None:
    """Sends back what comes, then goes."""
    socket.start(id)

    def run() -> None:
        while (data := socket.read(id)) is not None:
            socket.write(id, data)
        socket.close(id)
        skynet.exit()

    skynet.fork(run)


def server() -> None:
    def accept(id: int, peer: str) -> None:
        skynet.newservice(agent, id)

    id = socket.listen("127.0.0.1", 0)
    socket.start(id, accept)
    serve({"port": lambda source: socket.sockname(id)[1]})


def client(over: Callable[[], bool], port: int, seed: int) -> None:
    """Connections that say something, hear it again, and end."""
    chance = random.Random(seed)
    counts: Counts = {"connections": 0, "bytes echoed": 0, "wrong checksums": 0}

    def run() -> None:
        while not over():
            id = socket.open("127.0.0.1", port)
            counts["connections"] += 1
            for _ in range(5):
                data = chance.randbytes(chance.choice((1, 100, 5000, 70_000)))
                socket.write(id, data)
                back = socket.read(id, len(data)) or b""
                counts["bytes echoed"] += len(back)
                counts["wrong checksums"] += zlib.crc32(back) != zlib.crc32(data)
            socket.close(id)
        done.append(1)

    done: list[int] = []
    skynet.fork(run)
    serve({"done": lambda source: bool(done), "report": lambda source: counts})


def left() -> tuple[int, int]:
    return threading.active_count(), len(os.listdir("/proc/self/fd"))


def stress(thread: int, seconds: float | None = None, rounds: int = 0) -> Counts:
    """Run the load for `seconds`, or each part of it `rounds` times; all counts. Raises AssertionError if one is wrong."""
    before, began = left(), time.monotonic()
    log: list[str] = []

    def limit() -> Callable[[], bool]:
        if seconds is not None:
            return lambda: time.monotonic() > began + seconds
        count = iter(range(rounds))
        return lambda: next(count, None) is None

    with Node(thread=thread, log=log) as node:

        def start(service: Callable[..., Any], *args: Any) -> int:
            def body() -> None:
                service(*args)

            body.__name__ = service.__name__
            return node.newservice(body)

        sinks = [start(sink) for _ in range(4)]
        port = node.call(start(server), "lua", "port")
        parts = [start(producer, limit(), sinks, n) for n in range(4)]
        producers = list(parts)
        parts += [start(timers, limit(), n) for n in range(2)]
        parts += [start(spawner, limit()) for _ in range(2)]
        parts += [start(client, limit(), port, n) for n in range(3)]
        end = time.monotonic() + (seconds or 0) + 60
        while not all(node.call(part, "lua", "done", timeout=30) for part in parts):
            assert time.monotonic() < end, "the load does not end"
            time.sleep(0.02)
        node.run_until_idle()
        total: Counts = {}
        for part in parts + sinks:
            for name, n in node.call(part, "lua", "report").items():
                total[name] = total.get(name, 0) + n
        lasts = [node.call(s, "lua", "last") for s in sinks]
        sent = {p: node.call(p, "lua", "report")["last"] for p in producers}
        assert all(last == sent for last in lasts), "the last note of each sender is not its last"
        alive = [c.label for c in node.handles.contexts.values() if c.name in ("mayfly", "agent")]
        sockets = [state for state, _ in node.socket_server.table().values()]
        total["dispatched"] = sum(c.mailbox.popped for c in node.handles.contexts.values())
    total["seconds"] = round(time.monotonic() - began)
    assert total["notes"] == total["sent"] and total["out of order"] == 0
    assert total["wrong answers"] == total["failed otherwise"] == 0
    assert total["timers set"] == total["timers fired"] and total["too early"] == 0
    assert total["born"] == total["answered"] + total["ended unanswered"] + total["killed"]
    assert total["wrong checksums"] == 0
    assert alive == [] and sockets == ["listen"], (alive, sockets)
    asked = sum("ValueError: as asked" in line for line in log)
    assert asked == total["failed as asked"], (asked, total)
    words = ("LAUNCH", "KILL", "as asked", "Maybe forgot response")
    strange = [line for line in log if not any(word in line for word in words)]
    assert strange == [], strange[:5]
    assert left() == before, f"threads and descriptors: {before} before, {left()} after"
    return total


if __name__ == "__main__":
    from by_hand import command

    command(stress, thread=4)
