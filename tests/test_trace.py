"""What a recording says, and what can be rebuilt from it."""

from __future__ import annotations

import json
import re
import tempfile
import zlib
from pathlib import Path
from typing import Any

import pytest
from harness import TRACES, Play, echo_trace
from hypothesis import HealthCheck, given, settings, strategies as st
from programs import PLAN_INSIDE, busy

from skynet_lite import Node, Trace, doors, skynet
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


def test_another_version_is_refused_by_name(tmp_path: Path) -> None:
    """Whatever else the file holds, and whether it is older or newer."""
    document = fresh()
    for version in (1, 2, 4, None):
        (tmp_path / "t.json").write_text(json.dumps({**document, "version": version}))
        with pytest.raises(TraceError, match=rf"t\.json has format version {version}, known is 3"):
            Trace.load(tmp_path / "t.json")


def test_a_recording_can_be_stored_as_a_trace(tmp_path: Path) -> None:
    """A recording of the real skynet, written in our format, is the same trace."""
    old = Trace.load(TRACES / "two_clients.json")
    old.save(tmp_path / "t.json")
    new = Trace.load(tmp_path / "t.json")
    assert (new.events, new.snapshot, new.origin) == (old.events, old.snapshot, old.origin)


def look(trace: Trace) -> None:
    """Everything that reads a trace gets through it."""
    trace.text()
    trace.state(-1)
    trace.describe()
    trace.to_chrome()
    trace.to_mermaid()
    str(trace.diff(trace))
    for service in trace.names():
        trace.golden(service or 0)


