"""Breaking in: Ctrl-C, and an exception raised in a handler that does not come back.

One idea: no table of ours may stay half changed. So Ctrl-C is noted, and whoever drives raises it between two
messages. What is to end a handler in its middle is raised only while the innermost function is the user's.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, TypeVar

from ..core.errors import NodeClosed
from ..core.places import is_ours

T = TypeVar("T")
_STANDARD = (os.path.dirname(os.__file__) + os.sep, "<frozen ")


class CtrlC:
    """Ctrl-C while the main thread drives: the first is `asked` for, the second breaks a handler off, too.

    It stands in for Python's own handler only; one that somebody has set (IPython's debugger, asyncio) stays.
    """

    def __init__(self, wake: Callable[[], Any]) -> None:
        """`wake` ends the wait of whoever drives; called by a signal handler."""
        self.asked = False
        self._wake = wake
        self._outer: Any = None  # the handler before ours: Python's, or that of a node whose service drives this one

    def __call__(self, task: Callable[[], T]) -> T:
        """Run `task`, which drives. Raises KeyboardInterrupt, when it is over, if that has not done so."""
        before: Any = signal.getsignal(signal.SIGINT) if threading.current_thread() is threading.main_thread() else None
        other = getattr(before, "__self__", self)
        if before is not signal.default_int_handler and (other is self or type(other) is not CtrlC):
            return task()
        self.asked, self._outer = False, before
        signal.signal(signal.SIGINT, self._ask)
        try:
            return task()
        except KeyboardInterrupt:
            self.asked = False
            raise
        finally:
            signal.signal(signal.SIGINT, before)
            if self.asked:
                raise KeyboardInterrupt

    def _ask(self, signum: int, frame: FrameType | None) -> None:
        again, self.asked = self.asked, True
        self._wake()
        if self._outer is not signal.default_int_handler:
            self._outer(signum, frame)
        elif again and in_user_code(frame):
            raise KeyboardInterrupt


@contextmanager
def stop_signals(driver: Any) -> Iterator[None]:
    """In the main thread: Ctrl-C and SIGTERM stop what is driven here; the second one breaks a handler off, too."""

    def asked(signum: int, frame: FrameType | None) -> None:
        again = driver.stopping
        driver.stop()
        if again and in_user_code(frame):
            raise KeyboardInterrupt

    in_main = threading.current_thread() is threading.main_thread()
    before = {s: signal.signal(s, asked) for s in ((signal.SIGINT, signal.SIGTERM) if in_main else ())}
    try:
        yield
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


@contextmanager
def broken_off(seconds: float | None) -> Iterator[None]:
    """A handler that this thread is in after so many seconds gets NodeClosed, as any later one. None: never."""
    over, thread = threading.Event(), threading.get_ident()

    def late() -> None:
        if not over.wait(seconds):
            while not over.wait(0.02):
                raise_in(thread, NodeClosed)

    watch = threading.Thread(target=late, name="skynet_lite shutdown", daemon=True)
    if seconds is not None:
        watch.start()
    try:
        yield
    finally:
        over.set()
        if watch.ident is not None:
            watch.join()


def raise_in(thread: int | None, error: type[BaseException]) -> bool:
    """Have `error` raised in a thread, at its next function call, jump back, or return from C; False if it is in none
    of the user's code."""
    if not in_user_code(sys._current_frames().get(thread or 0)):
        return False
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread or 0), ctypes.py_object(error))
    return True


def in_user_code(frame: FrameType | None) -> bool:
    """Whether a thread is in the program of a user, or in a library that was called from there."""
    while frame is not None and not is_ours(frame.f_code):
        name = frame.f_code.co_filename
        if "site-packages" in name or not name.startswith(_STANDARD):
            return True
        frame = frame.f_back
    return False  # in ours, or in what we have called ourselves: a lock, say
