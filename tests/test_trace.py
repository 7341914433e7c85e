"""What a recording says, and what can be rebuilt from it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from harness import TRACES, Play
from hypothesis import HealthCheck, given, settings, strategies as st

from skynet_lite import Node, Trace, skynet
from skynet_lite.trace import TraceError

NAMES = sorted(path.stem for path in TRACES.glob("*.json"))


def watch(node: Node) -> list[dict[str, Any]]:
    """The live tables of a node after each event from now on."""
    states: list[dict[str, Any]] = []
    node.attach(lambda event: states.append(node.tables()))
    return states


@pytest.mark.parametrize("name", NAMES)
def test_tables_rebuilt_from_the_trace_are_the_live_ones(name: str, tmp_path: Path) -> None:
    """After every single event of every recording: Trace.state(i) is what Node.tables() was."""
    play = Play(name, tmp_path, watch=watch)
    assert len(play.trace) > 10
    for i in range(len(play.trace)):
        assert play.trace.state(i) == play.watched[i], play.trace.text().splitlines()[i]


@pytest.mark.parametrize("name", ["accept_echo_line", "call_back_nested", "exit_with_kept_response"])
def test_a_stored_trace_is_the_same_trace(name: str, tmp_path: Path) -> None:
    """save and load: events, tables, text and golden form survive."""
    play = Play(name, tmp_path)
    play.trace.save(tmp_path / "t.json")
    loaded = Trace.load(tmp_path / "t.json")
    assert loaded.events == json.loads(json.dumps(play.trace.events))
    assert loaded.text() == play.trace.text()
    assert loaded.sources == play.trace.sources
    for i in (0, len(loaded) // 2, -1):
        assert loaded.state(i) == play.trace.state(i)
    addr = play.addresses["A"]
    assert loaded.golden(addr) == play.trace.golden(addr)


@pytest.mark.parametrize("text", ["", "{}", '{"format":"x"}', "[1]", "no json"])
def test_what_is_no_trace_is_refused(text: str, tmp_path: Path) -> None:
    """A clear error for each way in which a file can be wrong."""
    path = tmp_path / "t.json"
    path.write_text(text)
    with pytest.raises(TraceError, match=r"t\.json"):
        Trace.load(path)


def test_a_cut_or_edited_trace_is_refused(tmp_path: Path) -> None:
    """The number of events is written down, so that a lost one is found."""
    play = Play("call_ret", tmp_path)
    path = tmp_path / "t.json"
    play.trace.save(path)
    whole = path.read_text()
    path.write_text(whole[: len(whole) // 2])
    with pytest.raises(TraceError, match="cut short"):
        Trace.load(path)
    data = json.loads(whole)
    path.write_text(json.dumps({**data, "events": data["events"][:-1]}))
    with pytest.raises(TraceError, match="edited or cut"):
        Trace.load(path)
    path.write_text(json.dumps({**data, "version": 99}))
    with pytest.raises(TraceError, match="version 99"):
        Trace.load(path)


def test_every_resume_knows_its_cause(tmp_path: Path) -> None:
    """Back from the line that runs to the epoll event that made it due, without a gap."""
    trace = Play("accept_echo_line", tmp_path).trace
    resume = next(
        i for i, e in enumerate(trace.events)
        if e["e"] == "resume" and e["by"] == "dispatch_wakeup"
        and trace[trace[trace[i]["cause"] - 1].get("cause", 0)].get("type") != "CONNECT"
    )  # fmt: skip
    kinds = []
    i: int | None = resume
    while i is not None:
        kinds.append(trace[i]["e"])
        i = trace[i].get("cause")
    assert kinds == ["resume", "wakeup"]
    message = max(i for i, e in enumerate(trace.events[:resume]) if e["e"] == "message")
    chain = []
    i = message
    while i is not None:
        chain.append(trace[i]["e"])
        i = trace[i].get("cause")
    assert chain in (["message", "push", "ready"], ["message", "push", "command", "driver"])


def test_all_causes_lie_in_the_past(tmp_path: Path) -> None:
    """A cause is an earlier event, of a kind that can cause this one."""
    for name in ("accept_echo_line", "two_clients", "call_back_nested", "queue_three", "timeout_equal"):
        events = Play(name, tmp_path).trace.events
        causes = [(i, e["cause"]) for i, e in enumerate(events) if "cause" in e]
        assert causes
        assert all(cause < i for i, cause in causes)


def test_text_holds_nothing_of_the_machine(tmp_path: Path) -> None:
    """No port, no path: two runs on two machines print the same."""
    play = Play("two_clients", tmp_path)
    assert str(play.port) not in play.trace.text()
    assert "/" not in play.trace.text()
    assert play.trace.text() == Play("two_clients", tmp_path).trace.text()


def test_text_can_be_narrowed(tmp_path: Path) -> None:
    """One service, or without tables; numbers stay those of the whole trace."""
    trace = Play("call_ret", tmp_path).trace
    lines = trace.text(service=8, detail=False).splitlines()
    whole = trace.text().splitlines()
    assert 0 < len(lines) < len(whole)
    assert all(line in whole for line in lines)


def test_a_recording_can_be_read_while_it_grows() -> None:
    """In a notebook one looks into a trace before it is finished."""
    with Node(clock="virtual", log=list) as node:
        with node.record() as trace:
            addr = node.newservice(lambda: skynet.dispatch("lua", lambda *request: skynet.retpack()))
            n = len(trace)
            before = trace.text()
            node.call(addr, "lua")
            assert len(trace) > n
            assert trace.text().startswith(before)
            assert trace.state(-1) == node.tables()
        length = len(trace)
        node.call(addr, "lua")
        assert len(trace) == length


def test_recording_from_birth_shows_the_boot() -> None:
    """Node(record=True): the first event is the birth of the logger."""
    with Node(clock="virtual", log=list, record=True) as node:
        node.run_until_idle()
        births = [e["label"] for e in node.trace if e["e"] == "birth"]
        assert births == [
            "logger", "snlua bootstrap", "snlua launcher", "snlua cdummy", "harbor 0 4", "snlua datacenterd",
            "snlua service_mgr",
        ]  # fmt: skip
        assert node.trace.state(-1) == node.tables()


# ---- random programs

STEPS = st.sampled_from(
    ["fork", "sleep", "yield", "wait", "wakeup", "call", "send", "timeout", "error", "token", "self"]
)
PROGRAM = st.lists(st.lists(STEPS, min_size=1, max_size=6), min_size=1, max_size=5)


def service(plan: list[list[str]], peer: int | None) -> None:
    """Does what `plan` says, one coroutine for each list; nothing of it may bring the runtime down."""
    sleepers: list[Any] = []

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
            elif step == "error":
                raise ValueError(f"step {n}")

    skynet.dispatch("lua", handler)
    for steps in plan:
        skynet.fork(act, steps, 0)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PROGRAM, PROGRAM)
def test_random_programs_rebuild_and_repeat(first: list[list[str]], second: list[list[str]]) -> None:
    """Any program: the rebuilt tables are the live ones at every event, and a second run is the same."""

    def run() -> tuple[Trace, list[dict[str, Any]]]:
        with Node(clock="virtual", log=list) as node:
            node.run_until_idle()
            with node.record() as trace:
                states = watch(node)
                peer = node.newservice(service, second, None)
                node.newservice(service, first, peer)
                node.run()
            return trace, states

    trace, states = run()
    for i in range(0, len(trace), 7):
        assert trace.state(i) == states[i], trace.text().splitlines()[i]
    assert run()[0].text() == trace.text()
