"""What is told of errors: who is told that a service has gone, what a failed call says, and what the log says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from skynet_lite import CallError, Node, mark, skynet

THREADS = pytest.mark.parametrize("thread", [1, 4])


def waits_for_ever() -> None:
    @skynet.dispatch("lua")
    def handler(session: int, source: int, *args: Any) -> None:
        skynet.wait()


def quiet() -> None:
    skynet.dispatch("lua", lambda session, source, *args: None)


def asks(said: list[Any], victim: int, *args: Any) -> None:
    try:
        said.append(skynet.call(victim, "lua", *args))
    except CallError as e:
        said.append(e)


# ---- the truth about the dead (drop_message in skynet_server.c of v1.1.0)


@THREADS
def test_a_send_left_in_the_mailbox_of_the_dead_fails_the_calls_of_its_sender(thread: int) -> None:
    """Whatever lies there, its sender is told by an error with session 0: so the call that was being served fails."""
    said: list[Any] = []

    def main(victim: int) -> None:
        skynet.fork(asks, said, victim)
        for _ in range(5):
            skynet.sleep(1)
        skynet.send(victim, "lua", "never read")
        skynet.kill(victim)

    with Node(clock="virtual", log=list, thread=thread) as node:
        victim = node.newservice(waits_for_ever)
        node.newservice(main, victim)
        node.run()
    assert [type(e) for e in said] == [CallError]


@pytest.mark.parametrize("left", ["request", "send", "answer", "error", "debug"])
def test_what_is_left_in_the_mailbox_of_the_dead(left: str) -> None:
    """One error with session 0 for each message, of whatever type: also for an answer that came too late."""

    def main() -> None:
        @skynet.dispatch("lua")
        def handler(session: int, source: int) -> None:
            skynet.ignoreret() if left not in ("answer", "error") else None
            {
                "request": lambda: skynet.fork(asks, [], source),
                "send": lambda: skynet.send(source, "lua"),
                "answer": skynet.retpack,
                "error": lambda: skynet.response()(False),
                "debug": lambda: skynet.send(source, "debug", "GC"),
            }[left]()
            skynet.fork(skynet.kill, source)

    def victim(main: int) -> None:
        skynet.fork(skynet.call, main, "lua")

    with Node(clock="virtual", log=list) as node:
        addr = node.newservice(main)
        with node.record() as trace:
            dead = node.newservice(victim, addr)
            node.run()
    told = [(e["ptype"], e["session"]) for e in trace if e["e"] == "push" and e["by"] == "drop"]
    assert told == [("error", 0)]
    (message,) = [e for e in trace if e["e"] == "message" and e["ptype"] == "error"]
    assert (message["service"], message["session"], message["source"]) == (f":{addr:08x}", 0, f":{dead:08x}")
    push = trace[message["cause"]]
    assert trace[push["cause"]]["e"] == "exit", "and the recording knows why"


def test_the_dead_are_told_of_in_their_turn() -> None:
    """The errors come when it is the turn of the mailbox that is left, behind those that waited before it."""

    def main(victim: int) -> None:
        def ask() -> None:
            asks([], victim)
            mark("failed")

        def after() -> None:
            skynet.yield_()
            mark("a message to oneself, sent before the kill")

        skynet.fork(ask)
        skynet.fork(after)
        skynet.fork(skynet.kill, victim)

    with Node(clock="virtual", log=list) as node:
        victim = node.newservice(quiet)
        with node.record() as trace:
            node.newservice(main, victim)
            node.run()
    marks = [e["text"] for e in trace if e["e"] == "mark"]
    assert marks == ["a message to oneself, sent before the kill", "failed"]


@pytest.mark.parametrize("sent", [False, True])
def test_calls_from_outside_to_a_service_that_dies(sent: bool) -> None:
    """The outside is a sender as any other: what it has left there fails its calls, also that which is being served."""

    with Node(clock="virtual", log=list) as node:
        victim = node.newservice(waits_for_ever)
        first = node.server.call(victim, skynet.PTYPE_LUA, ())
        node.run_until_idle()
        if sent:
            node.server.call(victim, skynet.PTYPE_LUA, (), waits=False)
        node.server.kill(0, victim)
        node.run_until_idle()
        assert first.done.is_set() is sent and not first.ok


def test_a_replay_tells_of_the_dead_again() -> None:
    """What was dropped, and who was told, is in the recording, and comes again in a replay."""

    def main(victim: int) -> None:
        skynet.fork(asks, [], victim)
        skynet.yield_()
        skynet.send(victim, "lua", "never read")
        skynet.kill(victim)

    with Node(clock="virtual", log=list, record=True) as node:
        victim = node.newservice(waits_for_ever)
        node.newservice(main, victim)
        node.run()
    assert any(e.get("by") == "drop" for e in node.trace)
    assert Node.replay(node.trace, waits_for_ever, main).same


def test_a_logged_service_that_goes_leaves_a_whole_log(tmp_path: Path) -> None:
    """Messages that are dropped were never dispatched: they are in no message log, and break none."""

    def main() -> None:
        skynet.send(skynet.self(), "lua", "left behind")
        skynet.exit()

    with Node(clock="virtual", log=list, env={"logpath": str(tmp_path)}) as node:
        node.call(".launcher", "lua", "LOGLAUNCH", "snlua", node.service_name(main))
        node.run_until_idle()
    (log,) = tmp_path.iterdir()
    assert len(log.read_text().splitlines()) == 3, "opened, the code, the start"
