"""The timeline says what the trace says, and can be read: no label touches another."""

from __future__ import annotations

import base64
import io
import re
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from itertools import pairwise, takewhile
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from chinese import foreign, said
from harness import TRACES, Play, echo_trace, recording, skip
from hypothesis import given, settings, strategies as st
from matplotlib import image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb
from matplotlib.patches import FancyArrowPatch
from matplotlib.path import Path as Shape

from skynet_lite import Node, Trace, mark, skynet
from skynet_lite.trace.language import speaking
from skynet_lite.view import figure as letters
from skynet_lite.view.density import DENSE, Density
from skynet_lite.view.drawing import Drawing
from skynet_lite.view.figure import LIGHT, Timeline
from skynet_lite.view.labels import Placer, along, around, beside, under
from skynet_lite.view.lanes import FOLDED, MAILBOX, SOCKET, TIMER, fitting, lanes
from skynet_lite.view.layout import LEFT, Columns
from skynet_lite.view.story import Story, window
from skynet_lite.view.timeline import timeline

NAMES = sorted(path.stem for path in TRACES.glob("*.json"))


def story(trace: Trace, **options: Any) -> Story:
    return Story(trace, **options)


def labels(figure: Timeline) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def check_readable(figure: Timeline, dpi: float = 100) -> None:
    """No two texts overlap, and none leaves the page; measured by matplotlib itself."""
    figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(figure)
    renderer = canvas.get_renderer()
    width, height = canvas.get_width_height()
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in figure.axes[0].texts]
    for text, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, f"{text!r} leaves the page"
    boxes.sort(key=lambda one: one[1].x0)
    for i, (text, a) in enumerate(boxes):
        for other, b in takewhile(lambda one: one[1].x0 < a.x1, boxes[i + 1 :]):
            assert a.y1 <= b.y0 or b.y1 <= a.y0, f"{text!r} and {other!r} overlap"


@pytest.fixture(scope="module")
def echo() -> Trace:
    return echo_trace()


# ---- every scenario


@pytest.mark.parametrize("name", NAMES)
def test_every_scenario_can_be_read(name: str, tmp_path: Path) -> None:
    """Labels apart and on the page; every resume green, every yield red; no warning on the way."""
    trace = Play(name, tmp_path).trace
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_readable(timeline(trace, title=name))
    told = story(trace)
    drawn = {(m.at, m.kind) for m in told.marks}
    for i, event in enumerate(trace.events):
        if event["e"] in ("resume", "yield") and event["service"] in told.shown:
            assert (i, event["e"]) in drawn


@pytest.mark.parametrize("name", NAMES)
def test_recordings_of_the_real_skynet_can_be_drawn(name: str) -> None:
    """They know no node, no address and no cause, and draw in the same view."""
    data = recording(name)
    for events in [data["events"], *data.get("peer_events", {}).values()]:
        trace = Trace(events)
        figure = timeline(trace, title=f"skynet 1.1.0: {name}", dark=True)
        check_readable(figure)
        told = story(trace)
        resumed = [e for e in events if e["e"] == "resume"]
        assert sum(m.kind == "resume" for m in told.marks) == len(resumed)
        for i, event in enumerate(events):
            if event["e"] == "resume" and event["by"] in ("raw_dispatch_message", "dispatch_wakeup"):
                words = [a.label for a in told.arrows if a.at == i] + [m.label for m in told.marks if m.at == i]
                assert event["by"] in words, f"nothing says why {event['co']} goes on at {i}"


# ---- what the seed's picture shows


def test_the_seeds_picture(echo: Trace) -> None:
    """From driver command to resume: the chain of the article, mechanism by mechanism."""
    stop = next(i for i, e in enumerate(echo) if e["e"] == "client")
    told = story(echo, stop=stop)
    (service,) = told.shown
    assert [lane.key for lane in told.lanes] == [("", SOCKET), (service, MAILBOX), (service, "co1"), (service, "co2")]
    chain = [(a.source[1], a.target[1], a.label.replace("\n", " ")) for a in told.arrows]
    assert chain == [
        (MAILBOX, "co1", "raw_dispatch_message"),
        ("co1", SOCKET, "driver.listen(1)"),
        ("co1", SOCKET, "driver.start(1)"),
        (SOCKET, MAILBOX, "CONNECT"),
        (MAILBOX, "co2", "raw_dispatch_message"),
        ("co2", "co1", "wakeup → wakeup_queue"),
        ("co2", "co1", "dispatch_wakeup"),
    ]
    stretches = sorted((s.start, s.lane[1], s.kind) for s in told.stretches if s.kind in ("run", "parked", "due"))
    runs = [(co, kind) for _, co, kind in stretches]
    assert runs == [
        ("co1", "due"), ("co1", "run"), ("co1", "parked"), ("co2", "run"), ("co1", "due"), ("co1", "run")
    ]  # fmt: skip
    shown = labels(timeline(echo, stop=stop))
    for words in (
        "driver.start(1)", "CONNECT", "raw_dispatch_message", "wakeup →\nwakeup_queue", "dispatch_wakeup",
        'yield "SLEEP", 2', 'yield "EXIT"', "socket_message[2]", "co1", "co2", "start function",
    ):  # fmt: skip
        assert words in shown
    assert any(text.startswith("start on s1") for text in shown)


