"""The timer: a list for each tick that has anything due, and a heap of those ticks.

Equal deadlines fire first in, first out; a tick (10 ms) costs what is due in it,
however many timers wait behind; the next deadline is known exactly.

After skynet-src/skynet_timer.c (behaviour; there it is a wheel).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from operator import index
from typing import Any

from .errors import SkynetError, shown


def ticks(ti: Any) -> int:
    """A time as an int; it may be a float that is one, as Lua's 50.0. Raises SkynetError for any other."""
    try:
        return index(int(ti) if isinstance(ti, float) and ti.is_integer() else ti)
    except TypeError:
        raise SkynetError(f"a time is a whole number of ticks (10 ms each), not {shown(ti)}") from None


class Timer:
    """Pending timers. `(handle, session)` is what each will answer, `deadline` when."""

    def __init__(self) -> None:
        self._due: dict[int, deque[tuple[int, int]]] = {}
        self._ticks: list[int] = []

    def add(self, deadline: int, handle: int, session: int) -> None:
        if deadline not in self._due:
            self._due[deadline] = deque()
            heapq.heappush(self._ticks, deadline)
        self._due[deadline].append((handle, session))

    def next_deadline(self) -> int | None:
        """The tick of the earliest timer, None if there is none."""
        return self._ticks[0] if self._ticks else None

    def expire(self, now: int) -> Iterator[tuple[int, int, int]]:
        """Take out all that is due, tick by tick, after a jump too: `(tick, handle, session)`. DOC: timer-expire"""
        while self._ticks and self._ticks[0] <= now:
            tick = self._ticks[0]
            due = self._due[tick]
            # One at a time, so that whoever looks in between sees what is still to come.
            while due:
                yield tick, *due.popleft()
            heapq.heappop(self._ticks)
            del self._due[tick]

    def pending(self) -> list[tuple[int, int, int]]:
        """All timers as `(tick, handle, session)`, earliest first, for looking at."""
        return [(tick, *entry) for tick in sorted(self._due) for entry in self._due[tick]]

    def __len__(self) -> int:
        return sum(map(len, self._due.values()))
