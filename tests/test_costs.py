"""What an operation costs does not depend on what is parked beside it.

No clock is read: bytecodes are counted, of everything that runs until the operation is over, in whatever
service and in the loop. Beside many parked things it takes as many as beside few.

A new operation is a function in OPERATIONS, a new kind of parked thing one in PARKED.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from counting import Bytecodes

from skynet_lite import Node, SkynetError, skynet, socket
from skynet_lite.skynet.scheduler import current

FOR_EVER = 10**9  # ticks


# ---- what is parked, n of each, by and in the service that does the operations


def nothing(*_: Any) -> None:
    pass


def idle() -> None:
    skynet.dispatch("lua", lambda session, source, *args: skynet.retpack(*args))


def silent() -> None:
    skynet.dispatch("lua", lambda session, source, *args: skynet.wait())


def timers(n: int) -> None:
    for i in range(n):
        skynet.timeout(FOR_EVER + i, nothing)


def sleepers(n: int) -> None:
    for i in range(n):
        skynet.fork(skynet.sleep, FOR_EVER + i)


def waiters(n: int) -> None:
    for _ in range(n):
        skynet.fork(skynet.wait)


def tokens(n: int) -> None:
    for i in range(n):
        skynet.fork(skynet.wait, f"token {i}")


def pooled(n: int) -> None:
    for _ in range(n):
        skynet.fork(nothing)


def services(n: int) -> None:
    for _ in range(n):
        skynet.newservice(idle)


def inner_function() -> Callable[[], None]:
    def inner() -> None:
        pass

    return inner


def inner_functions(n: int) -> None:
    """Each with a service, and so with a name, of its own."""
    for _ in range(n):
        skynet.newservice(inner_function())


def names(n: int) -> None:
    for i in range(n):
        skynet.name(f".name {i}", skynet.self())


def calls(n: int) -> None:
    """To another service, which answers none."""
    to = skynet.newservice(silent)
    for _ in range(n):
        skynet.fork(skynet.call, to, "lua")


def asked(n: int) -> None:
    """By another service: requests that are served here, and not answered."""

    def asking(to: int) -> None:
        for _ in range(n):
            skynet.fork(skynet.call, to, "lua", "wait")

    skynet.newservice(asking, skynet.self())


def responses(n: int) -> None:
    """Requests of another service whose answers are kept for later."""

    def asking(to: int) -> None:
        for _ in range(n):
            skynet.fork(skynet.call, to, "lua", "later")

    skynet.newservice(asking, skynet.self())


def requests(n: int) -> None:
    """One select of many calls that nobody answers."""
    to = skynet.newservice(silent)
    skynet.fork(lambda: list(skynet.select(*[(to, "lua")] * n, timeout=FOR_EVER)))


def sections(n: int) -> None:
    """Critical sections that somebody is inside of, and somebody waits for."""

    def inside(section: Any) -> None:
        with section:
            skynet.wait()

    for _ in range(n // 2):
        section = skynet.queue()
        skynet.fork(inside, section)
        skynet.fork(inside, section)


def waiting(n: int) -> None:
    """All for one critical section."""

    section = skynet.queue()

    def inside() -> None:
        with section:
            skynet.wait()

    for _ in range(n):
        skynet.fork(inside)


def sockets(n: int) -> None:
    for _ in range(n):
        socket.udp(nothing)


def listeners(n: int) -> None:
    for _ in range(n):
        socket.start(socket.listen("127.0.0.1:0"), nothing)


def connections(n: int) -> None:
    """Of `node.client`: made before, see `costs`."""


def dead(n: int) -> None:
    """Services that have asked this one, and ended before they were answered."""

    def short(to: int) -> None:
        skynet.fork(skynet.call, to, "lua", "later")
        skynet.fork(skynet.exit)

    for _ in range(n):
        skynet.newservice(short, skynet.self())


def gone(n: int) -> None:
    """Services that have come and gone."""
    for _ in range(n):
        skynet.kill(skynet.newservice(idle))


def environment(n: int) -> None:
    for i in range(n):
        skynet.setenv(f"key{i}", i)


def messages(n: int) -> None:
    """In the mailbox of a service that comes to nothing."""
    for _ in range(n):
        skynet.send(skynet.newservice(idle), "lua")


PARKED: list[Callable[[int], None]] = [
    timers, sleepers, waiters, tokens, pooled, services, inner_functions, names, calls, asked, responses, requests, sections, waiting,
    sockets, listeners, connections, dead, gone, environment,
]  # fmt: skip


# ---- operations: each returns what is to be counted


def helper() -> None:
    """A service for operations that need another."""

    @skynet.dispatch("lua")
    def handle(session: int, source: int, what: str, *args: Any) -> None:
        if what == "call and end":
            skynet.fork(skynet.call, source, "lua", "wait")
            skynet.retpack()
            skynet.yield_()
            skynet.exit()
        elif what == "exit":
            skynet.exit()
        elif what == "wait":
            skynet.wait()
        else:
            skynet.retpack(what)


def birth() -> Callable[[], Any]:
    return lambda: skynet.newservice(idle)


def birth_of_inner_function() -> Callable[[], Any]:
    return partial(skynet.newservice, inner_function())


def birth_by_name() -> Callable[[], Any]:
    return lambda: skynet.newservice("cdummy")


def exits() -> Callable[[], Any]:
    addr = skynet.newservice(helper)

    def end() -> None:
        try:
            skynet.call(addr, "lua", "exit")
        except SkynetError:
            pass

    return end


def kills() -> Callable[[], Any]:
    return partial(skynet.kill, skynet.newservice(helper))


def end_of_a_caller() -> Callable[[], Any]:
    addr = skynet.newservice(helper)

    def end() -> None:
        skynet.call(addr, "lua", "call and end")
        skynet.sleep(1)

    return end


def call() -> Callable[[], Any]:
    return partial(skynet.call, skynet.newservice(helper), "lua", "echo")


def send() -> Callable[[], Any]:
    return partial(skynet.send, skynet.newservice(helper), "lua", "echo")


def sleep() -> Callable[[], Any]:
    return partial(skynet.sleep, 1)


def yield_() -> Callable[[], Any]:
    return skynet.yield_


def timeout() -> Callable[[], Any]:
    return partial(skynet.timeout, FOR_EVER, nothing)


def fork() -> Callable[[], Any]:
    def forks() -> None:
        skynet.fork(nothing)
        skynet.yield_()

    return forks


def wait_and_wakeup() -> Callable[[], Any]:
    def wakes() -> None:
        skynet.fork(skynet.wakeup, skynet.running())
        skynet.wait()

    return wakes


def token_and_wakeup() -> Callable[[], Any]:
    def wakes() -> None:
        skynet.fork(skynet.wakeup, "mine")
        skynet.wait("mine")

    return wakes


def select() -> Callable[[], Any]:
    addr = skynet.newservice(helper)
    return lambda: list(skynet.select((addr, "lua", "echo"), (addr, "lua", "echo"), timeout=FOR_EVER))


def select_that_ends_early() -> Callable[[], Any]:
    addr = skynet.newservice(helper)

    def early() -> None:
        with skynet.request((addr, "lua", "echo"), (addr, "lua", "wait")) as asked:
            for _ in asked.select(timeout=FOR_EVER):
                break

    return early


def _killed(co: Any) -> Callable[[], Any]:
    skynet.yield_()

    def kill() -> None:
        assert skynet.killthread(co) is not None

    return kill


def killthread_of_a_sleeper() -> Callable[[], Any]:
    return _killed(skynet.fork(skynet.sleep, FOR_EVER))


def killthread_of_a_waiter() -> Callable[[], Any]:
    return _killed(skynet.fork(skynet.wait))


def killthread_of_a_timer() -> Callable[[], Any]:
    return _killed(skynet.timeout(FOR_EVER, nothing))


def killthread_of_a_caller() -> Callable[[], Any]:
    return _killed(skynet.fork(skynet.call, skynet.newservice(helper), "lua", "wait"))


def deadline() -> Callable[[], Any]:
    """As HTTP has it: a timer that will come to nothing ends whoever takes too long; here nobody does."""
    addr = skynet.newservice(helper)

    def request() -> None:
        timer = skynet.timeout(FOR_EVER, nothing)
        skynet.call(addr, "lua", "echo")
        skynet.killthread(timer)

    return request


def critical_section() -> Callable[[], Any]:
    section = skynet.queue()
    return partial(section, nothing)


def register() -> Callable[[], Any]:
    return partial(skynet.name, f".name of {next(current().sessions)}", skynet.self())


def query() -> Callable[[], Any]:
    skynet.name(".queried", skynet.self())
    return partial(skynet.localname, ".queried")


def unique() -> Callable[[], Any]:
    return partial(skynet.queryservice, skynet.uniqueservice("cdummy") and "cdummy")


def connection() -> Callable[[], Any]:
    lid = socket.listen("127.0.0.1:0")
    port = socket.sockname(lid)[1]

    def accept(id: int, address: str) -> None:
        socket.start(id)
        socket.write(id, socket.readline(id) or b"")
        socket.close(id)

    socket.start(lid, accept)

    def connect() -> None:
        id = socket.open("127.0.0.1", port)
        socket.write(id, b"line\n")
        socket.readall(id)
        socket.close(id)

    return connect


OPERATIONS: list[Callable[[], Callable[[], Any]]] = [
    birth, birth_of_inner_function, birth_by_name, exits, kills, end_of_a_caller, call, send, sleep, yield_, timeout,
    fork, wait_and_wakeup, token_and_wakeup, select, select_that_ends_early, killthread_of_a_sleeper,
    killthread_of_a_waiter, killthread_of_a_timer, killthread_of_a_caller, deadline, critical_section, register, query,
    unique, connection,
]  # fmt: skip


FEW, MANY = 40, 1000


def server() -> None:
    """Accepts, and reads for ever."""
    lid = socket.listen("127.0.0.1:0")
    socket.start(lid, lambda id, address: (socket.start(id), socket.readall(id)))
    skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.sockname(lid)[1]))


def costs(park: Callable[[int], None], n: int) -> dict[str, int]:
    """Bytecodes of each operation beside `n` parked things."""
    found: dict[str, int] = {}
    bytecodes = Bytecodes()
    kept = []

    def main() -> None:
        @skynet.dispatch("lua")
        def handle(session: int, source: int, what: str) -> None:
            if what == "later":
                kept.append(skynet.response())
            else:
                skynet.wait()

        park(n)
        for _ in range(3):
            skynet.sleep(1)
        for operation in OPERATIONS:
            counts = []
            for _ in range(3):
                work = operation()
                skynet.sleep(1)  # what it has begun is over
                bytecodes.files.clear()
                with bytecodes.counted():
                    work()
                counts.append(bytecodes.files.total())
                skynet.sleep(1)
            found[operation.__name__] = min(counts)

    with Node(clock="virtual", log=list) as node:
        port = node.call(node.newservice(server), "lua")
        for _ in range(n if park is connections else 0):
            node.client(port).send(b"something")
        node.newservice(main)
    return found


@pytest.fixture(scope="module", autouse=True)
def warmed_up() -> None:
    """From 3.12 on, code tells of its bytecodes only after it has been traced for the first time."""
    costs(timers, 1)


@pytest.mark.parametrize("park", PARKED)
def test_costs(park: Callable[[int], None]) -> None:
    few, many = costs(park, FEW), costs(park, MANY)
    grown = {name: (few[name], many[name]) for name in few if many[name] > few[name] * 1.1 + 100}
    assert not grown