def test_a_client_has_a_row_and_its_bytes_an_arrow(echo: Trace) -> None:
    """ACCEPT, DATA with its size, and what the client did."""
    told = story(echo)
    assert told.lanes[0].key == ("", "client#1")
    assert {"ACCEPT", "DATA 6 bytes", "CLOSE", "write 6 bytes"} <= {a.label for a in told.arrows}
    assert [m.label for m in told.marks if m.kind == "client"][:2] == ["connect", "send 6 bytes"]


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_legend_names_what_is_there_and_nothing_else(echo: Trace, lang: str) -> None:
    """In rows, where one beside the title has no room for all of it."""
    with speaking(lang):
        whole, part = (Drawing(story(t), "echo", LIGHT, None, None) for t in (echo, echo[: echo.find("yield")]))
        for drawing in (whole, part):
            told = drawing.story
            there = {m.kind for m in told.marks} | {s.kind for s in told.stretches}
            named = [kind for row in drawing.legend for kind, _, _ in row]
            unsaid = {"push", "message", "client", "write", "state", "wakeup", "work", "exit", "pending"}
            assert len(named) == len(set(named)) and set(named) == there - unsaid
            shown = labels(drawing.draw())
            assert {text for row in drawing.legend for _, text, _ in row} <= set(shown)
            assert all(sum(width for _, _, width in row) <= drawing.width for row in drawing.legend)
    assert {"run", "due", "driver", "command", "ready"} <= {kind for row in whole.legend for kind, _, _ in row}


def test_green_and_red_are_in_the_picture(echo: Trace) -> None:
    """Both themes draw the colours that the text promises."""
    for dark, green, red in ((False, "#00875a", "#c9281c"), (True, "#2fc48d", "#ff6f5e")):
        pixels = image.imread(io.BytesIO(timeline(echo, dark=dark).png()))[:, :, :3]
        for colour in (green, red):
            near = (abs(pixels - to_rgb(colour)).sum(axis=2) < 0.05).sum()
            assert near > 200, f"{colour} covers {near} pixels"


def test_timers_forks_and_failures(tmp_path: Path) -> None:
    """Each has its own arrow, and a coroutine that raises its cross."""
    trace = Play("woken_raises_rest_delayed", tmp_path).trace
    told = story(trace)
    kinds = {a.kind for a in told.arrows}
    assert {"timer", "fork", "wakeup", "dispatch_wakeup", "dispatch"} <= kinds
    assert ("", TIMER) in {lane.key for lane in told.lanes}
    assert [m.label for m in told.marks if m.kind == "error"] == ["raises: boom"]
    failed = story(Play("term_two_callers", tmp_path).trace)
    assert sum(a.label == "dispatch_error_queue" for a in failed.arrows) == 2


def test_the_order_of_the_lanes() -> None:
    """The world above the services; of each the mailbox first, whoever is seen before; the folded in one."""
    seen = [("b", "co1"), ("", TIMER), ("a", "co1"), ("b", MAILBOX), ("", "client#1"), ("c", "co1"), ("d", FOLDED),
            ("", SOCKET), ("b", "co2")]  # fmt: skip
    found = lanes(seen, ["client#1"], {"a": "A", "b": "B", "d": "D"}, {("a", "co1"): "start function"})
    assert [lane.key for lane in found] == [
        ("", "client#1"), ("", SOCKET), ("", TIMER), ("b", MAILBOX), ("b", "co1"), ("b", "co2"), ("a", "co1"),
        ("d", FOLDED),
    ]  # fmt: skip
    assert [(lane.title, lane.note) for lane in found[-2:]] == [("co1", "start function"), ("D", "")]
    keys = seen[:3]
    assert fitting(keys, {keys[1]}, 2) == {keys[0], keys[1]} and fitting(keys, {keys[2]}, 1) == {keys[2]}


def test_parts_of_one_run_have_their_lanes_in_one_order() -> None:
    """That of birth, whoever acts first in a part: so a reader who has found co2 finds it again."""

    def sleeper(ticks: int) -> None:
        for _ in range(2):
            skynet.sleep(ticks)

    def main() -> None:
        for ticks in (3, 2):
            skynet.fork(sleeper, ticks)

    trace = run(main)
    whole = [lane.key for lane in story(trace).lanes]
    assert [name for _, name in whole][-3:] == ["co1", "co2", "co3"]
    for start in range(len(trace)):
        part = [lane.key for lane in story(trace[start:]).lanes]
        assert part == [key for key in whole if key in part]


def test_labels_wish_for_places_off_what_they_name() -> None:
    """Each of its size; in a line too short for it a label wishes for none."""
    for wishes in (around(50, (10, 20), (0.0, 0.5)), along(0, 90, 50, 4), under(0, 90, 50), beside((10, 10), (40, 80))):
        boxes = wishes(30, 8)
        assert len(boxes) == len(set(boxes)) > 1
        assert all((x1 - x0, y1 - y0) == pytest.approx((30, 8)) for x0, y0, x1, y1 in boxes)
    assert along(0, 30, 50, 4)(30, 8) == under(0, 20, 50)(30, 8) == []
    assert all(box[3] <= 50 for box in under(0, 90, 50)(30, 8))
    assert not any(Placer(200, 200).free(box) for box in around(0, (0,), (0.0,))(30, 8)), "half of it leaves the page"


# ---- what each one waits for


def parked(trace: Trace, **options: Any) -> list[str]:
    return [s.label for s in story(trace, **options).stretches if s.kind == "parked"]


def run(main: Any) -> Trace:
    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
        node.run()
    return trace


def test_parked_stretches_say_what_for(echo: Trace) -> None:
    """The socket and the function, from socket_pool; and the line."""
    waits = [label.partition(", at main:") for label in parked(echo)]
    assert [what for what, _, _ in waits] == [
        "start on s1",
        "start on s2",
        "readline on s2",
        "close on s2",
    ]
    assert all(line.isdigit() for _, _, line in waits)


