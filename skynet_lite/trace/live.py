"""The canonical lines of one service of a running node, as they come about.

Nothing is kept: a stream may run for a day. So its lines know no cause, which would be
a number of a line that is gone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from .events import Builder, Places
from .text import line

FORGET = 4096  # events after which the builder's notes for causes are thrown away


class Live:
    """`sink` takes the events of a node, as told; `lines` holds those of service `handle`, until somebody takes them.

    `ready()` is called when a line stands there after `take` has taken all.
    """

    def __init__(self, handle: int, places: Places, ready: Callable[[], Any]) -> None:
        self.handle = handle
        self.count = 0
        self.lines: deque[str] = deque()
        self._ready = ready
        self._builder = Builder({}, places)

    def sink(self, raw: tuple[Any, ...]) -> None:
        """One event of the node, as it was told: a line, if it is this service's. DOC: live-sink"""
        if raw[1] != self.handle:
            return
        builder = self._builder
        builder.add(raw)
        del builder.events[:-1]
        if self.count % FORGET == FORGET - 1:
            builder.forget()
        self.lines.append(f"{self.count:4} {line(builder.events[0])}")
        self.count += 1
        if len(self.lines) == 1:
            self._ready()

    def take(self) -> list[str]:
        """The lines since the last time."""
        taken = []
        while self.lines:
            taken.append(self.lines.popleft())
        return taken
