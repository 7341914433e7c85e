"""What the viewer is handed, and the page and the widget it comes in."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import nbformat
import pytest
from harness import TRACES, Play
from hypothesis import HealthCheck, given, settings
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from programs import PLAN_INSIDE, busy
from views import lobby

from skynet_lite import Node, Trace
from skynet_lite.trace.golden import BOOT
from skynet_lite.view.frame import SIZE, WIDTH, frame
from skynet_lite.view.page import page, script
from skynet_lite.view.payload import PIECE, payload, unpack
from skynet_lite.view.stepper import Stepper
from skynet_lite.view.story import Story
from skynet_lite.view.words import plain, sentences

NAMES = ["accept_echo_line", "call_back_nested", "queue_three", "term_two_callers", "pool_drops_failed", "udp_echo"]


def whole(data: dict[str, Any], name: str) -> list[Any]:
    """What is told of each event, of all pieces."""
    pieces = [json.loads(piece) if isinstance(piece, str) else piece for piece in data["events"]]
    return [told for piece in pieces for told in piece[name]]


def kinds(data: dict[str, Any]) -> list[str]:
    known, numbers = data["kinds"]
    return [known[n] for n in numbers]


def causes(data: dict[str, Any]) -> list[int | None]:
    return [data["first"] + i - since if since else None for i, since in enumerate(whole(data, "since"))]


def move(tables: dict[str, Any], step: Any) -> None:
    """One small step, as viewer.js does it; keys are texts there."""
    kind, service, *rest = step
    if kind == "born":
        tables["services"][service] = copy.deepcopy(rest[0])
    elif kind == "gone":
        del tables["services"][service]
    else:
        home = tables if service == "" else tables["services"][service]
        name, *rest = rest
        if kind == "put" and rest[0] is None:
            home[name] = rest[1]
        elif kind == "put":
            home[name][str(rest[0])] = rest[1]
        elif kind == "drop":
            del home[name][str(rest[0])]
        elif kind == "push":
            home[name].append(rest[0])
        elif kind == "pop":
            home[name].pop(rest[0])
        elif kind == "clear":
            home[name].clear()
        else:
            raise AssertionError(f"a step that the viewer does not know: {step}")


def check_steps(trace: Trace) -> None:
    """The steps alone lead to the tables of `state(i)`, without any rule of the runtime."""
    data = payload(trace, services="all")
    before = [json.loads(piece) if isinstance(piece, str) else piece for piece in data["tables"]]
    lines, tables = whole(data, "lines"), copy.deepcopy(before[0])
    for i, steps in enumerate(whole(data, "steps")):
        if i % PIECE == 0:
            assert tables == before[i // PIECE], "each piece begins where the one before it ends"
        for what, *rest in steps:
            move(tables, [*data["moves"][what], *rest])
        expected, shown = json.loads(json.dumps(trace.state(i))), copy.deepcopy(tables)
        for t in [*expected["services"].values(), *shown["services"].values()]:
            t.pop("watching_service", None)  # counted from two others, in either language
            for name in ("session_response", "dead_service", "unresponse"):
                if name in t:
                    t[name].sort()
        shown["timers"].sort(key=lambda timer: timer[0])
        assert shown == expected, f"event {i}: {lines[i]}"


@pytest.mark.parametrize("name", NAMES)
def test_small_steps_lead_to_the_tables(name: str, tmp_path: Path) -> None:
    """Forwards through whole scenarios, and through the recordings of the real skynet."""
    check_steps(Play(name, tmp_path).trace)
    check_steps(Trace.load(TRACES / f"{name}.json"))


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLAN_INSIDE, PLAN_INSIDE)
def test_small_steps_of_random_programs(first: list[list[str]], second: list[list[str]]) -> None:
    with Node(clock="virtual", log=list) as node, node.record() as trace:
        peer = node.newservice(busy, second)
        node.newservice(busy, first, peer)
        node.run()
    check_steps(trace)


def test_a_part_begins_with_its_own_tables(tmp_path: Path) -> None:
    """Numbers stay those of the whole; what is not in the part is not in the data."""
    trace = Play("accept_echo_line", tmp_path).trace
    data = payload(trace[40:60])
    assert (data["first"], len(kinds(data)), len(whole(data, "steps"))) == (40, 20, 20)
    assert whole(data, "lines")[0] == trace.text().splitlines()[40][5:].strip()
    assert data["tables"][0]["services"].keys() == trace.state(39)["services"].keys()
    assert all(40 <= column < 60 for column in data["columns"])
    assert payload(trace.only(service="lambda", coroutine="co2"))["coroutines"] == ["co2"]
    with pytest.raises(ValueError, match="no service 'nobody'"):
        payload(trace, services="nobody")


def test_a_long_run_comes_in_pieces() -> None:
    """Each a text that stands for itself: what is told of its events, the tables before it, what is drawn of it."""
    trace = lobby(4000, agents=20)
    check_steps(trace)
    data = payload(trace)
    pieces = -(-len(trace) // PIECE)
    assert pieces > 3 and (len(data["events"]), len(data["tables"])) == (pieces, pieces)
    assert len(data["film"]) == -(-len(data["columns"]) // PIECE) > 1
    edges = [*data["columns"][::PIECE], len(trace)]
    known: set[Any] = set()
    for k, piece in enumerate(map(json.loads, data["film"])):
        for name, things in piece.items():
            for thing in things:
                start, stop = thing[1], {"marks": thing[1], "arrows": thing[3], "stretches": thing[2]}[name]
                assert start is None or start < edges[k + 1]
                assert stop is None or stop >= (edges[k] if k else 0)
                known.add((name, *thing))
    story = Story(trace, data["shown"], 0, len(trace), 400)
    assert len(known) == len([*story.marks, *story.lines, *story.stretches, *story.arrows]), "nothing is missing"
    bars = {title: sum(counts) for _, title, _, counts, *_ in data["density"]}
    resumes = sum(e["e"] == "resume" and e["service"] in data["shown"] for e in trace)
    assert sum(n for title, n in bars.items() if title != "timer") == resumes, "nobody is missing in the overview"
    text = page(trace, title="a lobby")
    packed = re.findall(r'<script type="text/plain" id="data">(.*?)</script>', text, re.DOTALL)[0]
    assert unpack(packed)["traces"] == json.loads(json.dumps([payload(trace, title="a lobby")]))
    assert len(packed) * 5 < len(json.dumps(data))


def test_causes_lead_from_a_line_to_the_outside(tmp_path: Path) -> None:
    """What the service does after `readline`, back to the readiness of the socket: one chain without a gap."""
    trace = Play("accept_echo_line", tmp_path).trace
    data = payload(trace)
    chain = [next(i for i, e in enumerate(trace) if e["e"] == "mark" and e["text"].startswith("line:"))]
    while (cause := causes(data)[chain[-1]]) is not None:
        assert cause < chain[-1]
        chain.append(cause)
    assert [kinds(data)[i] for i in chain] == ["mark", "resume", "wakeup", "resume", "message", "push", "ready"]
    for i, event in enumerate(trace):
        if "cause" in event:
            assert causes(data)[i] == event["cause"]
    part = payload(trace[chain[1] :])
    assert causes(part) == causes(data)[chain[1] :], "numbers are those of the whole"


def test_every_place_has_its_source(tmp_path: Path) -> None:
    """The page can show each line it names: ours and the service's own."""
    data = payload(Play("accept_echo_line", tmp_path).trace)
    assert {"skynet/calls.py", "skynet/socket.py", "lambda"} <= data["sources"].keys()
    for stack in data["stacks"]:
        for place in stack:
            label, _, line = place.rpartition(":")
            assert 0 < int(line) <= len(data["sources"][label].splitlines()), place


