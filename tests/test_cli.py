"""The command skynet-lite: what it runs, and what it says when it cannot."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from skynet_lite import Trace

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


LISTEN = Path(__file__).parent.parent / "docs" / "listen.py"
RECORDING = Path(__file__).parent / "golden" / "traces" / "accept_echo_line.json"


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
    last = done.stderr.splitlines()[-1]
    assert last == "skynet-lite: service late did not start: ZeroDivisionError: division by zero (at late:5)"


def test_a_start_that_fails_in_another_service_shows_why(tmp_path: Path) -> None:
    """The last line has the reason; the log, which is printed then, the traceback of the other service."""
    (tmp_path / "late.py").write_text(
        "from skynet_lite import skynet\n@skynet.start\ndef main():\n    skynet.newservice('broken')\n"
    )
    (tmp_path / "broken.py").write_text("from skynet_lite import skynet\n@skynet.start\ndef main():\n    1 / 0\n")
    done = run("run", tmp_path / "late.py")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert f'  File "{tmp_path}/broken.py", line 4, in main' in lines and "ZeroDivisionError: division by zero" in lines
    assert lines[-1].startswith("skynet-lite: service late did not start: CallError: call failed: :0000000a broken did")


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
        (["trace", "once.py", "--save", "a.doc"], "a.doc: what is it to be? The suffix decides"),
        (["trace", "once.py", "--png", "a.html"], "a picture ends in .png, .svg, .pdf"),
        (["trace", "once.py", "--save", "nowhere/a.json"], "cannot write nowhere/a.json: No such file"),
        (["trace", "once.py", "--fast"], "unrecognized arguments: --fast (what is for the service comes after --)"),
        (["trace", "once.py", "--send", "x"], "--send found no socket that listens"),
        (["run", "--fast", "once.py"], "unrecognized arguments: --fast"),
        (["diff", "nosuch.json", "idle.toml"], "cannot read nosuch.json: No such file"),
        (["diff", "idle.toml", "nosuch.json"], "idle.toml is no trace"),
        (["fly"], "invalid choice"),
        ([], "required"),
    ],
)
def test_errors_are_one_line_and_status_2(tmp_path: Path, args: list[str], text: str) -> None:
    """Never a Python traceback."""
    (tmp_path / "bad.toml").write_text('strat = "x"\n')
    (tmp_path / "once.py").write_text(SERVICE)
    (tmp_path / "fails.py").write_text("from skynet_lite import skynet\n@skynet.start\ndef main():\n    1 / 0\n")
    (tmp_path / "fails.toml").write_text('start = "fails"\n')
    (tmp_path / "idle.toml").write_text("thread = 1\n")
    (tmp_path / "empty.py").write_text("x = 1\n")
    done = subprocess.run(command(*args), capture_output=True, text=True, timeout=60, cwd=tmp_path)
    assert done.returncode == 2
    assert text in done.stderr
    lines = [line for line in done.stderr.strip().splitlines() if not line.startswith("[:0000")]  # the log
    assert len(lines) == 1 and lines[0].startswith("skynet-lite: "), done.stderr


def test_learn_check_runs_the_first_notebook() -> None:
    """A set-up can be proved without a browser."""
    done = run("learn", "--check")
    assert done.returncode == 0, done.stderr
    assert "resume    by dispatch_wakeup" in done.stdout


# ---- what becomes of a trace


def test_options_may_come_before_or_after_the_program(tmp_path: Path) -> None:
    """Users write them last; what begins with - and is the program's comes after --."""
    (tmp_path / "once.py").write_text(SERVICE)
    t, quiet = tmp_path / "once.py", "--quiet"
    for args in ([t, "a", "b", quiet], [quiet, t, "a", "b"], [t, "a", quiet, "b"], [t, quiet, "--", "a", "b"]):
        done = run("trace", *args)
        assert (done.returncode, done.stdout) == (0, "got a b\n"), done.stderr
    assert run("trace", t, quiet, "-1", "--", "--quiet", "--", "-x").stdout == "got -1 --quiet -- -x\n"


