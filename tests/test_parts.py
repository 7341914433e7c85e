"""Parts of a trace: less to look at, and the numbers stay those of the whole."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Play

from skynet_lite import Node, Outside, Trace, mark, skynet


@pytest.fixture
def trace(tmp_path: Path) -> Trace:
    return Play("call_back_nested", tmp_path).trace


def test_a_slice_keeps_the_numbers(trace: Trace) -> None:
    """Text, events and tables of the part are those of the whole at the same numbers."""
    part = trace[10:30]
    assert len(part) == 20
    assert part.text().splitlines() == trace.text().splitlines()[10:30]
    assert part[0] is trace[10] and part[-1] is trace[29]
    assert part.state(0) == trace.state(10) and part.state() == trace.state(29)
    assert list(part[5:7].numbers) == [15, 16]
    assert part.whole is trace and part[5:7].whole is trace
    assert len(trace[40:20]) == 0 and trace[40:20].state() == trace.tables().view()


def test_only_one_service_or_coroutine(trace: Trace) -> None:
    """By address, name or several; by label or number."""
    (name, address) = next((n, a) for a, n in trace.names().items() if n == "B")
    part = trace.only(service=name)
    assert {e["service"] for e in part} == {address}
    assert part.text() == trace.text(service=address)
    one = trace.only(service=name, coroutine="co1")
    assert one.text() == trace.only(service=address, coroutine=1).text()
    assert 0 < len(one) < len(part)
    assert all("co1" in (e.get("co"), e.get("in")) for e in one)
    assert part.only(coroutine=["co1"]).text() == one.text()
    with pytest.raises(ValueError, match="no service 'nobody' in this trace; it knows"):
        trace.only(service="nobody")
    with pytest.raises(ValueError, match="no coroutine 'co99' here; there is co1"):
        trace.only(coroutine=99)


def test_around_a_mark() -> None:
    """Named by its text, by its beginning, or by the number of an event."""

    def main() -> None:
        mark("the first step")
        skynet.sleep(1)
        mark("the second step")

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
    at = next(n for n, e in enumerate(trace) if e.get("text") == "the second step")
    assert list(trace.around("the second", before=2, after=1).numbers) == [at - 2, at - 1, at, at + 1]
    assert trace.around(at, 2, 1).text() == trace.around("the second step", 2, 1).text()
    assert trace.around("the", 0, 0)[0]["text"] == "the first step"
    with pytest.raises(ValueError, match="no mark 'third' in this trace; it has 'the first step', 'the second step'"):
        trace.around("third")
    with pytest.raises(ValueError, match="no event 9999"):
        trace.around(9999)


def test_a_part_is_stored_as_a_trace_of_its_own(trace: Trace, tmp_path: Path) -> None:
    """Cut out: its tables begin where the part does, its causes lead nowhere else, its numbers begin at 0."""
    trace[20:50].save(tmp_path / "part.json")
    part = Trace.load(tmp_path / "part.json")
    assert len(part) == 30
    for n in range(30):
        assert part.state(n) == trace.state(20 + n)
        assert part[n].get("cause", -1) < n
    assert [line[5:] for line in part.text().splitlines()] == [line[5:] for line in trace.text().splitlines()[20:50]]


class Steps(Outside):
    """A clock that is a millisecond later each time it is read."""

    ns = 0

    def monotonic_ns(self) -> int:
        self.ns += 1_000_000
        return self.ns


def test_time_under_the_virtual_clock_is_its_ticks() -> None:
    """Seconds since the recording began; no dispatch takes any time."""

    def main() -> None:
        skynet.sleep(150)
        mark("later")

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
    at = next(n for n, e in enumerate(trace) if e.get("text") == "later")
    assert trace.seconds(0) == 0
    assert trace.seconds(at) == 1.5
    assert trace.took(at) is None
    assert trace[at:].seconds(0) == 1.5


def test_time_under_the_real_clock_is_beside_the_events(tmp_path: Path) -> None:
    """It is noted before and after each message, never in an event: the same program has the same text."""

    def main() -> None:
        skynet.dispatch("lua", lambda session, source: skynet.retpack())

    def once() -> Trace:
        with Node(log=list, outside=Steps()) as node:
            addr = node.newservice(main)
            with node.record() as trace:
                node.call(addr, "lua")
                node.call(addr, "lua")
        return trace

    trace = once()
    assert trace.text() == once().text()
    times = [trace.seconds(n) for n in range(len(trace))]
    assert times == sorted(times) and times[-1] > times[0]
    messages = [n for n, e in enumerate(trace) if e["e"] == "message"]
    assert all(trace.took(n) == pytest.approx(0.001) for n in messages)
    trace.save(tmp_path / "t.json")
    assert Trace.load(tmp_path / "t.json").took(messages[-1]) == trace.took(messages[-1])
    part = trace[messages[-1] :]
    assert part.took(0) == pytest.approx(0.001)
    assert part.cut().took(0) == pytest.approx(0.001)
