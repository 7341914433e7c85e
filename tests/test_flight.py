"""The flight recorder: a node that keeps its last events, and writes them down when something goes wrong."""

from __future__ import annotations

import os
import re
import signal
import socket as pysocket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from console import Asking, console_node, port_of, token_of
from harness import DOCS, LIMIT, Process, programs

from skynet_lite import ConfigError, Node, SkynetError, Trace, skynet
from skynet_lite.core.errors import CallError
from skynet_lite.node.config import load
from skynet_lite.trace.kinds import KINDS

WIDEST = max(kind.width for kind in KINDS.values())


def recorded(folder: Path, events: int = 100, **keys: Any) -> Node:
    return Node(**{"clock": "virtual", "log": list, "recorder": events, "logpath": str(folder)} | keys)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def echo() -> None:
    """Answers what it is sent; "boom" is too much for it."""

    def handle(session: int, source: int, *args: Any) -> None:
        if args == ("boom",):
            raise ValueError("boom")
        skynet.retpack(*args)

    skynet.dispatch("lua", handle)


def send(node: Node, addr: int, *args: Any) -> None:
    """A message from another service that wants no answer."""
    node.newservice(lambda: skynet.send(addr, "lua", *args))
    node.run_until_idle()


# --------------------------------------------------------------------------- what is a fault


def test_what_led_to_a_fault_is_in_the_file(tmp_path: Path) -> None:
    """A handler raises, and nobody hears of it: the last events are written, and say how many came before them."""
    with recorded(tmp_path) as node:
        addr = node.newservice(echo)
        for i in range(100):
            node.call(addr, "lua", i)
        assert files(tmp_path) == []
        send(node, addr, "boom")
        assert node.log_lines[-1].endswith(f"flight recorder: the last events go to {tmp_path / 'flight-1.json'}")
    trace = Trace.load(tmp_path / "flight-1.json")
    assert len(trace) >= 100 and trace.missing > 500
    assert trace.verdicts().kinds()[0] == "fault raised"
    assert trace[trace.find("co_error", service=f":{addr:08x}")]["error"] == "boom"
    assert trace.state()["services"][f":{addr:08x}"]["name"] == "echo"


def test_what_a_caller_hears_of_is_his_to_judge(tmp_path: Path) -> None:
    """An error may be an answer: a login that is refused, say. If the caller does not catch it, it is his."""
    with recorded(tmp_path) as node:
        addr = node.newservice(echo)

        def careful() -> None:
            with pytest.raises(CallError):
                skynet.call(addr, "lua", "boom")

        node.newservice(careful)
        assert files(tmp_path) == []
        node.newservice(lambda: skynet.fork(skynet.call, addr, "lua", "boom"))
        node.run_until_idle()
    assert files(tmp_path) == ["flight-1.json"]


def never_starts() -> None:
    raise ValueError("no seats")


def forgets() -> None:
    skynet.dispatch("lua", lambda session, source: None)


def answers_twice() -> None:
    skynet.dispatch("lua", lambda session, source: (skynet.retpack(1), skynet.retpack(2)))


def is_deaf() -> None:
    pass


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        (never_starts, "did not start"), (forgets, "no answer"), (answers_twice, "answered twice"),
        (is_deaf, 'no handler for "lua"'),
    ],
)  # fmt: skip
def test_other_faults(tmp_path: Path, program: Callable[[], None], kind: str) -> None:
    """A start that fails, though its caller hears of it; and what the log has as a warning."""
    with recorded(tmp_path) as node:

        def asks() -> None:
            skynet.fork(skynet.call, skynet.newservice(name), "lua")

        name = node.service_name(program)
        node.newservice(asks, wait=False)
        node.run_until_idle()
    trace = Trace.load(tmp_path / "flight-1.json")
    assert kind in f"{trace.verdicts().kinds()} {trace.text()}"


# --------------------------------------------------------------------------- files


