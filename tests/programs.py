"""Random programs: a service that does what a plan says, with sockets in pairs, exits and errors.

Whatever it does may not bring the runtime down, and is the same each time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

from skynet_lite import CallError, Node, coroutine, mark, skynet, socket

INSIDE = (
    "fork", "sleep", "yield", "wait", "wakeup", "call", "send", "timeout", "error", "token", "self", "twice", "now", "queue",
    "kill", "select", "trace", "inner", "task",
)  # fmt: skip
"""Steps that end no service and need no hub."""
STEPS = (*INSIDE, "exit", "child", "open", "write", "read", "close", "shutdown", "refused", "die")


def plans(steps: tuple[str, ...]) -> st.SearchStrategy[list[list[str]]]:
    """Programs: a list of steps for each coroutine."""
    return st.lists(st.lists(st.sampled_from(steps), min_size=1, max_size=6), min_size=1, max_size=4)


PLAN, PLAN_INSIDE = plans(STEPS), plans(INSIDE)


def echo_hub() -> None:
    """Accepts, and answers each line, or hangs up."""

    def serve(id: int) -> None:
        socket.start(id)
        while (line := socket.readline(id)) is not None:
            if len(line) % 3 == 2:
                break
            socket.write(id, line + b"\n")
        socket.close(id)

    listening = socket.listen("127.0.0.1:0")
    socket.start(listening, lambda id, peer: skynet.fork(serve, id))
    skynet.dispatch("lua", lambda session, source: skynet.retpack(socket.sockname(listening)[1]))


def child(n: int) -> None:
    if n % 3 == 0:
        raise ValueError(n)
    if n % 3 == 1:
        skynet.exit()


def busy(plan: list[list[str]], peer: int | None = None, hub: int | None = None) -> None:
    """Does what `plan` says, one coroutine for each list."""
    sleepers: list[Any] = []
    ids: list[int] = []
    section = skynet.queue()

    def handler(session: int, source: int, n: int) -> None:
        if n % 3 == 0:
            skynet.yield_()
        if n % 5 == 4:
            raise ValueError(n)
        if session and n % 4:
            skynet.retpack(n)

    def act(steps: list[str], depth: int) -> None:
        try:
            for n, step in enumerate(steps):
                one(steps, depth, n, step)
        finally:
            mark(f"over at {skynet.now()}")

    def one(steps: list[str], depth: int, n: int, step: str) -> None:
        if step == "fork" and depth < 2:
            skynet.fork(act, steps[:n], depth + 1)
        elif step == "sleep":
            skynet.sleep(n)
        elif step == "yield":
            skynet.yield_()
        elif step == "wait":
            sleepers.append(skynet.running())
            skynet.wait()
        elif step == "token":
            sleepers.append((depth, n, len(sleepers)))
            skynet.sleep(20, sleepers[-1])
        elif step == "wakeup" and sleepers:
            skynet.wakeup(sleepers[n % len(sleepers)])
        elif step == "call" and peer is not None:
            skynet.call(peer, "lua", n)
        elif step == "self":
            skynet.call(skynet.self(), "lua", n)
        elif step == "send" and peer is not None:
            skynet.send(peer, "lua", n)
        elif step == "timeout" and depth < 2:
            skynet.timeout(n, lambda: act(steps[:n], depth + 1))
        elif step == "error":
            raise ValueError(f"step {n}")
        elif step == "twice":
            skynet.ret(skynet.pack(1))
            skynet.ret(skynet.pack(2))
        elif step == "exit":
            skynet.exit()
        elif step == "now":
            mark(f"{skynet.now()} {skynet.time()} {skynet.hpc()}")
        elif step == "queue":
            section(lambda: skynet.sleep(n))
        elif step == "kill":
            mark(f"killed {skynet.killthread(f'co{n + 2}')!r}")
        elif step == "select" and peer is not None:
            with skynet.request((peer, "lua", n), (skynet.self(), "lua", n + 1), (peer, "lua", 4)) as request:
                for asked, answer in request.select(n):
                    mark(f"{asked[2]} {answer}")
                    if n % 3 == 2:
                        break
        elif step == "trace":
            skynet.trace(f"step {n}")
        elif step == "inner":
            coroutine.wrap(one)(steps, depth, n, steps[0] if steps[0] != "inner" else "sleep")
        elif step == "task":
            mark(f"{skynet.uniqtask()}")
        elif step == "child":
            skynet.newservice(child, n)
        elif step == "die":
            raise KeyboardInterrupt if n % 2 else SystemExit
        elif step == "open" and hub is not None:
            ids.append(socket.open("127.0.0.1", skynet.call(hub, "lua")))
        elif step == "refused" and hub is not None:
            socket.listen("127.0.0.1", skynet.call(hub, "lua"))
        elif ids:
            id = ids[n % len(ids)]
            if step == "write":
                socket.write(id, b"x" * n + b"\n")
            elif step == "read":
                mark(str(socket.readline(id)))
            elif step == "close":
                socket.close(id)
            elif step == "shutdown":
                socket.shutdown(id)

    skynet.dispatch("lua", handler)
    for steps in plan:
        skynet.fork(act, steps, 0)


def run_busy(node: Node, first: list[list[str]], second: list[list[str]]) -> None:
    """Two busy services and a hub. What a program raises costs a message, not the run."""

    def drive(what: Callable[[], Any]) -> Any:
        for _ in range(100):
            try:
                return what()
            except CallError:
                what = node.run

    hub = drive(lambda: node.newservice(echo_hub))
    peer = drive(lambda: node.newservice(busy, second, None, hub))
    drive(lambda: node.newservice(busy, first, peer, hub))
    drive(node.run)
