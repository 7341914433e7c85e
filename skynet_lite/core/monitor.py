"""The monitor: has a worker been in the same message since the last look?

One idea: a worker counts up when it takes a message and when it is done with it. Whoever
looks in every few seconds and finds the same number, and a destination, has found a
handler that does not come back. Nothing is stopped by that, it is only told.

After skynet-src/skynet_monitor.c, and thread_monitor of skynet_start.c.
"""

from __future__ import annotations

import sys
import time
from contextlib import suppress

from .message import Message

SECONDS = 5
"""Between two looks."""


class Monitor:
    """What one worker tells (`trigger`), and what was seen of it at the last `check`. Under the lock of the node."""

    __slots__ = ("check_version", "destination", "message", "since", "source", "version")

    def __init__(self) -> None:
        self.version = self.check_version = -1
        self.source = self.destination = 0
        self.message: Message | None = None
        self.since = 0.0  # when it was taken, in seconds of time.monotonic

    def trigger(self, source: int, destination: int, message: Message | None = None) -> None:
        """A message is taken; with (0, 0): nothing is left to do (skynet_monitor_trigger)."""
        self.source = source
        self.destination = destination
        self.message = message
        self.since = time.monotonic()
        if destination:
            self.version += 2  # in skynet the end of each counts, too; how often a worker stands is the system's affair

    def check(self) -> bool:
        """Whether the worker has been in one message since the last check (skynet_monitor_check). DOC: monitor-check"""
        if self.version == self.check_version:
            return self.destination != 0
        self.check_version = self.version
        return False


class MemoryWatch:
    """Tells once when the memory of the process passes a threshold, then when it has doubled.

    skynet warns of each Lua VM by itself (service_snlua.c, from 32 MB on, doubling). The
    services of a Python process share one heap, so only the whole can be measured.
    """

    def __init__(self, mib: int) -> None:
        self._threshold = float(mib)

    def check(self, mib: float) -> bool:
        """Whether `mib` MiB are news; never if the threshold is 0."""
        news = 0 < self._threshold < mib
        while 0 < self._threshold < mib:
            self._threshold *= 2
        return news


def resident_mib() -> float:
    """Memory that this process uses, in MiB; at its peak, where the system tells no more; 0.0 where nothing."""
    try:
        import resource
    except ImportError:  # Windows
        return 0.0
    with suppress(OSError), open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
