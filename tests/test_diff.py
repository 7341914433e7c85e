"""Two runs side by side: trace.diff says whether, where and how they part."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from harness import TRACES, Play
from hypothesis import given, settings, strategies as st

from skynet_lite import Node, Trace, mark, skynet
from skynet_lite.trace import Diff
from skynet_lite.trace.diff import align
from skynet_lite.trace.text import cells

NAMES = sorted(path.stem for path in TRACES.glob("*.json"))


def run(ticks: int, extra: bool = False) -> Trace:
    """A service that marks, sleeps and marks; with `extra` it does one thing more."""

    def main() -> None:
        mark("begin")
        if extra:
            mark("extra")
        skynet.sleep(ticks)
        mark("end")

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
        node.run()
    return trace


def check(diff: Diff, a: Trace, b: Trace) -> None:
    """The rows hold every event of both sides once, in order."""
    assert [i for i, _, _ in diff.rows if i is not None] == list(a.numbers)
    assert [j for _, j, _ in diff.rows if j is not None] == list(b.numbers)
    assert diff.same == all(equal for _, _, equal in diff.rows) == (diff.first is None)


def test_a_run_repeated_is_the_same() -> None:
    """Two runs under the virtual clock have nothing to show but one folded line."""
    a, b = run(3), run(3)
    diff = a.diff(b)
    check(diff, a, b)
    assert diff.same and not diff
    assert str(diff).splitlines() == [
        f"The runs are the same: {len(a)} events.",
        f"… {len(a)} equal events …".ljust(78) + f" = … {len(a)} equal events …",
    ]


def test_the_first_difference_is_named_with_its_line() -> None:
    """A sleep of another length: the events before are equal, and the line of the program is quoted."""
    a, b = run(3), run(4)
    diff = a.diff(b)
    check(diff, a, b)
    assert diff.first is not None
    i, j = diff.first
    assert i == j and i is not None and a[i]["e"] == "timer_set"
    assert a.events[:i] == b.events[:i]
    assert "skynet.sleep(ticks)" in diff.summary()
    parted = [a[k]["e"] for k, (_, _, equal) in enumerate(diff.rows) if not equal]
    assert parted == ["timer_set", "clock", "timer_fired"]
    assert "fired session 2  tick=3" in str(diff)  # the text of an event is not all of it


def test_what_only_one_side_did_has_a_row_of_its_own() -> None:
    """One event more on the right: one row `>`, and all the rest is equal."""
    a, b = run(3), run(3, extra=True)
    diff = a.diff(b)
    check(diff, a, b)
    assert [(i, b[j]["text"]) for i, j, equal in diff.rows if not equal and j is not None] == [(None, "extra")]
    (row,) = [line for line in str(diff).splitlines() if 'mark      "extra"' in line]
    assert row.index(">") == 79 and row[:79].strip() == ""
    (row,) = [line for line in str(b.diff(a)).splitlines() if 'mark      "extra"' in line]
    assert row.endswith(" <")


def test_a_run_that_ends_sooner() -> None:
    """The side that has no more events has no number in `first`."""
    a = run(3)
    diff = a.diff(a[: len(a) - 2])
    assert diff.first == (len(a) - 2, None)
    assert "the end" in diff.summary()


def test_places_are_not_compared(tmp_path: Path) -> None:
    """The same program written elsewhere is the same run."""
    a = run(3)
    moved = [{k: v for k, v in e.items() if k not in ("at", "stack", "runs", "cause")} for e in a]
    assert a.diff(Trace(moved, a.snapshot)).same


def test_parts_keep_their_numbers() -> None:
    """A row names events of the whole trace, also where parts are compared."""
    a = run(3)
    diff = a[5:9].diff(a[5:9])
    assert diff.rows == [(n, n, True) for n in range(5, 9)]


def test_columns_stay_columns() -> None:
    """Wide characters, long texts and odd bytes do not move the middle."""
    words = ["中文" * 40, "a\udcff", "tab\tand\nline", "e\u0301" * 50]
    a = Trace([{"e": "mark", "co": "main", "text": text} for text in words])
    b = Trace([{"e": "mark", "co": "main", "text": text + "!"} for text in words])
    for width in (40, 77, 200):
        rows = [row for row in a.diff(b).text(width=width).splitlines() if " | " in row and "part at" not in row]
        assert len(rows) == 4
        assert {cells(row[: row.index(" | ")]) for row in rows} == {(width - 3) // 2}


def test_context_and_limit() -> None:
    """As much around a difference as asked for, and never more rows than asked for."""
    diff = run(3).diff(run(3, extra=True))
    assert len(diff.text(context=0).splitlines()) + 4 == len(diff.text(context=2).splitlines())
    short = diff.text(limit=1).splitlines()
    assert short[-1].startswith("… ") and "more rows" in short[-1]


def test_in_a_notebook() -> None:
    """A small table, with the text beside it; what users write is escaped."""
    a = Trace([{"e": "mark", "co": "main", "text": "<b>"}])
    bundle = a.diff(Trace())._repr_mimebundle_()
    assert bundle["text/plain"] == str(a.diff(Trace()))
    assert "<table " in bundle["text/html"] and "&lt;b&gt;" in bundle["text/html"] and "<b>" not in bundle["text/html"]


# ---- against the real skynet


@pytest.mark.parametrize("name", NAMES)
def test_our_run_is_the_recording(name: str, tmp_path: Path) -> None:
    """Every scenario: services matched by the order of birth alone, either side on the left."""
    play, recording = Play(name, tmp_path), Trace.load(TRACES / f"{name}.json")
    ours = play.trace.diff(recording)
    assert ours.same, str(ours)
    recorded = {"A", *play.data.get("peer_events", {})}
    assert {theirs for _, theirs in ours.pairs} >= recorded
    assert {
        e["service"] for e in recording if any(e is recording[j] for _, j, _ in ours.rows if j is not None)
    } == recorded
    assert recording.diff(play.trace).same
    assert recording.diff(Trace.load(TRACES / f"{name}.json")).same


def test_services_can_be_matched_by_name(tmp_path: Path) -> None:
    """`names` says who is who; a wrong match parts at once, and an unknown one is refused."""
    play, recording = Play("call_ret", tmp_path), Trace.load(TRACES / "call_ret.json")
    a, b = play.addresses["A"], play.addresses["B"]
    assert play.trace.diff(recording, names={a: "A", b: "B"}).same
    assert play.trace.diff(recording, names={a: "A"}).same
    assert not play.trace.diff(recording, names={a: "B", b: "A"}).same
    with pytest.raises(ValueError, match="no service 'X' here; there is .*, A"):
        play.trace.diff(recording, names={a: "X"})
    with pytest.raises(ValueError, match="both of these traces are ours"):
        play.trace.diff(play.trace, names={a: "A"})


def test_a_run_that_departs_from_skynet_shows_where(tmp_path: Path) -> None:
    """Another scenario's recording: both sides in its form, and the numbers are those of the traces."""
    play, recording = Play("accept_echo_line", tmp_path), Trace.load(TRACES / "two_clients.json")
    diff = play.trace.diff(recording)
    assert diff.first is not None
    i, j = diff.first
    assert i is not None and j is not None
    assert play.trace[i]["type"] == "DATA" and recording[j]["type"] == "ACCEPT"
    assert "A               message   ACCEPT socket 1 new s3" in str(diff)
    assert not Trace.load(TRACES / "call_ret.json").diff(recording).same


