"""The viewer in a real browser: the page of its own, offline, and the widget in both notebook front ends.

Chromium comes from the system (`apt-get install chromium`). Where there is none these
tests are skipped and say so; with BROWSER_TESTS=required, as in .ci/run, they fail.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import nbformat
import pytest
from chinese import foreign, said
from harness import REQUIRED, TRACES, Play, echo_trace
from playwright.sync_api import Browser, BrowserType, ConsoleMessage, Error, Page, sync_playwright
from test_merge import Two
from views import lobby

from skynet_lite import Node, Trace, seri, skynet
from skynet_lite.course import wire
from skynet_lite.trace.shapes import home

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

pytestmark = pytest.mark.skipif(
    CHROMIUM is None and not REQUIRED,
    reason="no Chromium here: apt-get install chromium, and these tests run",
)

FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


@pytest.fixture(scope="module")
def chromium() -> Iterator[BrowserType]:
    with sync_playwright() as playwright:
        yield playwright.chromium


@pytest.fixture(scope="module")
def browser(chromium: BrowserType) -> Iterator[Browser]:
    browser = chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def trace() -> Trace:
    return echo_trace()


def complaints(page: Page) -> list[str]:
    """What the console and the page itself complain about, from now on."""
    found: list[str] = []

    def heard(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            found.append(message.text)

    page.on("console", heard)
    page.on("pageerror", lambda error: found.append(str(error)))
    return found


def opened(browser: Browser, path: Path, fragment: str = "", **options: Any) -> Page:
    """The page from its file, with the network off."""
    context = browser.new_context(offline=True, viewport={"width": 1280, "height": 1000}, **options)
    context.route(re.compile("^https?:"), lambda route: route.abort())
    page = context.new_page()
    page.complaints = complaints(page)  # type: ignore[attr-defined]
    page.goto(path.as_uri() + fragment)
    page.wait_for_selector(".skl svg rect")
    return page


@pytest.fixture
def page(browser: Browser, trace: Trace, tmp_path: Path) -> Iterator[Page]:
    trace.to_html(tmp_path / "echo.html", title="an echo")
    page = opened(browser, tmp_path / "echo.html")
    yield page
    assert page.complaints == []  # type: ignore[attr-defined]
    page.context.close()


def step(page: Page) -> int:
    return int(page.evaluate("viewers[0].step + viewers[0].data.first"))


def idle(page: Page) -> None:
    page.wait_for_function("!viewers[0].busy")


def press(page: Page, *keys: str) -> int:
    for key in keys:
        page.keyboard.press(key)
    idle(page)
    return step(page)


def expected_rows(trace: Trace, i: int, service: str) -> dict[str, Any]:
    """What the cards have to show after event `i`: the tables of Python, as rows."""
    state = trace.state(i)
    shown = {}
    node = home(service)
    for whose, tables in ((service, state["services"].get(service, {})), (node, state.get("nodes", {"": state})[node])):
        for name, table in tables.items():
            if name in ("name", "services"):
                continue
            if name == "timers":
                shown[f"{whose}|{name}"] = [[f"tick {tick}", f"{who} {session}"] for tick, who, session in table]
            elif isinstance(table, dict):
                shown[f"{whose}|{name}"] = [[str(k), text(v)] for k, v in table.items()]
            elif isinstance(table, list):
                shown[f"{whose}|{name}"] = [["", text(v)] for v in table]
            else:
                shown[f"{whose}|{name}"] = [["", text(table)]]
    return shown


def text(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def test_the_tables_are_those_of_python(page: Page, trace: Trace) -> None:
    """At every step, forwards, backwards and by jumps: what the cards show is `trace.state(i)`."""
    compare(page, trace)


def test_each_of_several_nodes_has_its_tables(browser: Browser, tmp_path: Path) -> None:
    """The same of two nodes: beside a service stand the tables of its own node, and of no other."""
    with ExitStack() as stack:
        two = Two(stack)
        two.ask("hello")
        two.settle()
        merged = two.merged()
    merged.to_html(tmp_path / "two.html")
    page = opened(browser, tmp_path / "two.html")
    compare(page, merged)
    assert page.complaints == []  # type: ignore[attr-defined]
    page.context.close()


def compare(page: Page, trace: Trace) -> None:
    page.get_by_role("checkbox").check()
    page.locator("[data-name=home]").select_option("all")
    n = len(trace)
    order = [*range(n), *range(n - 1, -1, -3), *(i * 37 % n for i in range(40))]
    shown = page.evaluate(
        """(order) => order.map((i) => {
            const v = viewers[0];
            v.goto(i);
            // Both from the tables and from the page itself.
            const dom = Object.fromEntries(v.cardList.map((c) => [`${c.service}|${c.name}`,
                c.nodes.filter((r) => r.style !== "none").map((r) => [r.key.textContent, r.value.textContent])]));
            return [v.service, v.shown(), dom];
        })""",
        order,
    )
    for i, (service, tables, dom) in zip(order, shown, strict=True):
        expected = expected_rows(trace, i, service)
        assert dom == tables
        for name, rows in tables.items():
            assert rows == expected.get(name, []), (i, name)


def test_the_keyboard_alone_is_enough(page: Page, trace: Trace) -> None:
    """Arrows, Home, End, pages; n and p along one coroutine; / searches; space plays."""
    first = step(page)
    after = press(page, "ArrowRight")
    assert after > first
    assert press(page, "ArrowLeft") == first
    last = press(page, "End")
    assert trace[last]["e"] == "yield" and press(page, "ArrowRight") == last
    assert press(page, "Home") == first
    assert press(page, "PageDown", "PageUp") == first
    visible = page.evaluate("viewers[0].visible")
    assert press(page, "PageDown") == visible[10]
    wakeup = next(i for i, e in enumerate(trace) if e["e"] == "wakeup")
    page.evaluate("(i) => viewers[0].goto(i)", wakeup)
    following = press(page, "n")
    assert (trace[following]["e"], trace[following]["co"]) == ("yield", trace[wakeup]["in"])
    assert press(page, "p") == wakeup
    page.keyboard.press("/")
    page.keyboard.type("dispatch_wakeup")
    found = step(page)
    assert "dispatch_wakeup" in page.locator(".words").inner_text()
    assert re.fullmatch(r"\d+ of \d+", page.locator(".found").inner_text())
    page.keyboard.press("Enter")
    assert step(page) != found
    page.keyboard.press("Escape")
    press(page, "Home", "Space")
    assert page.get_by_role("button", name="Pause").is_visible()
    page.wait_for_function("viewers[0].step > viewers[0].visible[0]")
    press(page, "Space")
    assert page.get_by_role("button", name="Play", exact=True).is_visible()


def test_your_turn_asks_who_is_resumed_next(page: Page, trace: Trace) -> None:
    """The reader chooses among the coroutines of the service, and the recording says whether that is so."""
    press(page, "Home", "t")
    assert page.evaluate("getComputedStyle(viewers[0].veil).opacity") == "1"  # what is to come is hidden
    asked = right = 0
    for _ in range(200):
        before = step(page)
        if press(page, "ArrowRight") != before:
            assert page.evaluate("viewers[0].asked") is None
            continue
        choices = page.locator(".say button").all_inner_texts()
        if not choices:
            break  # the end
        coming = page.evaluate("viewers[0].asked.event")
        event = trace[coming]
        assert event["e"] == "resume" and event["co"] in choices and len(set(choices)) > 1
        assert press(page, "ArrowRight", "Space") == before  # it waits for an answer
        asked += 1
        wrong = next(co for co in choices if co != event["co"])
        if asked % 2:
            page.locator(f'.say button[data-turn="{wrong}"]').click()
            said = page.locator(".words").inner_text()
            assert said.startswith(f"No: {wrong} ") and step(page) == before
        else:
            right += 1
        press(page, str(choices.index(event["co"]) + 1))
        assert step(page) == coming
        assert page.locator(".score").inner_text() == f"{right} of {asked} at the first try"
    assert asked > 3
    press(page, "Home", "t")
    assert page.locator(".score").inner_text() == ""
    assert press(page, "PageDown") > step(page) - 1 and not page.locator(".say button").count()


def test_a_wrong_answer_is_told_by_the_tables(page: Page, trace: Trace) -> None:
    """Each coroutine is where the tables of that step say: in the queue, in the pool, or waiting for its session."""
    for i, event in enumerate(trace):
        if event["e"] != "resume":
            continue
        tables = trace.state(i - 1)["services"][event["service"]]
        page.evaluate(
            "(i) => { viewers[0].goto(i); viewers[0].asked = {service: viewers[0].data.services[i + 1]} }", i - 1
        )
        for session, co in tables["session_id_coroutine"].items():
            if co != "BREAK" and co not in tables["wakeup_queue"]:
                said = page.evaluate("(co) => viewers[0].whereabouts(co)", co)
                assert said == f"{co} waits for session {session}, and nothing has come for it."
        for co in tables["coroutine_pool"]:
            said = page.evaluate("(co) => viewers[0].whereabouts(co)", co)
            assert said == f"{co} is in coroutine_pool: it has nothing to do."
        for co in tables["wakeup_queue"][1:]:
            said = page.evaluate("(co) => viewers[0].whereabouts(co)", co)
            assert said == f"{co} is in wakeup_queue, but {tables['wakeup_queue'][0]} is ahead of it."


def test_a_burst_of_keys_paints_every_step(page: Page) -> None:
    """Twenty keys within one frame: twenty steps, each in a frame of its own."""
    page.evaluate("viewers[0].goto(viewers[0].visible[2])")
    steps, painted = page.evaluate(
        """async () => {
            const v = viewers[0], seen = new Set(), before = v.painted;
            for (let k = 0; k < 20; k++)
                v.root.dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight", bubbles: true}));
            while (v.busy) {
                seen.add(v.step);
                await new Promise((done) => requestAnimationFrame(done));
            }
            return [[...seen], v.painted - before];
        }"""
    )
    visible = page.evaluate("viewers[0].visible")
    assert painted == 20
    assert steps == visible[3:23]


def test_what_has_just_changed_is_marked(page: Page, trace: Trace) -> None:
    """By a sign as well as by colour, in the table where it happened."""
    wakeup = next(i for i, e in enumerate(trace) if e["e"] == "wakeup")
    page.evaluate("(i) => viewers[0].goto(i)", wakeup)
    card = page.locator(".card.changed", has_text="wakeup_queue")
    assert card.locator(".new").inner_text().strip() == "co1"
    sign = page.evaluate("getComputedStyle(document.querySelector('.card.changed .new'), '::before').content")
    assert sign == '"+"'
    press(page, "ArrowRight")
    assert "− 1" in page.locator(".card.changed", has_text="wakeup_queue").inner_text()


def test_sentence_reason_and_source_belong_to_the_step(page: Page, trace: Trace) -> None:
    """The sentence, what resumed it, the chain of causes, the line of the service and that of the runtime."""
    resume = next(i for i, e in enumerate(trace) if e["e"] == "resume" and e["by"] == "dispatch_wakeup")
    page.evaluate("(i) => viewers[0].goto(i)", resume)
    assert "dispatch_wakeup resumes co1" in page.locator(".words").inner_text()
    assert "resumed by dispatch_wakeup" in page.locator(".why").inner_text()
    assert "socket.start(lid, accept)" in page.locator(".code .hit").first.inner_text()
    assert "wait()" in page.locator(".code .hit").nth(1).inner_text()
    page.locator(".stack button").last.click()
    assert "return connect(" in page.locator(".code .hit").nth(1).inner_text()
    page.locator(".why button").first.click()
    assert step(page) == trace[resume]["cause"]


def test_filters_and_links(page: Page, trace: Trace, browser: Browser, tmp_path: Path) -> None:
    """One coroutine, one service, every event; `#step=` in the address leads to a step."""
    page.locator("[data-name=only]").select_option("co2")
    assert {trace[i].get("co") or trace[i].get("in") for i in page.evaluate("viewers[0].visible")} <= {"co2", "co1"}
    page.locator("[data-name=only]").select_option("")
    page.get_by_role("checkbox").check()
    page.locator("[data-name=home]").select_option("all")
    assert page.evaluate("viewers[0].visible.length") == len(trace)
    press(page, "Home", "ArrowRight", "ArrowRight")
    page.wait_for_function("location.hash === '#step=2'")  # once stepping rests
    page.evaluate("location.hash = '#step=44'")
    page.wait_for_function("viewers[0].step === 44")
    trace.to_html(tmp_path / "again.html")
    other = opened(browser, tmp_path / "again.html", "#step=40")
    assert step(other) <= 40 and step(other) >= 36
    other.context.close()


def test_a_jump_to_what_is_hidden_stays_there(page: Page, trace: Trace) -> None:
    """A cause may be an event that the filters hide: what it changed is marked, and stepping goes on from it."""
    page.locator("[data-name=only]").select_option("co2")
    push = next(i for i, e in enumerate(trace) if e["e"] == "push" and e.get("type") == "ACCEPT")
    visible = page.evaluate("viewers[0].visible")
    assert push not in visible
    page.evaluate("(i) => viewers[0].goto(i)", push)
    assert page.evaluate("Object.keys(viewers[0].changes())") == [":00000008|mailbox", "|global_queue"]
    assert press(page, "ArrowRight") == min(i for i in visible if i > push)
    page.evaluate("(i) => viewers[0].goto(i)", push)
    assert press(page, "ArrowLeft") == max(i for i in visible if i < push)
    page.evaluate("(i) => viewers[0].goto(i)", push)
    assert press(page, "n") == push, "nobody's event has no next one of its coroutine"


def test_an_act_that_fails_does_not_stop_the_next(page: Page) -> None:
    """A host may refuse to take note of a step (browsers do, of an address that changes too often)."""
    page.evaluate("() => { viewers[0].options.onstep = () => { throw new Error('refused'); }; }")
    first = step(page)
    assert press(page, "ArrowRight", "ArrowRight") == page.evaluate("viewers[0].visible[2]") != first
    assert page.complaints == ["refused", "refused"]  # type: ignore[attr-defined]
    page.complaints.clear()  # type: ignore[attr-defined]


def test_the_theme_of_a_notebook_is_followed(page: Page) -> None:
    """JupyterLab says on its body whether it is light; it may be switched while the stepper is shown."""
    dark = "document.querySelector('.skl').classList.contains('dark')"
    assert page.evaluate(dark) is False
    page.evaluate("document.body.dataset.jpThemeLight = 'false'")
    page.wait_for_function(dark)
    page.evaluate("document.body.dataset.jpThemeLight = 'true'")
    page.wait_for_function(f"!{dark}")


def longer(ticks: int) -> Trace:
    """A run that depends on one number."""

    def main() -> None:
        skynet.fork(skynet.sleep, ticks)
        skynet.sleep(2)

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
        node.run()
    return trace


def test_two_runs_go_along(browser: Browser, tmp_path: Path) -> None:
    """`beside`: where one is moved the other follows by the rows of the diff; d leads to where they differ."""
    one, other = longer(1), longer(3)
    rows = one.diff(other).rows
    one.to_html(tmp_path / "two.html", beside=other)
    page = opened(browser, tmp_path / "two.html")
    page.set_viewport_size({"width": 1600, "height": 900})
    left, right = (page.locator(".skl").nth(k).bounding_box() for k in (0, 1))
    assert (
        left is not None and right is not None and left["y"] == right["y"] and left["x"] + left["width"] <= right["x"]
    )
    stand = "viewers.map((v) => v.step)"
    assert page.locator(".diff p").inner_text().startswith("The runs part at event")
    partings = [row for k, row in enumerate(rows) if not row[2] and (k == 0 or rows[k - 1][2])]
    for row in partings:
        press(page, "d")
        steps = page.evaluate(stand)
        for k in (0, 1):
            assert row[k] is None or steps[k] == row[k]
        notes = page.locator(".note").all_inner_texts()
        assert notes == (["the runs differ here"] * 2 if None not in row else
                         ["only in this run", "nothing like it in this run"][:: 1 if row[1] is None else -1])  # fmt: skip
    for row in partings[-2::-1]:
        press(page, "D")
        assert page.locator(".diff .here").get_attribute("data-row") == str(rows.index(row))
        assert [row[k] in (None, at) for k, at in enumerate(page.evaluate(stand))] == [True, True]
    page.locator(".skl").nth(1).focus()
    press(page, "Home", "ArrowRight")
    a, b = page.evaluate(stand)
    assert (a, b, True) in rows and page.locator(".note").all_inner_texts() == ["", ""]
    press(page, "End")
    assert page.evaluate(stand)[1] == page.evaluate("viewers[1].visible.at(-1)")
    assert page.complaints == []  # type: ignore[attr-defined]
    page.context.close()


def test_a_run_beside_the_real_skynet(browser: Browser, tmp_path: Path) -> None:
    """The recording knows less: its rows come service after service, and each step still has its counterpart."""
    trace, real = Play("call_back_nested", tmp_path).trace, Trace.load(TRACES / "call_back_nested.json")
    rows = [(i, j) for i, j, same in trace.diff(real).rows if same]
    trace.to_html(tmp_path / "two.html", beside=real)
    page = opened(browser, tmp_path / "two.html")
    assert page.locator(".diff p").inner_text().startswith("The runs are the same")
    pairs = page.evaluate("(rows) => rows.map(([i]) => (viewers[0].goto(i), [i, viewers[1].step]))", rows)
    assert [tuple(pair) for pair in pairs] == rows
    assert page.complaints == []  # type: ignore[attr-defined]
    page.context.close()


def test_a_click_into_the_timeline_goes_there(page: Page) -> None:
    """The column under the pointer becomes the step; so does the place in the strip of the whole run."""
    press(page, "Home")
    box = page.locator(".film svg").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + 132 + 46 * 5.5, box["y"] + 40)
    assert step(page) == page.evaluate("viewers[0].nearest(viewers[0].data.columns[5])")
    strip = page.locator(".strip").bounding_box()
    assert strip is not None
    page.mouse.click(strip["x"] + strip["width"] - 9, strip["y"] + 5)
    assert step(page) == page.evaluate("viewers[0].visible.at(-1)")


def names(page: Page) -> list[str]:
    """Accessible names of all controls, as a screen reader is told them."""
    tree = page.locator(".skl").aria_snapshot()
    controls = re.findall(r"- (button|combobox|checkbox|searchbox|slider)(?: (\"[^\"]*\"))?", tree)
    assert len(controls) > 12
    return [f"{kind} {name}" for kind, name in controls]


def test_every_control_has_a_name(page: Page) -> None:
    """Buttons, boxes, the slider, the picture; and the sentence is read out when it changes."""
    assert all('"' in name and '""' not in name for name in names(page))
    assert page.get_by_role("group", name="Stepper: an echo").count() == 1
    assert page.get_by_role("img", name="an echo").count() == 1
    assert page.locator(".words[aria-live=polite]").count() == 1
    outline = page.evaluate("getComputedStyle(document.querySelector('.skl')).outlineStyle")
    assert outline == "solid", "the focus of the keyboard can be seen"


def test_the_viewer_in_chinese(browser: Browser, trace: Trace, tmp_path: Path) -> None:
    """Every button, heading, tooltip and hint; the pause, a search, a cause, a page of two runs: no English left."""
    other = longer(3)
    trace.to_html(tmp_path / "zh.html", title="回声", lang="zh", beside=other)
    page = opened(browser, tmp_path / "zh.html", "#step=40")
    page.locator("input[type=search]").first.fill("唤醒")
    assert re.fullmatch(r"第 \d+ 处，共 \d+ 处", page.locator(".found").first.inner_text())
    page.locator("input[type=search]").first.press("Escape")
    press(page, " ")
    assert page.get_by_role("button", name="暂停").first.inner_text() == "❚❚ 暂停"
    press(page, " ")
    tables = trace.state(0)
    kinds = [event.get(key, "") for event in [*trace, *other] for key in ("e", "by")]
    own = (
        said([*trace, *other], {**trace.names(), **other.names()})
        + f"{kinds} {[*tables, *tables['services'][':00000003']]} Home End skynet py"
        + str([event.get("stack") for event in [*trace, *other]])  # files of the runtime, where it names a place
    )
    told: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("*")].flatMap((el) => [
          el.getAttribute("aria-label"), el.title, el.placeholder,
          el.closest("style,script,noscript,.code,.rows,.raw,.diff td,.stack") ? "" :
            [...el.childNodes].filter((n) => n.nodeType === 3).map((n) => n.data).join("")]).filter(Boolean)"""
    )
    assert len(told) > 100
    events = re.compile(r"^\d+ (co\d+ )?\w+$")  # a cause is named by its kind
    told = [re.sub(r"(?m)^([<>] |    ).*$", "", text) for text in told]  # canonical lines, and code
    assert [text for text in told if foreign(text, own) and not events.match(text)] == []
    assert page.evaluate("[document.documentElement.lang, viewers[0].root.lang]") == ["zh", "zh"]
    assert page.complaints == []  # type: ignore[attr-defined]
    page.context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "zoom"), [(1280, 1.0), (1280, 1.5), (800, 1.0), (560, 1.5)])
