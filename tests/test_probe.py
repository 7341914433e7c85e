"""A real skynet in the same picture: what its probe has written, as a trace; and the probe in a skynet that is at hand.

The streams in tests/golden/streams were written by skynet_lite/probe/probe.lua: `listen`, the article's listing and one
client, in v1.1.0 and in today's; `calls`, in v1.2.0; `hang`, started in the middle of a run, one of them a ring;
`circle`, a service that calls itself back in a critical section: from birth, and started when it hangs already.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from harness import DOCS, LIMIT, TRACES, echo_trace, programs, until
from real_skynet import Real, real

from skynet_lite import Trace, probe
from skynet_lite.trace import TraceError
from skynet_lite.view.payload import payload
from skynet_lite.view.story import Story
from skynet_lite.view.waits import _places
from skynet_lite.view.words import sentences

STREAMS = TRACES.parent / "streams"
FOLDERS = sorted(path.relative_to(STREAMS).as_posix() for path in STREAMS.glob("*/*/"))
MAIN, ECHO = ":00000008", ":00000009"


# ---- what the streams say


@pytest.mark.parametrize("name", FOLDERS)
def test_a_stream_is_a_trace_like_others(name: str, tmp_path: Path) -> None:
    """Printed, told, drawn by event and by time, shown as a page, stored and loaded: whatever a trace can do."""
    trace = Trace.load(STREAMS / name)
    assert trace.probed and trace.origin.startswith("real skynet: ") and len(trace) > 5
    assert trace.skynet == ("1.1" if "v1.1.0" in name else "1.8")
    assert all(re.match(r".*\w", told) for told in sentences(trace))
    assert "?" not in trace.describe(detail=True)
    trace.timeline(by="time").write(tmp_path / "t.svg")
    trace.to_html(tmp_path / "t.html")
    for suffix in ("json", "jsonl"):
        trace.save(tmp_path / f"t.{suffix}")
        loaded = Trace.load(tmp_path / f"t.{suffix}")
        assert loaded.text() == trace.text() and loaded.events == trace.events and loaded.sources == trace.sources
        assert all(loaded.state(i) == trace.state(i) for i in (0, len(trace) // 2, -1))
    assert len(trace.to_chrome()["traceEvents"]) > len(trace) // 2
    assert trace.to_mermaid().startswith("sequenceDiagram")


@pytest.mark.parametrize(("folder", "dialect"), [("listen/v1.1.0", "1.1"), ("listen/HEAD", "1.8")])
def test_the_listing_does_in_skynet_what_it_does_here(folder: str, dialect: str) -> None:
    """The article's program, event for event, in the skynet of the article and in today's."""
    real, ours = Trace.load(STREAMS / folder), echo_trace(dialect)
    for found in (real.diff(ours), ours.diff(real)):
        assert found.pairs == [(MAIN, MAIN)]
        assert found.same, found.text()
        assert len(found.rows) > 50


def test_the_other_dialect_parts_from_it() -> None:
    """Today `listen` waits for a CONNECT of its own (rule 10): a diff across the dialects says so."""
    found = Trace.load(STREAMS / "listen" / "HEAD").diff(echo_trace("1.1"))
    assert not found.same
    assert found.summary().splitlines()[1:] == [
        '< :00000008 message CONNECT socket 1 "127.0.0.1"',
        '> :00000008 message CONNECT socket 1 "start"',
    ]


def test_a_call_is_joined_over_two_files() -> None:
    """The request has the send as its cause, and so has the answer; what is without a session comes in its order."""
    trace = Trace.load(STREAMS / "calls" / "v1.2.0")
    requests = [(n, e) for n, e in trace.numbered() if e["e"] == "message" and e["service"] == ECHO]
    sends = [(n, e) for n, e in requests if e["source"] == MAIN]
    assert [e["session"] for _, e in sends] == [0, 3, 4, 6]
    for n, e in sends:
        cause = trace[e["cause"]]
        assert (cause["e"], cause["service"], cause["to"], cause["session"]) == ("send", MAIN, ECHO, e["session"])
        assert trace.seconds(e["cause"]) <= trace.seconds(n)
    answer = trace.find("message", service=MAIN, ptype="response", session=3)
    assert [trace[n]["e"] for n in trace.causes(answer)][:6] == [
        "message", "send", "resume", "message", "send", "resume",
    ]  # fmt: skip


def test_the_lines_are_those_of_the_lua_program(tmp_path: Path) -> None:
    """Also without the file: what is at hand is shown, and the places are there in any case."""
    trace = Trace.load(STREAMS / "calls" / "v1.2.0")
    parked = trace[trace.find("yield", service=MAIN, session=3)]
    assert parked["at"] == "main:6" and parked["stack"][0].startswith("skynet.lua:")
    assert trace.source_line("main:6") == 'skynet.call(echo, "lua", "back", 1)'
    assert trace[trace.find("co_create", service=MAIN, **{"for": "fork"})]["runs"] == "main:7"
    failed = trace[trace.find("co_error", service=ECHO)]
    assert (failed["at"], failed["error"]) == ("echo:10", "no way")
    elsewhere = Trace.load(STREAMS / "calls" / "v1.2.0", root=tmp_path)
    assert elsewhere.sources == {} and elsewhere.text() == trace.text()


def test_what_went_wrong_in_a_real_skynet_is_said() -> None:
    """The same verdicts as on a run of ours, with the lines of Lua."""
    trace = Trace.load(STREAMS / "calls" / "v1.2.0")
    assert trace.verdicts().kinds() == ["fault raised", "fault no answer"]
    raised, forgot = map(str, trace.verdicts())
    assert "co1 of echo :00000009 (at echo:10) raised 'no way'" in raised
    assert "co2 of echo :00000009 (at echo:17) ended without skynet.ret, although main :00000008 waits" in forgot
    (wait,) = trace.waits()
    assert (wait.who, wait.state, wait.to, wait.place) == ((MAIN, "co1"), "nobody", ECHO, "main:11")


def test_what_is_not_recorded_is_not_known() -> None:
    """Of a service without a stream nothing is said: its part of the call is unknown, and no fault of anybody."""
    trace = Trace.load(STREAMS / "calls" / "v1.2.0" / "00000008.jsonl")
    (wait,) = trace.waits()
    assert (wait.to, wait.state, wait.target) == (ECHO, "unknown", None)
    assert trace.verdicts() == []
    both = Trace.load([STREAMS / "calls" / "v1.2.0" / f"{name}.jsonl" for name in ("00000009", "00000008")])
    assert both.verdicts().kinds() == ["fault raised", "fault no answer"]
    assert {e["service"] for e in both} == {MAIN, ECHO}


def test_a_mailbox_holds_what_was_sent_and_not_taken() -> None:
    """As far as it was recorded: from the send to the message, and no guess at the rest."""
    trace = Trace.load(STREAMS / "calls" / "v1.2.0")
    n = trace.find("send", service=MAIN, session=3)
    mailbox = f"lua 3 {MAIN}"
    assert mailbox not in trace.state(n - 1)["services"][ECHO]["mailbox"]
    assert mailbox in trace.state(n)["services"][ECHO]["mailbox"]
    taken = trace.find("message", service=ECHO, session=3)
    assert mailbox in trace.state(taken - 1)["services"][ECHO]["mailbox"]
    assert mailbox not in trace.state(taken)["services"][ECHO]["mailbox"]
    timer = trace.find("timer_set", service=MAIN, session=5)
    assert trace.state(timer)["timers"] == [[trace[timer]["tick"], MAIN, 5]]
    assert trace.state(trace.find("message", service=MAIN, session=5))["timers"] == []


def test_a_stream_may_begin_in_the_middle_and_shows_who_waits() -> None:
    """`inject ... start` in a node that hangs: the tables are there at once, with the lines; of a ring, how much is
    missing."""
    trace = Trace.load(STREAMS / "hang" / "HEAD")
    assert str(trace.waits()).splitlines() == [
        "co2 of echo :00000009  session 2  a wakeup                                   at echo:6",
        "co2 of main :00000008  session 4  its call to echo :00000009, served by co2  at main:7",
        "co3 of main :00000008  session 5  its timer                                  at main:10",
    ]
    begins = {e["service"]: e for e in trace if e["e"] == "begin"}
    assert begins[ECHO]["missing"] == trace.missing > 0 and "missing" not in begins[MAIN]
    assert sum(e.get("service") == ECHO for e in trace) >= 40, "a ring keeps at least what was asked for"
    assert f"{trace.missing} events before these were not kept" in trace.text()
    assert "recorded from here" in {mark.label for mark in Story(trace).marks}


@pytest.mark.parametrize("folder", ["HEAD", "late"])
def test_a_circle_through_a_critical_section_is_found(folder: str) -> None:
    """The usual deadlock of a skynet: who is inside skynet.queue is known as soon as somebody else has to wait."""
    trace = Trace.load(STREAMS / "circle" / folder)
    inside, later, served = ("co4", "co3", "co1") if folder == "HEAD" else ("co2", "co3", "co4")
    assert trace.state()["services"][MAIN]["queue"] == {1: [inside, later, served]}
    assert trace.verdicts().kinds() == ["fault circle"]
    (circle,) = trace.waits().circles()
    assert [(wait.kind, wait.place) for wait in circle] == [
        ("call", "main:22"),
        ("call", "bank:5"),
        ("queue", "main:8"),
    ]


def test_who_waits_for_a_circle_stands_beside_it() -> None:
    """The drawing of the waits: two coroutines of one number in two services, and no box on another."""
    waits = Trace.load(STREAMS / "circle" / "late").waits()
    boxes = _places(waits)
    assert len(boxes) == len(set(boxes.values())) == 4
    assert waits.draw().description.count("main:22") == 1


def test_the_viewer_shows_the_tables_that_were_found() -> None:
    """Also those that nothing changes any more: they are not among the tables that were never used."""
    trace = Trace.load(STREAMS / "circle" / "late")
    most = payload(trace)["most"][MAIN]
    assert (most["session_id_coroutine"], most["queue"], most["sleep_session"]) == (3, 1, 2)
    labels = {stretch.label for stretch in Story(trace).stretches}
    assert {
        "CALL 11 → :00000009, at main:22",
        "queue 1 behind co2, at main:27",
        "CALL 2 → :00000008, at bank:5",
    } <= labels


def test_a_critical_section_is_left_in_its_order() -> None:
    """Three coroutines go through it one after the other; then it is empty."""
    trace = Trace.load(STREAMS / "circle" / "HEAD")
    members = [
        trace.state(n)["services"][MAIN]["queue"].get(1, []) for n, e in trace.numbered() if e.get("table") == "queue"
    ]
    assert members[:6] == [["co2"], ["co2", "co3"], ["co2", "co3", "co4"], ["co3", "co4"], ["co4"], []]


def test_a_dispatch_takes_as_long_as_its_last_event() -> None:
    """Times are real: a message that holds a worker for long is found."""
    trace = Trace.load(STREAMS / "calls" / "v1.2.0")
    messages = [n for n, e in trace.numbered() if e["e"] == "message"]
    took = [trace.took(n) for n in messages]
    assert all(t is not None and 0 <= t < 0.1 for t in took)
    assert trace.verdicts(slow=0).kinds().count("suspicion slow dispatch") > 0


# ---- files that are not whole


@pytest.fixture
def streams(tmp_path: Path) -> Path:
    return Path(shutil.copytree(STREAMS / "calls" / "v1.2.0", tmp_path / "calls"))


def test_the_end_of_a_node_that_was_killed_may_be_cut(streams: Path) -> None:
    """The last line is left out if it is not whole, and a file to which nothing has come yet is none."""
    whole = Trace.load(streams)
    path = streams / "00000008.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    (streams / "0000000b.jsonl").write_bytes(b"")
    cut = Trace.load(streams)
    assert len(cut) == len(whole) - 1
    ends = (
        "cut inside a message: the streams of main :00000008",
        "nothing has reached the disk: the streams of :0000000b",
    )
    assert [line.strip(" …") for line in cut.text().splitlines()[:2]] == list(ends)
    assert cut.verdicts().cut[1] in str(cut.verdicts()) and ":0000000b" in cut.verdicts().cut[1]
    assert whole.verdicts().cut == () and "cut inside" not in whole.text()
    cut.save(streams / "cut.json")
    assert str(Trace.load(streams / "cut.json").verdicts()) == str(cut.verdicts())
    for path in streams.glob("0*.jsonl"):
        path.write_bytes(b"")
    with pytest.raises(TraceError, match="nothing of the streams has reached the disk yet"):
        Trace.load(streams)


@pytest.mark.parametrize("torn", [b"", b'{"t":1'])
@pytest.mark.parametrize("program", ["calls/v1.2.0", "circle/HEAD", "listen/HEAD", "hang/HEAD"])
def test_no_verdict_rests_on_the_end_of_a_stream(program: str, torn: bytes, tmp_path: Path) -> None:
    """Wherever the stream of one service is cut, nothing is said that the whole recording does not say."""
    whole = set(Trace.load(STREAMS / program).verdicts().kinds())
    folder = Path(shutil.copytree(STREAMS / program, tmp_path / "cut"))
    for path in (folder / "00000008.jsonl", *folder.glob("00000009.jsonl")):
        text = path.read_bytes()
        lines = text.splitlines(keepends=True)
        for n in range(2, len(lines), 3):
            path.write_bytes(b"".join(lines[:n]) + torn)
            found = Trace.load(folder).verdicts()
            assert set(found.kinds()) <= whole, (path.name, n, str(found))
            assert found.cut or not torn
        path.write_bytes(text)


def looping(streams: Path, flush: bool) -> Trace:
    """The streams of `calls`, as if echo had never come back from its second request."""
    path = streams / "00000009.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    (taken,) = [n for n, line in enumerate(lines) if '"e":"message"' in line and '"session":4' in line]
    head = lines[0].replace('"version":1', f'"version":1,"flush":{str(flush).lower()}')
    path.write_text("".join([head, *lines[1 : taken + 1]]))
    return Trace.load(streams)


def test_an_endless_loop_is_a_message_that_does_not_end(streams: Path) -> None:
    """Its `message` is the last thing on the disk, while others went on. If streams come late, that proves nothing."""
    trace = looping(streams, flush=True)
    (found,) = [v for v in trace.verdicts(slow=0) if v.kind == "not ended"]
    assert found.text.startswith("echo :00000009 took the message lua session 4 of main :00000008")
    assert trace[found.event]["e"] == "message" and found.grade == "suspicion"
    (wait,) = [wait for wait in trace.waits(found.event) if wait.session == 4]
    assert (wait.state, wait.on) == ("taken", "its call to echo :00000009, which it has taken; its stream ends there")


def test_of_a_stream_that_comes_late_no_loop_is_said(streams: Path) -> None:
    assert "suspicion not ended" not in looping(streams, flush=False).verdicts(slow=0).kinds()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda lines: [*lines[:4], lines[4][:20], *lines[5:]], "00000008.jsonl line 5 is no event"),
        (lambda lines: [*lines[:4], '{"e":"yield"}', *lines[5:]], "line 5 is no event: it has no kind and time"),
        (lambda lines: lines[1:], "00000008.jsonl is no stream of the probe: line 1 is 'timer'"),
        (lambda lines: [lines[0].replace('"version":1', '"version":9'), *lines[1:]], "stream version 9, known is 1"),
        (lambda lines: [lines[0].replace('"self":8', '"self":"x"'), *lines[1:]], "'self' is str"),
        (lambda lines: [lines[0].replace('"born":true', '"born":false'), *lines[1:]], "has no tables"),
        (lambda lines: [*lines[:2], lines[2].replace('"co":"co1",', ""), *lines[3:]], "line 3 is a co_create without 'co'"),
        (lambda lines: [line.replace('"session":2', '"session":[]') for line in lines], "line 8 is a send that is not whole"),
        (lambda lines: [line.replace('"stack":[', '"stack":[1,') for line in lines], "a timer with a place that is none"),
    ],
)  # fmt: skip
def test_what_is_no_stream_is_refused(streams: Path, change: Callable[[list[str]], list[str]], said: str) -> None:
    """The file and the line are named."""
    path = streams / "00000008.jsonl"
    path.write_text("\n".join(change(path.read_text().splitlines())) + "\n")
    with pytest.raises(TraceError, match=said):
        Trace.load(streams)


def test_a_part_of_a_ring_that_is_not_there_is_missed(tmp_path: Path) -> None:
    """The newer part alone is enough; two that do not follow each other are not."""
    folder = Path(shutil.copytree(STREAMS / "hang" / "HEAD", tmp_path / "hang"))
    newer, older = folder / "00000009.jsonl", folder / "00000009.old.jsonl"
    text = older.read_text()
    number = json.loads(text.partition("\n")[0])["part"]
    older.write_text(text.replace(f'"part":{number}', f'"part":{number - 1}', 1))
    with pytest.raises(TraceError, match="the one before is not there"):
        Trace.load(folder)
    older.write_text("".join(newer.read_text().splitlines(keepends=True)[:9]))  # it was read, and then moved here
    assert Trace.load(folder).text() == Trace.load([newer, folder / "00000008.jsonl"]).text()
    older.unlink()
    assert Trace.load(newer).missing > Trace.load(STREAMS / "hang" / "HEAD").missing


def test_of_two_runs_in_a_folder_the_last_one_counts(streams: Path) -> None:
    """What an earlier run has left there belongs to other services."""
    old = (streams / "00000009.jsonl").read_text()
    (streams / "000000ff.jsonl").write_text(
        re.sub('"started":[0-9]+', '"started":5', old).replace('"self":9', '"self":255')
    )
    assert {e.get("service") for e in Trace.load(streams)} == {":00000003", MAIN, ECHO}


def test_a_folder_without_streams(tmp_path: Path) -> None:
    with pytest.raises(TraceError, match="there is no stream; is it the folder that the probe writes to"):
        Trace.load(tmp_path)
    with pytest.raises(FileNotFoundError):
        Trace.load(tmp_path / "nowhere.jsonl")


# ---- the command


def run(*args: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "skynet_lite", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=LIMIT * 2)


def test_the_command_writes_the_probe_and_says_what_to_do(tmp_path: Path) -> None:
    """The line it prints is one of a configuration of skynet; what is not ours is not written over."""
    folder = tmp_path / "p"
    for _ in range(2):
        done = run("probe", folder)
        assert done.returncode == 0, done.stderr
    (line,) = re.findall(r'^ +preload = "(.*)"$', done.stdout, re.MULTILINE)
    assert Path(line) == (folder / "probe.lua").resolve()
    assert Path(line).read_bytes() == Path(probe.__file__).with_name("probe.lua").read_bytes()
    assert f"skynet-lite trace {folder.resolve()} --html" in done.stdout
    (folder / "probe.lua").write_text("return 1\n")
    done = run("probe", folder)
    assert done.returncode == 2 and "is not the probe" in done.stderr, done.stderr
    assert (folder / "probe.lua").read_text() == "return 1\n"


def test_the_commands_trace_and_diff_take_a_folder(tmp_path: Path) -> None:
    """A folder of streams stands for the trace in it."""
    folder = STREAMS / "listen" / "HEAD"
    done = run("trace", folder, "--html", tmp_path / "t.html")
    assert done.returncode == 0 and "at main:16" in done.stdout, done.stderr
    assert "real skynet: main" in (tmp_path / "t.html").read_text()
    assert run("diff", folder, folder).returncode == 0
    done = run("trace", tmp_path)
    assert done.returncode == 2 and "there is no stream" in done.stderr
    done = run("trace", tmp_path / "nowhere")
    assert done.returncode == 2 and "or a folder of streams" in done.stderr
    trace = Trace.load(STREAMS / "calls" / "v1.2.0")
    assert "mailbox up to" not in str(trace.timeline(overview=True).description)


# ---- a skynet that is at hand


class Probed(Real):
    """A node of the real skynet whose folder has the probe."""

    def __init__(self, folder: Path, program: str, **keys: Any) -> None:
        super().__init__(folder, STREAMS / program, **keys)
        probe.write(folder)

    def events(self) -> Trace | None:
        return Trace.load(self.folder) if any(self.folder.glob("*.jsonl")) else None


@real
def test_a_real_skynet_does_what_our_runtime_does(tmp_path: Path) -> None:
    """The article's listing in the skynet of SKYNET_DIR, and in ours with the same dialect."""
    with Probed(tmp_path, "listen", preload="./probe.lua", probe_data="true", probe_keep="true").running() as node:
        with node.connect(node.port) as client:
            until(
                lambda: (
                    (t := node.events())
                    and [e for e in t if e.get("info") == "start" and e.get("id") == 2]
                    or "1.1" in str(t and t.skynet)
                    and "ACCEPT" in t.text()
                )
            )
            time.sleep(0.2)  # until the server waits for the line, or it reads what is there already
            client.sendall(b"hello\n")
            assert client.recv(10) == b"hello\n" and client.recv(10) == b""
        trace = until(lambda: (t := node.events()) and t.text().count("CLOSE socket 2") and t)
        time.sleep(0.2)
        trace = node.events()
    parks = [e["at"] for e in trace if e["e"] == "yield" and e["service"] == MAIN and "at" in e]
    assert parks[-4:] == ["main:16", "main:5", "main:6", "main:8"]
    if trace.skynet == "1.1" or '"127.0.0.1"' in trace.text():  # 1.2 to 1.5 stand between our two dialects
        found = trace.diff(echo_trace(trace.skynet))
        assert found.same, found.text()


