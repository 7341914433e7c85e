"""Trace tags: one request followed through the log of three services, and in the trace."""

from __future__ import annotations

import re
from typing import Any

import pytest
from test_skynet import marks

from skynet_lite import CallError, Node, SkynetError, Trace, mark, skynet


def say(*words: Any) -> None:
    mark(" ".join(map(str, words)))


def back() -> None:
    def handle(session: int, source: int) -> None:
        skynet.sleep(1)
        skynet.retpack(7)

    skynet.dispatch("lua", handle)


def middle(behind: int) -> None:
    def handle(session: int, source: int, what: str) -> None:
        if what == "bad":
            raise ValueError("oops")
        skynet.retpack(skynet.call(behind, "lua") + 1)
        skynet.sleep(0)

    skynet.dispatch("lua", handle)


def followed(front: Any, **config: Any) -> tuple[list[str], Trace]:
    """The TRACE lines of a run without their places, and its trace."""
    with Node(clock="virtual", log=list, **config) as node, node.record() as trace:
        node.newservice(front, node.newservice(middle, node.newservice(back)))
        node.run()
    return [line for line in node.log_lines if "TRACE" in line], trace


REAL = """
M trace begin, M call, B request, B call, C request, C sleep, C resume, C response, C end, B resume, B response,
B sleep, M resume, M sleep, B resume, B end, M resume, M sleep, M resume, M call, M call, M sleep, B request, B call,
C request, C sleep, B request, B error, M resume, M sleep, C resume, C response, C end, B resume, B response, B sleep,
M resume, M mine, M call, B resume, B end, B request, B error
"""
"""What a skynet of 2026 logs for the same three services: who, and the first words of each line."""


def front(addr: int) -> None:
    skynet.trace("begin")
    say(skynet.tracetag())
    say(skynet.call(addr, "lua", "go"))
    skynet.sleep(1)
    me = skynet.running()
    skynet.fork(lambda: skynet.wakeup(me))
    skynet.wait()
    for _, answer in skynet.select((addr, "lua", "go"), (addr, "lua", "bad")):
        say(answer)
    skynet.tracelog(str(skynet.tracetag()), "mine")
    with pytest.raises(CallError):
        skynet.call(addr, "lua", "bad")


def test_a_tag_follows_the_request_as_in_the_real_one() -> None:
    """The same lines in the same order; the place is the service's own line, the time that of skynet.hpc."""
    lines, trace = followed(front)
    found = [re.fullmatch(r"\[:0000000(.)\] <TRACE :0000000b-1> (\d+) (.*?)( : .*)?", line) for line in lines]
    told = [f"{ {'b': 'M', 'a': 'B', '8': 'C'}[m[1]] } {m[3]}" for m in found if m is not None]
    assert told[:-1] == [x.strip() for x in REAL.strip().replace("\n", " ").split(",")]
    assert told[-1] == "M end"  # of the start function, which there went on
    assert [m[2] for m in found if m is not None][:8] == ["0"] * 6 + ["10000000"] * 2
    call = front.__code__.co_firstlineno + 3
    assert lines[1].endswith(f"call : front:{call}")
    assert [e["text"] for e in trace if e["e"] == "mark"] == [":0000000b-1", "8", "None", "8"]


def test_the_trace_knows_who_serves_which_tag() -> None:
    """An event where a coroutine begins and ends to work under a tag; the tables have it meanwhile."""
    _, trace = followed(front)
    told = [(e["service"][-1], e["co"], e["tag"], e["text"]) for e in trace if e["e"] == "tracetag"]
    assert told[:4] == [
        ("b", "co1", ":0000000b-1", "trace begin"), ("a", "co1", ":0000000b-1", "request"),
        ("8", "co1", ":0000000b-1", "request"), ("8", "co1", None, "end"),
    ]  # fmt: skip
    first = next(i for i, e in enumerate(trace) if e["e"] == "tracetag" and e["service"] == ":00000008")
    tables = trace.state(first)["services"]
    assert [tables[f":0000000{n}"]["session_coroutine_tracetag"] for n in "ba8"] == [
        {"co1": ":0000000b-1"}, {"co1": ":0000000b-1"}, {"co1": ":0000000b-1"},
    ]  # fmt: skip
    assert all(not t.get("session_coroutine_tracetag") for t in trace.state(-1)["services"].values())


def test_traceproto_traces_all_or_none() -> None:
    """Forced on, every request gets a tag of its own; forced off, a tag that comes is spent, and trace does nothing."""

    def server(flag: bool) -> None:
        skynet.traceproto("lua", flag)

        def handle(session: int, source: int) -> None:
            before = skynet.tracetag()
            skynet.trace("again")
            say(before, skynet.tracetag())
            skynet.retpack()

        skynet.dispatch("lua", handle)

    def main() -> None:
        on, off = skynet.newservice(server, True), skynet.newservice(server, False)
        skynet.call(on, "lua")
        skynet.trace()
        for addr in (on, off, off):
            skynet.call(addr, "lua")
        with pytest.raises(SkynetError, match="unknown protocol"):
            skynet.traceproto("nosuch", True)

    assert marks(main) == [
        ":0000000a-1 :0000000a-2", ":00000008-1 :0000000a-3", "False False", "False False",
    ]  # fmt: skip


def test_tracecall_brackets_a_raw_call() -> None:
    """A tag that is given, for one call: what a cluster's sender uses."""

    def main() -> None:
        addr = skynet.newservice(back)
        say(skynet.unpack(skynet.tracecall("mine-1", addr, "lua", skynet.pack())), skynet.tracetag())

    with Node(clock="virtual", log=list) as node:
        node.newservice(main)
        node.run()
    told = [line.split("> ")[1].split(" ", 1)[1].split(" : ")[0] for line in node.log_lines if "TRACE mine-1" in line]
    assert told == ["tracecall begin", "request", "sleep", "resume", "response", "end", "tracecall end"]


def test_a_tag_ends_with_its_task() -> None:
    """A pooled coroutine, a fork and a killed one carry nothing on; a second trace is another tag."""

    def main() -> None:
        def traced() -> None:
            skynet.trace("one")
            skynet.fork(lambda: say("fork", skynet.tracetag()))
            skynet.trace("two")
            say(skynet.tracetag())

        first = skynet.fork(traced)
        skynet.yield_()
        again = skynet.fork(lambda: say("pooled", skynet.tracetag()))
        victim = skynet.fork(lambda: (skynet.trace(), skynet.sleep(9)))
        skynet.yield_()
        say(again is first, skynet.killthread(victim).tag)

    assert marks(main) == [":00000008-2", "fork None", "pooled None", "False None"]


def test_tracing_needs_a_coroutine() -> None:
    """In the main chunk of a file nothing runs that could be traced."""
    with pytest.raises(SkynetError, match="inside a service only"):
        skynet.trace()


def test_a_traced_run_in_words_and_pictures() -> None:
    """The timeline draws a band along whoever serves the tag, and the sentences say it in both languages."""
    _, trace = followed(front)
    told = trace.describe()
    assert "co1 works under the trace tag :0000000b-1 from now on" in told
    assert "跟踪标签 :0000000b-1" in trace.describe(lang="zh")
    from skynet_lite.view.story import Story

    bands = [s for s in Story(trace).stretches if s.kind == "tag"]
    assert {s.label for s in bands} == {":0000000b-1"}
    assert {s.lane[0] for s in bands} == {":00000008", ":0000000a", ":0000000b"}
    assert len(trace.timeline().description) > 0