def test_a_storm_of_errors_fills_no_disk(tmp_path: Path) -> None:
    """Each file comes after twice as many events as the one before."""
    with recorded(tmp_path, 50) as node:
        addr = node.newservice(echo)
        for _ in range(100):
            send(node, addr, "boom")
        seen = node.flights._kept().seen()
    names = files(tmp_path)
    assert names == [f"flight-{n}.json" for n in range(1, len(names) + 1)]
    assert 2 ** (len(names) - 2) <= seen / 50 < 2 ** (len(names) + 1)


def test_the_names_are_the_same_in_each_run(tmp_path: Path) -> None:
    """So the trace is, too; what an earlier run has left there is kept once."""
    for _ in range(2):
        with recorded(tmp_path, 100_000) as node:
            send(node, node.newservice(echo), "boom")
    assert files(tmp_path) == ["flight-1.json", "flight-1.json.old"]
    first, second = (Trace.load(tmp_path / name) for name in files(tmp_path))
    assert first.text() == second.text()


@pytest.mark.parametrize("folder", ["new/folder", "file"])
def test_a_folder_is_made_and_one_that_cannot_be_is_told(tmp_path: Path, folder: str) -> None:
    """A fault is seen once: no recording is lost for want of a folder. In the log; the node goes on."""
    (tmp_path / "file").touch()
    with recorded(tmp_path / folder) as node:
        addr = node.newservice(echo)
        send(node, addr, "boom")
        assert node.call(addr, "lua", 1) == 1
    written = folder != "file"
    assert (tmp_path / folder / "flight-1.json").is_file() == written
    assert ("NotADirectoryError" in node.log_lines[-1]) == (not written)


def test_a_fault_that_ends_the_program_is_written_at_the_close(tmp_path: Path) -> None:
    """Nothing is driven any more when the start has failed."""
    with pytest.raises(CallError), recorded(tmp_path, clock="real") as node:
        node.newservice(never_starts)
    assert "fault did not start" in Trace.load(tmp_path / "flight-1.json").verdicts().kinds()


def test_memory_stays_bounded(tmp_path: Path) -> None:
    """Neither events nor services that have gone are kept for ever."""
    with recorded(tmp_path, 50) as node:
        node.newservice(echo)
        recorder = node.flights._kept()
        for _ in range(200):
            node.newservice(skynet.exit, wait=False)
            node.run_until_idle()
            assert len(recorder._tape.told) < 4 * 50 * WIDEST
            assert len(recorder._tape._places.services) < 50
        assert recorder.seen() > 5000
    assert files(tmp_path) == []


# --------------------------------------------------------------------------- when it is asked


@pytest.mark.parametrize("thread", [1, 2])
@pytest.mark.parametrize("suffix", [".json", ".jsonl", ".txt", ".html"])
def test_the_program_may_ask(tmp_path: Path, suffix: str, thread: int) -> None:
    """node.flight(path), also while other threads drive: the suffix says what it becomes."""
    with recorded(tmp_path, clock="real", thread=thread) as node:
        node.serve()
        assert node.call(node.newservice(echo), "lua", 1) == 1
        node.flight(tmp_path / f"run{suffix}")
    assert files(tmp_path) == [f"run{suffix}"]
    if suffix.startswith(".json"):
        assert Trace.load(tmp_path / f"run{suffix}").names()[":00000008"] == "echo"


def test_a_node_that_keeps_nothing_says_so(tmp_path: Path) -> None:
    """And what can be kept is a number."""
    with Node(log=list) as node:
        for path in (tmp_path / "run.json", None):
            with pytest.raises(SkynetError, match=r"keeps no events: make it with Node\(recorder=10_000\)"):
                node.flight(path)
    for events in (-1, 2.0, True, "many"):
        with pytest.raises(ConfigError, match="configuration key 'recorder' is .*a number of events is needed, or 0"):
            Node(recorder=events)  # type: ignore[arg-type]