def lane_of(trace: Trace, co: str) -> list[tuple[str, str, str]]:
    """What the lane of a coroutine does, one after the other, each with the events at which it begins and ends."""

    def said(i: int | None) -> str:
        return "" if i is None else " ".join([trace.whole.events[i]["e"], trace.whole.events[i].get("by", "")]).strip()

    found = [s for s in story(trace).stretches if s.lane[1] == co and s.kind != "tag"]
    return [(s.kind, said(s.start), said(s.stop)) for s in sorted(found, key=lambda s: s.start or 0)]


def forked(*functions: Callable[[], Any]) -> Trace:
    """A service whose start function forks these."""
    return run(lambda: [skynet.fork(function) for function in functions])


def test_who_is_woken_is_queued_and_runs_later() -> None:
    """`wakeup` does not resume: from there to its turn the lane says *queued to run*, and so it does after a fork."""
    trace = forked(lambda: skynet.wait("token"), lambda: (skynet.wakeup("token"), skynet.wakeup("nobody's")))
    assert lane_of(trace, "co2") == [
        ("due", "co_create", "resume fork"),
        ("run", "resume fork", "yield"),
        ("parked", "yield", "wakeup"),
        ("due", "wakeup", "resume dispatch_wakeup"),
        ("run", "resume dispatch_wakeup", "yield"),
        ("pool", "yield", ""),
    ]
    assert [kind for kind, _, _ in lane_of(trace, "co3")] == ["due", "run", "pool"]
    queues = [(s.lane[1], s.label) for s in story(trace).stretches if s.kind == "due"]
    assert sorted(queues) == [
        ("co1", "in the mailbox"), ("co2", "fork_queue"), ("co2", "wakeup_queue"), ("co3", "fork_queue")
    ]  # fmt: skip


@pytest.mark.parametrize(("token", "again"), [("first", "due"), ("second", "parked")])
def test_who_is_woken_twice_is_queued_as_soon_as_it_sleeps_again(token: str, again: str) -> None:
    """The second entry is still in wakeup_queue. If it is that of this sleep, the sleep is none."""
    twice = forked(
        lambda: (skynet.wait("first"), skynet.wait(token)),
        lambda: (skynet.wakeup("first"), skynet.wakeup("first")),
    )
    kinds = [kind for kind, _, _ in lane_of(twice, "co2")]
    assert kinds[:6] == ["due", "run", "parked", "due", "run", again]


def test_who_is_answered_is_queued_until_its_response_is_taken() -> None:
    """The response lies in its mailbox; who answered is resumed by `suspend`, and is not in the pool before."""

    def store() -> None:
        @skynet.dispatch("lua")
        def answer(session: int, source: int) -> None:
            skynet.ret(skynet.pack(1))
            skynet.yield_()

    def main() -> None:
        skynet.call(skynet.newservice(store), "lua")

    trace = run(main)
    client, server = (trace.only(service=name) for name in ("main", "store"))
    assert ("due", "push send", "resume raw_dispatch_message") in lane_of(client, "co1")
    kinds = [kind for kind, start, _ in lane_of(server, "co1") if start == "yield"]
    assert kinds[-3:] == ["due", "due", "pool"]


def test_who_was_queued_when_the_recording_began(echo: Trace) -> None:
    """A part of a trace knows the queues of its beginning from the tables."""
    woken = echo.find("wakeup")
    part = echo[woken + 1 :].cut()
    lane = lane_of(part, echo[woken]["co"])
    assert lane[0] == ("due", "", "resume dispatch_wakeup")


def test_a_sleep_says_how_long_and_a_wait_does_not() -> None:
    """The ticks are in the timer_set before the yield; a wait has none. A timer's coroutine waits for it too."""

    def main() -> None:
        skynet.timeout(7, lambda: skynet.wakeup("token"))
        skynet.sleep(3)
        skynet.wait("token")

    labels = [label.partition(", at")[0] for label in parked(run(main))]
    assert sorted(labels) == ["SLEEP 3, 3 ticks", "SLEEP 4", "timer 2, 7 ticks"]


def test_a_call_says_whom_it_asks() -> None:
    """The address stands in the send before the yield."""

    def store() -> None:
        @skynet.dispatch("lua")
        def answer(session: int, source: int) -> None:
            skynet.ret(skynet.pack(1))

    def main() -> None:
        skynet.call(skynet.newservice(store), "lua")

    labels = [label.partition(", at")[0] for label in parked(run(main))]
    assert [label for label in labels if label.startswith("CALL")] == ["CALL 2 → :00000003", "CALL 3 → :0000000a"]


def test_a_critical_section_says_who_is_before() -> None:
    """Who waits stands behind the one that asked before, which is not always the one inside."""

    def main() -> None:
        lock = skynet.queue()
        for _ in range(3):
            skynet.fork(lock, skynet.sleep, 1)

    labels = [label for label in parked(run(main)) if label.startswith("queue")]
    assert labels == ["queue 1 behind co2", "queue 1 behind co3"]


def test_what_somebody_waits_for_is_known_from_the_snapshot(echo: Trace) -> None:
    """A recording, or a part, that begins in the middle: the tables say what was parked then."""
    i = next(i for i, e in enumerate(echo) if "waits in readline" in str(e.get("value")))
    part = echo[i + 4 :].cut()  # after the yield, and two tables
    assert [s.short for s in story(part).stretches if s.kind == "parked" and s.start is None] == ["readline on s2"]


# ---- parts


def test_a_part_draws_just_that(echo: Trace) -> None:
    """By number, about an event: the window, and who was parked when it opened."""
    for part in (echo[60:100], echo.around(80, 20, 19)):
        told = story(part)
        assert (told.window.start, told.window.stop) == (60, 100)
        assert told.columns and set(told.columns) <= set(range(60, 100))
        check_readable(part.timeline())
    assert story(echo[60:100], start=70).window == range(70, 100)
    assert not story(echo[0:0]).lanes
    check_readable(echo[0:0].timeline(dark=True))