@real
def test_programs_do_the_same_with_and_without_the_probe(tmp_path: Path) -> None:
    """What a program prints, and in which order."""
    said = []
    for name, keys in (
        ("without", {}),
        ("with", {"preload": "./probe.lua"}),
        ("ring", {"preload": "./probe.lua", "probe_events": "20"}),
    ):
        (tmp_path / name).mkdir()
        with Probed(tmp_path / name, "calls", **keys).running() as node:
            until(lambda: "Maybe forgot" in node.log.read_text() or "call failed" in node.log.read_text())
            time.sleep(0.5)
            log = node.log.read_text()
        said.append([line for line in log.splitlines() if "LAUNCH" in line or line.startswith(("true", "false"))])
    assert said[0] and said[0] == said[1] == said[2]


def words(node: Real) -> Callable[[str], str]:
    """What can be said behind `inject ADDRESS FILE`: v1.1.0 hands nothing on, and takes each inject for the next step."""
    silent = "dbgcmd" not in "".join(node.say("help")) and "inject" not in node.say("inject :8 ./probe.lua x")[0]
    if silent:
        node.say("inject :8 ./probe.lua")  # it has started
    return (lambda word: "") if silent else str


@real
def test_the_debug_console_starts_and_stops_it(tmp_path: Path) -> None:
    """In a node that has been running without it: from `inject ... start` on, to `stop`; and again."""
    with Probed(tmp_path, "hang").running() as node:
        word = words(node)
        said = node.say(*(f"inject :8 ./probe.lua {word(what)}" for what in ("start", "stop", "start")))
        on, off = "the probe records this service into ./00000008.jsonl", "the probe no longer records this service"
        assert said == [on, off, on]
        trace = until(node.events)
    assert {wait.place for wait in trace.waits() if wait.service == MAIN} == {"main:7", "main:10"}