def test_what_is_kept_can_be_looked_at(tmp_path: Path) -> None:
    """node.trace, as of a node that keeps all; a verdict on all of it would stop the node, and is not among verdicts()."""
    with recorded(tmp_path) as node:
        send(node, node.newservice(echo), "boom")
        assert node.trace.verdicts().kinds()[0] == "fault raised"
        assert node.verdicts().kinds() == []


def test_a_node_that_keeps_all_has_a_file_that_can_be_replayed(tmp_path: Path) -> None:
    """Its faults write no files: who has all of it knows."""
    with recorded(tmp_path, record=True) as node:
        send(node, node.newservice(echo), "boom")
        node.flight(tmp_path / "run.json")
    assert files(tmp_path) == ["run.json"]
    trace = Trace.load(tmp_path / "run.json")
    assert trace.missing == 0 and trace.world is not None and trace.text() == node.trace[: len(trace)].text()


def test_a_signal_asks_in_the_middle_of_a_message(tmp_path: Path) -> None:
    """The file is written when the message is over."""

    def signalled() -> None:
        os.kill(os.getpid(), signal.SIGUSR1)
        seen.extend(files(tmp_path))

    seen: list[str] = []
    with recorded(tmp_path) as node:
        before = signal.signal(signal.SIGUSR1, lambda *_: node.flight())
        try:
            node.newservice(signalled)
        finally:
            signal.signal(signal.SIGUSR1, before)
        node.run_until_idle()
        assert seen == [] and files(tmp_path) == ["flight-1.json"]


