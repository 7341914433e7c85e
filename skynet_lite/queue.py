"""Critical sections: coroutines of one service enter one at a time, in the order they asked.

The coroutine that is inside may enter again. Only a wait in the middle can let
another coroutine in between two lines of a handler; this is how to forbid it.

After lualib/skynet/queue.lua. It stands below the scheduler and is handed the
three functions it needs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class CriticalSection:
    """`cs(f, *args)` runs f inside; `with cs:` does the same for a block."""

    def __init__(self, running: Callable[[], Any], wait: Callable[[], Any], wakeup: Callable[[Any], Any]) -> None:
        self._running = running
        self._wait = wait
        self._wakeup = wakeup
        self._current: Any = None
        self._depth = 0
        self._waiting: deque[Any] = deque()

    def __enter__(self) -> CriticalSection:
        co = self._running()
        if self._current is not None and self._current is not co:
            self._waiting.append(co)
            self._wait()  # whoever leaves makes us the current one before waking us
        self._current = co
        self._depth += 1
        return self

    def __exit__(self, *exc: object) -> None:
        self._depth -= 1
        if self._depth == 0:
            self._current = self._waiting.popleft() if self._waiting else None
            if self._current is not None:
                self._wakeup(self._current)

    def __call__(self, f: Callable[..., T], *args: Any) -> T:
        with self:
            return f(*args)
