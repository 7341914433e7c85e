"""The logger: a service like any other, the first one of a node (handle 1).

`skynet.error` sends it a text message; so log lines keep the order in which the
services spoke, and nobody waits for a slow terminal in the middle of a handler.

After service-src/service_logger.c.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import IO, Any

from .context import Context
from .errors import ConfigError, error_text, shown
from .handle import address_text
from .message import PTYPE_TEXT, Message
from .report import Report
from .server import Kind, Server

Writer = Callable[[int, str], Any]
"""Writes a line of a service: its handle, the text. Text may be a Report."""


def line_of(source: int, text: str) -> str:
    """As it stands in the log."""
    return f"[:{source:08x}] {text}"


def full_line(source: int, text: str) -> str:
    """Where there is room, and paths do no harm: with whole tracebacks."""
    return line_of(source, text.full if isinstance(text, Report) else text)


def careful(write: Writer) -> Writer:
    """`write` that never raises: a line that fails is lost, and stderr is told of the first of several."""
    lost = False

    def careful_write(source: int, text: str) -> None:
        nonlocal lost
        try:
            write(source, text)
            lost = False
        except BaseException as e:  # whatever it is: who has spoken is not to blame
            if not lost:
                lost = True
                with suppress(Exception):  # stderr itself may be what fails
                    line = line_of(source, text)
                    print(f"skynet_lite: a log line is lost: {error_text(e)}: {line}", file=sys.stderr, flush=True)

    return careful_write


def print_to(file: IO[str] | None, source: int, text: str) -> None:
    """Print to a text file, or to stderr; what its encoding lacks comes as \\x, \\u."""
    # sys.stderr is looked up for each line: notebooks and tests replace it.
    file = sys.stderr if file is None else file
    encoding = getattr(file, "encoding", None) or "utf-8"
    line = full_line(source, text).encode(encoding, "backslashreplace").decode(encoding)
    print(line, file=file, flush=True)


class LogFile:
    """A file that lines are appended to. `reopen` follows one that was moved away (logrotate)."""

    def __init__(self, path: str) -> None:
        """Raises ConfigError if it cannot be opened."""
        self._path = os.path.abspath(path)
        self._lock = threading.Lock()  # one worker may write while another reopens
        self._file = self._opened()

    def _opened(self) -> IO[bytes]:
        try:
            return open(self._path, "ab", buffering=0)
        except OSError as e:
            raise ConfigError(f"logger: cannot open {self._path!r} for appending: {e.strerror}") from e

    def reopen(self) -> None:
        """Raises ConfigError, and goes on with the old file, if it cannot be opened."""
        with self._lock:
            before, self._file = self._file, self._opened()
            before.close()

    def write(self, line: str) -> None:
        with self._lock:
            self._file.write(f"{line}\n".encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        self._file.close()


def open_log(
    log: Any, path: str | None, name_of: Callable[[int], str]
) -> tuple[Writer, LogFile | None, list[str] | None]:  # fmt: skip
    """Where lines go: `(write one line, file to close at the end, list that collects)`.

    `log` may be None (stderr, or the file `path`), the type `list` or a list, a
    `logging.Logger`, a file open for writing text, or a function of one line. `name_of`: the name
    of a service. What goes into a list names places briefly, `main:3`; all others get whole tracebacks.
    """
    if log is None and path:
        file = LogFile(path)
        return lambda *line: file.write(full_line(*line)), file, None
    log = [] if log is list else log
    if isinstance(log, list):
        return lambda *line: log.append(line_of(*line)), None, log
    if isinstance(log, logging.Logger):
        return partial(_to_logging, log, name_of), None, None
    if log is None or hasattr(log, "write"):
        return partial(print_to, log), None, None
    if callable(log):
        return lambda *line: log(full_line(*line)), None, None
    raise ConfigError(f"log: {shown(log)} is no place for lines; give list, a logging.Logger, a file or a function")


def _to_logging(log: logging.Logger, name_of: Callable[[int], str], source: int, text: str) -> None:
    """A record with `address` and `service`; of a report one for each exception, which is its `exc_info`."""
    extra = {"address": address_text(source), "service": name_of(source) or getattr(text, "service", "")}
    if isinstance(text, Report):
        for error in text.errors:
            log.log(text.level, line_of(source, text.words.rstrip(" :")), exc_info=error, extra=extra)
    else:
        log.log(getattr(text, "level", logging.INFO), line_of(source, text), extra=extra)


class Logger(Kind):
    """A kind of service: the first of a node."""

    def make(self, server: Server, ctx: Context) -> None:
        server.logger = ctx
        server.handles.name("logger", ctx.handle)

        def callback(message: Message) -> None:
            ptype, _, source, payload = message
            if ptype == PTYPE_TEXT:
                server.write(source, payload)

        ctx.mailbox.callback = lambda message: server.handled(ctx, callback, message)