def test_no_row_is_empty(echo: Trace) -> None:
    """A cause before the part is told by its effect; it has no row for that alone."""
    for start in range(len(echo)):
        told = story(echo[start:])
        shown = {m.lane for m in told.marks} | {s.lane for s in told.stretches}
        ends = {lane for a in told.arrows for lane in (a.source, a.target)}
        assert {lane.key for lane in told.lanes} <= shown | ends


def test_only_a_coroutine(echo: Trace) -> None:
    """Its row and the chain that leads to it; whatever else happened meanwhile is left out."""
    told = story(echo.only(coroutine="co2"))
    assert {lane.title for lane in told.lanes} == {SOCKET, MAILBOX, "co2"}
    resumes = [i for i, e in enumerate(echo) if e["e"] == "resume" and e["co"] == "co2" and e["service"] in told.shown]
    assert [m.at for m in told.marks if m.kind == "resume"] == resumes
    messages = [m.at for m in told.marks if m.kind == "message"]
    assert messages == [echo[i]["cause"] for i in resumes if echo[i]["cause"] in told.window]
    # Who was resumed by a coroutine that is not shown still says by what.
    alone = story(echo.only(coroutine="co1"))
    assert "dispatch_wakeup" in {m.label for m in alone.marks if m.kind == "resume"}
    check_readable(echo.only(coroutine="co1").timeline())


def test_only_a_service() -> None:
    """The rows of that service; what comes from others still says what it is."""
    trace = calls()
    told = story(trace.only(service="store"))
    assert {lane.key[0] for lane in told.lanes} == {"", trace.find_services("store").pop()}
    assert any(m.kind == "push" and m.label.startswith('lua "GET"') for m in told.marks)
    check_readable(trace.only(service="store").timeline())


# ---- folded services


def calls() -> Trace:
    """Two services; one call sleeps, the other fails."""

    def store() -> None:
        @skynet.dispatch("lua")
        def work(session: int, source: int, command: str) -> None:
            skynet.sleep(2)
            if command != "GET":
                raise ValueError(command)
            skynet.ret(skynet.pack(1))

    def front() -> None:
        address = skynet.newservice(store)
        skynet.call(address, "lua", "GET")
        with pytest.raises(skynet.CallError):
            skynet.call(address, "lua", "NOPE")
        mark("failed")

    return run(front)


def test_a_folded_service_has_one_row_and_keeps_its_arrows() -> None:
    """Who sends to it, and to whom it answers; what is between its own rows is not drawn."""
    trace = calls()
    open_, folded = story(trace), story(trace, fold="store")
    (store,) = trace.find_services("store")
    assert [lane.kind for lane in folded.lanes if lane.key[0] == store] == ["folded"]

    def border(told: Story) -> list[str]:
        return [a.label for a in told.arrows if (a.source[0] == store) != (a.target[0] == store)]

    assert border(folded) == border(open_)
    assert {"response 3", "error 4"} <= set(border(folded))
    assert not any(a.source[0] == a.target[0] == store for a in folded.arrows)
    assert [m.label for m in folded.marks if m.kind == "error"] == ["raises: NOPE"]
    assert "store :0000000a" in labels(timeline(trace, fold="store"))
    for fold in (True, False, "store", ["store", "launcher"]):
        check_readable(timeline(trace, fold=fold))
    assert {lane.kind for lane in story(trace, fold="launcher").lanes if lane.key[0] == ":00000003"} == {"folded"}
    with pytest.raises(ValueError, match="no service 'nobody'"):
        timeline(trace, fold="nobody")


def test_idle_services_are_folded_by_themselves() -> None:
    """Nothing of it runs in this part: one row that says who waits there."""
    trace = calls()
    (store,) = trace.find_services("store")
    i = next(i for i, e in enumerate(trace) if e["e"] == "yield" and e["command"] == "SLEEP" and e["service"] == store)
    part = trace[i + 1 : i + 5]
    told = story(part, fold=True)
    assert {lane.kind for lane in told.lanes if lane.key[0] == store} == {"folded"}
    assert [s.label for s in told.stretches if s.lane[0] == store] == ["co1: SLEEP 2, 2 ticks"]
    assert {lane.kind for lane in story(part).lanes if lane.key[0] == store} == {"coroutine"}
    check_readable(part.timeline())


# ---- by time


def columns(trace: Trace, by: str) -> tuple[list[int], list[float]]:
    """Moments, and where on the page they stand: read from the marks of the axis."""
    figure = timeline(trace, by=by)
    check_readable(figure)
    told = story(trace)
    return told.columns, Columns(told, None, 60, trace.times()[0] if by == "time" else None).xs


def test_by_time_the_distance_tells_how_long() -> None:
    """What happens in one tick stands side by side in order; three times the wait has the wider gap."""

    def main() -> None:
        for ticks in (10, 30):
            skynet.sleep(ticks)

    trace = run(main)
    moments, xs = columns(trace, "time")
    ticks, unit = trace.times()
    assert unit == "tick"
    assert xs == sorted(set(xs))
    gaps = {}
    for (a, x), (b, y) in pairwise(zip(moments, xs)):
        gaps.setdefault(ticks[b] - ticks[a], []).append(y - x)
    assert sorted(gaps) == [0, 10, 30]
    assert gaps[30][0] - gaps[0][0] == pytest.approx(3 * (gaps[10][0] - gaps[0][0]))
    shown = labels(timeline(trace, by="time"))
    assert {"0", "10", "40"} <= set(shown)
    assert any("ticks of 10 ms" in text for text in shown)


