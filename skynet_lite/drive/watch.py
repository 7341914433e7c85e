"""With one worker: who looks, from a thread of its own, whether the loop comes back from a message.

One idea: the loop tells nothing, so that a message costs nothing; its counts and its stack are looked at. What is
found is said when the handler has come back, for nobody else may write into a mailbox of this node.

After thread_monitor of skynet-src/skynet_start.c.
"""

from __future__ import annotations

import sys
import threading
import time
import weakref
from typing import Any

from ..core.handle import address_text
from ..core.places import is_ours, place_label
from ..skynet.coroutine import Coroutine, UserCoroutine

_TASKS = Coroutine.run.__code__, UserCoroutine.run.__code__


class Watch:
    """`node.monitor` with one worker. `check` is called every so many seconds; tests need no time for it."""

    def __init__(self, loop: Any) -> None:
        self._loop = loop
        self._inside = (*_TASKS, type(loop)._dispatch.__code__)
        self._owner: int | None = None
        self._seen: Any = None
        self._since = 0.0
        self._late: tuple[str, str] | None = None  # the service that is to be told of, and the place
        self._over = threading.Event()
        self._thread: threading.Thread | None = None

    def begin(self, owner: int, seconds: int) -> None:
        """Look after the thread that drives; with 0 seconds nobody does by himself."""
        self._owner = owner
        if seconds:
            args = weakref.ref(self), self._over, seconds  # a node that was forgotten may go
            self._thread = threading.Thread(target=_watch, args=args, name="skynet_lite monitor", daemon=True)
            self._thread.start()

    def end(self) -> None:
        self._over.set()
        if self._thread is not None:
            self._thread.join()

    def check(self) -> str:
        """Whether the loop is in the same message as at the last check: then what will be said of it, else ""."""
        frame, stack = sys._current_frames().get(self._owner or 0), []
        s: Any = getattr(self._loop.hub, "service", None)
        while frame is not None:
            stack.append(frame)
            frame = frame.f_back
        now = (self._loop.rounds, s.handle, s.mailbox.popped) if s is not None else None
        if now is None or now != self._seen or not any(frame.f_code in self._inside for frame in stack):
            self._seen, self._since = now, time.monotonic()
            return ""
        news, at = self._late is None, next((frame for frame in stack if not is_ours(frame.f_code)), None)
        place = f", at {place_label((at.f_code, at.f_lineno), s.name, s.file)} in {at.f_code.co_name}" if at else ""
        self._late = f"{s.ctx.called} ({address_text(s.handle)})", place
        if news:
            self._loop.between(self._tell)
        return self._said()

    def _said(self) -> str:
        who, place = self._late or ("", "")
        return f"error: a message kept service {who} for more than {time.monotonic() - self._since:.0f} s{place}"

    def _tell(self) -> None:
        self._loop._server.warn(0, self._said())
        self._late = None


def _watch(watch: weakref.ref[Watch], over: threading.Event, seconds: int) -> None:
    while not over.wait(seconds):
        if (found := watch()) is None:
            return
        found.check()
        del found
