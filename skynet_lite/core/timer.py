"""Time in ticks of 10 ms: clocks, and the timer that turns ticks into messages.

The timer keeps a list for each tick that has anything due, and a heap of those
ticks. Equal deadlines fire first in, first out; a tick costs what is due in it,
however many timers wait behind; the next deadline is known exactly.

After skynet-src/skynet_timer.c (behaviour; there it is a wheel).
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .outside import Outside

TICKS_PER_SECOND = 100


class Clock(Protocol):
    """Where a node reads the time."""

    virtual: bool
    starttime: int

    def now(self) -> int: ...
    def hpc(self) -> int: ...
    def seconds_until(self, tick: int) -> float: ...


class RealClock:
    """Ticks since the node began, from the monotonic clock of the outside."""

    virtual = False

    def __init__(self, outside: Outside) -> None:
        self._monotonic = outside.monotonic_ns
        self._begin = self._monotonic()
        self._last = 0
        self.starttime = int(outside.wall_time())

    def now(self) -> int:
        # Never backwards: a clock that is set back must not make timers older than they are.
        self._last = max(self._last, (self._monotonic() - self._begin) // 10_000_000)
        return self._last

    def hpc(self) -> int:
        return self._monotonic()

    def seconds_until(self, tick: int) -> float:
        return max(0.0, (tick * 10_000_000 - (self._monotonic() - self._begin)) / 1e9)


class VirtualClock:
    """Time that stands still until it is told to go on. Every run sees the same."""

    virtual = True

    def __init__(self) -> None:
        self.ticks = 0
        self.starttime = 1_000_000_000  # 2001-09-09, a constant: nothing depends on today

    def now(self) -> int:
        return self.ticks

    def hpc(self) -> int:
        return self.ticks * 10_000_000

    def seconds_until(self, tick: int) -> float:
        return 0.0


class Timer:
    """Pending timers. `(handle, session)` is what each will answer, `deadline` when."""

    def __init__(self) -> None:
        self._due: dict[int, deque[tuple[int, int]]] = {}
        self._ticks: list[int] = []

    def add(self, deadline: int, handle: int, session: int) -> None:
        due = self._due.get(deadline)
        if due is None:
            self._due[deadline] = deque(((handle, session),))
            heapq.heappush(self._ticks, deadline)
        else:
            due.append((handle, session))

    def next_deadline(self) -> int | None:
        """The tick of the earliest timer, None if there is none."""
        return self._ticks[0] if self._ticks else None

    def expire(self, now: int) -> Iterator[tuple[int, int, int]]:
        """Take out all that is due, in order: `(tick, handle, session)`.

        After a jump of the clock the late ones still come tick by tick. DOC: timer-expire
        """
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
