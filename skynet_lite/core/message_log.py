"""The message log: a file with every message that one service gets, a line each.

One idea: the log stands in the mailbox in front of the callback. So a service that is
not logged pays nothing, and what is logged is what was dispatched, in that order.

After skynet-src/skynet_log.c. The bytes of a message are what a real skynet writes for the
same one (lualib/seri.py).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import IO, Any

from .codec import endless, words
from .errors import SeriError, error_text
from .handle import address_text
from .locks import guarded
from .message import PTYPE_ERROR, PTYPE_SOCKET, SOCKET_DATA, SOCKET_UDP, Launch, Message, Packed, unpack
from .mq import MessageQueue


class MessageLog:
    """The log of one mailbox. Raises OSError if its file cannot be opened, or not be written.

    When a line cannot be written later on it ends, and calls `lost(error)`; the service goes on without it.
    """

    def __init__(
        self, path: str, mailbox: MessageQueue, now: Callable[[], int], starttime: int, lives: Callable[[], bool],
        lost: Callable[[Exception], Any], seri: Callable[..., bytes],
    ) -> None:  # fmt: skip
        self._now = now
        self._seri = seri
        self._lost = lost
        self._file: IO[bytes] = open(path, "ab", buffering=0)  # noqa: SIM115  # until close
        date = time.asctime(time.localtime(starttime + now() // 100))
        try:
            self._write(f"open time: {now()} {date}")
        except OSError:
            self._file.close()
            raise
        self._lives = lives
        self._mailbox = mailbox
        self._callback = mailbox.callback
        mailbox.callback = self

    def __call__(self, message: Message) -> None:
        """The callback of the mailbox: write, then let the service have it."""
        try:
            self._write(line(message, self._now(), self._seri))
        except Exception as e:  # a full disk, which the service is not to suffer from
            if not self._file.closed:  # else it was ended meanwhile
                self.close()
                self._lost(e)
        self._callback(message)
        # The service has started, and set its own. What is dropped when it has gone is not logged.
        if self._mailbox.callback is not self and self._lives() and not self._file.closed:
            self._callback, self._mailbox.callback = self._mailbox.callback, self

    def off(self) -> None:
        """Write that it ends, and end it."""
        with suppress(OSError):
            self._write(f"close time: {self._now()}")
        self.close()

    def close(self) -> None:
        """No more lines; the mailbox is given back."""
        if self._mailbox.callback is self:
            self._mailbox.callback = self._callback
        self._file.close()

    def _write(self, text: str) -> None:
        self._file.write(f"{text}\n".encode("utf-8", "backslashreplace"))


def line(message: Message, now: int, seri: Callable[..., bytes]) -> str:
    """`:SOURCE TYPE SESSION TICKS HEX`, or `[socket] TYPE ID UD DATA` (skynet_log_output)."""
    ptype, session, source, payload = message
    if ptype == PTYPE_SOCKET:
        type, id, ud, data = payload
        if type == SOCKET_UDP:
            data = data[0]
        shown = data.hex() if type in (SOCKET_DATA, SOCKET_UDP) else f"[{data}]"
        return f"[socket] {type} {id} {ud} {shown}"
    if isinstance(payload, Launch):
        payload = words((payload.name, *payload.args))
    return f":{source:08x} {ptype} {session} {now} {_bytes(ptype, payload, seri).hex()}"


def _bytes(ptype: int, payload: Any, seri: Callable[..., bytes]) -> bytes:
    if ptype == PTYPE_ERROR:
        return b""  # in skynet it is empty; here it says why
    if isinstance(payload, str):
        return _utf8(payload)
    if isinstance(payload, Packed):
        payload = payload.payload
    if isinstance(payload, bytes) and ptype in (0, 3, 5):  # text, client, harbor: bytes as they are
        return payload
    values = unpack(payload) if isinstance(payload, (tuple, bytes)) else () if payload is None else (payload,)
    try:
        return seri(*(("…",) if endless(values) else values))
    except SeriError:  # what Lua has no value for, as text
        return seri(_utf8(words(values)))


def _utf8(text: str) -> bytes:
    """As bytes: those that it was made from, if it was."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")


class MessageLogs:
    """Those of a node: part of its Server."""

    def __init__(self) -> None:
        self._message_logs: dict[int, MessageLog] = {}  # by handle
        self.seri: Callable[..., bytes]  # how values are written; set by the node

    @guarded
    def logon(self: Any, source: int, handle: int) -> None:
        """Log the messages of a service to `logpath`/HANDLE.log; without `logpath` nothing happens (cmd_logon)."""
        ctx, folder = self.contexts.get(handle), self.env.get("logpath")
        if ctx is None or folder is None or handle in self._message_logs:
            return
        path, failed, lost = f"{folder}/{handle:08x}.log", "", partial(self._log_lost, handle)
        try:
            self._message_logs[handle] = MessageLog(
                path, ctx.mailbox, self.clock.now, self.clock.starttime, lambda: handle in self.contexts, lost,
                self.seri,
            )  # fmt: skip
        except OSError as e:
            failed = f" fail: {e.strerror}"
        self.log(source, f"Open log file {path}{failed}")

    @guarded
    def logoff(self: Any, source: int, handle: int) -> None:
        """End the message log of a service, if there is one (cmd_logoff)."""
        log = self._message_logs.pop(handle, None)
        if log is not None:
            self.log(source, f"Close log file {address_text(handle)}")
            log.off()

    @guarded
    def _log_lost(self: Any, handle: int, error: Exception) -> None:
        self._message_logs.pop(handle, None)
        self.log(handle, f"Close log file {address_text(handle)}, it cannot be written: {error_text(error)}")
