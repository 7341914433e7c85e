"""The client of a debug console: `skynet-lite console HOST:PORT`.

One idea: whatever the node says is printed as it comes, for traces come at any time; an
answer is over when <CMD OK> or <CMD Error> stands there, or the prompt of the debugger.
On a terminal it has a history and completes commands and addresses (prompt_toolkit);
in a pipe it says one line after the other, and its status tells whether all went well.
If the node runs on this machine as the same user, the token is read from its file and said first.
"""

from __future__ import annotations

import asyncio
import os
import re
import socket
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from typing import IO, Any

from ..core.outside import secret_file
from ..lualib.console import CONTROLS, ERROR, OK, rows

ENDS = OK, ERROR
_PROMPT = re.compile(r"\S*[:(][0-9a-f]+\)?>")  # of the debugger: ":0000000a>", "main(7)>"
_ADDRESS = re.compile(r":[0-9a-f]{8}$")


class Connection:
    """A connection to a console. A thread reads; `show` gets what is to be printed. Raises OSError.

    `trusted`: whether it says the token, for commands that do more than look. `seconds`: to wait for the answer to it.
    """

    def __init__(
        self, host: str, port: int, show: Callable[[str], Any], trusted: bool = True, seconds: float | None = None
    ) -> None:
        self._sock = socket.create_connection((host, port), timeout=10)
        self._sock.settimeout(None)
        self._show = show
        self._changed = threading.Condition()
        self._ends = 0  # answers that are over
        self._kept: list[str] | None = None  # lines of an answer that nobody is to see
        self.prompt = ""  # of the debugger, if it waits for a line
        self.errors = 0
        self.streams = 0  # traces that run
        self.closed = False
        threading.Thread(target=self._read, name="console", daemon=True).start()
        if trusted and (token := self._token(port)):
            self.ask(f"token {token}", seconds)

    def _token(self, port: int) -> str:
        """The token of the console at this port; "" on another machine, or if its node is another user's."""
        with suppress(OSError, RuntimeError, ValueError):
            if ip_address(self._sock.getpeername()[0]).is_loopback:
                return Path(secret_file(f"console-{port}")).read_text()
        return ""

    def say(self, line: str, seconds: float | None = None) -> bool:
        """Send a line and wait until its answer is over; False if the connection has ended.

        Raises TimeoutError if it takes longer, and gives the connection up: the answer would be taken for the next one.
        """
        with self._changed:
            before, self.prompt = self._ends, ""
            self.streams += line.split()[:2] == ["trace", "on"]
        try:
            self._sock.sendall(line.encode("utf-8", "surrogateescape") + b"\n")
        except OSError:
            return False
        if line:
            self.wait(lambda: self._ends > before or bool(self.prompt), seconds)
        return not self.closed

    def ask(self, line: str, seconds: float | None = None) -> list[str]:
        """The lines of an answer, instead of printing them."""
        self._kept = []
        self.say(line, seconds)
        kept, self._kept = self._kept, None
        return kept

    def wait(self, over: Callable[[], bool], seconds: float | None = None) -> None:
        with self._changed:
            if self._changed.wait_for(lambda: self.closed or over(), seconds):
                return
        self.close()
        raise TimeoutError(f"no answer in {seconds:g} s")

    def close(self) -> None:
        """Whoever waits for an answer, in another thread, goes on."""
        with suppress(OSError):  # it has ended already
            self._sock.shutdown(socket.SHUT_RDWR)  # close alone would leave the reader where it is
        self._sock.close()

    def _read(self) -> None:
        rest = ""
        while data := self._receive():
            *lines, rest = (rest + data.decode("utf-8", "replace")).split("\n")
            with self._changed:
                for line in lines:
                    self._line(line)
                if _PROMPT.fullmatch(rest):  # and no line that comes in two parts: "... in function <skynet.lua:374>"
                    self.prompt, rest = rest, ""
                self._changed.notify_all()
        with self._changed:
            if rest:
                self._show(rest)
            self.closed = True
            self._changed.notify_all()

    def _receive(self) -> bytes:
        try:
            if hasattr(socket, "TCP_QUICKACK"):  # skynet sends the end of a line once its letters are acknowledged
                self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            return self._sock.recv(65536)
        except OSError:
            return b""

    def _line(self, line: str) -> None:
        self.streams -= line.startswith("--- trace of ")
        self._ends += line in ENDS
        self.errors += line == ENDS[1] and self._kept is None
        if self._kept is not None and ("\t" in line or line in ENDS):
            self._kept.append(line)
        else:
            self._show(line)