def test_it_can_be_read_at_any_size(
    browser: Browser, trace: Trace, tmp_path: Path, scheme: Any, width: int, zoom: float
) -> None:
    """Nothing reaches out of the page, no control is cut, no label of the timeline covers another."""
    trace.to_html(tmp_path / "echo.html")
    context = browser.new_context(
        offline=True, color_scheme=scheme, device_scale_factor=zoom,
        viewport={"width": int(width / zoom), "height": 900},
    )  # fmt: skip
    page = context.new_page()
    page.goto((tmp_path / "echo.html").as_uri() + "#step=45")
    page.wait_for_selector(".skl svg rect")
    assert page.evaluate("document.querySelector('.skl').classList.contains('dark')") is (scheme == "dark")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    cut = page.evaluate(
        """[...document.querySelectorAll('.skl button, .skl select, .skl input')].filter((e) => {
            const b = e.getBoundingClientRect();
            if (e.closest(".stack, .why")) return false; // these scroll
            return b.width && (b.left < 0 || b.right > innerWidth + 1 || e.scrollWidth > e.clientWidth + 2);
        }).map((e) => e.outerHTML)"""
    )
    assert cut == []
    boxes = page.evaluate(
        """[...document.querySelectorAll('.skl svg text')].map((e) => {
            const b = e.getBoundingClientRect();
            return [e.textContent, b.left, b.top + 2, b.right, b.bottom - 2];
        })"""
    )
    assert len(boxes) > 10
    for i, a in enumerate(boxes):
        for b in boxes[i + 1 :]:
            apart = a[3] <= b[1] + 2 or b[3] <= a[1] + 2 or a[4] <= b[2] or b[4] <= a[2]
            assert apart, f"{a[0]!r} and {b[0]!r} overlap"
    # The layout stands still while one steps, and no step is too long for the page.
    layouts = page.evaluate(
        """viewers[0].visible.map((i) => {
            viewers[0].goto(i);
            const below = document.querySelector(".below"), page = document.documentElement;
            return [below.offsetTop, below.offsetHeight, page.scrollWidth <= innerWidth].join();
        })"""
    )
    assert len(set(layouts)) == 1 and layouts[0].endswith("true")
    context.close()


