"""Where a node reads the time: ticks of 10 ms since it began, real ones or virtual ones.

After skynet-src/skynet_timer.c (skynet_now, skynet_starttime, skynet_hpc).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

DAY = 86_400 * 10**9  # nanoseconds


class Clock(Protocol):
    """Where a node reads the time."""

    virtual: bool
    starttime: int

    def now(self) -> int: ...
    def hpc(self) -> int: ...
    def seconds_until(self, tick: int) -> float: ...


class RealClock:
    """Ticks since the node began. `monotonic()` in ns, `wall()` in seconds since 1970."""

    virtual = False

    def __init__(self, monotonic: Callable[[], int], wall: Callable[[], float]) -> None:
        self.hpc = self._monotonic = monotonic
        self._begin = monotonic()
        self._last = 0
        self.starttime = int(wall())

    def now(self) -> int:
        # Never backwards: a clock that is set back must not make timers older than they are.
        now = (self._monotonic() - self._begin) // 10_000_000
        if now > self._last:
            self._last = now
        return self._last

    def seconds_until(self, tick: int) -> float:
        # A timer may be due in 10**30 ticks; that is more than any system can wait at once.
        return max(0, min(DAY, tick * 10_000_000 - (self._monotonic() - self._begin))) / 1e9


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