def pipe(host: str, port: int, lines: Iterable[str], out: IO[str]) -> int:
    """Say each line, print all answers; 1 if one was <CMD Error>, or the connection ended early. Raises OSError."""
    connection = Connection(host, port, lambda line: print(line, file=out, flush=True))
    try:
        for line in lines:
            if not connection.say(line.rstrip("\n")):
                return 1
            if connection.prompt:
                print(connection.prompt, file=out, flush=True)
        connection.wait(lambda: connection.streams <= 0)
        return 1 if connection.errors else 0
    finally:
        connection.close()


def history_file() -> Path:
    """In the user's folder for state (XDG)."""
    state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "skynet_lite"
    state.mkdir(parents=True, exist_ok=True)
    return state / "console_history"


def terminal(host: str, port: int) -> int:
    """Read lines from the terminal until Ctrl-D. Raises OSError, ImportError."""
    from prompt_toolkit import PromptSession
    from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
    from prompt_toolkit.history import FileHistory

    screen = Screen()
    connection = Connection(host, port, screen.show)
    words = Words(connection)
    session: PromptSession[str] = PromptSession(
        history=FileHistory(str(history_file())), completer=words.completer(), complete_while_typing=False,
        auto_suggest=AutoSuggestFromHistory(), refresh_interval=0.5,
    )  # fmt: skip

    def beside() -> None:
        session.app.create_background_task(screen.above())

    try:
        while not connection.closed:
            try:
                with screen:
                    line = session.prompt(lambda: connection.prompt or f"{host}:{port}> ", pre_run=beside)
            except KeyboardInterrupt:
                continue
            except EOFError:
                break
            try:
                connection.say(line)
            except KeyboardInterrupt:
                continue  # its answer comes when it comes
            words.after(line)
        if connection.closed:
            print("the node has closed the connection")
    finally:
        connection.close()
    return 0


class Screen:
    """Where lines of the node go: out at once, or above the prompt while one stands there.

    A prompt draws through a buffer of its own, and a thread that writes beside it can take a drawing away (as the
    stdout that prompt_toolkit patches does). So while a prompt stands there, its own loop alone writes.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._prompt = False
        self._kept: list[str] = []

    def show(self, line: str) -> None:
        with self._lock:
            self._kept.append(line.translate(CONTROLS))
            if not self._prompt:
                self._write()

    def _write(self) -> None:
        with self._lock:
            while self._kept:
                print(self._kept.pop(0), flush=True)

    async def above(self) -> None:
        """Runs beside a prompt."""
        from prompt_toolkit.application import run_in_terminal

        while True:
            if self._kept:
                await run_in_terminal(self._write)
            await asyncio.sleep(0.1)

    def __enter__(self) -> None:
        with self._lock:
            self._prompt = True

    def __exit__(self, *exc: object) -> None:
        with self._lock:
            self._prompt = False
            self._write()


class Words:
    """What can be completed: commands as `help` names them, addresses as `list` does."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.commands = dict(rows(connection.ask("help")))
        self.addresses: dict[str, str] = {}
        self.after("start")

    def after(self, line: str) -> None:
        """Look again after what may have changed the list."""
        if (line.split() or [""])[0] in ("start", "snax", "log", "kill", "exit") and not self._connection.closed:
            listed = rows(self._connection.ask("list"))
            self.addresses = {address: name for address, name in listed if _ADDRESS.match(address)}

    def matching(self, before: str) -> list[tuple[str, str]]:
        """Words that can stand at the end of `before`, with what they mean."""
        *earlier, start = before.split(" ")
        known = self.addresses if earlier else self.commands
        found = [(word, meaning) for word, meaning in known.items() if word.startswith(start)]
        if earlier[:1] == ["trace"]:
            found += [(word, "") for word in ("on", "off") if word.startswith(start)]
        return found

    def completer(self) -> Any:
        from prompt_toolkit.completion import Completer, Completion

        words = self

        class Known(Completer):
            def get_completions(self, document: Any, complete_event: Any) -> Iterable[Any]:
                before = document.text_before_cursor
                for word, meaning in words.matching(before):
                    yield Completion(word, -len(before.split(" ")[-1]), display_meta=meaning)

        return Known()


def address_of(text: str) -> tuple[str, int]:
    """HOST:PORT, or PORT of this machine. Raises ValueError."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"{text!r} is no address: give HOST:PORT, or PORT of this machine")
    return host.strip("[]") or "127.0.0.1", int(port)


def run(address: str) -> int:
    """The command. Raises ValueError for what is no address, OSError if nobody answers there, ImportError."""
    host, port = address_of(address)
    if sys.stdin.isatty() and sys.stdout.isatty():
        return terminal(host, port)
    return pipe(host, port, sys.stdin, sys.stdout)
