"""Hours in minutes: services are born and end in every way there is, and nothing may be left of them.

    python tests/bench/soak.py --seconds 600 --thread 4

Round after round of births, exits, kills, errors, calls that are given up, connections that are closed, cut and reset.
Between the rounds the node is idle, and everything that it holds is measured: each container that can be reached from
it and from the modules, descriptors, threads, greenlets, memory. What has grown over all rounds is reported.
"""

from __future__ import annotations

import gc
import os
import socket as pysocket
import struct
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import greenlet

from skynet_lite import CallError, Node, skynet, socket
from skynet_lite.core.errors import AddressError

RESET = struct.pack("ii", 1, 0)
ENDS = ("exit", "kill", "error", "fail", "sleep", "mute", "forget")
EXPECTED = ("LAUNCH", "KILL", "as asked", "Maybe forgot response", "did not start", "socket")


def mayfly(how: str) -> None:
    """Ends as it is told to."""
    if how == "fail":
        raise ValueError("as asked")

    @skynet.dispatch("lua")
    def handle(session: int, source: int, *args: Any) -> None:
        if args == ("end",):
            skynet.exit()  # and fails all that was not answered; who is killed tells nobody, in skynet neither
        if how == "exit":
            skynet.fork(skynet.exit)
        elif how == "error":
            raise ValueError("as asked")
        elif how == "sleep":
            skynet.sleep(30)
        elif how == "mute":
            skynet.wait()
        elif how == "forget":
            skynet.response()
            return
        skynet.retpack(*args)


def tender() -> None:
    """Has mayflies born, asks each, and sees it gone."""

    def one(how: str, n: int) -> None:
        try:
            address = skynet.newservice(mayfly, how)
        except CallError:
            return
        asks = skynet.request((address, "lua", n, ["x" * n])) if how in ("sleep", "mute", "forget") else None
        with suppress(CallError, AddressError):
            if asks is None:
                skynet.call(address, "lua", n, {"n": [n]})
            else:
                for _ in skynet.select(asks, timeout=1):
                    pass
        if asks is not None:
            skynet.send(address, "lua", "end")
        elif how != "exit":
            skynet.kill(address)

    def tasks() -> None:
        """Coroutines that are killed while they sleep, and waits that are given up."""
        asleep = [skynet.fork(skynet.sleep, 30) for _ in range(5)]
        section = skynet.queue()
        section(skynet.yield_)
        for co in asleep:
            skynet.killthread(co)
        skynet.timeout(0, lambda: None)

    @skynet.dispatch("lua")
    def handle(session: int, source: int, rounds: int) -> None:
        for n in range(rounds):
            for how in ENDS:
                one(how, n)
            tasks()
        skynet.retpack(True)


def server() -> None:
    """Answers lines. Whoever says so is hung up on, written to after its end, or never read."""

    def accept(id: int, peer: str) -> None:
        socket.start(id)
        try:
            while (line := socket.readline(id)) is not None:
                if line == b"hang up":
                    break
                socket.write(id, line * 100 + b"\n")
        finally:
            socket.close(id)

    listening = socket.listen("127.0.0.1", 0)
    socket.start(listening, accept)
    skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.sockname(listening)[1]))


def clients(port: int) -> None:
    """Connections from outside, ended in every way."""
    for how in ("close", "reset", "hang up", "reset unread", "half"):
        with pysocket.create_connection(("127.0.0.1", port), timeout=30) as s:
            if how.startswith("reset"):
                s.setsockopt(pysocket.SOL_SOCKET, pysocket.SO_LINGER, RESET)
            s.sendall(b"hang up\n" if how == "hang up" else b"hello\n")
            if how == "half":
                s.shutdown(pysocket.SHUT_WR)
                while s.recv(4096):
                    pass
            elif how == "close":
                s.recv(1)


def settle(node: Node) -> None:
    """Until nothing has happened for a while: sockets close and timers fire by and by."""
    quiet = 0
    while quiet < 20:
        quiet = 0 if node.busy() or len(node.timer) or len(node.socket_server.table()) > 1 else quiet + 1
        time.sleep(0.005)


# ---- measuring


