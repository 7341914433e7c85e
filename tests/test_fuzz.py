"""Whatever a program does: it can be recorded, rebuilt, told, judged, drawn, compared and stored, and nothing raises."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings, strategies as st
from test_timeline import check_readable

from skynet_lite import Node, SkynetError, SocketError, Trace, mark, skynet, socket
from skynet_lite.view.payload import payload
from skynet_lite.view.words import sentences

STEPS = st.sampled_from(
    [
        "fork", "sleep", "yield", "wait", "wakeup", "call", "send", "timeout", "error", "token", "self", "exit", "mark",
        "queue", "connect", "talk", "close", "kill", "response",
    ]
)  # fmt: skip
PLAN = st.lists(st.lists(STEPS, min_size=1, max_size=6), min_size=1, max_size=4)


PORTS: list[int] = []  # of servers, the newest last: handed over here, for what is in a message is in the text


def program(plan: list[list[str]], peer: int | None) -> None:
    """Does what `plan` says, one coroutine for each list: sockets come in pairs, this service to the peer's port."""
    sleepers: list[Any] = []
    section = skynet.queue()
    sockets: list[int] = []

    def handler(session: int, source: int, n: int) -> None:
        if n % 3 == 0:
            skynet.yield_()
        if session and n % 4:
            skynet.retpack(n)

    def act(steps: list[str], depth: int) -> None:
        for n, step in enumerate(steps):
            if step == "fork" and depth < 2:
                skynet.fork(act, steps[:n], depth + 1)
            elif step == "sleep":
                skynet.sleep(n)
            elif step == "yield":
                skynet.yield_()
            elif step == "mark":
                mark(f"step {n} of {len(steps)}")
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
                skynet.timeout(n, lambda steps=steps[:n]: act(steps, depth + 1))
            elif step == "queue" and depth < 2:
                section(act, steps[:n], depth + 1)
            elif step == "connect" and peer is not None:
                try:
                    sockets.append(socket.open("127.0.0.1", PORTS[-1]))
                except SocketError as e:
                    mark(str(e))
            elif step == "talk" and sockets:
                try:
                    socket.write(sockets[-1], b"%d\n" % n)
                    mark(str(socket.readline(sockets[-1])))
                except SocketError:
                    mark("no answer")
            elif step == "close" and sockets:
                socket.close(sockets.pop())
            elif step == "response":
                skynet.fork(lambda: skynet.call(skynet.self(), "lua", 4))  # 4: a handler that forgets to answer
            elif step == "kill" and peer is not None and n == 5:
                skynet.kill(peer)
            elif step == "exit" and n > 3:
                skynet.exit()
            elif step == "error":
                raise ValueError(f"step {n}")

    skynet.dispatch("lua", handler)
    for steps in plan:
        skynet.fork(act, steps, 0)


def server() -> None:
    """Answers each line; every third connection it drops."""

    def accept(id: int, address: str) -> None:
        if id % 3 == 0:
            socket.close_fd(id)
            return
        socket.start(id)
        while (line := socket.readline(id)) is not None:
            socket.write(id, line[::-1] + b"\n")
        socket.close(id)

    listening = socket.listen("127.0.0.1:0")
    PORTS.append(socket.sockname(listening)[1])
    socket.start(listening, accept)


def record(first: list[list[str]], second: list[list[str]]) -> tuple[Trace, list[dict[str, Any]]]:
    states: list[dict[str, Any]] = []
    with Node(clock="virtual", log=list) as node:
        node.run_until_idle()
        with node.record() as trace:
            node.attach(lambda event: states.append(node.tables()))
            node.newservice(server)
            peer = node.newservice(program, second, None)
            try:
                node.newservice(program, first, peer)
            except SkynetError:
                pass  # its peer, or itself, was gone before it had started
            node.run()
            node.verdicts(), str(node.waits())
    return trace, states


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLAN, PLAN)
def test_any_run_can_be_looked_at(tmp_path_factory: Any, first: list[list[str]], second: list[list[str]]) -> None:
    """Tables rebuilt, story told, verdicts found, figures drawn without touching labels, files read back."""
    trace, states = record(first, second)
    for i in range(0, len(trace), 5):
        assert trace.state(i) == states[i], trace.text().splitlines()[i]
    assert len(sentences(trace)) == len(trace)
    assert trace.describe()
    trace.verdicts()
    str(trace.waits(len(trace) // 2))
    json.dumps(payload(trace, services="all"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_readable(trace.timeline())
        check_readable(trace[len(trace) // 3 : len(trace) // 2].timeline(dark=True))
        check_readable(trace.waits().draw())
    path: Path = tmp_path_factory.mktemp("fuzz") / "t.json"
    trace.save(path)
    again = Trace.load(path)
    assert again.text() == trace.text()
    assert again.verdicts() == trace.verdicts()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLAN, PLAN)
def test_any_program_makes_the_same_trace_twice(first: list[list[str]], second: list[list[str]]) -> None:
    """Sockets included: what the scheduler did is the same, event by event."""
    assert record(first, second)[0].text() == record(first, second)[0].text()