def spoil(draw: Any, data: Any) -> None:
    """Change one thing anywhere in a JSON document, as somebody might who edits it."""
    while True:
        keys = list(data) if isinstance(data, dict) else list(range(len(data)))
        if not keys:
            return
        key = draw(st.sampled_from(keys))
        if isinstance(data[key], (dict, list)) and data[key] and draw(st.integers(0, 9)):
            data = data[key]
            continue
        what = draw(st.sampled_from(["delete", "replace", "rename"]))
        if what == "replace":
            plausible = [
                None,
                True,
                -1,
                0,
                7,
                10**9,
                1.5,
                "",
                "co1",
                ":00000008",
                "SLEEP",
                [],
                [1],
                ["x"],
                {},
                {"1": "x"},
            ]
            data[key] = draw(st.sampled_from(plausible))
        elif what == "rename" and isinstance(data, dict):
            data[draw(st.sampled_from(["e", "session", "co", "x", "7"]))] = data.pop(key)
        else:
            del data[key]
        return


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_an_edited_file_is_refused_or_read(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Whatever is deleted or replaced, plausibly and with the checksum made to fit: a TraceError that names the
    file, or a trace that can be looked at. Never another exception."""
    path = tmp_path_factory.getbasetemp() / "edited.json"
    recorded = data.draw(st.booleans())
    document = json.loads((TRACES / "accept_echo_line.json").read_text()) if recorded else fresh()
    for _ in range(data.draw(st.integers(1, 3))):
        spoil(data.draw, document)
    if isinstance(document.get("events"), list) and data.draw(st.booleans()):
        document["count"] = len(document["events"])
    document.pop("checksum", None)
    text = json.dumps(document, separators=(",", ":"))
    document["checksum"] = zlib.crc32(text.encode())
    path.write_text(json.dumps(document))
    try:
        trace = Trace.load(path)
    except TraceError as e:
        assert "edited.json" in str(e)
    else:
        look(trace)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["json", "jsonl"]), st.integers(0), st.integers(0, 255), st.booleans())
def test_a_damaged_file_is_refused(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, where: int, byte: int, cut: bool
) -> None:
    """A byte changed, or the end missing: the checksum sees it. Only the last line feed may go."""
    folder = tmp_path_factory.getbasetemp()
    if not (folder / f"whole.{suffix}").exists():
        fresh()
        Trace.load(folder_of_fresh / "fresh.json").save(folder / f"whole.{suffix}")
    whole = (folder / f"whole.{suffix}").read_bytes()
    n = where % (len(whole) - 1)
    damaged = whole[:n] if cut else whole[:n] + bytes([byte]) + whole[n + 1 :]
    path = folder / f"damaged.{suffix}"
    path.write_bytes(damaged)
    try:
        trace = Trace.load(path)
    except TraceError:
        return
    assert trace.events == Trace.load(folder / f"whole.{suffix}").events  # such as a space for another space


folder_of_fresh = Path(tempfile.mkdtemp())


def fresh() -> dict[str, Any]:
    """A small trace of ours, as it is stored."""
    path = folder_of_fresh / "fresh.json"
    if not path.exists():
        with Node(clock="virtual", log=list) as node, node.record() as trace:
            node.newservice(busy, [["fork", "self", "sleep", "wait", "error"]], None)
            node.run()
        trace.save(path)
    document: dict[str, Any] = json.loads(path.read_text())
    return document


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["events"][5].update(stack=99), "event 5 has a stack that is not there"),
        (lambda d: d["events"][5].update(stack=-1), "event 5 has a stack that is not there"),
        (lambda d: d["events"][3].pop("by"), "event 3 is a resume without 'by'"),
        (lambda d: d["events"][3].update(co=5), "event 3 is a resume whose 'co' is int"),
        (lambda d: d["events"][3].update(cause=200), "event 3 has a cause that does not lie before it"),
        (lambda d: d["events"].__setitem__(3, "x"), "event 3 is without a kind"),
        (lambda d: d["snapshot"]["services"][":00000003"].pop("mailbox"), ":00000003 has no mailbox"),
        (lambda d: d["snapshot"].update(timers=[[1, 2]]), "timers is odd"),
        (lambda d: d["snapshot"].update(sockets={"x": []}), "a number of its tables is none"),
        (lambda d: d.update(sources=[]), "its sources are odd"),
        (lambda d: d.update(stamps=[[0, 0], [0, 1], [1, 1]]), "its times are not in order"),
        (lambda d: d.update(stamps=[[0], [0, 1], [1]]), "its times are odd"),
        (lambda d: d.update(count=3), "it says 3 events"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said(tmp_path: Path, change: Any, words: str) -> None:
    """The place and the field, in the words of the trace."""
    document = fresh()
    document.pop("checksum")
    change(document)
    document["checksum"] = zlib.crc32(json.dumps(document, separators=(",", ":")).encode())
    (tmp_path / "t.json").write_text(json.dumps(document))
    with pytest.raises(TraceError, match=re.escape(words)):
        Trace.load(tmp_path / "t.json")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"format":"skynet_lite trace","x":' + "[" * 5000 + "]" * 5000 + "}"])
def test_deep_nesting_is_refused(tmp_path: Path, text: str) -> None:
    """A file cannot overflow the stack."""
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(TraceError, match="t.json"):
        Trace.load(tmp_path / "t.json")


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


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLAN_INSIDE, PLAN_INSIDE)
def test_random_programs_rebuild_and_repeat(first: list[list[str]], second: list[list[str]]) -> None:
    """Any program: the rebuilt tables are the live ones at every event, and a second run is the same."""

    def run() -> tuple[Trace, list[dict[str, Any]]]:
        with Node(clock="virtual", log=list) as node:
            node.run_until_idle()
            with node.record() as trace:
                states = watch(node)
                peer = node.newservice(busy, second)
                node.newservice(busy, first, peer)
                node.run()
            return trace, states

    trace, states = run()
    for i in range(0, len(trace), 7):
        assert trace.state(i) == states[i], trace.text().splitlines()[i]
    assert run()[0].text() == trace.text()


def test_the_chain_of_causes_goes_from_epoll_to_the_parked_line() -> None:
    """From the write that answers a client back to the readiness of its socket, through both coroutines."""
    trace = echo_trace()
    chain = [trace[n]["e"] for n in trace.causes(trace.find("write"))]
    assert chain[:6] == ["write", "resume", "wakeup", "resume", "message", "push"]
    assert chain[6] == "ready"
    numbers = trace.causes(trace.find("write"))
    assert numbers == sorted(numbers, reverse=True)


def test_find_names_what_is_missing() -> None:
    """An event is found by its kind and fields; a search in vain says what there is."""
    trace = echo_trace()
    n = trace.find("message", type="DATA")
    assert trace[n]["type"] == "DATA" and trace.find("message", after=n - 1) == n
    with pytest.raises(LookupError, match=r"no event message type='NEVER' behind -1; there are \d+ of kind message"):
        trace.find("message", type="NEVER")


def test_every_door_opens() -> None:
    """What is drawn or run again above the trace is found by its name, and nothing else is."""
    assert {"timeline", "stepper", "page", "describe", "waits", "dashboard", "replay"} == set(doors._DOORS)
    assert all(callable(doors.door(name)) for name in doors._DOORS)
    with pytest.raises(KeyError):
        doors.door("no such door")