def sizes(roots: Mapping[str, Any]) -> dict[str, int]:
    """How many things each container holds, by the way that leads to it."""
    found: dict[str, int] = {}
    seen: set[int] = set()
    waiting = deque(roots.items())
    while waiting:
        path, it = waiting.popleft()
        if id(it) in seen or path.count(".") > 7:
            continue
        seen.add(id(it))
        if isinstance(it, (dict, list, set, deque)):
            found[path] = len(it)
        if isinstance(it, Mapping):
            waiting.extend(
                (f"{path}.{key if isinstance(key, (str, int)) else type(key).__name__}", it[key]) for key in [*it]
            )
        elif isinstance(it, (list, tuple, deque, set)):
            waiting.extend((f"{path}.{n}", item) for n, item in enumerate([*it]))
        elif type(it).__module__.partition(".")[0] == "skynet_lite":
            waiting.extend((f"{path}.{name}", value) for name, value in fields(it))
    return found


def fields(it: Any) -> Iterator[tuple[str, Any]]:
    yield from getattr(it, "__dict__", {}).items()
    for cls in type(it).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(it, name):
                yield name, getattr(it, name)


def measure(node: Node) -> dict[str, int]:
    gc.collect()
    modules = {
        name: {key: value for key, value in vars(module).items() if not key.startswith("__")}
        for name, module in sys.modules.items()
        if name.startswith("skynet_lite.")
    }
    found: dict[str, int] = node.look(lambda: sizes({"node": node, **modules}))
    kinds = Counter(type(it).__name__ for it in gc.get_objects())
    found["greenlets"] = sum(isinstance(it, greenlet.greenlet) for it in gc.get_objects())
    found |= {f"objects of {name}": n for name, n in kinds.items() if n > 20}
    found["descriptors"], found["threads"] = len(os.listdir("/proc/self/fd")), threading.active_count()
    with open("/proc/self/statm", encoding="ascii") as file:
        found["memory, KiB"] = int(file.read().split()[1]) * 4
    return found


def grown(moments: list[dict[str, int]], least: int) -> dict[str, list[int]]:
    """What was larger at each moment than at the one before, and by `least` in all."""
    found = {}
    for path in moments[-1]:
        row = [moment.get(path, 0) for moment in moments]
        if all(a < b for a, b in zip(row, row[1:], strict=False)) and row[-1] - row[0] >= least:
            found[path] = row
    return found


def soak(thread: int, seconds: float | None = None, rounds: int = 4, moments: int = 4) -> dict[str, Any]:
    """Run the load for `seconds`, or for `rounds` in each of so many stretches; what has grown, and figures."""
    log: deque[str] = deque(maxlen=1000)
    began, done, seen = time.monotonic(), 0, []
    with Node(thread=thread, log=log.append) as node:
        node.serve()
        port = node.call(node.newservice(server), "lua")
        tenders = [node.newservice(tender) for _ in range(thread)]

        def stretch(over: Callable[[], bool]) -> int:
            n = 0
            while not over():
                jobs = [
                    threading.Thread(target=node.call, args=(t, "lua", 2), kwargs={"timeout": 120}) for t in tenders
                ]
                for job in jobs:
                    job.start()
                clients(port)
                for job in jobs:
                    job.join()
                n += 1
            settle(node)
            return n

        def limit(k: int) -> Callable[[], bool]:
            if seconds is not None:
                end = began + seconds * (k + 1) / (moments + 1)
                return lambda: time.monotonic() > end
            count = iter(range(rounds))
            return lambda: next(count, None) is None

        stretch(limit(0))  # what is made once is there
        for k in range(moments):
            done += stretch(limit(k + 1))
            seen.append(measure(node))
    strange = [line for line in log if not any(word in line for word in EXPECTED)]
    births = done * 2 * len(ENDS) * thread
    return {
        "thread": thread, "seconds": round(time.monotonic() - began), "births": births, "connections": done * 5,
        "grown": grown(seen, max(4, done // 8)), "containers": len(seen[-1]), "strange": strange[:5],
        **{key: [moment[key] for moment in seen] for key in ("greenlets", "descriptors", "threads", "memory, KiB")},
    }  # fmt: skip


if __name__ == "__main__":
    from by_hand import command

    command(soak, thread=1)