def test_the_real_clock_has_its_own_unit() -> None:
    """Seconds since the recording began, in the unit that fits."""

    def main() -> None:
        skynet.sleep(2)

    with Node(log=list) as node, node.record() as trace:
        node.newservice(main)
    figure = timeline(trace, by="time")
    check_readable(figure)
    assert any(text.startswith("time in ") and "ticks" not in text for text in labels(figure))


def test_what_has_no_time_says_so(tmp_path: Path) -> None:
    """A recording of the real skynet is drawn by event only; and there is no third axis."""
    trace = Trace.load(TRACES / "call_ret.json")
    with pytest.raises(ValueError, match="tells no times: draw it by event"):
        timeline(trace, by="time")
    with pytest.raises(ValueError, match="'event' or 'time'"):
        timeline(trace, by="size")


# ---- the real skynet, several services in one picture


@pytest.mark.parametrize("name", NAMES)
def test_a_loaded_recording_draws_all_its_services(name: str) -> None:
    """A message that was matched with its send has an arrow from who sent it."""
    trace = Trace.load(TRACES / f"{name}.json")
    check_readable(trace.timeline())
    told = story(trace)
    drawn = {(a.source[0], a.target[0], a.at) for a in told.arrows if a.kind == "send"}
    for e in trace:
        if e["e"] == "message" and "cause" in e:
            send = trace[e["cause"]]
            own = (send["service"], e["service"], e["cause"])
            assert own in drawn or send["in"] == "main" and send["service"] == e["service"]
    assert trace.timeline().description.startswith(f"Timeline 'skynet 1.1.0: {name}'")


# ---- options


def test_boot_services_are_folded(echo: Trace) -> None:
    """Unless asked for, by name, by address, or all."""
    (service,) = story(echo).shown
    assert story(echo, services="all").shown > {service, ":00000003"}
    assert story(echo, services="launcher").shown == {":00000003"}
    assert story(echo, services=[3, service]).shown == {":00000003", service}
    check_readable(timeline(echo, services="all"))
    with pytest.raises(ValueError, match="no service 'nobody' in this trace; it knows .*:00000008 main"):
        timeline(echo, services="nobody")


def test_a_window_keeps_what_was_before(echo: Trace) -> None:
    """Who was parked when the window opens is drawn parked, from its left edge."""
    start = next(i for i, e in enumerate(echo) if e["e"] == "yield" and e["command"] == "SLEEP") + 1
    told = story(echo, start=start)
    parked = [s for s in told.stretches if s.kind == "parked" and s.start is None]
    assert [(s.lane[1], s.short) for s in parked] == [("co1", "start on s1")]
    for start in range(0, len(echo), 17):
        for stop in (start, start + 1, start + 9, start + 40, None):
            check_readable(timeline(echo, start=start, stop=stop))
    assert story(echo, start=-10).columns[0] >= len(echo) - 10


def test_what_was_parked_before_the_recording() -> None:
    """It is in the snapshot, and so in the picture."""

    def main() -> None:
        skynet.fork(skynet.sleep, 5)
        skynet.sleep(2)

    with Node(clock="virtual", log=list) as node:
        node.newservice(main, wait=False)
        node.run_until_idle()
        with node.record() as trace:
            node.advance(3)
    told = story(trace)
    first = {s.lane[1]: s.label for s in told.stretches if s.start is None}
    assert first == {"co1": "SLEEP 2", "co2": "SLEEP 3"}
    check_readable(timeline(trace))


def test_an_empty_trace_is_a_picture_too() -> None:
    figure = Trace().timeline()
    check_readable(figure)
    assert figure.summary == "timeline: 0 events, 0 coroutines, 0 resumes"
    assert "no events" in " ".join(labels(figure))
    check_readable(Trace().timeline(title="", figsize=(3, 1), dark=True))


@pytest.mark.parametrize("figsize", [(2, 1), (6, 3), (11, 20), (40, 4)])
def test_any_size_can_be_read(echo: Trace, figsize: tuple[float, float]) -> None:
    """Where there is little room there are fewer labels, never overlapping ones."""
    for dpi in (72, 144):
        check_readable(timeline(echo, figsize=figsize, title="a title that is rather long for a small page " * 2), dpi)


def test_the_same_trace_gives_the_same_bytes(echo: Trace, tmp_path: Path) -> None:
    """Also after it was stored and read back."""
    echo.save(tmp_path / "echo.json")
    assert timeline(echo).png() == timeline(echo).png() == Trace.load(tmp_path / "echo.json").timeline().png()


# ---- much, and hostile


def crowd(coroutines: int, rounds: int) -> Trace:
    def loop() -> None:
        for _ in range(rounds):
            skynet.sleep(1)

    def main() -> None:
        for _ in range(coroutines):
            skynet.fork(loop)

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
        node.run()
    return trace


@pytest.mark.parametrize("overview", [None, False])
def test_ten_thousand_events_take_seconds(overview: bool | None) -> None:
    """As an overview, which is what they get, and event by event, if somebody insists."""
    trace = crowd(100, 9)
    assert len(trace) > 10_000
    begin = time.process_time()
    figure = timeline(trace, overview=overview)
    figure.png(100)
    assert time.process_time() - begin < 15  # 1 and 2.5 on an idle machine
    check_readable(figure)


def test_more_coroutines_than_rows() -> None:
    """The picture says how many it leaves out."""
    trace = crowd(200, 1)
    told = story(trace)
    assert (sum(lane.kind == "coroutine" for lane in told.lanes), told.hidden) == (120, 81)
    figure = timeline(trace, overview=False)
    assert any("81 more coroutines have no row" in text for text in labels(figure))
    check_readable(figure)
    check_readable(timeline(trace, max_lanes=1000, overview=False))