def test_the_command_line_takes_the_signal(tmp_path: Path) -> None:
    """`skynet-lite run` of a configuration with the key `recorder`: kill -USR1 PID."""
    (tmp_path / "main.py").write_text("from skynet_lite import skynet\nskynet.start(lambda: skynet.error('up'))\n")
    (tmp_path / "c.toml").write_text(f'start = "main"\nrecorder = 1000\nluaservice = "?.py"\nlogpath = "{tmp_path}"\n')
    command = [sys.executable, "-m", "skynet_lite", "run", str(tmp_path / "c.toml")]
    with Process(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(line.endswith("up\n") for line in process.stderr)
        process.send_signal(signal.SIGUSR1)
        assert any("flight recorder: the last events go to" in line for line in process.stderr)
        process.terminate()
        process.stderr.read()
        assert process.wait(LIMIT) == 0
    assert "main" in Trace.load(tmp_path / "flight-1.json").names().values()


# --------------------------------------------------------------------------- the console


class Person:
    """Somebody at a console, in a thread of its own, for whom time is real."""

    def __init__(self, port: int) -> None:
        self.tcp = pysocket.create_connection(("127.0.0.1", port), timeout=60)
        self.file = self.tcp.makefile("rwb")
        assert self.file.readline() == b"Welcome to skynet console\n"
        assert self.ask(f"token {token_of(port)}") == ["<CMD OK>"]

    def say(self, line: str) -> None:
        self.file.write(line.encode() + b"\n")
        self.file.flush()

    def hear(self) -> list[str]:
        lines: list[str] = []
        while not lines or not lines[-1].startswith("<CMD"):
            lines.append(self.file.readline().decode().rstrip("\n"))
        return lines

    def ask(self, line: str) -> list[str]:
        self.say(line)
        return self.hear()


@contextmanager
def people(**keys: Any) -> Iterator[tuple[Person, Person]]:
    """Two of them, at the console of a node that runs."""
    with Node(log=list, **keys) as node:
        node.serve()
        node.newservice("debug_console", 0)
        both = Person(port_of(node)), Person(port_of(node))
        try:
            yield both
        finally:
            for person in both:
                person.tcp.close()


@pytest.mark.parametrize("thread", [1, 2])
def test_the_node_goes_on_while_a_file_is_written(tmp_path: Path, thread: int) -> None:
    """The file is a pipe that nobody reads, so it is not done before we want it: others are answered meanwhile."""
    path = tmp_path / "run.json"
    os.mkfifo(path)
    with people(recorder=1000, thread=thread) as (one, other):
        one.say(f"flight {path}")
        assert other.ask("list")[-1] == other.ask("stat")[-1] == "<CMD OK>"
        (tmp_path / "copy.json").write_text(path.read_text())
        told, ok = one.hear()
        assert (told.split("\t")[0], ok) == (str(path), "<CMD OK>")
    trace = Trace.load(tmp_path / "copy.json")
    assert "debug_console" in trace.names().values() and told.endswith(f"\t{len(trace)} events")


def test_what_is_drawn_is_drawn_elsewhere(tmp_path: Path) -> None:
    """A page, of what was recorded from birth and of the time to come, and a picture; what cannot be written is said."""
    with people(recorder=1000) as (one, _):
        for said in ("flight run.html", "timeline page.html 0", "timeline other.page 0.05", "flight run.svg"):
            said = said.replace(" ", f" {tmp_path}/", 1)
            assert one.ask(said)[-1] == "<CMD OK>", said
        assert "No such file or directory" in one.ask(f"flight {tmp_path}/nowhere/run.html")[0]
        assert "what is it to be? The suffix decides" in one.ask(f"flight {tmp_path}/run.odd")[0]
        assert one.ask("flight")[0].startswith("flight needs filename")
    assert files(tmp_path) == ["other.page", "page.html", "run.html", "run.svg"]
    for name in ("other.page", "page.html", "run.html"):
        assert (tmp_path / name).read_text().startswith("<!doctype html>")


def test_a_node_without_a_recorder_has_no_flight(tmp_path: Path) -> None:
    """The console says what is missing."""
    with console_node() as node:
        answer = Asking(node).ask(f"flight {tmp_path}/run.json\n")
    assert answer.startswith("this node keeps no events: make it with Node(recorder=10_000)")
    assert files(tmp_path) == []


def test_a_command_that_writes_can_be_replayed(tmp_path: Path) -> None:
    """How long it took to write came from outside, as a socket's bytes do: so a replay has it from the recording."""
    with Node(log=list, record=True) as node:
        node.newservice("debug_console", 0)
        port = port_of(node)
        with node.client(port) as client:
            client.expect(b"Welcome to skynet console\n")
            client.send(f"token {token_of(port)}\nflight {tmp_path}/run.json\n".encode())
            client.expect(b"<CMD OK>\n")
            assert client.recv_line().decode().startswith(f"{tmp_path}/run.json\t")
            client.expect(b"<CMD OK>\n")
        node.run_until_idle()
    replay = Node.replay(node.trace)
    assert replay.same, replay.divergence


# --------------------------------------------------------------------------- the page


def test_the_page_is_true(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its programs run, one after the other, and leave the files of which it speaks; its keys are keys."""
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "flight.md").read_text(encoding="utf-8")
    fault, on_a_signal, asked = programs(page)
    on_a_signal += "    signal.raise_signal(signal.SIGUSR1)\n    node.run_until_idle()\n"
    before, names = signal.getsignal(signal.SIGUSR1), dict[str, Any]()
    try:
        for program, there in (
            (fault, ["flight-1.json"]),
            (on_a_signal, ["flight-1.json", "flight-1.json.old"]),
            (asked, ["flight-1.json", "flight-1.json.old", "run.html"]),
        ):
            exec(compile(program, "flight.py", "exec"), names)
            assert files(tmp_path) == there, program
    finally:
        signal.signal(signal.SIGUSR1, before)
    (configuration,) = re.findall(r"^```toml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (tmp_path / "config.toml").write_text(configuration)
    keys = load(tmp_path / "config.toml", {})
    assert (keys.start, keys.recorder, Path(keys.logpath).name) == ("main", 10_000, "flights")
