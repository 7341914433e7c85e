"""The command skynet-lite console: a client for people, and for pipes."""

from __future__ import annotations

import os
import pty
import re
import select
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from console import served

from skynet_lite import skynet
from skynet_lite.core.outside import secret_file
from skynet_lite.course.console import Connection

ASK = [sys.executable, "-m", "skynet_lite", "console"]


@pytest.fixture
def port() -> Iterator[int]:
    """The port of a console in a node that is served."""

    def counter() -> None:
        skynet.register(".counter")
        skynet.dispatch("lua", lambda session, source, n: skynet.retpack(n + 1))

    with served(counter) as port:
        yield port


def piped(address: str, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*ASK, address], input=text, capture_output=True, text=True, timeout=30)


def test_a_pipe_gets_the_answers_one_after_the_other(port: int) -> None:
    """Plain text and status 0: fit for scripts. The address may be a port alone."""
    done = piped(str(port), "getenv thread\ncall .counter 41\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "Welcome to skynet console\nthread\t1\n<CMD OK>\n1\t42\nn\t1\n<CMD OK>\n"


def test_an_error_is_the_status(port: int) -> None:
    """All lines are said; 1 tells that one of them went wrong."""
    done = piped(f"127.0.0.1:{port}", "nosuch\ngetenv thread\n")
    assert done.returncode == 1 and done.stdout.endswith("<CMD Error>\nthread\t1\n<CMD OK>\n")


def test_a_pipe_can_debug_and_trace(port: int) -> None:
    """The debugger's prompt ends an answer, too; a trace with an end is waited for."""
    done = piped(str(port), "debug .counter\n1 + 2\ncont\ntrace on .counter 0.3\ncall .counter 1\n")
    assert done.returncode == 0
    assert re.search(r":[0-9a-f]{8}>\n3\t\n:[0-9a-f]{8}>\n<CMD OK>\n", done.stdout)
    assert "message   lua session" in done.stdout and "--- trace of :" in done.stdout.splitlines()[-1]


def test_a_node_that_hangs_is_not_waited_for_longer_than_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel takes the connection, and nobody answers: not even that the token is right."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        token = Path(secret_file(f"console-{port}"))
        token.parent.mkdir(parents=True)
        token.write_text("word")
        with pytest.raises(TimeoutError, match=r"no answer in 0\.01 s"):
            Connection("127.0.0.1", port, print, seconds=0.01)
        with listening.accept()[0] as its, its.makefile("rb") as heard:
            assert heard.read() == b"token word\n", "the connection is given up"


def test_nobody_there() -> None:
    """One line that says what is wrong, status 2, as all commands do it."""
    done = piped("127.0.0.1:1", "")
    assert done.returncode == 2 and "cannot reach a console at 127.0.0.1:1: Connection refused" in done.stderr
    done = piped("nonsense", "")
    assert done.returncode == 2 and "give HOST:PORT, or PORT of this machine" in done.stderr


class Terminal:
    """The command on a terminal of its own."""

    def __init__(self, port: int, home: Path) -> None:
        self.master, slave = pty.openpty()
        env = {**os.environ, "XDG_STATE_HOME": str(home), "TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"}
        self.process = subprocess.Popen(
            [*ASK, str(port)], stdin=slave, stdout=slave, stderr=slave, env=env, close_fds=True
        )
        os.close(slave)
        self.seen = ""

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def until(self, pattern: str) -> str:
        """What was shown up to there, without the terminal's own signs."""
        end = time.monotonic() + 20
        while not (found := re.search(pattern, self.seen)):
            assert time.monotonic() < end, f"{pattern!r} did not come: {self.seen!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                raw = os.read(self.master, 65536).decode("utf-8", "replace")
                self.seen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", raw)
        before, self.seen = self.seen[: found.end()], self.seen[found.end() :]
        return before

    def leave(self) -> int:
        self.until(r"127\.0\.0\.1:\d+>")  # before that the terminal would take the key for itself
        self.type("\x04")
        return self.process.wait(20)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *exc: object) -> None:
        self.process.kill()
        self.process.wait(20)
        os.close(self.master)


def test_a_terminal_completes_and_remembers(port: int, tmp_path: Path) -> None:
    """Tab completes commands and addresses; the arrow up brings back what was said in an earlier session."""
    with Terminal(port, tmp_path) as terminal:
        terminal.until(r"127\.0\.0\.1:\d+>")
        terminal.type("geten\t")
        terminal.until("getenv")
        terminal.type(" thread\r")
        assert "thread\t1" in terminal.until("<CMD OK>")
        terminal.until(r"127\.0\.0\.1:\d+>")
        terminal.type("call .counter 41\r")
        assert "42" in terminal.until("<CMD OK>")
        assert terminal.leave() == 0
    assert (tmp_path / "skynet_lite" / "console_history").read_text().count("+call .counter 41") == 1
    with Terminal(port, tmp_path) as terminal:
        terminal.until(r"127\.0\.0\.1:\d+>")
        terminal.type("\x1b[A\r")
        assert "42" in terminal.until("<CMD OK>")
        terminal.until(r"127\.0\.0\.1:\d+>")
        terminal.type("ping :\t\t")
        terminal.until("snlua counter")
        terminal.type("\x03")
        terminal.type("debug .counter\r")
        terminal.until(r":[0-9a-f]{8}>")
        terminal.type("6 * 7\r")
        terminal.until("42")
        terminal.until(r":[0-9a-f]{8}>")
        terminal.type("cont\r")
        terminal.until("<CMD OK>")
        assert terminal.leave() == 0


def test_what_comes_by_itself_stands_above_the_prompt(port: int, tmp_path: Path) -> None:
    """A trace speaks at any time. While a prompt stands there its own loop alone writes, then draws it anew."""
    with Terminal(port, tmp_path) as terminal:
        terminal.until(r"127\.0\.0\.1:\d+>")
        terminal.type("trace on .counter 0.5\r")
        terminal.until("<CMD OK>")
        terminal.until(r"127\.0\.0\.1:\d+>")
        terminal.type("uncert")
        terminal.until("--- trace of")
        terminal.until(r"127\.0\.0\.1:\d+> uncert")
        terminal.type("\x03")
        assert terminal.leave() == 0