def test_many_services() -> None:
    """Coroutines stand under the mailbox of their own service."""

    def worker(boss: int) -> None:
        @skynet.dispatch("lua")
        def work(session: int, source: int, n: int) -> None:
            skynet.ret(skynet.pack(n * 2))

    def main() -> None:
        workers = [skynet.newservice(worker, skynet.self()) for _ in range(12)]
        for w in workers:
            skynet.call(w, "lua", 21)

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
    told = story(trace)
    assert len(told.shown) == 13
    owner = None
    for lane in told.lanes:
        owner = lane.key[0] if lane.kind == "mailbox" else owner
        assert lane.kind != "coroutine" or lane.key[0] == owner
    check_readable(timeline(trace))


@pytest.mark.parametrize(
    "text", ["$x^2$ costs $5", "two\nlines\tand\x00more", "一二三 ☃ \U0001f600", "long " * 200, "\udcff", ""]
)
def test_any_text_can_be_a_mark(text: str) -> None:
    """No mathematics, no missing glyphs, no second line; the runtime's own words are kept."""

    def main() -> None:
        mark(text)

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
        mark(text)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = timeline(trace, title=text)
        check_readable(figure)
        figure.png()
    if text.startswith("$"):
        assert text in labels(figure)


# ---- an overview


def test_a_long_run_is_counted() -> None:
    """The rows of the overview hold every resume, error and mark of the run, each once."""

    def main() -> None:
        def loop(n: int) -> None:
            for _ in range(30):
                skynet.sleep(1 + n % 3)
            mark(f"done {n}")
            if n == 7:
                raise ValueError("boom")

        for n in range(60):
            skynet.fork(loop, n)

    trace = run(main)
    figure = timeline(trace)
    assert "overview of" in figure.description
    check_readable(figure)
    (service,) = story(trace, stop=20).shown
    counted = Density(trace, {service}, window(trace, 0, None), range(len(trace)), 300)
    mine = [e for e in trace if e.get("service") == service]
    bars = next(row for row in counted.rows if row.kind == "service")
    resumes = sum(e["e"] == "resume" for e in mine)
    assert sum(bars.counts) == resumes == sum(sum(row.counts) for row in counted.rows if row.kind == "strip")
    assert (len(bars.marks), len(bars.errors)) == (60, 1)
    longest = max(len(trace.state(i)["services"].get(service, {}).get("mailbox", ())) for i in range(0, len(trace), 97))
    assert max(bars.waiting) >= longest > 5
    for options in ({"by": "time"}, {"dark": True}, {"figsize": (6, 4)}, {"overview": (100, 160)}):
        check_readable(timeline(trace, **options))
    assert "enlarged: events 100 to 159" in labels(timeline(trace, overview=(100, 160)))


def test_few_events_get_an_overview_only_when_asked(echo: Trace) -> None:
    """The switch is at DENSE events to be drawn, and can be set by hand; a part may have one too."""
    assert len(echo) < DENSE
    assert "overview" not in timeline(echo).description
    for trace in (echo, echo[40:90], echo.only(coroutine=2)):
        figure = timeline(trace, overview=True)
        assert "overview" in figure.description
        check_readable(figure)
    check_readable(timeline(Trace(), overview=True))


def test_a_hundred_thousand_events_are_still_of_use(tmp_path: Path) -> None:
    """Rows for who was busy, and one stretch where each step can be read."""
    trace = crowd(200, 50)
    assert len(trace) > 100_000
    begin = time.process_time()
    figure = timeline(trace, by="time")
    figure.png(100)
    assert time.process_time() - begin < 20  # about 2 on an idle machine
    check_readable(figure)
    shown = labels(figure)
    assert any(text.startswith("enlarged: events") for text in shown)
    assert any(text.startswith('yield "SLEEP"') for text in shown)


# ---- files


def test_text_stays_text_in_files(echo: Trace, tmp_path: Path) -> None:
    """SVG and PDF hold letters, not outlines; the same bytes each time; no date, no path."""
    before = dict(matplotlib.rcParams)
    for suffix in ("svg", "pdf", "png"):
        for name in ("one", "two"):
            timeline(echo).write(tmp_path / f"{name}.{suffix}")
        one = (tmp_path / f"one.{suffix}").read_bytes()
        assert one == (tmp_path / f"two.{suffix}").read_bytes()
        assert b"CreationDate" not in one and str(tmp_path).encode() not in one
    assert (tmp_path / "one.png").read_bytes() == timeline(echo).png()
    drawn = (tmp_path / "one.svg").read_text()
    for words in ("raw_dispatch_message", "driver.start(1)", "readline on s2"):
        assert f">{words}" in drawn
    assert "<dc:date>" not in drawn
    assert b"/FontFile2" in (tmp_path / "one.pdf").read_bytes()  # TrueType, not outlines
    assert dict(matplotlib.rcParams) == before
    with pytest.raises(ValueError, match=r"'one.gif': let it end in .png, .svg or .pdf"):
        timeline(echo).write(tmp_path / "one.gif")


def test_settings_of_the_reader_change_nothing(echo: Trace) -> None:
    """Their matplotlibrc may make everything else look as they like."""
    plain = timeline(echo).png()
    changed = {"savefig.bbox": "tight", "savefig.transparent": True, "font.size": 20, "lines.linewidth": 9}
    with matplotlib.rc_context(changed):
        assert timeline(echo).png() == plain


# ---- letters


def greeting() -> Trace:
    def main() -> None:
        mark("开始监听")

    return run(main)


