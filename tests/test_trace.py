"""What a recording says, and what can be rebuilt from it."""

from __future__ import annotations

import json
import marshal
import re
import tempfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from unicodedata import category

import pytest
from harness import EXAMPLES, TRACES, Play, Watched, assert_live, echo_trace, watch
from hypothesis import HealthCheck, example, given, settings, strategies as st
from programs import PLAN_INSIDE, busy

from skynet_lite import Node, SkynetError, Trace, doors, mark, skynet, socket
from skynet_lite.trace import TraceError
from skynet_lite.trace.kinds import KINDS

NAMES = sorted(path.stem for path in TRACES.glob("*.json"))


@pytest.mark.parametrize("name", NAMES)
def test_tables_rebuilt_from_the_trace_are_the_live_ones(name: str, tmp_path: Path) -> None:
    """After every single event of every recording: Trace.state(i) is what Node.tables() was."""
    play = Play(name, tmp_path, watch=watch)
    assert len(play.trace) > 10
    assert_live(play.trace, play.watched)


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


def look(trace: Trace, folder: Path) -> None:
    """Everything that reads a trace gets through it, and what it says is one line an event, with nothing that a
    terminal would obey."""
    for text in (trace.text(), trace.describe(detail=True, services=set(trace.names()))):
        assert len(text.split("\n")) == max(1, len(trace))
        assert all(c.isprintable() or category(c) == "Zs" for c in text.replace("\n", ""))
    for i in range(0, len(trace), 7):
        trace.state(i), trace.seconds(i), trace.causes(i)
    for told in (str(trace.verdicts()), str(trace.waits()), trace.describe(lang="zh"), str(trace.diff(trace[1:]))):
        assert all(c.isprintable() or c == "\n" for c in told)
    for service in trace.names():
        trace.golden(service or 0)
    for suffix in (".txt", ".html", ".mmd", ".chrome.json"):
        trace.save(folder / f"look{suffix}")
        assert "\x1b" not in (folder / f"look{suffix}").read_text(encoding="utf-8")
    page = (folder / "look.html").read_text(encoding="utf-8")
    assert page.count("</script>") == 2 and "<!--" not in page
    json.dumps(json.loads((folder / "look.chrome.json").read_text()), ensure_ascii=False).encode()
    for suffix in (".json", ".jsonl"):
        trace.save(folder / f"look{suffix}")
        again = Trace.load(folder / f"look{suffix}")
        assert again.text() == trace.text() and again.state() == trace.state()


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
                10**400,
                1.5,
                "",
                "co1",
                "co\u00b2",
                "co" + "9" * 5000,
                "\ud800\x1b\n",
                "{x.y}",
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
            data[draw(st.sampled_from(["e", "session", "co", "id", "type", "service", "x", "7"]))] = data.pop(key)
        else:
            del data[key]
        return


def exchange(draw: Any, events: Any) -> None:
    """Make one event what another is, or of a kind that is none, but a word that the readers know."""
    if not isinstance(events, list) or not all(isinstance(e, dict) for e in events) or len(events) < 2:
        return
    one, other = draw(st.sampled_from(events)), draw(st.sampled_from(events))
    match draw(st.sampled_from(["kind", "word", "event", "fields"])):
        case "kind":
            one["e"] = draw(st.sampled_from(sorted(KINDS)))
        case "word":
            one["e"] = draw(
                st.sampled_from(["name", "co", "at", "by", "_init__", "caller", "lane", "put", "fig.title"])
            )
        case "event":
            one.update({key: value for key, value in other.items() if key != "cause"})
        case _:
            one.update({key: other[key] for key in one.keys() & other.keys() - {"e", "cause"}})


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_an_edited_file_is_refused_or_read(tmp_path_factory: pytest.TempPathFactory, data: Any) -> None:
    """Whatever is deleted, replaced or exchanged, plausibly and with the checksum made to fit: a TraceError that names
    the file, or a trace that can be looked at. Never another exception. FUZZ=10000 in the environment: a long run."""
    path = tmp_path_factory.getbasetemp() / "edited.json"
    recorded = data.draw(st.booleans())
    document = json.loads((TRACES / "accept_echo_line.json").read_text()) if recorded else fresh()
    for _ in range(data.draw(st.integers(1, 3))):
        spoil(data.draw, document)
    for _ in range(data.draw(st.integers(0, 2))):
        exchange(data.draw, document.get("events"))
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
        look(trace, path.parent)