@real
def test_an_option_that_is_none_is_refused(tmp_path: Path) -> None:
    """In the log, of the configuration; as the answer, in the debug console."""
    for key, value, said in (
        ("event", "5", "probe_event is no option of the probe"),
        ("events", "-3", 'events is a whole number, 0 or more, not "-3"'),
        ("events", "2.5", 'events is a whole number, 0 or more, not "2.5"'),
        ("only", "[agent", 'only is a Lua pattern, not "[agent": '),
    ):
        folder = tmp_path / f"{key}{value}"
        folder.mkdir()
        with Probed(folder, "hang", preload="./probe.lua", **{f"probe_{key}": value}).running() as node:
            until(lambda node=node, said=said: said in node.log.read_text())
    (tmp_path / "console").mkdir()
    with Probed(tmp_path / "console", "hang").running() as node:
        if words(node)("start"):
            refused, off = node.say("inject :8 ./probe.lua start only=xx", "inject :8 ./probe.lua stop")
            assert "only=xx" in refused and "is none of dir=" in refused
            assert off == "the probe does not record this service"


@real
def test_a_node_that_hangs_says_why(tmp_path: Path) -> None:
    """A deadlock that is there already when two lines in the debug console start the probe."""
    with Probed(tmp_path, "circle").running() as node:
        word = words(node)

        def kinds() -> list[str]:
            node.say(f"inject :8 ./probe.lua {word('start')}", f"inject :9 ./probe.lua {word('start')}")
            found = Trace.load(node.folder).verdicts().kinds()
            if found != ["fault circle"]:  # not yet
                node.say(f"inject :8 ./probe.lua {word('stop')}", f"inject :9 ./probe.lua {word('stop')}")
            return found

        until(lambda: kinds() == ["fault circle"])


# ---- the page


def test_the_programs_of_the_page_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what they print is what the page shows; its options are those of the probe, with their defaults."""
    (tmp_path / "streams").symlink_to(STREAMS)
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "probe.md").read_text(encoding="utf-8")
    printed: list[str] = []
    names: dict[str, Any] = {"print": lambda said: printed.append(str(said))}
    for program in programs(page):
        exec(program, names)
    shown = re.findall(r"^```text\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    assert [text + "\n" for text in (printed[0], *printed[2:])] == [text for text in shown if "inject" not in text]
    source = Path(probe.__file__).with_name("probe.lua").read_text()
    (defaults,) = re.findall(r"^local OPTIONS = \{(.*?)\}", source, re.MULTILINE | re.DOTALL)
    told = {key: value.strip(" `") for key, value in re.findall(r"^\| `([a-z]+)` \|([^|]*)\|", page, re.MULTILINE)}
    found = {"dir": told["dir"], **dict(re.findall(r'(\w+) = "([^"]*)"', defaults))}
    assert told == found
