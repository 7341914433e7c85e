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


def test_a_program_may_be_called_like_a_service_of_the_boot(tmp_path: Path) -> None:
    """`launcher.py` is a plausible name for a program: the node still starts with its own launcher."""
    (tmp_path / "launcher.py").write_text(SERVICE)
    done = run("run", tmp_path / "launcher.py", "a")
    assert (done.returncode, done.stdout) == (0, "got a\n"), done.stderr


def test_services_and_modules_beside_the_program_are_found(tmp_path: Path) -> None:
    """From any folder, as `python FILE` finds its modules."""
    (tmp_path / "first.py").write_text(
        "import words\nfrom skynet_lite import skynet\n@skynet.start\ndef main():\n    skynet.newservice('second', words.WORD)\n"
    )
    (tmp_path / "words.py").write_text("WORD = 'beside'\n")
    (tmp_path / "second.py").write_text(SERVICE)
    done = run("run", tmp_path / "first.py")
    assert (done.returncode, done.stdout) == (0, "got beside\n"), done.stderr


def test_bytes_that_are_no_text_can_be_printed(tmp_path: Path) -> None:
    """They are escaped, so that a trace goes through every stream."""
    (tmp_path / "odd.py").write_text(
        "from skynet_lite import mark, skynet\n@skynet.start\ndef main():\n    mark(b'a\\xff'.decode('utf-8', 'surrogateescape'))\n"
    )
    done = run("trace", tmp_path / "odd.py")
    assert done.returncode == 0, done.stderr
    assert 'mark      "a\\udcff"' in done.stdout


def test_traces_of_programs_that_never_end_are_cut(tmp_path: Path) -> None:
    """A timer that arms itself again: --ticks of virtual time, and a word on stderr."""
    (tmp_path / "clock.py").write_text(
        "from skynet_lite import mark, skynet\n\n@skynet.start\ndef main():\n    mark('tick')\n    skynet.timeout(100, main)\n"
    )
    done = run("trace", "--ticks", 250, tmp_path / "clock.py")
    assert done.returncode == 0
    assert done.stdout.count('mark      "tick"') == 3
    assert done.stderr.splitlines()[-1] == "skynet-lite: stopped at tick 200, timers are left; see --ticks"


def test_a_service_that_only_listens_has_a_trace_too(tmp_path: Path) -> None:
    """Nobody can come by in virtual time: what the socket server did is all there is."""
    (tmp_path / "server.py").write_text(SERVER)
    done = run("trace", tmp_path / "server.py")
    assert done.returncode == 0, done.stderr
    assert "socket    1 becomes listen" in done.stdout


def test_a_late_failure_of_the_start_ends_with_the_same_line(tmp_path: Path) -> None:
    """By then the log is on stderr already; the status is the same."""
    (tmp_path / "late.py").write_text(
        "from skynet_lite import skynet\n@skynet.start\ndef main():\n    skynet.sleep(1)\n    1 / 0\n"
    )
    done = run("run", tmp_path / "late.py")
    assert done.returncode == 2
    assert (
        done.stderr.splitlines()[-1] == "skynet-lite: service late did not start: ZeroDivisionError: division by zero"
    )


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
        (["run", "fails.toml"], "did not start: ZeroDivisionError: division by zero (at fails:4)"),
        (["run", "fails.toml", "a"], "takes no arguments"),
        (["run", "idle.toml"], 'add start = "name"'),
        (["fly"], "invalid choice"),
        ([], "required"),
    ],
)
def test_errors_are_one_line_and_status_2(tmp_path: Path, args: list[str], text: str) -> None:
    """Never a Python traceback."""
    (tmp_path / "bad.toml").write_text('strat = "x"\n')
    (tmp_path / "fails.py").write_text("from skynet_lite import skynet\n@skynet.start\ndef main():\n    1 / 0\n")
    (tmp_path / "fails.toml").write_text('start = "fails"\n')
    (tmp_path / "idle.toml").write_text("thread = 1\n")
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
