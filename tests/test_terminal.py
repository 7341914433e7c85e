"""The stepper in the terminal: each screen is a function of the trace, the step and the size."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest
from harness import TRACES, Play

from skynet_lite import Node, Trace, skynet
from skynet_lite.trace.language import speaking
from skynet_lite.trace.text import cells
from skynet_lite.view.terminal import HELP, Frames, frame

NAMES = sorted(path.stem for path in TRACES.glob("*.json"))
WAKEUP = "calls wakeup(co1)"


@pytest.fixture(scope="module")
def listen(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """The seed's run: co1 parks itself in socket.start, co2 wakes it."""
    return Play("listen_start", tmp_path_factory.mktemp("play")).trace


def at(trace: Trace, **pattern: Any) -> int:
    return next(i for i, e in enumerate(trace) if all(e.get(k) == v for k, v in pattern.items()))


def test_what_a_screen_shows(listen: Trace) -> None:
    """At the wakeup: the sentence, the tables with what has just changed, the runtime's line, the lanes."""
    i = at(listen, e="wakeup")
    lines = frame(listen, i, 120, 40)
    text = "\n".join(lines)
    assert lines[0].startswith(f"event {i} of {len(listen)}")
    assert len(lines) == 40 and lines[-1] == HELP
    column = lines[2].index("▼")
    rows = {line.split()[0]: line for line in lines[3 : lines.index("")]}
    assert rows["co2"][column] == "↑" and rows["co2"][:column].rstrip("━")[-1] == "▶"
    assert rows["co1"][column] == rows["co1"][column + 1] == "~" and rows["co1"][column - 1] == "╌"
    assert f"co2 {WAKEUP}" in text
    assert "* wakeup_queue              co1" in text and "  sleep_session             co1: 2" in text
    (marked,) = [line.partition(" >")[2].split(maxsplit=1) for line in lines if " > " in line]
    assert f"{listen[i]['stack'][0]} · co2" in text
    assert listen[i]["stack"][0].endswith(f":{marked[0]}")


def test_the_line_of_the_service(listen: Trace) -> None:
    """At a yield: the service's own line and the runtime's innermost, each marked."""
    i = at(listen, e="yield", command="SLEEP")
    text = "\n".join(frame(listen, i, 120, 44))
    place, innermost = listen[i]["at"], listen[i]["stack"][0]
    assert f"{place} · co1" in text and f"{innermost} · co1" in text
    label, _, number = place.rpartition(":")
    source = listen.sources[label].splitlines()[int(number) - 1].expandtabs(4)
    assert any(
        line.rstrip().endswith(source[:30].rstrip()) or source.strip()[:20] in line for line in text.splitlines()
    )
    assert text.count("\n") == 43


@pytest.mark.parametrize("name", NAMES)
def test_every_step_of_every_scenario_fits(name: str, tmp_path: Path) -> None:
    """Our run and the recording of the real skynet, on a large, a small and a tiny screen."""
    for trace in (Play(name, tmp_path).trace, Trace.load(TRACES / f"{name}.json")):
        frames = Frames(trace)
        for width, height in ((140, 50), (80, 24), (30, 8)):
            for i in range(0, len(trace), 5):
                lines = frames.frame(i, width, height)
                assert len(lines) == height
                assert max(map(cells, lines)) <= width


def test_wide_characters_keep_the_columns() -> None:
    """Chinese text in marks, names and sources: two columns a character, and the right half begins where it did."""

    def 服务() -> None:
        标记 = "唤醒队列" * 20
        skynet.error(标记)
        skynet.sleep(1)  # 挂起

    with Node(clock="virtual", log=list) as node, node.record() as trace:
        node.newservice(服务)
    frames = Frames(trace)
    i = at(trace, e="yield", command="SLEEP", service=":00000008")
    for width in (72, 73, 101):
        lines = frames.frame(i, width, 40)
        assert max(map(cells, lines)) <= width
        begin = {cells(line[: line.index("> ")]) for line in lines if "> " in line and "skynet.sleep" in line}
        assert begin == {max(20, width * 11 // 20)}
    assert "挂起" in "\n".join(frames.frame(i, 140, 40))


def test_steps_are_numbered_from_both_ends(listen: Trace) -> None:
    """As lists are; beyond them is an IndexError, and an empty trace has a word for it."""
    assert frame(listen, -1) == frame(listen, len(listen) - 1)
    with pytest.raises(IndexError):
        frame(listen, len(listen))
    assert frame(Trace(), 0, 40, 10) == ["This trace has no events."]


def test_the_next_event_of_a_coroutine(listen: Trace) -> None:
    """n and p stay with the coroutine of the step; at the end they stay where they are."""
    frames = Frames(listen)
    i = at(listen, e="yield", command="SLEEP", service=":00000008")
    j = frames.next_of(i, 1)
    assert j > i and listen[j].get("co") == "co1" and listen[j]["service"] == ":00000008"
    assert frames.next_of(j, -1) == i
    last = max(k for k, e in enumerate(listen) if e.get("co") == "co1" and e.get("service") == ":00000008")
    assert frames.next_of(last, 1) == last


def test_search_goes_once_around(listen: Trace) -> None:
    """In sentences and in the lines of the trace, upper or lower case."""
    frames = Frames(listen)
    i = at(listen, e="wakeup")
    assert frames.find(0, WAKEUP.upper()) == i == frames.find(i, WAKEUP)
    assert frames.find(0, "becomes plisten") == at(listen, e="socket", state="plisten")
    assert frames.find(0, "no such words") is None


def test_keys(listen: Trace, tmp_path: Path) -> None:
    """On a real (pseudo) terminal: step, go to a number, search, step of this coroutine, quit; status 0."""
    listen.save(tmp_path / "t.json")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))
    os.write(master, b"\x1bOC" * 3 + b"g7\r" + b"/CALLS WAKEUP\r" + b"np" + b"/nowhere\r" + b"g99999\r" + b"q")
    process = subprocess.Popen(
        [sys.executable, "-m", "skynet_lite", "view", str(tmp_path / "t.json")],
        stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    os.close(slave)
    shown = b""
    while True:
        try:
            shown += os.read(master, 65536)
        except OSError:  # Linux says so when the other side is closed
            break
    os.close(master)
    assert process.wait(timeout=60) == 0, shown
    assert b"t.json" in shown  # the rest of the output are the differences between screens


def test_no_curses_is_an_error_that_helps(listen: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows."""
    from skynet_lite.view import terminal

    monkeypatch.setitem(sys.modules, "curses", None)
    with pytest.raises(OSError, match="use --step N"):
        terminal.run(listen)


def test_the_screen_in_chinese(listen: Trace) -> None:
    """Every word of it; a sentence without spaces is broken between characters, and no line is too long."""
    with speaking("zh"):
        frames = Frames(listen)
        for width in (40, 60, 100):
            for i in range(len(listen)):
                lines = frames.frame(i, width, 40)
                assert max(map(cells, lines)) <= width
                told = frames.told[i].replace(" ", "")
                assert told in "".join(lines).replace(" ", ""), "the sentence is there, whole"
        screen = frames.frame(33, 120, 40)
        assert frame(Trace(), 0, 40, 10) == ["这次记录里没有事件。"]
    assert screen[0].startswith(f"事件 33，共 {len(listen)} 个")
    assert screen[-1].startswith("←→ 步进") and any(line.startswith("节点") for line in screen)
    assert not any(word in "\n".join(screen) for word in ("socket server", "event ", "node", "lanes"))