def test_a_trace_can_be_saved_as_all_kinds_at_once(tmp_path: Path) -> None:
    """Each file is there, and is what its option says whatever its name; the text still goes to stdout."""
    files = {name: tmp_path / name for name in ("a.html", "chrome.json", "a.json", "a.jsonl", "a.txt", "a.mmd")}
    done = run(
        "trace", LISTEN, "--html", files["a.html"], "--chrome", files["chrome.json"], "--title", "The seed",
        *(word for name in ("a.json", "a.jsonl", "a.txt", "a.mmd") for word in ("--save", files[name])),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert files["a.txt"].read_text() == done.stdout
    assert "The seed" in files["a.html"].read_text()
    assert json.loads(files["chrome.json"].read_text())["traceEvents"]
    assert files["a.mmd"].read_text().startswith("sequenceDiagram")
    assert Trace.load(files["a.json"]).text() == Trace.load(files["a.jsonl"]).text() == done.stdout.rstrip("\n")


def test_the_seeds_picture_by_one_command(tmp_path: Path) -> None:
    """The README's figure: socket.start parks co1, and co2 wakes it."""
    done = run("trace", LISTEN, "--png", tmp_path / "listen.png", "--quiet", "--title", "socket.start")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert (tmp_path / "listen.png").read_bytes().startswith(b"\x89PNG")


def test_a_client_from_the_shell() -> None:
    """--send talks to the first port listened to, in virtual time; two runs are the same."""
    first, second = (run("trace", LISTEN, "--send", r"hello\n", "--send", r"\x61\tb\\\n") for _ in range(2))
    assert first.returncode == 0, first.stderr
    told = first.stdout.splitlines()
    assert told[0] == r"client#1 sends b'hello\n' and receives b'HELLO\n'"
    assert told[1] == r"client#1 sends b'a\tb\\\n' and receives b'A\tB\\\n'"
    assert 'DATA socket 2 6 bytes "hello' in first.stdout and "client#1  close" in first.stdout
    assert first.stdout == second.stdout


def test_a_client_that_gets_no_answer(tmp_path: Path) -> None:
    """It does not wait for one: the run is over when nothing can happen any more."""
    (tmp_path / "server.py").write_text(SERVER.replace("colour", "none"))
    done = run("trace", tmp_path / "server.py", "--quiet", "--send", "x")
    assert done.returncode == 0, done.stderr
    assert "client#1 sends b'x' and receives b''" in done.stdout


def test_a_saved_trace_is_shown_without_a_run(tmp_path: Path) -> None:
    """What a flight recorder has written, or somebody has sent."""
    shown = run("trace", RECORDING, "--html", tmp_path / "page.html")
    assert (shown.returncode, shown.stdout.strip()) == (0, Trace.load(RECORDING).text().strip()), shown.stderr
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")


def test_diff_says_by_its_status(tmp_path: Path) -> None:
    """0 the same, 1 different; with the viewer of both, if wanted."""
    (tmp_path / "once.py").write_text(SERVICE)
    for name, args in (("a", ()), ("b", ()), ("c", ("more",))):
        run("trace", tmp_path / "once.py", *args, "--save", tmp_path / f"{name}.json")
    same = run("diff", tmp_path / "a.json", tmp_path / "b.json")
    assert (same.returncode, same.stdout.splitlines()[0][:22]) == (0, "The runs are the same:"), same.stderr
    (tmp_path / "once.py").write_text(SERVICE.replace("sleep(3)", "sleep(4)"))
    run("trace", tmp_path / "once.py", "--save", tmp_path / "d.json")
    other = run("diff", tmp_path / "a.json", tmp_path / "d.json", "--width", 100, "--html", tmp_path / "both.html")
    assert other.returncode == 1 and "skynet.sleep(4)" in other.stdout
    assert (tmp_path / "both.html").read_text().startswith("<!doctype html>")
    assert run("diff", RECORDING, RECORDING).returncode == 0


def test_run_with_several_workers(tmp_path: Path) -> None:
    """--thread N, or `thread` of a configuration: the same program, on N workers."""
    (tmp_path / "once.py").write_text(
        "import threading\nfrom skynet_lite import skynet\n\n@skynet.start\ndef main(*words):\n"
        "    skynet.sleep(1)\n    print(threading.current_thread().name, *words, flush=True)\n"
    )
    done = run("run", "--thread", 3, tmp_path / "once.py", "a")
    assert (done.returncode, done.stdout) == (0, "skynet_lite worker 2 a\n"), done.stderr
    done = run("run", "--thread", 0, tmp_path / "once.py")
    assert done.returncode == 2 and "1 or more" in done.stderr