def test_five_thousand_events_load(browser: Browser, tmp_path: Path) -> None:
    """They are there, and a step far into them is right; how fast is the bench's to say."""

    def loop() -> None:
        for _ in range(20):
            skynet.sleep(1)

    def main() -> None:
        for _ in range(25):
            skynet.fork(loop)

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
        node.run()
    assert len(trace) > 5000
    trace.to_html(tmp_path / "many.html")
    page = opened(browser, tmp_path / "many.html", "#step=4000")
    page.get_by_role("button", name="show them").click()
    stands = page.evaluate("viewers[0].stands")
    # Taller than its window: the lane of the step is in view, and the numbers under the lanes are too.
    film, axis = page.locator(".film").bounding_box(), page.locator(".axis b").bounding_box()
    assert film is not None and axis is not None and axis["y"] >= film["y"] + film["height"]
    assert page.locator(".axis b").inner_text() == str(step(page))
    lane = page.evaluate("viewers[0].data.lanes.findIndex((l) => l[2] === viewers[0].data.coroutine[viewers[0].step])")
    top = page.evaluate("document.querySelector('.film').scrollTop")
    assert 0 < top <= 20 + 34 * lane < top + film["height"]
    sleeping = trace.state(stands)["services"][":00000008"]["sleep_session"]
    assert page.evaluate("viewers[0].shown()[':00000008|sleep_session'].length") == len(sleeping)
    page.context.close()