def test_a_page_needs_nothing_from_anywhere(tmp_path: Path) -> None:
    """One file: no reference that a browser would follow, and words for whoever has no JavaScript."""
    trace = Play("accept_echo_line", tmp_path).trace
    text = page(trace, title="an <echo> & its client")
    assert "<title>an &lt;echo&gt; &amp; its client</title>" in text
    assert not re.search(r"""(src|href)\s*=|url\(|@import|fetch\(|XMLHttpRequest|importScripts""", text)
    assert "it parks in socket.start until socket 1 wakes it." in text.split("<noscript>")[1].split("</noscript>")[0]
    data = json.loads(re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)[0])
    assert whole(data["traces"][0], "lines") == whole(payload(trace), "lines")
    assert len(text) < 500_000


def test_a_program_cannot_break_its_page(tmp_path: Path) -> None:
    """Marks, names and sources are data, whatever they look like."""
    from skynet_lite import mark

    def main() -> None:
        mark("</script><script>alert(1)</script><!--")

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
    text = page(trace)
    assert text.count("</script>") == 2
    assert "<!--" not in text


def test_pages_and_payloads_need_neither_matplotlib_nor_anywidget(tmp_path: Path) -> None:
    """Nor greenlet: a stored trace becomes a page wherever Python is."""
    Play("call_ret", tmp_path).trace.save(tmp_path / "t.json")
    code = (
        "import sys\n"
        "for name in ('matplotlib', 'anywidget', 'ipywidgets', 'greenlet'): sys.modules[name] = None\n"
        "from skynet_lite import Trace\n"
        f"trace = Trace.load({str(tmp_path / 't.json')!r})\n"
        f"trace.to_html({str(tmp_path / 't.html')!r})\n"
        "try: trace.stepper()\n"
        "except ImportError as e: print(e)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "pip install 'skynet_lite[notebooks]'" in done.stdout, done.stderr
    assert (tmp_path / "t.html").stat().st_size > 50_000


# ---- the widget


def test_the_widget_has_a_text_and_a_picture(tmp_path: Path) -> None:
    """The text is short and the same everywhere; the picture is there for whoever cannot run the widget."""
    trace = Play("call_ret", tmp_path).trace
    widget = trace.stepper(step=12)
    assert isinstance(widget, Stepper) and widget.step == 12
    data, metadata = widget._repr_mimebundle_()
    assert data["text/plain"] == f"stepper: {len(trace)} events, 2 coroutines"
    assert len(data["image/png"]) > 10_000
    still = frame(trace, 12)
    assert metadata["image/png"]["alt"] == still.alt and "step 12" in still.alt
    assert data["image/svg+xml"] == still.svg
    assert "application/vnd.jupyter.widget-view+json" in data
    assert json.loads(widget.payload)["first"] == 0
    with pytest.raises(ValueError, match="no step 9999 here: events 0 to"):
        trace.stepper(step=9999)
    widget.close()


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("name", NAMES)
def test_a_frame_is_the_step_that_the_tables_are_at(name: str, lang: str, tmp_path: Path) -> None:
    """By itself it takes a wakeup if there is one; it tells the sentence, the line and the tables of that event."""
    trace = Play(name, tmp_path, record=True).trace
    still = frame(trace, lang=lang, title="a <title> & more")
    kinds_here = {e["e"] for e in trace if trace.names().get(e.get("service", "")) not in BOOT}
    assert trace.events[still.event]["e"] == ("wakeup" if "wakeup" in kinds_here else "resume")
    assert still.sentence == plain(sentences(trace, lang)[still.event])
    service = trace.events[still.event]["service"]
    after = trace.state(still.event)["services"][service]
    before = trace.state(still.event - 1)["services"][service]
    for table, row, new in still.tables:
        rows = [f"{k} → {v}" for k, v in after[table].items()] if isinstance(after[table], dict) else after[table]
        if not row.startswith("− "):
            assert row in map(str, rows)
        if not new:
            kept = before[table]
            assert row in ([f"{k} → {v}" for k, v in kept.items()] if isinstance(kept, dict) else map(str, kept))
    for number, text, _ in still.code:
        assert any(text in source.splitlines()[number - 1 : number] for source in trace.sources.values())
    assert sum(here for _, _, here in still.code) == bool(still.code)
    root = ElementTree.fromstring(still.svg)
    assert int(root.get("width", 0)) == WIDTH <= 900 and SIZE * 0.7 >= 9
    assert "prefers-color-scheme:dark" in still.svg
    assert still.svg == frame(trace, lang=lang, title="a <title> & more").svg


NOTEBOOK = """
from skynet_lite import Node, skynet
def main():
    skynet.sleep(1)
with Node(clock="virtual", log=list) as node, node.record() as trace:
    node.newservice(main)
"""


def test_a_notebook_stores_no_widget_and_passes_strict_nbval(tmp_path: Path) -> None:
    """Regenerated it keeps text and picture; nbval compares it with a run in which the widget lives."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "notebooks"))
    try:
        from regenerate import normalise
    finally:
        sys.path.pop(0)
    cells = [nbformat.v4.new_code_cell(source) for source in (NOTEBOOK.strip(), "trace.stepper()")]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    NotebookClient(
        notebook, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    notebook = normalise(notebook)
    assert "widgets" not in notebook.metadata
    (output,) = notebook.cells[1].outputs
    assert sorted(output.data) == ["image/png", "image/svg+xml", "text/plain"]
    path = tmp_path / "stepper.ipynb"
    nbformat.write(notebook, path)
    done = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--nbval", "--nbval-current-env", "-q",
            "-c", "/dev/null", "--rootdir", str(tmp_path), str(path),
        ],
        capture_output=True, text=True, timeout=120, cwd=tmp_path,
    )  # fmt: skip
    assert "2 passed" in done.stdout, done.stdout + done.stderr
    # What a reader without a kernel, or of a page made by nbconvert, sees: the picture.
    text, _ = HTMLExporter().from_notebook_node(notebook)
    assert "data:image/png;base64" in text and "Error displaying widget" not in text


def test_the_front_end_is_one_file_of_reasonable_size() -> None:
    """No framework, no build: it can be read from the first line to the last."""
    assert len(script().splitlines()) < 1150
    assert "import " not in script()


def test_the_viewer_says_nothing_that_is_not_in_the_tables_of_words() -> None:
    """Its forms come with the data, in the language of the data; none is missing."""
    used = set(re.findall(r"""\bword\("([\w.]+)\"""", script())) | set(re.findall(r'word\(\w+ \? "([\w.]+)"', script()))
    assert len(used) > 50
    for lang in ("en", "zh"):
        data = payload(Trace(), lang=lang)
        assert data["lang"] == lang and used <= set(data["words"])
    html = page(Trace(), lang="zh", title="一次运行")
    assert '<html lang="zh">' in html and "用文字来说" in html and "JavaScript. In words" not in html
    with pytest.raises(ValueError, match="no language 'xx'"):
        page(Trace(), lang="xx")
