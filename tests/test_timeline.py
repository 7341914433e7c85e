"""The timeline says what the trace says, and can be read: no label touches another."""

from __future__ import annotations

import base64
import io
import subprocess
import sys
import time
import warnings
from itertools import takewhile
from pathlib import Path
from typing import Any

import pytest
from harness import TRACES, Play, recording
from matplotlib import image
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb

from skynet_lite import Node, Trace, mark, skynet, socket
from skynet_lite.view.place import Placer
from skynet_lite.view.story import MAILBOX, SOCKET, TIMER, Story
from skynet_lite.view.timeline import Timeline, timeline

NAMES = sorted(path.stem for path in TRACES.glob("*.json"))


def story(trace: Trace, **options: Any) -> Story:
    return Story(
        trace, options.get("services"), options.get("start", 0), options.get("stop"), options.get("limit", 120)
    )


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
    """The seed's listing, and one client that has a line echoed."""
    ports = []

    def accept(id: int, addr: str) -> None:
        socket.start(id)
        socket.write(id, socket.readline(id) + b"\n")
        socket.close(id)

    def main() -> None:
        lid = socket.listen("127.0.0.1:0")
        ports.append(socket.sockname(lid)[1])
        socket.start(lid, accept)

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main, wait=False)
        node.run_until_idle()
        client = node.client(ports[0])
        node.run_until_idle()
        client.send(b"hello\n")
        assert client.recv_line() == b"hello"
        client.expect_eof()
        client.close()
        node.run_until_idle()
    return trace


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
    stretches = sorted((s.start, s.lane[1], s.kind) for s in told.stretches if s.kind in ("run", "parked"))
    runs = [(co, kind) for _, co, kind in stretches]
    assert runs == [("co1", "parked"), ("co1", "run"), ("co1", "parked"), ("co2", "run"), ("co1", "run")]
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
    trace = crowd(400, 1)
    told = story(trace)
    assert (sum(lane.kind == "coroutine" for lane in told.lanes), told.hidden) == (120, 281)
    figure = timeline(trace, overview=False)
    assert any("281 more coroutines have no row" in text for text in labels(figure))
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


# ---- in a notebook, and without one


def test_a_notebook_shows_it_with_a_description(echo: Trace) -> None:
    """PNG, a text that is the same on every machine, and words for those who cannot see it."""
    data, metadata = timeline(echo, title="echo")._repr_mimebundle_()
    pixels = image.imread(io.BytesIO(base64.b64decode(data["image/png"])))
    assert pixels.std() > 0.02
    assert data["text/plain"] == "timeline: 54 events, 2 coroutines, 10 resumes"
    assert "client#1 (outside), socket server (epoll), mailbox" in metadata["image/png"]["alt"]


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
assert not {{"skynet_lite.node", "skynet_lite.skynet", "matplotlib.pyplot"}} & set(sys.modules)
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