# ---- size


EVENTS = st.lists(
    st.builds(lambda co, text: {"e": "mark", "co": co, "text": text}, st.sampled_from(["co1", "co2"]), st.sampled_from("abc")),
    max_size=40,
)  # fmt: skip


@settings(max_examples=300, deadline=None)
@given(EVENTS, EVENTS, st.integers(1, 6))
def test_any_two_runs_align(a: list[dict[str, Any]], b: list[dict[str, Any]], window: int) -> None:
    """Every event once, in order, equal ones really equal; also where the windows are tiny."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("skynet_lite.trace.diff._WINDOW", window)
        rows = list(align(a, b))
    assert [i for i, _, _ in rows if i is not None] == list(range(len(a)))
    assert [j for _, j, _ in rows if j is not None] == list(range(len(b)))
    for i, j, equal in rows:
        assert equal == (i is not None and j is not None and a[i] == b[j])


def test_long_runs(tmp_path: Path) -> None:
    """100 000 events: equal, with a thousand lost, and with nothing in common; the work stays bounded.

    The bound is generous: a quadratic alignment would take hours.
    """
    some = Play("accept_echo_line", tmp_path).trace.events
    rng = random.Random(1)
    events = [{**rng.choice(some), "n": k // 50} for k in range(100_000)]
    lost = set(rng.sample(range(100_000), 1000))
    begin = time.process_time()
    assert Trace(events).diff(Trace([dict(e) for e in events])).same
    shorter = Trace(events).diff(Trace([e for k, e in enumerate(events) if k not in lost]))
    assert 1000 <= sum(not equal for _, _, equal in shorter.rows) < 1100
    other = Trace(events[:30_000]).diff(Trace([{**e, "n": -1} for e in events[:30_000]]))
    assert not any(equal for _, _, equal in other.rows)
    assert len(str(other).splitlines()) < 250
    assert time.process_time() - begin < 100
