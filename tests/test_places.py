"""Where: each step of a coroutine names its line, and the way from there down to the switch."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
from harness import TRACES, Play

from skynet_lite import Node, Trace, mark, skynet, socket
from skynet_lite.core.places import place_of_function

ACTS = ("yield", "wakeup", "fork", "send", "timer_set", "driver", "write", "mark", "co_error")


def record(*services: Any) -> Trace:
    with Node(clock="virtual", log=list) as node, node.record() as trace:
        for service in services:
            node.newservice(service)
        node.run()
    return trace


def line(trace: Trace, place: str) -> str:
    label, _, number = place.rpartition(":")
    return trace.sources[label].splitlines()[int(number) - 1].strip()


def test_each_act_of_a_coroutine_has_its_line() -> None:
    """The text travels in the trace, so the line can be shown wherever the trace is read."""

    def main() -> None:
        skynet.fork(print)
        skynet.timeout(1, lambda: None)
        mark("here")
        skynet.send(skynet.self(), "lua", 1)
        co = skynet.fork(lambda: skynet.wait())
        skynet.sleep(3)
        skynet.wakeup(co)
        socket.listen("127.0.0.1:0")
        skynet.fork(lambda: 1 / 0)

    trace = record(main)
    mine = [e for e in trace if e.get("service") == ":00000008" and "at" in e and e["e"] != "dispatch_failed"]
    said = {e["e"]: line(trace, e["at"]) for e in mine if not (e["e"] == "yield" and e["co"] == "co4")}
    assert said == {
        "fork": "skynet.fork(lambda: 1 / 0)",
        "timer_set": "skynet.sleep(3)",
        "mark": 'mark("here")',
        "send": 'skynet.send(skynet.self(), "lua", 1)',
        "yield": "skynet.sleep(3)",
        "wakeup": "skynet.wakeup(co)",
        "driver": 'socket.listen("127.0.0.1:0")',
        "co_error": "skynet.fork(lambda: 1 / 0)",
    }
    assert set(said) <= set(ACTS)


def test_the_stack_leads_from_the_switch_to_the_users_line(tmp_path: Path) -> None:
    """socket.start → connect → suspend → skynet.wait: the seed's way down, place by place."""
    trace = Play("listen_start", tmp_path).trace
    parked = next(e for e in trace if e["e"] == "yield" and e["command"] == "SLEEP")
    files = [place.rpartition(":")[0] for place in parked["stack"]]
    assert files[:4] == ["skynet/waits.py", *["skynet/socketpool.py"] * 2, "skynet/socket.py"]
    assert parked["stack"][-1] == parked["at"]
    assert "hub.coroutine_yield(SLEEP, session)" in line(trace, parked["stack"][0])
    assert "suspend(s, what)" in line(trace, parked["stack"][2])
    woken = next(e for e in trace if e["e"] == "wakeup")
    assert "at" not in woken, "co2 is the library's own: no line of the user's is running"
    assert "wakeup_coroutine(co)" in line(trace, woken["stack"][0])


def test_a_task_says_where_it_is_defined() -> None:
    """`runs` of co_create: the handler, the forked function, the start function behind its partials."""

    def main() -> None:
        def task(n: int) -> None:
            skynet.sleep(n)

        skynet.fork(functools.partial(task, 1))

    trace = record(main)
    runs = [line(trace, e["runs"]) for e in trace if e["e"] == "co_create" and e.get("service") == ":00000008"]
    assert runs == ["def main() -> None:", "def task(n: int) -> None:"]
    assert place_of_function(print) is None, "what has no code has no place"


def test_who_waits_on_a_socket_is_in_its_table(tmp_path: Path) -> None:
    """`s.co` of skynet's socket object: set when a coroutine parks, gone when it is woken."""
    trace = Play("readline_buffered", tmp_path).trace
    values = [e["value"] for e in trace if e["e"] == "table" and e["table"] == "socket_pool" and e["op"] == "set"]
    assert any(value.endswith("waits in readline") for value in values)
    waiting = next(n for n, e in enumerate(trace) if str(e.get("value", "")).endswith("waits in readline"))
    (service,) = {e["service"] for e in trace if str(e.get("value", "")).endswith("waits in readline")}
    assert "waits in readline" in str(trace.state(waiting)["services"][service]["socket_pool"])
    assert "waits" not in str(trace.state(-1)["services"][service]["socket_pool"])


def test_critical_sections_are_a_table(tmp_path: Path) -> None:
    """Who is inside comes first, then who waits, in their order."""
    trace = Play("queue_three", tmp_path).trace
    seen = [trace.state(n)["services"] for n, e in enumerate(trace) if e.get("table") == "queue"]
    queues = [tables[s]["queue"] for tables in seen for s in tables if tables[s].get("queue")]
    assert max(len(q[1]) for q in queues) == 3
    assert all(t.get("queue", {}) == {} for t in trace.state(-1)["services"].values())


def test_mailboxes_say_what_lies_in_them() -> None:
    """Type, session and sender; of a socket its message and id."""

    def main() -> None:
        skynet.dispatch("lua", lambda session, source, n: n)
        skynet.send(skynet.self(), "lua", 1)
        skynet.timeout(0, lambda: None)
        socket.start(socket.listen("127.0.0.1:0"))

    trace = record(main)
    shown = {m for n in range(len(trace)) for m in trace.state(n)["services"].get(":00000008", {}).get("mailbox", [])}
    assert shown == {
        "launch", "response 1 :00000000", "lua 0 :00000008", "response 2 :00000000", "socket CONNECT 1",
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(path.stem for path in TRACES.glob("*.json")))
def test_recordings_of_the_real_skynet_load_as_traces(name: str) -> None:
    """Their services are A, B, ...; their tables can be looked at, and nothing in them is out of order."""
    trace = Trace.load(TRACES / f"{name}.json")
    assert trace.origin == f"skynet 1.1.0: {name}"
    for n, event in enumerate(trace):
        tables = trace.state(n)["services"]
        assert event["service"] in tables
        if "cause" in event:
            sent = trace[event["cause"]]
            assert (sent["e"], sent["session"], sent["ptype"]) == ("send", event["session"], event["ptype"])
            assert event["cause"] < n
    assert trace.text() and trace.describe()