@settings(max_examples=3 * EXAMPLES // 2, deadline=None)
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


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(PLAN_INSIDE, PLAN_INSIDE)
@example(  # a coroutine that is killed while it sleeps, and is traced
    [["fork", "fork"], ["timeout", "error"]],
    [["task", "queue", "kill"], ["sleep", "call", "timeout", "task", "task"], ["trace", "queue"], ["timeout"]],
)
def test_random_programs_rebuild_and_repeat(first: list[list[str]], second: list[list[str]]) -> None:
    """Any program: the rebuilt tables are the live ones at every event, and a second run is the same."""

    def run() -> tuple[Trace, Watched]:
        with Node(clock="virtual", log=list) as node:
            node.run_until_idle()
            with node.record() as trace:
                seen = watch(node)
                peer = node.newservice(busy, second)
                node.newservice(busy, first, peer)
                node.run()
            return trace, seen

    trace, seen = run()
    assert_live(trace, seen)
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
    assert {"timeline", "stepper", "page", "describe", "waits", "mermaid", "dashboard", "replay", "streams"} == set(
        doors._DOORS
    )
    assert all(callable(doors.door(name)) for name in doors._DOORS)
    with pytest.raises(KeyError):
        doors.door("no such door")


# ---- hostile programs

BAD = "\udcff\ud800\x1b[31m\n\r\t\0\x7f\x9b\u202e</script><!--"
BIG = 10**5000


class Unsayable(Exception):
    def __str__(self) -> str:
        raise ValueError


def hostile_words() -> None:
    """Marks, log lines, names, trace tags, values: text of any kind."""
    mark(BAD)
    skynet.error(BAD)
    skynet.register("." + BAD)
    skynet.trace(BAD)
    skynet.launch(BAD, BAD)
    skynet.dispatch("lua", lambda session, source, *values: skynet.ignoreret())
    skynet.send(skynet.self(), "lua", BAD, {BAD: [BAD, BAD.encode("utf-8", "surrogatepass")]})


def hostile_errors() -> None:
    """What it raises cannot be said, or is more than a line."""

    def fail(error: Exception) -> None:
        raise error

    for error in (ValueError(BAD), Unsayable()):
        skynet.fork(fail, error)


def hostile_names() -> None:
    """Functions with names of any kind: they are names of services and of places."""

    def service() -> None:
        skynet.sleep(1)
        mark("here")

    service.__code__ = service.__code__.replace(co_name=BAD, co_filename=f"<cell {BAD}>")
    skynet.fork(service)
    service.__name__ = BAD
    skynet.newservice(service)


def hostile_numbers() -> None:
    """Numbers of any size, and what is none, wherever one is asked for."""
    mark(BIG)  # type: ignore[arg-type]
    mark(Unsayable())  # type: ignore[arg-type]
    for n in (BIG, -BIG, 10**400, -5, 3.5, "x", None, True):
        for use in (
            socket.close, socket.start, socket.shutdown, skynet.wakeup,
            lambda n: skynet.timeout(n, lambda: None),
            lambda n: skynet.redirect(skynet.self(), skynet.self(), "lua", n, b""),
            lambda n: skynet.redirect(skynet.self(), skynet.self(), n, 0, b""),
            lambda n: skynet.send(skynet.self(), "lua", n, [n], {1: n}),
        ):  # fmt: skip
            with suppress(Exception):
                use(n)  # type: ignore[operator]


def hostile_payloads() -> None:
    """Raw messages that are no packed values, or far more of them than can be written out."""
    deep: Any = []
    shared: Any = []
    for _ in range(900):
        deep = [deep]
    for _ in range(60):
        shared = [shared, shared]
    skynet.dispatch("lua", lambda session, source, *values: skynet.ignoreret())
    raws = (
        b"",
        b"abc",
        b"(abcd",
        b"(\xff\xff\xff\x7f",
        b")\xff",
        "text",
        *map(marshal.dumps, ((deep,), (shared,), (set(BAD),))),
    )
    for raw in raws:
        skynet.rawsend(skynet.self(), "lua", raw)


@pytest.mark.parametrize(
    "program",
    [hostile_words, hostile_errors, hostile_names, hostile_numbers, hostile_payloads],
    ids=lambda f: f.__name__,
)
def test_a_hostile_program_can_be_looked_at(program: Callable[[], None], tmp_path: Path) -> None:
    """Lone surrogates, control characters, numbers without end and messages that are none: the trace is read, said,
    drawn, stored and replayed as any other."""

    def main(*args: Any) -> None:
        program()

    with Node(clock="virtual", log=list, record=True) as node:
        node.newservice(main, BAD, BIG, {BAD: BIG}, wait=False)
        node.mark(BAD)
        node.run_until_idle()
    look(node.trace, tmp_path)
    for suffix in (".svg", ".pdf"):
        node.trace.save(tmp_path / f"t{suffix}")
    assert "\x1b" not in (tmp_path / "t.svg").read_text(encoding="utf-8")
    for trace in (node.trace, Trace.load(tmp_path / "look.json")):
        replay = Node.replay(trace, main)
        assert replay.same, str(replay)


def test_a_title_is_one_line_too(tmp_path: Path) -> None:
    """Also of a trace that says of itself where it is from."""
    look(Trace([{"e": "mark", "co": "main", "text": "x"}], origin=BAD), tmp_path)


def test_a_mark_is_what_was_said_when_it_was_made() -> None:
    """A list may change afterwards; a trace is read later."""

    def main() -> None:
        said = [1]
        mark(said)  # type: ignore[arg-type]
        said.append(2)

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
    assert trace[trace.find("mark")]["text"] == "[1]"


# ---- a ring


def counting(n: int, ticks: int = 1) -> Callable[[], None]:
    def main() -> None:
        @skynet.dispatch("lua")
        def count(session: int, source: int, value: int) -> None:
            skynet.retpack(value + 1)

        for i in range(n):
            mark(f"round {i}")
            skynet.call(skynet.self(), "lua", i)
            skynet.sleep(ticks)

    return main


@pytest.mark.parametrize("clock", ["virtual", "real"])
def test_a_ring_keeps_the_end_and_all_its_tables(clock: Any, tmp_path: Path) -> None:
    """Memory is bounded: of a long run the last events, and what stands in the tables at each of them."""
    with Node(clock=clock, log=list, thread=1) as node:
        node.run_until_idle()
        with node.record() as whole, node.record(ring=100) as ring:
            seen: list[int] = []
            node.look(
                lambda: node.recording.add(lambda told: seen.append(len(ring._tape.told)) if ring._tape else None)
            )
            node.newservice(counting(60, ticks=int(clock == "virtual")))
            middle = len(ring), ring.missing  # one may look while it turns
            node.mark("end")
    assert ring.missing > 0 and len(ring) + ring.missing == len(whole) == sum(middle) + 1
    assert 100 <= len(ring) < 600 and max(seen) < 3 * 100 * max(kind.width for kind in KINDS.values())
    tail = [{k: v for k, v in e.items() if k != "cause"} for e in whole.events[ring.missing :]]
    assert [{k: v for k, v in e.items() if k != "cause"} for e in ring.events] == tail
    for i in range(len(ring)):
        assert ring.state(i) == whole.state(ring.missing + i)
        assert (ring.took(i) is None) == (whole.took(ring.missing + i) is None)
    causes = [(i, e["cause"]) for i, e in enumerate(ring.events) if "cause" in e]
    assert causes and all(whole[ring.missing + i]["cause"] == ring.missing + cause for i, cause in causes)
    ring.save(tmp_path / "ring.json")
    for told in (ring, Trace.load(tmp_path / "ring.json")):
        assert told.text().splitlines()[0] == f"   … {ring.missing} events before these were not kept"
        assert f"{ring.missing} events before these were not kept" in str(told.verdicts())
        assert f"behind {ring.missing} that were not kept" in repr(told)
    assert "not kept" not in f"{whole.text()}{whole.verdicts()}{whole!r}{ring[-5:].text()}"


def test_a_short_run_fits_into_a_ring() -> None:
    """Nothing is missing, and nothing says so."""
    with Node(clock="virtual", log=list) as node:
        node.run_until_idle()
        with node.record() as whole, node.record(ring=5000) as ring:
            node.newservice(counting(3))
    assert ring.text() == whole.text() and ring.missing == 0


def test_a_ring_of_many_workers_turns_while_they_stand_still() -> None:
    """The tables that it begins with are those of one moment."""
    with Node(thread=2, log=list) as node, node.record(ring=50) as ring:
        for _ in range(4):
            node.newservice(counting(12))
    assert ring.missing > 0
    assert ring.state(-1)["services"].keys() >= {e["service"] for e in ring.events if e["e"] == "birth"}


@pytest.mark.parametrize("ring", [0, -1, 2.0, True])
def test_a_ring_is_a_number_of_events(ring: Any) -> None:
    with Node(log=list) as node, pytest.raises(ValueError, match="ring is a number of events to be kept, from 1"):
        node.record(ring=ring)


def test_a_recorded_sleep_takes_what_any_sleep_takes() -> None:
    """A recording changes no answer: 2.0 is two ticks, in its events too, and a text is refused as ever."""

    def main() -> None:
        skynet.sleep(2.0)
        with pytest.raises(SkynetError, match="whole number of ticks"):
            skynet.sleep("2")  # type: ignore[arg-type]

    with Node(clock="virtual", log=list) as node:
        node.run_until_idle()
        with node.record() as trace:
            node.newservice(main)
        assert trace[trace.find("timer_set", after=trace.find("timer_set"))]["tick"] == node.clock.now() == 2
