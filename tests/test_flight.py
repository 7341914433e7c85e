"""The flight recorder: a node that keeps its last events, and writes them down when something goes wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from skynet_lite import ConfigError, Node, SkynetError, Trace, skynet
from skynet_lite.core.errors import CallError
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


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """In the log; the node goes on."""
    with recorded(tmp_path / "nowhere") as node:
        addr = node.newservice(echo)
        send(node, addr, "boom")
        assert node.call(addr, "lua", 1) == 1
        assert "flight recorder: FileNotFoundError" in node.log_lines[-1]


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
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert any(line.endswith("up\n") for line in process.stderr)
        process.send_signal(signal.SIGUSR1)
        assert any("flight recorder: the last events go to" in line for line in process.stderr)
        process.terminate()
        process.stderr.read()
    assert process.returncode == 0
    assert "main" in Trace.load(tmp_path / "flight-1.json").names().values()
