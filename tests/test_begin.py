"""skynet-lite new and skynet-lite examples: what they write runs as it is, and passes its own tests."""

from __future__ import annotations

import contextlib
import gzip
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from harness import Process, needs
from redis_harness import RedisServer

from skynet_lite import SkynetError
from skynet_lite.course import begin

SECONDS = 30


def command(folder: Path, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "skynet_lite", *args], cwd=folder, capture_output=True, text=True, timeout=SECONDS
    )


def own_tests(folder: Path) -> str:
    """Run them where they were written, by a pytest that has nothing but the plugin; its last line."""
    plugins = ("cacheprovider", "xdist", "nbval", "hypothesispytest")
    without = [word for name in plugins for word in ("-p", f"no:{name}")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *without, "."], cwd=folder, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()[-1]


@contextmanager
def running(folder: Path, **values: int) -> Iterator[int]:
    """The program as `skynet-lite run config.toml` runs it, on a free port: that port. SIGTERM ends it, in order."""
    config = folder / "config.toml"
    text = config.read_text()
    for key, value in {"port": 0, **values}.items():
        text, found = re.subn(rf"^{key} = \d+", f"{key} = {value}", text, flags=re.MULTILINE)
        assert found == 1
    config.write_text(text)
    line = [sys.executable, "-m", "skynet_lite", "run", "config.toml"]
    with Process(line, cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            log = []
            while not (found := re.search(r"(?:port |127\.0\.0\.1:)([1-9]\d*)$", log[-1] if log else "")):
                assert (line := process.stderr.readline()), log
                log.append(line.rstrip())
            yield int(found[1])
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
            assert "Traceback" not in process.stderr.read()
        finally:
            process.kill()


def asked(port: int, data: bytes) -> bytes:
    """All that a client hears that sends `data`, and then only listens."""
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        with client.makefile("rb") as answer:
            return answer.read()


def test_a_new_project_runs(tmp_path: Path) -> None:
    """Its test passes, its program answers, its README says its name."""
    done = command(tmp_path, "new", "my-game")
    assert (done.returncode, done.stderr) == (0, "")
    folder = tmp_path / "my-game"
    assert own_tests(folder).startswith("2 passed")
    with running(folder) as port:
        assert asked(port, b"Ann\nAnn\n") == b"hello Ann, visit 1\nhello Ann, visit 2\n"
    assert (folder / "README.md").read_text().startswith("# my-game\n")
    for file in folder.rglob("*.*"):
        assert file.suffix == ".pyc" or "PROJECT" not in file.read_text()
    (trace,) = re.findall(r"^    skynet-lite (trace .*)$", (folder / "README.md").read_text(), re.MULTILINE)
    done = command(folder, *shlex.split(trace))
    assert "receives b'hello Ann, visit 1" in done.stdout and (folder / "run.html").exists()


@pytest.mark.parametrize("name", ["", "../x", "a/b", "1st", "a b", "-x", ".", "spiel\u00e4"])
def test_a_bad_name_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the name of a folder, and stands in texts and command lines."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SkynetError, match="is no name for a project"):
        begin.new(name)
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_touched(tmp_path: Path) -> None:
    """Neither by a project nor by an example; one line says so."""
    (tmp_path / "mine").mkdir()
    for words in (("new", "mine"), ("examples", "lobby", "mine"), ("examples", "chess")):
        done = command(tmp_path, *words)
        assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
    assert "mine is there already" in command(tmp_path, "new", "mine").stderr
    assert "there are gate, cluster, lobby, pipeline, web" in done.stderr
    assert list(tmp_path.rglob("*")) == [tmp_path / "mine"]


def test_the_examples_are_listed(tmp_path: Path) -> None:
    """Each with the first line of its configuration, whose next lines say how to run it."""
    done = command(tmp_path, "examples")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["gate", "cluster", "lobby", "pipeline", "web"]
    for name in begin.examples():
        assert begin.about(name)[0] in done.stdout
        assert any("skynet-lite run config.toml" in line for line in begin.about(name)[1:])


ASKED = {  # what one client sends, and what it hears
    "gate": (b"\0\x09handshake\0\x04quit", b"ok Welcome to skynet, I will send heartbeat every 5 sec."),
    "lobby": (b"name Ann\njoin lounge\nsay hello\nquit\n", b"welcome Ann\njoined lounge: Ann\nAnn: hello\nsaid\n"),
    "pipeline": (b"hello", gzip.compress(b"hello", mtime=0)),
    "web": (b"GET /else HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n", b"HTTP/1.1 404 Not Found\r\n"),
}


@pytest.mark.parametrize(
    "name", [name if name != "web" else pytest.param(name, marks=needs("redis-server")) for name in ASKED]
)
def test_an_example_runs_where_it_is_written(name: str, tmp_path: Path) -> None:
    """Its own tests pass there, and a client of the program gets its answer."""
    folder = tmp_path / name
    done = command(tmp_path, "examples", name)
    assert (done.returncode, done.stderr) == (0, "")
    if name != begin.FIRST:  # tests/test_examples.py
        assert " passed" in (last := own_tests(folder)) and "skipped" not in last
    with contextlib.ExitStack() as stack:
        values = {"redis": stack.enter_context(RedisServer(tmp_path)).port} if name == "web" else {}
        data, answer = ASKED[name]
        assert answer in asked(stack.enter_context(running(folder, **values)), data)


def test_the_two_nodes_run_where_they_are_written(tmp_path: Path) -> None:
    """The example of a cluster: `cluster up`, and a client whose lines go through both nodes."""
    folder = tmp_path / "cluster"
    assert command(tmp_path, "examples", "cluster").returncode == 0
    assert own_tests(folder).startswith("2 passed")
    config = folder / "config.toml"
    config.write_text(re.sub(r"(:|port = )\d{4}", r"\g<1>0", config.read_text()))
    line = [sys.executable, "-m", "skynet_lite", "cluster", "up", "config.toml"]
    with Process(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            log = []
            while len([line for line in log if "Start debug console" in line]) < 2:  # the last thing that both do
                assert process.stdout is not None and (said := process.stdout.readline()), log
                log.append(said.rstrip())
            (port,) = [line.rsplit(" ", 1)[1] for line in log if "clients at port" in line]
            assert b"ann has 1\nann has 2\n" in asked(int(port), b"ann\nann\n").replace(b"* ann leads\n", b"")
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) == 0
        finally:
            process.terminate()
            process.stdout.close()
