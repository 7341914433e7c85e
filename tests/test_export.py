"""What a trace is saved as, by suffix; each format checked against its own description."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from harness import TRACES, Play

from skynet_lite import Node, Trace, mark, skynet, socket
from skynet_lite.trace.export import PICTURES, kind_of
from skynet_lite.view.mermaid import diagram, escape

NAMES = sorted(path.stem for path in TRACES.glob("*.json"))


@pytest.fixture(scope="module")
def echo() -> Trace:
    """A service that listens and echoes, a client, a call, a sleep, an error: one of everything."""

    def peer() -> None:
        skynet.dispatch("lua", lambda session, source, n: skynet.retpack(n + 1))

    def accept(id: int, addr: str) -> None:
        socket.start(id)
        socket.write(id, socket.readline(id) + b"\n")
        socket.close(id)

    def main() -> None:
        lid = socket.listen("127.0.0.1:0")
        ports.append(socket.sockname(lid)[1])
        socket.start(lid, accept)
        mark(f"got {skynet.call(skynet.newservice(peer), 'lua', 1)}; 100 % <done> #1")
        skynet.fork(lambda: 1 // 0)
        skynet.sleep(2)

    ports: list[int] = []
    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(main)
        with node.client(ports[0]) as client:
            client.send(b"hello\n")
            client.expect(b"hello\n")
            mark("outside")
        node.run()
    return trace


# ---- by suffix


def test_the_suffix_decides(echo: Trace, tmp_path: Path) -> None:
    """Each kind of file begins as it should; a part can be saved as well as a whole."""
    begins = {
        "json": '{"format":"skynet_lite trace"', "jsonl": '{"format":"skynet_lite trace"', "txt": "   0 :0000",
        "mmd": "sequenceDiagram\n", "chrome.json": '{"traceEvents":[', "perfetto.json": '{"traceEvents":[',
    }  # fmt: skip
    for suffix, begin in begins.items():
        echo.save(tmp_path / f"a.{suffix}")
        assert (tmp_path / f"a.{suffix}").read_text(encoding="utf-8").startswith(begin), suffix
        echo[20:60].save(tmp_path / f"b.{suffix}")
    assert (tmp_path / "a.txt").read_text() == echo.text() + "\n"
    assert (tmp_path / "b.txt").read_text().startswith("  20 ")
    assert len(Trace.load(tmp_path / "b.jsonl")) == 40


@pytest.mark.parametrize("name", ["trace", "trace.doc", "json"])
def test_other_suffixes_are_refused(echo: Trace, tmp_path: Path, name: str) -> None:
    """The error lists what is known; nothing is written."""
    with pytest.raises(ValueError, match=rf"{name}: what is it to be.*\.jsonl.*\.html.*\.pdf"):
        echo.save(tmp_path / name)
    assert not (tmp_path / name).exists()


def test_suffixes_in_capitals() -> None:
    """As some systems write them."""
    assert [kind_of("A.PNG"), kind_of("a.Chrome.JSON"), kind_of("a.json")] == [".png", ".chrome.json", ".json"]
    assert {kind_of("a" + p) for p in PICTURES} == set(PICTURES)


@pytest.mark.parametrize("name", ["accept_echo_line", "call_back_nested", "queue_three"])
def test_json_lines(name: str, tmp_path: Path) -> None:
    """One event a line, each complete in itself; read back, it is the same trace as from .json."""
    trace = Play(name, tmp_path).trace
    trace.save(tmp_path / "t.jsonl")
    trace.save(tmp_path / "t.json")
    header, *lines = (tmp_path / "t.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == json.loads(json.dumps(trace.events))
    assert json.loads(header)["count"] == len(trace)
    one, other = Trace.load(tmp_path / "t.jsonl"), Trace.load(tmp_path / "t.json")
    assert one.events == other.events and one.snapshot == other.snapshot and one.sources == other.sources
    assert one.state(-1) == trace.state(-1)


def test_nothing_recorded(tmp_path: Path) -> None:
    """An empty trace is a trace: each kind of file can be written, and read back where that is promised."""
    for suffix in ("json", "jsonl", "txt", "mmd", "chrome.json"):
        Trace().save(tmp_path / f"t.{suffix}")
    assert len(Trace.load(tmp_path / "t.json")) == len(Trace.load(tmp_path / "t.jsonl")) == 0


# ---- Chrome's trace event format


def check_chrome(data: dict[str, Any]) -> Counter[str]:
    """The rules of the format, from its public description ("Trace Event Format"); how many events of each phase."""
    assert data["displayTimeUnit"] in ("ms", "ns")
    threads: dict[tuple[int, int], list[tuple[int, int]]] = {}
    flows: dict[Any, list[dict[str, Any]]] = {}
    nested: dict[Any, list[dict[str, Any]]] = {}
    named: set[tuple[str, int, int]] = set()
    for e in data["traceEvents"]:
        assert type(e["name"]) is str and type(e["pid"]) is int and type(e["tid"]) is int, e
        assert type(e["ts"]) is int and e["ts"] >= 0
        assert isinstance(e.get("args", {}), dict)
        assert e["ph"] == "M" or e["cat"]
        if e["ph"] == "X":
            assert type(e["dur"]) is int and e["dur"] > 0, e
            threads.setdefault((e["pid"], e["tid"]), []).append((e["ts"], e["ts"] + e["dur"]))
        elif e["ph"] == "i":
            assert e["s"] in ("g", "p", "t")
        elif e["ph"] == "M":
            field = {"process_name": "name", "thread_name": "name"}.get(e["name"], "sort_index")
            assert e["name"] in ("process_name", "process_sort_index", "thread_name", "thread_sort_index")
            assert type(e["args"][field]) is (str if field == "name" else int)
            named.add((e["name"], e["pid"], e["tid"]))
        elif e["ph"] in "sf":
            flows.setdefault((e["cat"], e["name"], e["id"]), []).append(e)
        else:
            assert e["ph"] in "be", e
            nested.setdefault((e["cat"], e["pid"], e["id2"]["local"]), []).append(e)
    for pid, tid in {(e["pid"], e["tid"]) for e in data["traceEvents"] if e["ph"] != "M"}:
        assert ("process_name", pid, 0) in named and ("thread_name", pid, tid) in named
    for slices in threads.values():  # those of a thread lie in one another, or apart
        open_: list[int] = []
        for start, stop in sorted(slices, key=lambda s: (s[0], -s[1])):
            while open_ and open_[-1] <= start:
                open_.pop()
            assert not open_ or stop <= open_[-1], (start, stop, open_)
            open_.append(stop)
    for start, finish in flows.values():
        assert (start["ph"], finish["ph"], finish["bp"]) == ("s", "f", "e") and start["ts"] < finish["ts"]
        for end in (start, finish):  # each end is bound to the slice it lies in
            assert any(a <= end["ts"] < b for a, b in threads[end["pid"], end["tid"]]), end
    for begin, end in nested.values():
        assert (begin["ph"], end["ph"], begin["name"]) == ("b", "e", end["name"]) and begin["ts"] < end["ts"]
    times = [e["ts"] for e in data["traceEvents"] if e["ph"] != "M"]
    assert times == sorted(times)
    return Counter(e["ph"] for e in data["traceEvents"])


@pytest.mark.parametrize("name", NAMES)
def test_chrome_export_of_every_scenario(name: str, tmp_path: Path) -> None:
    """Our run, a part of it and the recording of the real skynet: each is valid, and no resume is missing."""
    for trace in (Play(name, tmp_path).trace, Trace.load(TRACES / f"{name}.json")):
        check_chrome(trace[len(trace) // 3 : -2].to_chrome())
        data = trace.to_chrome()
        check_chrome(data)
        runs = [e for e in data["traceEvents"] if e.get("cat") == "run"]
        assert len(runs) == sum(e["e"] == "resume" for e in trace)
        assert {e["ts"] - e["args"]["event"] for e in runs} <= {k * 10_000 for k in range(1000)}


def test_what_perfetto_shows(echo: Trace) -> None:
    """Services as processes, coroutines as threads, parked stretches with their reason, flows with their mechanism."""
    data = json.loads(json.dumps(echo.to_chrome()))
    phases = check_chrome(data)
    assert phases["s"] == phases["f"] > 20 and phases["b"] == phases["e"] > 10
    rows = data["traceEvents"]
    processes = {e["pid"]: e["args"]["name"] for e in rows if e["name"] == "process_name"}
    threads = {(processes[e["pid"]], e["args"]["name"]) for e in rows if e["name"] == "thread_name"}
    assert {("main :00000008", "co1"), ("main :00000008", "mailbox, main"), ("node", "timer")} <= threads
    assert {("node", "socket server"), ("clients", "client#1"), ("peer :0000000a", "co1")} <= threads
    parked = {re.sub(r"\d+:", "n:", e["name"]) for e in rows if e.get("cat") == "parked"}
    assert {
        "SLEEP n: start on socket 1", "CALL n: an answer of :0000000a", "SLEEP n: readline on socket 2",
        "SLEEP n: tick 2",
    } <= parked  # fmt: skip
    assert {e["name"] for e in rows if e["ph"] == "s"} >= {
        "raw_dispatch_message", "dispatch_wakeup", "fork", "driver.start", "CONNECT socket 1", "DATA socket 2", "timer",
    }  # fmt: skip
    marks = [(e["name"], e["s"]) for e in rows if e["ph"] == "i" and e["cat"] == "mark"]
    assert marks == [("got 2; 100 % <done> #1", "t"), ("outside", "g")]
    assert "number of the event" in data["otherData"]["scale"]


def test_real_time_becomes_microseconds() -> None:
    """Under the real clock a slice has the time it took; the number of the event is added, so that order stays."""
    events = [
        {"e": "resume", "service": ":00000008", "co": "co1", "by": "fork", "args": []},
        {"e": "yield", "service": ":00000008", "co": "co1", "command": "SLEEP", "session": 2},
        {"e": "resume", "service": ":00000008", "co": "co1", "by": "dispatch_wakeup", "args": []},
    ]
    trace = Trace(events, stamps={"": ([0, 2], [0, 50_000], [0, 5_000_000])})
    (task, run, parked, again) = [e for e in trace.to_chrome()["traceEvents"] if e["ph"] == "X"]
    assert [(e["ts"], e["dur"]) for e in (run, parked, again)] == [(0, 1), (1, 5001), (5002, 1)]
    assert (task["ts"], task["dur"]) == (0, 5003)


# ---- Mermaid


def check_mermaid(text: str) -> None:
    """Every line has a form that Mermaid knows, and activations are balanced."""
    head, *lines = text.splitlines()
    assert head == "sequenceDiagram"
    who, active = set(), Counter[str]()
    for line in lines:
        line = line.strip()
        said = re.fullmatch(r"(p\d+)(->>|-->>|-\)|--x)(p\d+): (\S.*)|Note over (p\d+): (\S.*)", line)
        if m := re.fullmatch(r"participant (p\d+) as (.+)", line):
            who.add(m[1])
            words = m[2]
        elif m := re.fullmatch(r"(de)?activate (p\d+)", line):
            active[m[2]] += -1 if m[1] else 1
            assert m[2] in who and active[m[2]] in (0, 1)
            continue
        else:
            assert said, line
            assert {said[1], said[3], said[5]} - {None} <= who
            words = said[4] or said[6]
        assert not re.search(r"[;#<>%\"`$\\{}]", re.sub(r"#\d+;", "", words)), line
    assert not any(active.values())


@pytest.mark.parametrize("name", NAMES)
def test_mermaid_of_every_scenario(name: str, tmp_path: Path) -> None:
    """Our run and the recording; parts may begin and end anywhere."""
    for trace in (Play(name, tmp_path).trace, Trace.load(TRACES / f"{name}.json")):
        check_mermaid(trace.to_mermaid())
        check_mermaid(trace[len(trace) // 3 : -5].to_mermaid())


def test_what_mermaid_shows(echo: Trace) -> None:
    """Clients first, then the socket server, the timer and the services; calls and answers with their session."""
    text = echo.to_mermaid()
    check_mermaid(text)
    people = dict(re.findall(r"participant (p\d+) as (.+)", text))
    assert list(people.values()) == ["client#35;1", "socket server", "timer", "main :00000008", "peer :0000000a"]
    told = re.sub(r"p\d+", lambda m: people[m[0]].split(" ")[0], text.partition("peer :0000000a\n")[2])
    assert re.search(r"main->>peer: lua, session (\d+): \[1\]", told)
    assert re.search(r"peer-->>main: response, session \d+", told)
    assert "client#35;1->>socket: send 6 bytes" in told
    assert "socket->>main: DATA socket 2 6 bytes" in told
    assert "Note over main: * got 2#59; 100 #37; #60;done#62; #35;1" in told
    assert "launcher" not in told.replace("from launcher", "")


def test_mermaid_stays_readable(echo: Trace) -> None:
    """A long run is cut, and says what was left out."""
    text = diagram(echo, limit=10)
    check_mermaid(text)
    assert len(text.splitlines()) < 20
    assert re.search(r"… \d+ of \d+ events are left out", text)


def test_mermaid_takes_nothing_for_its_own_language() -> None:
    """Whatever a user marks or sends."""
    assert escape("a;b #1 %%{init}%% <b>") == "a#59;b #35;1 #37;#37;#123;init#125;#37;#37; #60;b#62;"
    assert escape("中文\n\udcff") == "中文  "
    check_mermaid(Trace([{"e": "mark", "co": "main", "text": "x"}]).to_mermaid())
