"""Critical sections: coroutines of one service enter one at a time, in the order they asked.

The coroutine that is inside may enter again. Only a wait in the middle can let
another coroutine in between two lines of a handler; this is how to forbid it.

After lualib/skynet/queue.lua.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

from ..core.errors import SkynetError
from .coroutine import running
from .runnable import has_run
from .scheduler import current
from .waits import wait, wakeup

T = TypeVar("T")


class CriticalSection:
    """`cs(f, *args)` runs f inside; `with cs:` does the same for a block."""

    def __init__(self) -> None:
        s = self._service = current()
        self._number = s.libs["queue"] = s.libs.get("queue", 0) + 1
        self._current: Any = None
        self._depth = 0
        self._waiting: deque[Any] = deque()

    def _tell(self, op: str, co: Any) -> None:
        self._service.queue_changed(self._number, self, op, co)

    def __enter__(self) -> CriticalSection:
        """Go in, or stand in the queue until we are let in.

        Raises SkynetError in another service or thread, and where one would have to wait and cannot. DOC: queue-enter
        """
        co = running()
        if getattr(co, "service", None) is not self._service:
            raise SkynetError(f"this critical section is for coroutines of {self._service!r} only")
        if self._current is None:
            self._current = co
            try:
                self._tell("push", co)
            except BaseException:  # the stack is too deep, and so for any function of ours
                self._current = None
                self._service.queues.pop(self._number, None)
                raise
        elif self._current is not co:
            _ = co.hub  # refuses to wait outside a coroutine
            self._waiting.append(co)
            try:
                self._tell("push", co)
                while self._current is not co:  # skynet asserts it: a wakeup may come from anybody
                    wait()  # whoever leaves makes us the current one before waking us
            except BaseException:  # the stack is too deep, or we are being killed
                if self._current is co:  # it was let in, and never got to run
                    self._depth = 1
                    self.__exit__()
                else:
                    self._waiting.remove(co)
                    self._tell("leave", co)
                raise
        self._depth += 1
        return self

    def __exit__(self, *exc: object) -> None:
        """Leave, however that came about, and let the next one in. DOC: queue-exit"""
        self._depth -= 1
        if self._depth == 0:
            left, self._current = self._current, self._waiting.popleft() if self._waiting else None
            try:
                self._tell("pop", left)
            finally:
                if self._current is not None:
                    wakeup(self._current)

    def busy(self) -> bool:
        return self._current is not None

    def labels(self) -> list[str]:
        """Who is inside, then who waits, in their order."""
        return [co.label for co in (self._current, *self._waiting) if co is not None]

    def __call__(self, f: Callable[..., T], *args: Any) -> T:
        with self:
            made = f(*args)
            has_run(made)
            return made


def queue() -> CriticalSection:
    """A critical section of this service: `cs = skynet.queue(); cs(f, *args)`."""
    return CriticalSection()