@pytest.fixture(scope="module")
def crowded() -> Trace:
    """A lobby of forty services, of several pieces."""
    return lobby(8000, agents=40)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_long_run_opens_at_its_overview(browser: Browser, crowded: Trace, tmp_path: Path, scheme: Any) -> None:
    """Who was busy when, above all; one piece was parsed; a click leads to what is there."""
    crowded.to_html(tmp_path / "lobby.html")
    page = opened(browser, tmp_path / "lobby.html", color_scheme=scheme)
    crowd, film = page.locator(".crowd").bounding_box(), page.locator(".film").bounding_box()
    assert crowd is not None and film is not None and crowd["y"] + crowd["height"] <= film["y"]
    parsed = "[viewers[0].film.events, viewers[0].pictures].map((p) => [p.known.filter(Boolean).length, p.list.length])"
    assert [known for known, _ in page.evaluate(parsed)] == [1, 1]
    assert all(pieces > 2 for _, pieces in page.evaluate(parsed))
    assert page.evaluate("document.querySelectorAll('.crowd svg *').length") < 400
    # Its bars and names stand out from the page, in either theme.
    colours = page.evaluate(
        """() => [...document.querySelectorAll(".crowd path, .crowd text")].map((el) => {
            const light = (c) => c.match(/[\\d.]+/g).slice(0, 3).map((v) => v / 255)
                .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
                .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
            const style = getComputedStyle(el), own = style.fill === "none" ? style.stroke : style.fill;
            const [a, b] = [light(own), light(getComputedStyle(document.querySelector(".skl")).backgroundColor)];
            return [el.tagName, (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05)];
        })"""
    )
    assert min(ratio for _, ratio in colours) >= 1.9 and min(r for tag, r in colours if tag == "text") >= 4.5
    page.mouse.click(crowd["x"] + 132 + (crowd["width"] - 156) / 2, crowd["y"] + 20)
    assert abs(step(page) - len(crowded) / 2) < len(crowded) / 50
    assert max(known for known, _ in page.evaluate(parsed)) <= 3
    lens = page.locator(".lens").bounding_box()
    assert lens is not None and abs(lens["x"] - (crowd["x"] + 132 + (crowd["width"] - 156) / 2)) < 20
    assert page.complaints == []  # type: ignore[attr-defined]
    page.context.close()


