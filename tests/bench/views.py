"""What it costs to look at a trace: tables at an event, the figure, the data of the viewer, a step in a browser.

`python views.py METRIC N` for a trace of about N events; prints `RESULT <number>` (see worker.py).
"""

import random
import shutil
import tempfile
from pathlib import Path
from time import perf_counter, process_time

from worker import arguments, result

from skynet_lite import Node, Trace, skynet

ROUNDS = 20  # of sleeping, each coroutine
BIRTH, ROUND = 30, 37  # events of an agent of the lobby, about


def crowd(events: int) -> Trace:
    """Coroutines that sleep and are woken by their timers."""

    def loop() -> None:
        for _ in range(ROUNDS):
            skynet.sleep(1)

    def main() -> None:
        for _ in range(max(1, events // (ROUNDS * 11))):
            skynet.fork(loop)

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
        node.run()
    return trace


def agent(number: int, hall: int, rounds: int) -> None:
    """A player of the lobby: does its rounds in a burst of its own, and is idle before and after."""

    def play() -> None:
        skynet.sleep(10 * number)
        for k in range(rounds):
            skynet.sleep(1 + (number * 7 + k) % 5)
            others = skynet.call(hall, "lua", "say", number, f"round {k}")
            skynet.send(others[0], "lua", "hear", number)

    skynet.dispatch("lua", lambda session, source, *words: skynet.ignoreret())
    skynet.fork(play)


def lobby(events: int, agents: int = 150) -> Trace:
    """A lobby of so many services: each talks to the hall, and to the one that spoke before it."""

    def hall() -> None:
        last = [skynet.self()]

        def say(session: int, source: int, command: str, *words: object) -> None:
            if command == "say":
                skynet.retpack([last[0]])
                last[0] = source

        skynet.dispatch("lua", say)

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        address = node.newservice(hall)
        for k in range(agents):
            node.newservice(agent, k, address, 1 + max(0, (events // agents - BIRTH) // ROUND))
        node.run()
    return trace


def state(trace: Trace) -> float:
    """Milliseconds for the tables at an event, anywhere in the trace, once it was walked through."""
    trace.state(-1)
    places = random.Random(1).sample(range(len(trace)), min(200, len(trace)))
    start = process_time()
    for i in places:
        trace.state(i)
    return (process_time() - start) / len(places) * 1e3


def timeline(trace: Trace) -> float:
    """Seconds for the figure, as PNG."""
    start = process_time()
    trace.timeline().png()
    return process_time() - start


def payload(trace: Trace) -> float:
    """Seconds for the page of the viewer."""
    from skynet_lite.view.page import page

    start = process_time()
    page(trace)
    return process_time() - start


def browser(trace: Trace, script: str) -> float:
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        trace.to_html(Path(folder) / "trace.html")
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = chromium.new_page(viewport={"width": 1280, "height": 1000})
        start = perf_counter()
        page.goto((Path(folder) / "trace.html").as_uri())
        page.wait_for_selector(".film svg rect")
        loaded = perf_counter() - start
        value = float(page.evaluate(script)) if script else loaded
        chromium.close()
        return value


STEP = """async () => {
    const v = viewers[0], times = [];
    v.goto(v.visible[v.visible.length >> 1]);
    for (let k = 0; k < 200; k++) {
        const start = performance.now();
        v.root.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
        void v.root.offsetHeight; // style and layout, all that stands before painting
        times.push(performance.now() - start);
        await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
    }
    return times.sort((a, b) => a - b)[times.length >> 1];
}"""

METRICS = {
    "state": state, "timeline": timeline, "payload": payload, "load": lambda trace: browser(trace, ""),
    "step": lambda trace: browser(trace, STEP),
}  # fmt: skip


if __name__ == "__main__":
    metric, n = arguments()
    kind, _, name = metric.rpartition("-")  # "lobby-step": of a run with many services
    result(METRICS[name](lobby(n) if kind == "lobby" else crowd(n)))
