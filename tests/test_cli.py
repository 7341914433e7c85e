"""The command skynet-lite: what it runs, and what it says when it cannot."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

SERVICE = """\
from skynet_lite import mark, skynet

@skynet.start
def main(*words):
    mark("hello")
    print("got", *words, flush=True)
    skynet.sleep(3)
"""

SERVER = """\
from skynet_lite import skynet, socket

@skynet.start
def main(*words):
    id = socket.listen("127.0.0.1:0")
    socket.start(id, lambda new, peer: None)
    print("up", skynet.getenv("colour"), *words, flush=True)
    try:
        skynet.wait()
    finally:
        print("closed", flush=True)
"""


def command(*args: object) -> list[str]:
    return [sys.executable, "-m", "skynet_lite", *map(str, args)]


def run(*args: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*args), capture_output=True, text=True, timeout=60)


def test_version() -> None:
    """The version of the package."""
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, "skynet-lite 0.1.0\n")


def test_run_ends_when_nothing_is_left(tmp_path: Path) -> None:
    """A program without sockets ends by itself; its arguments reach the start function."""
    (tmp_path / "once.py").write_text(SERVICE)
    done = run("run", tmp_path / "once.py", "a", "b")
    assert (done.returncode, done.stdout) == (0, "got a b\n"), done.stderr


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_a_server_cleanly(tmp_path: Path, sig: signal.Signals) -> None:
    """Exit status 0, and the `finally` blocks have run."""
    (tmp_path / "server.py").write_text(SERVER)
    (tmp_path / "config.toml").write_text('start = "server"\nluaservice = "./?.py"\n[env]\ncolour = "red"\n')
    process = subprocess.Popen(command("run", tmp_path / "config.toml"), stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up red\n"
    process.send_signal(sig)
    out, _ = process.communicate(timeout=30)
    assert (out, process.returncode) == ("closed\n", 0)


def test_trace_prints_the_canonical_text(tmp_path: Path) -> None:
    """Virtual time: the sleep is over at once, and two runs print the same."""
    (tmp_path / "once.py").write_text(SERVICE)
    first, second = (run("trace", tmp_path / "once.py") for _ in range(2))
    assert first.returncode == 0, first.stderr
    assert 'mark      "hello"' in first.stdout
    assert "clock     tick 3" in first.stdout
    assert first.stdout == second.stdout


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["run", "nosuch.py"], "no such file: nosuch.py"),
        (["run", "bad.toml"], "did you mean 'start'"),
        (["run", "fails.py"], "did not start: ZeroDivisionError: division by zero (at fails:4)"),
        (["run", "empty.py"], "never called skynet.start"),
        (["trace", "notes.txt"], "is no program"),
        (["fly"], "invalid choice"),
        ([], "required"),
    ],
)
def test_errors_are_one_line_and_status_2(tmp_path: Path, args: list[str], text: str) -> None:
    """Never a Python traceback."""
    (tmp_path / "bad.toml").write_text('strat = "x"\n')
    (tmp_path / "fails.py").write_text("from skynet_lite import skynet\n@skynet.start\ndef main():\n    1 / 0\n")
    (tmp_path / "empty.py").write_text("x = 1\n")
    done = subprocess.run(command(*args), capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2
    assert text in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("skynet-lite: ")


def test_learn_check_runs_the_first_notebook() -> None:
    """A set-up can be proved without a browser."""
    done = run("learn", "--check")
    assert done.returncode == 0, done.stderr
    assert "resume    by dispatch_wakeup" in done.stdout