def test_a_key_in_a_long_run_costs_what_it_shows(browser: Browser, crowded: Trace, tmp_path: Path) -> None:
    """Elements made, steps of tables done and pieces parsed by each key: what is seen, and not what the run is long."""
    crowded.to_html(tmp_path / "lobby.html")
    page = opened(browser, tmp_path / "lobby.html")
    costs, whole = page.evaluate(
        """async () => {
            const v = viewers[0], f = v.film, steps = f.steps, costs = [];
            let read = 0, made = 0, whole = 0;
            for (const name of ["crowd", "overview", "select"]) v[name] = () => { whole++; };
            f.steps = (i) => { read++; return steps.call(f, i); };
            new MutationObserver((news) => news.forEach((n) => { made += n.addedNodes.length; }))
                .observe(v.root, {childList: true, subtree: true});
            for (const share of [0.1, 0.5, 0.9]) for (let k = 0; k < 40; k++) {
                if (!k) { v.goto(v.visible[Math.floor(v.visible.length * share)]); await null; }
                const parsed = f.events.known.filter(Boolean).length;
                read = made = 0;
                v.act(k % 4 === 3 ? "back" : "forward");
                await null;
                costs.push([k % 4 === 3, read, made, f.events.known.filter(Boolean).length - parsed]);
            }
            for (let k = 0; k < 3; k++) await new Promise((done) => requestAnimationFrame(done));
            for (const name of ["crowd", "overview", "select"]) delete v[name];
            return [costs, whole];
        }"""
    )
    assert whole == 0, "what shows the whole run stays as it is"
    assert max(read for back, read, *_ in costs if not back) < 300
    assert max(read for back, read, *_ in costs if back) < 1024 + 300, "a piece, and what the step itself is"
    assert max(made for _, _, made, _ in costs) < 600, "columns and lanes of one window"
    assert sorted(made for _, _, made, _ in costs)[len(costs) // 2] < 60, "most keys leave the drawing alone"
    assert max(parsed for *_, parsed in costs) <= 2
    # Wherever it stands, also beyond the edge of a piece, the tables are those of the run.
    page.locator("[data-name=home]").select_option("all")
    page.get_by_role("checkbox").check()
    n = len(crowded)
    order = [0, 1023, 1024, 1023, 2048, 1025, 5000, n - 1, 4096, 4095, *range(3070, 3080), n // 3]
    shown = page.evaluate(
        "(order) => order.map((i) => (viewers[0].goto(i), [viewers[0].service, viewers[0].shown()]))", order
    )
    for i, (service, tables) in zip(order, shown, strict=True):
        expected = expected_rows(crowded, i, service)
        for name, rows in tables.items():
            assert rows == expected.get(name, []), (i, name)
    assert page.complaints == []  # type: ignore[attr-defined]
    page.context.close()


def test_idle_lanes_of_a_long_run_are_folded(browser: Browser, crowded: Trace, tmp_path: Path) -> None:
    """A line says how many; a button shows them, and of very many only those about the ones in view are drawn."""
    crowded.to_html(tmp_path / "lobby.html")
    page = opened(browser, tmp_path / "lobby.html")
    page.evaluate("viewers[0].goto(viewers[0].visible[2000])")
    lanes = page.evaluate("viewers[0].data.lanes.length")
    drawn = "document.querySelectorAll('.film svg text[font-weight]').length"
    busy = page.evaluate("viewers[0].row.size")
    assert page.evaluate(drawn) == busy < 30 < 80 < lanes
    assert f"{lanes - busy} lanes in which nothing happens here are folded" in page.locator(".fold").inner_text()
    height = page.locator(".below").bounding_box()
    page.get_by_role("button", name="show them").click()
    assert f"all {lanes} lanes are shown" in page.locator(".fold").inner_text()
    assert busy < page.evaluate(drawn) < lanes
    page.keyboard.press("ArrowRight")
    idle(page)
    assert page.locator(".below").bounding_box() == height, "what stands below stays where it is"
    top = page.evaluate("document.querySelector('.film').scrollTop")
    here = page.evaluate(
        "viewers[0].laneOf.get(`${viewers[0].data.services[viewers[0].step]}|${viewers[0].data.coroutine[viewers[0].step]}`)"
    )
    assert top <= 20 + 34 * here < top + 430
    page.evaluate("document.querySelector('.film').scrollTop = 1e6")
    page.wait_for_function(
        "[...document.querySelectorAll('.film svg text')].some((t) => +t.getAttribute('y') > viewers[0].height - 60)"
    )
    page.get_by_role("button", name="fold the idle ones").click()
    assert page.evaluate("viewers[0].row.size") == page.evaluate(drawn) < 30
    assert page.complaints == []  # type: ignore[attr-defined]
    page.context.close()


def test_two_runs_side_by_side(browser: Browser, tmp_path: Path) -> None:
    """Aligned rows above, a viewer for each run below: a row, or a step of one, moves both."""

    def run(answer: bytes) -> Trace:
        def main() -> None:
            skynet.sleep(1)
            if answer == b"b":
                skynet.yield_()
            skynet.sleep(2)

        with Node(clock="virtual", log=list) as node, node.record() as trace:
            node.newservice(main)
        return trace

    diff = run(b"a").diff(run(b"b"))
    diff.to_html(tmp_path / "both.html", title="two runs")
    page = opened(browser, tmp_path / "both.html")
    assert page.locator(".skl").count() == 2
    assert "The runs part at event" in page.locator(".diff").inner_text()
    parting = page.locator(".diff .part[data-row]").first
    parting.locator("button").click()
    row = int(parting.get_attribute("data-row") or 0)
    steps = page.evaluate("viewers.map((v) => v.step)")
    for k, n in enumerate(diff.rows[row][:2]):
        if n is not None:
            assert steps[k] == n
    page.evaluate("viewers[0].root.focus()")
    before = page.evaluate("viewers[1].step")
    for _ in range(8):
        page.keyboard.press("ArrowLeft")
        idle(page)
    assert page.evaluate("viewers[1].step") < before
    assert page.complaints == []  # type: ignore[attr-defined]
    page.context.close()


# ---- in notebooks

NOTEBOOK = """
from skynet_lite import Node, skynet
def main():
    skynet.fork(skynet.sleep, 2)
    skynet.sleep(1)
with Node(clock="virtual", log=list) as node, node.record() as trace:
    node.newservice(main)
    node.run()
stepper = trace.stepper()
stepper
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """A Jupyter server on a free port, with folders of its own; it serves Lab and Notebook 7."""
    (tmp_path / "work").mkdir()
    notebook = nbformat.v4.new_notebook(
        cells=[nbformat.v4.new_code_cell(NOTEBOOK.strip()), nbformat.v4.new_code_cell("print('step', stepper.step)")]
    )
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(notebook, tmp_path / "work" / "stepper.ipynb")
    settings = tmp_path / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false", "checkForUpdates": false}')
    env = os.environ | {
        "JUPYTER_CONFIG_DIR": str(tmp_path / "config"), "JUPYTER_DATA_DIR": str(tmp_path / "data"),
        "JUPYTER_RUNTIME_DIR": str(tmp_path / "runtime"), "IPYTHONDIR": str(tmp_path / "ipython"),
        "JUPYTERLAB_SETTINGS_DIR": str(tmp_path / "settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path / "workspaces"),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]),
    }  # fmt: skip
    command = [
        sys.executable, "-m", "notebook", "--no-browser", "--ServerApp.port=0", "--ServerApp.ip=127.0.0.1",
        "--IdentityProvider.token=sesame", f"--ServerApp.root_dir={tmp_path / 'work'}", "--allow-root",
        "--ServerApp.port_retries=0",
    ]  # fmt: skip
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, env=env, stdout=log, stderr=log, cwd=tmp_path)
    try:
        deadline = time.monotonic() + 60
        while not (runtime := list((tmp_path / "runtime").glob("jpserver-*.json"))) or not runtime[0].read_text():
            assert process.poll() is None and time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
        url = json.loads(runtime[0].read_text())["url"].rstrip("/")
        yield url, "sesame"
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.mark.parametrize("front", ["lab", "notebook"])
def test_the_stepper_in_a_notebook(browser: Browser, server: tuple[str, str], front: str) -> None:
    """By keyboard: arrows, Home and End belong to the stepper, and Python knows the step."""
    url, token = server
    where = "lab/tree/stepper.ipynb" if front == "lab" else "notebooks/stepper.ipynb"
    context = browser.new_context(viewport={"width": 1280, "height": 1100})
    page = context.new_page()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(f"{url}/{where}?token={token}")
    page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=60_000)
    page.wait_for_function(
        "() => { const k = document.querySelector('.jp-Toolbar-kernelName, .jp-KernelName'); "
        "return !k || !/no kernel/i.test(k.textContent); }",
        timeout=60_000,
    )
    page.wait_for_selector(".jp-Notebook-ExecutionIndicator[data-status=idle]", timeout=60_000)
    errors.clear()  # of the front end itself, while it loads
    page.locator(".jp-CodeCell .cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector(".skl svg rect", timeout=60_000)
    # The strip shows the colours of the theme: it is drawn anew once the widget is on the page.
    page.wait_for_function(
        """() => {
            const c = document.querySelector(".skl .strip"), green = c.getContext("2d").getImageData(0, 0, c.width, c.height).data;
            for (let k = 0; k < green.length; k += 4) if (green[k + 3] > 200 && green[k + 1] > green[k] + 80) return true;
        }"""
    )
    root = page.locator(".skl")
    root.focus()
    at = "document.querySelector('.skl .say .n').textContent.split(/[–\\s]/)[0]"
    seen = [page.evaluate(at)]
    for key in ("End", "Home", "ArrowRight", "ArrowRight", "ArrowLeft", "PageDown"):
        page.keyboard.press(key)
        page.wait_for_function(f"(old) => {at} !== old", arg=seen[-1])
        seen.append(page.evaluate(at))
    assert seen[0] == seen[2] and seen[3] == seen[5] and len(set(seen)) == 5
    slider = page.locator(".skl .slider")
    slider.focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function(f"(old) => {at} !== old", arg=seen[-1])
    last = page.evaluate(at)
    assert page.locator(".skl").count() == 1, "no key of the stepper has reached the notebook"
    page.locator(".jp-CodeCell .cm-content").nth(1).click()
    page.keyboard.press("Shift+Enter")
    page.wait_for_selector(f"text=step {last}", timeout=30_000)
    assert all('"' in name for name in names(page))
    assert errors == []
    context.close()


SHOW_DECODER = """([script, payload]) => import("data:text/javascript," + encodeURIComponent(script)).then((widget) => {
  const state = { at: 0, payload };
  const model = { get: (name) => state[name], set: (name, value) => { state[name] = value; }, save_changes() {}, on() {} };
  widget.default.render({ model, el: document.body });
})"""


def test_the_decoder_of_a_message(browser: Browser) -> None:
    """Notebook 21: a click or a key points at a byte, and what there is to say of it is said."""
    decoder = wire.decoder(seri.pack("SET", {"name": "ann", "items": [7, 8]}, None, 1.5))
    page = browser.new_page()
    heard = complaints(page)
    page.evaluate(SHOW_DECODER, [Path(wire.__file__).with_suffix(".js").read_text("utf-8"), decoder.payload])
    said = page.locator("pre")
    assert said.inner_text() == decoder.told[0]
    page.get_by_text("53", exact=True).click()
    assert said.inner_text() == decoder.told[1]
    page.get_by_role("group").focus()
    for key, at in (("ArrowRight", 2), ("ArrowDown", 18), ("ArrowLeft", 17), ("ArrowUp", 1), ("End", 36), ("ArrowDown", 36),
                    ("Home", 0), ("ArrowLeft", 0)):  # fmt: skip
        page.keyboard.press(key)
        assert said.inner_text() == decoder.told[at], key
    assert not heard
    page.close()


def test_scenarios_open_without_a_complaint(browser: Browser, tmp_path: Path) -> None:
    """Errors, exits, queues, datagrams, and a recording of the real skynet beside them."""
    for name in ("term_two_callers", "queue_three", "udp_echo", "callee_exits_in_call", "pool_drops_failed"):
        Play(name, tmp_path).trace.to_html(tmp_path / "page.html")
        page = opened(browser, tmp_path / "page.html")
        press(page, "End")
        press(page, *["ArrowLeft"] * 5)
        assert page.complaints == []  # type: ignore[attr-defined]
        page.context.close()
    Trace.load(TRACES / "call_back_nested.json").to_html(tmp_path / "page.html")
    page = opened(browser, tmp_path / "page.html")
    press(page, "End", "Home", "PageDown")
    assert not page.get_by_text("the code").is_visible(), "a recording of the real skynet knows no lines"
    assert page.locator(".below").inner_text().startswith("B: queues")
    assert page.complaints == []  # type: ignore[attr-defined]
    page.context.close()


# --------------------------------------------------------------------------- a page against a debug console

ATTACK = """
const at = "http://127.0.0.1:PORT", line = "setenv run yes\\n";
async function attack() {
  const tries = [
    fetch(at + "/setenv/run/yes", {mode: "no-cors"}),
    fetch(at, {mode: "no-cors", method: "POST", body: line}),
    fetch(at, {mode: "no-cors", method: "POST", body: "x\\r\\n" + line, headers: {"Content-Type": "text/plain"}}),
    fetch(at, {method: "PUT", body: line}),
    fetch("http://evil.test:PORT/setenv/run/yes", {mode: "no-cors", referrerPolicy: "no-referrer"}),
    fetch(at + "/list").then(r => r.text()).then(text => { document.title = text }),
  ];
  const image = new Image(), socket = new WebSocket("ws://127.0.0.1:PORT/setenv/run/yes");
  tries.push(new Promise(done => { image.onerror = done; image.src = at + "/setenv/run/yes"; }));
  tries.push(new Promise(done => { socket.onerror = done; }));
  navigator.sendBeacon(at, line);
  for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"]) {
    const frame = document.body.appendChild(document.createElement("iframe"));
    const form = document.body.appendChild(document.createElement("form"));
    frame.name = form.target = type;
    Object.assign(form, {action: at, method: "POST", enctype: type});
    form.innerHTML = "<textarea name='setenv run yes\\n'>\\nsetenv run yes\\n</textarea>";
    form.submit();
  }
  return (await Promise.allSettled(tries)).map(t => t.status);
}
attack()
"""


def test_a_page_cannot_use_a_debug_console(chromium: BrowserType) -> None:
    """Images, fetch, forms, beacons, a WebSocket, a name that was made to mean this machine: nothing runs or is read.

    Some of them the browser breaks off, for the console has welcomed it before it could ask. The others are refused.
    """
    rules = "--host-resolver-rules=MAP evil.test 127.0.0.1"
    with Node(log=list) as node:
        node.serve()
        node.newservice("debug_console", 0)
        listening = next(id for id, (state, _) in node.socket_server.table().items() if state == "listen")
        port = node.socket_server.sockname(listening)[1]
        browser = chromium.launch(executable_path=CHROMIUM, args=[*FLAGS, rules])
        page = browser.new_page()
        page.route(
            "http://page.test/", lambda route: route.fulfill(body="<title>page</title>", content_type="text/html")
        )
        page.goto("http://page.test/")
        page.evaluate(ATTACK.replace("PORT", str(port)))
        assert page.title() == "page"
        with pytest.raises(Error):
            page.goto(f"http://evil.test:{port}/setenv/run/yes")
        refused = ("'sec-", f"'host': 'evil.test:{port}'")
        node.run(until=lambda: all(word in "\n".join(node.log_lines) for word in refused), timeout=20)
        browser.close()
        assert node.env.get("run") is None