def needs_chinese_font() -> None:
    if letters.wider_font() is None:
        skip("no font with Chinese glyphs is here: apt-get install fonts-noto-cjk, and this test runs")


def test_chinese_is_written_in_chinese() -> None:
    """With an installed font that has the glyphs, and measured with it."""
    needs_chinese_font()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = timeline(greeting())
        check_readable(figure)
        figure.png()
    assert "开始监听" in labels(figure)


@pytest.fixture
def no_wider_font(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine that has but the fonts of matplotlib."""
    caches = (letters.wider_font, letters._letter, letters.extent)
    monkeypatch.setattr(letters, "_WIDER", ())
    for cache in caches:
        cache.cache_clear()
    yield
    for cache in caches:
        cache.cache_clear()


def test_without_such_a_font_escapes_are_written(no_wider_font: None) -> None:
    """Never boxes: what no font has a glyph for is written as Python would."""
    figure = timeline(greeting())
    check_readable(figure)
    assert r"\u5f00\u59cb\u76d1\u542c" in labels(figure)


def stuck() -> Trace:
    """Chinese names, marks and errors; a call to oneself in a critical section."""

    def 服务() -> None:
        enter = skynet.queue()

        @skynet.dispatch("lua")
        def handle(session: int, source: int) -> None:
            enter(lambda: mark("在临界区里，全角ＡＢＣ"))
            skynet.retpack(1)

        def fails() -> None:
            skynet.sleep(2)
            raise ValueError("坏了（示例）")

        skynet.fork(fails)
        skynet.fork(lambda: enter(lambda: skynet.call(skynet.self(), "lua")))

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(服务)
        node.run_until_idle()
        node.advance(5)
    return trace


def pictures(trace: Trace, **options: Any) -> Iterator[Timeline]:
    for dark in (False, True):
        yield timeline(trace, title="卡住了：谁也不能继续", dark=dark, **options)
        yield timeline(trace, overview=True, dark=dark, **options)
        yield timeline(trace, by="time", dark=dark, **options)
        yield trace.waits().draw(dark=dark, **options)


def test_figures_in_chinese() -> None:
    """Every word of a figure, its alt text too; nothing overlaps, and no letter is a box."""
    needs_chinese_font()
    trace = stuck()
    own = said(trace, trace.names()) + "max_lanes trace text"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for figure in pictures(trace, lang="zh"):
            check_readable(figure)
            figure.png()
            english = [text for text in labels(figure) if foreign(text, own)]
            assert english == []
            assert "\\u" not in "".join(labels(figure))
            assert re.match("时间线|谁在等谁", figure.description) and re.match("时间线：|等待图：", figure.summary)
    first = next(pictures(trace, lang="zh"))
    assert {"卡住了：谁也不能继续", "消息队列", "挂起", "恢复", "启动函数"} <= set(labels(first))
    assert "它挂起" in first.alt


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_states_of_sockets_find_a_place(echo: Trace, lang: str) -> None:
    """plisten and listen stand side by side, and in Chinese their words are wider."""
    if lang == "zh":
        needs_chinese_font()
    stop = echo.find("client")
    with speaking(lang):
        states = {m.label for m in story(echo, stop=stop).marks if m.kind == "state"}
    assert len(states) == 2 and states <= set(labels(timeline(echo, stop=stop, lang=lang)))


def test_without_such_a_font_figures_speak_english(no_wider_font: None) -> None:
    """The figure's own words are English then, not escapes; its alt text, which needs no font, is Chinese."""
    trace = stuck()
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # a missing glyph warns
        for figure in pictures(trace, lang="zh"):
            check_readable(figure)
            figure.png()
            assert all(ord(c) < 0x2E80 for text in labels(figure) for c in text)
            assert re.match("时间线|谁在等谁", figure.description)
    assert {"mailbox", "parked", "start function"} <= set(labels(next(pictures(trace, lang="zh"))))
    assert letters.legible("zh") == letters.legible("en") == "en"


def test_a_chinese_letter_counts_for_two() -> None:
    """A text is cut to what there is room for, whatever it is written in."""
    assert letters.clean("x" * 22, limit=22) == "x" * 22 and letters.clean("x" * 23, limit=22) == "x" * 21 + "…"
    if letters.wider_font() is not None:
        assert letters.clean("听" * 11, limit=22) == "听" * 11
        assert letters.clean("听" * 12, limit=22) == letters.clean("听" * 99, limit=22) == "听" * 10 + "…"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FFF), max_size=40), st.booleans(), st.booleans())
@settings(max_examples=60, deadline=None)
def test_letters_are_measured_large_enough(text: str, mono: bool, bold: bool) -> None:
    """No text is wider or higher than what its letters add up to, at any resolution of a screen."""
    text = letters.clean(text, mono)
    page = letters.Page(600, 100, LIGHT)
    page.text((0, 0, 600, 100), text, "#000000", mono=mono, bold=bold)
    width, height = letters.extent(text, mono, bold)
    for dpi in (72, 100, 144):
        page.figure.set_dpi(dpi)
        canvas = FigureCanvasAgg(page.figure)
        box = page.axes.texts[0].get_window_extent(canvas.get_renderer())
        assert box.width * 72 / dpi <= width and box.height * 72 / dpi <= height


# ---- who waits for whom


def ring(n: int) -> Trace:
    """`n` services: each calls the next one, the last the first, where one message waits for another."""

    def main() -> None:
        def member(after: str) -> None:
            one_by_one = skynet.queue()

            @skynet.dispatch("lua")
            def ask(session: int, source: int) -> None:
                one_by_one(skynet.call, after, "lua")

        for k in range(n):
            skynet.name(f".ring{k}", skynet.newservice(member, f".ring{(k + 1) % n}"))
        skynet.send(".ring0", "lua")

    return run(main)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_each_wait_has_its_words_beside_its_arrow(n: int) -> None:
    """The arrow that closes a circle too; no words are struck through, and no arrow is cut by the edge."""
    figure = ring(n).waits().draw()
    check_readable(figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (axes,) = figure.axes
    (right, top), shown = axes.transAxes.transform((1, 1)), axes.transData
    words = [t.get_window_extent(canvas.get_renderer()) for t in axes.texts if "\nat " in t.get_text()]
    arrows = [patch for patch in axes.patches if isinstance(patch, FancyArrowPatch)]
    assert len(words) == len(arrows) == n + 1
    for arrow in arrows:
        shaft = arrow.get_path().transformed(shown).to_polygons(closed_only=False)[0]
        assert not any(Shape(shaft).intersects_bbox(box, filled=False) for box in words)
        assert shaft.min() >= 0 and (shaft.max(axis=0) <= (right, top)).all()


# ---- in a notebook, and without one


def test_a_notebook_shows_it_with_a_description(echo: Trace) -> None:
    """PNG, a text that is the same on every machine, and words for those who cannot see it."""
    data, metadata = timeline(echo, title="echo")._repr_mimebundle_()
    pixels = image.imread(io.BytesIO(base64.b64decode(data["image/png"])))
    assert pixels.std() > 0.02
    short = echo[: echo.find("yield")].timeline()._repr_mimebundle_()[1]["image/png"]
    assert 800 < short["width"] <= 900 < metadata["image/png"]["width"]  # few events fill what a notebook has
    assert data["text/plain"] == "timeline: 54 events, 2 coroutines, 10 resumes"
    assert "client#1 (outside), socket server (epoll), mailbox" in metadata["image/png"]["alt"]
    assert "it parks in socket.start until socket 1 wakes it." in metadata["image/png"]["alt"]


def run_without(module: str, code: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.modules[{module!r}] = None\n{code}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)


def test_without_matplotlib_the_remedy_is_named() -> None:
    done = run_without("matplotlib", "from skynet_lite.trace import Trace\nTrace().timeline()")
    assert "ImportError" in done.stderr
    assert "pip install 'skynet_lite[notebooks]'" in done.stderr


def test_a_stored_trace_draws_without_greenlet(echo: Trace, tmp_path: Path) -> None:
    """No greenlet, no epoll, no pyplot."""
    path = tmp_path / "echo.json"
    echo.save(path)
    code = f"""
from skynet_lite.trace import Trace
figure = Trace.load({str(path)!r}).timeline()
assert len(figure.png()) > 10000
assert not {{"skynet_lite.node.node", "skynet_lite.skynet", "matplotlib.pyplot"}} & set(sys.modules)
print(figure.summary)
"""
    done = run_without("greenlet", code)
    assert done.stdout == "timeline: 54 events, 2 coroutines, 10 resumes\n", done.stderr


# ---- the search for places


def test_a_label_takes_the_cheapest_place() -> None:
    """Its first wish if that is free, else the next; nothing if all are taken or too dear."""
    page = (0.0, 0.0, 100.0, 100.0)
    placer = Placer(100, 100)
    a, b = (10.0, 10.0, 30.0, 20.0), (40.0, 10.0, 60.0, 20.0)
    assert placer.place([a, b], 10, page) == a
    assert placer.place([a, b], 10, page) == b
    assert placer.place([a, b], 10, page) is None
    placer.avoid_line(0, 50, 100, 50, 8)
    on_line, above = (10.0, 45.0, 30.0, 55.0), (10.0, 52.0, 30.0, 62.0)
    assert placer.place([on_line], 8, page) is None
    assert placer.place([on_line, above], 20, page) == above
    assert placer.place([(90.0, 90.0, 101.0, 99.0)], 100, page) is None


def test_an_arrow_has_its_words_in_its_own_rows() -> None:
    """Over a row between them, words would say something of somebody else."""
    tail, tip, rows = (100.0, 10.0), (110.0, 290.0), [(0.0, 40.0), (260.0, 300.0)]

    def at_home(box: tuple[float, float, float, float]) -> bool:
        return any(low <= box[1] and box[3] <= high for low, high in rows)

    boxes = beside(tail, tip, rows)(60.0, 10.0)
    homes = [at_home(box) for box in boxes]
    assert homes == sorted(homes, reverse=True) and any(homes) and len(boxes) == len(beside(tail, tip)(60.0, 10.0))
    assert all(map(at_home, beside(tail, tip, rows, only=True)(60.0, 10.0)))


def test_words_leave_the_heads_of_arrows_and_stay_over_the_rows(echo: Trace) -> None:
    """The ground of a label lies under heads and marks; no label begins or ends beside the rows."""
    drawing = Drawing(story(echo), "", LIGHT, None, None)
    figure = drawing.draw()
    figure.set_dpi(72)
    renderer = FigureCanvasAgg(figure).get_renderer()
    boxes = [text.get_window_extent(renderer) for text in figure.axes[0].texts if text.get_zorder() == 6]
    heads = [drawing._ends(a)[0] for a in drawing.story.arrows]
    assert heads and not [(x, y) for x, y in heads if any(box.contains(x, y) for box in boxes)]
    found = {c.get_zorder() for c in figure.axes[0].collections if isinstance(c, PolyCollection)}
    grounds, tops = 3.2, 3.4
    assert {grounds, tops} <= found
    below_the_header = [box for box in boxes if box.y1 < drawing.rows.top and box.y0 > drawing.rows.floor]
    plot = [box for box in below_the_header if box.x1 > LEFT]
    assert plot and all(LEFT - 6 <= box.x0 and box.x1 <= drawing.right for box in plot)
